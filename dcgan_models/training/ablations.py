"""The paper's claims about training as changes to a preset, to be trained beside the original."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from dcgan_models.presets import Layer, Preset


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


def _four_by_four(preset: Preset) -> Preset:
    """4x4 kernels, padding 1, in place of 5x5, padding 2: the same sizes."""

    def smaller(layer: Layer) -> Layer:
        if layer.kernel != 5:
            return layer
        return replace(layer, kernel=4, padding=1, output_padding=0)

    return replace(
        preset,
        generator=tuple(map(smaller, preset.generator)),
        discriminator=tuple(map(smaller, preset.discriminator)),
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
    Ablation(
        "batch norm on G's output and D's input",
        "batch norm on all layers makes samples oscillate (3)",
        _norm_everywhere,
    ),
    Ablation(
        "global average pooling in D",
        "pooling is stable, but slower to converge than flattening (3)",
        _pooled,
    ),
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
