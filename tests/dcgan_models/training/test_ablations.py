"""Verdicts on ablations: how often chance is told for a finding, and findings are told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel

from dcgan_models.training.ablations import ABLATIONS, Comparison, compare

SEEDS = 8
CHANGES = [one.name for one in ABLATIONS]


def experiments(count: int, effects: dict[str, float]) -> list[dict[str, Comparison]]:
    """Experiments in which seeds and trainings scatter alike, and some changes have an effect."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        seeds = rng.normal(25, 1, SEEDS)
        changed = {
            name: (seeds + rng.normal(effects.get(name, 0), 1, SEEDS)).tolist() for name in CHANGES
        }
        found.append(compare((seeds + rng.normal(0, 1, SEEDS)).tolist(), changed))
    return found


def test_where_no_change_matters_one_is_told_to_in_five_of_a_hundred_experiments() -> None:
    assert len(CHANGES) == 7
    wrong = np.mean([any(c.told for c in one.values()) for one in experiments(1500, {})])
    assert 0.02 < wrong < 0.06


def test_what_matters_is_told_and_the_others_still_are_not() -> None:
    """1.7 deviations of the paired difference, which is sqrt(2) of a training's."""
    large = dict.fromkeys(CHANGES[:2], 1.7 * 2**0.5)
    found = experiments(600, large)
    power = np.mean([one[name].told for one in found for name in large])
    assert power > 0.8
    assert all(one[name].difference > 0 for one in found for name in large if one[name].told)
    wrong = np.mean([any(one[name].told for name in CHANGES[2:]) for one in found])
    assert wrong < 0.06


def test_a_p_is_that_of_scipy_times_what_holm_asks() -> None:
    rng = np.random.default_rng(1)
    original = rng.normal(25, 1, 5).tolist()
    changed = {
        name: rng.normal(25 + 2 * shift, 1, 5).tolist() for shift, name in enumerate(CHANGES)
    }
    plain = {name: float(ttest_rel(errors, original).pvalue) for name, errors in changed.items()}
    found = compare(original, changed)
    assert list(found) == CHANGES
    least, second = sorted(plain, key=lambda name: plain[name])[:2]
    assert found[least].p == pytest.approx(min(1, 7 * plain[least]))
    assert found[second].p == pytest.approx(max(found[least].p, min(1, 6 * plain[second])))
    ordered = [found[name].p for name in sorted(plain, key=lambda name: plain[name])]
    assert ordered == sorted(ordered)
    for name, errors in changed.items():
        interval = ttest_rel(errors, original).confidence_interval(0.95)
        assert (found[name].low, found[name].high) == pytest.approx((interval.low, interval.high))
    assert found[CHANGES[3]].difference == pytest.approx(
        np.mean(changed[CHANGES[3]]) - np.mean(original)
    )


def test_errors_that_never_scatter() -> None:
    found = compare([20.0, 20.0], {"same": [20.0, 20.0], "all diverged": [90.0, 90.0]})
    assert (found["same"].told, found["all diverged"].told) == (False, True)


@pytest.mark.parametrize(
    ("original", "changed"), [([1.0], [1.0]), ([1.0, 2.0], [1.0]), ([], [])], ids=str
)
def test_unlike_or_single_seeds_are_refused(refused: Any, original: Any, changed: Any) -> None:
    with refused("ablations: errors of", "2 or more"):
        compare(original, {"a change": changed})
