"""The paper's classifier: a regularised linear L2-SVM, for more features than fit in memory.

The paper trains "a regularized linear L2-SVM" on D's features (sections 5.1 and 5.2); the
authors' code used scikit-learn's LinearSVC. This is the same objective, for each class against
the rest:

    F(w, b) = 1/2 |w|^2 + 1/2 b^2 + C sum_i max(0, 1 - y_i f_i)^2,    f_i = w.x_i + b

The intercept is one more weight on a feature that is always 1, and regularised, as liblinear does
with intercept_scaling = 1. LinearSVC makes a sparse float64 copy of its input, 23 GB for
50,000 x 28,672. Here rows are read block by block in the precision they have (`svm_rows`), and
Newton's method solves all classes and values of C (`svm_solvers`).

When it stops: when |grad F| <= tol sqrt(2 F) for every class. That is a certificate. With
a_i = 2 C max(0, 1 - y_i f_i) as the dual point, the duality gap is exactly 1/2 |grad F|^2, so
that F exceeds its minimum by at most the share tol^2; and F is 1-strongly convex, so that the
weights are within |grad F| of the optimal ones.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from dcgan_models.classification.svm_rows import BLOCK, RowBlocks, SVMInputError, margins_of
from dcgan_models.classification.svm_solvers import End, Stop, solve_path
from dcgan_models.machine import settle_kernels

_FLOATS = [np.float64, np.float32, np.float16]


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
        SVMInputError: `per_class` is no whole number from 1 up, or a class has fewer rows.

    Examples:
        >>> labels = [8, 3, 3, 8, 3, 8]
        >>> sorted(labels[row] for row in draw_labelled(labels, per_class=2, seed=0))
        [3, 3, 8, 8]
    """
    names = np.asarray(labels)
    if isinstance(per_class, bool) or not isinstance(per_class, int | np.integer):
        raise SVMInputError(f"per_class is {per_class!r:.60}; a whole number from 1 up is needed")
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

    Examples:
        >>> X, y = np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([3, 3, 8, 8])
        >>> L2SVM(C=1.0).fit(X, y).predict(np.array([[1.5], [-3.0]])).tolist()
        [8, 3]
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
        on_fit: Called with C after the fit of one class to it: classes (1 for two) times values
            of C in all, in no order that is promised. With 50,000 rows the whole takes the better
            part of an hour. What it raises ends the call.

    Returns:
        The fitted models in the order of `Cs`.

    Raises:
        SVMInputError: As `L2SVM.fit`; or the grid is empty.

    Examples:
        >>> X, y = np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([3, 3, 8, 8])
        >>> [model.C for model in fit_path(X, y, Cs=[1.0, 0.01])]
        [1.0, 0.01]
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
    # Bad settings are refused before any data are read.
    first = models[0]
    for model in models:
        cost: Any = model.C
        if not isinstance(cost, int | float | np.number) or not 0 < cost < math.inf:
            raise SVMInputError(f"C is {cost}; it must be a finite number above 0")
    if not 0 < first.tol < 1 or first.max_iter < 1:
        raise SVMInputError(
            f"tol is {first.tol} and max_iter {first.max_iter}; allowed are 0 < tol < 1 and "
            "max_iter of at least 1"
        )
    # What is learnt from: rows in place, labels as numbers of classes.
    device = _device(first.device)
    X, names = _training_data(first, X, y)
    classes, codes = np.unique(names, return_inverse=True)
    if len(classes) < 2:
        raise SVMInputError(f"all labels are {classes[0]}: one class only, at least 2 are needed")
    # One class against the rest; two classes are one such problem.
    rows = RowBlocks(X, device)
    rows.check()
    ones = np.arange(len(classes)) if len(classes) > 2 else np.array([1])
    signs = torch.from_numpy(np.where(codes[:, None] == ones, 1.0, -1.0)).to(device)
    # From weak to strong: each solution is where the next one begins.
    order = sorted(range(len(models)), key=lambda i: float(models[i].C))
    stop = Stop(first.tol, first.max_iter, on_fit)
    ends = solve_path(rows, signs, [float(models[i].C) for i in order], stop)
    for i, end in zip(order, ends, strict=True):
        _store(models[i], classes, end)
        models[i].n_features_in_ = rows.p
        if hasattr(first, "feature_names_in_"):
            models[i].feature_names_in_ = first.feature_names_in_


def _store(model: L2SVM, classes: npt.NDArray[Any], end: End) -> None:
    """Set the fitted attributes."""
    found = end.weights.cpu().numpy()
    model.classes_ = classes
    model.coef_ = np.ascontiguousarray(found[:-1].T)
    model.intercept_ = found[-1].copy()
    model.n_iter_ = max(1, int(end.steps.max()))
    model.gradient_norm_ = end.norms.cpu().numpy()
    if not (model.gradient_norm_ <= model.tol).all():
        warnings.warn(
            f"L2SVM with C = {model.C:g} stopped after {model.n_iter_} Newton steps at a relative "
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
    if device.type not in BLOCK:
        raise SVMInputError(f"device is {name!r}; allowed are auto, cpu, cuda and cuda:NUMBER")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SVMInputError(f"device is {name!r}, but torch finds no GPU; allowed is cpu")
    settle_kernels(device)
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
    # Values are checked block by block below, since X may be larger than memory.
    if not _only_sliced(X):
        X = validate_data(models[0], X, dtype=_FLOATS, ensure_all_finite=False, reset=False)
    rows = RowBlocks(X, _device(models[0].device))
    for model in models:
        if model.n_features_in_ != rows.p:
            raise SVMInputError(
                f"X has {rows.p} features, but L2SVM is expecting {model.n_features_in_} "
                "features as input"
            )
    # All models side by side: one pass over the rows serves them all.
    weights = torch.from_numpy(
        np.vstack([np.column_stack([m.coef_, m.intercept_]) for m in models]).T.copy()
    ).to(rows.device, rows.dtype)
    margins = np.empty((rows.n, weights.shape[1]))
    for part, block in rows.blocks():
        rows.check_block(part, block)
        margins[part] = margins_of(block, weights).cpu().numpy()
    return np.split(margins, np.cumsum([len(m.coef_) for m in models])[:-1], axis=1)
