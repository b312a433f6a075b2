"""Exact 1-nearest-neighbour error over a stream of labelled references: the paper's MNIST table.

Generated digits are the references and real test digits the queries; each query takes the label
of its nearest reference in Euclidean distance (section 8.1; Table 2 of arXiv v1, Table 3 of v2).
The stream is never held, so ten million references need no more memory than ten thousand.

How it stays exact at the speed of a float32 matrix product: for a query q and a reference r the
product proposes |r|^2 - 2 q.r, the squared distance less |q|^2, with an error below a proven
bound (`rounding_bound`). References that the bound cannot tell from the best so far are measured
again as a sum of squared differences in float64, and only that sum decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dcgan_models.errors import UserError
from dcgan_models.neighbours.exact_distances import (
    SIZES,
    checked_norms,
    describe,
    full_precision,
    rounding_bound,
    squared_distances,
)
from dcgan_models.pixels import Pixels

# References after which the near-ties are measured: most of them are beaten by then.
_SPAN = 65536

# Scores are searched in two steps, the lowest of each stretch first: only stretches that hold a
# near-tie are looked at score by score. Divides `Sizes.references`.
_STRETCH = 128

# From this many near-ties per query on, a float64 product is cheaper than measuring them all.
_CROWD = 4


def flat_pixels(pictures: Pixels) -> Tensor:
    """Pictures uint8 (n, ...) as the rows that are compared: float32 (n, pixels) in [0, 1].

    Raises:
        UserError: They are no such array, or there is none.
    """
    if not isinstance(pictures, np.ndarray) or pictures.dtype != np.uint8 or not pictures.size:
        kind = getattr(pictures, "dtype", type(pictures).__name__)
        shape = getattr(pictures, "shape", "")
        raise UserError(f"pictures: {kind} {shape}; a uint8 array (n, ...) is needed, n at least 1")
    return torch.from_numpy(pictures.reshape(len(pictures), -1)).float() / 255


@dataclass(frozen=True)
class Neighbours:
    """The nearest reference of each of q queries, on the device of the queries.

    Attributes:
        index: int64 (q,), its position in the stream, from 0; the earliest of equals.
        label: int64 (q,), its label.
        squared_distance: float64 (q,), at least 0; exactly 0 for identical rows.
    """

    index: Tensor
    label: Tensor
    squared_distance: Tensor


@dataclass(frozen=True)
class NearestError:
    """The 1-nearest-neighbour classification error after so many references.

    Attributes:
        references: how many references had been seen.
        error: share of the queries whose nearest reference has another label, in [0, 1].
        class_errors: the same share among the queries of each label, labels ascending.
    """

    references: int
    error: float
    class_errors: dict[int, float]


def nearest_neighbours(queries: Tensor, blocks: Iterable[tuple[Tensor, Tensor]]) -> Neighbours:
    """Find each query's nearest reference, exactly, in one pass over a stream.

    Distances are Euclidean, summed in float64 in one fixed order, so that neither the device nor
    the cutting of the stream changes them; equal distances go to the earliest reference.

    Args:
        queries: float32 (q, d), finite; pixels in [0, 1] for the paper's table. The search runs
            on their device, CPU or CUDA.
        blocks: pairs of pixels, float32 (n, d), finite, and labels, int64 (n,), on any device; n
            may differ from block to block. A block is let go before the next is asked for.

    Raises:
        UserError: shapes or dtypes do not match, a value is not finite, or there are no queries
            or no references.
    """
    *_, (_, neighbours) = _readings(queries, blocks, [])
    return neighbours


def nearest_neighbour_errors(
    queries: Tensor,
    query_labels: Tensor,
    blocks: Iterable[tuple[Tensor, Tensor]],
    checkpoints: Sequence[int] = (),
) -> list[NearestError]:
    """Measure the 1-nearest-neighbour error as references stream by (the paper's MNIST table).

    Args:
        queries: float32 (q, d), as for `nearest_neighbours`.
        query_labels: int64 (q,), the true labels of the queries.
        blocks: labelled references, as for `nearest_neighbours`.
        checkpoints: reference counts at which to read the error as well, such as the paper's
            50,000 on the way to 10,000,000; blocks are cut exactly there.

    Returns:
        One error for each checkpoint, ascending, and last the error after all references (once,
        where the last checkpoint is the end of the stream).

    Raises:
        UserError: as `nearest_neighbours`; or a checkpoint is below 1 or beyond the stream.

    Examples:
        >>> queries, labels = torch.tensor([[0.0], [10.0]]), torch.tensor([0, 1])
        >>> blocks = [(torch.tensor([[1.0], [8.0], [9.5]]), torch.tensor([0, 1, 0]))]
        >>> nearest_neighbour_errors(queries, labels, blocks)[-1].error
        0.5
    """
    if not isinstance(queries, Tensor) or not isinstance(query_labels, Tensor):
        raise UserError("queries and their labels are no tensors; `torch.from_numpy` makes them")
    if query_labels.shape != queries.shape[:1] or query_labels.dtype != torch.int64:
        raise UserError(
            f"query labels are {describe(query_labels)}; the queries need int64 "
            f"{tuple(queries.shape[:1])}"
        )
    marks = sorted(set(checkpoints))
    if marks and marks[0] < 1:
        raise UserError(f"checkpoint {marks[0]}: a checkpoint counts references, from 1 up")
    truth = query_labels.to(queries.device)
    return [
        _error(count, neighbours, truth) for count, neighbours in _readings(queries, blocks, marks)
    ]


def _error(count: int, neighbours: Neighbours, truth: Tensor) -> NearestError:
    wrong = (neighbours.label != truth).double()
    return NearestError(
        references=count,
        error=wrong.mean().item(),
        class_errors={
            label: wrong[truth == label].mean().item() for label in torch.unique(truth).tolist()
        },
    )


def _readings(
    queries: Tensor, blocks: Iterable[tuple[Tensor, Tensor]], marks: list[int]
) -> Iterator[tuple[int, Neighbours]]:
    """Sweep the stream once; yield the neighbours at each of the ascending `marks` and its end.

    What is yielded is the search's own state, and the next step of the sweep changes it.
    """
    search = _Search(queries)
    for pixels, labels in blocks:
        search.check(pixels, labels)
        start, stop = search.seen, search.seen + len(pixels)
        inside = [mark for mark in marks if start < mark <= stop]
        for end in sorted({*inside, stop}):
            piece = slice(search.seen - start, end - start)
            search.add(pixels[piece], labels[piece])
            if end in inside:
                yield end, search.nearest
        del pixels, labels  # or two blocks are alive while the stream makes the next one
    if search.seen == 0:
        raise UserError("no references: the stream of blocks is empty; at least one is needed")
    if marks and marks[-1] > search.seen:
        raise UserError(
            f"checkpoint {marks[-1]}: the stream ended after {search.seen} references; "
            "checkpoints may not lie beyond its end"
        )
    if search.seen not in marks:
        yield search.seen, search.nearest


class _Search:
    """The nearest reference so far of every query: `nearest`, of the `seen` first references."""

    def __init__(self, queries: Tensor) -> None:
        if queries.ndim != 2 or queries.numel() == 0 or queries.dtype != torch.float32:
            raise UserError(
                f"queries are {describe(queries)}; they must be float32 (q, d), not empty"
            )
        count, device = len(queries), queries.device
        self.seen = 0
        self._queries = queries.detach()
        checked_norms(self._queries, "query", 0)
        self._norms = torch.linalg.vector_norm(self._queries, dim=1, dtype=torch.float64)
        self.nearest = Neighbours(
            index=torch.zeros(count, dtype=torch.int64, device=device),
            label=torch.zeros(count, dtype=torch.int64, device=device),
            squared_distance=torch.full((count,), torch.inf, dtype=torch.float64, device=device),
        )
        self._sizes = SIZES[device.type]
        tile = min(self._sizes.queries, count), self._sizes.references
        self._space = torch.empty(tile, dtype=torch.float32, device=device)

    def check(self, pixels: Tensor, labels: Tensor) -> None:
        """Refuse a block of the wrong shape or dtype."""
        d = self._queries.shape[1]
        if pixels.shape[1:] != (d,) or pixels.dtype != torch.float32:
            raise UserError(
                f"block at reference {self.seen}: pixels are {describe(pixels)}; queries of {d} "
                f"pixels need float32 (n, {d})"
            )
        if labels.shape != pixels.shape[:1] or labels.dtype != torch.int64:
            raise UserError(
                f"block at reference {self.seen}: labels are {describe(labels)}; {len(pixels)} "
                f"references need int64 ({len(pixels)},)"
            )

    @torch.no_grad()
    def add(self, pixels: Tensor, labels: Tensor) -> None:
        """Compare every query with further references, (n, d) and (n,)."""
        for start in range(0, len(pixels), _SPAN):
            span = pixels[start : start + _SPAN].to(self._queries.device)
            names = labels[start : start + _SPAN].to(self._queries.device)
            norms = checked_norms(span, "reference", self.seen)
            with full_precision():
                rows, columns = self._near_ties(span, norms)
            self._measure(rows, span, columns, names)
            self.seen += len(span)

    def _near_ties(self, span: Tensor, norms: Tensor) -> tuple[Tensor, Tensor]:
        """Query and reference of each pair in a span that may be a query's nearest so far."""
        ceiling = self.nearest.squared_distance - self._norms.square()
        found = []
        for low in range(0, len(span), self._sizes.references):
            block = slice(low, low + self._sizes.references)
            for first in range(0, len(self._queries), self._sizes.queries):
                tile = slice(first, first + self._sizes.queries)
                ties = _near_ties(
                    self._queries[tile],
                    self._norms[tile],
                    ceiling[tile],
                    span[block],
                    norms[block],
                    self._space,
                )
                found.append((ties[0] + first, ties[1] + low, ties[2]))
        rows, columns, floors = (torch.cat(parts) for parts in zip(*found, strict=True))
        still = floors <= ceiling.index_select(0, rows)
        return rows[still], columns[still]

    def _measure(self, rows: Tensor, span: Tensor, columns: Tensor, names: Tensor) -> None:
        """Measure pairs of a query and a reference in float64 and keep what is nearer."""
        distances = squared_distances(self._queries, rows, span, columns, self._sizes.pairs)
        best = self.nearest
        nearest = torch.full_like(best.squared_distance, torch.inf)
        nearest.scatter_reduce_(0, rows, distances, "amin")
        ties = distances == nearest[rows]
        earliest = torch.full_like(best.index, len(span))
        earliest.scatter_reduce_(0, rows[ties], columns[ties], "amin")
        # Strictly nearer: equal distances stay with the earlier reference.
        nearer = nearest < best.squared_distance
        best.squared_distance[nearer] = nearest[nearer]
        best.index[nearer] = self.seen + earliest[nearer]
        best.label[nearer] = names[earliest[nearer]]


def _near_ties(
    queries: Tensor,
    query_norms: Tensor,
    ceiling: Tensor,
    block: Tensor,
    norms: Tensor,
    space: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """The pairs that may be nearest, by one float32 product, or float64 for near-copies.

    Args:
        queries: float32 (q, d).
        query_norms: float64 (q,).
        ceiling: float64 (q,), what the lowest score |r|^2 - 2 q.r so far cannot exceed; lowered.
        block: float32 (n, d).
        norms: float32 (n,).
        space: float32, for the scores: q or more by n or more, in whole stretches.

    Returns:
        Query and reference of each pair, int64 (p,), and what its score cannot fall below,
        float64 (p,).
    """
    ties = _propose(queries, query_norms, ceiling, block, norms, space)
    if len(ties[0]) <= _CROWD * len(queries):
        return ties
    # A collapsed generator makes near-copies, too close for float32, and copies, too close for
    # any product: each group of copies is represented by its earliest.
    distinct, group = torch.unique(block, dim=0, return_inverse=True)
    order = torch.arange(len(block), device=block.device)
    earliest = torch.full_like(order[: len(distinct)], len(block))
    earliest.scatter_reduce_(0, group, order, "amin")
    distinct = distinct.double()
    norms = torch.linalg.vector_norm(distinct, dim=1)
    space = torch.empty_like(space, dtype=torch.float64)
    rows, columns, floors = _propose(queries.double(), query_norms, ceiling, distinct, norms, space)
    return rows, earliest[columns], floors


def _propose(
    queries: Tensor,
    query_norms: Tensor,
    ceiling: Tensor,
    block: Tensor,
    norms: Tensor,
    space: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """`_near_ties` by one product in the dtype that queries, block, norms and space share."""
    width = math.ceil(len(block) / _STRETCH) * _STRETCH
    scores = space[: len(queries), :width]
    # Autocast, where the caller has it on, leaves a product alone that is told its `out`.
    torch.addmm(norms.square(), queries, block.T, alpha=-2, out=scores[:, : len(block)])
    scores[:, len(block) :] = torch.inf
    lows = scores.view(len(queries), -1, _STRETCH).amin(dim=2)
    bound = rounding_bound(query_norms, norms, queries.shape[1])
    torch.minimum(ceiling, lows.amin(dim=1) + bound, out=ceiling)
    cut = (ceiling + bound).to(scores.dtype)
    cut = torch.nextafter(cut, torch.full_like(cut, torch.inf))  # never rounded down
    row, stretch = (lows <= cut[:, None]).nonzero().unbind(dim=1)
    # `index_select`, for indexing in brackets waits for every thread even where there is
    # little to do: on a busy machine that took longer than the product.
    stretches = space.view(-1, _STRETCH)
    near = stretches.index_select(0, row * (space.shape[1] // _STRETCH) + stretch)
    close = near <= cut.index_select(0, row)[:, None]
    hit, offset = close.nonzero().unbind(dim=1)
    rows = row.index_select(0, hit)
    columns = stretch.index_select(0, hit) * _STRETCH + offset
    return rows, columns, near.masked_select(close) - bound.index_select(0, rows)
