"""The turn vector: section 6.3.2 and Figure 8 of the paper.

The mean z of samples that look right less that of samples that look left is a direction in which
other samples turn. Each row of the figure is one of them, in the middle, with five steps to either
side. As in arithmetic.py nothing is clamped to the range of z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dcgan_models.errors import UserError
from dcgan_models.grids import above, beside, tile
from dcgan_models.internals.exemplars import (
    Picks,
    check_latents,
    exemplar_rows,
    latent_scale,
    mean_latents,
)
from dcgan_models.networks import Generator
from dcgan_models.pixels import Pixels


@dataclass(frozen=True)
class Turn:
    """Figure 8, drawn.

    Attributes:
        vector: (z_dim,), from the mean of one side to that of the other.
        ends: uint8 (2, height, width, channels), G of the two means.
        rows: (r, 2 * steps + 1, height, width, channels); the sample itself in the middle.
        scale: `latent_scale` of the outermost latents of all rows.
    """

    vector: Tensor
    ends: Pixels
    rows: Pixels
    scale: float

    def sheet(self, gap: int = 4) -> Pixels:
        """The figure without its arrow: the ends over a grid with black lines about the middle."""
        middle = self.rows.shape[1] // 2
        sides = self.rows[:, :middle], self.rows[:, middle : middle + 1], self.rows[:, middle + 1 :]
        blocks = [tile(side.reshape(-1, *side.shape[2:]), side.shape[1]) for side in sides]
        grid = beside(blocks, gap, level=0)
        height, _, channels = self.ends[0].shape
        ends = np.full((height, grid.shape[1], channels), 255, np.uint8)
        ends[:, : self.ends.shape[2]] = self.ends[0]
        ends[:, -self.ends.shape[2] :] = self.ends[1]
        return above([ends, grid], gap)


def turn_walk(z: Tensor, vector: Tensor, steps: int = 5, reach: float = 1.0) -> Tensor:
    """Latents on a line through each of z, along a vector.

    Args:
        z: (r, z_dim).
        vector: (z_dim,).
        steps: To either side.
        reach: Where the last step is, in lengths of the vector.

    Returns:
        (r, 2 * steps + 1, z_dim): number j is z + (j - steps) / steps * reach * vector, so that
        the middle one is z itself.

    Raises:
        UserError: No steps.
    """
    if steps < 1:
        raise UserError(f"a turn of {steps} steps to either side: at least 1 is needed")
    t = torch.arange(-steps, steps + 1, dtype=z.dtype, device=z.device) * (reach / steps)
    return z[:, None] + t[:, None] * vector


def turn(
    generator: Generator,
    z: Tensor,
    picks: Picks,
    sides: tuple[str, str],
    samples: Sequence[int],
    *,
    steps: int = 5,
    reach: float = 1.0,
    labels: Tensor | None = None,
) -> Turn:
    """Draw samples turned from one side to the other (Figure 8: five rows, five steps a side).

    Args:
        generator: With sampling statistics.
        z: (n, z_dim), the latents that picks and samples are numbers of.
        picks: One sample or more for each side; the paper averaged four.
        sides: Two concepts, such as ("looking_left", "looking_right").
        samples: What to turn, a row each.
        steps, reach: As for `turn_walk`; how far the paper went is not known.
        labels: (n,) int64, those of the samples of a conditional generator; each row keeps its
            own, the ends have those of their first exemplars.

    Raises:
        UserError: A concept is unknown or has no picks; a sample does not exist; z is of another
            length; or the generator cannot draw.
    """
    check_latents(z, generator.preset)
    means = mean_latents(z, picks, sides)
    left, right = (means[side] for side in sides)
    turned = exemplar_rows({"samples": samples}, ["samples"], len(z))["samples"]
    walk = turn_walk(z[turned], right - left, steps, reach)
    width = walk.shape[1]
    firsts = None if labels is None else labels[[picks[side][0] for side in sides]]
    repeated = None if labels is None else labels[turned].repeat_interleave(width)
    pictures = generator.draw(walk.flatten(0, 1), repeated)
    return Turn(
        vector=right - left,
        ends=generator.draw(torch.stack([left, right]), firsts),
        rows=pictures.reshape(len(samples), width, *pictures.shape[1:]),
        scale=latent_scale(walk[:, [0, -1]], generator.preset),
    )
