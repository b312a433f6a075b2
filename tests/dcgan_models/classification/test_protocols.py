"""Section 5's protocols on features whose answer is known, and beside scikit-learn's LinearSVC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from sklearn.svm import LinearSVC

from dcgan_models.classification.feature_table import (
    COLUMNS_SCHEMA,
    FeatureTable,
    write_feature_table,
)
from dcgan_models.classification.protocols import (
    FewLabels,
    Rows,
    Split,
    confusion,
    measure_all_labels,
    split_rows,
)
from dcgan_models.classification.svm import SVMInputError, draw_labelled
from dcgan_models.errors import UserError

CLASSES, TRAIN, TEST, COLUMNS = 4, 240, 120, 12


def planted(noise: float, seed: int = 0) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Features (n, 12): the first four say the class but for noise, the others say nothing."""
    rng = np.random.default_rng(seed)
    labels = np.arange(TRAIN + TEST) % CLASSES
    features = rng.normal(0, 1, (TRAIN + TEST, COLUMNS)).astype(np.float32)
    features[:, :CLASSES] = np.eye(CLASSES)[labels] + noise * features[:, :CLASSES]
    return features, labels


def some_split() -> Split:
    return split_rows(np.array(["train"] * TRAIN + ["test"] * TEST), 60, seed=3)


def test_a_split_shares_no_row_and_loses_none() -> None:
    split = some_split()
    assert [len(part) for part in (split.pool, split.validation, split.test)] == [180, 60, TEST]
    together = np.concatenate([split.pool, split.validation, split.test])
    np.testing.assert_array_equal(np.sort(together), np.arange(TRAIN + TEST))
    np.testing.assert_array_equal(split.test, np.arange(TRAIN, TRAIN + TEST))
    other = split_rows(np.array(["train"] * TRAIN + ["test"] * TEST), 60, seed=4)
    assert not np.array_equal(split.validation, other.validation)


@pytest.mark.parametrize("validation", [0, TRAIN])
def test_a_split_without_a_part_is_refused(validation: int) -> None:
    splits = np.array(["train"] * TRAIN + ["test"] * TEST)
    with pytest.raises(UserError, match=rf"{validation:,} validation pictures .* 240 for training"):
        split_rows(splits, validation, seed=0)


def test_few_labels_as_a_loop_around_linear_svc_finds_them() -> None:
    features, labels = planted(noise=0.8)
    split, costs = some_split(), [0.001, 0.01, 0.1, 1.0]
    found = FewLabels(10, costs, choosing=4, draws=5, seed=11).measure(features, labels, split)

    seeds = [
        np.random.SeedSequence((11, stream)).generate_state(n).tolist()
        for stream, n in ((0, 4), (1, 5))
    ]
    draws = [
        split.pool[draw_labelled(labels[split.pool], 10, seed)] for seed in seeds[0] + seeds[1]
    ]

    def errors(rows: npt.NDArray[np.int64], cost: float, on: npt.NDArray[np.int64]) -> float:
        model = LinearSVC(C=cost, tol=1e-6, max_iter=20_000).fit(features[rows], labels[rows])
        return float((model.predict(features[on]) != labels[on]).mean())

    chosen = np.array([[errors(d, c, split.validation) for c in costs] for d in draws[:4]])
    np.testing.assert_allclose(found.validation_errors, chosen.mean(axis=0), atol=0.01)
    assert found.cost == costs[int(chosen.mean(axis=0).argmin())]
    tested = [errors(d, found.cost, split.test) for d in draws[4:]]
    np.testing.assert_allclose(found.errors, tested, atol=0.01)
    assert found.predictions.shape == (5, TEST)
    np.testing.assert_array_equal((found.predictions != labels[split.test]).mean(1), found.errors)


def test_all_labels_are_fitted_with_the_validation_pictures_in_the_end() -> None:
    features, labels = planted(noise=0.8)
    split, costs = some_split(), [0.001, 0.1]
    fitted: list[float] = []
    found = measure_all_labels(features, labels, split, costs, on_fit=fitted.append)
    assert sorted(fitted) == sorted(CLASSES * [*costs, found.cost]), "one call a class and cost"
    both = np.concatenate([split.pool, split.validation])
    model = LinearSVC(C=found.cost, tol=1e-6, max_iter=20_000).fit(features[both], labels[both])
    expected = (model.predict(features[split.test]) != labels[split.test]).mean()
    assert found.errors == pytest.approx([expected], abs=0.01)
    assert found.cost == costs[int(found.validation_errors.argmin())]


def test_columns_that_say_nothing_are_guessed_from() -> None:
    features, labels = planted(noise=0.1)
    few = FewLabels(20, [0.1], choosing=0, draws=6, seed=0)
    telling = few.measure(features, labels, some_split(), slice(0, CLASSES))
    silent = few.measure(features, labels, some_split(), slice(CLASSES, None))
    assert telling.errors.max() == 0
    assert abs(silent.errors.mean() - 0.75) < 0.08
    assert telling.cost == 0.1


def test_rows_of_a_table_in_parts_are_those_of_an_array(tmp_path: Path) -> None:
    features, labels = planted(noise=0.5)
    half = features.astype(np.float16)
    columns = pa.table([pa.array(np.arange(COLUMNS, dtype=np.int32))] * 5, schema=COLUMNS_SCHEMA)
    write_feature_table(
        tmp_path,
        columns,
        [half[:100], half[100:]],
        keys=[str(i) for i in range(len(half))],
        labels=labels,
        splits=["train"] * TRAIN + ["test"] * TEST,
        batch_bytes=64 * COLUMNS * 2,
    )
    table = FeatureTable.open(tmp_path)
    assert len(table.parts) > 1
    rows = np.array([5, 300, 70, 70, 1])
    for columns_used in (slice(None), slice(3, 7)):
        view, plain = Rows(table, rows, columns_used), Rows(half, rows, columns_used)
        assert view.shape == plain.shape
        np.testing.assert_array_equal(view[1:4], half[rows][1:4, columns_used])
        np.testing.assert_array_equal(plain[1:4], view[1:4])
    few = FewLabels(10, [0.01, 0.1], choosing=2, draws=2, seed=1)
    ours = [few.measure(x, labels, some_split()).errors for x in (table, half)]
    np.testing.assert_array_equal(*ours)


def test_too_few_labelled_pictures_are_refused() -> None:
    features, labels = planted(noise=0.5)
    with pytest.raises(
        SVMInputError, match=r"class \d has \d+ labelled examples, fewer than .* 60"
    ):
        FewLabels(60, [0.1], 0, 1, 0).measure(features, labels, some_split())


def test_every_draw_is_counted() -> None:
    features, labels = planted(noise=0.5)
    drawn: list[int] = []
    few = FewLabels(5, [0.1, 1.0], choosing=3, draws=4, seed=0)
    few.measure(features, labels, some_split(), on_draw=lambda: drawn.append(1))
    assert len(drawn) == 7


def test_confusion_counts_every_draw() -> None:
    labels = np.array([0, 0, 1])
    predictions = np.array([[0, 1, 1], [0, 0, 1]])
    np.testing.assert_allclose(
        confusion(predictions, labels, 3), [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]]
    )
