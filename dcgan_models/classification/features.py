"""The features of a picture that sections 5.1 and 5.2 classify: what D's convolutions see in it.

The activations of every convolution, after batch norm and LeakyReLU, are max-pooled without
overlap to 4x4 places, flattened and put one layer after the other, as in the authors'
svhn_semisup_analysis.py. `imagenet32` has 128 + 128 + 256 + 256 + 512 + 512 channels of 16 places,
28,672 features; `svhn32` has (64 + 128 + 256) * 16 = 7,168. They are neither scaled nor centred.

Batch norm uses fixed statistics, which the authors took from the training pictures of the set
that is classified: call `networks.fix_statistics` with those first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the field's own name for it)

from dcgan_models.classification.feature_table import COLUMNS_SCHEMA, Features
from dcgan_models.data import PixelStore
from dcgan_models.errors import UserError
from dcgan_models.networks import Discriminator, picture_batches
from dcgan_models.pixels import Pixels
from dcgan_models.presets import Preset

# Every map is pooled to so many rows and columns of cells.
CELLS = 4
# So many columns are named in a message.
_NAMED = 5


@dataclass(frozen=True)
class FeatureLayer:
    """A convolution whose activations are features.

    Attributes:
        number: Row of D's layer table, from 1.
        channels: Its channels, of 16 features each.
        pool: Height and width of a pooling cell.
        start: Its first column.
    """

    number: int
    channels: int
    pool: tuple[int, int]
    start: int

    @property
    def stop(self) -> int:
        """The column after its last one."""
        return self.start + self.channels * CELLS * CELLS


def feature_layers(preset: Preset) -> list[FeatureLayer]:
    """The convolutions of a preset's D whose activations are features.

    All but an output unit: `torch64` makes a convolution of it.

    Raises:
        UserError: The preset is conditional, has no convolution, or one whose maps cannot be cut
            into 4x4 equal cells.
    """
    if preset.classes:
        raise UserError(f"preset {preset.name} is conditional: its features depend on labels")
    layers: list[FeatureLayer] = []
    shapes = preset.discriminator_shapes()[1:-1]
    for number, (layer, shape) in enumerate(zip(preset.discriminator[:-1], shapes, strict=True), 1):
        if layer.op != "conv":
            continue
        channels, height, width = shape
        if height % CELLS or width % CELLS:
            raise UserError(
                f"preset {preset.name}: discriminator layer {number} has maps of {height}x{width}; "
                f"features need sides that divide by {CELLS}"
            )
        start = layers[-1].stop if layers else 0
        layers.append(FeatureLayer(number, channels, (height // CELLS, width // CELLS), start))
    if not layers:
        raise UserError(f"preset {preset.name}: its discriminator has no convolution")
    return layers


def feature_count(preset: Preset) -> int:
    """How many features a picture has: 28,672 with `imagenet32`, 7,168 with `svhn32`."""
    return feature_layers(preset)[-1].stop


def feature_columns(preset: Preset) -> pa.Table:
    """Where each feature comes from: a row a column, with `COLUMNS_SCHEMA`.

    Within a layer the order is that in which numpy flattens (channels, 4, 4).
    """
    parts = []
    for layer in feature_layers(preset):
        channel, row, column = np.indices((layer.channels, CELLS, CELLS)).reshape(3, -1)
        numbers = np.arange(layer.start, layer.stop)
        parts.append(np.stack([numbers, np.full_like(numbers, layer.number), channel, row, column]))
    columns = np.concatenate(parts, axis=1).astype(np.int32)
    return pa.Table.from_arrays(list(map(pa.array, columns)), schema=COLUMNS_SCHEMA)


def feature_blocks(
    discriminator: Discriminator,
    pictures: Pixels | PixelStore,
    batch: int = 256,
    precision: torch.dtype = torch.float32,
) -> Iterator[Features]:
    """Compute the features of pictures, a batch at a time.

    A picture's features depend on no other picture. Beside D about two blocks are held.

    Args:
        discriminator: With statistics (`networks.fix_statistics`) of the set's training pictures.
        pictures: uint8 (n, height, width, channels), or a store, which is read batch by batch.
        batch: Pictures computed at once.
        precision: float32, or bfloat16 for D's convolutions.

    Returns:
        float16 (batch, `feature_count`) blocks in the order of the pictures; the last may have
        fewer rows.

    Raises:
        UserError: At once: as `feature_layers` raises it, D has no statistics, or the pictures do
            not fit it. Later: a feature is not finite in float16.

    Examples:
        >>> from dcgan_models.networks import untrained_discriminator
        >>> from dcgan_models.presets import preset
        >>> pictures = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
        >>> chosen = preset("svhn32").with_overrides(width=0.25, batch=10)
        >>> d = untrained_discriminator(chosen, pictures, seed=0)
        >>> next(feature_blocks(d, pictures)).shape
        (20, 1792)
    """
    layers = feature_layers(discriminator.preset)
    if not discriminator.has_statistics:
        raise UserError(
            "this discriminator has no statistics: fix them on the training pictures first"
        )
    inputs = picture_batches(discriminator, pictures, batch)
    discriminator.eval()
    blocks = (_features(discriminator, images, layers, precision) for images in inputs)
    return _finite(_on_host(blocks), discriminator.preset)


@torch.inference_mode()
def _features(
    discriminator: Discriminator,
    images: Tensor,
    layers: list[FeatureLayer],
    precision: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """One pass through D: float16 (batch, columns), and whether all of them are finite.

    No layer's maps live longer than until the next one has read them.
    """
    features = torch.empty(
        (len(images), layers[-1].stop), dtype=torch.float16, device=images.device
    )
    wanted = {layer.number: layer for layer in layers}
    x = images
    low = precision is torch.bfloat16
    with torch.autocast(images.device.type, torch.bfloat16, enabled=low):
        for number, block in enumerate(discriminator.blocks[: layers[-1].number], 1):
            x = block(x, None)
            if number in wanted:
                layer = wanted[number]
                cells = x if layer.pool == (1, 1) else F.max_pool2d(x, layer.pool)
                features[:, layer.start : layer.stop].view(cells.shape).copy_(cells)
    # The extremes carry any NaN, and are found ten times sooner than `isfinite` looks at all.
    return features, torch.stack(torch.aminmax(features)).isfinite().all()


def _on_host(blocks: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Bring blocks from the device; on a GPU one travels while the next one is computed."""
    waiting: _Transfer | None = None
    for block in blocks:
        following = _Transfer(block)
        if waiting is not None:
            yield waiting.finish()
        waiting = following
    if waiting is not None:
        yield waiting.finish()


class _Transfer:
    """A block on its way to the processor's memory; it is there already where it was made there."""

    def __init__(self, block: tuple[Tensor, Tensor]) -> None:
        self._host = block
        self._arrived: torch.cuda.Event | None = None
        device = block[0].device
        if device.type == "cuda":
            stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(stream):
                # Only pinned memory is written to while the processor goes on.
                pinned = [torch.empty_like(part, device="cpu", pin_memory=True) for part in block]
                for target, part in zip(pinned, block, strict=True):
                    target.copy_(part, non_blocking=True)
                    part.record_stream(stream)
                self._arrived = stream.record_event()
            self._host = pinned[0], pinned[1]
        else:
            self._host = block[0].cpu(), block[1].cpu()

    def finish(self) -> tuple[Tensor, Tensor]:
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._host


def _finite(blocks: Iterable[tuple[Tensor, Tensor]], preset: Preset) -> Iterator[Features]:
    """Hand blocks on as arrays; refuse the first feature that is not finite."""
    done = 0
    for block, finite in blocks:
        if not finite:
            row, column = (int(i) for i in (~block.isfinite()).nonzero()[0])
            raise UserError(
                f"picture {done + row}: its feature {column_place(preset, column)} is "
                f"{block[row, column].item()} in float16; this discriminator's weights or "
                "statistics are not sound"
            )
        yield block.numpy()
        done += len(block)


def column_place(preset: Preset, column: int) -> str:
    """A column in words: its number, layer and channel."""
    layer = next(layer for layer in feature_layers(preset) if column < layer.stop)
    channel = (column - layer.start) // CELLS**2
    return f"{column} (layer {layer.number}, channel {channel})"


# --- What the features are like ----------------------------------------------------------------


@dataclass(frozen=True)
class LayerSummary:
    """The features of one layer over all pictures.

    Attributes:
        layer: Row of D's layer table, from 1.
        channels: Its channels.
        mean, std: Of all its features; the standard deviation is over pictures and columns.
        positive: Share of features above zero.
        dead: Channels that are above zero at no place of any picture. Pooling keeps the largest
            activation, so this holds for the whole maps.
    """

    layer: int
    channels: int
    mean: float
    std: float
    positive: float
    dead: tuple[int, ...]


class FeatureSummary:
    """Statistics of every column, gathered block by block; a constant column is found here.

    Attributes:
        count: Pictures so far.
        low, high: float32 (columns,), the extremes.
        mean, var: float64 (columns,), over the pictures so far; the variance is the biased one.
        positive: float64 (columns,), how many were above zero.
    """

    def __init__(self, preset: Preset) -> None:
        self._preset = preset
        columns = feature_count(preset)
        self.count = 0
        self.low = torch.full((columns,), math.inf)
        self.high = torch.full((columns,), -math.inf)
        self.mean, self.var, self.positive = torch.zeros(3, columns, dtype=torch.float64)

    def add(self, block: Features) -> None:
        """Take in further pictures, float16 (n, columns)."""
        values = torch.from_numpy(block).float()
        n, total = len(values), self.count + len(values)
        self.low = torch.minimum(self.low, values.amin(dim=0))
        self.high = torch.maximum(self.high, values.amax(dim=0))
        self.positive += (values > 0).sum(dim=0)
        var, mean = (part.double() for part in torch.var_mean(values, dim=0, correction=0))
        # Two sets' variances and means combine without their members (Chan et al., 1979).
        apart = mean - self.mean
        self.mean += apart * (n / total)
        self.var = (
            self.var * self.count + var * n + apart.square() * self.count * n / total
        ) / total
        self.count = total

    def constant_columns(self) -> list[int]:
        """Columns that have one value in all pictures: no classifier learns from them."""
        return torch.nonzero(self.low == self.high).flatten().tolist()

    def check(self) -> None:
        """Raise `UserError` that names constant columns, if there are any."""
        constant = self.constant_columns()
        if constant:
            named = ", ".join(column_place(self._preset, column) for column in constant[:_NAMED])
            more = f" and {len(constant) - _NAMED:,} more" if len(constant) > _NAMED else ""
            raise UserError(
                f"features: {len(constant):,} of {len(self.low):,} columns are constant over "
                f"{self.count:,} pictures: {named}{more}; the pictures are all alike, or this "
                "discriminator is not sound"
            )

    def layers(self) -> list[LayerSummary]:
        """The statistics of each layer's features, in order."""
        return [self._layer(layer) for layer in feature_layers(self._preset)]

    def _layer(self, layer: FeatureLayer) -> LayerSummary:
        part = slice(layer.start, layer.stop)
        mean = self.mean[part]
        var = self.var[part].mean() + mean.var(correction=0)
        highest = self.high[part].reshape(layer.channels, -1).amax(dim=1)
        return LayerSummary(
            layer.number,
            layer.channels,
            mean.mean().item(),
            math.sqrt(var.item()),
            self.positive[part].mean().item() / max(self.count, 1),
            tuple(torch.nonzero(highest <= 0).flatten().tolist()),
        )
