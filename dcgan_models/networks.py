"""Generator and discriminator, built from a preset's layer tables (sections 3 and 4 of the paper).

Batch norm here is the authors': the biased variance of the minibatch, no running averages. In
`train()` mode it uses the minibatch's own statistics; in `eval()` mode fixed ones, estimated once
by `estimate_statistics`, so that a picture depends on its z alone and not on its neighbours.

A network on disk is a folder: `network.json` (role and preset) and `weights.safetensors`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (the field's own name for it)

from dcgan_models.arguments import are_classes, label_rows, latent_rows, whole_number
from dcgan_models.arrays import map_array
from dcgan_models.data import PixelStore
from dcgan_models.errors import UserError
from dcgan_models.files import read_json, write_json
from dcgan_models.grids import png, tile
from dcgan_models.machine import Device, choose_device, memory_named
from dcgan_models.pixels import Pixels
from dcgan_models.presets import Layer, Preset
from dcgan_models.shared_norm import Average, shared_batch_norm
from dcgan_models.weights import (
    Shapes,
    in_bytes,
    in_half,
    read_weights,
    shapes_of,
    write_weights,
)

WEIGHTS_FILE = "weights.safetensors"
NETWORK_FILE = "network.json"
_GRID_COLUMNS = 10
_GRID_PICTURES = 100
_STATISTICS = (".norm.mean", ".norm.var")
_LARGEST_DESCRIPTION = 2**20  # bytes; the longest of ours has some 6,000
_MOST_FIXED = 65_536  # latents beside a generator; ours have some hundred
_DEALING_SEED = 0  # of the order in which `fix_statistics` takes pictures


class BatchNorm(nn.Module):
    """Batch normalisation over the batch (and the picture's plane), section 3.

    In `train()` mode it normalises by the minibatch's mean and biased variance, in `eval()` mode
    by `mean` and `var`, which are NaN until `estimate_statistics` has filled them.

    Attributes:
        average: Of tensors, over the processes that share a minibatch; None where this process
            has all of it.
    """

    mean: Tensor
    var: Tensor
    average: Average | None = None

    def __init__(self, features: int, *, affine: bool, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(features)) if affine else None
        self.register_buffer("mean", torch.full((features,), torch.nan))
        self.register_buffer("var", torch.full((features,), torch.nan))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (n, features) or (n, features, height, width)."""
        if not self.training:
            return F.batch_norm(
                x, self.mean, self.var, self.weight, self.bias, False, 0.0, self.eps
            )
        if self.average is None:
            # On the processor, torch keeps the statistics of bfloat16 without a scale in bfloat16.
            rough = self.weight is None and x.dtype is torch.bfloat16 and x.device.type == "cpu"
            wide = x.float() if rough else x
            normal = F.batch_norm(wide, None, None, self.weight, self.bias, True, 0.0, self.eps)
            return normal.to(x.dtype)
        return shared_batch_norm(x, self.weight, self.bias, self.eps, self.average)


class Block(nn.Module):
    """One row of a layer table: weight, batch norm, activation, reshape."""

    def __init__(self, layer: Layer, inputs: int, preset: Preset) -> None:
        super().__init__()
        self.layer = layer
        self.leak = preset.leak
        self.weight = _weight(layer, inputs, bias=preset.biased and not layer.norm)
        self.norm = (
            BatchNorm(layer.out, affine=preset.affine, eps=preset.norm_eps) if layer.norm else None
        )

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Apply the row to (n, ...) inputs; `condition` is (n, classes), one-hot."""
        if self.layer.op == "pool":
            kernel, stride = self.layer.kernel, self.layer.stride
            return F.avg_pool2d(x, kernel, stride) if kernel else x.mean(dim=(2, 3))
        x = _activate(self.preactivation(x, condition), self.layer.act, self.leak)
        return x if self.layer.reshape is None else x.reshape(-1, *self.layer.reshape)

    def preactivation(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """The row up to its activation: weight and batch norm, not reshaped; not for `pool`."""
        if self.layer.op == "dense":
            x = x.flatten(1)
        elif x.ndim == 2:
            x = x[:, :, None, None]
        if condition is not None:
            x = concatenate_condition(x, condition)
        x = self.weight(x)
        return x if self.norm is None else self.norm(x)


def _weight(layer: Layer, inputs: int, *, bias: bool) -> nn.Module:
    """The row's linear map."""
    if layer.op == "pool":
        return nn.Identity()
    if layer.op == "dense":
        return nn.Linear(inputs, layer.out, bias=bias)
    place = {"kernel_size": layer.kernel, "stride": layer.stride, "padding": layer.padding}
    if layer.op == "conv":
        return nn.Conv2d(inputs, layer.out, bias=bias, **place)  # type: ignore[arg-type]
    return nn.ConvTranspose2d(
        inputs,
        layer.out,
        bias=bias,
        output_padding=layer.output_padding,
        **place,  # type: ignore[arg-type]
    )


def _activate(x: Tensor, act: str, leak: float) -> Tensor:
    # In place: what a weight or a batch norm has just made, nobody else reads.
    match act:
        case "relu":
            return F.relu(x, inplace=True)
        case "lrelu":
            return F.leaky_relu(x, leak, inplace=True)
        case "tanh":
            return torch.tanh(x)
        case "sigmoid":
            return torch.sigmoid(x)
        case _:
            return x


def concatenate_condition(x: Tensor, condition: Tensor) -> Tensor:
    """Append a one-hot label to a vector, or as constant planes to a stack of maps.

    Args:
        x: (n, features) or (n, channels, height, width).
        condition: (n, classes), one-hot.
    """
    if x.ndim == 4:
        condition = condition[:, :, None, None].expand(-1, -1, *x.shape[2:])
    return torch.cat([x, condition.to(x.dtype)], dim=1)


class Network(nn.Module):
    """What G and D share: a stack of blocks, each seeing the label where there is one."""

    role: Literal["generator", "discriminator"]

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        preset.check()
        self.preset = preset
        shapes = getattr(preset, f"{self.role}_shapes")()
        self.blocks = nn.ModuleList()
        for layer, shape in zip(getattr(preset, self.role), shapes, strict=False):
            inputs = int(np.prod(shape)) if layer.op == "dense" else shape[0]
            self.blocks.append(Block(layer, inputs + preset.classes, preset))

    def run(self, x: Tensor, labels: Tensor | None, rows: slice = slice(None)) -> Tensor:
        """Apply some rows of the layer table, so that what lies between two can be changed.

        Args:
            x: What the first of the rows takes.
            labels: (n,) int64, for a conditional preset.
            rows: Of the table, from 0; `slice(2)` and then `slice(2, None)` are the whole network.
        """
        condition = None
        if self.preset.classes:
            if labels is None:
                raise ValueError(f"{self.preset.name} is conditional: labels are needed")
            condition = F.one_hot(labels, self.preset.classes).to(x.dtype)
        for block in list(self.blocks)[rows]:
            x = block(x, condition)
        return x

    def norms(self) -> Iterator[tuple[str, BatchNorm]]:
        """Every batch norm layer with its name, in order."""
        for name, module in self.named_modules():
            if isinstance(module, BatchNorm):
                yield name, module

    def extra_repr(self) -> str:
        """What `repr` says before the blocks: preset, picture, size, statistics."""
        picture = "x".join(map(str, self.preset.image))
        size = sum(parameter.numel() for parameter in self.parameters())
        fixed = "fixed" if self.has_statistics else "of each minibatch"
        return f"{self.preset.name}, pictures {picture}, {size:,} parameters, statistics {fixed}"

    @property
    def has_statistics(self) -> bool:
        """Whether `eval()` mode can be used: every batch norm has fixed statistics."""
        return all(bool(norm.var.isfinite().all()) for _, norm in self.norms())


class Generator(Network):
    """G: from a latent z to a picture (Figure 1).

    Attributes:
        fixed_z: (n, z_dim) float32 latents that go with the weights, and `fixed_labels`, their
            int64 labels where the preset is conditional; None for a network built in memory.
    """

    role = "generator"

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset)
        self.fixed_z: Tensor | None = None
        self.fixed_labels: Tensor | None = None

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Draw pictures.

        Args:
            z: (n, z_dim) latents.
            labels: (n,) int64, for a conditional preset.

        Returns:
            (n, channels, height, width) in [-1, 1], or [0, 1] where the preset ends in a sigmoid.
        """
        return self.run(z, labels)

    def sample(
        self, n: int, seed: int, labels: npt.ArrayLike | None = None, *, batch: int = 256
    ) -> npt.NDArray[np.uint8]:
        """Draw `n` pictures, the same ones for the same seed.

        The batch moves a value by a grey level at most: libraries add in another order.

        Args:
            n: How many, from 0.
            seed: Of the latents, from 0 to 2^63 - 1.
            labels: (n,) integers for a conditional preset; by default they go round the classes.
            batch: Pictures computed at once.

        Returns:
            uint8 (n, height, width, channels).

        Raises:
            UserError: A number is no whole one or too small, the labels do not fit, or the
                network carries no sampling statistics.

        Examples:
            >>> generator = load_generator("run/result/generator")
            >>> sevens = generator.sample(2, seed=0, labels=[7, 7])
            >>> sevens.shape, sevens.dtype
            ((2, 28, 28, 1), dtype('uint8'))
        """
        n, seed = whole_number(n, "n"), whole_number(seed, "seed")
        if labels is None and self.preset.classes:
            labels = torch.arange(n) % self.preset.classes
        z = draw_latents(self.preset, n, torch.Generator().manual_seed(seed))
        return self.draw(z, labels, batch=batch)

    @torch.inference_mode()
    def draw(
        self,
        z: npt.ArrayLike | Tensor,
        labels: npt.ArrayLike | Tensor | None = None,
        *,
        batch: int = 256,
    ) -> npt.NDArray[np.uint8]:
        """Draw pictures of given latents, in `eval()` mode.

        Args:
            z: Numbers (n, z_dim), finite: a tensor on any device, an array, or lists; n may be 0.
            labels: (n,) integers, for a conditional preset.
            batch: Pictures computed at once.

        Returns:
            uint8 (n, height, width, channels).

        Raises:
            UserError: The latents or labels do not fit the preset, the batch is no whole number
                from 1, or the network carries no sampling statistics.
        """
        if not self.has_statistics:
            raise UserError("this generator has no sampling statistics: it cannot draw single z")
        size = whole_number(batch, "batch", at_least=1)
        z = latent_rows(z, self.preset)
        labels = label_rows(labels, len(z), self.preset)
        self.eval()
        weight = next(self.parameters())
        channels, height, width = self.preset.image
        none = torch.empty((0, height, width, channels), dtype=torch.uint8, device=weight.device)
        pictures = [none]
        for part, classes in _pairs(z, labels, size):
            named = None if classes is None else classes.to(weight.device)
            drawn = self(part.to(weight.device, weight.dtype), named)
            pictures.append(to_pixels(drawn, self.preset))
        return torch.cat(pictures).cpu().numpy()

    def fixed_grid(self) -> Pixels:
        """The first fixed latents as one picture, uint8 (height, width, channels), ten a row.

        Raises:
            UserError: The network carries no fixed latents, or no sampling statistics.
        """
        if self.fixed_z is None:
            raise UserError("this generator has no fixed latents: it was built in memory")
        first, labels = slice(_GRID_PICTURES), self.fixed_labels
        pictures = self.draw(self.fixed_z[first], None if labels is None else labels[first])
        return tile(pictures, _GRID_COLUMNS)

    def _repr_png_(self) -> bytes | None:
        """How a notebook shows it: its fixed latents; None, and so `repr`, where it has none."""
        if self.fixed_z is None or not self.has_statistics:
            return None
        training = self.training
        try:
            return png(self.fixed_grid())
        finally:
            self.train(training)


class Discriminator(Network):
    """D: from a picture to one logit, positive for "real"."""

    role = "discriminator"

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Judge pictures (n, channels, height, width), scaled as G draws: logits (n,)."""
        return self.run(images, labels).flatten()


def _pairs(z: Tensor, labels: Tensor | None, batch: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    for first in range(0, len(z), batch):
        part = slice(first, first + batch)
        yield z[part], None if labels is None else labels[part]


# --- Latents, pixels, initial weights -------------------------------------------------------


def draw_latents(preset: Preset, n: int, rng: torch.Generator) -> Tensor:
    """(n, z_dim) float32 latents on the generator's device, from the preset's distribution."""
    size = (n, preset.z_dim)
    if preset.z_distribution == "normal":
        return torch.randn(size, generator=rng, device=rng.device)
    return torch.rand(size, generator=rng, device=rng.device) * 2 - 1


def to_pixels(images: Tensor, preset: Preset) -> Tensor:
    """From G's scale, (n, c, h, w), to uint8 (n, h, w, c)."""
    scaled = (images + 1) * 127.5 if preset.signed else images * 255
    return scaled.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def from_pixels(pixels: Tensor, preset: Preset) -> Tensor:
    """From uint8 (n, h, w, c) to G's scale, float32 (n, c, h, w)."""
    images = pixels.permute(0, 3, 1, 2).float()
    return images / 127.5 - 1 if preset.signed else images / 255


@torch.no_grad()
def initialise(network: Network, rng: torch.Generator) -> None:
    """Draw weights and batch norm's scales, of mean 0 and 1; shifts and biases begin at 0."""
    std = network.preset.init_std
    for module in network.modules():
        if isinstance(module, BatchNorm):
            if module.weight is not None and module.bias is not None:
                module.weight.normal_(1.0, std, generator=rng)
                module.bias.zero_()
        elif isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            module.weight.normal_(0.0, std, generator=rng)
            if module.bias is not None:
                module.bias.zero_()


# --- Fixed statistics -----------------------------------------------------------------------


@torch.no_grad()
def estimate_statistics(
    network: Network, minibatches: Iterable[tuple[Tensor, Tensor | None]]
) -> None:
    """Fix every batch norm's statistics: the plain average over minibatches of their own.

    This is the authors' inference mode (svhn_semisup_analysis.py): all layers use the
    minibatch's statistics while the averages are taken, and the averages are plugged in after.

    Args:
        network: Left in `eval()` mode.
        minibatches: Inputs and labels, as the network's `forward` takes them.
    """
    sums: dict[BatchNorm, list[Tensor]] = {}

    def accumulate(norm: nn.Module, inputs: tuple[Any, ...]) -> None:
        assert isinstance(norm, BatchNorm)  # noqa: S101  (narrows the hook's type)
        x = inputs[0].double()
        axes = [axis for axis in range(x.ndim) if axis != 1]
        var, mean = torch.var_mean(x, dim=axes, correction=0)
        seen = sums.setdefault(norm, [torch.zeros_like(mean), torch.zeros_like(var)])
        seen[0] += mean
        seen[1] += var

    # Before each layer, in the mode in which its inputs come of the minibatch's own statistics.
    handles = [norm.register_forward_pre_hook(accumulate) for _, norm in network.norms()]
    count = 0
    network.train()
    try:
        for inputs, labels in minibatches:
            network(inputs, labels)
            count += 1
    finally:
        for handle in handles:
            handle.remove()
    # The mean of the minibatches' variances, as the authors took it, not the variance of all.
    for norm, (mean, var) in sums.items():
        norm.mean.copy_(mean / count)
        norm.var.copy_(var / count)
    network.eval()


def estimate_sampling_statistics(generator: Generator, seed: int, minibatches: int = 100) -> None:
    """Fix G's statistics over `minibatches` batches of fresh latents (and uniform labels)."""
    preset, device = generator.preset, next(generator.parameters()).device
    rng = torch.Generator().manual_seed(seed)

    def draw() -> Iterator[tuple[Tensor, Tensor | None]]:
        for _ in range(minibatches):
            z = draw_latents(preset, preset.batch, rng)
            labels = None
            if preset.classes:
                labels = torch.randint(preset.classes, (preset.batch,), generator=rng).to(device)
            yield z.to(device), labels

    estimate_statistics(generator, draw())


def fix_statistics(
    discriminator: Discriminator, pictures: Pixels | PixelStore, *, batch: int = 128
) -> None:
    """Fix D's batch norm statistics on real pictures; D is left in `eval()` mode.

    As the authors did for their SVHN features: the plain average over minibatches of 128. A last
    minibatch that is not full would count as much as the others and is left out.

    The pictures are dealt into minibatches at random, always in the same way: files often come
    class by class, and within a class the variance is smaller than over all.

    Args:
        discriminator: Of an unconditional preset.
        pictures: uint8 (n, height, width, channels), or a store, of which a minibatch is read at
            a time; some thousand are enough.
        batch: Pictures of a minibatch.

    Raises:
        UserError: There are no pictures, they do not fit D, or D is conditional.
    """
    count, *_ = _kind_of(pictures)
    whole = max(count - count % batch, min(count, batch))
    dealt = np.random.default_rng(_DEALING_SEED).permutation(count)[:whole]
    inputs = picture_batches(discriminator, pictures, batch, rows=dealt)
    estimate_statistics(discriminator, ((images, None) for images in inputs))


def untrained_generator(preset: Preset, seed: int, device: Device = "cpu") -> Generator:
    """G as it is before training, with sampling statistics: what a judge may take for something."""
    generator = Generator(preset)
    initialise(generator, torch.Generator().manual_seed(seed))
    generator = on_device(generator, device)
    estimate_sampling_statistics(generator, seed, minibatches=4)
    return generator


def untrained_discriminator(
    preset: Preset, pictures: Pixels | PixelStore, seed: int, device: torch.device | str = "cpu"
) -> Discriminator:
    """D as it is before training, its statistics those of `pictures`: what learning is held to.

    The baseline of Figure 5 (random filters), and the control of Table 1.
    """
    discriminator = Discriminator(preset)
    initialise(discriminator, torch.Generator().manual_seed(seed))
    fix_statistics(discriminator.to(device), pictures)
    return discriminator


def picture_batches(
    discriminator: Discriminator,
    pictures: Pixels | PixelStore,
    batch: int,
    *,
    rows: npt.NDArray[np.int64] | None = None,
) -> Iterator[Tensor]:
    """Check pictures, and hand them out as an unconditional D takes them.

    Args:
        discriminator: Of an unconditional preset.
        pictures: uint8 (n, height, width, channels), or a store, read batch by batch.
        batch: Pictures at once; the last batch may have fewer.
        rows: Which of the pictures, in which order; all of them, in theirs, by default.

    Returns:
        float32 (batch, channels, height, width) on D's device.

    Raises:
        UserError: At once: there are no pictures, they do not fit D, or D is conditional.
    """
    preset, device = discriminator.preset, next(discriminator.parameters()).device
    if preset.classes:
        raise UserError(f"preset {preset.name} is conditional: its discriminator needs labels")
    channels, height, width = preset.image
    found = _kind_of(pictures)
    if found[1:] != ("uint8", (height, width, channels)) or len(pictures) == 0:
        raise UserError(
            f"pictures are {found[1]} {(found[0], *found[2])}; preset {preset.name} needs uint8 "
            f"(n, {height}, {width}, {channels}), n at least 1"
        )
    chosen = np.arange(len(pictures)) if rows is None else rows
    return (
        from_pixels(
            torch.from_numpy(_take(pictures, chosen[first : first + batch])).to(device), preset
        )
        for first in range(0, len(chosen), batch)
    )


def _kind_of(pictures: Pixels | PixelStore) -> tuple[int, str, tuple[int, ...]]:
    """How many pictures, of which dtype and of which shape."""
    if isinstance(pictures, np.ndarray):
        return len(pictures), str(pictures.dtype), pictures.shape[1:]
    if isinstance(pictures, PixelStore):
        return len(pictures), "uint8", pictures.shape
    raise UserError(f"pictures: {type(pictures).__name__}; an array or a PixelStore is needed")


def _take(pictures: Pixels | PixelStore, rows: npt.NDArray[np.int64]) -> Pixels:
    """Copy pictures out: uint8 (len(rows), height, width, channels)."""
    return pictures[rows] if isinstance(pictures, np.ndarray) else pictures.gather(rows)


# --- On disk --------------------------------------------------------------------------------

_N = TypeVar("_N", Generator, Discriminator)
_M = TypeVar("_M", bound=nn.Module)


def network_state(network: Network) -> dict[str, Tensor]:
    """Weights and, where they were estimated, statistics: CPU tensors by name."""
    return {
        name: tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in network.state_dict().items()
        if not (name.endswith(_STATISTICS) and bool(tensor.isnan().any()))
    }


def save_network(network: Network, folder: Path) -> None:
    """Write `network.json` and `weights.safetensors` (and G's `fixed_z.npy`) into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(
        folder / NETWORK_FILE,
        {"format": 1, "role": network.role, "preset": network.preset.to_dict()},
    )
    # What draws may change pictures by one grey level and no more; D only looks.
    shorten = in_half if isinstance(network, Generator) else in_bytes
    write_weights(folder / WEIGHTS_FILE, shorten(network_state(network)), {"role": network.role})
    if isinstance(network, Generator) and network.fixed_z is not None:
        z = network.fixed_z.cpu()
        exact = torch.equal(z.half().float(), z)
        np.save(folder / "fixed_z.npy", (z.half() if exact else z).numpy())
        if network.fixed_labels is not None:
            np.save(folder / "fixed_y.npy", network.fixed_labels.cpu().numpy())


def save_snapshot(generator: Generator, path: Path) -> None:
    """Write G as it is on the way, as one safetensors file, atomically: a byte a weight.

    It shows how a training went. Of the sample profile's rooms and faces, pictures change by 0.22
    grey levels in the mean and by 5 at most.
    """
    write_weights(path, in_bytes(network_state(generator)), {"role": generator.role})


def load_generator(
    folder: str | Path, *, weights: str = WEIGHTS_FILE, device: Device = "cpu"
) -> Generator:
    """Open a published generator.

    Args:
        folder: Holds `network.json`, the weights and `fixed_z.npy`.
        weights: Another file of the folder, such as `snapshots/epoch_0001.safetensors`.
        device: Where it draws; `auto` takes a GPU where there is one. Its `fixed_z` stay on the
            processor.

    Raises:
        UserError: A file is missing, cut short, no plain file, of another role, describes a
            network larger than `presets.LARGEST`, or does not fit the preset; there is no such
            device, or its memory is too small.

    Examples:
        >>> load_generator("run/result/generator").sample(3, seed=0).shape
        (3, 28, 28, 1)
    """
    folder = Path(folder)
    generator = _load(Generator, folder, folder / weights)
    preset = generator.preset
    if os.path.lexists(folder / "fixed_z.npy"):
        generator.fixed_z = _load_array(
            folder / "fixed_z.npy", (np.float32, np.float16), (preset.z_dim,)
        ).float()
    if generator.fixed_z is not None and preset.classes:
        labels = _load_array(folder / "fixed_y.npy", (np.int64,), ())
        if len(labels) != len(generator.fixed_z) or not are_classes(labels, preset.classes):
            raise UserError(
                f"{folder / 'fixed_y.npy'}: {len(generator.fixed_z)} labels from 0 to "
                f"{preset.classes - 1} are needed, one for each of fixed_z.npy"
            )
        generator.fixed_labels = labels
    return on_device(generator.eval(), device)


def load_discriminator(folder: str | Path, *, device: Device = "cpu") -> Discriminator:
    """Open a published discriminator on a device; raises as `load_generator` does.

    Examples:
        >>> load_discriminator("run/result/discriminator").preset.classes
        10
    """
    return on_device(_load(Discriminator, Path(folder), Path(folder) / WEIGHTS_FILE), device)


def on_device(network: _M, device: Device) -> _M:
    """Move a network to a device; raise `UserError` if there is none such, or it has no room."""
    chosen = choose_device(device)
    with memory_named(chosen, f"this {type(network).__name__.lower()}"):
        return network.to(chosen)


def _load(kind: type[_N], folder: Path, weights: Path) -> _N:
    """Make a network, once the weights' header is known to be that of one of its description."""
    preset = read_preset(folder, kind.role)
    state = _read_state(weights, shapes_of(lambda: kind(preset)), preset)
    network = kind(preset)
    network.load_state_dict(state, strict=False)
    return network


def read_preset(folder: Path, role: str) -> Preset:
    """The preset in a network folder; raise `UserError` if there is none or of another role."""
    path = folder / NETWORK_FILE
    try:
        content = read_json(path, _LARGEST_DESCRIPTION)
        found = content["role"]
        preset = Preset.from_dict(content["preset"])
        preset.check()
    except FileNotFoundError:
        raise UserError(f"{folder}: no network here ({NETWORK_FILE} is missing)") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a network description ({error})") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    if found != role:
        raise UserError(f"{path}: this is a {found!s:.80}, a {role} is needed")
    return preset


def load_weights(network: Network, path: Path) -> None:
    """Fill a network from a safetensors file, every tensor checked by name, shape and value.

    Raises:
        UserError: The file is missing or cut short, or a tensor is foreign, missing, of another
            shape or type, not finite, or a negative variance. Statistics may be absent; weights
            may not.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    network.load_state_dict(_read_state(path, shapes, network.preset), strict=False)


def _read_state(path: Path, shapes: Shapes, preset: Preset) -> dict[str, Tensor]:
    state = read_weights(path, shapes, f"preset {preset.name}", may_lack=_STATISTICS)
    for name, tensor in state.items():
        if name.endswith(".norm.var") and bool((tensor < 0).any()):
            raise UserError(f"{path}: tensor {name} holds variances below 0")
    return state


def _load_array(path: Path, dtypes: tuple[npt.DTypeLike, ...], row: tuple[int, ...]) -> Tensor:
    """Read a plain array of shape (n, *row), its numbers finite; nothing is unpickled."""
    try:
        array = map_array(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a plain array ({error})") from None
    rows = array.shape[0] if array.ndim else 0
    if array.dtype not in dtypes or array.shape[1:] != row or not 0 < rows <= _MOST_FIXED:
        expected = ", ".join(map(str, ("n", *row)))
        raise UserError(
            f"{path}: {array.dtype} {array.shape}, expected {np.dtype(dtypes[0])} ({expected}), "
            f"n from 1 to {_MOST_FIXED}"
        )
    values = torch.tensor(array)  # copies out of the file
    if not bool(values.isfinite().all()):
        raise UserError(f"{path}: holds values that are not finite")
    return values
