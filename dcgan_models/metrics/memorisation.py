"""Whether a generator copies its training set, which every measure of quality would praise.

Two distances say that a picture is a copy, and both must. Its nearest training picture is nearer
than that of nearly all held-out real pictures; and it is nearer by far than the tenth nearest,
again compared with held-out pictures. The first alone accuses a generator of blurred pictures,
which lie in the middle of everything and near to all of it; the second alone accuses a picture
that is far from all but one. It is the tenth and not the second because training pictures may be
there several times, more or less alike: a copy of such a one is near to all of them.

A picture may be given in several views, as it is and mirrored: its neighbours are those of all of
them, and so a mirrored copy is a copy.

The bounds are quantiles of held-out pictures, so that a generator of the true distribution would
have at most 1% of "copies". A held-out picture of which a near-copy was trained on is no witness
for that, and a few would bring both bounds down to nothing: such pictures are found by the same
ratio, and left out. (`twins` takes most of them away before anything is measured, by pixels.)

How small a ratio is by chance follows from the dimension of the data. Were the training pictures
spread evenly about a picture, in D dimensions, then (r1/rk)^D would be distributed as the least
of k - 1 uniform numbers, P(r1/rk < x) = 1 - (1 - x^D)^(k - 1), and D follows from the median
ratio, which near-copies do not move before they are half of all (the same spacings give Levina
and Bickel's estimate of D, 2004). What has a chance of one in a thousand is taken for a near-copy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dcgan_models.errors import UserError
from dcgan_models.metrics.intervals import wilson_interval
from dcgan_models.metrics.rows import Features, checked
from dcgan_models.neighbours.retrieval import nearest_by, typical_norm

# The share of held-out pictures that would count as copies by either distance.
QUANTILE = 0.01
# Chance of the ratio of a held-out picture below which a near-copy of it was trained on.
CHANCE = 0.001
# The distance to the nearest is held against that to the so manyth.
NEIGHBOURS = 10
# With fewer held-out pictures their first percentile is no more than the smallest of a few.
_LEAST_HELD_OUT = 20
_LEAST_LEFT = 10
# Training pictures that are compared at once: a few hundred MiB at most.
_BLOCK = 65_536


@dataclass(frozen=True)
class Memorisation:
    """How many generated pictures are copies.

    Attributes:
        share: Of generated pictures that are copies by both distances.
        low, high: Its 95% Wilson interval over the generated pictures.
        nearer: Share that is nearer to a training picture than 99% of held-out pictures are:
            the first distance alone.
        ratio: Median distance of generated pictures to their nearest training picture, over that
            of held-out ones: about 1 for new pictures, 0 for copies.
    """

    share: float
    low: float
    high: float
    nearer: float
    ratio: float


@dataclass(frozen=True, eq=False)
class CopyBounds:
    """What counts as a copy of a training set, by what held-out pictures are like.

    Attributes:
        train: float (n, d) of the training pictures.
        nearest: A copy's nearest training picture is no further than this.
        ratio: A copy's ratio of distances, nearest over tenth nearest, is at most this.
        typical: Median distance of held-out pictures to their nearest training picture.
        near_copies: Held-out pictures of which a near-copy was trained on, in their order:
            bool (m,). They were left out.
    """

    train: Features
    nearest: float
    ratio: float
    typical: float
    near_copies: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, train: Features, *held_out: Features) -> CopyBounds:
        """Find the bounds within which hardly a held-out picture lies.

        Args:
            train: float (n, d) of the training pictures that a copy would be of: all, or as many
                as can be had; n at least 2.
            held_out: float (m, d) of real pictures that were not trained on, m at least 20; one
                or more views of them.

        Raises:
            UserError: Too few pictures, or too few of which no near-copy was trained on; several
                widths, or a feature not finite.
        """
        _check_widths(train, *held_out)
        checked(train, "training features", 2)
        for view in held_out:
            checked(view, "held-out features", _LEAST_HELD_OUT)
        found = _among(train, held_out)
        near_copies = by_no_chance(found.ratio, min(NEIGHBOURS, len(train)))
        left = ~near_copies
        if left.sum() < _LEAST_LEFT:
            raise UserError(
                f"held-out features: of {near_copies.sum()} of {len(left)} pictures a "
                f"near-copy was trained on; at least {_LEAST_LEFT} without one are needed"
            )
        return cls(
            train,
            nearest=_low(found.distance[left]),
            ratio=_low(found.ratio[left]),
            typical=float(np.median(found.distance[left])),
            near_copies=near_copies,
        )

    def copies(self, *fake: Features) -> npt.NDArray[np.bool_]:
        """Say of each generated picture whether it is a copy: bool (k,).

        Args:
            fake: As `judge` takes it.

        Raises:
            UserError: As `judge` does.
        """
        return self._judged(fake)[1]

    def judge(self, *fake: Features) -> Memorisation:
        """Say how many generated pictures are copies.

        Args:
            fake: float (k, d), k at least 1; the same views of them as of the held-out ones.

        Raises:
            UserError: No picture, another width, or a feature not finite.
        """
        found, copies = self._judged(fake)
        low, high = wilson_interval(int(copies.sum()), len(copies))
        return Memorisation(
            share=float(copies.mean()),
            low=low,
            high=high,
            nearer=float((found.distance <= self.nearest).mean()),
            ratio=float(np.median(found.distance)) / self.typical if self.typical > 0 else 1.0,
        )

    def _judged(self, fake: Sequence[Features]) -> tuple[NearestOf, npt.NDArray[np.bool_]]:
        _check_widths(self.train, *fake)
        for view in fake:
            checked(view, "generated features", 1)
        found = _among(self.train, fake)
        return found, (found.distance <= self.nearest) & (found.ratio <= self.ratio)


@dataclass(frozen=True, eq=False)
class NearestOf:
    """How near pictures are to training pictures, by all of their views.

    Attributes:
        distance: float64 (m,), to the nearest training picture.
        ratio: float64 (m,), that distance over the distance to the k-th nearest, in [0, 1]: 0 for
            a picture that is there k times over.
        row: int64 (m,), of the nearest training picture.
    """

    distance: npt.NDArray[np.float64]
    ratio: npt.NDArray[np.float64]
    row: npt.NDArray[np.int64]


def nearest_of(
    views: Sequence[Tensor],
    blocks: Iterable[tuple[Sequence[Tensor], Tensor]],
    k: int,
    scale: float,
) -> NearestOf:
    """Find the nearest and the k-th nearest training picture of each picture, over its views.

    Args:
        views: float (m, d) each, of the same pictures.
        blocks: As `neighbours.retrieval.nearest_by` takes them, in one space.
        k: At least 2 and at most the training pictures.
        scale: A length that is typical of the space.

    Raises:
        UserError: As `nearest_by` does.
    """
    found = nearest_by([torch.cat(list(views))], blocks, k, scales=[scale])
    distances, rows = (
        np.concatenate(np.split(x.numpy(), len(views)), axis=1)
        for x in (found.distances.double() * scale, found.rows)
    )
    order = distances.argsort(axis=1, kind="stable")[:, :k]
    distances, rows = (np.take_along_axis(x, order, axis=1) for x in (distances, rows))
    first, last = distances[:, 0], distances[:, -1]
    ratio = np.divide(first, last, out=np.zeros_like(first), where=last > 0)
    return NearestOf(first, ratio, rows[:, 0])


def memorisation(train: Features, held_out: Features, fake: Features) -> Memorisation:
    """Compare generated and held-out pictures with the training pictures.

    Args:
        train, held_out: As `CopyBounds.of` takes them.
        fake: As `CopyBounds.judge` takes it.

    Raises:
        UserError: As both do.
    """
    return CopyBounds.of(train, held_out).judge(fake)


def dimension(ratios: npt.NDArray[np.float64], k: int) -> float:
    """Intrinsic dimension of data, by the median ratio of distances, nearest over k-th nearest.

    Args:
        ratios: (n,) in [0, 1].
        k: At least 2.

    Returns:
        Above 0: 0.0 where half of the ratios are 0, inf where half of them are 1.
    """
    median = float(np.median(ratios))
    if median in {0.0, 1.0}:
        return math.inf if median else 0.0
    return math.log(1 - 0.5 ** (1 / (k - 1))) / math.log(median)


def by_no_chance(ratios: npt.NDArray[np.float64], k: int) -> npt.NDArray[np.bool_]:
    """(n,) whether a ratio is so small that pictures spread evenly have it less than `CHANCE`.

    Where half of the ratios are 0, those are: half of the pictures are there as they are.
    """
    even = dimension(ratios, k)
    if not 0 < even < math.inf:
        return np.equal(ratios, 0)
    least: float = (1 - (1 - CHANCE) ** (1 / (k - 1))) ** (1 / even)
    return np.less(ratios, least)


def _check_widths(*features: Features) -> None:
    widths = {len(rows[0]) for rows in features if len(rows)}
    if len(widths) > 1:
        raise UserError(f"features are {sorted(widths)} wide; all must come from one extractor")


def _among(train: Features, views: Sequence[Features]) -> NearestOf:
    """The nearest training pictures; where there are fewer than ten, the last is the k-th."""
    rows, *asked = (torch.from_numpy(np.ascontiguousarray(x, np.float32)) for x in (train, *views))
    numbers = torch.arange(len(rows))
    blocks = (
        ([rows[first : first + _BLOCK]], numbers[first : first + _BLOCK])
        for first in range(0, len(rows), _BLOCK)
    )
    return nearest_of(asked, blocks, min(NEIGHBOURS, len(rows)), typical_norm(rows))


def _low(values: npt.NDArray[np.float64]) -> float:
    return float(np.quantile(values, QUANTILE, method="lower"))
