"""The L2-SVM: its own optimality in float64, and LinearSVC's objective and accuracy."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from fixture_types import Refused
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from dcgan_models.classification import svm_rows, svm_solvers
from dcgan_models.classification.svm import (
    L2SVM,
    SVMInputError,
    draw_labelled,
    fit_path,
    predict_all,
)

Features = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]

# The ends of the authors' grid (svhn_semisup_analysis.py), and well beyond both.
CS = [1e-6, 1e-4, 1e-2, 10.0]
SIZES = {"few rows": (150, 400), "many rows": (600, 60)}
TRICKS = ["plain", "imbalanced", "constant", "duplicates"]


def problem(size: str, trick: str = "plain", seed: int = 0) -> tuple[Features, Labels]:
    """Rectified features that share a large mean, float32 (n, p), and 4 classes that overlap."""
    n, p = SIZES[size]
    rng = np.random.default_rng(seed)
    y = (
        rng.choice(4, n, p=[0.9, 0.05, 0.03, 0.02])
        if trick == "imbalanced"
        else rng.integers(4, size=n)
    )
    y[:8] = [0, 1, 2, 3] * 2
    centres = np.random.default_rng(99).normal(size=(4, p))
    x = 0.15 * centres[y] + rng.normal(size=(n, p)) * np.geomspace(3, 0.1, p) + 1
    x = np.where(x > 0, x, 0.2 * x).astype(np.float32)
    if trick == "constant":
        x[:, p // 2] = 7
    if trick == "duplicates":
        x[-30:], y[-30:] = np.tile(x[:10], (3, 1)), np.tile(y[:10], 3)
    return x, y


def objectives(model: Any, x: Features, y: Labels, C: float) -> npt.NDArray[np.float64]:
    """F of each class, in float64, from the definition."""
    w = np.column_stack([model.coef_, model.intercept_]).astype(np.float64)
    slack = np.maximum(0, 1 - signs(model, y) * (with_one(x) @ w.T))
    return 0.5 * (w**2).sum(axis=1) + C * (slack**2).sum(axis=0)


def gradient_norms(model: Any, x: Features, y: Labels, C: float) -> npt.NDArray[np.float64]:
    """The gradient's norm over sqrt(2 F) of each class, in float64, from the definition."""
    w = np.column_stack([model.coef_, model.intercept_])
    z, s = with_one(x), signs(model, y)
    slack = np.maximum(0, 1 - s * (z @ w.T))
    gradient = w - 2 * C * (s * slack).T @ z
    return np.linalg.norm(gradient, axis=1) / np.sqrt(2 * objectives(model, x, y, C))


def with_one(x: Features) -> npt.NDArray[np.float64]:
    return np.column_stack([x, np.ones(len(x))]).astype(np.float64)


def signs(model: Any, y: Labels) -> npt.NDArray[np.float64]:
    ones = model.classes_ if len(model.classes_) > 2 else model.classes_[1:]
    return np.where(y[:, None] == ones, 1.0, -1.0)


def reference(x: Features, y: Labels, C: float) -> LinearSVC:
    few = len(x) < x.shape[1]  # the two solvers of liblinear count their tolerance differently
    return LinearSVC(C=C, dual=few, tol=1e-4 if few else 1e-6, max_iter=20_000).fit(
        x.astype(np.float64), y
    )


@parametrize_with_checks([L2SVM()])
def test_is_a_scikit_learn_estimator(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("size", SIZES)
def test_path_is_optimal_and_agrees_with_linear_svc(size: str, trick: str) -> None:
    x, y = problem(size, trick)
    new, truth = problem(size, "plain", seed=1)
    for C, model in zip(CS, fit_path(x, y, CS), strict=True):
        assert model.C == C
        norms = gradient_norms(model, x, y, C)
        assert (norms < 1.01e-3).all()
        np.testing.assert_allclose(model.gradient_norm_, norms, rtol=0.02, atol=1e-5)
        theirs = reference(x, y, C)
        best = objectives(theirs, x, y, C)
        np.testing.assert_allclose(objectives(model, x, y, C), best, rtol=1e-3)
        assert abs(model.score(x, y) - theirs.score(x, y)) <= 1.01 / len(y)
        assert abs(model.score(new, truth) - theirs.score(new, truth)) <= 1.01 / len(truth)


@pytest.mark.parametrize("size", SIZES)
def test_certificate_bounds_the_objective(size: str) -> None:
    x, y = problem(size)
    x = x.astype(np.float64)
    exact = objectives(L2SVM(C=0.01, tol=1e-7).fit(x, y), x, y, 0.01)
    rough = L2SVM(C=0.01, tol=0.3).fit(x, y)
    excess = objectives(rough, x, y, 0.01) / exact - 1
    assert (excess >= 0).all()
    assert (excess <= rough.gradient_norm_**2 / (1 - rough.gradient_norm_**2)).all()


# Rows inside the margin that a class may have to be solved in its own working set.
WAYS = {"working sets": 16_384, "conjugate gradients": 0, "some leave on the way": 110}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("trick", ["plain", "imbalanced"])
def test_all_solvers_find_the_same_weights(
    trick: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = problem("few rows", trick)
    x = x.astype(np.float64)
    span = fit_path(x, y, CS, tol=1e-7)
    monkeypatch.setattr(svm_solvers, "_MOST_ROWS", 10)
    monkeypatch.setattr(svm_solvers, "_MOST_INSIDE", WAYS[way])
    stream = fit_path(x, y, CS, tol=1e-7)
    for one, other in zip(span, stream, strict=True):
        assert not np.array_equal(one.coef_, other.coef_), "the same solver ran twice"
        np.testing.assert_allclose(one.coef_, other.coef_, atol=1e-6 * np.abs(one.coef_).max())
        np.testing.assert_allclose(one.intercept_, other.intercept_, rtol=1e-5, atol=1e-9)


def test_a_working_set_admits_the_rows_that_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = problem("few rows")
    expected = L2SVM(C=0.01, tol=1e-6).fit(x, y)
    rows = svm_rows.RowBlocks(x, torch.device("cpu"))
    signs = torch.from_numpy(np.where(y == 2, 1.0, -1.0))
    start = torch.zeros_like(signs)
    start[:7] = signs[:7]  # seven rows, of which more than a hundred are needed
    fitted: list[float] = []
    stop = svm_solvers.Stop(1e-6, 100, fitted.append)
    end = svm_solvers._WorkingSet(rows, signs, start).solve(0.01, stop)
    np.testing.assert_allclose(end.weights[:-1, 0], expected.coef_[2], atol=1e-5)
    assert end.norms.item() <= 1e-6
    assert fitted == [0.01]


@pytest.mark.parametrize("size", SIZES)
def test_warm_starts_end_where_cold_ones_do(size: str) -> None:
    x, y = problem(size)
    x = x.astype(np.float64)
    # The order of the grid is the caller's.
    path = fit_path(x, y, [1e-2, 1e-4, 1.0], tol=1e-7)
    for C, warm in zip([1e-2, 1e-4, 1.0], path, strict=True):
        cold = L2SVM(C=C, tol=1e-7).fit(x, y)
        np.testing.assert_allclose(warm.coef_, cold.coef_, atol=1e-6 * np.abs(cold.coef_).max())
        np.testing.assert_allclose(warm.intercept_, cold.intercept_, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("size", SIZES)
def test_the_same_input_gives_the_same_bits(size: str) -> None:
    x, y = problem(size)
    one, other = fit_path(x, y, CS), fit_path(x, y, CS)
    for first, second in zip(one, other, strict=True):
        assert np.array_equal(first.coef_, second.coef_)
        assert np.array_equal(first.intercept_, second.intercept_)


class Table:
    """A table that gives slices of rows and nothing else, such as one on a disk."""

    def __init__(self, x: Features) -> None:
        self._x, self.shape = x, x.shape
        self.longest = 0

    def __getitem__(self, rows: slice) -> Features:
        assert isinstance(rows, slice)
        part = self._x[rows]
        self.longest = max(self.longest, len(part))
        return part


@pytest.mark.parametrize("size", SIZES)
def test_arrays_maps_tables_and_tensors_are_the_same_features(
    size: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(svm_rows, "BLOCK", {"cpu": 5000})
    monkeypatch.setattr(svm_rows, "TILE", 7000)
    x, y = problem(size)
    half = x.astype(np.float16)
    np.save(tmp_path / "x.npy", half)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    table = Table(half)
    expected = L2SVM(C=0.01).fit(half, y)
    for form in (mapped, table, torch.from_numpy(half)):
        model = L2SVM(C=0.01).fit(form, y)
        assert np.array_equal(model.coef_, expected.coef_)
        assert np.array_equal(model.decision_function(form), expected.decision_function(half))
    assert table.longest < len(x) / 2
    # Half precision is read, and not computed with: the gradient is that of these very numbers.
    assert (gradient_norms(expected, half, y, 0.01) < 1.01e-3).all()
    single = L2SVM(C=0.01, tol=1e-5).fit(half.astype(np.float32), y)
    np.testing.assert_allclose(
        objectives(expected, half, y, 0.01), objectives(single, half, y, 0.01), rtol=1e-5
    )


@pytest.mark.parametrize("C", [0.01, 1.0])
@pytest.mark.parametrize("most_rows", [8192, 10])
def test_cancellation_costs_no_accuracy(
    most_rows: int, C: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Margins are sums of terms that are some 1e6 larger than themselves. With the larger C, and
    # rows that occur twice, a working set's factor in float32 fails: it goes on in float64.
    monkeypatch.setattr(svm_solvers, "_MOST_ROWS", most_rows)
    x, y = problem("few rows", "duplicates")
    x = x + np.float32(300)
    model = L2SVM(C=C).fit(x, y)
    assert (gradient_norms(model, x, y, C) < 1.1e-3).all()


# Prints by how much the process grew at most, in MiB, while it fitted a mapped table.
_GROWTH = """
import sys
import numpy as np
from dcgan_models.classification import svm, svm_solvers
def peak():
    # Not `ru_maxrss`, which a process inherits from the one that started it.
    with open("/proc/self/status") as lines:
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
svm_solvers._SAMPLE = 64
rng = np.random.default_rng(0)
svm.L2SVM(C=1e-7, tol=0.5).fit(rng.random((300, 20), dtype=np.float32), np.arange(300) % 2)
x = np.load(sys.argv[1], mmap_mode="r")
before = peak()
svm.L2SVM(C=1e-7, tol=0.5).fit(x, np.arange(len(x)) % 2)
print((peak() - before) / 2**20)
"""


@pytest.mark.slow
def test_no_copy_of_the_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = rng.random((200, 4000), dtype=np.float32).astype(np.float16)
    np.save(tmp_path / "x.npy", np.tile(rows, (60, 1)))  # 92 MiB, 183 in float32
    command = [sys.executable, "-c", _GROWTH, str(tmp_path / "x.npy")]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    # The pages of the map count, and a few blocks; a copy in float32 would add 183.
    assert float(ran.stdout) < 92 + 183


def test_two_classes_and_names_of_any_kind() -> None:
    x, codes = problem("few rows")
    y = np.array(["cat", "dog"])[codes % 2]
    model = L2SVM(C=0.01).fit(x, y)
    theirs = reference(x, y, 0.01)
    assert model.classes_.tolist() == ["cat", "dog"]
    assert model.coef_.shape == (1, x.shape[1])
    assert model.decision_function(x).shape == (len(x),)
    np.testing.assert_allclose(model.decision_function(x), theirs.decision_function(x), atol=0.01)
    assert (model.predict(x) == theirs.predict(x)).all()


def test_decision_function_is_the_formula_and_argmax_the_prediction() -> None:
    x, y = problem("many rows")
    model = L2SVM(C=0.01).fit(x, y + 10)
    margins = model.decision_function(x)
    np.testing.assert_allclose(margins, x @ model.coef_.T + model.intercept_, atol=1e-4)
    assert (model.predict(x) == 10 + margins.argmax(axis=1)).all()
    assert set(model.predict(x)) <= {10, 11, 12, 13}


def test_one_pass_predicts_for_models_with_different_classes() -> None:
    x, y = problem("few rows")
    models = [L2SVM(C=0.01).fit(x, y), L2SVM(C=1e-4).fit(x, y % 2), L2SVM(C=0.1).fit(x, y + 5)]
    together = predict_all(models, x)
    for model, labels in zip(models, together, strict=True):
        assert (labels == model.predict(x)).all()


def test_a_step_too_few_is_told() -> None:
    x, y = problem("few rows")
    with pytest.warns(ConvergenceWarning, match="C = 10 stopped after 1 Newton step"):
        model = L2SVM(C=10, max_iter=1).fit(x, y)
    assert model.n_iter_ == 1
    assert model.gradient_norm_.max() > 1e-3
    np.testing.assert_allclose(model.gradient_norm_, gradient_norms(model, x, y, 10), rtol=1e-3)


def test_the_warning_names_the_line_of_the_caller() -> None:
    x, y = problem("few rows")
    for fit in (L2SVM(C=10, max_iter=1).fit, lambda x, y: fit_path(x, y, [10], max_iter=1)):
        with pytest.warns(ConvergenceWarning) as caught:
            fit(x, y)
        assert [warning.filename for warning in caught] == [__file__]


def test_what_is_taken_where_nothing_is_said() -> None:
    settings = {"C": 1.0, "tol": 1e-3, "max_iter": 100, "device": "auto"}
    assert L2SVM().get_params() == settings
    (model,) = fit_path(*problem("few rows"), [1.0])
    assert model.get_params() == settings


def test_a_margin_of_zero_is_the_first_class() -> None:
    """As scikit-learn's linear classifiers have it."""
    model = L2SVM().fit(np.array([[-1.0], [1.0]]), np.array([4, 9]))
    model.coef_, model.intercept_ = np.array([[1.0]]), np.array([0.0])
    new = np.array([[-0.5], [0.0], [0.5]])
    assert model.decision_function(new).tolist() == [-0.5, 0, 0.5]
    assert model.predict(new).tolist() == [4, 4, 9]


def test_a_fit_is_told_for_each_class_and_value_of_c() -> None:
    x, y = problem("few rows")
    for classes, fits in ((2, 1), (4, 4)):
        told: list[float] = []
        fit_path(x, y % classes, [1e-2, 1e-4], on_fit=told.append)
        assert sorted(told) == [1e-4] * fits + [1e-2] * fits


@pytest.mark.parametrize("name", ["slope", "kinks"])
def test_exact_step_minimises_along_the_line(name: str) -> None:
    rng = np.random.default_rng(3)
    n, C = (1, 1e3) if name == "slope" else (50, 5.0)
    f, change = (torch.from_numpy(rng.normal(size=(n, 3))) for _ in range(2))
    y = torch.from_numpy(rng.choice([-1.0, 1.0], (n, 3)))
    change = change.abs() * y  # downhill in the loss
    slope, curvature = torch.tensor([-0.1, 0.2, 0.0]).double(), torch.tensor([1.0, 0.1, 3]).double()

    def value(t: torch.Tensor) -> torch.Tensor:
        slack = (1 - y * (f + t * change)).clamp(min=0)
        return t * slope + t**2 * curvature / 2 + C * slack.square().sum(dim=0)

    t = svm_solvers._exact_step(slope, curvature, f, change, y, C)
    grid = torch.linspace(0, 20, 2001, dtype=torch.float64)[:, None]
    lowest = torch.stack([value(step) for step in grid]).amin(dim=0)
    assert (value(t) <= lowest + 1e-12 * (1 + lowest.abs())).all()


def test_gradients_of_a_class_with_no_row_inside_the_margin_stay_numbers() -> None:
    # Its Hessian is the identity: it is solved in one step, to the bit, while others go on.
    x, y = problem("many rows")
    signs = torch.from_numpy(np.where(y[:, None] == np.arange(4), 1.0, -1.0))
    solver = svm_solvers._StreamSolver(
        svm_rows.RowBlocks(x.astype(np.float64), torch.device("cpu")), signs
    )
    rng = np.random.default_rng(0)
    inside = torch.from_numpy(rng.random(signs.shape).round())
    inside[:, 2] = 0
    gradient = torch.from_numpy(rng.normal(size=(x.shape[1] + 1, 4)))
    d, change = solver._conjugate_gradients(1.0, inside, gradient, torch.full((4,), 1e-6).double())
    z = torch.from_numpy(with_one(x))
    for k in range(4):
        residual = d[:, k] + 2.0 * z.T @ (inside[:, k] * (z @ d[:, k])) + gradient[:, k]
        assert residual.norm() <= 1e-5 * gradient[:, k].norm()
    assert torch.equal(d[:, 2], -gradient[:, 2])
    torch.testing.assert_close(change, z @ d)


# --- Bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize("C", [0.0, -1.0, math.nan, math.inf])
def test_c_must_be_above_zero(C: float, refused: Refused) -> None:
    x, y = problem("few rows")
    with refused("C is", str(C), "above 0"):
        fit_path(x, y, [0.1, C])


@pytest.mark.parametrize("setting", [{"tol": 0.0}, {"tol": 1.0}, {"max_iter": 0}])
def test_settings_out_of_range(setting: dict[str, Any], refused: Refused) -> None:
    with refused("tol is", "max_iter", "0 < tol < 1"):
        L2SVM(**setting).fit(*problem("few rows"))


def test_empty_grid(refused: Refused) -> None:
    with refused("grid of C is empty"):
        fit_path(*problem("few rows"), [])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("size", SIZES)
def test_features_that_are_not_finite_are_named(
    size: str, bad: float, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(svm_rows, "BLOCK", {"cpu": 2000})
    x, y = problem(size)
    model = L2SVM().fit(x, y)
    x[77, 13] = bad
    for source in (x, x.astype(np.float16), Table(x)):
        with refused("row 77, feature 13", "NaN or inf"):
            clone(model).fit(source, y)
        with refused("row 77, feature 13", "NaN or inf"):
            model.predict(source)


def test_large_finite_features_are_not_refused_for_their_sum() -> None:
    x, y = problem("few rows")
    x[0, :2] = np.float32(3e38)
    svm_rows.RowBlocks(x, torch.device("cpu")).check()
    with pytest.raises(SVMInputError, match="too large"):
        L2SVM().fit(np.tile(x, (3, 1)), np.tile(y, 3))


def test_one_class_only(refused: Refused) -> None:
    x, _ = problem("few rows")
    with refused("all labels are 3", "one class only"):
        L2SVM().fit(x, np.full(len(x), 3))


@pytest.mark.parametrize("form", [np.asarray, Table])
def test_labels_that_do_not_match_the_rows(form: Any, refused: Refused) -> None:
    x, y = problem("few rows")
    with refused("149 labels for 150 rows"):
        L2SVM().fit(form(x), y[:-1])


def test_features_of_another_width(refused: Refused) -> None:
    x, y = problem("few rows")
    model = L2SVM().fit(x, y)
    with refused("399 features", "400"):
        model.predict(Table(x[:, 1:]))


def test_c_beyond_float64(refused: Refused) -> None:
    x, y = problem("few rows")
    with refused("C is 1e+200", "too large"):
        L2SVM(C=1e200).fit(np.repeat(x[:20], 5, axis=0), np.resize(y, 100))


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda:x"])
def test_unknown_device(device: str, refused: Refused) -> None:
    with refused("device is", device, "auto, cpu, cuda"):
        L2SVM(device=device).fit(*problem("few rows"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_no_gpu(refused: Refused) -> None:
    with refused("'cuda'", "no GPU"):
        L2SVM(device="cuda").fit(*problem("few rows"))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("size", SIZES)
def test_gpu_agrees_with_cpu(size: str) -> None:
    x, y = problem(size)
    for ours, other in zip(
        fit_path(x, y, CS, device="cuda"), fit_path(x, y, CS, device="cpu"), strict=True
    ):
        found = objectives(ours, x, y, ours.C)
        np.testing.assert_allclose(found, objectives(other, x, y, ours.C), rtol=1e-5)


# --- Drawing labelled sets --------------------------------------------------------------------


def test_draw_is_balanced_without_repeats_and_seeded() -> None:
    labels = np.random.default_rng(0).choice([2, 5, 9], 5000, p=[0.7, 0.2, 0.1])
    rows = draw_labelled(labels, 100, seed=3)
    assert rows.dtype == np.int64
    assert (np.diff(rows) > 0).all()
    assert [(labels[rows] == name).sum() for name in (2, 5, 9)] == [100, 100, 100]
    assert np.array_equal(rows, draw_labelled(labels, 100, seed=3))
    assert len(np.intersect1d(rows, draw_labelled(labels, 100, seed=4))) < 100


def test_draw_is_uniform_over_the_rows_of_a_class() -> None:
    labels = np.arange(40) % 2
    counts = np.zeros(40)
    for seed in range(400):
        counts[draw_labelled(labels, 5, seed)] += 1
    # Binomial(400, 1/4): mean 100, standard deviation 8.7.
    assert np.abs(counts - 100).max() < 40


def test_draw_all_of_a_class() -> None:
    assert draw_labelled([1, 0, 1, 0], 2, seed=0).tolist() == [0, 1, 2, 3]


def test_fewer_examples_than_asked_for(refused: Refused) -> None:
    with refused("class 1 has 2", "the 3 a class"):
        draw_labelled([0, 0, 0, 1, 1], 3, seed=0)
    with refused("0 labelled examples a class"):
        draw_labelled([0, 1], 0, seed=0)
