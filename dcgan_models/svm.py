"""A regularised linear L2-SVM for more features than memory likes: the paper's classifier.

The paper trains "a regularized linear L2-SVM" on D's features (sections 5.1 and 5.2); the
authors' code used scikit-learn's LinearSVC. This is the same objective, for each class against
the rest:

    F(w, b) = 1/2 |w|^2 + 1/2 b^2 + C sum_i max(0, 1 - y_i f_i)^2,    f_i = w.x_i + b

The intercept is one more weight on a feature that is always 1, and regularised, as liblinear does
with intercept_scaling = 1. LinearSVC makes a sparse float64 copy of its input, 23 GB for
50,000 x 28,672. Here rows are read block by block in the precision they have, and one of two
Newton methods (Keerthi & DeCoste, 2005; Chapelle, 2007) solves all classes and values of C:

- Few rows (at most the columns, and 8,192): the solution lies in the span of the rows. Their Gram
  matrix is computed once, for all classes and values of C, and each Newton step solves exactly
  on the rows inside the margin, by a Cholesky factorisation that shrinks with their number.
- Otherwise: truncated Newton. Conjugate gradients take the Hessian's products with all classes
  at once from one pass over the rows, preconditioned by the leading eigenvectors of a sample.

When it stops: when |grad F| <= tol sqrt(2 F) for every class. That is a certificate. With
a_i = 2 C max(0, 1 - y_i f_i) as the dual point, the duality gap is exactly 1/2 |grad F|^2, so
that F exceeds its minimum by at most the share tol^2; and F is 1-strongly convex, so that the
weights are within |grad F| of the optimal ones.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
from torch import Tensor

from dcgan_models.errors import UserError

# The Gram matrix and a factor of it, float64, take 512 MiB each at most.
_MOST_ROWS = 8192

# Features converted at a time: on a CPU the block should stay in the cache for its second use.
_BLOCK = {"cpu": 2**20, "cuda": 2**26}
_TILE = 2**24  # features of a float64 tile of the Gram matrix: 128 MiB

# The preconditioner: eigenvectors kept, rows sampled for them, features sampled at most.
_RANK, _SAMPLE, _SAMPLED = 256, 1024, 2**25

# Conjugate gradients of one Newton step. Cut short they still give a direction of descent.
_MOST_GRADIENTS = 200

_FLOATS = [np.float64, np.float32, np.float16]


class SVMInputError(UserError, ValueError):
    """Bad input to the SVM; a ValueError as well, which scikit-learn asks of its estimators."""


def draw_labelled(labels: npt.ArrayLike, per_class: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw a small labelled set, uniformly over the classes, as the protocols do.

    SVHN (section 5.2): 100 of each class, 1000 in all. CIFAR-10 (Table 1): 400 of each class.

    Args:
        labels: (n,), the label of every row of a feature table.
        per_class: Rows to draw of each class that occurs, without replacement.
        seed: Another seed for each of the 10 or 100 draws; the same seed draws the same rows.

    Returns:
        Row numbers, int64 (classes * per_class,), ascending.

    Raises:
        SVMInputError: `per_class` is below 1, or a class has fewer rows.
    """
    names = np.asarray(labels)
    if per_class < 1:
        raise SVMInputError(f"{per_class} labelled examples a class: at least 1 is needed")
    rng = np.random.default_rng(seed)
    drawn = []
    for name in np.unique(names):
        rows = np.flatnonzero(names == name)
        if len(rows) < per_class:
            raise SVMInputError(
                f"class {name} has {len(rows)} labelled examples, fewer than the {per_class} a "
                "class that were asked for"
            )
        drawn.append(rng.choice(rows, per_class, replace=False))
    return np.sort(np.concatenate(drawn)).astype(np.int64)


class L2SVM(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A linear SVM with squared hinge loss, one class against the rest, as LinearSVC's defaults.

    `X` is (n, p): an array, a memory map, or anything with `shape` whose slices of rows become
    arrays. float16 and float32 features are multiplied in float32, others in float64; nothing is
    computed in float16. X is never copied as a whole on a CPU; on a GPU it is kept there in its
    own precision if it takes less than half of the free memory.

    Args:
        C: Weight of the loss against the regulariser, above 0.
        tol: Relative gradient norm at which to stop; the objective is then within the share
            tol^2 of its minimum (the module's docstring says why).
        max_iter: Newton steps at most, for each class and value of C.
        device: "cpu", "cuda", "cuda:1", ...; "auto" takes a GPU where there is one.

    Attributes:
        classes_: (k,), the labels, ascending.
        coef_: float64 (k, p), or (1, p) for two classes.
        intercept_: float64 (k,) or (1,).
        n_iter_: Newton steps of the class that took most.
        gradient_norm_: float64 (k,) or (1,), |grad F| / sqrt(2 F) at the end.
        n_features_in_: p.
    """

    def __init__(
        self, C: float = 1.0, tol: float = 1e-3, max_iter: int = 100, device: str = "auto"
    ) -> None:
        self.C = C
        self.tol = tol
        self.max_iter = max_iter
        self.device = device

    def fit(self, X: Any, y: npt.ArrayLike) -> Self:
        """Fit to features (n, p) and labels (n,).

        Raises:
            SVMInputError: C or tol is not above 0, a feature is not finite, there is one class
                only, or X and y differ in length.
        """
        _fit([self], X, y)
        return self

    def decision_function(self, X: Any) -> npt.NDArray[np.float64]:
        """The margins f: float64 (n, k), or (n,) for two classes, positive for `classes_[1]`."""
        (margins,) = _decisions([self], X)
        return margins[:, 0] if len(self.classes_) == 2 else margins

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The label with the largest margin, (n,)."""
        return predict_all([self], X)[0]


def fit_path(
    X: Any,
    y: npt.ArrayLike,
    Cs: Sequence[float],
    *,
    tol: float = 1e-3,
    max_iter: int = 100,
    device: str = "auto",
    on_fit: Callable[[float], None] = lambda C: None,
) -> list[L2SVM]:
    """Fit one `L2SVM` for each C, from the smallest up, each starting from the one before.

    Args:
        X: As for `L2SVM`.
        y: (n,), labels.
        Cs: The grid, in any order; the authors' is 1e-4, 2e-4, 5e-4, ... 1e-2.
        tol: As for `L2SVM`.
        max_iter: As for `L2SVM`.
        device: As for `L2SVM`.
        on_fit: Called with each value of C when its model is found: with 50,000 rows each takes
            minutes. What it raises ends the call.

    Returns:
        The fitted models in the order of `Cs`.

    Raises:
        SVMInputError: As `L2SVM.fit`; or the grid is empty.
    """
    models = [L2SVM(C=C, tol=tol, max_iter=max_iter, device=device) for C in Cs]
    if not models:
        raise SVMInputError("the grid of C is empty; it needs at least one value above 0")
    _fit(models, X, y, on_fit)
    return models


def predict_all(models: Sequence[L2SVM], X: Any) -> list[npt.NDArray[Any]]:
    """What each of several models predicts for X (n, p): one label array (n,) for each.

    One pass over X serves all: reading a test set costs more than the products of one model.
    """
    predictions = []
    for model, margins in zip(models, _decisions(models, X), strict=True):
        two = margins.shape[1] == 1
        winner = (margins[:, 0] > 0).astype(int) if two else margins.argmax(axis=1)
        predictions.append(model.classes_[winner])
    return predictions


# --- Between the estimator and the solvers ----------------------------------------------------


def _fit(
    models: Sequence[L2SVM],
    X: Any,
    y: npt.ArrayLike,
    on_fit: Callable[[float], None] = lambda C: None,
) -> None:
    """Fit models that differ in C only."""
    first = models[0]
    for model in models:
        if not 0 < model.C < math.inf:
            raise SVMInputError(f"C is {model.C}; it must be a finite number above 0")
    if not 0 < first.tol < 1 or first.max_iter < 1:
        raise SVMInputError(
            f"tol is {first.tol} and max_iter {first.max_iter}; allowed are 0 < tol < 1 and "
            "max_iter of at least 1"
        )
    device = _device(first.device)
    X, names = _training_data(first, X, y)
    classes, codes = np.unique(names, return_inverse=True)
    if len(classes) < 2:
        raise SVMInputError(f"all labels are {classes[0]}: one class only, at least 2 are needed")
    rows = _Rows(X, device)
    rows.check()
    ones = np.arange(len(classes)) if len(classes) > 2 else np.array([1])
    signs = torch.from_numpy(np.where(codes[:, None] == ones, 1.0, -1.0)).to(device)
    few = rows.n <= min(rows.p, _MOST_ROWS)
    solver = _SpanSolver(rows, signs) if few else _StreamSolver(rows, signs)
    order = sorted(range(len(models)), key=lambda i: float(models[i].C))
    ends = []
    for i in order:
        ends.append(solver.solve(models[i].C, first.tol, first.max_iter))
        on_fit(models[i].C)
    weights = solver.weights([end.point for end in ends])
    for i, end, found in zip(order, ends, weights, strict=True):
        _store(models[i], classes, found, end)
        models[i].n_features_in_ = rows.p
        if hasattr(first, "feature_names_in_"):
            models[i].feature_names_in_ = first.feature_names_in_


class _End:
    """Where a solver stopped: its `point`, and `steps` and `norms` (relative) of each class."""

    def __init__(self, point: Tensor, steps: int, norms: Tensor) -> None:
        self.point, self.steps, self.norms = point, steps, norms


def _store(model: L2SVM, classes: npt.NDArray[Any], weights: Tensor, end: _End) -> None:
    """Set the fitted attributes; `weights` is (p + 1, k)."""
    found = weights.cpu().numpy()
    model.classes_ = classes
    model.coef_ = np.ascontiguousarray(found[:-1].T)
    model.intercept_ = found[-1].copy()
    model.n_iter_ = end.steps
    model.gradient_norm_ = end.norms.cpu().numpy()
    if not (model.gradient_norm_ <= model.tol).all():
        warnings.warn(
            f"L2SVM with C = {model.C:g} stopped after {end.steps} Newton steps at a relative "
            f"gradient norm of {model.gradient_norm_.max():.2g}, above tol = {model.tol:g}",
            ConvergenceWarning,
            stacklevel=4,
        )


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in _BLOCK:
        raise SVMInputError(f"device is {name!r}; allowed are auto, cpu, cuda and cuda:NUMBER")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SVMInputError(f"device is {name!r}, but torch finds no GPU; allowed is cpu")
    return device


def _only_sliced(X: Any) -> bool:
    """Whether X is neither an array nor what scikit-learn turns into one: then it stays as it is.

    Such as a table on disk, of which only slices of rows are read.
    """
    # Data frames have `iloc`, sparse matrices (which scikit-learn refuses) `tocsr`.
    known = isinstance(X, np.ndarray) or hasattr(X, "iloc") or hasattr(X, "tocsr")
    return not known and len(getattr(X, "shape", ())) == 2


def _training_data(model: L2SVM, X: Any, y: npt.ArrayLike) -> tuple[Any, npt.NDArray[Any]]:
    """X without a copy, and the labels, (n,)."""
    shape = getattr(X, "shape", None)
    if shape and y is not None and len(np.asarray(y)) != shape[0]:
        raise SVMInputError(
            f"{len(np.asarray(y))} labels for {shape[0]} rows of features: they must match"
        )
    if _only_sliced(X):
        names = column_or_1d(y)
    else:
        X, names = validate_data(model, X, y, dtype=_FLOATS, ensure_all_finite=False)
    check_classification_targets(names)
    return X, names


def _decisions(models: Sequence[L2SVM], X: Any) -> list[npt.NDArray[np.float64]]:
    """The margins of several models, float64 (n, k) each, in one pass over X."""
    for model in models:
        check_is_fitted(model)
    if not _only_sliced(X):
        X = validate_data(models[0], X, dtype=_FLOATS, ensure_all_finite=False, reset=False)
    rows = _Rows(X, _device(models[0].device))
    for model in models:
        if model.n_features_in_ != rows.p:
            raise SVMInputError(
                f"X has {rows.p} features, but L2SVM is expecting {model.n_features_in_} "
                "features as input"
            )
    weights = torch.from_numpy(
        np.vstack([np.column_stack([m.coef_, m.intercept_]) for m in models]).T.copy()
    ).to(rows.device, rows.dtype)
    margins = np.empty((rows.n, weights.shape[1]))
    for part, block in rows.blocks():
        rows.check_block(part, block)
        margins[part] = _margins(block, weights).cpu().numpy()
    return np.split(margins, np.cumsum([len(m.coef_) for m in models])[:-1], axis=1)


# --- Reading rows -----------------------------------------------------------------------------


class _Rows:
    """Blocks of the rows of X, (n, p), on a device.

    Products are in `dtype`: float32 for float16 and float32 features, float64 for others.
    """

    def __init__(self, X: Any, device: torch.device) -> None:
        self.n, self.p = X.shape
        self.device = device
        first = np.asarray(X[:1])
        self.dtype = torch.float32 if first.dtype in _FLOATS[1:] else torch.float64
        self._X = X
        self._size = max(1, _BLOCK[device.type] // self.p)
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if self.n * first.nbytes < free / 2:
                self._X = torch.cat([self._read(part) for part in self._parts(self._size)])

    def _parts(self, size: int) -> Iterator[slice]:
        for start in range(0, self.n, size):
            yield slice(start, min(start + size, self.n))

    def _read(self, part: slice) -> Tensor:
        """Rows in their own precision on the device."""
        rows = self._X[part]
        if isinstance(rows, Tensor):
            return rows.to(self.device)
        # `tensor` copies: a memory map, which cannot be written, is welcome.
        return torch.tensor(np.asarray(rows)).to(self.device)

    def block(self, part: slice, dtype: torch.dtype) -> Tensor:
        """Some rows, (m, p)."""
        return self._read(part).to(dtype)

    def blocks(self, dtype: torch.dtype | None = None) -> Iterator[tuple[slice, Tensor]]:
        """All rows, a cache's worth at a time, in `self.dtype` or another."""
        for part in self._parts(self._size):
            yield part, self.block(part, dtype or self.dtype)

    def tiles(self) -> Iterator[tuple[slice, Tensor]]:
        """All rows in float64, in larger pieces."""
        quarter = math.ceil(self.n / 4)  # so that the halves of a symmetric product show
        for part in self._parts(max(1, min(_TILE // self.p, quarter))):
            yield part, self.block(part, torch.float64)

    def check(self) -> None:
        """Refuse a feature that is not finite."""
        for part, block in self.blocks():
            self.check_block(part, block)

    def check_block(self, part: slice, block: Tensor) -> None:
        """Refuse a block with a feature that is not finite."""
        # A sum is quick, and is not finite where a feature is not; the rest only names it.
        if torch.isfinite(block.sum()):
            return
        bad = (~torch.isfinite(block)).nonzero()
        if len(bad):
            row, column = bad[0].tolist()
            raise SVMInputError(
                f"row {part.start + row}, feature {column} is NaN or infinity (inf); features "
                "must be finite"
            )


def _margins(block: Tensor, weights: Tensor) -> Tensor:
    """Rows (m, p) times weights (p + 1, k), the last for the feature that is always 1: float64.

    The weights have the rows' precision already: a block has hardly more numbers than they.
    """
    return (block @ weights[:-1]).double() + weights[-1]


def _add_rows(total: Tensor, block: Tensor, factors: Tensor) -> None:
    """Add rows (m, p), each times its factors (m, k), to a sum (p + 1, k), float64."""
    total[:-1] += block.T @ factors.to(block.dtype)
    total[-1] += factors.sum(dim=0)


# --- The two solvers --------------------------------------------------------------------------


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
        slack = (1 - signs * (margins + t * change)).clamp_(min=0)
        first = slope + t * curvature - 2 * C * (slack * signs * change).sum(dim=0)
        second = curvature + 2 * C * ((slack > 0) * change.square()).sum(dim=0)
        low, high = torch.where(first < 0, t, low), torch.where(first > 0, t, high)
        if (first.abs() <= 1e-10 * second * t).all():  # nothing to gain but rounding
            break
        guess = t - first / second
        middle = torch.where(high < math.inf, (low + high) / 2, 2 * t)
        t = torch.where((guess > low) & (guess < high), guess, middle)
    return t


class _SpanSolver:
    """Newton's method in the span of the rows: w = sum_i b_i x_i, margins f = G b.

    The products are in float64: with the features of pictures, which share a large mean, G b
    loses four or more digits to cancellation.
    """

    def __init__(self, rows: _Rows, signs: Tensor) -> None:
        self._rows, self._signs = rows, signs
        self._gram = _gram(rows)
        self._b = torch.zeros_like(signs)
        self._whole: tuple[float, Tensor] | None = None

    def solve(self, C: float, tol: float, max_iter: int) -> _End:
        """Go on from the last solution; the end's point is b, (n, k)."""
        ends = [self._solve_class(k, C, tol, max_iter) for k in range(self._signs.shape[1])]
        norms = torch.tensor([norm for _, norm in ends], dtype=torch.float64)
        return _End(self._b.clone(), max(steps for steps, _ in ends), norms)

    def _solve_class(self, k: int, C: float, tol: float, max_iter: int) -> tuple[int, float]:
        """Newton steps made and the relative gradient norm reached; `_b[:, k]` is moved."""
        gram, y, b = self._gram, self._signs[:, k], self._b[:, k]
        f = gram @ b
        for step in range(max_iter + 1):
            slack = (1 - y * f).clamp_(min=0)
            gradient = b - 2 * C * y * slack  # in the coordinates of b
            square = (gradient @ (gram @ gradient)).clamp(min=0)
            norm = (square / (b @ f + 2 * C * slack.square().sum())).sqrt().item()
            if norm <= tol or step == max_iter:
                break
            d = self._newton_point(slack > 0, y, C) - b
            change = gram @ d
            columns = f[:, None], change[:, None], y[:, None]
            t = _exact_step((b @ change)[None], (d @ change)[None], *columns, C)
            b += t * d
            f += t * change
        return max(step, 1), norm

    def _newton_point(self, support: Tensor, y: Tensor, C: float) -> Tensor:
        """The minimum of the quadratic that F is while the same rows are inside the margin."""
        if support.all():
            whole: Tensor = torch.cholesky_solve(y[:, None], self._whole_factor(C)).squeeze(1)
            return whole
        inside = support.nonzero().squeeze(1)
        factor = _factor(self._gram[inside[:, None], inside], C)
        point = torch.zeros_like(y)
        point[inside] = torch.cholesky_solve(y[inside, None], factor).squeeze(1)
        return point

    def _whole_factor(self, C: float) -> Tensor:
        """The factor for all rows: every class begins with it, and at a small C ends so, too."""
        if self._whole is None or self._whole[0] != C:
            self._whole = None  # its memory is needed for the next one
            self._whole = C, _factor(self._gram.clone(), C)
        return self._whole[1]

    def weights(self, points: Sequence[Tensor]) -> list[Tensor]:
        """The weights (p + 1, k) of each end's point, in one pass over the rows."""
        b = torch.cat(list(points), dim=1)
        total = b.new_zeros(self._rows.p + 1, b.shape[1])
        for part, tile in self._rows.tiles():
            _add_rows(total, tile, b[part])
        return list(torch.tensor_split(total, len(points), dim=1))


def _factor(products: Tensor, C: float) -> Tensor:
    """Cholesky's factor of products of rows + I / (2 C); `products` is changed."""
    products.diagonal().add_(1 / (2 * C))
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(products)
    if failed:
        raise SVMInputError(f"C is {C:g}, too large for features of this size in float64")
    return factor


def _gram(rows: _Rows) -> Tensor:
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


class _StreamSolver:
    """Truncated Newton in the weights, (p + 1, k), with passes over blocks of rows."""

    def __init__(self, rows: _Rows, signs: Tensor) -> None:
        self._rows, self._signs = rows, signs
        self._w = signs.new_zeros(rows.p + 1, signs.shape[1])
        self._preconditioner = _Preconditioner(rows)

    def solve(self, C: float, tol: float, max_iter: int) -> _End:
        """Go on from the last solution; the end's point is the weights."""
        for step in range(max_iter + 1):
            margins, gradient, norms = self._evaluate(C)
            if (norms <= tol).all() or step == max_iter:
                break
            self._step(C, margins, gradient, norms, (norms > tol).nonzero().squeeze(1))
        return _End(self._w.clone(), max(step, 1), norms)

    def weights(self, points: Sequence[Tensor]) -> list[Tensor]:
        """The points themselves."""
        return list(points)

    def _evaluate(self, C: float) -> tuple[Tensor, Tensor, Tensor]:
        """Margins (n, k), gradient (p + 1, k) and its relative norm (k,), all in float64.

        In float32 the gradient's terms, which cancel at the end, would leave more than `tol`
        where C is large. The Hessian's many products need no more than float32.
        """
        margins = torch.empty_like(self._signs)
        gradient = self._w.clone()
        for part, block in self._rows.blocks(torch.float64):
            margins[part] = _margins(block, self._w)
            y = self._signs[part]
            _add_rows(gradient, block, -2 * C * y * (1 - y * margins[part]).clamp_(min=0))
        slack = (1 - self._signs * margins).clamp_(min=0)
        twice = self._w.square().sum(dim=0) + 2 * C * slack.square().sum(dim=0)
        norms = (gradient.square().sum(dim=0) / twice).sqrt()
        if not torch.isfinite(norms).all():
            raise SVMInputError(
                f"features are too large: the objective overflows {self._rows.dtype}"
            )
        return margins, gradient, norms

    def _step(
        self, C: float, margins: Tensor, gradient: Tensor, norms: Tensor, classes: Tensor
    ) -> None:
        """One Newton step of some classes."""
        f, y = margins[:, classes], self._signs[:, classes]
        inside = (y * f < 1).double()
        # Far from the end a tenth is enough; near it, steps as good as Newton's converge faster.
        accuracy = norms[classes].sqrt().clamp_(max=0.1)
        d, change = self._conjugate_gradients(C, inside, gradient[:, classes], accuracy)
        slope = (self._w[:, classes] * d).sum(dim=0)
        t = _exact_step(slope, d.square().sum(dim=0), f, change, y, C)
        self._w[:, classes] += t * d

    def _conjugate_gradients(
        self, C: float, inside: Tensor, gradient: Tensor, accuracy: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Solve H d = -gradient, H = I + 2 C X'DX, until |residual| <= accuracy |gradient|.

        Returns:
            d, (p + 1, k), and the change of the margins by d, (n, k).
        """
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
            margins[part] = _margins(block, narrow)
            _add_rows(total, block, 2 * C * inside[part] * margins[part])
        return margins, total


class _Preconditioner:
    """I + c X'X for its leading eigenvectors, where most of its condition number lies.

    The vectors come from rows spread evenly over X. Their eigenvalues are measured on all rows
    (one pass, Rayleigh-Ritz): those of a sample with more columns than rows are far too large.
    It is computed once for all classes and values of C; c = 2 C times the share of the rows
    inside the margin makes it fit the Hessian.
    """

    def __init__(self, rows: _Rows) -> None:
        count = min(rows.n, _SAMPLE, max(1, _SAMPLED // rows.p))
        places = [rows.n * i // count for i in range(count)]
        sample = torch.cat([rows.block(slice(i, i + 1), torch.float64) for i in places])
        sample = torch.cat([sample, sample.new_ones(count, 1)], dim=1)
        values, vectors = torch.linalg.eigh(sample @ sample.T)
        kept = (values > 1e-8 * values[-1]).nonzero().squeeze(1)[-_RANK:]
        basis = sample.T @ (vectors[:, kept] / values[kept].sqrt())
        del sample
        ritz, narrow = basis.new_zeros(len(kept), len(kept)), basis.to(rows.dtype)
        for _, block in rows.blocks():
            projected = _margins(block, narrow)
            ritz += projected.T @ projected
        self._values, turn = torch.linalg.eigh(ritz)
        self._vectors = basis @ turn

    def solve(self, vectors: Tensor, scale: Tensor) -> Tensor:
        """The inverse times vectors (p + 1, k), with another c, (k,), for each."""
        least = 1 + self._values[:1] * scale
        factors = least / (1 + self._values.clamp(min=0)[:, None] * scale) - 1
        solved: Tensor = vectors + self._vectors @ (factors * (self._vectors.T @ vectors))
        return solved
