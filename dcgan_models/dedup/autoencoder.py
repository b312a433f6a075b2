"""The paper's denoising autoencoder, whose 128 ReLU units are a picture's hash (section 3.1).

The paper gives the sizes (3072-128-3072), the kind ("de-noising dropout regularized RELU") and
the code (a unit is active or not). The rest is chosen here, by planted duplicates that are found
and by pictures that are wrongly taken for duplicates:

* Each picture loses its mean colour and its contrast, and is smoothed a little. On pixels in
  [0, 1] the code hardly depends on the picture: all of them would be duplicates. The mean of all
  channels together would leave the tint, which joins different pictures of one colour.
* What the training pictures have in common is taken away as well. Where all have one layout, as
  rooms and faces do, it outweighs the rest, and every unit learns to be silent at it: no picture
  would have a code (8,500 drawn rooms: 128 dead units, none without what they have in common).
* The noise is what near-duplicates show: Gaussian noise, dropped pixels, small shifts and scales.
* Gaussian noise at the code as well (Salakhutdinov and Hinton, Semantic Hashing, 2009) drives
  units away from their threshold, where the next re-encoding would turn a bit over.

A picture without contrast has the empty code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (the field's own name for it)

from dcgan_models.adam import Adam
from dcgan_models.dedup.codes import Codes
from dcgan_models.errors import UserError
from dcgan_models.fields import check_fields
from dcgan_models.files import parse_json
from dcgan_models.machine import choose_threads, threads_given_back
from dcgan_models.pixels import Pixels
from dcgan_models.weights import (
    in_bytes,
    read_metadata,
    read_weights,
    rounded,
    shapes_of,
    write_weights,
)

SIDE = 32
PICTURE = (SIDE, SIDE, 3)
INPUTS = SIDE * SIDE * 3
# Rows go through the network in blocks of one size, the last one filled up: what a library adds
# in which order may depend on the shape, and a picture's code must not depend on its neighbours.
_BLOCK = 1024
_LONGEST_CODE = 65_536
# Pictures that the mean is taken of: more change it by less than a thousandth of the contrast.
_AVERAGED = 4096


class Gatherable(Protocol):
    """Pictures that are copied out by row, such as `data.PixelStore`."""

    def __len__(self) -> int: ...

    def gather(self, rows: npt.ArrayLike) -> Pixels:
        """Pictures uint8 (len(rows), 32, 32, 3), in the order asked."""


Pictures = Pixels | Gatherable
"""uint8 (n, 32, 32, 3), in memory or mapped, or what gathers such."""


@dataclass(frozen=True)
class AutoencoderConfig:
    """How an autoencoder is built and trained.

    Attributes:
        code: Units of the code, a multiple of 8; the paper has 128.
        normalise: "picture" removes each picture's mean colour, contrast and finest detail;
            "none" divides pixels by 255, and is here to show how codes collapse.
        min_contrast: Standard deviation, in grey levels, below which a picture counts as blank.
        epochs: Passes over the pictures.
        max_updates: Ends training earlier, where a pass over millions is more than needed.
        batch: Pictures of an update.
        learning_rate: Of Adam at the start; falls to zero in a straight line.
        input_noise: Standard deviation of Gaussian noise on inputs, in units of the contrast.
        input_dropout: Share of input values set to zero.
        shift: Greatest shift of an input, in pixels of 32, each way.
        zoom: Greatest change of an input's scale.
        code_noise: Standard deviation of Gaussian noise before the ReLU.
        code_dropout: Share of the code's units set to zero.
        seed: Of initial weights, order and noise.
    """

    code: int = 128
    normalise: Literal["picture", "none"] = "picture"
    min_contrast: float = 2.0
    epochs: int = 10
    max_updates: int | None = None
    batch: int = 256
    learning_rate: float = 1e-3
    input_noise: float = 0.5
    input_dropout: float = 0.5
    shift: float = 1.0
    zoom: float = 0.03
    code_noise: float = 3.0
    code_dropout: float = 0.5
    seed: int = 0

    def check(self) -> None:
        """Raise `UserError`, naming the key, for a value that cannot be used."""
        rules = [
            (
                "code",
                8 <= self.code <= _LONGEST_CODE and self.code % 8 == 0,
                f"a positive multiple of 8 up to {_LONGEST_CODE}",
            ),
            ("normalise", self.normalise in ("picture", "none"), "picture or none"),
            ("min_contrast", self.min_contrast > 0, "above 0"),
            ("epochs", self.epochs >= 1, "at least 1"),
            ("max_updates", self.max_updates is None or self.max_updates >= 1, "at least 1"),
            ("batch", self.batch >= 1, "at least 1"),
            ("learning_rate", self.learning_rate > 0, "above 0"),
            ("input_noise", self.input_noise >= 0, "at least 0"),
            ("input_dropout", 0 <= self.input_dropout < 1, "at least 0 and below 1"),
            ("shift", 0 <= self.shift <= SIDE / 2, f"0 to {SIDE // 2}"),
            ("zoom", 0 <= self.zoom < 1, "at least 0 and below 1"),
            ("code_noise", self.code_noise >= 0, "at least 0"),
            ("code_dropout", 0 <= self.code_dropout < 1, "at least 0 and below 1"),
        ]
        for name, holds, allowed in rules:
            if not holds:
                raise UserError(f"autoencoder: {name} is {getattr(self, name)!r}, not {allowed}")


@dataclass(frozen=True)
class Epoch:
    """What `train_autoencoder` reports: passes and updates done, mean squared error of the pass."""

    number: int
    updates: int
    loss: float


class Autoencoder(nn.Module):
    """3072-128-3072: a ReLU code between two linear maps.

    The encoder has no bias of its own: a picture's code does not depend on its contrast at all. The
    way back, half of all weights, is there while it is trained and not kept: codes do not need it.

    Attributes:
        config: How it was built.
        mean: float32 (3072,), the mean of the training pictures, each scaled for the network.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        config.check()
        self.config = config
        self.encoder = nn.Linear(INPUTS, config.code, bias=False)
        self.mean: Tensor
        self.register_buffer("mean", torch.zeros(INPUTS))

    def normalise(self, pixels: Tensor) -> Tensor:
        """Scale pictures for the network: uint8 (n, 32, 32, 3) to float32 (n, 3072)."""
        x = pixels.float()
        if self.config.normalise == "none":
            return x.flatten(1) / 255
        x = x - x.mean(dim=(1, 2), keepdim=True)
        contrast = x.flatten(1).square().mean(dim=1, keepdim=True).sqrt()
        return smooth(x).flatten(1) / contrast.clamp(min=self.config.min_contrast) - self.mean

    def forward(self, pixels: Tensor) -> Tensor:
        """Activations of the code, float32 (n, code), of pictures uint8 (n, 32, 32, 3).

        The same as `relu(encoder(normalise(pixels)))`, but zero for blank pictures; smoothing
        and means are moved into the weights, which leaves one product.
        """
        return self._activate(pixels, *self._folded())

    def _activate(self, pixels: Tensor, folded: Tensor, common: Tensor) -> Tensor:
        x = pixels.float().flatten(1)
        product = F.linear(x, folded)
        code, sums = product[:, :-3], product[:, -3:]
        if self.config.normalise == "none":
            return F.relu(code)
        squares = torch.linalg.vector_norm(x, dim=1, keepdim=True).square()
        variance = (squares - 3 / INPUTS * sums.square().sum(dim=1, keepdim=True)) / INPUTS
        contrast = variance.clamp(min=0).sqrt()
        visible = contrast >= self.config.min_contrast
        code = code / contrast.clamp(min=self.config.min_contrast) - common
        activations: Tensor = F.relu(code) * visible
        return activations

    def _folded(self) -> tuple[Tensor, Tensor]:
        """Weights for plain pixels, and what the units make of the training pictures' mean.

        The weights are (code + 3, 3072), the last three rows summing the channels; the other is
        (code,). Smoothing and taking a picture's mean away are symmetric matrices: what they do to
        pictures they can do to weights instead.
        """
        weight = self.encoder.weight.view(-1, *PICTURE)
        if self.config.normalise == "none":
            weight = weight / 255
        else:
            weight = smooth(weight - weight.mean(dim=(1, 2), keepdim=True))
        sums = torch.eye(3, device=weight.device).repeat(1, SIDE * SIDE)
        return torch.cat([weight.flatten(1), sums]), self.encoder(self.mean)

    def encode(self, pixels: Pictures, *, batch: int = 8192) -> npt.NDArray[np.float32]:
        """Activations of many pictures.

        Args:
            pixels: uint8 (n, 32, 32, 3), an array, a memory map, or gatherable.
            batch: Pictures read at once.

        Returns:
            float32 (n, code), at least 0.

        Raises:
            UserError: The pictures are of another shape or type.
        """
        parts = [part.numpy() for part in self._activations(pixels, batch)]
        return np.concatenate([np.empty((0, self.config.code), np.float32), *parts])

    def codes(self, pixels: Pictures, *, batch: int = 8192) -> Codes:
        """Packed codes, uint8 (n, code / 8): a bit is set where the unit is active.

        Arguments and errors are those of `encode`.
        """
        parts = [np.packbits(part.numpy() > 0, axis=1) for part in self._activations(pixels, batch)]
        return np.concatenate([np.empty((0, self.config.code // 8), np.uint8), *parts])

    def _activations(self, pixels: Pictures, batch: int) -> Iterator[Tensor]:
        """Activations in blocks, on the CPU."""
        device = self.encoder.weight.device
        space = torch.zeros(_BLOCK, *PICTURE, dtype=torch.uint8)
        with torch.inference_mode():
            folded = self._folded()
        for low in range(0, len(pixels), batch):
            read = take(pixels, np.arange(low, min(low + batch, len(pixels))))
            for first in range(0, len(read), _BLOCK):
                part = torch.from_numpy(read[first : first + _BLOCK])
                space[: len(part)] = part
                with torch.inference_mode():
                    yield self._activate(space.to(device), *folded)[: len(part)].cpu()


def smooth(x: Tensor) -> Tensor:
    """Average pictures (n, height, width, channels) with weights 1 4 6 4 1 along both sides.

    What is finer than that at 32x32 does not survive a shift by part of a pixel. The weights are
    1 2 1 twice; at the edges the outermost pixel is repeated.
    """
    for side in (1, 2, 1, 2):
        size = x.shape[side]
        sums = 2 * x
        # What lies before each pixel, then what lies after it, into the same memory.
        for own, other, edge in ((1, 0, 0), (0, 1, size - 1)):
            sums.narrow(side, own, size - 1).add_(x.narrow(side, other, size - 1))
            sums.narrow(side, edge, 1).add_(x.narrow(side, edge, 1))
        x = sums.div_(4)
    return x


def take(pixels: Pictures, rows: npt.NDArray[np.int64]) -> Pixels:
    """Copy pictures out, uint8 (len(rows), 32, 32, 3); raise `UserError` for any other kind."""
    taken = pixels[rows] if isinstance(pixels, np.ndarray) else pixels.gather(rows)
    if taken.dtype != np.uint8 or taken.shape[1:] != PICTURE:
        raise UserError(
            f"autoencoder: pictures are {taken.dtype} {taken.shape[1:]}, uint8 {PICTURE} are needed"
        )
    return taken


@threads_given_back()
def train_autoencoder(
    pixels: Pictures,
    config: AutoencoderConfig | None = None,
    *,
    device: str | torch.device = "cpu",
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Autoencoder:
    """Train an autoencoder to restore pictures from disturbed ones, by the mean squared error.

    Only one minibatch is in memory at a time. The same seed gives the same weights on one CPU
    with the same number of threads.

    Args:
        pixels: uint8 (n, 32, 32, 3), an array, a memory map, or gatherable.
        config: `AutoencoderConfig()` by default.
        device: Where to train.
        on_epoch: Told after each pass over the pictures, and at the end of a shorter last one.
        should_stop: Asked before each update; training ends early where it says so.

    Returns:
        The autoencoder, on `device`.

    Raises:
        UserError: A setting or the pictures cannot be used, or the loss is no longer finite.

    Examples:
        >>> pictures = np.random.default_rng(0).integers(0, 256, (200, 32, 32, 3), dtype=np.uint8)
        >>> autoencoder = train_autoencoder(pictures, AutoencoderConfig(epochs=1))
        >>> autoencoder.codes(pictures).shape  # 128 bits of each
        (200, 16)
    """
    config = config or AutoencoderConfig()
    config.check()
    if not len(pixels):
        raise UserError("autoencoder: there are no pictures to train on")
    model, decoder = _initial(config)
    if config.normalise == "picture":
        model.mean.copy_(_mean(model, pixels))
    if torch.device(device).type == "cpu":
        choose_threads()
    model, decoder = model.to(device), decoder.to(device)
    # Built after the move: Adam keeps its state beside the parameters.
    weights = [*model.parameters(), *decoder.parameters()]
    optimiser = Adam(weights, config.learning_rate)
    noise = torch.Generator(device).manual_seed(config.seed)
    # The learning rate falls to zero over these: the passes asked for, or `max_updates`.
    batches = -(-len(pixels) // config.batch)
    planned = min(config.epochs * batches, config.max_updates or config.epochs * batches)
    losses: list[Tensor] = []
    for update, rows in enumerate(_minibatches(len(pixels), config, planned)):
        if should_stop():
            break
        optimiser.learning_rate = config.learning_rate * (1 - update / planned)
        shown = torch.from_numpy(take(pixels, rows)).to(device)
        loss = _loss(model, decoder, shown, noise)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        # Looked at once a pass: reading it at every step would make the device wait.
        losses.append(loss.detach())
        if (update + 1) % batches == 0 or update + 1 == planned:
            mean = float(torch.stack(losses).mean())
            if not np.isfinite(mean):
                raise UserError("autoencoder: the loss is no longer finite; lower learning_rate")
            on_epoch(Epoch(update // batches + 1, update + 1, mean))
            losses.clear()
    # As it will be read again: what it sees is the same from the first time on.
    return rounded(model).eval()


def _mean(model: Autoencoder, pixels: Pictures) -> Tensor:
    """The mean of pictures, spread over all of them, as the network is shown them: (3072,)."""
    rows = np.linspace(0, len(pixels) - 1, min(len(pixels), _AVERAGED)).astype(np.int64)
    total = torch.zeros(INPUTS)
    for low in range(0, len(rows), model.config.batch):
        some = take(pixels, rows[low : low + model.config.batch])
        total += model.normalise(torch.from_numpy(some)).sum(dim=0)
    return total / len(rows)


def _initial(config: AutoencoderConfig) -> tuple[Autoencoder, nn.Linear]:
    """There and back; weights as torch draws them, from the seed, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return Autoencoder(config), nn.Linear(config.code, INPUTS)


def _minibatches(
    n: int, config: AutoencoderConfig, planned: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Rows of each update; every pass goes over all pictures in a fresh order."""
    random = np.random.default_rng(config.seed)
    done = 0
    while True:
        order = random.permutation(n)
        for low in range(0, n, config.batch):
            if done == planned:
                return
            yield order[low : low + config.batch]
            done += 1


def _loss(model: Autoencoder, decoder: nn.Linear, pixels: Tensor, noise: torch.Generator) -> Tensor:
    """Mean squared error of pictures restored from disturbed ones."""
    config = model.config
    clean = model.normalise(pixels)
    x = _move(clean, config, noise)
    x = _drop(x + config.input_noise * _normal(x, noise), config.input_dropout, noise)
    code = model.encoder(x)
    code = F.relu(code + config.code_noise * _normal(code, noise))
    return F.mse_loss(decoder(_drop(code, config.code_dropout, noise)), clean)


def _normal(like: Tensor, noise: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=noise, device=like.device)


def _drop(x: Tensor, share: float, noise: torch.Generator) -> Tensor:
    """Dropout: a share of the values becomes zero, the others grow to keep the mean."""
    kept = torch.rand(x.shape, generator=noise, device=x.device) >= share
    return (x * kept).div_(1 - share)


def _move(flat: Tensor, config: AutoencoderConfig, noise: torch.Generator) -> Tensor:
    """Shift and scale each picture of (n, 3072) a little; the border is reflected."""
    n, device = len(flat), flat.device
    scale = 1 + config.zoom * (2 * torch.rand(n, generator=noise, device=device) - 1)
    offset = 2 * torch.rand(n, 2, generator=noise, device=device) - 1
    place = torch.zeros(n, 2, 3, device=device)
    place[:, 0, 0] = place[:, 1, 1] = scale
    place[:, :, 2] = offset * config.shift * 2 / SIDE  # the side is 2 long in these coordinates
    pictures = flat.view(n, *PICTURE).permute(0, 3, 1, 2)
    grid = F.affine_grid(place, list(pictures.shape), align_corners=False)
    moved = F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)
    return moved.permute(0, 2, 3, 1).flatten(1)


def save_autoencoder(model: Autoencoder, path: Path) -> None:
    """Write the encoder, a byte a weight, the config in the file's header, atomically."""
    write_weights(
        path, in_bytes(model.state_dict()), {"autoencoder": json.dumps(asdict(model.config))}
    )


def load_autoencoder(path: str | Path) -> Autoencoder:
    """Read what `save_autoencoder` wrote.

    Raises:
        UserError: The file is missing, cut short, of another network, or a tensor is foreign,
            missing, of another shape or not finite.
    """
    config = _read_config(read_metadata(path), path)
    state = read_weights(path, shapes_of(lambda: Autoencoder(config)), "an autoencoder")
    model = Autoencoder(config)
    model.load_state_dict(state)
    return model.eval()


def _read_config(header: dict[str, str], path: str | Path) -> AutoencoderConfig:
    try:
        content = parse_json(header["autoencoder"])
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: not an autoencoder ({error})") from None
    check_fields(AutoencoderConfig, content, f"{path}: autoencoder")
    for field in fields(AutoencoderConfig):
        if field.name not in content:
            raise UserError(f"{path}: autoencoder: `{field.name}` is missing")
    config = AutoencoderConfig(**content)
    try:
        config.check()
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return config
