"""Walks from point to point of the latent space: Figure 4 and section 6.1 of the paper.

Figure 4 has ten rows of ten pictures. Row r goes from z_r to z_{r+1} in ten steps, linear in z,
and stops one step short: z_{r+1} itself opens row r + 1. So eleven points make the grid, and its
path is one broken line that bends only where a new row begins. These facts were measured on the
authors' picture; the rows of their interp_comparison.png that fade one photograph into another
(`pixel_walk`) follow the same rule.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dcgan_models.errors import UserError
from dcgan_models.pixels import Pixels

# What rounding to 8 bits alone makes of a step: each of two levels is off by up to half of 1/255,
# evenly spread, which has a variance of 1/12 of its square. Smaller medians are not to be had.
_ROUNDING = (1 / 6) ** 0.5 / 255


@dataclass(frozen=True)
class Smoothness:
    """How evenly the pictures of a walk change.

    Section 6.1 reads a walk so: sharp transitions are a sign of memorisation, a G that goes from
    one remembered picture to the next at once; and the walk tells in which way the space is
    hierarchically collapsed: stretches of it may be one picture, with jumps between them.

    Attributes:
        distances: float64 (steps that are taken,), root mean squared difference of a frame and the
            next, in pixel units of [0, 1].
        median: Of the distances.
        largest: Of the distances.
        ratio: `largest` over `median`, the median taken as no less than what rounding to 8 bits
            makes of a step (0.0016); a walk that never moves has 0. It hardly depends on the
            number of steps where the walk is smooth and grows in proportion to it at a jump.
            The authors' SVHN generator had 1.7 to 3.5 on twelve walks of Figure 4's size.
        row, column: The frame of the grid that the largest step leaves.
        sharp: Whether `ratio` is at least the steps of a row: one step then changes the picture
            as much as all steps of an ordinary row together. Or the largest step changes it as
            much as a row does from its first picture to its end, the median of the rows: where
            most steps are jumps among many remembered pictures, `ratio` is small. Meant for about
            ten steps and more.
    """

    distances: npt.NDArray[np.float64]
    median: float
    largest: float
    ratio: float
    row: int
    column: int
    sharp: bool


def latent_walk(points: Tensor, steps: int) -> Tensor:
    """The latents of a walk along straight segments (Figure 4: 11 points, 10 steps).

    Args:
        points: (k + 1, z_dim) latents, floating point, at least two.
        steps: Latents in each segment.

    Returns:
        (k * steps, z_dim), segment after segment: the j-th of segment r is (1 - t) z_r + t z_{r+1}
        with t = j / steps, so that each z_r but the last is in it exactly. `grids.tile` with
        `columns=steps` makes the figure of their pictures.

    Raises:
        UserError: Fewer than two points, or no steps.
    """
    _check(len(points), steps)
    t = torch.arange(steps, dtype=points.dtype, device=points.device)[:, None] / steps
    walk = (1 - t) * points[:-1, None] + t * points[1:, None]
    return walk.flatten(0, 1)


def pixel_walk(pictures: Pixels, steps: int) -> Pixels:
    """Fade pictures into one another: the baseline beside Figure 4, between real pictures.

    A fade is as smooth as can be and passes through no picture of the kind: smoothness alone says
    nothing about a walk, plausible pictures on the way do.

    Args:
        pictures: uint8 (k + 1, height, width, channels), at least two.
        steps: Pictures in each segment.

    Returns:
        uint8 (k * steps, height, width, channels), at the points of `latent_walk`, rounded to the
        nearest level.

    Raises:
        UserError: Fewer than two pictures, or no steps.
    """
    _check(len(pictures), steps)
    t = np.arange(steps).reshape(-1, 1, 1, 1)
    levels = pictures.astype(np.int64)[:, None]
    mixed = (steps - t) * levels[:-1] + t * levels[1:]
    walk = ((2 * mixed + steps) // (2 * steps)).astype(np.uint8)
    return walk.reshape(-1, *pictures.shape[1:])


def smoothness(frames: Pixels, steps: int, *, joined: bool = True) -> Smoothness:
    """Measure how evenly a walk changes, and find its largest step.

    The step over a joint, from the last picture of a row to the first of the next, counts as the
    last step of its row: the end point is left out of the row, so this step is as long in z as
    the others and in their direction. The walk only turns after it.

    Args:
        frames: uint8 (n, height, width, channels), in the order of the walk; two or more.
        steps: Frames in a row of its grid.
        joined: Whether a row goes on to the next. Else each is a walk of its own, of two or more
            frames, that ends at its last one.

    Raises:
        UserError: Fewer than two frames, or no steps.
    """
    _check(len(frames), steps)
    left = np.arange(len(frames) - 1)
    if not joined:
        left = left[(left + 1) % steps > 0]
    distances = np.array([_distance(frames[a], frames[a + 1]) for a in left])
    median, where = float(np.median(distances)), int(left[distances.argmax()])
    largest = float(distances.max())
    ratio = largest / max(median, _ROUNDING)
    row, column = divmod(where, steps)
    # The last row has no next one: it ends at the last frame.
    long, last = steps if joined else steps - 1, len(frames) - 1
    rows = [(a, min(a + long, last)) for a in range(0, last, steps)]
    across = float(np.median([_distance(frames[a], frames[b]) for a, b in rows]))
    sharp = ratio >= steps or 0 < largest >= across
    return Smoothness(distances, median, largest, ratio, row, column, sharp)


def _distance(one: Pixels, other: Pixels) -> float:
    difference = (one.astype(np.float64) - other) / 255
    return float(np.sqrt(np.square(difference).mean()))


def _check(points: int, steps: int) -> None:
    if points < 2 or steps < 1:
        raise UserError(
            f"a walk of {points} points in {steps} steps: at least 2 points and 1 step are needed"
        )
