"""Figure 4 counted: what a judge sees along walks, and along fades between the same pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from dcgan_models.internals.judged import names_of
from dcgan_models.internals.latent import latent_walk, pixel_walk, smoothness
from dcgan_models.metrics.judge import Judge
from dcgan_models.networks import Generator, draw_latents
from dcgan_models.pixels import Pixels

# Between these a judge cannot say whether a flag is set: half a window.
_UNDECIDED = 0.1, 0.9


@dataclass(frozen=True)
class JudgedWalks:
    """What is seen along walks, each from one picture to another.

    Attributes:
        pictures: uint8 (walks * steps, height, width, channels), walk after walk.
        changes: float64 (walks, steps - 1), of each step the number of flags that change.
        undecided: float64 (walks,), the share of a walk's readings of flags that are neither
            plainly set nor plainly unset.
        sharp: Whether a step is as large as a walk, as `Smoothness` says of all walks together.
    """

    pictures: Pixels
    changes: npt.NDArray[np.float64]
    undecided: npt.NDArray[np.float64]
    sharp: bool


def judge_walks(
    generator: Generator, reporting: Judge, walks: int, steps: int = 10, *, seed: int = 0
) -> tuple[JudgedWalks, JudgedWalks]:
    """Walk through the latent space, and fade between the pictures of the same points.

    No two walks have a point in common, so that they are independent.

    Args:
        generator: With sampling statistics.
        reporting: The judge that counts.
        walks: Between two random points each.
        steps: Pictures of each, at least two.
        seed: Of the points.

    Returns:
        The walks, and the fades.
    """
    rng = torch.Generator().manual_seed(seed)
    points = draw_latents(generator.preset, 2 * walks, rng)
    latents = torch.cat([latent_walk(ends, steps) for ends in points.view(walks, 2, -1)])
    drawn = np.split(generator.draw(points), walks)
    fades = np.concatenate([pixel_walk(ends, steps) for ends in drawn])
    return _seen(reporting, generator.draw(latents), steps), _seen(reporting, fades, steps)


def _seen(judge: Judge, pictures: Pixels, steps: int) -> JudgedWalks:
    read = judge.read(pictures)
    likely = np.stack([read[flag] for flag in names_of(judge.factors, "flag")])
    likely = likely.reshape(len(likely), -1, steps)
    there = likely > 0.5
    low, high = _UNDECIDED
    return JudgedWalks(
        pictures=pictures,
        changes=(there[..., 1:] != there[..., :-1]).sum(axis=0).astype(np.float64),
        undecided=((likely > low) & (likely < high)).mean(axis=(0, 2)),
        sharp=smoothness(pictures, steps, joined=False).sharp,
    )
