"""A judge's errors taken off a share: against planted truths and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from fixture_types import Refused
from scipy.stats import norm

from dcgan_models.metrics.calibration import Calibration


def test_errors_are_counted_where_the_truth_is_known() -> None:
    truth = np.array([1, 1, 1, 0, 0], bool)
    said = np.array([1, 1, 0, 0, 1], bool)
    assert Calibration.of(said, truth) == Calibration(seen=2, true=3, passed=1, false=2)


def test_the_share_is_rogans_and_gladens() -> None:
    """A judge right of 90 and 80 % sees 0.2 + 0.7 p of p: 41 % are 30 %."""
    found = Calibration(seen=900, true=1000, passed=800, false=1000).corrected(410, 1000)
    assert found is not None
    share, low, high = found
    assert share == pytest.approx(0.3)
    assert low < 0.3 < high


def test_a_judge_that_never_errs_changes_nothing_and_few_pictures_widen_the_interval() -> None:
    sure = Calibration(10_000, 10_000, 10_000, 10_000).corrected(300, 1000)
    less = Calibration(50, 50, 50, 50).corrected(300, 1000)
    assert sure is not None
    assert less is not None
    assert sure[0] == less[0] == pytest.approx(0.3)
    wald = 1.96 * (0.3 * 0.7 / 1000) ** 0.5
    assert sure[2] - sure[1] == pytest.approx(2 * wald, rel=0.02)
    assert less[2] - less[1] > sure[2] - sure[1]


@pytest.mark.parametrize(("found", "n"), [(25, 90), (60, 90)])
def test_the_interval_is_langs_and_reiczigels(found: int, n: int) -> None:
    """Their formulas, written with the letters of the paper."""
    seen, true, passed, false = 50, 60, 70, 80
    z = norm.ppf(0.975)
    p, se, sp = (found + z**2 / 2) / (n + z**2), (seen + 1) / (true + 2), (passed + 1) / (false + 2)
    var_se, var_sp = se * (1 - se) / (true + 2), sp * (1 - sp) / (false + 2)
    prev = (p + sp - 1) / (se + sp - 1)
    shift = 2 * z**2 * (prev * var_se - (1 - prev) * var_sp)
    var = p * (1 - p) / (n + z**2) + prev**2 * var_se + (1 - prev) ** 2 * var_sp
    half = z * np.sqrt(var) / (se + sp - 1)
    expected = (found / n + 70 / 80 - 1) / (50 / 60 + 70 / 80 - 1)
    corrected = Calibration(seen, true, passed, false).corrected(found, n)
    assert corrected == pytest.approx((expected, prev + shift - half, prev + shift + half))


def test_shares_stay_between_none_and_all() -> None:
    """A judge wrong of 10% in either way: fewer found than its errors alone, and more."""
    judge = Calibration(90, 100, 90, 100)
    none, all_of_them = judge.corrected(0, 200), judge.corrected(200, 200)
    assert none is not None
    assert all_of_them is not None
    assert none[:2] == (0, 0)
    assert all_of_them[0] == all_of_them[2] == 1
    assert 0 <= none[2] < 0.1
    assert 0.9 < all_of_them[1] <= 1
    # One found of one: the interval holds the estimate, and neither of them ends beyond 1.
    one = judge.corrected(1, 1)
    assert one is not None
    assert one[0] == one[2] == 1


def test_a_judge_that_tells_a_quarter_is_corrected_and_one_that_tells_a_sixth_is_not() -> None:
    assert Calibration(625, 1000, 625, 1000).corrected(500, 1000) is not None
    assert Calibration(583, 1000, 583, 1000).corrected(500, 1000) is None


def test_a_judge_known_from_one_picture_of_each_kind() -> None:
    assert Calibration(1, 1, 1, 1).corrected(50, 100) is not None
    assert Calibration(9, 9, 0, 0).corrected(50, 100) is None
    assert Calibration(0, 0, 9, 9).corrected(50, 100) is None


def test_what_a_judge_cannot_tell_is_not_corrected() -> None:
    assert Calibration(55, 100, 55, 100).corrected(50, 100) is None
    assert Calibration(0, 0, 100, 100).corrected(50, 100) is None
    assert Calibration(0, 2, 100, 100).corrected(50, 100) is None, "both of two were missed"
    assert Calibration(100, 100, 0, 1).corrected(50, 100) is None


@pytest.mark.parametrize(("found", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_no_share_of_none(refused: Refused, found: int, n: int) -> None:
    with refused(f"no share of {found} of {n}"):
        Calibration(9, 10, 9, 10).corrected(found, n)
