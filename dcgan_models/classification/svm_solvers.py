"""Newton's method for the L2-SVM, for all classes and a whole grid of C (svm.py).

Three ways to a Newton step, after Keerthi & DeCoste (2005) and Chapelle (2007):

- Few rows (at most the columns, and 8,192): the solution lies in the span of the rows. Their Gram
  matrix is computed once, for all classes and values of C, and each step solves exactly on the
  rows inside the margin, by a Cholesky factorisation that shrinks with their number.
- Many rows, few of them inside the margin: the same in the span of one class's own rows, a
  working set. It starts from those that a rough solution has inside the margin; rows that an
  exact pass over all of them finds missing are admitted, until none is.
- Otherwise, and for that rough solution: truncated Newton. Conjugate gradients take the Hessian's
  products with all classes at once from one pass over the rows, preconditioned by the leading
  eigenvectors of a sample.

With the features of pictures a fifth of the rows of a class are inside the margin, fewer than
there are columns. Its Hessian is then the identity but for as many directions, and conjugate
gradients need hundreds of passes where the working set needs two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dcgan_models.classification.svm_rows import (
    TILE,
    RowBlocks,
    SVMInputError,
    add_rows,
    margins_of,
)

# The Gram matrix and a factor of it, float64, take 512 MiB each at most.
_MOST_ROWS = 8192

# The working set: 2 GiB for its Gram matrix, 1 GiB each for a copy in float32 and its factor.
_MOST_INSIDE = 16_384

# A Newton step is exact enough when this share of its equations' residual is left; a factor in
# float32 gets there in one turn, or two, where it does at all.
_SHARE, _REFINEMENTS = 1e-3, 4

# The relative gradient norm at which the rows inside the margin are hardly those of the start.
_NEAR = 0.3

# The preconditioner: eigenvectors kept, rows sampled for them, features sampled at most.
_RANK, _SAMPLE, _SAMPLED = 256, 1024, 2**25

# Conjugate gradients of one Newton step. Cut short they still give a direction of descent.
_MOST_GRADIENTS = 200


@dataclass(frozen=True)
class Stop:
    """When to stop: at a relative gradient norm, or after so many Newton steps; whom to tell."""

    tol: float
    max_iter: int
    on_fit: Callable[[float], None]


@dataclass(frozen=True)
class End:
    """Where a solver stopped for one C.

    Attributes:
        weights: float64 (p + 1, k), the last row for the feature that is always 1.
        steps: int64 (k,), Newton steps of each class, 0 where it stayed where it was.
        norms: float64 (k,), |grad F| / sqrt(2 F) of each class.
    """

    weights: Tensor
    steps: Tensor
    norms: Tensor

    def put(self, classes: Tensor, found: End) -> None:
        """Take in the ends of some classes."""
        self.weights[:, classes] = found.weights
        self.steps[classes], self.norms[classes] = found.steps, found.norms


def solve_path(rows: RowBlocks, signs: Tensor, costs: Sequence[float], stop: Stop) -> list[End]:
    """Solve for every C of an ascending grid, each class starting from its end before.

    Args:
        rows: The features, (n, p).
        signs: y, float64 (n, k): 1 where the row is of the class, else -1.
        costs: Values of C, ascending.
        stop: When to stop. `on_fit` is called with C after each class's fit.
    """
    if rows.n <= min(rows.p, _MOST_ROWS):
        return _SpanSolver(rows, signs).path(costs, stop)
    return _StreamSolver(rows, signs).path(costs, stop)


# --- In the span of rows ----------------------------------------------------------------------


def _exact_step(
    slope: Tensor, curvature: Tensor, margins: Tensor, change: Tensor, signs: Tensor, C: float
) -> Tensor:
    """The length of a step that minimises F along a direction d, for each of k classes.

    Along a line F is convex and piecewise quadratic: Newton's method on its derivative, kept
    inside a bracket, ends after a few pieces.

    Args:
        slope: w.d, (k,).
        curvature: |d|^2, (k,), above 0.
        margins: f, (n, k).
        change: The change of the margins by d, (n, k).
        signs: y, (n, k), 1 or -1.
        C: Weight of the loss.
    """
    t, low, high = torch.ones_like(slope), torch.zeros_like(slope), torch.full_like(slope, math.inf)
    for _ in range(60):
        # Both derivatives at t; the sign of the first says on which side of t the minimum lies.
        slack = (1 - signs * (margins + t * change)).clamp_(min=0)
        first = slope + t * curvature - 2 * C * (slack * signs * change).sum(dim=0)
        second = curvature + 2 * C * ((slack > 0) * change.square()).sum(dim=0)
        low, high = torch.where(first < 0, t, low), torch.where(first > 0, t, high)
        if (first.abs() <= 1e-10 * second * t).all():  # nothing to gain but rounding
            break
        # Newton's guess; outside the bracket, its middle, or twice as far while it has no end.
        guess = t - first / second
        middle = torch.where(high < math.inf, (low + high) / 2, 2 * t)
        t = torch.where((guess > low) & (guess < high), guess, middle)
    return t


def _span_newton(
    gram: Tensor,
    y: Tensor,
    b: Tensor,
    C: float,
    tol: float,
    max_iter: int,
    minimum: Callable[[Tensor, Tensor, Tensor, float], Tensor],
) -> tuple[int, float]:
    """Newton's method in the span of m rows: w = sum_i b_i x_i, margins f = G b.

    The products are in float64: with the features of pictures, which share a large mean, G b
    loses four or more digits to cancellation.

    Args:
        gram: G, (m, m).
        y: (m,), 1 or -1.
        b: (m,), moved to the end.
        C: Weight of the loss.
        tol: Relative gradient norm to stop at.
        max_iter: Steps at most.
        minimum: Gives the b that minimises the quadratic that F is while the
            same rows are inside the margin, as `minimum(b, inside, y, C)`.

    Returns:
        Steps made and the relative gradient norm reached.
    """
    f = gram @ b
    for step in range(max_iter + 1):
        # Relative to F itself, as in `_evaluate`: |grad F| / sqrt(2 F).
        slack = (1 - y * f).clamp_(min=0)
        gradient = b - 2 * C * y * slack  # in the coordinates of b
        square = (gradient @ (gram @ gradient)).clamp(min=0)
        norm = (square / (b @ f + 2 * C * slack.square().sum())).sqrt().item()
        if norm <= tol or step == max_iter:
            break
        # Towards the minimum of F's piece here, as far as F itself falls.
        d = minimum(b, slack > 0, y, C) - b
        change = gram @ d
        columns = f[:, None], change[:, None], y[:, None]
        t = _exact_step((b @ change)[None], (d @ change)[None], *columns, C)
        b += t * d
        f += t * change
    return step, norm


class _SpanSolver:
    """All classes in the span of all rows: one Gram matrix."""

    def __init__(self, rows: RowBlocks, signs: Tensor) -> None:
        self._rows, self._signs = rows, signs
        self._gram = _gram(rows)
        self._whole: tuple[float, Tensor] | None = None

    def path(self, costs: Sequence[float], stop: Stop) -> list[End]:
        """The end of each C, in one more pass over the rows."""
        # Each C begins where the one before it, a smaller one, ended.
        b = torch.zeros_like(self._signs)
        points, found = [], []
        for C in costs:
            found.append([self._solve(b[:, k], k, C, stop) for k in range(b.shape[1])])
            points.append(b.clone())
        weights = self._weights(points)
        return [
            End(
                w,
                torch.tensor([steps for steps, _ in classes]),
                torch.tensor([norm for _, norm in classes], dtype=torch.float64),
            )
            for w, classes in zip(weights, found, strict=True)
        ]

    def _solve(self, b: Tensor, k: int, C: float, stop: Stop) -> tuple[int, float]:
        """Newton steps made and the relative gradient norm reached; `b` is moved."""
        y = self._signs[:, k]
        end = _span_newton(self._gram, y, b, C, stop.tol, stop.max_iter, self._minimum)
        stop.on_fit(C)
        return end

    def _minimum(self, b: Tensor, inside: Tensor, y: Tensor, C: float) -> Tensor:
        if inside.all():
            whole: Tensor = torch.cholesky_solve(y[:, None], self._whole_factor(C)).squeeze(1)
            return whole
        numbers = inside.nonzero().squeeze(1)
        factor, failed = _factor(self._gram[numbers[:, None], numbers], C)
        if failed:
            raise _too_large(C)
        point = torch.zeros_like(y)
        point[numbers] = torch.cholesky_solve(y[numbers, None], factor).squeeze(1)
        return point

    def _whole_factor(self, C: float) -> Tensor:
        """The factor for all rows: every class begins with it, and at a small C ends so, too."""
        if self._whole is None or self._whole[0] != C:
            self._whole = None  # its memory is needed for the next one
            factor, failed = _factor(self._gram.clone(), C)
            if failed:
                raise _too_large(C)
            self._whole = C, factor
        return self._whole[1]

    def _weights(self, points: Sequence[Tensor]) -> list[Tensor]:
        """The weights (p + 1, k) of each point (n, k), in one pass over the rows."""
        b = torch.cat(list(points), dim=1)
        total = b.new_zeros(self._rows.p + 1, b.shape[1])
        for part, tile in self._rows.tiles():
            add_rows(total, tile, b[part])
        return list(torch.tensor_split(total, len(points), dim=1))


def _factor(products: Tensor, C: float) -> tuple[Tensor, bool]:
    """Cholesky's factor of products of rows + I / (2 C), and if it failed; changes `products`."""
    products.diagonal().add_(1 / (2 * C))
    factor, failed = torch.linalg.cholesky_ex(products)
    return factor, bool(failed)


def _too_large(C: float) -> SVMInputError:
    return SVMInputError(f"C is {C:g}, too large for features of this size in float64")


def _gram(rows: RowBlocks) -> Tensor:
    """Products of all pairs of rows, with the feature that is always 1: float64 (n, n)."""
    gram = torch.empty(rows.n, rows.n, dtype=torch.float64, device=rows.device)
    for part, tile in rows.tiles():
        for other, second in rows.tiles():
            if other.start > part.start:
                break
            products = tile @ second.T + 1
            gram[part, other] = products
            gram[other, part] = products.T
    return gram


class _WorkingSet:
    """One class in the span of the rows that are, or were, inside its margin."""

    def __init__(self, rows: RowBlocks, y: Tensor, b: Tensor) -> None:
        """Start from b, (n,): the rows where it is not 0."""
        self._rows, self._y = rows, y
        self._numbers = y.new_zeros(0, dtype=torch.int64)
        self._gram, self._b = y.new_zeros(0, 0), y.new_zeros(0)
        self._admit(b.nonzero().squeeze(1))
        self._b = b[self._numbers]

    def solve(self, C: float, stop: Stop) -> End:
        """Go on from the last solution."""
        steps, y = 0, self._y[:, None]
        while True:
            signs, left = self._y[self._numbers], stop.max_iter - steps
            # Half of `tol`, so that a few rows outside, still missing, do not matter.
            made, _ = _span_newton(self._gram, signs, self._b, C, stop.tol / 2, left, self._minimum)
            steps += made
            # An exact pass over all rows: does the set lack one that is inside the margin?
            weights = self._weights()
            margins, _, norms = _evaluate(self._rows, y, weights, C)
            missing = (y * margins < 1).squeeze(1)
            missing[self._numbers] = False
            if (norms <= stop.tol).all() or steps >= stop.max_iter or not missing.any():
                stop.on_fit(C)
                return End(weights, torch.tensor([steps], device=norms.device), norms)
            self._admit(missing.nonzero().squeeze(1))

    def _admit(self, numbers: Tensor) -> None:
        """Take in rows, with b = 0."""
        # The products that are known stay; b = 0 leaves the solution where it is.
        held, count = len(self._numbers), len(self._numbers) + len(numbers)
        gram = self._gram.new_empty(count, count)
        gram[:held, :held] = self._gram
        self._gram, self._numbers = gram, torch.cat([self._numbers, numbers])
        self._b = torch.cat([self._b, self._b.new_zeros(len(numbers))])
        # New rows with all of the set, tile by tile, and mirrored.
        size = max(1, TILE // self._rows.p)
        for start in range(held, count, size):
            part = slice(start, min(start + size, count))
            tile = self._rows.pick(self._numbers[part], gram.dtype)
            for begin in range(0, part.stop, size):
                other = slice(begin, min(begin + size, part.stop))
                second = self._rows.pick(self._numbers[other], gram.dtype)
                products = tile @ second.T + 1
                gram[part, other] = products
                gram[other, part] = products.T

    def _minimum(self, b: Tensor, inside: Tensor, y: Tensor, C: float) -> Tensor:
        """By a factor in float32, refined in float64; where that does not do, in float64."""
        numbers = inside.nonzero().squeeze(1)
        start = torch.where(inside, b, 0)
        goal = _SHARE * self._wrong(start, numbers, y, C).norm()
        for dtype in (torch.float32, torch.float64):
            factor, failed = _factor(self._among(numbers, dtype), C)
            point = start.clone()
            for _ in range(0 if failed else _REFINEMENTS):
                wrong = self._wrong(point, numbers, y, C)
                point[numbers] += torch.cholesky_solve(wrong[:, None].to(dtype), factor)[:, 0]
                if self._wrong(point, numbers, y, C).norm() <= goal:
                    return point
        if failed:
            raise _too_large(C)
        return point

    def _wrong(self, point: Tensor, numbers: Tensor, y: Tensor, C: float) -> Tensor:
        """What is left of the equations of these rows at a point."""
        return (y - self._gram @ point - point / (2 * C))[numbers]

    def _among(self, numbers: Tensor, dtype: torch.dtype) -> Tensor:
        """The products among some rows of the set, without a copy in float64."""
        products = self._gram.new_empty(len(numbers), len(numbers), dtype=dtype)
        for part in torch.split(torch.arange(len(numbers), device=numbers.device), 512):
            products[part] = self._gram[numbers[part]][:, numbers].to(dtype)
        return products

    def _weights(self) -> Tensor:
        """The weights, (p + 1, 1)."""
        total = self._b.new_zeros(self._rows.p + 1, 1)
        for part in torch.split(self._b.nonzero().squeeze(1), max(1, TILE // self._rows.p)):
            tile = self._rows.pick(self._numbers[part], total.dtype)
            add_rows(total, tile, self._b[part, None])
        return total


# --- In the weights ---------------------------------------------------------------------------


def _evaluate(
    rows: RowBlocks, signs: Tensor, weights: Tensor, C: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Margins (n, k), gradient (p + 1, k) and its relative norm (k,), all in float64.

    In float32 the gradient's terms, which cancel at the end, would leave more than `tol` where C
    is large. The Hessian's many products need no more than float32.
    """
    margins, gradient = torch.empty_like(signs), weights.clone()
    for part, block in rows.blocks(torch.float64):
        margins[part] = margins_of(block, weights)
        y = signs[part]
        add_rows(gradient, block, -2 * C * y * (1 - y * margins[part]).clamp_(min=0))
    slack = (1 - signs * margins).clamp_(min=0)
    twice = weights.square().sum(dim=0) + 2 * C * slack.square().sum(dim=0)
    norms = (gradient.square().sum(dim=0) / twice).sqrt()
    if not torch.isfinite(norms).all():
        raise SVMInputError(f"features are too large: the objective overflows {rows.dtype}")
    return margins, gradient, norms


class _StreamSolver:
    """Truncated Newton in the weights, (p + 1, k), with passes over blocks of rows.

    It leaves a class to a `_WorkingSet` when few enough of its rows are inside the margin: after
    the rough solution, or later, as they become fewer with C.
    """

    def __init__(self, rows: RowBlocks, signs: Tensor) -> None:
        self._rows, self._signs = rows, signs
        self._w = signs.new_zeros(rows.p + 1, signs.shape[1])
        self._preconditioner = _Preconditioner(rows)

    def path(self, costs: Sequence[float], stop: Stop) -> list[End]:
        """The end of each C."""
        # A rough solution, of all classes together: it tells how many rows each has inside.
        together = torch.arange(self._signs.shape[1], device=self._signs.device)
        rough = replace(stop, tol=max(stop.tol, _NEAR), on_fit=lambda C: None)
        start, margins = self._solve(costs[0], together, rough)
        # The steps that it took count against those of the first C.
        left = replace(stop, max_iter=stop.max_iter - int(start.steps.max()))
        todo = list(zip(costs, [left, *[stop] * (len(costs) - 1)], strict=True))
        ends = [End(self._w.clone(), start.steps.clone(), start.norms.clone()) for _ in costs]
        before = costs[0]
        for i, (C, until) in enumerate(todo):
            signs = self._signs[:, together]
            # At the end this is what the weights are made of, in the span of the rows.
            b = 2 * before * signs * (1 - signs * margins).clamp_(min=0)
            inside = (b != 0).sum(dim=0)
            # A class with few enough goes its own way, through this C and all that are left.
            few = (inside > 0) & (inside <= min(self._rows.p, _MOST_INSIDE))
            for place in few.nonzero().squeeze(1):
                k = together[place]
                working = _WorkingSet(self._rows, self._signs[:, k], b[:, place])
                for (cost, limit), end in zip(todo[i:], ends[i:], strict=True):
                    end.put(k[None], working.solve(cost, limit))
            together, before = together[~few], C
            if not len(together):
                break
            # The others take this C together, a pass over the rows a product.
            found, margins = self._solve(C, together, until)
            ends[i].put(together, found)
        ends[0].steps.add_(start.steps)
        return ends

    def _solve(self, C: float, classes: Tensor, stop: Stop) -> tuple[End, Tensor]:
        """Go on from the last solution of some classes; the end, and the margins there."""
        signs = self._signs[:, classes]
        for step in range(stop.max_iter + 1):
            weights = self._w[:, classes]
            margins, gradient, norms = _evaluate(self._rows, signs, weights, C)
            going = norms > stop.tol
            if not going.any() or step == stop.max_iter:
                break
            self._step(C, classes[going], margins[:, going], gradient[:, going], norms[going])
        for _ in classes:
            stop.on_fit(C)
        return End(weights, torch.full_like(classes, step), norms), margins

    def _step(
        self, C: float, classes: Tensor, margins: Tensor, gradient: Tensor, norms: Tensor
    ) -> None:
        """One Newton step of some classes."""
        y = self._signs[:, classes]
        inside = (y * margins < 1).double()
        # Far from the end a tenth is enough; near it, steps as good as Newton's converge faster.
        accuracy = norms.sqrt().clamp_(max=0.1)
        d, change = self._conjugate_gradients(C, inside, gradient, accuracy)
        slope = (self._w[:, classes] * d).sum(dim=0)
        t = _exact_step(slope, d.square().sum(dim=0), margins, change, y, C)
        self._w[:, classes] += t * d

    def _conjugate_gradients(
        self, C: float, inside: Tensor, gradient: Tensor, accuracy: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Solve H d = -gradient, H = I + 2 C X'DX, until |residual| <= accuracy |gradient|.

        Returns:
            d, (p + 1, k), and the change of the margins by d, (n, k).
        """
        # From d = 0, where the residual is the whole right side.
        scale = 2 * C * inside.mean(dim=0)
        residual = -gradient
        d, change = torch.zeros_like(residual), torch.zeros_like(inside)
        goal = accuracy * residual.norm(dim=0)
        direction = solved = self._preconditioner.solve(residual, scale)
        product = (residual * solved).sum(dim=0)
        for _ in range(_MOST_GRADIENTS):
            # A class that is done stands still, or rounding would carry it away. Its residual
            # may be 0, and so its direction; without a choice 0 / 0 would spread from there.
            going = residual.norm(dim=0) > goal
            if not going.any():
                break
            # The one pass over the rows; then lengths and directions, a class each.
            margins, curved = self._hessian(C, inside, direction)
            length = torch.where(going, product / (direction * curved).sum(dim=0), 0)
            d += length * direction
            change += length * margins
            residual -= length * curved
            solved = self._preconditioner.solve(residual, scale)
            before, product = product, (residual * solved).sum(dim=0)
            direction = solved + torch.where(going, product / before, 0) * direction
        return d, change

    def _hessian(self, C: float, inside: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
        """Margins X v, (n, k), and H v, (p + 1, k), in one pass."""
        margins = torch.empty_like(inside)
        total, narrow = direction.clone(), direction.to(self._rows.dtype)
        for part, block in self._rows.blocks():
            margins[part] = margins_of(block, narrow)
            add_rows(total, block, 2 * C * inside[part] * margins[part])
        return margins, total


class _Preconditioner:
    """I + c X'X for its leading eigenvectors, where most of its condition number lies.

    The vectors come from rows spread evenly over X. Their eigenvalues are measured on all rows
    (one pass, Rayleigh-Ritz): those of a sample with more columns than rows are far too large.
    It is computed once for all classes and values of C; c = 2 C times the share of the rows
    inside the margin makes it fit the Hessian.
    """

    def __init__(self, rows: RowBlocks) -> None:
        # Eigenvectors of the sample, from its Gram matrix, which is smaller than X'X.
        count = min(rows.n, _SAMPLE, max(1, _SAMPLED // rows.p))
        places = [rows.n * i // count for i in range(count)]
        sample = torch.cat([rows.block(slice(i, i + 1), torch.float64) for i in places])
        sample = torch.cat([sample, sample.new_ones(count, 1)], dim=1)
        values, vectors = torch.linalg.eigh(sample @ sample.T)
        kept = (values > 1e-8 * values[-1]).nonzero().squeeze(1)[-_RANK:]
        basis = sample.T @ (vectors[:, kept] / values[kept].sqrt())
        del sample
        # Rayleigh-Ritz: their eigenvalues on all rows, and the turn that goes with them.
        ritz, narrow = basis.new_zeros(len(kept), len(kept)), basis.to(rows.dtype)
        for _, block in rows.blocks():
            projected = margins_of(block, narrow)
            ritz += projected.T @ projected
        self._values, turn = torch.linalg.eigh(ritz)
        self._vectors = basis @ turn

    def solve(self, vectors: Tensor, scale: Tensor) -> Tensor:
        """The inverse times vectors (p + 1, k), with another c, (k,), for each."""
        least = 1 + self._values[:1] * scale
        factors = least / (1 + self._values.clamp(min=0)[:, None] * scale) - 1
        solved: Tensor = vectors + self._vectors @ (factors * (self._vectors.T @ vectors))
        return solved
