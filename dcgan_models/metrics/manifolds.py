"""Precision, recall, density and coverage: fidelity and variety, told apart.

Each set's manifold is guessed as balls around its features, as wide as the distance to the k-th
nearest other of the set. Precision and recall (Kynkäänniemi et al., 2019; k = 3): the share of
generated pictures inside the real manifold, and of real ones inside the generated one. Density
and coverage (Naeem et al., 2020; k = 5) mind outliers less: how many real balls a generated
picture lies in, over k, and the share of real balls with a generated picture in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dcgan_models.metrics.rows import Features, checked_pair

_PRECISION_K, _DENSITY_K = 3, 5
# A block of squared distances, float64, is at most 2 MiB, or a row: it stays in the cache.
_BLOCK = 2**18
# Squared radii grow by this share of the largest squared norm: copies differ by rounding.
_ROUNDING = 1e-13


@dataclass(frozen=True)
class Manifolds:
    """The four measures, in [0, 1] but for density, whose expectation is 1 for equal sets."""

    precision: float
    recall: float
    density: float
    coverage: float


@torch.no_grad()
def manifolds(real: Features, fake: Features) -> Manifolds:
    """Measure precision, recall, density and coverage of generated features.

    Memory does not grow with n^2.

    Args:
        real, fake: float (n, d), each of at least six pictures. The measures depend on n.

    Raises:
        UserError: Too few pictures, two widths, or a feature not finite.

    Examples:
        >>> real, fake = torch.randn(2, 500, 8, generator=torch.Generator().manual_seed(0))
        >>> far = manifolds(real, fake + 100)
        >>> far.precision, far.recall, far.density, far.coverage
        (0.0, 0.0, 0.0, 0.0)
    """
    ours, theirs = checked_pair(real, fake, _DENSITY_K + 1)
    centre = ours.mean(dim=0)  # distances are differences of squares: near 0 they keep digits
    ours, theirs = ours - centre, theirs - centre
    norms = torch.cat([x.square().sum(dim=1) for x in (ours, theirs)])
    rounding = _ROUNDING * float(norms.max())
    real_radii = _radii(ours, [_PRECISION_K, _DENSITY_K]) + rounding
    fake_radii = _radii(theirs, [_PRECISION_K])[:, 0] + rounding
    inside_real = torch.zeros(len(theirs), dtype=torch.bool)
    balls = torch.zeros(len(theirs), dtype=torch.float64)
    recalled, covered = [], []
    for rows, squared in _squared_distances(ours, theirs):
        precision_radii, density_radii = real_radii[rows].unbind(dim=1)
        inside_real |= (squared <= precision_radii[:, None]).any(dim=0)
        hits = squared <= density_radii[:, None]
        balls += hits.sum(dim=0)
        covered.append(hits.any(dim=1))
        recalled.append((squared <= fake_radii).any(dim=1))
    return Manifolds(
        precision=inside_real.double().mean().item(),
        recall=torch.cat(recalled).double().mean().item(),
        density=(balls / _DENSITY_K).mean().item(),
        coverage=torch.cat(covered).double().mean().item(),
    )


def _radii(points: Tensor, ks: list[int]) -> Tensor:
    """Squared distance to the k-th nearest other point, for each k: (n, len(ks))."""
    parts = []
    for _, squared in _squared_distances(points, points):
        # Each point is its own nearest, at 0: the k-th other is the (k + 1)-th of all.
        nearest = squared.topk(max(ks) + 1, dim=1, largest=False).values
        parts.append(nearest[:, ks])
    return torch.cat(parts)


def _squared_distances(one: Tensor, other: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Squared distances of some rows of `one` to all of `other`, block after block.

    Float64: what is negative by rounding is a copy, as `rounding` allows for.
    """
    norms, others = one.square().sum(dim=1), other.square().sum(dim=1)
    step = max(1, _BLOCK // len(other))
    for first in range(0, len(one), step):
        rows = slice(first, first + step)
        squared = torch.addmm(others, one[rows], other.T, alpha=-2)
        yield rows, squared.add_(norms[rows, None])
