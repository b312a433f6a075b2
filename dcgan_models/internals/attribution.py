"""What D's filters look for: guided backpropagation, Figure 5 and section 6.2 of the paper.

For each of a few filters of D's last convolution, one pass over the pictures finds those in which
it responds most, and where (`top_activations`). That one activation is sent back to the pixels by
guided backpropagation (Springenberg et al., 2014): on its way it is set to zero wherever the
forward input of an activation function, or the gradient itself, is not positive. What is left
shows which pixels excited the unit. The figure's tiles are the unit's receptive field, 61 pixels
wide for `lsun64`, and all tiles of a filter share one scale of levels, as on the authors' picture.

Responses are taken after batch norm and LeakyReLU, as everywhere in this package. It makes no
difference to the figure: LeakyReLU is increasing, so the order of pictures is the same before it,
and where a response is positive so are its value and its gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the field's own name for it)

from dcgan_models.data import PixelStore
from dcgan_models.errors import UserError
from dcgan_models.networks import (
    Block,
    Discriminator,
    picture_batches,
)
from dcgan_models.pixels import Pixels
from dcgan_models.presets import Preset, ReceptiveField, receptive_fields

Gradients = npt.NDArray[np.float32]

# At LeakyReLU the paper is silent. `relu` treats it as the ReLU that the method was made for: no
# gradient passes where the forward input was not positive. `leaky` lets it pass there as in the
# forward direction, times the slope of the leak. Both stop gradients that are not positive.
Rule = Literal["relu", "leaky"]
RULES: tuple[Rule, ...] = get_args(Rule)

_BATCH = 256


@dataclass(frozen=True)
class Hits:
    """Where f filters respond most: their k best pictures, on the processor.

    Attributes:
        filters: Channels of D's last convolution, from 0.
        values: float32 (f, k), the highest activation within each picture, descending.
        rows: int64 (f, k), the pictures, each at most once a filter; of equals the lower number.
        units: int64 (f, k, 2), the place (y, x) of that activation in the maps.
        pictures: How many were looked at.
    """

    filters: tuple[int, ...]
    values: Tensor
    rows: Tensor
    units: Tensor
    pictures: int


@dataclass(frozen=True)
class Responses:
    """The tiles of Figure 5, a row a filter.

    Attributes:
        hits: What they show.
        tiles: uint8 (f, k, side, side, channels), guided gradients at the scale of their row.
        crops: Likewise, the same pixels of the pictures themselves.
        neutral: uint8 (f,), the level of a gradient of zero, which also fills both kinds of tile
            where they reach beyond the picture.
    """

    hits: Hits
    tiles: Pixels
    crops: Pixels
    neutral: Pixels


def last_convolution(preset: Preset) -> int:
    """The row of D's layer table, from 0, whose filters are shown; an output unit is none.

    Raises:
        UserError: D has no convolution, or not only convolutions up to the last.
    """
    layers = preset.discriminator[:-1]
    rows = [row for row, layer in enumerate(layers) if layer.op == "conv"]
    if not rows or rows[-1] >= len(receptive_fields(layers)):
        raise UserError(f"preset {preset.name}: its discriminator does not begin in convolutions")
    return rows[-1]


def receptive_field(preset: Preset) -> ReceptiveField:
    """What a unit of D's last convolution sees: 61 pixels wide, 16 apart, for `lsun64`."""
    return receptive_fields(preset.discriminator)[last_convolution(preset)]


def visualise_filters(
    discriminator: Discriminator,
    pictures: Pixels | PixelStore,
    filters: Sequence[int] = range(6),
    *,
    k: int = 10,
    rule: Rule = "relu",
    batch: int = _BATCH,
    on_batch: Callable[[int], object] = lambda pictures: None,
) -> Responses:
    """Make the tiles of Figure 5: `top_activations`, and guided backpropagation of each.

    Raises:
        UserError: As `top_activations` and `guided_backpropagation`.
    """
    _check_rule(rule)
    hits = top_activations(discriminator, pictures, filters, k=k, batch=batch, on_batch=on_batch)
    field = receptive_field(discriminator.preset)
    rows = []
    for number, channel in enumerate(hits.filters):
        fired = _take(pictures, hits.rows[number].numpy())
        units = hits.units[number].numpy()
        gradients = guided_backpropagation(discriminator, fired, channel, units, rule)
        tiles, neutral = shade(windows(gradients, units, field, 0.0))
        rows.append((tiles, windows(fired, units, field, neutral), neutral))
    tiles, crops, neutrals = zip(*rows, strict=True)
    return Responses(hits, np.stack(tiles), np.stack(crops), np.array(neutrals, np.uint8))


def _take(pictures: Pixels | PixelStore, rows: npt.NDArray[np.int64]) -> Pixels:
    return pictures[rows] if isinstance(pictures, np.ndarray) else pictures.gather(rows)


# --- One pass over the pictures -----------------------------------------------------------------


@torch.inference_mode()
def top_activations(
    discriminator: Discriminator,
    pictures: Pixels | PixelStore,
    filters: Sequence[int] = range(6),
    *,
    k: int = 10,
    batch: int = _BATCH,
    on_batch: Callable[[int], object] = lambda pictures: None,
) -> Hits:
    """Find the pictures in which filters of D's last convolution respond most.

    Args:
        discriminator: With statistics (`networks.fix_statistics`).
        pictures: uint8 (n, height, width, channels), or a store, which is read batch by batch;
            beside a batch only k hits a filter are held.
        filters: Channels of the last convolution, from 0.
        k: Pictures to find for each; every picture counts once, at its highest place.
        batch: Pictures computed at once.
        on_batch: Told how many pictures were looked at since it was last called.

    Raises:
        UserError: D is conditional, has no statistics or no convolution; a filter it does not
            have; the pictures do not fit, are fewer than k, or give values that are not finite.
    """
    # A refusal comes before the first of what may be millions of pictures.
    row = last_convolution(discriminator.preset)
    channels = _check_filters(discriminator.preset, row, filters)
    inputs = picture_batches(discriminator, pictures, batch)
    if not discriminator.has_statistics:
        raise UserError("this discriminator has no statistics: fix them on real pictures first")
    if not 1 <= k <= len(pictures):
        raise UserError(f"{k} hits a filter: allowed are 1 to the {len(pictures)} pictures")
    discriminator.eval()
    # Of each picture the highest place of each filter's map.
    best = _Best(len(channels), k)
    for images in inputs:
        maps = discriminator.run(images, None, slice(row + 1))
        width = maps.shape[3]
        best.add(*maps[:, channels].flatten(2).max(dim=2))
        on_batch(len(images))
    return best.hits(tuple(channels), width)


class _Best:
    """The k highest values so far of each of f filters; nothing leaves the device meanwhile."""

    def __init__(self, filters: int, k: int) -> None:
        self._k = k
        self._seen = 0
        self._values = torch.empty(0, filters)
        self._rows = torch.empty(0, filters, dtype=torch.int64)
        self._places = torch.empty(0, filters, dtype=torch.int64)

    def add(self, values: Tensor, places: Tensor) -> None:
        """Take in the next pictures: highest activations and their flat places, (n, filters)."""
        # The k best of those held and those that come.
        numbers = torch.arange(self._seen, self._seen + len(values), device=values.device)
        rows = numbers[:, None].expand_as(places)
        held = self._values, self._rows, self._places
        merged = [
            torch.cat([old.to(values.device), new])
            for old, new in zip(held, (values, rows, places), strict=True)
        ]
        # Stable, and rows ascend: of equal values the lower row stays first.
        order = merged[0].argsort(dim=0, descending=True, stable=True)[: self._k]
        self._values, self._rows, self._places = (part.gather(0, order) for part in merged)
        self._seen += len(values)

    def hits(self, filters: tuple[int, ...], width: int) -> Hits:
        """What was found, in maps of `width` columns."""
        values = self._values.cpu().T.contiguous()
        # NaN sorts above all numbers: where there is one, it is among the best.
        if not values.isfinite().all():
            raise UserError(
                "activations are not finite: this discriminator's weights or statistics are "
                "not sound"
            )
        places = self._places.cpu().T
        return Hits(
            filters,
            values,
            self._rows.cpu().T.contiguous(),
            torch.stack([places // width, places % width], dim=2),
            self._seen,
        )


def _check_filters(preset: Preset, row: int, filters: Sequence[int]) -> list[int]:
    most = preset.discriminator[row].out
    wrong = [number for number in filters if not 0 <= number < most]
    if wrong or not len(filters):
        named = ", ".join(map(str, wrong)) or "none"
        raise UserError(
            f"filters asked for: {named}; the last convolution of preset {preset.name} has "
            f"0 to {most - 1}"
        )
    return list(filters)


# --- Back to the pixels -------------------------------------------------------------------------


class _GuidedActivation(torch.autograd.Function):
    """ReLU or LeakyReLU whose gradient is guided; `slope` is that of the backward direction."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, leak: float, slope: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.slope = slope
        return F.leaky_relu(x, leak)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        risen = gradients[0].clamp(min=0)
        return torch.where(x > 0, risen, risen * ctx.slope), None, None


def guided_backpropagation(
    discriminator: Discriminator,
    pictures: Pixels,
    channel: int,
    units: npt.NDArray[np.int64],
    rule: Rule = "relu",
) -> Gradients:
    """Send one activation of each picture back to its pixels.

    Args:
        discriminator: With statistics, which are constants here.
        pictures: uint8 (n, height, width, channels).
        channel: Of D's last convolution, from 0.
        units: int64 (n, 2), the place (y, x) of the activation in the maps of each picture.
        rule: What passes at LeakyReLU where the forward input is not positive; see `RULES`.

    Returns:
        float32 (n, height, width, channels), zero outside each unit's receptive field, and
        everywhere where the activation itself is not positive and the rule is `relu`.

    Raises:
        UserError: An unknown rule, or pictures that do not fit D.
    """
    _check_rule(rule)
    row = last_convolution(discriminator.preset)
    discriminator.eval()
    found = []
    first = 0
    for batch in picture_batches(discriminator, pictures, _BATCH):
        images = batch.requires_grad_()
        maps = _guided_maps(discriminator, images, row, rule)
        y, x = torch.from_numpy(units[first : first + len(images)]).to(maps.device).T
        first += len(images)
        activations = maps[torch.arange(len(images), device=maps.device), channel, y, x]
        # No picture's activation depends on another picture, so the gradient of the sum is each's.
        (gradients,) = torch.autograd.grad(activations.sum(), images)
        found.append(gradients.permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(found)


def _guided_maps(discriminator: Discriminator, images: Tensor, row: int, rule: Rule) -> Tensor:
    """D's forward pass up to a row, through activations that guide the way back."""
    x = images
    for block in discriminator.blocks[: row + 1]:
        assert isinstance(block, Block)  # noqa: S101  (narrows the list's type)
        if block.layer.act not in {"relu", "lrelu"}:
            x = block(x, None)
            continue
        leak = block.leak if block.layer.act == "lrelu" else 0.0
        slope = leak if rule == "leaky" else 0.0
        x = _GuidedActivation.apply(block.preactivation(x, None), leak, slope)
    return x


def _check_rule(rule: str) -> None:
    if rule not in RULES:
        raise UserError(f"unknown rule {rule!r} for LeakyReLU; allowed: {', '.join(RULES)}")


# --- Tiles --------------------------------------------------------------------------------------


def windows(
    planes: npt.NDArray[Any], units: npt.NDArray[np.int64], field: ReceptiveField, fill: float
) -> npt.NDArray[Any]:
    """Cut the receptive field of a unit out of each picture.

    Args:
        planes: (n, height, width, channels), pictures or gradients of any dtype.
        units: int64 (n, 2), (y, x) of each one's unit.
        field: Of the units' layer.
        fill: The value of what lies outside the picture.

    Returns:
        (n, field.size, field.size, channels), of the dtype of `planes`; the unit's centre lies in
        the middle.
    """
    corners = units * field.stride + field.start
    # Enough on every side for the outermost unit.
    margin = max(0, -int(corners.min()), int((corners + field.size).max()) - min(planes.shape[1:3]))
    edges = (margin, margin)
    padded = np.pad(planes, ((0, 0), edges, edges, (0, 0)), constant_values=fill)
    return np.stack(
        [
            plane[top : top + field.size, left : left + field.size]
            for plane, (top, left) in zip(padded, corners + margin, strict=True)
        ]
    )


def shade(gradients: Gradients) -> tuple[Pixels, int]:
    """Levels of one row of tiles: its lowest gradient is 0, its highest 255.

    One scale for a row and not for a tile: it shows which of the responses are strong, and the
    level of zero, the row's grey, is the same in all its tiles.

    Args:
        gradients: float32 (k, height, width, channels).

    Returns:
        uint8 of the same shape, and the level of zero; 128 where all gradients are zero.
    """
    low, high = min(0.0, float(gradients.min())), max(0.0, float(gradients.max()))
    if low == high:
        return np.full(gradients.shape, 128, np.uint8), 128
    scale = 255 / (high - low)
    levels = np.rint((gradients.astype(np.float64) - low) * scale).astype(np.uint8)
    return levels, round(-low * scale)


def likeness(tiles: Pixels, neutral: Pixels) -> npt.NDArray[np.float64]:
    """Mean cosine of all pairs of a filter's tiles: how alike the things are that excite it.

    Levels are counted from the row's grey. Made for both kinds of tiles, beside random filters:
    those of `tiles` share the structure of the filter itself, those of `crops` nothing but what is
    in the pictures.

    Args:
        tiles: uint8 (f, k, side, side, channels), k at least 2.
        neutral: uint8 (f,).

    Returns:
        float64 (f,), from about 0 to 1; a tile of grey alone is like none.
    """
    found = []
    for row, grey in zip(tiles, neutral, strict=True):
        # Counted from grey, so that a tile without a gradient points nowhere.
        levels = row.reshape(len(row), -1).astype(np.float64) - float(grey)
        lengths = np.linalg.norm(levels, axis=1, keepdims=True)
        directions = levels / np.where(lengths > 0, lengths, 1)
        cosines = directions @ directions.T
        found.append(cosines[~np.eye(len(row), dtype=bool)].mean())
    return np.array(found)
