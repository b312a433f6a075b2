"""MS-SSIM against torchmetrics, and against the definition where torchmetrics has no answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from blots import blots
from scipy.signal import fftconvolve

from dcgan_models.metrics.similarity import WEIGHTS, mean_similarity, ms_ssim


def by_definition(one: Any, other: Any) -> float:
    """One pair, (h, w, c), scale by scale with SciPy's convolution: Wang et al. (2003)."""
    one, other = one.astype(float), other.astype(float)
    result = 1.0
    for scale, weight in enumerate(WEIGHTS):
        size = min(11, *one.shape[:2])
        grid = np.arange(size) - (size - 1) / 2
        taps = np.exp(-(grid**2) / (2 * (1.5 * size / 11) ** 2))
        window = np.outer(taps, taps)[..., None] / taps.sum() ** 2

        def smooth(x: Any, window: Any = window) -> Any:
            return fftconvolve(x, window, mode="valid", axes=(0, 1))

        m1, m2 = smooth(one), smooth(other)
        v1, v2, v12 = (
            smooth(a * b) - c
            for a, b, c in ((one, one, m1 * m1), (other, other, m2 * m2), (one, other, m1 * m2))
        )
        contrast = (2 * v12 + 58.5225) / (v1 + v2 + 58.5225)
        ssim = contrast * (2 * m1 * m2 + 6.5025) / (m1**2 + m2**2 + 6.5025)
        result *= max(0.0, float((ssim if scale == 4 else contrast).mean())) ** weight
        one, other = (
            (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4 for x in (one, other)
        )
    return result


def pairs(side: int) -> tuple[Any, Any]:
    """Pairs from alike to unlike."""
    one = blots(4, side, 0)
    noise = np.random.default_rng(1).normal(0, [[[[2]]], [[[20]]], [[[60]]], [[[90]]]], one.shape)
    return one, (one + noise).clip(0, 255).astype(np.uint8)


def test_is_the_definition_at_64_pixels() -> None:
    """The two coarsest scales, 8 and 4 pixels wide, have narrower windows than 11."""
    one, other = pairs(64)
    expected = [by_definition(a, b) for a, b in zip(one, other, strict=True)]
    found = ms_ssim(torch.from_numpy(one), torch.from_numpy(other)).tolist()
    assert found == pytest.approx(expected, abs=1e-9)
    assert found[0] > found[1] > found[2] > found[3] > 0.1


def test_is_nearly_torchmetrics_where_all_scales_fit_the_window() -> None:
    """Theirs takes the mean of the coarsest scale over a reflected border as well."""
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    one, other = (torch.from_numpy(x[..., :1]) for x in pairs(192))
    expected = multiscale_structural_similarity_index_measure(
        one.permute(0, 3, 1, 2).double(),
        other.permute(0, 3, 1, 2).double(),
        data_range=255.0,
        reduction="none",
        normalize="relu",
    )
    assert ms_ssim(one, other).tolist() == pytest.approx(expected.tolist(), abs=3e-4)


def test_identical_and_opposite_pictures() -> None:
    x = torch.from_numpy(blots(3, 32, 0))
    assert ms_ssim(x, x).tolist() == pytest.approx([1, 1, 1], abs=1e-12)
    assert ms_ssim(x, 255 - x).tolist() == [0, 0, 0]  # negative contrast, never NaN
    black = torch.zeros(1, 16, 16, 3, dtype=torch.uint8)
    assert ms_ssim(black, black).tolist() == pytest.approx([1])


def test_mean_over_disjoint_pairs() -> None:
    """Of odd numbers one is left out; a collapsed generator scores 1, real variety less."""
    varied = blots(301, 16, 0)
    found = mean_similarity(varied, seed=3)
    assert found.pairs == 150
    assert found.interval[0] < found.value < found.interval[1] < 0.9
    order = np.random.default_rng(3).permutation(301)
    one, other = (torch.from_numpy(varied[rows]) for rows in (order[:150], order[150:300]))
    assert found.value == pytest.approx(ms_ssim(one, other).mean().item())
    collapsed = np.repeat(varied[:1], 50, axis=0)
    assert mean_similarity(collapsed).value == pytest.approx(1)
    assert mean_similarity(collapsed).interval == pytest.approx((1, 1))


@pytest.mark.parametrize(
    ("pictures", "words"),
    [
        (blots(9, 32, 0)[:, :28, :28], ("28x28", "16")),
        (blots(3, 32, 0), ("3 pictures", "at least 4")),
        (blots(9, 32, 0).astype(np.float32), ("float32", "uint8")),
    ],
)
def test_bad_pictures_are_refused(refused: Any, pictures: Any, words: Any) -> None:
    with refused(*words):
        mean_similarity(pictures)
