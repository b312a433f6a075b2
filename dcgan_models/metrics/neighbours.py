"""Nearest neighbours: the authors' distance, and the two-sample test.

The authors' training scripts log the mean distance of validation pictures to the nearest of so
many samples (train_uncond_dcgan.py, lib/metrics.py). The two-sample test (Lopez-Paz and Oquab,
2017; Xu et al., 2018) asks whether a picture's nearest other picture is of its own kind. For two
sets of one distribution half of them are; near 1 a classifier could tell the sets apart; far
below 1/2 the generated pictures sit on top of real ones, which is how copies look.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dcgan_models.metrics.pictures import Pictures, blocks, check_alike
from dcgan_models.metrics.rows import Features, checked_pair
from dcgan_models.neighbours.nearest import nearest_neighbours
from dcgan_models.neighbours.retrieval import nearest_by, typical_norm
from dcgan_models.pixels import Pixels

_BLOCK = 1024


@dataclass(frozen=True)
class NearestDistance:
    """The authors' measure: mean distance of real pictures to the nearest generated one.

    Attributes:
        value: Euclidean, of all pixels, scaled to [-1, 1] as the networks see them. Lower is
            better, and lower the more pictures were generated.
        error: Its standard error over the real pictures.
    """

    value: float
    error: float


def mean_nearest_distance(held_out: Pictures, fake: Pictures) -> NearestDistance:
    """The authors' nearest-neighbour distance, on validation pictures.

    Args:
        held_out: uint8 (n, height, width, channels), n at least 2; all are in memory at once.
        fake: uint8, of the same shape; 1,000 to 100,000 in the authors' logs. Streamed.

    Raises:
        UserError: Too few pictures, or of two shapes.
    """
    check_alike(held_out, fake, 2)
    queries = torch.cat([_scaled(block) for block in blocks(held_out, _BLOCK)])
    stream = (
        (_scaled(block), torch.zeros(len(block), dtype=torch.int64))
        for block in blocks(fake, _BLOCK)
    )
    distances = nearest_neighbours(queries, stream).squared_distance.sqrt()
    error = distances.std() / len(distances) ** 0.5
    return NearestDistance(distances.mean().item(), error.item())


def _scaled(pixels: Pixels) -> Tensor:
    return torch.from_numpy(pixels.reshape(len(pixels), -1)).float() / 127.5 - 1


@dataclass(frozen=True)
class TwoSample:
    """Leave-one-out accuracy of the nearest-neighbour classifier, in [0, 1].

    Attributes:
        real: Share of real pictures whose nearest other is real: low where generated pictures
            crowd around real ones.
        fake: Share of generated pictures whose nearest other is generated: high where the
            generator repeats itself, low where it copies.
    """

    real: float
    fake: float

    @property
    def accuracy(self) -> float:
        """Of both kinds, which are equally many: 1/2 where they cannot be told apart."""
        return (self.real + self.fake) / 2


def two_sample_test(real: Features, fake: Features, *, seed: int = 0) -> TwoSample:
    """The 1-nearest-neighbour two-sample test.

    Of the larger set a random part is taken: with unequal sets chance is not 1/2. Of equally near
    pictures one of the other kind counts first, so that a copy is nobody's own kind.

    Args:
        real, fake: float (n, d), each of at least two pictures.
        seed: Of the part.

    Raises:
        UserError: Too few pictures, two widths, or a feature not finite.
    """
    pair = checked_pair(real, fake, 2)
    count = min(map(len, pair))
    rng = np.random.default_rng(seed)
    ours, theirs = (rows[rng.permutation(len(rows))[:count]].float() for rows in pair)
    return TwoSample(_own_kind(ours, theirs), _own_kind(theirs, ours))


def _own_kind(one: Tensor, other: Tensor) -> float:
    """Share of `one` that is nearer to another of `one` than to any of `other`."""
    numbers = torch.arange(len(one))
    nearest = nearest_by([one], [([one], numbers)], 2, scales=[typical_norm(one)])
    # The nearest of a picture is the picture itself, or a copy, at the same distance.
    own = torch.where(nearest.rows[:, 0] == numbers, nearest.rows[:, 1], nearest.rows[:, 0])
    within = (one.double() - one[own].double()).square().sum(dim=1)
    across = nearest_neighbours(one, [(other, torch.zeros(len(other), dtype=torch.int64))])
    return float(np.mean((within < across.squared_distance).numpy()))
