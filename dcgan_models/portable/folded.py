"""A generator as few numbers as others need to draw with it: batch norm folded into weights.

With fixed statistics, batch norm is a factor and a shift for each output: the factor goes into the
row of weights that makes the output, the shift becomes its bias.

A page has them in half precision: each row of weights is divided by its largest before it is
rounded, so that none is beyond half's range; biases and these divisors stay float32.

`FoldedGenerator.draw` is torch's own transposed convolution on these numbers: what another
implementation of the same numbers is held to. `rounding_cost` is what the rounding itself changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

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
}


@dataclass(frozen=True)
class FoldedLayer:
    """One row of G's layer table without batch norm.

    Attributes:
        layer: The row.
        weights: float32, (out, inputs) of a dense row, (inputs, out, kernel, kernel) of a
            transposed convolution; labels are the last inputs.
        bias: float32 (out,).
    """

    layer: Layer
    weights: Tensor
    bias: Tensor

    def halves(self) -> tuple[Tensor, Tensor]:
        """The weights in float16, and what each output's were divided by, float32 (out,)."""
        outputs_first = self.weights if self.weights.ndim == 2 else self.weights.transpose(0, 1)
        largest = outputs_first.flatten(1).abs().amax(dim=1)
        scales = torch.where(largest > 0, largest, 1.0)
        return (self.weights / _along_outputs(scales, self.weights)).half(), scales

    def rounded(self) -> FoldedLayer:
        """The same row with the weights that its halves stand for."""
        halves, scales = self.halves()
        return replace(self, weights=halves.float() * _along_outputs(scales, halves))

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
    """A generator without batch norm, from z to the picture."""

    preset: Preset
    layers: tuple[FoldedLayer, ...]

    def rounded(self) -> FoldedGenerator:
        """The same network in half precision."""
        return replace(self, layers=tuple(layer.rounded() for layer in self.layers))

    @torch.inference_mode()
    def draw(self, z: Tensor, labels: Tensor | None = None) -> Pixels:
        """Pictures of latents (n, z_dim), with labels (n,) where the preset is conditional.

        Returns:
            uint8 (n, height, width, channels).
        """
        return self.forward(z.float(), labels).numpy()

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """`draw` in torch's own operations: float32 (n, z_dim) to uint8, as a tensor."""
        x = z
        condition = None if labels is None else F.one_hot(labels, self.preset.classes)
        for layer in self.layers:
            if condition is not None:
                x = concatenate_condition(x, condition)
            x = layer.apply(x)
        return to_pixels(x, self.preset)


def fold(generator: Generator) -> FoldedGenerator:
    """Fold a generator's batch norms into its weights.

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
    own = {name: value.detach().cpu().double() for name, value in block.weight.named_parameters()}
    weights = own["weight"]
    # Where there is no batch norm, a preset that is `biased` has one.
    bias = own.get("bias", torch.zeros(block.layer.out, dtype=torch.float64))
    norm = block.norm
    if norm is not None:
        factor = (norm.var.cpu().double() + norm.eps).rsqrt()
        if norm.weight is not None:
            factor = factor * norm.weight.cpu().double()
        shift = 0.0 if norm.bias is None else norm.bias.cpu().double()
        weights = weights * _along_outputs(factor, weights)
        bias = shift - norm.mean.cpu().double() * factor
    return FoldedLayer(block.layer, weights.float(), bias.float())


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
    """Draw the same n latents with the network and with its rounded weights, and compare."""
    z = draw_latents(generator.preset, n, torch.Generator().manual_seed(seed))
    classes = generator.preset.classes
    labels = torch.arange(n) % classes if classes else None
    apart: npt.NDArray[np.int64] = np.abs(
        generator.draw(z, labels).astype(np.int64) - folded.rounded().draw(z, labels)
    )
    return RoundingCost(float(apart.mean()), int(apart.max()), n)
