"""Kernel distance of two sets of features: the formula of KID (Bińkowski et al., 2018).

The unbiased squared maximum mean discrepancy with the kernel (x.y / d + 1)^3, as the mean over
random subsets. Unlike Fréchet's it has no bias at small n; it may be a little below 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dcgan_models.errors import UserError
from dcgan_models.metrics.rows import Features, checked_pair

# Rows multiplied at once: the products stay in the cache until they are summed.
_ROWS = 128


@dataclass(frozen=True)
class KernelDistance:
    """The kernel distance of two sets of features, as its mean over subsets.

    Attributes:
        value: Their mean, which torch-fidelity calls `kernel_inception_distance_mean`.
        spread: Their standard deviation, its `..._std`.
        error: Standard error of `value` over pictures, and over the draw of the subsets.
    """

    value: float
    spread: float
    error: float


def kernel_distance(
    real: Features, fake: Features, *, subsets: int = 100, size: int = 1000, seed: int = 2020
) -> KernelDistance:
    """Estimate the squared maximum mean discrepancy of two sets of features, over subsets.

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
    variance = _variance(ours, theirs) + float(values.var(ddof=1)) / subsets
    return KernelDistance(float(values.mean()), float(values.std()), math.sqrt(variance))


def _variance(one: Tensor, other: Tensor) -> float:
    """Variance of the unbiased estimate from all pictures, over sets of as many others.

    The estimate is a U-statistic. Its variance has a part that single pictures make, seen in how
    the mean kernels of the rows differ, and one that pairs make: the squares of the kernel less
    its means by row and by column. The rows' means scatter with the pairs, too, which counts the
    second part double: it is taken off once. Where both sets are of one distribution it is all
    there is, and the first part is noise.
    """
    one, other = _augmented(one), _augmented(other)
    within, across = [_sums(x, x) for x in (one, other)], _sums(one, other)
    singles = pairs = 0.0
    for x, mine, rows in zip((one, other), within, (across.rows, across.columns), strict=True):
        n, itself = len(x), x.square().sum(dim=1) ** 3
        means = (mine.rows - itself) / (n - 1)
        unlike = means - rows / (len(one) + len(other) - n)
        singles += 4 * float(unlike.var()) / n
        squares = (mine.squares - float(itself.square().sum())) / (n * (n - 1))
        centred = squares - 2 * float(means.square().mean()) + float(means.mean()) ** 2
        pairs += 2 * centred / (n * (n - 1))
    n, m = len(one), len(other)
    by_row, by_column = across.rows / m, across.columns / n
    centred = across.squares / (n * m) + float(by_row.mean()) ** 2
    centred -= float(by_row.square().mean()) + float(by_column.square().mean())
    pairs = max(0.0, pairs + 4 * centred / (n * m))
    return max(singles - pairs, pairs)


class _Sums(NamedTuple):
    """Sums of a kernel matrix: by row (n,), by column (m,), and of all squares."""

    rows: Tensor
    columns: Tensor
    squares: float


def _sums(x: Tensor, y: Tensor) -> _Sums:
    """Sums of the kernel of all rows of x with all of y, a block at a time."""
    rows, columns, squares = [], y.new_zeros(len(y)), 0.0
    for first in range(0, len(x), _ROWS):
        products = x[first : first + _ROWS] @ y.T
        kernel = products.square() * products
        rows.append(kernel.sum(dim=1))
        columns += kernel.sum(dim=0)
        squares += float(torch.dot(kernel.flatten(), kernel.flatten()))
    return _Sums(torch.cat(rows), columns, squares)


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
