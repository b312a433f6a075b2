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

from dcgan_models.metrics.rows import Features, checked, checked_pair

# Random halves of both sets behind the interval.
_HALVES = 20
# Pivots of Cholesky's below this share of the largest may be rounding errors.
_SINGULAR = 1e-5


@dataclass(frozen=True)
class Moments:
    """Mean (d,) and unbiased covariance (d, d) of n features, float64."""

    n: int
    mean: Tensor
    covariance: Tensor


def moments(features: Features, what: str = "features") -> Moments:
    """Mean and covariance of features (n, d), n at least 2; raise `UserError` as `checked`."""
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
    """
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
    real: Features, fake: Features, *, seed: int = 0, halves: int = _HALVES
) -> tuple[float, tuple[float, float]]:
    """The distance and its 95% interval over pictures, by the delete-half jackknife.

    The variance of a statistic over random halves, drawn without replacement, estimates its
    variance over sets of all n. The centre is the distance of all pictures, bias and all.

    Args:
        real, fake: float (n, d), n at least 4.
        seed: Of the halves.
        halves: How many; each costs a distance.

    Raises:
        UserError: Too few pictures, two widths, or a feature that is not finite.
    """
    pair = checked_pair(real, fake, 4)
    value = frechet_distance(*map(_moments, pair))
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(halves):
        chosen = [rows[rng.permutation(len(rows))[: len(rows) // 2]] for rows in pair]
        values.append(frechet_distance(*map(_moments, chosen)))
    half = 1.96 * math.sqrt(float(np.var(values, ddof=1)))
    return value, (max(0.0, value - half), value + half)
