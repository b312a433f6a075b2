"""The check before anything is removed: healthy codes pass, each illness is named."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from dcgan_models.dedup.judging import CodeBounds, judge_codes


def packed(bits: np.ndarray) -> np.ndarray:
    return np.packbits(bits, axis=1)


def healthy(n: int = 2000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 128)) < 0.4


def test_healthy_codes_are_trusted_and_measured() -> None:
    bits = healthy()
    bits[1500:] = bits[:500]
    report = judge_codes(packed(bits), 8)
    assert report.trusted
    assert report.failures == ()
    assert (report.rows, report.bits, report.distinct, report.largest) == (2000, 128, 1500, 2)
    assert (report.dead, report.always_on, report.uninformative) == (0, 0, 0)
    entropy = 1000 / 2000 * math.log2(2000) + 500 * 2 / 2000 * math.log2(1000)
    assert report.code_entropy == pytest.approx(entropy)
    assert report.mean_bit_entropy == pytest.approx(0.971, abs=0.002)
    assert report.random_pairs < 1e-20


def few_codes(bits: np.ndarray) -> None:
    bits[:] = bits[np.arange(len(bits)) % 500]


def constant_bits(bits: np.ndarray) -> None:
    bits[:, :20] = False
    bits[:, 20:40] = True


def rare_bits(bits: np.ndarray) -> None:
    bits &= np.random.default_rng(1).random(bits.shape) < 0.15


def blank(bits: np.ndarray) -> None:
    bits[:300] = False


def one_giant(bits: np.ndarray) -> None:
    bits[:900] = bits[0]


def few_free_bits(bits: np.ndarray) -> None:
    bits[:, 18:] = bits[0, 18:]


@pytest.mark.parametrize(
    ("illness", "words"),
    [
        (few_codes, ["500 distinct codes among 2000", "50%"]),
        (constant_bits, ["20 bits are dead and 20 always on, of 128", "25%"]),
        (rare_bits, ["bits of entropy on average", "0.4"]),
        (blank, ["15.0% of the codes have too few active bits", "10.0%"]),
        (one_giant, ["80% of log2"]),
        (few_free_bits, ["chance alone makes", "at most 1 "]),
    ],
)
def test_each_illness_is_named(illness: Any, words: list[str]) -> None:
    bits = healthy()
    illness(bits)
    report = judge_codes(packed(bits), 4)
    assert not report.trusted
    assert any(all(word in failure for word in words) for failure in report.failures)


def test_bounds_are_the_callers() -> None:
    bits = healthy()
    few_codes(bits)
    assert judge_codes(packed(bits), 8, CodeBounds(distinct=0.25)).trusted
    assert not judge_codes(packed(bits), 8, CodeBounds(distinct=0.26)).trusted


def test_codes_without_any_information_are_not_trusted() -> None:
    report = judge_codes(np.zeros((10, 16), np.uint8), 8)
    assert (report.distinct, report.largest, report.uninformative) == (0, 0, 10)
    assert report.code_entropy == 0
    assert len(report.failures) >= 4


def test_a_single_code_cannot_be_judged(refused) -> None:
    with refused("1 codes", "at least 2"):
        judge_codes(np.zeros((1, 16), np.uint8), 8)
