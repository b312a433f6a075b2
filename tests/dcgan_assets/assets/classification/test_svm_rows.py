"""The rows of Table 1 and of section 5.2: of what their intervals are."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from dcgan_assets.assets.classification.svm_scores import _all_labels_row, _drawn_row, _paper_row


def test_draws_by_one_network_are_independent() -> None:
    row = _drawn_row("trained D, 40 a class", "test error", [np.array([20.0, 22.0, 24.0])], 22.48)
    # Student's t with two degrees of freedom, and a standard error of 2 / sqrt(3).
    half = 4.302653 * 2 / 3**0.5
    assert (row.value, row.n, row.paper) == (22.0, 3, 22.48)
    assert (row.low, row.high) == pytest.approx((22 - half, 22 + half), abs=0.01)
    assert row.interval == "95% t, of the mean over 3 draws of labels"
    assert row.about == "test error, lower is better"
    assert "standard deviation of single fits 1.63" in row.source


def test_draws_by_several_networks_are_as_independent_as_the_networks() -> None:
    networks = [np.array([20.0, 20.0]), np.array([30.0, 30.0])]
    row = _drawn_row("random D, 40 a class", "accuracy", networks, None)
    assert (row.value, row.n) == (25.0, 4)
    assert row.interval == "95% t, of the mean over 2 networks"
    assert row.low == pytest.approx(25 - 12.7062 * 5, abs=0.01)


def test_one_fit_has_no_interval_over_draws() -> None:
    row = _drawn_row("pixels, 40 a class", "accuracy", [np.array([50.0])], None)
    assert (row.low, row.high, row.interval) == (None, None, "")


def test_all_labels() -> None:
    scores = SimpleNamespace(errors=np.array([0.25]), predictions=np.zeros((1, 200)), cost=0.01)
    row = _all_labels_row("trained D, all labels", [scores], 82.8)
    assert (row.value, row.n, row.interval) == (75.0, 200, "95% Wilson")
    assert (row.measure, row.split, row.source) == ("accuracy", "test", "L2-SVM, C = 0.01")
    other = SimpleNamespace(errors=np.array([0.35]), predictions=np.zeros((1, 200)), cost=0.01)
    assert _all_labels_row("random D, all labels", [scores, other], None).value == 70.0


def test_what_only_the_paper_has() -> None:
    row = _paper_row("KNN, 100 a class", "test error", 77.93, "Table 2 of v2")
    assert (row.value, row.paper, row.unit, row.split) == (None, 77.93, "%", "test")
