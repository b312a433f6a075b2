"""How section 5 measures features: which pictures are labelled, how C is chosen, what is reported.

Both data sets are treated alike. Some training pictures are set aside for validation. C is the
one of a grid that errs least on them, over several draws of a few labelled pictures; other draws
then give the test error. With all labels, one fit a value of C chooses, and one more, on the
training pictures and the validation pictures together, is tested.

The authors' script for SVHN (svhn_semisup_analysis.py) does the first: 10,000 validation
pictures, 100 a class, 10 draws a C, then 100 draws. For CIFAR-10's 400 a class the paper gives
mean and standard deviation; ten draws are what its rivals in Table 1 took.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dcgan_models.classification.feature_table import FeatureTable
from dcgan_models.classification.svm import L2SVM, draw_labelled, fit_path, predict_all
from dcgan_models.errors import UserError

Numbers = npt.NDArray[np.int64]
# Models whose predictions are computed in one pass over the pictures.
_AT_ONCE = 70


class Rows:
    """Some rows, and perhaps columns, of features, as `L2SVM` reads them: slice by slice.

    Attributes:
        shape: (rows, columns).
    """

    def __init__(self, features: Any, rows: Numbers, columns: slice = slice(None)) -> None:
        """Take rows of a `FeatureTable` or of an array (n, p)."""
        self._features, self._rows, self._columns = features, rows, columns
        self.shape = (len(rows), self[:1].shape[1])

    def __getitem__(self, part: slice) -> npt.NDArray[Any]:
        rows = self._rows[part]
        if isinstance(self._features, FeatureTable):
            return self._features.gather(rows, self._columns)
        found: npt.NDArray[Any] = self._features[rows, self._columns]
        return found


@dataclass(frozen=True)
class Split:
    """Row numbers, int64: to draw labelled pictures from, to choose C on, to test on."""

    pool: Numbers
    validation: Numbers
    test: Numbers


def split_rows(splits: npt.NDArray[np.str_], validation: int, seed: int) -> Split:
    """Set training rows aside for validation, at random.

    Args:
        splits: (n,), `train` or `test` for each row.
        validation: How many of the training rows.

    Raises:
        UserError: Not one training row would be left, or there is no test row.
    """
    train, test = np.flatnonzero(splits == "train"), np.flatnonzero(splits == "test")
    if not 0 < validation < len(train) or not len(test):
        raise UserError(
            f"{validation:,} validation pictures asked for, of {len(train):,} for training; "
            f"{len(test):,} are for testing; each of the three parts needs one at least"
        )
    order = np.random.default_rng(seed).permutation(train)
    return Split(np.sort(order[validation:]), np.sort(order[:validation]), test)


@dataclass(frozen=True, eq=False)
class Scores:
    """How good features are by one protocol.

    Attributes:
        cost: The C that was chosen.
        validation_errors: (C,), shares in [0, 1], means over the draws that chose.
        errors: (draws,), shares of test pictures that are classed wrongly.
        predictions: (draws, test), labels.
    """

    cost: float
    validation_errors: npt.NDArray[np.float64]
    errors: npt.NDArray[np.float64]
    predictions: npt.NDArray[np.int64]


@dataclass(frozen=True)
class FewLabels:
    """A protocol: so many labelled pictures of each class, drawn again and again.

    Attributes:
        costs: The grid of C.
        choosing: Draws over which C is chosen; with 0 of them it is the first of the grid.
        draws: Draws that are tested; none of them is among the choosing ones.
    """

    per_class: int
    costs: Sequence[float]
    choosing: int
    draws: int
    seed: int
    device: str = "auto"

    @property
    def choosing_seeds(self) -> list[int]:
        """Seeds of the draws over which C is chosen."""
        return self._seeds(0, self.choosing)

    @property
    def test_seeds(self) -> list[int]:
        """Seeds of the draws that are tested; more draws begin with the same ones."""
        return self._seeds(1, self.draws)

    def _seeds(self, stream: int, count: int) -> list[int]:
        state = np.random.SeedSequence((self.seed, stream)).generate_state(count)
        return [int(seed) for seed in state]

    def labelled(self, labels: Numbers, split: Split, seed: int) -> Numbers:
        """The rows of one draw, from the pool.

        Raises:
            SVMInputError: A class has too few of them.
        """
        return split.pool[draw_labelled(labels[split.pool], self.per_class, seed)]

    def measure(
        self,
        features: Any,
        labels: Numbers,
        split: Split,
        columns: slice = slice(None),
        on_draw: Callable[[], None] = lambda: None,
    ) -> Scores:
        """Choose C on the validation pictures, and test.

        Args:
            features: A `FeatureTable`, or an array (n, p).
            labels: (n,).
            columns: Those used: one layer's.
            on_draw: Called after each draw.

        Raises:
            SVMInputError: As `draw_labelled` and `fit_path` raise it.
        """
        validation, test = (
            Rows(features, rows, columns) for rows in (split.validation, split.test)
        )

        def fit(seed: int, costs: Sequence[float]) -> list[L2SVM]:
            rows = self.labelled(labels, split, seed)
            X = Rows(features, rows, columns)[:]
            models = fit_path(X, labels[rows], costs, device=self.device)
            on_draw()
            return models

        # C by the mean error over some draws of labelled pictures; the test pictures have no say.
        validation_errors = np.zeros(len(self.costs))
        if self.choosing:
            tried = [model for seed in self.choosing_seeds for model in fit(seed, self.costs)]
            found = _errors(tried, validation, labels[split.validation])[0]
            validation_errors = found.reshape(self.choosing, len(self.costs)).mean(axis=0)
        cost = self.costs[int(validation_errors.argmin())]
        # Then other draws, so that C was not chosen by the pictures that train what is tested.
        tested = [model for seed in self.test_seeds for model in fit(seed, [cost])]
        errors, predictions = _errors(tested, test, labels[split.test])
        return Scores(cost, validation_errors, errors, predictions)


def measure_all_labels(
    features: Any,
    labels: Numbers,
    split: Split,
    costs: Sequence[float],
    *,
    device: str = "auto",
    on_fit: Callable[[float], None] = lambda cost: None,
) -> Scores:
    """Choose C by fits to the pool, then fit pool and validation pictures together, and test.

    The paper does not say on how many of CIFAR-10's 50,000 pictures its last fit was made.

    Args:
        features: A `FeatureTable`, or an array (n, p).
        labels: (n,).
        costs: The grid of C.
        device: As for `L2SVM`.
        on_fit: Called after the fit of each class, with its C: classes (1 for two) times one more
            than there are costs.

    Raises:
        SVMInputError: As `fit_path` raises it.
    """

    def fit(rows: Numbers, grid: Sequence[float]) -> list[L2SVM]:
        return fit_path(Rows(features, rows), labels[rows], grid, device=device, on_fit=on_fit)

    models = fit(split.pool, costs)
    validation = Rows(features, split.validation)
    validation_errors, _ = _errors(models, validation, labels[split.validation])
    cost = costs[int(validation_errors.argmin())]
    last = fit(np.sort(np.concatenate([split.pool, split.validation])), [cost])
    errors, predictions = _errors(last, Rows(features, split.test), labels[split.test])
    return Scores(cost, validation_errors, errors, predictions)


def _errors(
    models: Sequence[L2SVM], X: Rows, labels: Numbers
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The share of wrong labels of each model, (models,), and what they predict, (models, n)."""
    parts = [
        np.stack(predict_all(models[first : first + _AT_ONCE], X))
        for first in range(0, len(models), _AT_ONCE)
    ]
    predictions = np.concatenate(parts)
    return (predictions != labels).mean(axis=1), predictions


def confusion(
    predictions: npt.NDArray[np.int64], labels: Numbers, classes: int
) -> npt.NDArray[np.float64]:
    """How often each class is taken for each: (classes, classes), a row's sum being 1.

    Args:
        predictions: (draws, n), all draws counting alike.
        labels: (n,), true classes: the rows of the result.
    """
    pairs = classes * np.broadcast_to(labels, predictions.shape) + predictions
    counts = np.bincount(pairs.ravel(), minlength=classes**2).reshape(classes, classes)
    shares: npt.NDArray[np.float64] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares
