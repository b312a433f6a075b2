"""Exact distances from fast products: what float32 scores leave open is measured in float64.

`nearest` searches with matrix products, whose rounding is bounded here, and measures again, in one
fixed order of additions, every pair that the bound cannot tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dcgan_models.errors import UserError


class Sizes(NamedTuple):
    """How the work is cut: `queries` x `references` to a product, `pairs` measured at a time."""

    queries: int
    references: int
    pairs: int


# On a CPU the 16 MiB of scores stay in the cache for the search that follows, and so few pairs stay
# on one thread, where waking a second costs more than it brings. A GPU wants large steps.
SIZES = {"cpu": Sizes(2048, 2048, 40), "cuda": Sizes(16384, 4096, 16384)}

# Up to this norm no score can overflow: |r|^2 + 2 |q| |r| stays far below float32's 3.4e38.
_LARGEST_NORM = 1e18


def rounding_bound(query_norms: Tensor, norms: Tensor, d: int) -> Tensor:
    """How far a score |r|^2 - 2 q.r may lie from its true value: float64 (q,), for every r.

    With u the unit roundoff and g = k u / (1 - k u), a sum of k products, added in any order and
    with or without fused multiply-adds, is off by at most g times the sum of their magnitudes
    (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1); for q.r that sum is at
    most |q| |r|. The norms, their squares and the product are then off by less than
    2 k u |r| (|r| + |q|) with k = d + 8, but for terms in u^2: the factor 2.5 covers those up to a
    million pixels. The last term covers |q|^2 and the distances, which are rounded in float64,
    and the small addend to |r| what underflow may lose.
    """
    k = d + 8
    unit, unit_64 = (torch.finfo(dtype).eps / 2 for dtype in (norms.dtype, torch.float64))
    longest = norms.max().double() + math.sqrt(d) * 2.0**-50
    reach = query_norms + longest
    return 2.5 * k * unit * longest * reach + 4 * k * unit_64 * reach.square()


def squared_distances(
    queries: Tensor, rows: Tensor, block: Tensor, columns: Tensor, step: int
) -> Tensor:
    """Squared distances of pairs, float64 (p,), each summed in one fixed order.

    Folding the halves onto each other is the same chain of additions for every pair, whichever
    others it is measured with and wherever. A library's own sum picks its order by shape and
    device, and the copies of a reference could then differ in the last bit.
    """
    distances = torch.empty(len(rows), dtype=torch.float64, device=queries.device)
    space = distances.new_empty(2, step, queries.shape[1])
    for start in range(0, len(rows), step):
        piece = slice(start, start + step)
        terms, others = space[:, : len(rows[piece])]
        terms.copy_(queries.index_select(0, rows[piece]))
        others.copy_(block.index_select(0, columns[piece]))
        terms.sub_(others).square_()
        while terms.shape[1] > 1:
            half = terms.shape[1] // 2
            terms[:, :half] += terms[:, -half:]
            terms = terms[:, : terms.shape[1] - half]
        distances[piece] = terms.squeeze(1)
    return distances


def checked_norms(rows: Tensor, what: str, first: int) -> Tensor:
    """Euclidean norms of (n, d) rows, (n,); a row that is not finite or far too large is refused.

    `what` and `first`, the position of the first row in its stream, serve the message.
    """
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1)
    fine = norms <= _LARGEST_NORM  # false for NaN as well
    if not fine.all():
        position = first + int((~fine).nonzero()[0])
        raise UserError(
            f"{what} {position} has a value that is not finite, or a norm above "
            f"{_LARGEST_NORM:g}; pixels must be finite, usually in [0, 1]"
        )
    return norms


@contextmanager
def full_precision() -> Iterator[None]:
    """Keep float32 products float32: the caller may have allowed TF32 or bfloat16 in them."""
    backends: list[Any] = [torch.backends.cuda.matmul, torch.backends.mkldnn.matmul]  # type: ignore[attr-defined]
    allowed = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(backends, allowed, strict=True):
            backend.fp32_precision = precision


def describe(tensor: Tensor) -> str:
    """A tensor's dtype and shape, for messages."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
