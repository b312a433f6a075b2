"""A direction in the latent space for each factor that a judge reads, and how far it is true.

Figure 8's turn vector joins two groups of exemplars. Where a judge reads many samples, a linear
regression of what it reads on z says the same for every factor at once: its weights are the
direction in which the factor grows fastest. One judge labels the samples that the directions are
fitted to; the other, which never saw a picture that the first learned from, reports on new samples
whether moving along them does what the word says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dcgan_models.internals.judged import Readings
from dcgan_models.metrics.judge import Factor, Judge
from dcgan_models.networks import Generator, draw_latents
from dcgan_models.presets import Preset


@dataclass(frozen=True)
class Direction:
    """Where a factor grows in the latent space.

    Attributes:
        factor: A flag or a number.
        vector: float32 (z_dim,); added to a z it leads to the end of the reach.
        explained: Share of the variance of what the judge read that the regression explains.
    """

    factor: Factor
    vector: Tensor
    explained: float


@dataclass(frozen=True)
class DirectionTruth:
    """What the reporting judge sees on new samples at both ends of a direction.

    Attributes:
        n: Samples, each drawn at both ends.
        obeyed: Samples that do as the word says: a flag is absent at the lower end and there at
            the upper; a number is higher by its standard deviation among plain samples.
        low, middle, high: At the lower end, of the samples themselves, and at the upper end: of a
            flag the share that has it, of a number the mean.
    """

    n: int
    obeyed: int
    low: float
    middle: float
    high: float


def reach_length(preset: Preset, deviations: float) -> float:
    """The length of so many standard deviations of one number of z."""
    return deviations * (1.0 if preset.z_distribution == "normal" else 3**-0.5)


def fit_directions(
    generator: Generator,
    picking: Judge,
    *,
    samples: int = 2000,
    deviations: float = 4.0,
    seed: int = 0,
) -> list[Direction]:
    """Regress what a judge reads of samples on their latents.

    Args:
        generator: Unconditional, with sampling statistics.
        picking: The judge that labels them.
        samples: How many, more than z has numbers.
        deviations: Length of each vector, in standard deviations of one number of z.
        seed: Of the latents.

    Returns:
        A direction for each flag and number that is not read the same of all samples.
    """
    preset = generator.preset
    z = draw_latents(preset, samples, torch.Generator().manual_seed(seed))
    read = picking.read(generator.draw(z))
    inputs = np.column_stack([z.double().numpy(), np.ones(samples)])
    length = reach_length(preset, deviations)
    found = []
    for factor in picking.factors:
        values = read[factor.name].astype(np.float64)
        if factor.kind == "box" or values.std() == 0:
            continue
        weights, *_ = np.linalg.lstsq(inputs, values, rcond=None)
        explained = 1 - float(np.var(values - inputs @ weights) / np.var(values))
        vector = weights[:-1] * (length / max(float(np.linalg.norm(weights[:-1])), 1e-12))
        found.append(Direction(factor, torch.from_numpy(vector).float(), explained))
    return found


def random_directions(preset: Preset, n: int, deviations: float = 4.0, seed: int = 0) -> Tensor:
    """Directions that mean nothing, of the same length: (n, z_dim)."""
    drawn = torch.randn((n, preset.z_dim), generator=torch.Generator().manual_seed(seed))
    found: Tensor = drawn / drawn.norm(dim=1, keepdim=True) * reach_length(preset, deviations)
    return found


def read_along(
    generator: Generator, reporting: Judge, z: Tensor, vectors: Tensor
) -> tuple[Readings, Readings]:
    """What a judge reads at the lower and at the upper end of directions through samples.

    Args:
        generator, reporting: As for `fit_directions`, with the judge that did not label.
        z: (n, z_dim) of samples that no direction was fitted to.
        vectors: (z_dim,), one direction for all samples, or (n, z_dim), one for each.
    """
    low, high = (reporting.read(generator.draw(z + sign * vectors)) for sign in (-1, 1))
    return low, high


def truth_of(factor: Factor, ends: tuple[Readings, Readings], middle: Readings) -> DirectionTruth:
    """How often a factor does as a direction's name says.

    Args:
        factor: What should change.
        ends: From `read_along`.
        middle: What the same judge reads of the samples themselves.
    """
    low, middle_, high = (
        read[factor.name].astype(np.float64) for read in (ends[0], middle, ends[1])
    )
    if factor.kind == "flag":
        obeyed = (low <= 0.5) & (high > 0.5)
        means = [float(np.mean(value > 0.5)) for value in (low, middle_, high)]
    else:
        obeyed = high - low > middle_.std()
        means = [float(np.mean(value)) for value in (low, middle_, high)]
    return DirectionTruth(len(obeyed), int(obeyed.sum()), *means)


def new_latents(preset: Preset, n: int, seed: int, fitted: int) -> Tensor:
    """Latents of a seed after those that directions were fitted to: (n, z_dim)."""
    rng = torch.Generator().manual_seed(seed)
    draw_latents(preset, fitted, rng)
    return draw_latents(preset, n, rng)
