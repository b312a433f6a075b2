"""Every network of the paper as data: layer tables, latent, initialisation, optimiser, schedule.

A preset is a value: it can be printed, compared, stored beside the weights and changed by
overrides. networks.py builds modules from it, training/ reads its optimiser and schedule. The
tables follow the authors' public code (Newmu/dcgan_code) where the paper is silent; what is our
own choice is listed in docs/deviations.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from dcgan_models.errors import UserError
from dcgan_models.fields import check_fields

Operation = Literal["dense", "conv", "deconv", "pool"]
Activation = Literal["relu", "lrelu", "tanh", "sigmoid", "linear"]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One row of a layer table: a weight, then batch norm, then an activation.

    Attributes:
        op: `dense` (a matrix product; a picture is flattened first), `conv` (strided), `deconv`
            (fractionally strided, the gradient of a strided convolution), or `pool` (the average
            over windows, or where `kernel` is 0 over a whole map, which becomes one unit; it has no
            weight, and section 3 weighs it against strides and flattening).
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
        z_dim: Length of the latent.
        z_distribution: Of the latent: uniform on [-1, 1] (the paper) or standard normal.
        classes: Labels that condition every layer of both networks; 0 for none.
        affine: Whether batch norm has a scale and a shift.
        norm_eps: Added to batch norm's variance.
        init_std: Weights are N(0, init_std); scales are N(1, init_std), shifts 0.
        l2: Added to the gradient of every parameter as l2 * parameter, before Adam.
        schedule: `alternate`: each minibatch updates one network, G first (the authors' code);
            `both`: D and then G on each minibatch (the Torch code).
        biased: Whether layers without batch norm have a bias, or no layer has (the authors' code).
            Without, D cannot see how strong colours are: its first layer passes contrast on in
            proportion, and batch norm takes it away.
        averaged: Whether a run leaves the running average of G's weights (training/averaging.py)
            or the last ones (the paper).
        epochs: Passes of the loader at the full learning rate.
        decay_epochs: Passes after these, over which it falls linearly to zero, a step down after
            each.
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
    averaged: bool = False
    biased: bool = False

    @property
    def signed(self) -> bool:
        """True where pictures are scaled to [-1, 1] (tanh), False for [0, 1] (sigmoid)."""
        return self.generator[-1].act == "tanh"

    def to_dict(self) -> dict[str, Any]:
        """The preset as plain JSON values, the form stored in network.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Preset:
        """Build a preset from `to_dict`'s form; raise `UserError` where it is not of that form."""
        check_fields(cls, content, "preset")
        tables = {side: _table(content[side], side) for side in ("generator", "discriminator")}
        return cls(**{**content, **tables, "image": tuple(content["image"])})

    def with_overrides(
        self,
        *,
        width: float = 1.0,
        discriminator_width: float | None = None,
        size: int | None = None,
        **changes: Any,
    ) -> Preset:
        """The same preset with other settings, checked.

        Args:
            width: Factor on the channels and units of every hidden layer, the outputs excepted.
            discriminator_width: The same of D alone, where it is to be another than G's.
            size: Another side of the picture, for the presets built as Figure 1 is.
            changes: Any scalar field: `batch`, `learning_rate`, `epochs`, ...
        """
        preset = replace(self, **changes)
        if size is not None:
            preset = _resized(preset, size)
        preset = replace(
            preset,
            generator=_scaled(preset.generator, width),
            discriminator=_scaled(preset.discriminator, discriminator_width or width),
        )
        preset.check()
        return preset

    def check(self) -> None:
        """Raise `UserError` if the layers do not lead from z to a picture and on to one logit.

        The same for a count that is too small or too large: batch norm needs two pictures to have
        a variance, and a table that somebody else has written must not ask for all memory.
        """
        if not 0 < len(self.name) <= _LONGEST_NAME:
            raise UserError(f"preset {self.name:.20}: a name has 1 to {_LONGEST_NAME} characters")
        _check_bounds(self, _BOUNDS, f"preset {self.name}")
        for side in ("generator", "discriminator"):
            self._check_table(side)
        drawn = self.generator_shapes()[-1]
        if drawn != self.image:
            raise UserError(
                f"preset {self.name}: the generator ends at {drawn}, the picture is {self.image}"
            )
        judged = self.discriminator_shapes()[-1]
        if _size(judged) != 1:
            raise UserError(f"preset {self.name}: the discriminator ends at {judged}, not one unit")

    def _check_table(self, side: Literal["generator", "discriminator"]) -> None:
        """Bound each row of a table by itself, and then what all of them come to."""
        where, layers = f"preset {self.name}: {side}", getattr(self, side)
        if not 0 < len(layers) <= _MOST_LAYERS:
            raise UserError(f"{where}: {len(layers)} layers; allowed are 1 to {_MOST_LAYERS}")
        for number, layer in enumerate(layers, 1):
            _check_bounds(layer, _LAYER_BOUNDS, f"{where} layer {number} ({layer.op})")
        shapes = getattr(self, f"{side}_shapes")()
        largest = max(_size((shape[0] + self.classes, *shape[1:])) for shape in shapes)
        if largest > LARGEST.values:
            raise UserError(
                f"{where}: {largest:,} values between two layers; allowed are up to "
                f"{LARGEST.values:,} for a picture"
            )
        weights = sum(
            _weights(layer, shape, self.classes)
            for layer, shape in zip(layers, shapes, strict=False)
        )
        if weights > LARGEST.weights:
            raise UserError(f"{where}: {weights:,} weights; allowed are up to {LARGEST.weights:,}")

    def generator_shapes(self) -> list[Shape]:
        """Shapes (without the batch axis) from z through every layer of G to the picture."""
        return trace(self.generator, (self.z_dim,), f"preset {self.name}: generator")

    def discriminator_shapes(self) -> list[Shape]:
        """Shapes (without the batch axis) from the picture through every layer of D."""
        return trace(self.discriminator, self.image, f"preset {self.name}: discriminator")


class LARGEST:
    """What a network may come to; the widest of ours has 19 million weights and 262,144 values.

    Attributes:
        weights: Of all layers: 1 GiB.
        values: Between two layers, for one picture: 16 MiB.
    """

    weights = 2**28
    values = 2**22


_LONGEST_NAME = 100
_MOST_LAYERS = 64
_BOUNDS = {
    "batch": (2, 2**20),
    "epochs": (0, 2**31),
    "decay_epochs": (0, 2**31),
    "z_dim": (1, 2**20),
    "classes": (0, 2**16),
    "norm_eps": (0, 1),
}
_LAYER_BOUNDS = {
    "out": (1, 2**20),
    "kernel": (0, 64),
    "stride": (1, 64),
    "padding": (0, 64),
    "output_padding": (0, 63),
}


def _check_bounds(of: Preset | Layer, bounds: Mapping[str, tuple[int, int]], where: str) -> None:
    for name, (least, most) in bounds.items():
        if not least <= getattr(of, name) <= most:
            kind = "numbers" if isinstance(getattr(of, name), float) else "whole numbers"
            raise UserError(
                f"{where}: {name} is {getattr(of, name)}, allowed are {kind} from {least} to {most}"
            )


def _weights(layer: Layer, shape: Shape, classes: int) -> int:
    """How many numbers a layer's map has, which takes `shape` and a label."""
    if layer.op == "pool":
        return 0
    if layer.op == "dense":
        return (_size(shape) + classes) * layer.out
    return (shape[0] + classes) * layer.out * layer.kernel**2


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
    if layer.op == "dense":
        if layer.reshape is None:
            return (layer.out,)
        fits = min(layer.reshape) > 0 and _size(layer.reshape) == layer.out
        return layer.reshape if fits else None
    if layer.reshape is not None:
        return None
    if layer.op == "pool":
        return _pooled(layer, shape) if shape[0] == layer.out and len(shape) == 3 else None
    # torch wants less, or it is not known which of several sizes is meant.
    if layer.kernel < 1 or layer.output_padding >= layer.stride:
        return None
    if len(shape) == 1:
        shape = (shape[0], 1, 1)
    side = shape[1:]
    if layer.op == "conv":
        side = tuple((n + 2 * layer.padding - layer.kernel) // layer.stride + 1 for n in side)
    else:
        grow = layer.kernel + layer.output_padding - 2 * layer.padding
        side = tuple((n - 1) * layer.stride + grow for n in side)
    return (layer.out, *side) if min(side) > 0 else None


def _pooled(layer: Layer, shape: Shape) -> Shape | None:
    """Windows within the map, or the whole of it."""
    if not layer.kernel:
        return (layer.out,)
    if layer.padding or layer.kernel > min(shape[1:]):
        return None
    return (layer.out, *((n - layer.kernel) // layer.stride + 1 for n in shape[1:]))


def _size(shape: Shape) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


def _table(rows: Iterable[Mapping[str, Any]], side: str) -> tuple[Layer, ...]:
    layers = []
    for number, row in enumerate(rows, 1):
        check_fields(Layer, row, f"preset: {side} layer {number}")
        reshape = row.get("reshape")
        layers.append(Layer(**{**row, "reshape": tuple(reshape) if reshape else None}))
    return tuple(layers)


def _scaled(layers: tuple[Layer, ...], width: float) -> tuple[Layer, ...]:
    """Every layer but the last with `width` times its channels, at least one."""

    def scale(layer: Layer) -> Layer:
        if layer.reshape is None:
            return replace(layer, out=max(1, round(layer.out * width)))
        channels, height, wide = layer.reshape
        channels = max(1, round(channels * width))
        return replace(layer, out=channels * height * wide, reshape=(channels, height, wide))

    return (*map(scale, layers[:-1]), layers[-1])


# --- What follows from a table -----------------------------------------------------------------


@dataclass(frozen=True)
class ReceptiveField:
    """What a unit of a convolutional layer sees of the picture, in pixels.

    Attributes:
        size: Side of the square.
        stride: Distance of neighbouring units' squares.
        start: First pixel of the first unit's square; negative where it begins in the padding.
    """

    size: int
    stride: int
    start: int


def receptive_fields(layers: Iterable[Layer]) -> list[ReceptiveField]:
    """The receptive field after each leading convolution of a discriminator."""
    fields_: list[ReceptiveField] = []
    seen = ReceptiveField(size=1, stride=1, start=0)
    for layer in layers:
        if layer.op != "conv":
            break
        seen = ReceptiveField(
            size=seen.size + (layer.kernel - 1) * seen.stride,
            stride=seen.stride * layer.stride,
            start=seen.start - layer.padding * seen.stride,
        )
        fields_.append(seen)
    return fields_


def broken_guidelines(preset: Preset) -> list[str]:
    """Hold a preset against the five guidelines of section 3.

    Returns:
        A line for each layer that breaks one, naming both. The paper's own MNIST networks break
        two; a broken guideline is a warning.
    """
    found: list[str] = []

    def note(side: str, number: int, guideline: str) -> None:
        found.append(f"{preset.name}: {side} layer {number}: {guideline}")

    for side, layers in (("generator", preset.generator), ("discriminator", preset.discriminator)):
        last = len(layers)
        for number, layer in enumerate(layers, 1):
            if layer.op == "pool":
                note(side, number, "strided convolutions instead of pooling")
            if layer.op == "dense" and number != (1 if side == "generator" else last):
                note(side, number, "no fully connected hidden layers")
            # G's output and D's input go without; so does D's output, and pooling has no weight.
            bare = {last} if side == "generator" else {1, last}
            if layer.op != "pool" and layer.norm == (number in bare):
                note(side, number, _NORM_GUIDELINE)
            if layer.op != "pool" and layer.act != _proper_activation(side, number == last):
                note(side, number, _ACTIVATION_GUIDELINES[side])
    return found


_NORM_GUIDELINE = "batch norm in both networks, but not on G's output and D's input"
_ACTIVATION_GUIDELINES = {
    "generator": "ReLU in the generator, tanh at its output",
    "discriminator": "LeakyReLU in the discriminator",
}


def _proper_activation(side: str, last: bool) -> Activation:
    if side == "generator":
        return "tanh" if last else "relu"
    return "linear" if last else "lrelu"


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


def _up3(channels: int, stride: int, *, act: Activation = "relu") -> Layer:
    """3x3 fractionally strided convolution: the same size, or exactly twice."""
    return Layer("deconv", channels, 3, stride, 1, stride - 1, norm=act == "relu", act=act)


def _down3(channels: int, stride: int, *, norm: bool = True) -> Layer:
    return Layer("conv", channels, 3, stride, 1, norm=norm, act="lrelu")


def _up4(channels: int, *, act: Activation = "relu") -> Layer:
    return Layer("deconv", channels, 4, 2, 1, norm=act == "relu", act=act)


def _down4(channels: int, *, norm: bool = True) -> Layer:
    return Layer("conv", channels, 4, 2, 1, norm=norm, act="lrelu")


_LOGIT = Layer("dense", 1)


# Most channels in a layer, and those of the layer next to a picture of up to 64 pixels (Fig. 1).
_WIDEST, _NARROWEST = 1024, 128
SIZES = (16, 32, 64, 128)


def _paper_stack(size: int) -> tuple[tuple[Layer, ...], tuple[Layer, ...]]:
    """G of Figure 1 and the D that mirrors it, for square colour pictures of `size` pixels.

    5x5 stages of stride 2 between 4x4 maps and the picture, channels halved at each. The paper
    has 64 pixels; fewer stages make smaller pictures, one more, of 64 channels, makes 128.
    """
    stages = size.bit_length() - 3
    widest = min(_WIDEST, _NARROWEST << (stages - 1))
    channels = [widest >> stage for stage in range(stages)]
    generator = (
        _project(channels[0], 4),
        *map(_up5, channels[1:]),
        _up5(3, act="tanh"),
    )
    outermost, *inner = reversed(channels)
    discriminator = (_down5(outermost, norm=False), *map(_down5, inner), _LOGIT)
    return generator, discriminator


def _of_the_paper(name: str, source: str, *, size: int, epochs: int) -> Preset:
    """A preset with the networks of Figure 1."""
    generator, discriminator = _paper_stack(size)
    return Preset(
        name=name,
        source=source,
        image=(3, size, size),
        epochs=epochs,
        generator=generator,
        discriminator=discriminator,
    )


def _resized(preset: Preset, size: int) -> Preset:
    """The preset for pictures of another size, stages added or taken away."""
    if (preset.generator, preset.discriminator) != _paper_stack(preset.image[1]):
        raise UserError(f"preset {preset.name}: its size is fixed; lsun64 and faces64 take others")
    if size not in SIZES:
        raise UserError(f"size {size}; allowed: {', '.join(map(str, SIZES))}")
    generator, discriminator = _paper_stack(size)
    return replace(preset, image=(3, size, size), generator=generator, discriminator=discriminator)


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
    _of_the_paper(
        "lsun64",
        "section 4.1, Fig. 1; D mirrors G; l2 as in the authors' faces script",
        size=64,
        epochs=5,
    ),
    _of_the_paper(
        "faces64", "section 4.2; authors' faces/train_uncond_dcgan.py", size=64, epochs=25
    ),
    _of_the_paper(
        "albums128",
        "the README's album covers; one more 5x5 stage is our choice",
        size=128,
        epochs=25,
    ),
    Preset(
        name="imagenet32",
        source="section 4.3; authors' imagenet/load_pretrained.py and weights",
        image=(3, 32, 32),
        z_dim=256,
        epochs=30,
        generator=(
            _project(512, 4),
            _up3(512, 2),
            _up3(256, 1),
            _up3(256, 2),
            _up3(128, 1),
            _up3(128, 2),
            _up3(3, 1, act="tanh"),
        ),
        discriminator=(
            _down3(128, 1, norm=False),
            _down3(128, 2),
            _down3(256, 1),
            _down3(256, 2),
            _down3(512, 1),
            _down3(512, 2),
            _LOGIT,
        ),
    ),
    Preset(
        name="svhn32",
        source="section 5.2 (v2); the name and weights of the authors' SVHN model",
        image=(3, 32, 32),
        z_distribution="normal",
        learning_rate=5e-4,
        batch=64,
        epochs=200,
        generator=(
            _project(256, 4),
            _up5(128),
            _up5(64),
            _up5(3, act="tanh"),
        ),
        discriminator=(
            _down5(64, norm=False),
            _down5(128),
            _down5(256),
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
    """Look a preset up by name; raise `UserError` naming the known ones.

    Examples:
        >>> preset("lsun64").image
        (3, 64, 64)
    """
    if name not in PRESETS:
        raise UserError(f"unknown preset {name!r}; allowed: {', '.join(PRESETS)}")
    return PRESETS[name]
