"""Measures against closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from dcgan_models.metrics import class_spread, share_by_class, wilson_interval


def test_wilson_by_hand() -> None:
    """At 1 of 2 the centre is 1/2 and the half width z/2 / sqrt(2 + z^2)."""
    half = 1.959963984540054 / 2 / math.sqrt(2 + 1.959963984540054**2)
    assert wilson_interval(1, 2) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-15)


def test_wilson_stays_in_the_unit_interval_and_is_never_empty() -> None:
    for n in range(1, 300):
        for successes in (0, n):
            low, high = wilson_interval(successes, n)
            assert 0 <= low < high <= 1
            assert low <= successes / n <= high


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_counts_without_an_interval_are_refused(refused: Any, successes: int, n: int) -> None:
    with refused(f"no interval for {successes} of {n}"):
        wilson_interval(successes, n)


def test_spread_of_known_classes() -> None:
    """One picture repeated: 0. Half black, half white: 1/2. Uniform on 0..255: sqrt(1/12)."""
    black, white = np.zeros((20, 2, 3, 1)), np.full((20, 2, 3, 1), 255)
    uniform = np.broadcast_to(np.arange(256).reshape(256, 1, 1, 1), (256, 2, 3, 1))
    same = np.tile(np.random.default_rng(0).integers(0, 256, (1, 2, 3, 1)), (7, 1, 1, 1))
    pixels = np.concatenate([same, black, white, uniform]).astype(np.uint8)
    labels = np.repeat([0, 1, 1, 3], [7, 20, 20, 256])
    order = np.random.default_rng(1).permutation(len(labels))
    spread = class_spread(pixels[order], labels[order], classes=4)
    assert spread[0] == pytest.approx(0, abs=1e-12)
    assert spread[1] == pytest.approx(0.5)
    assert math.isnan(spread[2])
    # The variance of k / 255 for k in 0..255 is (256^2 - 1) / 12 / 255^2.
    assert spread[3] == pytest.approx(math.sqrt((256**2 - 1) / 12) / 255)


def test_spread_is_the_root_mean_square_over_pixels() -> None:
    """Two pixels, one constant, one half black and half white: sqrt((0 + 1/4) / 2)."""
    pictures = np.array([[7, 0], [7, 255]], np.uint8).reshape(2, 1, 2, 1)
    assert class_spread(pictures, np.zeros(2, np.int64), 1)[0] == pytest.approx(math.sqrt(1 / 8))


def test_shares_of_hits_within_classes() -> None:
    labels = np.array([0, 0, 0, 0, 2, 2, 3])
    hits = np.array([True, False, False, False, True, True, False])
    shares = share_by_class(hits, labels, classes=5)
    assert shares[[0, 2, 3]].tolist() == [0.25, 1.0, 0.0]
    assert np.isnan(shares[[1, 4]]).all()
