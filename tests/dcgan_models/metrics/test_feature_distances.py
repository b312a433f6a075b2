"""Fréchet and kernel distance against torch-fidelity, torchmetrics, SciPy and closed forms."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import ortho_group
from scipy.stats import t as student_t

from dcgan_models.metrics.frechet import (
    Moments,
    frechet_distance,
    frechet_interval,
    moments,
)
from dcgan_models.metrics.kernel import (
    _augmented,
    _discrepancy,
    _sums,
    _variance,
    kernel_distance,
)


def features(n: int, d: int, seed: int, shift: float = 0.0) -> Any:
    """Correlated features with long tails."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(d).normal(size=(d, d)) / d**0.5
    return (np.abs(rng.normal(size=(n, d)) @ mixing) ** 1.5 + shift).astype(np.float32)


def gaussian(mean: Any, covariance: Any) -> Moments:
    return Moments(1000, torch.tensor(mean).double(), torch.tensor(covariance).double())


def test_frechet_is_theirs_on_the_same_arrays() -> None:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torchmetrics.image.fid import _compute_fid

    one, other = features(500, 24, 0), features(400, 24, 1, shift=0.3)
    found = frechet_distance(moments(one), moments(other))
    theirs = fid_statistics_to_metric(
        *(fid_features_to_statistics(torch.from_numpy(x)) for x in (one, other)), False
    )["frechet_inception_distance"]
    assert found == pytest.approx(theirs, rel=1e-5)
    covariances = [np.cov(x.astype(float), rowvar=False) for x in (one, other)]
    means = [x.astype(float).mean(axis=0) for x in (one, other)]
    root = sqrtm(covariances[0] @ covariances[1]).real
    expected = np.sum((means[0] - means[1]) ** 2) + np.trace(sum(covariances) - 2 * root)
    assert found == pytest.approx(expected, rel=1e-9)
    as_tensors = [
        torch.from_numpy(x) for pair in zip(means, covariances, strict=True) for x in pair
    ]
    assert found == pytest.approx(_compute_fid(*as_tensors).item(), rel=1e-6)


def test_frechet_of_gaussians_that_share_their_axes() -> None:
    """|m1 - m2|^2 + sum (s1 - s2)^2, the s being standard deviations along the axes."""
    axes = ortho_group.rvs(5, random_state=0)
    s1, s2 = np.array([1, 2, 3, 0, 0.5]), np.array([2, 2, 1, 1, 0])
    m1, m2 = np.zeros(5), np.array([1.0, 0, 0, 2, 0])
    found = frechet_distance(
        gaussian(m1, axes @ np.diag(s1**2) @ axes.T), gaussian(m2, axes @ np.diag(s2**2) @ axes.T)
    )
    assert found == pytest.approx(5 + 1 + 4 + 1 + 0.25, abs=1e-12)


def test_frechet_where_there_are_fewer_pictures_than_features() -> None:
    """A shift by c costs |c|^2 and a factor of 2 the trace, whatever the rank: 9 of 200."""
    one = np.random.default_rng(0).normal(size=(10, 200)).astype(np.float32)
    here = moments(one)
    shifted = moments(one + np.float32(0.5))
    assert frechet_distance(here, shifted) == pytest.approx(50, rel=1e-6)
    doubled = gaussian(here.mean.tolist(), (4 * here.covariance).tolist())
    assert frechet_distance(here, doubled) == pytest.approx(here.covariance.trace().item())
    assert frechet_distance(here, here) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_frechet_of_singular_gaussians_takes_no_root_of_rounding(scale: float) -> None:
    """Along one axis each, on their own axes: to the last digits, whatever the unit is."""
    for seed in range(5):
        axes = ortho_group.rvs(6, random_state=seed)
        for s1, s2 in (
            ([3, 0, 0, 0, 0, 0], [0, 2, 0, 0, 0, 0]),
            ([3, 1, 2, 0, 0, 0], [0, 0, 0, 2, 1, 1]),
            ([3, 1, 2, 1, 1, 0], [0, 0, 0, 0, 0, 2]),
        ):
            one, other = (
                gaussian(np.zeros(6), axes @ np.diag(scale * np.square(s)) @ axes.T)
                for s in (s1, s2)
            )
            expected = scale * float(np.sum(np.square(s1) + np.square(s2)))
            assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-12)


def test_frechet_is_symmetric_and_zero_for_constants() -> None:
    one, other = (moments(features(20, 30, seed)) for seed in (0, 1))
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one), rel=1e-12)
    constant = moments(np.full((9, 30), 3, np.float32))
    assert frechet_distance(constant, constant) == 0
    expected = (one.mean - 3).square().sum() + one.covariance.trace()
    assert frechet_distance(one, constant) == pytest.approx(expected.item())


@pytest.mark.parametrize("shift", [0.0, 0.5], ids=["alike", "apart"])
def test_frechet_interval_is_as_wide_as_the_scatter_of_new_pictures(shift: float) -> None:
    found = [
        frechet_interval(features(100, 4, 2 * s), features(100, 4, 2 * s + 1, shift), seed=s)
        for s in range(120)
    ]
    values = np.log([value for value, _ in found])
    halves = [np.log(high / low) / 2 for _, (low, high) in found]
    # Student's t with as many degrees of freedom as there are splits, 16.
    assert np.mean(halves) == pytest.approx(2.12 * np.std(values, ddof=1), rel=0.15)


@pytest.mark.parametrize(("shift", "seed"), [(0.0, 1), (0.5, 3)], ids=["alike", "apart"])
def test_frechet_interval_is_that_of_its_halves(shift: float, seed: int) -> None:
    """Of the variance at n / 2, half the mean square difference, there remains at n a half times
    3/2 less half the ratio of the distances, and four tenths at least."""
    real, fake = features(41, 3, 0), features(50, 3, 1, shift)
    value, bounds = frechet_interval(real, fake, seed=seed, splits=5)
    rng = np.random.default_rng(seed)
    halves = []
    for _ in range(5):
        orders = [rng.permutation(len(rows)) for rows in (real, fake)]
        parts = [
            [moments(rows[order][first : last or None : 2]) for first, last in ((0, -1), (1, 0))]
            for rows, order in zip((real, fake), orders, strict=True)
        ]
        halves.append([frechet_distance(*pair) for pair in zip(*parts, strict=True)])
    apart = np.array(halves)
    ratio = apart.mean() / value
    assert (0.5 * (1.5 - ratio / 2) < 0.2) == (shift == 0.0)
    share = 0.5 * max(0.4, 1.5 - ratio / 2)
    error = np.sqrt(np.square(apart[:, 0] - apart[:, 1]).mean() / 2 * share)
    half = student_t.ppf(0.975, 5) * error / value
    assert value == pytest.approx(frechet_distance(moments(real), moments(fake)))
    assert bounds == pytest.approx((value * np.exp(-half), value * np.exp(half)))


def test_what_is_drawn_where_nothing_is_said() -> None:
    """As many subsets of as many as torch-fidelity draws, with its seed; sixteen splits."""
    from torch_fidelity.defaults import DEFAULTS

    kernel, frechet = (
        {name: value.default for name, value in signature(measure).parameters.items()}
        for measure in (kernel_distance, frechet_interval)
    )
    theirs = [DEFAULTS[name] for name in ("kid_subsets", "kid_subset_size", "rng_seed")]
    assert [kernel[name] for name in ("subsets", "size", "seed")] == theirs
    assert (frechet["seed"], frechet["splits"]) == (0, 16)


def test_frechet_takes_four_pictures_and_its_moments_two(refused: Any) -> None:
    four = features(4, 2, 0), features(4, 2, 1)
    assert frechet_interval(*four)[0] > 0
    with refused("3 pictures, at least 4"):
        frechet_interval(four[0], four[1][:3])
    two = moments(four[0][:2])
    np.testing.assert_allclose(two.covariance, np.cov(four[0][:2].astype(float), rowvar=False))
    with refused("1 pictures, at least 2"):
        moments(four[0][:1])


def test_frechet_interval_of_equal_constants_is_nothing() -> None:
    same = np.full((6, 3), 2, np.float32)
    assert frechet_interval(same, same) == (0, (0, 0))


def test_frechet_interval_of_a_set_with_itself_begins_at_zero() -> None:
    same = features(40, 3, 0)
    value, (low, high) = frechet_interval(same, same)
    assert value == pytest.approx(0, abs=1e-9)
    assert 0 <= low <= value <= high


def test_kernel_is_torch_fidelitys_subset_for_subset() -> None:
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torchmetrics.image.kid import poly_mmd

    real, fake = features(300, 16, 0), features(250, 16, 1, shift=0.2)
    theirs = kid_features_to_metric(
        torch.from_numpy(fake).double(),
        torch.from_numpy(real).double(),
        kid_subsets=20,
        kid_subset_size=100,
        rng_seed=7,
        verbose=False,
        kid_kernel="poly",
        kid_kernel_poly_degree=3,
        kid_kernel_poly_gamma=None,
        kid_kernel_poly_coef0=1,
    )
    found = kernel_distance(real, fake, subsets=20, size=100, seed=7)
    assert found.value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9)
    assert found.spread == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-9)
    one, other = (torch.from_numpy(x[:100]).double() for x in (real, fake))
    assert _discrepancy(one, other) == pytest.approx(poly_mmd(one, other).item(), rel=1e-9)


def test_kernel_by_hand() -> None:
    """One feature, two pictures each: kernel (xy + 1)^3, and no picture with itself."""
    one, other = torch.tensor([[0.0], [1.0]]).double(), torch.tensor([[1.0], [2.0]]).double()
    # Within: 1 and 27; across: 1, 1, 8, 27.
    assert _discrepancy(one, other) == 1 + 27 - 2 * (1 + 1 + 8 + 27) / 4


@pytest.mark.parametrize("shift", [0.0, 0.3], ids=["alike", "apart"])
def test_the_kernels_error_is_the_scatter_of_new_pictures(shift: float) -> None:
    """With more pictures of the one kind than of the other, and few subsets or many."""
    for subsets in (4, 30):
        found = [
            kernel_distance(
                features(70, 4, 2 * s), features(110, 4, 2 * s + 1, shift), subsets=subsets, size=50
            )
            for s in range(150)
        ]
        errors = np.sqrt(np.mean([one.error**2 for one in found]))
        assert errors == pytest.approx(np.std([one.value for one in found], ddof=1), rel=0.25)


def test_kernel_is_unbiased() -> None:
    null = [
        kernel_distance(
            features(80, 4, 2 * s), features(80, 4, 2 * s + 1), subsets=9, size=40
        ).value
        for s in range(60)
    ]
    assert abs(np.mean(null)) < 4 * np.std(null) / 60**0.5
    assert min(null) < 0


def test_the_kernels_variance_is_that_of_its_definition() -> None:
    """By whole matrices: rows' means less columns', and what is left of the kernel beside both."""
    one, other = (torch.from_numpy(features(n, 3, n)).double() for n in (12, 9))
    matrices = {
        (a, b): ((x @ y.T / 3 + 1) ** 3).numpy()
        for a, x in (("x", one), ("y", other))
        for b, y in (("x", one), ("y", other))
    }
    singles = pairs = 0.0
    for mine, its, n in (("x", "y", 12), ("y", "x", 9)):
        within, across = matrices[mine, mine].copy(), matrices[mine, its]
        np.fill_diagonal(within, np.nan)
        means = np.nanmean(within, axis=1)
        singles += 4 * np.var(means - across.mean(axis=1), ddof=1) / n
        centred = within - means[:, None] - means + means.mean()
        # What the mean square of the matrix less its means comes to, the diagonal left out.
        expected = np.nanmean(within**2) - 2 * np.mean(means**2) + means.mean() ** 2
        assert np.nanmean(centred**2) == pytest.approx(expected, rel=0.5)
        pairs += 2 * expected / (n * (n - 1))
    across = matrices["x", "y"]
    left = across - across.mean(axis=1, keepdims=True) - across.mean(axis=0) + across.mean()
    pairs = max(0.0, pairs + 4 * np.mean(left**2) / (12 * 9))
    assert _variance(one, other) == pytest.approx(max(singles - pairs, pairs), rel=1e-9)


def test_few_subsets_add_their_own_error() -> None:
    one, other = features(60, 4, 0), features(50, 4, 1, 0.2)
    for subsets in (2, 10):
        found = kernel_distance(one, other, subsets=subsets, size=20)
        whole = _variance(*(torch.from_numpy(x).double() for x in (one, other)))
        # The mean over subsets scatters with their variance, of n - 1, over how many they are.
        drawn = found.spread**2 / (subsets - 1)
        assert found.error**2 == pytest.approx(whole + drawn, rel=1e-9)


def test_the_value_over_whole_sets_is_the_estimate_itself() -> None:
    one, other = features(50, 4, 0), features(50, 4, 1)
    found = kernel_distance(one, other, subsets=5, size=50)
    assert found.spread == pytest.approx(0, abs=1e-12)
    assert found.error > 0


@pytest.mark.parametrize("rows", [7, 128])
def test_the_kernels_blocks_leave_no_seam(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """More pictures than are multiplied at once, against whole matrices."""
    monkeypatch.setattr("dcgan_models.metrics.kernel._ROWS", rows)
    one, other = (torch.from_numpy(features(300, 3, seed)).double() for seed in (0, 1))
    own, its, across = (
        (a @ b.T / 3 + 1).numpy() ** 3 for a, b in ((one, one), (other, other), (one, other))
    )
    apart = ~np.eye(300, dtype=bool)
    expected = own[apart].mean() + its[apart].mean() - 2 * across.mean()
    assert _discrepancy(one, other) == pytest.approx(expected, rel=1e-9)
    found = _sums(_augmented(one), _augmented(other))
    np.testing.assert_allclose(found.rows, across.sum(axis=1))
    np.testing.assert_allclose(found.columns, across.sum(axis=0))
    assert found.squares == pytest.approx((across**2).sum())


def test_subsets_of_two_are_enough_and_of_one_are_not(refused: Any) -> None:
    one, other = features(6, 3, 0), features(6, 3, 1)
    assert kernel_distance(one, other, subsets=2, size=2).error > 0
    for subsets, size in ((1, 2), (2, 1)):
        with refused(f"{subsets} subsets of {size}; at least 2 of 2"):
            kernel_distance(one, other, subsets=subsets, size=size)


BAD = np.zeros((9, 3), np.float32)
BAD[4, 1] = np.nan


@pytest.mark.parametrize(
    ("real", "fake", "words"),
    [
        (features(9, 3, 0), BAD, ("generated features", "picture 4", "not finite")),
        (features(9, 3, 0), features(9, 4, 0), ("3 wide", "4")),
        (features(9, 3, 0), features(3, 3, 0), ("3 pictures", "at least")),
        (np.zeros((9, 3), np.int64), features(9, 3, 0), ("int64", "float")),
        (np.zeros(9, np.float32), features(9, 3, 0), ("(9,)",)),
    ],
)
def test_bad_features_are_refused(refused: Any, real: Any, fake: Any, words: Any) -> None:
    with refused(*words):
        frechet_interval(real, fake)
    with refused(*words):
        kernel_distance(real, fake, subsets=2, size=8)
