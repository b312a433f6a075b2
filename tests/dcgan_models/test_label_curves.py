"""Label curves, layers and confusion: planted features, scikit-learn's own counts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from fixture_types import Refused
from sklearn.metrics import confusion_matrix as reference
from sklearn.metrics import precision_recall_fscore_support

from dcgan_models.feature_table import COLUMNS_SCHEMA, FeatureTable, write_feature_table
from dcgan_models.label_curves import (
    FeatureView,
    accuracy_by_labels,
    accuracy_by_layer,
    class_table,
    confusion_matrix,
    layer_columns,
)
from dcgan_models.svm import L2SVM, draw_labelled

CLASSES = 3
LAYERS = {1: 32, 3: 16, 4: 48}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> FeatureTable:
    """Three layers of noise; the class shows well in layer 3, a little in layer 4, not in 1."""
    rng = np.random.default_rng(0)
    n = 900
    labels = rng.permutation(np.arange(n) % CLASSES).astype(np.int64)
    strength = np.concatenate([np.full(LAYERS[i], s) for i, s in ((1, 0), (3, 1.2), (4, 0.15))])
    centres = rng.normal(size=(CLASSES, len(strength)))
    features = centres[labels] * strength + rng.normal(size=(n, len(strength)))
    numbers = np.arange(len(strength), dtype=np.int32)
    layer = np.repeat(list(LAYERS), list(LAYERS.values())).astype(np.int32)
    columns = [numbers, layer, *([numbers * 0] * 3)]
    folder = tmp_path_factory.mktemp("table")
    write_feature_table(
        folder,
        pa.Table.from_arrays(list(map(pa.array, columns)), schema=COLUMNS_SCHEMA),
        iter([features.astype(np.float16)]),
        keys=[f"{i}" for i in range(n)],
        labels=labels,
        splits=["train"] * 400 + ["validation"] * 200 + ["test"] * 300,
        batch_bytes=2 * len(strength) * 250,  # several record batches
    )
    return FeatureTable.open(folder)


def arrays(table: FeatureTable, split: str) -> tuple[FeatureView, npt.NDArray[np.int64]]:
    rows = table.rows(split)
    return FeatureView(table, rows), table.labels[rows]


def test_layers_stand_where_the_columns_say(table: FeatureTable) -> None:
    assert layer_columns(table.columns) == {1: slice(0, 32), 3: slice(32, 48), 4: slice(48, 96)}


def test_a_view_is_a_selection_that_the_svm_takes(table: FeatureTable) -> None:
    rows = np.random.default_rng(1).permutation(len(table))[:200]
    view = FeatureView(table, rows, slice(32, 48))
    whole = table.gather(rows)[:, 32:48]
    assert view.shape == whole.shape == (200, 16)
    np.testing.assert_array_equal(view[20:50], whole[20:50])
    ours, same = (L2SVM(C=0.01).fit(x, table.labels[rows]) for x in (view, whole))
    np.testing.assert_array_equal(ours.coef_, same.coef_)
    np.testing.assert_array_equal(ours.decision_function(view), same.decision_function(whole))


def test_more_labels_are_more_accuracy(table: FeatureTable) -> None:
    told: list[tuple[int, int]] = []
    (x, y), (new, truth) = arrays(table, "train"), arrays(table, "test")
    curve = accuracy_by_labels(
        x,
        y,
        new,
        truth,
        per_class=[2, 10, 100],
        C=0.01,
        draws=6,
        on_fit=lambda *fit: told.append(fit),
    )
    assert curve.at.tolist() == [2, 10, 100]
    assert curve.accuracy.shape == (3, 6)
    assert (np.diff(curve.mean) > 0.02).all()
    assert curve.std[0] > curve.std[2] > 0
    np.testing.assert_allclose(curve.std, np.std(curve.accuracy, axis=1) * np.sqrt(6 / 5))
    assert told == [(n, draw) for n in (2, 10, 100) for draw in range(6)]


def test_a_point_is_the_accuracy_of_a_fit_on_its_draw(table: FeatureTable) -> None:
    (x, y), (new, truth) = arrays(table, "train"), arrays(table, "test")
    given = {"per_class": [100], "C": 0.01, "draws": 1}
    (point,) = accuracy_by_labels(x, y, new, truth, **given, seed=5).accuracy
    # A table in memory gives the same, and another seed another draw.
    (same,) = accuracy_by_labels(x[:], y, new[:], truth, **given, seed=5).accuracy
    (other,) = accuracy_by_labels(x, y, new, truth, **given, seed=6).accuracy
    assert point == same != other
    everything = min(np.bincount(y))
    (full,) = accuracy_by_labels(x, y, new, truth, per_class=[everything], C=0.01, draws=1).accuracy
    rows = draw_labelled(y, everything, 0)
    theirs = L2SVM(C=0.01).fit(x[:][rows], y[rows]).score(new[:], truth)
    assert abs(full[0] - theirs) < 0.03
    assert np.isnan(accuracy_by_labels(x, y, new, truth, **given).std).all()


def test_the_layer_that_knows_most_is_found(table: FeatureTable) -> None:
    train = table.rows("train")
    draws = [train[draw_labelled(table.labels[train], 40, seed)] for seed in range(3)]
    seen: list[int] = []
    found = accuracy_by_layer(
        table,
        draws,
        table.rows("validation"),
        table.rows("test"),
        Cs=[1e-3, 1e-1],
        on_layer=seen.append,
    )
    assert found.at.tolist() == seen == [1, 3, 4, 0]
    nothing, most, little, everything = found.mean
    assert abs(nothing - 1 / 3) < 0.08
    assert most > 0.9
    assert nothing + 0.05 < little < most - 0.1
    assert everything > little + 0.1


def test_each_layer_has_the_c_that_validates_best(table: FeatureTable) -> None:
    rows = table.rows("train")
    splits = table.rows("validation"), table.rows("test")
    both = accuracy_by_layer(table, [rows], *splits, Cs=[1e-9, 1e-2])
    bad, good = (accuracy_by_layer(table, [rows], *splits, Cs=[C]) for C in (1e-9, 1e-2))
    assert not np.array_equal(bad.accuracy, good.accuracy)
    for layer in range(4):
        assert both.accuracy[layer] in (bad.accuracy[layer], good.accuracy[layer])
    np.testing.assert_array_equal(both.accuracy[[1, 3]], good.accuracy[[1, 3]])


def test_confusion_and_class_table_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(5, size=(2, 400))
    counts = confusion_matrix(truth, predicted, 5)
    np.testing.assert_array_equal(counts, reference(truth, predicted))
    precision, recall, _, support = precision_recall_fscore_support(truth, predicted)
    found = class_table(counts)
    np.testing.assert_array_equal(found.support, support)
    np.testing.assert_allclose(found.recall, recall)
    np.testing.assert_allclose(found.precision, precision)
    assert found.recall @ found.support == pytest.approx((truth == predicted).sum())


def test_classes_that_never_occur() -> None:
    found = class_table(confusion_matrix([0, 0, 0, 2], [0, 2, 2, 2], 4))
    assert found.support.tolist() == [3, 0, 1, 0]
    np.testing.assert_allclose(found.recall, [1 / 3, np.nan, 1, np.nan])
    np.testing.assert_allclose(found.precision, [1, np.nan, 1 / 3, np.nan])
    assert found.mistaken_for.tolist() == [2, -1, -1, -1]


def test_bad_input(table: FeatureTable, refused: Refused) -> None:
    (x, y), (new, truth) = arrays(table, "train"), arrays(table, "test")
    with refused("class", "fewer than the 1000"):
        accuracy_by_labels(
            x,
            y,
            new,
            truth,
            per_class=[1, 1000],
            C=1,
            on_fit=lambda *fit: pytest.fail("fitted before it looked"),
        )
    with refused("0 numbers of labels"):
        accuracy_by_labels(x, y, new, truth, per_class=[], C=1)
    with refused("0 draws"):
        accuracy_by_labels(x, y, new, truth, per_class=[1], C=1, draws=0)
    with refused("no draw"):
        accuracy_by_layer(table, [], table.rows("train"), table.rows("test"), Cs=[1])
    with refused("(2,)", "(3,)", "must match"):
        confusion_matrix([0, 1], [0, 1, 1], 2)
    with refused("predictions from 0 to 2", "0 to 1"):
        confusion_matrix([0, 1], [0, 2], 2)
    with refused("labels from -1", "0 to 1"):
        confusion_matrix([-1, 1], [0, 1], 2)
