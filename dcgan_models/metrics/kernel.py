"""Kernel distance of two sets of features: the formula of KID (Bińkowski et al., 2018).

The unbiased squared maximum mean discrepancy with the kernel (x.y / d + 1)^3, as the mean over
random subsets. Unlike Fréchet's it has no bias at small n; it may be a little below 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dcgan_models.errors import UserError
from dcgan_models.metrics.rows import Features, checked_pair

# Rows multiplied at once: the products stay in the cache until they are summed.
_ROWS = 128


@dataclass(frozen=True)
class KernelDistance:
    """The mean over subsets.

    Attributes:
        value: Their mean, which torch-fidelity calls `kernel_inception_distance_mean`.
        spread: Their standard deviation, its `..._std`.
        error: Standard error of `value` over pictures; None where the subsets leave out too few
            pictures to tell.
    """

    value: float
    spread: float
    error: float | None


def kernel_distance(
    real: Features, fake: Features, *, subsets: int = 100, size: int = 1000, seed: int = 2020
) -> KernelDistance:
    """Estimate the squared discrepancy.

    Args:
        real, fake: float (n, d).
        subsets, size: How many subsets, of so many pictures of each kind.
        seed: Of the subsets; they are those of torch-fidelity, whose default it has.

    Raises:
        UserError: Fewer pictures than a subset has, two widths, or a feature not finite.
    """
    if subsets < 2 or size < 2:
        raise UserError(f"kernel distance: {subsets} subsets of {size}; at least 2 of 2 are needed")
    ours, theirs = checked_pair(real, fake, size)
    rng = np.random.RandomState(seed)
    # torch-fidelity draws of its first input, the generated pictures, first.
    draws = [
        [rng.choice(len(rows), size, replace=False) for rows in (theirs, ours)]
        for _ in range(subsets)
    ]
    values = np.array([_discrepancy(theirs[a], ours[b]) for a, b in draws])
    spread = float(values.std())
    return KernelDistance(
        float(values.mean()), spread, _standard_error(spread, subsets, size, len(real), len(fake))
    )


def _standard_error(spread: float, subsets: int, size: int, *counts: int) -> float | None:
    """Delete-d jackknife: what subsets of m of n say about the error of all n.

    Their variance, times m / (n - m), estimates the variance at n; a share for having drawn only
    so many subsets comes on top. Where m is more than two thirds of n they hardly differ.
    """
    kept = size / min(counts)
    if kept > 2 / 3:
        return None
    return spread * math.sqrt(kept / (1 - kept) + 1 / subsets)


def _discrepancy(one: Tensor, other: Tensor) -> float:
    """The unbiased estimate for two sets of the same size."""
    n = len(one)
    one, other = _augmented(one), _augmented(other)
    within = _sum_within(one) + _sum_within(other)
    return within / (n * (n - 1)) - 2 * _sum_across(one, other) / n**2


def _augmented(x: Tensor) -> Tensor:
    """Rows whose plain products are x.y / d + 1, which saves two passes over every product."""
    return torch.cat([x / math.sqrt(x.shape[1]), x.new_ones(len(x), 1)], dim=1)


def _sum_within(x: Tensor) -> float:
    """The kernel's sum over all pairs of different rows, each product computed once."""
    total = -float((x.square().sum(dim=1) ** 3).sum())
    for first in range(0, len(x), _ROWS):
        block = x[first : first + _ROWS]
        total += _cubes(block, block) + 2 * _cubes(block, x[first + _ROWS :])
    return total


def _sum_across(x: Tensor, y: Tensor) -> float:
    return sum(_cubes(x[first : first + _ROWS], y) for first in range(0, len(x), _ROWS))


def _cubes(x: Tensor, y: Tensor) -> float:
    """The sum of the cubes of all products."""
    kernel = (x @ y.T).flatten()
    # Products are many times faster than a power.
    return float(torch.dot(kernel, kernel.square()))
