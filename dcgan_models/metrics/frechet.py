"""Fréchet distance of two sets of features: the formula of FID (Heusel et al., 2017).

It is the 2-Wasserstein distance, squared, of the Gaussians with the sets' means and covariances:
|m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1^1/2 S2 S1^1/2)^1/2). In a feature space of our own it is
never called FID. It is biased upwards by about 1/n: values of two n are not to be compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dcgan_models.errors import UserError
from dcgan_models.metrics.intervals import Bounds, around
from dcgan_models.metrics.rows import Features, checked, checked_pair

# Random splits of both sets behind the interval.
_SPLITS = 16
# Of the variance of linear statistics, what noise alone has is a half; less comes by chance.
_LEAST = 0.4
# Pivots of Cholesky's below this share of the largest may be rounding errors.
_SINGULAR = 1e-5


@dataclass(frozen=True)
class Moments:
    """Mean (d,) and unbiased covariance (d, d) of n features, float64."""

    n: int
    mean: Tensor
    covariance: Tensor


def moments(features: Features, what: str = "features") -> Moments:
    """Mean and covariance of features (n, d), n at least 2; raise `UserError` as `checked`.

    Examples:
        >>> moments(torch.tensor([[1.0, 5.0], [3.0, 5.0]])).mean.tolist()
        [2.0, 5.0]
    """
    return _moments(checked(features, what, 2))


def _moments(rows: Tensor) -> Moments:
    mean = rows.mean(dim=0)
    centred = rows - mean
    return Moments(len(rows), mean, centred.T @ centred / (len(rows) - 1))


def frechet_distance(one: Moments, other: Moments) -> float:
    """The distance of two Gaussians, at least 0, whatever the rank of their covariances.

    With S = L L^T the last trace is the sum of the singular values of L1^T L2. No root is taken
    of a rounding error, as happens to the eigenvalues of S1 S2 where there are fewer pictures
    than features: the result is the limit there, and symmetric.

    Raises:
        UserError: The moments are of features of different widths.

    Examples:
        >>> rows = torch.tensor([[0.0, 0.0], [2.0, 2.0], [0.0, 2.0], [2.0, 0.0]])
        >>> round(frechet_distance(moments(rows), moments(rows + 3)), 6)  # moved by 3 along both
        18.0
    """
    if len(one.mean) != len(other.mean):
        raise UserError(
            f"moments of {len(one.mean)} and of {len(other.mean)} features; both must come from "
            "one extractor"
        )
    roots = _root(one.covariance).T @ _root(other.covariance)
    shared = torch.linalg.svdvals(roots).sum()
    apart = (one.mean - other.mean).square().sum()
    distance = apart + one.covariance.trace() + other.covariance.trace() - 2 * shared
    return max(0.0, float(distance))


def _root(covariance: Tensor) -> Tensor:
    """L with L L^T = S: Cholesky's where S is far from singular, else by the eigenvectors."""
    lower: Tensor
    lower, failed = torch.linalg.cholesky_ex(covariance)
    pivots = lower.diagonal()
    if not bool(failed) and bool(pivots.min() > _SINGULAR * pivots.max()):
        return lower
    values, vectors = torch.linalg.eigh(covariance)
    # What is below rounding of the largest is 0: its root would not be negligible.
    rounding = len(values) * torch.finfo(values.dtype).eps * values[-1].clamp(min=0)
    root: Tensor = vectors * torch.where(values > rounding, values, 0.0).sqrt()
    return root


def frechet_interval(
    real: Features, fake: Features, *, seed: int = 0, splits: int = _SPLITS
) -> tuple[float, Bounds]:
    """The distance and its 95% interval over pictures, from disjoint halves.

    Both sets are split in two at random, so that each split gives two distances of pictures that
    are not the same: half their mean squared difference is the variance at n / 2, without the bias
    of one set drawn from another. From there to n it falls to a half where the distance is far
    from 0, and to a quarter where it is nothing but noise. How much of it is noise is seen from
    the distance itself, which noise alone makes fall: for a squared length, which this is like,
    the variance is n / 2's, halved, times 3/2 less half the ratio of the two distances. The centre
    is the distance of all pictures, bias and all; the interval is for its mean at this n.

    Args:
        real, fake: float (n, d), n at least 4.
        seed: Of the splits.
        splits: How many; each costs two distances of half the pictures.

    Raises:
        UserError: Too few pictures, two widths, or a feature that is not finite.
    """
    pair = checked_pair(real, fake, 4)
    value = frechet_distance(*map(_moments, pair))
    rng = np.random.default_rng(seed)
    halves = np.array([_of_halves(pair, rng) for _ in range(splits)])
    if value == 0:
        return value, (0.0, float(halves.max()))
    shrinks = max(_LEAST, 1.5 - float(halves.mean()) / value / 2)
    error = math.sqrt(float(np.square(halves[:, 0] - halves[:, 1]).mean()) / 4 * shrinks)
    # On a logarithmic scale: a distance is positive, and scatters the more the larger it is.
    low, high = around(math.log(value), error / value, splits)
    return value, (math.exp(low), math.exp(high))


def _of_halves(pair: tuple[Tensor, Tensor], rng: np.random.Generator) -> list[float]:
    """The distances of a random half of both sets and of the other half."""
    orders = [rng.permutation(len(rows)) for rows in pair]
    sides = (slice(None, -1, 2), slice(1, None, 2))
    return [
        frechet_distance(
            *(_moments(rows[order[side]]) for rows, order in zip(pair, orders, strict=True))
        )
        for side in sides
    ]
