"""Rows: each carries what it depends on, and a generator's faults show where they should."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from blots import blots

from dcgan_models.metrics.memorisation import CopyBounds
from dcgan_models.metrics.rows import Score
from dcgan_models.metrics.table import (
    Setting,
    feature_scores,
    memorisation_scores,
    pixel_scores,
)

SETTING = Setting("held_out", "area 32", "autoencoder 0123456789ab", 3)


def features(n: int, seed: int, shift: float = 0) -> Any:
    return np.random.default_rng(seed).normal(shift, 1, (n, 8)).astype(np.float32)


def test_feature_rows_are_complete_and_their_intervals_hold_the_value() -> None:
    rows = feature_scores(
        features(90, 0), features(80, 1, 0.5), SETTING, kid_subsets=9, kid_size=40
    )
    assert [row.name for row in rows] == [
        "frechet_distance",
        "kernel_distance",
        "precision",
        "recall",
        "coverage",
        "density",
        "two_sample_real",
        "two_sample_fake",
    ]
    for row in rows:
        assert (row.split, row.resizer, row.extractor, row.seed) == (
            "held_out",
            "area 32",
            "autoencoder 0123456789ab",
            3,
        )
        assert row.low is not None
        assert row.high is not None
        assert row.low <= row.value <= row.high
        assert row.low < row.high
        assert row.interval
        expected = (80, 80) if row.name.startswith("two_sample") else (90, 80)
        assert (row.n_real, row.n_fake) == expected


def test_few_pictures_have_no_halves() -> None:
    """Halves of 13 have no six pictures: what hangs on neighbours has a value and no interval."""
    rows = feature_scores(features(13, 0), features(13, 1), SETTING, kid_subsets=2, kid_size=8)
    known = {row.name for row in rows if row.low is not None}
    assert known == {"frechet_distance", "kernel_distance"}


def test_pixel_rows() -> None:
    setting = Setting("held_out", "none", "pixels", 0)
    real = blots(20, 32, 0)
    rows = {row.name: row for row in pixel_scores(real, real, setting)}
    assert list(rows) == ["swd_32", "swd_16", "swd", "ms_ssim", "nearest_distance"]
    assert rows["nearest_distance"].value == 0
    assert rows["swd"].value == pytest.approx((rows["swd_32"].value + rows["swd_16"].value) / 2)
    assert (rows["ms_ssim"].n_real, rows["ms_ssim"].n_fake) == (0, 20)


def test_memorisation_rows() -> None:
    train = features(60, 0)
    rows = memorisation_scores(CopyBounds.of(train, features(30, 1)), [train[:40]], SETTING)
    assert {row.name: row.value for row in rows} == {
        "copied": 1,
        "nearer_than_held_out": 1,
        "nearest_train_ratio": 0,
    }
    assert (rows[0].n_real, rows[0].n_fake) == (60, 40)
    assert rows[0].low is not None
    assert rows[0].low > 0.9


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_row_without_a_number(refused: Any, value: float) -> None:
    with refused("recall", str(value)):
        Score("recall", value, 1, 1, "held_out", "none", "pixels", 0)
