"""Figures of binary codes, against closed forms and counting bit by bit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dcgan_models.dedup.codes import (
    activation_rates,
    active_bits,
    active_histogram,
    bit_entropies,
    hamming,
    informative_codes,
    random_pairs,
    words,
)


def draw(n: int, bits: int, rate: float = 0.5, seed: int = 0) -> np.ndarray:
    """Bits, bool (n, bits)."""
    return np.random.default_rng(seed).random((n, bits)) < rate


@pytest.mark.parametrize("bits", [8, 24, 64, 96, 128, 200])
def test_counts_agree_with_unpacked_bits(bits: int) -> None:
    one, other = draw(50, bits, 0.3), draw(50, bits, 0.6, seed=1)
    codes = np.packbits(one, axis=1)
    assert active_bits(codes).tolist() == one.sum(axis=1).tolist()
    assert (
        hamming(codes, np.packbits(other, axis=1)).tolist() == (one != other).sum(axis=1).tolist()
    )
    assert activation_rates(codes) == pytest.approx(one.mean(axis=0))
    histogram = active_histogram(codes)
    assert len(histogram) == bits + 1
    assert histogram.tolist() == [(one.sum(axis=1) == k).sum() for k in range(bits + 1)]
    assert informative_codes(codes, 5).tolist() == (one.sum(axis=1) >= 5).tolist()


def test_words_hold_each_bit_once_and_need_no_alignment() -> None:
    codes = np.packbits(np.eye(24, dtype=np.bool_), axis=1)
    found = words(codes[::-1])
    assert found.shape == (24, 1)
    assert len(np.unique(found)) == 24
    assert np.bitwise_count(found).sum() == 24


def test_entropy_of_bits() -> None:
    rates = np.array([0.0, 0.5, 1.0, 0.25])
    quarter = 0.25 * 2 + 0.75 * math.log2(4 / 3)
    assert bit_entropies(rates) == pytest.approx([0, 1, 0, quarter])


def test_random_pairs_agree_with_counting() -> None:
    assert random_pairs(np.full(128, 0.5), 3_000_000) == pytest.approx(
        3_000_000 * 2_999_999 / 2 / 2.0**128
    )
    rates = np.array([0.1, 0.5, 0.8, 0.9, 0.3, 0.2, 0.5, 0.7])
    n = 100_000
    bits = np.random.default_rng(2).random((n, 8)) < rates
    sizes = np.bincount(np.packbits(bits, axis=1).ravel(), minlength=256)
    equal = (sizes * (sizes - 1) // 2).sum()
    assert random_pairs(rates, n) == pytest.approx(equal, rel=0.02)
    assert random_pairs(np.array([0.0, 1.0]), 5) == 10


@pytest.mark.parametrize(
    "codes", [np.zeros((2, 16), np.int64), np.zeros(16, np.uint8), np.zeros((3, 0), np.uint8)]
)
def test_codes_that_are_not_packed_are_refused(codes: np.ndarray, refused) -> None:
    with refused("packed uint8 (n, bits / 8)"):
        active_bits(codes)


def test_rates_of_no_codes_are_refused(refused) -> None:
    with refused("no codes"):
        activation_rates(np.zeros((0, 16), np.uint8))
