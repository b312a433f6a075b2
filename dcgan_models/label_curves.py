"""How much labels and layers are worth to the L2-SVM: what Table 1 and section 5.2 stand on.

Accuracy against the number of labels, which layer of D knows most, and the confusion of classes.
The paper has two points of the first curve (400 a class and all of CIFAR-10; 100 a class of SVHN)
and uses all layers at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dcgan_models.feature_table import Features, FeatureTable
from dcgan_models.svm import SVMInputError, draw_labelled, fit_path, predict_all

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FeatureView:
    """Some rows, and neighbouring columns, of a feature table, read when a slice is asked for.

    `L2SVM` takes it as its X: neither a copy of the rows nor one of the columns is ever whole.

    Attributes:
        table: Where the features lie.
        rows: int64 (n,), the table's rows, in any order.
        columns: Those of one layer (`layer_columns`), or all.
    """

    table: FeatureTable
    rows: npt.NDArray[np.int64]
    columns: slice = field(default_factory=lambda: slice(None))

    @property
    def shape(self) -> tuple[int, int]:
        """(n, columns)."""
        return len(self.rows), len(range(*self.columns.indices(self.table.columns.num_rows)))

    def __getitem__(self, part: slice) -> Features:
        """Some of the rows: float16 (m, columns)."""
        return self.table.gather(self.rows[part])[:, self.columns]


def layer_columns(columns: pa.Table) -> dict[int, slice]:
    """The columns of each layer.

    Args:
        columns: With `feature_table.COLUMNS_SCHEMA`; a layer's stand together.

    Returns:
        By row of D's layer table, in order.
    """
    layers = columns["layer"].to_numpy()
    starts = np.flatnonzero(np.diff(layers, prepend=layers[0] - 1))
    stops = [*starts[1:].tolist(), len(layers)]
    return {int(layers[a]): slice(a, b) for a, b in zip(starts.tolist(), stops, strict=True)}


@dataclass(frozen=True, eq=False)
class Accuracies:
    """What came out of fits that differ in one thing.

    Attributes:
        at: (points,), what differs: labels a class, or the layer's number.
        accuracy: float64 (points, draws), shares of right answers in [0, 1].
    """

    at: npt.NDArray[np.int64]
    accuracy: npt.NDArray[np.float64]

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """(points,)."""
        return np.asarray(self.accuracy.mean(axis=1))

    @property
    def std(self) -> npt.NDArray[np.float64]:
        """(points,), over the draws, with n - 1; NaN where there is one draw."""
        if self.accuracy.shape[1] == 1:
            return np.full(len(self.accuracy), np.nan)
        return np.asarray(self.accuracy.std(axis=1, ddof=1))


def accuracy_by_labels(
    X: Any,
    y: npt.ArrayLike,
    test_X: Any,
    test_y: npt.ArrayLike,
    *,
    per_class: Sequence[int],
    C: float,
    draws: int = 10,
    seed: int = 0,
    device: str = "auto",
    on_fit: Callable[[int, int], None] = lambda per_class, draw: None,
) -> Accuracies:
    """The test accuracy of the SVM with ever more labels.

    Draw d of one number of labels is not part of draw d of the next one: points are independent.

    Args:
        X: float16 (n, p), an array or map, whose rows are drawn from; or a `FeatureView`.
        y: Integers (n,).
        test_X: (m, p), anything that `L2SVM` takes.
        test_y: Integers (m,).
        per_class: Labels a class, at least 1 each.
        C: Of the SVM, as a held-out split chose it. It is the same for all.
        draws: Random draws for each number of labels.
        seed: Of the draws.
        device: As for `L2SVM`.
        on_fit: Called after each fit.

    Raises:
        SVMInputError: A class has fewer examples than asked for; `per_class` or `draws` names no
            fit; or as `L2SVM.fit`.
    """
    if not per_class or draws < 1:
        raise SVMInputError(
            f"label curve: {len(per_class)} numbers of labels and {draws} draws; at least 1 of "
            "each is needed"
        )
    names, truth = np.asarray(y), np.asarray(test_y)
    for number in per_class:  # before hours of fits
        draw_labelled(names, number, seed)
    accuracy = np.empty((len(per_class), draws))
    for point, number in enumerate(per_class):
        models = []
        for draw in range(draws):
            rows = draw_labelled(names, number, _draw_seed(seed, point, draw))
            models += fit_path(_rows(X, rows), names[rows], [C], device=device)
            on_fit(number, draw)
        # One pass over the test set, whose reading costs more than a model's products.
        found = predict_all(models, test_X)
        accuracy[point] = [(predicted == truth).mean() for predicted in found]
    return Accuracies(np.array(per_class, np.int64), accuracy)


def accuracy_by_layer(
    table: FeatureTable,
    draws: Sequence[npt.NDArray[np.int64]],
    validation_rows: npt.NDArray[np.int64],
    test_rows: npt.NDArray[np.int64],
    *,
    Cs: Sequence[float],
    device: str = "auto",
    on_layer: Callable[[int], None] = lambda layer: None,
) -> Accuracies:
    """The test accuracy with the features of one layer alone: which layer knows most.

    Layers differ in number and scale of features, so that each has its own C: the one with the
    best mean accuracy over the draws on the validation rows.

    Args:
        table: With labels.
        draws: The training rows of each draw (`svm.draw_labelled`).
        validation_rows: Choose C.
        test_rows: Give the accuracies.
        Cs: The grid.
        device: As for `L2SVM`.
        on_layer: Called after each layer.

    Returns:
        A point for each layer, and a last one, at 0, for all of them together.

    Raises:
        SVMInputError: There is no draw, or as `fit_path`.
    """
    if not len(draws):
        raise SVMInputError("accuracy by layer: no draw was given; at least 1 is needed")
    parts = {**layer_columns(table.columns), 0: slice(None)}
    accuracy = np.empty((len(parts), len(draws)))
    for point, (layer, columns) in enumerate(parts.items()):
        paths = [
            fit_path(table.gather(rows)[:, columns], table.labels[rows], Cs, device=device)
            for rows in draws
        ]
        models = [model for path in paths for model in path]
        judged = _accuracies(models, table, validation_rows, columns)
        best = int(judged.reshape(len(draws), -1).mean(axis=0).argmax())
        accuracy[point] = _accuracies([path[best] for path in paths], table, test_rows, columns)
        on_layer(layer)
    return Accuracies(np.array(list(parts), np.int64), accuracy)


def confusion_matrix(truth: npt.ArrayLike, predicted: npt.ArrayLike, classes: int) -> Labels:
    """How often each class was taken for each.

    Its diagonal over its rows' sums is the per-class accuracy (the recall); over its columns'
    sums, the precision.

    Args:
        truth: Integers (n,) in 0..classes-1.
        predicted: Integers (n,) in 0..classes-1.
        classes: How many there are.

    Returns:
        int64 (classes, classes); row t, column p counts pictures of class t taken for p.

    Raises:
        SVMInputError: The two differ in length, or a label is out of range.
    """
    one, other = np.asarray(truth), np.asarray(predicted)
    if one.shape != other.shape or one.ndim != 1:
        raise SVMInputError(f"{one.shape} labels and {other.shape} predictions: they must match")
    for which, labels in (("labels", one), ("predictions", other)):
        if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
            raise SVMInputError(
                f"{which} from {labels.min()} to {labels.max()}; allowed are 0 to {classes - 1}"
            )
    counts = np.bincount(one * classes + other, minlength=classes**2)
    return counts.reshape(classes, classes).astype(np.int64)


@dataclass(frozen=True, eq=False)
class ClassTable:
    """One row for each class: all (classes,).

    Attributes:
        support: Pictures of the class.
        recall: Share of its pictures that were recognised; NaN without any.
        precision: Share of the pictures taken for it that are of it; NaN where none was.
        mistaken_for: The class that its pictures are most often mistaken for, -1 for none.
    """

    support: Labels
    recall: npt.NDArray[np.float64]
    precision: npt.NDArray[np.float64]
    mistaken_for: Labels


def class_table(confusion: Labels) -> ClassTable:
    """The per-class table of a confusion matrix (or of the sum of several)."""
    right, support, taken = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(invalid="ignore"):
        recall, precision = right / support, right / taken
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    mistaken = np.where(wrong.any(axis=1), wrong.argmax(axis=1), -1)
    return ClassTable(support, recall, precision, mistaken)


def _draw_seed(seed: int, point: int, draw: int) -> int:
    return int(np.random.SeedSequence((seed, point, draw)).generate_state(1)[0])


def _rows(X: Any, rows: npt.NDArray[np.int64]) -> Any:
    return FeatureView(X.table, X.rows[rows], X.columns) if isinstance(X, FeatureView) else X[rows]


def _accuracies(
    models: Sequence[Any], table: FeatureTable, rows: npt.NDArray[np.int64], columns: slice
) -> npt.NDArray[np.float64]:
    found = predict_all(models, FeatureView(table, rows, columns))
    return np.array([(predicted == table.labels[rows]).mean() for predicted in found])
