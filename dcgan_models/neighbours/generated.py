"""Generated pictures by the million, drawn in blocks and never held together."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from dcgan_models.neighbours.nearest import flat_pixels
from dcgan_models.networks import Generator, draw_latents


def labelled_blocks(
    generator: Generator, n: int, seed: int, *, block: int = 1_000
) -> Iterator[tuple[Tensor, Tensor]]:
    """Draw `n` labelled samples of a conditional generator, `block` at a time.

    Labels go round the classes, so that each has n / classes samples (the authors drew them at
    random). The same n and seed give the same samples.

    Yields:
        Pixels float32 (block, height * width * channels), the multiples of 1/255 in [0, 1] that
        a published picture holds, and labels int64 (block,).
    """
    rng = torch.Generator().manual_seed(seed)
    for first in range(0, n, block):
        size = min(block, n - first)
        labels = torch.arange(first, first + size) % generator.preset.classes
        pictures = generator.draw(draw_latents(generator.preset, size, rng), labels)
        yield flat_pixels(pictures), labels
