"""Coverage of every kind of interval, by simulation with a known truth: 93 to 97 of 100."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blots import blots
from scipy.stats import binomtest, pearsonr

import dcgan_models
from dcgan_models.metrics import intervals
from dcgan_models.metrics.calibration import Calibration
from dcgan_models.metrics.frechet import frechet_interval
from dcgan_models.metrics.intervals import (
    CORRECTED,
    FISHER,
    HALVES,
    KINDS,
    STUDENT,
    U_STATISTIC,
    WILSON,
    around,
    correlation_interval,
    dependent_share,
    mean_interval,
    next_interval,
    wilson_interval,
)
from dcgan_models.metrics.kernel import kernel_distance
from dcgan_models.metrics.rows import Score
from dcgan_models.metrics.similarity import mean_similarity, ms_ssim
from dcgan_models.metrics.table import Setting, _add_neighbours, _Rows
from dcgan_models.metrics.wasserstein import sliced_wasserstein

Cover = Callable[[], float]


def features(n: int, rng: np.random.Generator, shift: float) -> Any:
    """Correlated features of 16 leaky units, as extractors have them: float32 (n, 16)."""
    mixing = np.random.default_rng(16).normal(size=(16, 16)) / 4
    units = rng.normal(size=(n, 16)) @ mixing
    return (np.maximum(units, 0.2 * units) + shift).astype(np.float32)


def covered(bounds: Any, truth: float) -> float:
    """The share of intervals, (n, 2), that hold the truth."""
    low, high = np.array(bounds).T
    return float(((low <= truth) & (truth <= high)).mean())


def wilson() -> float:
    """Shares of 60 to 400 with true values from 0.03 to 0.97, each by its exact probability."""
    from scipy.stats import binom

    found = []
    for n in (60, 150):
        bounds = np.array([wilson_interval(k, n) for k in range(n + 1)])
        for truth in np.linspace(0.03, 0.97, 48):
            inside = (bounds[:, 0] <= truth) & (truth <= bounds[:, 1])
            found.append(float(binom.pmf(np.arange(n + 1), n, truth) @ inside))
    return float(np.mean(found))


def mean_of(n: int) -> Cover:
    """Means of n: sets of directions, draws of labels, seeds, pairs of pictures."""

    def cover() -> float:
        values = np.random.default_rng(n).normal(3.0, 2.0, (3000, n))
        return covered([mean_interval(row) for row in values], 3.0)

    return cover


def next_of(n: int) -> Cover:
    """One more value than n: a network that is not among those that were measured."""

    def cover() -> float:
        values = np.random.default_rng(n).normal(3.0, 2.0, (3000, n + 1))
        bounds = np.array([next_interval(row[:-1]) for row in values])
        return float(((bounds[:, 0] <= values[:, -1]) & (values[:, -1] <= bounds[:, 1])).mean())

    return cover


def directions() -> float:
    """SWD: four sets of directions of 200, whose mean is the truth, on the same patches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dcgan_models.metrics.wasserstein.REPEATS", 200)
        found = sliced_wasserstein(blots(6, 16, 0), blots(6, 16, 1, contrast=60), seed=1)
    drawn = np.random.default_rng(0).choice(found.repeats, (2000, 4), axis=1)[0]
    several = [type(found)(found.levels, row[None]).interval for row in drawn]
    return covered(several, float(found.repeats.mean()))


def pairs() -> float:
    """MS-SSIM: 20 pairs out of 400 pictures, whose mean over all pairs is near the truth."""
    import torch

    pictures = blots(400, 16, 0)
    random = np.random.default_rng(1)
    one, other = (torch.from_numpy(pictures[random.integers(400, size=4000)]) for _ in range(2))
    truth = float(ms_ssim(one, other).mean())
    drawn = [pictures[random.choice(400, 40, replace=False)] for _ in range(600)]
    return covered([mean_similarity(sample).interval for sample in drawn], truth)


def frechet(shift: float) -> Cover:
    """120 real and 120 generated pictures, 400 times: the truth is the mean distance."""

    def cover() -> float:
        rng = np.random.default_rng(1)
        found = [
            frechet_interval(features(120, rng, 0), features(120, rng, shift), seed=seed)
            for seed in range(400)
        ]
        truth = float(np.mean([value for value, _ in found]))
        return covered([bounds for _, bounds in found], truth)

    return cover


def kernel(shift: float) -> Cover:
    """As the Fréchet distance; the truth is the mean of all."""

    def cover() -> float:
        rng = np.random.default_rng(1)
        found = [
            kernel_distance(
                features(150, rng, 0), features(170, rng, shift), subsets=20, size=40, seed=seed
            )
            for seed in range(400)
        ]
        truth = float(np.mean([one.value for one in found]))
        return covered([around(one.value, one.error, 149) for one in found], truth)

    return cover


@cache
def neighbour_rows() -> dict[str, list[Score]]:
    """What hangs on neighbours, on other sets of both kinds each time, by name."""
    rng = np.random.default_rng(1)
    rows: dict[str, list[Score]] = {}
    for seed in range(300):
        table = _Rows(Setting("held_out", "none", "made up", seed), 60, 60)
        _add_neighbours(table, features(60, rng, 0), features(60, rng, 0.3))
        for row in table.rows:
            rows.setdefault(row.name, []).append(row)
    return rows


def neighbours(name: str) -> Cover:
    """One of these measures; the truth is its mean."""

    def cover() -> float:
        rows = neighbour_rows()[name]
        return covered([(r.low, r.high) for r in rows], float(np.mean([r.value for r in rows])))

    return cover


def correlation() -> float:
    """Correlations of 0.4 over 200 pairs."""
    rng, mixing = np.random.default_rng(4), np.linalg.cholesky([[1, 0.4], [0.4, 1]])
    pairs_of_values = mixing @ rng.normal(size=(3000, 2, 200))
    found = (float(np.corrcoef(both)[0, 1]) for both in pairs_of_values)
    return covered([correlation_interval(one, 200) for one in found], 0.4)


def corrected() -> float:
    """15 % of 300, told by a judge whose errors are known from 100 and 150 pictures."""
    rng = np.random.default_rng(5)
    share, seen, passed = 0.15, 0.9, 0.85
    said = rng.binomial(300, share * seen + (1 - share) * (1 - passed), 3000)
    known = zip(rng.binomial(100, seen, 3000), rng.binomial(150, passed, 3000), strict=True)
    found = [
        Calibration(int(one), 100, int(other), 150).corrected(int(count), 300)
        for count, (one, other) in zip(said, known, strict=True)
    ]
    return covered([bounds[1:] for bounds in found if bounds], share)


# Of each kind what is quick, and what takes seconds.
QUICK: dict[str, dict[str, Cover]] = {
    WILSON: {"shares": wilson},
    STUDENT: {
        **{f"mean of {n}": mean_of(n) for n in (3, 4, 10)},
        "next of 3": next_of(3),
        "swd": directions,
    },
    CORRECTED: {"share": corrected},
    FISHER: {"correlation": correlation},
}
SLOW: dict[str, dict[str, Cover]] = {
    WILSON: {name: neighbours(name) for name in ("precision", "recall", "coverage")},
    STUDENT: {"ms_ssim": pairs},
    HALVES: {
        "frechet, near": frechet(0.1),
        "frechet, far": frechet(0.4),
        "density": neighbours("density"),
    },
    U_STATISTIC: {"kernel, near": kernel(0.1), "kernel, far": kernel(0.4)},
}


def cases(covers: dict[str, dict[str, Cover]]) -> list[Any]:
    return [
        pytest.param(cover, id=f"{kind} {name}")
        for kind, of in covers.items()
        for name, cover in of.items()
    ]


def test_every_kind_is_simulated() -> None:
    named = [value for name, value in vars(intervals).items() if name.isupper() and name[0] != "_"]
    words = {one for one in named if isinstance(one, str)}
    assert set(KINDS) == words == set(QUICK) | set(SLOW)


@pytest.mark.parametrize("cover", cases(QUICK))
def test_coverage(cover: Cover) -> None:
    assert 0.93 <= cover() <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("cover", cases(SLOW))
def test_coverage_of_what_takes_seconds(cover: Cover) -> None:
    assert 0.93 <= cover() <= 0.97


def test_confidence_is_claimed_in_one_place() -> None:
    """No other module writes `95%` into an interval: it takes the words from where they stand."""
    package = Path(dcgan_models.__file__).parent
    home = package / "metrics" / "intervals.py"
    folders = (package, package.parent / "dcgan_assets")
    for path in (p for folder in folders for p in folder.rglob("*.py") if p != home):
        tree = ast.parse(path.read_text("utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        claims = [
            f"{path.name}, line {node.lineno}: {node.value}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node.value.startswith("95%")
            and id(node) not in docstrings
        ]
        assert claims == []


def test_a_mean_by_hand() -> None:
    """Of 1, 2, 3: 2, with a standard error of 1 / sqrt(3), and t = 4.3027 of two."""
    half = 4.302652729911275 / math.sqrt(3)
    assert mean_interval([1, 2, 3]) == pytest.approx((2 - half, 2 + half), abs=1e-9)
    low, high = around(0.0, 1.0, math.inf)
    assert (low, high) == pytest.approx((-1.959963984540054, 1.959963984540054))


def test_how_many_independent_pictures_dependent_ones_are_worth() -> None:
    """Halves of 50, of 101: chance 0.24 / 50, found 0.08; known from two splits, by t of two."""
    apart = np.array([[0.2, 0.6], [0.6, 0.2]])
    unsure = (4.302652729911275 / 1.959963984540054) ** 2
    worth = 101 / (unsure * 0.08 / 0.0048)
    assert dependent_share(0.4, 101, apart) == pytest.approx(wilson_interval(0.4 * worth, worth))
    equal = np.full((2, 2), 0.4)
    assert dependent_share(0.4, 101, equal) == pytest.approx(wilson_interval(0.4 * 101, 101))


@pytest.mark.parametrize("n", [1, 2, 30])
def test_a_share_is_scipys(n: int) -> None:
    for successes in range(n + 1):
        theirs = binomtest(successes, n).proportion_ci(0.95, method="wilson")
        low, high = wilson_interval(successes, n)
        assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
        assert (low == 0, high == 1) == (successes == 0, successes == n)


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_no_share_of_none(refused: Any, successes: int, n: int) -> None:
    with refused(f"no interval for {successes} of {n}"):
        wilson_interval(successes, n)


def test_a_correlation_is_scipys_and_takes_four_pairs(refused: Any) -> None:
    """Of two values of a variable with noise; at 1, where it is known for certain, it is 1."""
    for n in (4, 50):
        one, noise = np.random.default_rng(n).normal(size=(2, n))
        found = pearsonr(one, one + noise)
        theirs = found.confidence_interval(0.95)
        assert correlation_interval(found.statistic, n) == pytest.approx(
            (theirs.low, theirs.high), abs=1e-9
        )
    for sign in (1, -1):
        assert correlation_interval(sign, 50) == pytest.approx((sign, sign), abs=1e-6)
    with refused("over 3 pairs; four are needed"):
        correlation_interval(0.5, 3)


def test_two_values_have_an_interval() -> None:
    """Of 1 and 3: 2, with a standard error of 1, and t = 12.7062 of one; the next's is root 3."""
    half = 12.706204736432095
    assert mean_interval([1, 3]) == pytest.approx((2 - half, 2 + half))
    root = math.sqrt(3)
    assert next_interval([1, 3]) == pytest.approx((2 - root * half, 2 + root * half))


def test_one_value_has_no_interval(refused: Any) -> None:
    with refused("no interval of a mean from 1 values"):
        mean_interval([1.0])


def test_dependent_pictures_are_worth_fewer() -> None:
    """Halves that differ by chance change little; those that differ more widen the interval."""
    rng = np.random.default_rng(0)
    by_chance = rng.binomial(50, 0.4, (4000, 2)) / 50
    plain = wilson_interval(40, 100)
    assert dependent_share(0.4, 100, by_chance) == pytest.approx(plain, abs=2e-3)
    apart = np.array([[0.2, 0.6], [0.6, 0.2]] * 40)
    low, high = dependent_share(0.4, 100, apart)
    # Variance of a half 0.08, by chance 0.0048: worth 6 pictures.
    assert (low, high) == pytest.approx(wilson_interval(0.4 * 6, 6), abs=0.02)
    assert dependent_share(1.0, 100, np.ones((8, 2))) == wilson_interval(100, 100)
