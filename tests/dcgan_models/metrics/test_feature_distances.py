"""Fréchet and kernel distance against torch-fidelity, torchmetrics, SciPy and closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import ortho_group
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from dcgan_models.metrics.frechet import (
    Moments,
    frechet_distance,
    frechet_interval,
    moments,
)
from dcgan_models.metrics.kernel import _discrepancy, kernel_distance


def features(n: int, d: int, seed: int, shift: float = 0.0) -> Any:
    """Correlated features with long tails."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(d).normal(size=(d, d)) / d**0.5
    return (np.abs(rng.normal(size=(n, d)) @ mixing) ** 1.5 + shift).astype(np.float32)


def gaussian(mean: Any, covariance: Any) -> Moments:
    return Moments(1000, torch.tensor(mean).double(), torch.tensor(covariance).double())


def test_frechet_is_theirs_on_the_same_arrays() -> None:
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


def test_frechet_is_symmetric_and_zero_for_constants() -> None:
    one, other = (moments(features(20, 30, seed)) for seed in (0, 1))
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one), rel=1e-12)
    constant = moments(np.full((9, 30), 3, np.float32))
    assert frechet_distance(constant, constant) == 0
    expected = (one.mean - 3).square().sum() + one.covariance.trace()
    assert frechet_distance(one, constant) == pytest.approx(expected.item())


def test_frechet_interval_is_as_wide_as_the_scatter_of_new_pictures() -> None:
    values, halves = [], []
    for seed in range(30):
        value, (_, high) = frechet_interval(
            features(200, 4, 2 * seed), features(200, 4, 2 * seed + 1, shift=0.5), seed=seed
        )
        values.append(value)
        halves.append(high - value)
    assert np.mean(halves) == pytest.approx(1.96 * np.std(values, ddof=1), rel=0.5)


def test_kernel_is_torch_fidelitys_subset_for_subset() -> None:
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


def test_kernel_is_unbiased_and_its_error_is_the_scatter_of_new_pictures() -> None:
    found = [
        kernel_distance(
            features(300, 4, 2 * s), features(300, 4, 2 * s + 1, 0.3), subsets=40, size=60
        )
        for s in range(30)
    ]
    errors = [one.error for one in found if one.error is not None]
    assert len(errors) == 30
    assert np.mean(errors) == pytest.approx(np.std([one.value for one in found], ddof=1), rel=0.5)
    null = [
        kernel_distance(
            features(80, 4, 2 * s), features(80, 4, 2 * s + 1), subsets=9, size=40
        ).value
        for s in range(60)
    ]
    assert abs(np.mean(null)) < 4 * np.std(null) / 60**0.5
    assert min(null) < 0


def test_kernel_says_nothing_of_its_error_where_subsets_are_the_whole() -> None:
    found = kernel_distance(features(50, 4, 0), features(50, 4, 1), subsets=5, size=50)
    assert found.spread == pytest.approx(0, abs=1e-12)
    assert found.error is None


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
