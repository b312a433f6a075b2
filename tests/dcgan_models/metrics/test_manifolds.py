"""Precision, recall, density, coverage, neighbours and copies, on sets whose faults are planted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from dcgan_models.metrics.manifolds import manifolds
from dcgan_models.metrics.neighbours import (
    mean_nearest_distance,
    two_sample_test,
)


def modes(n: int, seed: int, centres: tuple[int, ...] = (0, 1, 2, 3)) -> Any:
    """Features around some of four far apart centres: float32 (n, 6)."""
    rng = np.random.default_rng(seed)
    places = 20 * np.eye(4, 6)[rng.choice(centres, n)]
    return (places + rng.normal(size=(n, 6))).astype(np.float32)


def by_definition(real: Any, fake: Any) -> dict[str, float]:
    """The four measures from full distance matrices."""
    real, fake = real.astype(float), fake.astype(float)
    across = cdist(real, fake)
    own = {
        (name, k): np.sort(cdist(x, x), axis=1)[:, k]
        for name, x in (("real", real), ("fake", fake))
        for k in (3, 5)
    }
    inside = across <= own["real", 5][:, None]
    return {
        "precision": float((across <= own["real", 3][:, None]).any(axis=0).mean()),
        "recall": float((across <= own["fake", 3]).any(axis=1).mean()),
        "density": float(inside.sum(axis=0).mean() / 5),
        "coverage": float(inside.any(axis=1).mean()),
    }


def test_manifolds_are_the_definition_and_torch_fidelitys(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    monkeypatch.setattr("dcgan_models.metrics.manifolds._BLOCK", 5000)  # many blocks, last short
    real, fake = modes(310, 0), modes(270, 1)
    fake += np.random.default_rng(2).normal(size=fake.shape).astype(np.float32)
    found = manifolds(real, fake)
    for name, value in by_definition(real, fake).items():
        assert getattr(found, name) == pytest.approx(value, abs=1e-12), name
    theirs = calculate_precision_recall_full(torch.from_numpy(fake), torch.from_numpy(real), 3)
    assert (found.precision, found.recall) == pytest.approx(theirs, abs=1e-6)
    assert 0.1 < found.precision < 0.95


def test_a_dropped_mode_costs_recall_and_not_precision() -> None:
    real = modes(400, 0)
    whole, dropped = manifolds(real, modes(400, 1)), manifolds(real, modes(400, 1, (0, 1, 2)))
    missing = float((real[:, 3] > 10).mean())
    assert dropped.recall <= 1 - missing
    assert dropped.coverage <= 1 - missing
    assert whole.recall - dropped.recall > 0.15
    assert dropped.precision > whole.precision - 0.05
    assert dropped.density > whole.density - 0.15


def test_noise_costs_precision() -> None:
    real = modes(400, 0)
    noise = np.random.default_rng(0).uniform(-5, 25, (400, 6)).astype(np.float32)
    found, whole = manifolds(real, noise), manifolds(real, modes(400, 1))
    assert found.precision < 0.05
    assert found.density < 0.05
    assert whole.precision > 0.8
    assert whole.density > 0.8


def test_identical_and_disjoint_sets() -> None:
    real = modes(100, 0)
    same, far = manifolds(real, real), manifolds(real, real + 1000)
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
    assert (far.precision, far.recall, far.density, far.coverage) == (0, 0, 0, 0)


def test_constant_pictures_have_the_numbers_of_the_limit() -> None:
    """A ball of radius 0 holds copies only, however the distances were rounded."""
    real = modes(100, 0) + 7
    constant = np.repeat(real[:1], 50, axis=0)
    found = manifolds(real, constant)
    assert found.precision == 1
    assert found.recall == 0.01
    other = manifolds(np.repeat(real[:1], 50, axis=0), constant)
    assert (other.precision, other.recall, other.density) == (1, 1, 10)


# --- Neighbours ---------------------------------------------------------------------------------


def test_two_sample_test_is_scikit_learns() -> None:
    real, fake = modes(150, 0), 1.2 * modes(150, 1)
    pool = np.concatenate([real, fake])
    index = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(pool)
    nearest = index.kneighbors(pool, return_distance=False)[:, 1]
    own = (nearest < 150) == (np.arange(300) < 150)
    found = two_sample_test(real, fake)
    assert found.real == pytest.approx(own[:150].mean())
    assert found.fake == pytest.approx(own[150:].mean())
    assert found.accuracy == pytest.approx(own.mean())


def test_two_sample_test_of_planted_sets() -> None:
    """One distribution: 1/2. Far apart: 1. Copies: 0. One picture again and again: 1 of fakes."""
    real = modes(500, 0)
    assert two_sample_test(real, modes(700, 1)).accuracy == pytest.approx(0.5, abs=0.06)
    assert two_sample_test(real, real + 100).accuracy == 1
    assert two_sample_test(real, np.random.default_rng(0).permutation(real)).accuracy == 0
    almost = real + np.random.default_rng(0).normal(0, 0.01, real.shape).astype(np.float32)
    assert two_sample_test(real, almost).accuracy < 0.05
    constant = np.repeat(modes(1, 9), 500, axis=0)
    collapsed = two_sample_test(real, constant + np.arange(500)[:, None].astype(np.float32) * 1e-4)
    assert collapsed.fake > 0.99
    assert collapsed.real > 0.9


def test_the_authors_mean_distance() -> None:
    real = np.random.default_rng(0).integers(0, 256, (30, 4, 4, 3)).astype(np.uint8)
    fake = np.random.default_rng(1).integers(0, 256, (50, 4, 4, 3)).astype(np.uint8)
    rows = [x.reshape(len(x), -1) / 127.5 - 1 for x in (real, fake)]
    expected = cdist(*rows).min(axis=1)
    found = mean_nearest_distance(real, fake)
    assert found.value == pytest.approx(expected.mean(), rel=1e-6)
    assert found.error == pytest.approx(expected.std(ddof=1) / 30**0.5, rel=1e-6)
    assert mean_nearest_distance(real, real).value == 0


# --- Refusals ---------------------------------------------------------------------------------


def test_features_of_two_extractors_are_refused(refused: Any) -> None:
    with refused("6 wide", "5"):
        manifolds(modes(9, 0), modes(9, 0)[:, :5])
    with refused("5 pictures", "at least 6"):
        manifolds(modes(9, 0), modes(5, 0))
    bad = modes(9, 0)
    bad[3, 0] = np.inf
    with refused("real features", "picture 3", "not finite"):
        two_sample_test(bad, modes(9, 0))
