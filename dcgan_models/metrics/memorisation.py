"""Whether a generator copies its training set, which every measure of quality would praise.

Two distances say that a picture is a copy, and both must. Its nearest training picture is nearer
than that of nearly all held-out real pictures; and it is nearer by far than the tenth nearest,
again compared with held-out pictures. The first alone accuses a generator of blurred pictures,
which lie in the middle of everything and near to all of it; the second alone accuses a picture
that is far from all but one. It is the tenth and not the second because training pictures may be
there several times, more or less alike: a copy of such a one is near to all of them.

The bounds are quantiles of held-out pictures, so that a generator of the true distribution would
have at most 1% of "copies". A held-out picture of which a near-copy was trained on is no witness
for that, and a few would bring both bounds down to nothing: such pictures are found by the same
ratio, and left out.

How small a ratio is by chance follows from the dimension of the data. Were the training pictures
spread evenly about a picture, in D dimensions, then (r1/rk)^D would be distributed as the least
of k - 1 uniform numbers, P(r1/rk < x) = 1 - (1 - x^D)^(k - 1), and D follows from the median
ratio, which near-copies do not move before they are half of all (the same spacings give Levina
and Bickel's estimate of D, 2004). What has a chance of one in a thousand is taken for a near-copy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from dcgan_models.errors import UserError
from dcgan_models.metrics.rows import Features, checked
from dcgan_models.metrics.shares import wilson_interval
from dcgan_models.neighbours.retrieval import nearest_by, typical_norm

# The share of held-out pictures that would count as copies by either distance.
QUANTILE = 0.01
# Chance of the ratio of a held-out picture below which a near-copy of it was trained on.
CHANCE = 0.001
# The distance to the nearest is held against that to the so manyth.
_NEIGHBOURS = 10
# With fewer held-out pictures their first percentile is no more than the smallest of a few.
_LEAST_HELD_OUT = 20
_LEAST_LEFT = 10


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

    def memorised(self, tolerated: float) -> bool:
        """Whether more than a tolerated share are copies, beyond doubt about the share."""
        return self.low > tolerated


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
    def of(cls, train: Features, held_out: Features) -> CopyBounds:
        """Find the bounds.

        Args:
            train: float (n, d) of the training pictures that a copy would be of: all, or as many
                as can be had; n at least 2.
            held_out: float (m, d) of real pictures that were not trained on, m at least 20.

        Raises:
            UserError: Too few pictures, or too few of which no near-copy was trained on; several
                widths, or a feature not finite.
        """
        _check_widths(train, held_out)
        checked(train, "training features", 2)
        checked(held_out, "held-out features", _LEAST_HELD_OUT)
        nearest, ratios = _distances(held_out, train)
        near_copies = _by_no_chance(ratios, min(_NEIGHBOURS, len(train)))
        left = ~near_copies
        if left.sum() < _LEAST_LEFT:
            raise UserError(
                f"held-out features: of {near_copies.sum()} of {len(held_out)} pictures a "
                f"near-copy was trained on; at least {_LEAST_LEFT} without one are needed"
            )
        return cls(
            train,
            nearest=_low(nearest[left]),
            ratio=_low(ratios[left]),
            typical=float(np.median(nearest[left])),
            near_copies=near_copies,
        )

    def judge(self, fake: Features) -> Memorisation:
        """Say how many generated pictures are copies.

        Args:
            fake: float (k, d), k at least 1.

        Raises:
            UserError: No picture, another width, or a feature not finite.
        """
        _check_widths(self.train, fake)
        checked(fake, "generated features", 1)
        nearest, ratios = _distances(fake, self.train)
        near = nearest <= self.nearest
        copies = int((near & (ratios <= self.ratio)).sum())
        low, high = wilson_interval(copies, len(fake))
        return Memorisation(
            share=copies / len(fake),
            low=low,
            high=high,
            nearer=float(near.mean()),
            ratio=float(np.median(nearest)) / self.typical if self.typical > 0 else 1.0,
        )


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
    """The dimension of data, by the median of ratios of distances (nearest over k-th nearest).

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


def _by_no_chance(ratios: npt.NDArray[np.float64], k: int) -> npt.NDArray[np.bool_]:
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


def _distances(
    queries: Features, train: Features
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Of each query the distance to the nearest training picture, and its share of the tenth's.

    Where there are fewer than ten, the last takes its place. Of a picture that is there ten times
    over, the share is 0.
    """
    rows = torch.from_numpy(np.ascontiguousarray(train, np.float32))
    asked = torch.from_numpy(np.ascontiguousarray(queries, np.float32))
    scale = typical_norm(rows)
    k = min(_NEIGHBOURS, len(rows))
    found = nearest_by([asked], [([rows], torch.arange(len(rows)))], k, scales=[scale])
    distances = found.distances.double().numpy() * scale
    first, last = distances[:, 0], distances[:, -1]
    ratios = np.divide(first, last, out=np.zeros_like(first), where=last > 0)
    return first, ratios


def _low(values: npt.NDArray[np.float64]) -> float:
    return float(np.quantile(values, QUANTILE, method="lower"))
