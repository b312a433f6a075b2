"""A generator as few numbers as a page needs: batch norm folded into weights, weights rounded.

With fixed statistics, batch norm is a factor and a shift for each output: the factor goes into the
row of weights that makes the output, the shift becomes its bias. Weights are rounded to half
precision after each row was divided by its largest weight, so that no row is beyond half's range;
biases and these divisors stay float32.

`FoldedGenerator.draw` is torch's own transposed convolution on the rounded weights: what another
implementation of the same numbers is held to. `rounding_cost` is what the rounding itself changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the field's own name for it)

from dcgan_models.errors import UserError
from dcgan_models.networks import (
    Block,
    Generator,
    concatenate_condition,
    draw_latents,
    to_pixels,
)
from dcgan_models.pixels import Pixels
from dcgan_models.presets import Layer, Preset

_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "linear": lambda x: x,
}


@dataclass(frozen=True)
class FoldedLayer:
    """One row of G's layer table without batch norm.

    Attributes:
        layer: The row.
        halves: float16, the weights divided by `scales`: (out, inputs) of a dense row,
            (inputs, out, kernel, kernel) of a transposed convolution; labels are the last inputs.
        scales: float32 (out,).
        bias: float32 (out,).
    """

    layer: Layer
    halves: Tensor
    scales: Tensor
    bias: Tensor

    @property
    def weights(self) -> Tensor:
        """The rounded weights, float32."""
        return self.halves.float() * _along_outputs(self.scales, self.halves)

    def apply(self, x: Tensor) -> Tensor:
        """The row with torch's own operations: (n, ...) to (n, ...)."""
        layer = self.layer
        if layer.op == "dense":
            x = F.linear(x, self.weights, self.bias)
        else:
            x = F.conv_transpose2d(
                x if x.ndim == 4 else x[:, :, None, None],
                self.weights,
                self.bias,
                layer.stride,
                layer.padding,
                layer.output_padding,
            )
        x = _ACTIVATIONS[layer.act](x)
        return x if layer.reshape is None else x.reshape(-1, *layer.reshape)


@dataclass(frozen=True)
class FoldedGenerator:
    """A generator in rounded weights, from z to the picture."""

    preset: Preset
    layers: tuple[FoldedLayer, ...]

    @torch.inference_mode()
    def draw(self, z: Tensor, labels: Tensor | None = None) -> Pixels:
        """Pictures of latents (n, z_dim), with labels (n,) where the preset is conditional.

        Returns:
            uint8 (n, height, width, channels).
        """
        x = z.float()
        condition = None if labels is None else F.one_hot(labels, self.preset.classes)
        for layer in self.layers:
            if condition is not None:
                x = concatenate_condition(x, condition)
            x = layer.apply(x)
        return to_pixels(x, self.preset).numpy()


def fold(generator: Generator) -> FoldedGenerator:
    """Fold a generator's batch norms, and round its weights.

    Raises:
        UserError: It has no sampling statistics, or a row that is neither dense nor a transposed
            convolution, or one that is not foreseen: dense after maps, or LeakyReLU.
    """
    if not generator.has_statistics:
        raise UserError("this generator has no sampling statistics: it cannot draw single z")
    preset = generator.preset
    for number, (layer, shape) in enumerate(
        zip(preset.generator, preset.generator_shapes(), strict=False), 1
    ):
        flat = layer.op == "dense" and len(shape) == 1
        if not (flat or layer.op == "deconv") or layer.act not in _ACTIVATIONS:
            raise UserError(
                f"preset {preset.name}: generator layer {number} ({layer.op}, {layer.act}) is not "
                "folded; allowed are dense layers, and transposed convolutions after them"
            )
    blocks = [block for block in generator.blocks if isinstance(block, Block)]
    return FoldedGenerator(preset, tuple(_fold(block) for block in blocks))


@torch.no_grad()
def _fold(block: Block) -> FoldedLayer:
    weights = next(block.weight.parameters()).detach().cpu().double()
    bias = torch.zeros(block.layer.out, dtype=torch.float64)
    norm = block.norm
    if norm is not None:
        factor = (norm.var.cpu().double() + norm.eps).rsqrt()
        if norm.weight is not None:
            factor = factor * norm.weight.cpu().double()
        shift = bias if norm.bias is None else norm.bias.cpu().double()
        weights = weights * _along_outputs(factor, weights)
        bias = shift - norm.mean.cpu().double() * factor
    outputs_first = weights if weights.ndim == 2 else weights.transpose(0, 1)
    scales = outputs_first.flatten(1).abs().amax(dim=1)
    scales = torch.where(scales > 0, scales, 1.0)
    halves = (weights / _along_outputs(scales, weights)).half()
    return FoldedLayer(block.layer, halves, scales.float(), bias.float())


def _along_outputs(values: Tensor, weights: Tensor) -> Tensor:
    """One value for each output, in a shape that multiplies the weights of a row."""
    return values[:, None] if weights.ndim == 2 else values[None, :, None, None]


@dataclass(frozen=True)
class RoundingCost:
    """How far pictures of rounded weights lie from those of the network as it is, in grey levels.

    Attributes:
        mean, most: Over all values of n pictures.
    """

    mean: float
    most: int
    n: int


def rounding_cost(
    generator: Generator, folded: FoldedGenerator, n: int = 64, seed: int = 0
) -> RoundingCost:
    """Draw the same n latents with both, and compare."""
    z = draw_latents(generator.preset, n, torch.Generator().manual_seed(seed))
    classes = generator.preset.classes
    labels = torch.arange(n) % classes if classes else None
    apart: npt.NDArray[np.int64] = np.abs(
        generator.draw(z, labels).astype(np.int64) - folded.draw(z, labels)
    )
    return RoundingCost(float(apart.mean()), int(apart.max()), n)
