"""Every network of the paper as data: layer tables, latent, initialisation, optimiser, schedule.

A preset is a value: it can be printed, compared, stored beside the weights and changed by
overrides. networks.py builds modules from it, training/ reads its optimiser and schedule. The
tables follow the authors' public code (Newmu/dcgan_code) where the paper is silent; what is our
own choice is listed in docs/deviations.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from dcgan_models.errors import UserError

Operation = Literal["dense", "conv", "deconv"]
Activation = Literal["relu", "lrelu", "tanh", "sigmoid", "linear"]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One row of a layer table: a weight without bias, then batch norm, then an activation.

    Attributes:
        op: `dense` (a matrix product; a picture is flattened first), `conv` (strided), or
            `deconv` (fractionally strided, the gradient of a strided convolution).
        out: Units of a dense layer, channels of the other two.
        kernel, stride, padding, output_padding: As in torch; zero or one where they do not apply.
        norm: Whether batch norm follows. After a dense layer it works on each unit, after a
            convolution on each channel.
        act: Activation that closes the row. D's output is `linear`: losses work on logits.
        reshape: (channels, height, width) that a dense layer's units become, after its norm.
    """

    op: Operation
    out: int
    kernel: int = 0
    stride: int = 1
    padding: int = 0
    output_padding: int = 0
    norm: bool = False
    act: Activation = "linear"
    reshape: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Preset:
    """A pair of networks and how they are trained.

    Attributes:
        image: (channels, height, width) of a picture.
        z_dim, z_distribution: The latent: uniform on [-1, 1] (the paper) or standard normal.
        classes: Labels that condition every layer of both networks; 0 for none.
        affine: Whether batch norm has a scale and a shift.
        norm_eps: Added to batch norm's variance.
        init_std: Weights are N(0, init_std); scales are N(1, init_std), shifts 0.
        l2: Added to the gradient of every parameter as l2 * parameter, before Adam.
        schedule: `alternate`: each minibatch updates one network, G first (the authors' code);
            `both`: D and then G on each minibatch (the Torch code).
        epochs, decay_epochs: Passes of the loader at the full learning rate, then passes over
            which it falls linearly to zero, a step down after each.
    """

    name: str
    source: str
    image: tuple[int, int, int]
    generator: tuple[Layer, ...]
    discriminator: tuple[Layer, ...]
    epochs: int
    decay_epochs: int = 0
    z_dim: int = 100
    z_distribution: Literal["uniform", "normal"] = "uniform"
    classes: int = 0
    affine: bool = True
    norm_eps: float = 1e-8
    init_std: float = 0.02
    leak: float = 0.2
    learning_rate: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    adam_eps: float = 1e-8
    l2: float = 1e-5
    batch: int = 128
    schedule: Literal["alternate", "both"] = "alternate"

    @property
    def signed(self) -> bool:
        """True where pictures are scaled to [-1, 1] (tanh), False for [0, 1] (sigmoid)."""
        return self.generator[-1].act == "tanh"

    def to_dict(self) -> dict[str, Any]:
        """The preset as plain JSON values, the form stored in network.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Preset:
        """Build a preset from `to_dict`'s form; raise `UserError` on a key that is not one."""
        unknown = sorted(set(content) - {field.name for field in fields(cls)})
        if unknown:
            raise UserError(f"preset: unknown key {unknown[0]!r}")
        tables = {
            side: tuple(map(_layer, content[side])) for side in ("generator", "discriminator")
        }
        return cls(**{**content, **tables, "image": tuple(content["image"])})

    def with_overrides(self, *, width: float = 1.0, **changes: Any) -> Preset:
        """The same preset with other settings, checked.

        Args:
            width: Factor on the channels and units of every hidden layer, the outputs excepted.
            changes: Any scalar field: `batch`, `learning_rate`, `epochs`, ...
        """
        preset = replace(self, **changes)
        if width != 1.0:
            preset = replace(
                preset,
                generator=_scaled(preset.generator, width),
                discriminator=_scaled(preset.discriminator, width),
            )
        preset.check()
        return preset

    def check(self) -> None:
        """Raise `UserError` if the layers do not lead from z to a picture and on to one logit."""
        drawn = self.generator_shapes()[-1]
        if drawn != self.image:
            raise UserError(
                f"preset {self.name}: the generator ends at {drawn}, the picture is {self.image}"
            )
        judged = self.discriminator_shapes()[-1]
        if _size(judged) != 1:
            raise UserError(f"preset {self.name}: the discriminator ends at {judged}, not one unit")

    def generator_shapes(self) -> list[Shape]:
        """Shapes (without the batch axis) from z through every layer of G to the picture."""
        return trace(self.generator, (self.z_dim,), f"preset {self.name}: generator")

    def discriminator_shapes(self) -> list[Shape]:
        """Shapes (without the batch axis) from the picture through every layer of D."""
        return trace(self.discriminator, self.image, f"preset {self.name}: discriminator")


def trace(layers: Iterable[Layer], start: Shape, where: str) -> list[Shape]:
    """Follow a shape through a layer table, conditioning left out.

    Returns:
        `start` and then the shape after each layer.

    Raises:
        UserError: A layer does not fit what comes before it; the line names the layer.
    """
    shapes = [start]
    for number, layer in enumerate(layers, 1):
        shape = _after(layer, shapes[-1])
        if shape is None:
            raise UserError(f"{where} layer {number} ({layer.op}) cannot follow {shapes[-1]}")
        shapes.append(shape)
    return shapes


def _after(layer: Layer, shape: Shape) -> Shape | None:
    """The shape that `layer` makes of `shape`, or None where it makes none."""
    if layer.out < 1:
        return None
    if layer.op == "dense":
        if layer.reshape is None:
            return (layer.out,)
        return layer.reshape if _size(layer.reshape) == layer.out else None
    if len(shape) == 1:
        shape = (shape[0], 1, 1)
    side = shape[1:]
    if layer.op == "conv":
        side = tuple((n + 2 * layer.padding - layer.kernel) // layer.stride + 1 for n in side)
    else:
        grow = layer.kernel + layer.output_padding - 2 * layer.padding
        side = tuple((n - 1) * layer.stride + grow for n in side)
    return (layer.out, *side) if min(side) > 0 else None


def _size(shape: Shape) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


def _layer(row: Layer | Mapping[str, Any]) -> Layer:
    if isinstance(row, Layer):
        return row
    reshape = row.get("reshape")
    return Layer(**{**row, "reshape": tuple(reshape) if reshape else None})


def _scaled(layers: tuple[Layer, ...], width: float) -> tuple[Layer, ...]:
    """Every layer but the last with `width` times its channels, at least one."""

    def scale(layer: Layer) -> Layer:
        if layer.reshape is None:
            return replace(layer, out=max(1, round(layer.out * width)))
        channels, height, wide = layer.reshape
        channels = max(1, round(channels * width))
        return replace(layer, out=channels * height * wide, reshape=(channels, height, wide))

    return (*map(scale, layers[:-1]), layers[-1])


# --- Rows that repeat -----------------------------------------------------------------------


def _project(channels: int, side: int) -> Layer:
    """z to `channels` maps of `side` x `side`, batch norm on every unit (the authors' code)."""
    shape = (channels, side, side)
    return Layer("dense", _size(shape), norm=True, act="relu", reshape=shape)


def _hidden(units: int, act: Activation, *, norm: bool = True) -> Layer:
    return Layer("dense", units, norm=norm, act=act)


def _up5(channels: int, *, act: Activation = "relu") -> Layer:
    """5x5 fractionally strided convolution, exactly twice the size; the output has no norm."""
    return Layer("deconv", channels, 5, 2, 2, 1, norm=act == "relu", act=act)


def _down5(channels: int, *, norm: bool = True) -> Layer:
    """5x5 convolution of stride 2, half the size."""
    return Layer("conv", channels, 5, 2, 2, norm=norm, act="lrelu")


def _up4(channels: int, *, act: Activation = "relu") -> Layer:
    return Layer("deconv", channels, 4, 2, 1, norm=act == "relu", act=act)


def _down4(channels: int, *, norm: bool = True) -> Layer:
    return Layer("conv", channels, 4, 2, 1, norm=norm, act="lrelu")


_LOGIT = Layer("dense", 1)


# --- The presets ----------------------------------------------------------------------------

_ALL = (
    Preset(
        name="mnist28",
        source="section 8.1 and Fig. 9; authors' mnist/train_cond_dcgan.py",
        image=(1, 28, 28),
        classes=10,
        affine=False,
        l2=2.5e-5,
        epochs=100,
        decay_epochs=100,
        generator=(
            _hidden(1024, "relu"),
            _project(128, 7),
            _up5(64),
            _up5(1, act="sigmoid"),
        ),
        discriminator=(
            _down5(64, norm=False),
            _down5(128),
            _hidden(1024, "lrelu"),
            _LOGIT,
        ),
    ),
    Preset(
        name="mnist28_fc",
        source="section 8.1, the permutation-invariant GAN; layers are our choice",
        image=(1, 28, 28),
        classes=10,
        affine=False,
        l2=2.5e-5,
        epochs=100,
        decay_epochs=100,
        generator=(
            _hidden(1024, "relu"),
            _hidden(1024, "relu"),
            Layer("dense", 784, act="sigmoid", reshape=(1, 28, 28)),
        ),
        discriminator=(
            _hidden(1024, "lrelu", norm=False),
            _hidden(1024, "lrelu"),
            _LOGIT,
        ),
    ),
    Preset(
        name="torch64",
        source="soumith/dcgan.torch main.lua, the variant that most ports follow",
        image=(3, 64, 64),
        z_distribution="normal",
        norm_eps=1e-5,
        l2=0.0,
        batch=64,
        schedule="both",
        epochs=25,
        generator=(
            Layer("deconv", 512, 4, 1, norm=True, act="relu"),
            _up4(256),
            _up4(128),
            _up4(64),
            _up4(3, act="tanh"),
        ),
        discriminator=(
            _down4(64, norm=False),
            _down4(128),
            _down4(256),
            _down4(512),
            Layer("conv", 1, 4),
        ),
    ),
)

PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in _ALL}


def preset(name: str) -> Preset:
    """Look a preset up by name; raise `UserError` naming the known ones."""
    if name not in PRESETS:
        raise UserError(f"unknown preset {name!r}; allowed: {', '.join(PRESETS)}")
    return PRESETS[name]
