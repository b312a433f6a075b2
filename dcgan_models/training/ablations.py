"""The paper's claims about training as changes to a preset, to be trained beside the original."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dcgan_models.errors import UserError
from dcgan_models.metrics.intervals import mean_interval
from dcgan_models.presets import Activation, Layer, Preset

# How often any of the changes may be told to matter where none does.
ERROR_RATE = 0.05


@dataclass(frozen=True)
class Ablation:
    """One change, and what the paper says of it.

    Attributes:
        claim: In the paper's sense, with its section.
        change: Makes the changed preset from the paper's.
        paper_prefers: Which of the two the claim holds to be better; None where it has no view.
    """

    name: str
    claim: str
    change: Callable[[Preset], Preset]
    paper_prefers: str | None = "original"


def _norm_everywhere(preset: Preset) -> Preset:
    """Batch norm on G's output and D's input as well."""
    *hidden, output = preset.generator
    first, *rest = preset.discriminator
    return replace(
        preset,
        generator=(*hidden, replace(output, norm=True)),
        discriminator=(replace(first, norm=True), *rest),
    )


def _pooled(preset: Preset) -> Preset:
    """Global average pooling where D flattens its last maps."""
    layers = preset.discriminator
    last_conv = max(i for i, layer in enumerate(layers) if layer.op == "conv")
    pool = Layer("pool", layers[last_conv].out)
    return replace(preset, discriminator=(*layers[: last_conv + 1], pool, *layers[last_conv + 1 :]))


def _pooled_for_strided(preset: Preset) -> Preset:
    """Convolutions without a stride and pooling after them, in place of D's strided ones."""
    layers: list[Layer] = []
    for layer in preset.discriminator:
        if layer.op == "conv" and layer.stride > 1:
            pool = Layer("pool", layer.out, layer.stride, layer.stride)
            layers += [replace(layer, stride=1), pool]
        else:
            layers.append(layer)
    return replace(preset, discriminator=tuple(layers))


def _no_norm(preset: Preset) -> Preset:
    """No batch norm in either network."""
    return _each_layer(preset, lambda layer: replace(layer, norm=False))


def _fully_connected(preset: Preset) -> Preset:
    """A fully connected hidden layer after z and one before D's last, as wide as G's first maps."""
    project, *rest = preset.generator
    width = project.reshape[0] if project.reshape else project.out
    *convolutions, logit = preset.discriminator
    return replace(
        preset,
        generator=(Layer("dense", width, norm=True, act="relu"), project, *rest),
        discriminator=(*convolutions, Layer("dense", width, norm=True, act="lrelu"), logit),
    )


def _relu_in_d(preset: Preset) -> Preset:
    layers = tuple(_with_act(layer, "lrelu", "relu") for layer in preset.discriminator)
    return replace(preset, discriminator=layers)


def _leaky_in_g(preset: Preset) -> Preset:
    layers = tuple(_with_act(layer, "relu", "lrelu") for layer in preset.generator)
    return replace(preset, generator=layers)


def _sigmoid_at_the_output(preset: Preset) -> Preset:
    """Pictures are then scaled to [0, 1]."""
    *hidden, output = preset.generator
    return replace(preset, generator=(*hidden, replace(output, act="sigmoid")))


def _with_act(layer: Layer, old: Activation, new: Activation) -> Layer:
    return replace(layer, act=new) if layer.act == old else layer


def _each_layer(preset: Preset, change: Callable[[Layer], Layer]) -> Preset:
    return replace(
        preset,
        generator=tuple(map(change, preset.generator)),
        discriminator=tuple(map(change, preset.discriminator)),
    )


def _four_by_four(preset: Preset) -> Preset:
    """4x4 kernels, padding 1, in place of 5x5, padding 2: the same sizes."""

    def smaller(layer: Layer) -> Layer:
        if layer.kernel != 5:
            return layer
        return replace(layer, kernel=4, padding=1, output_padding=0)

    return _each_layer(preset, smaller)


_NORM_EVERYWHERE = Ablation(
    "batch norm on G's output and D's input",
    "batch norm on all layers makes samples oscillate (3)",
    _norm_everywhere,
)
_GLOBAL_POOLING = Ablation(
    "global average pooling in D",
    "pooling is stable, but slower to converge than flattening (3)",
    _pooled,
)

ABLATIONS = (
    Ablation(
        "batch norm with scale and shift",
        "without scale and shift is better on MNIST (8.1)",
        lambda preset: replace(preset, affine=True),
    ),
    Ablation(
        "learning rate 0.001",
        "0.001 is too high, 0.0002 is better (4)",
        lambda preset: replace(preset, learning_rate=1e-3),
    ),
    Ablation(
        "beta1 0.9",
        "0.9 makes training oscillate, 0.5 is better (4)",
        lambda preset: replace(preset, beta1=0.9),
    ),
    _NORM_EVERYWHERE,
    _GLOBAL_POOLING,
    Ablation(
        "4x4 kernels",
        "5x5 in the authors' code, 4x4 in the Torch code; no claim",
        _four_by_four,
        paper_prefers=None,
    ),
    Ablation(
        "both networks on each minibatch",
        "the authors' code alternates, the Torch code does not; no claim",
        lambda preset: replace(preset, schedule="both"),
        paper_prefers=None,
    ),
)

"""What is tried on digits: claims about training, of sections 3, 4 and 8.1."""

GUIDELINES = (
    Ablation(
        "pooling for strides in D",
        "strided convolutions in the place of pooling (3)",
        _pooled_for_strided,
    ),
    Ablation("no batch norm", "batch norm in both networks (3)", _no_norm),
    _NORM_EVERYWHERE,
    Ablation(
        "fully connected hidden layers",
        "no fully connected hidden layers (3)",
        _fully_connected,
    ),
    _GLOBAL_POOLING,
    Ablation("LeakyReLU in G", "ReLU in the generator (3)", _leaky_in_g),
    Ablation("sigmoid at G's output", "tanh at the generator's output (3)", _sigmoid_at_the_output),
    Ablation("ReLU in D", "LeakyReLU in the discriminator (3)", _relu_in_d),
)
"""The guidelines of section 3, each broken: what is tried on pictures."""


@dataclass(frozen=True)
class Comparison:
    """What one change does to the error, over paired seeds.

    Attributes:
        difference: Mean error with the change, less that without.
        low, high: Its 95 % interval over seeds, of this change alone.
        p: Chance of so large a difference either way where the change does nothing, times as
            many as Holm asks for; at most 1.
    """

    difference: float
    low: float
    high: float
    p: float

    @property
    def told(self) -> bool:
        """Whether it is more than chance, all changes of the experiment taken together."""
        return self.p <= ERROR_RATE


def compare(
    original: Sequence[float], changed: Mapping[str, Sequence[float]]
) -> dict[str, Comparison]:
    """Hold changes against the original, seed by seed: paired t tests, corrected by Holm (1979).

    Of any number of changes that do nothing, one or more are told to matter in at most
    `ERROR_RATE` of such experiments. With n seeds the least p is of Student's t with n - 1 degrees
    of freedom: three seeds tell next to nothing apart once there are seven changes.

    Args:
        original: Errors, one a seed; at least two.
        changed: Errors of each change, in the order of the same seeds.

    Raises:
        UserError: Fewer than two seeds, or not the same number everywhere.
    """
    counts = {len(original), *map(len, changed.values())}
    if len(counts) > 1 or min(counts) < 2:
        raise UserError(
            f"ablations: errors of {sorted(counts)} seeds; all need the same, 2 or more"
        )
    found = {name: np.subtract(errors, original) for name, errors in changed.items()}
    plain = {name: _chance(differences) for name, differences in found.items()}
    corrected, highest = {}, 0.0
    ordered = sorted(plain, key=lambda name: plain[name])
    for rank, name in enumerate(ordered):
        # A smaller difference is never told before a larger one.
        highest = max(highest, min(1.0, plain[name] * (len(ordered) - rank)))
        corrected[name] = highest
    return {
        name: Comparison(float(own.mean()), *mean_interval(own), corrected[name])
        for name, own in found.items()
    }


def _chance(differences: npt.NDArray[np.float64]) -> float:
    """The p of a two-sided t test of a mean of 0."""
    from scipy.special import stdtr

    mean, n = float(differences.mean()), len(differences)
    error = float(differences.std(ddof=1)) / n**0.5
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return 2 * float(stdtr(n - 1, -abs(mean) / error))
