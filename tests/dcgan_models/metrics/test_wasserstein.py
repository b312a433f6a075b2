"""The sliced Wasserstein distance against the same protocol written out by definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from blots import blots
from scipy.signal import convolve2d

from dcgan_models.metrics.wasserstein import (
    SlicedWasserstein,
    _distance,
    _Patches,
    pyramid_levels,
    sliced_wasserstein,
)

_KERNEL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256


def pyramid_by_definition(pictures: Any, levels: int) -> list[Any]:
    """Levels, each (n, h, w, c): SciPy's convolution with zeros outside, picture by picture."""

    def smooth(x: Any) -> Any:
        planes = [
            [convolve2d(picture[..., c], _KERNEL, mode="same") for c in range(x.shape[3])]
            for picture in x
        ]
        return np.array(planes).transpose(0, 2, 3, 1)

    gaussian = [pictures / 127.5 - 1]
    for _ in range(levels - 1):
        gaussian.append(smooth(gaussian[-1])[:, ::2, ::2])
    enlarged = [smooth(x.repeat(2, axis=1).repeat(2, axis=2)) for x in gaussian[1:]]
    return [*(x - y for x, y in zip(gaussian, enlarged, strict=False)), gaussian[-1]]


def distance_by_definition(real: Any, fake: Any, levels: int, seed: int) -> list[float]:
    """Karras' measure with draws of its own."""
    rng = np.random.default_rng(seed)
    found = []
    for pair in zip(*(pyramid_by_definition(x, levels) for x in (real, fake)), strict=True):
        sets = []
        for x in pair:
            n, h, w, _ = x.shape
            places = [(i, *rng.integers(0, (h - 6, w - 6))) for i in range(n) for _ in range(128)]
            patches = np.array([x[i, r : r + 7, c : c + 7] for i, r, c in places])
            patches -= patches.mean(axis=(0, 1, 2))
            patches /= patches.std(axis=(0, 1, 2), ddof=1)
            sets.append(patches.reshape(len(patches), -1))
        dirs = rng.normal(size=(sets[0].shape[1], 512))
        dirs /= np.linalg.norm(dirs, axis=0)
        one, other = (np.sort(s @ dirs, axis=0) for s in sets)
        found.append(1000 * float(np.abs(one - other).mean()))
    return found


def test_levels_are_those_of_the_pyramid_by_definition() -> None:
    """Patches at every level lie where the pyramid written out has them."""
    pictures = blots(5, 64, 0)
    expected = pyramid_by_definition(pictures, 3)
    for level in range(3):
        patches = _Patches(pictures, level, 3, torch.Generator().manual_seed(1))
        found = torch.cat(list(patches._cut())).numpy().reshape(5, 128, 7, 7, 3)
        rows, columns = np.divmod(patches._corners.numpy(), 64 >> level)
        windows = np.lib.stride_tricks.sliding_window_view(expected[level], (7, 7), (1, 2))
        for i in range(5):
            there = windows[i][rows[i], columns[i]].transpose(0, 2, 3, 1)
            np.testing.assert_allclose(found[i], there, atol=2e-6)
        assert rows.max() == columns.max() == (64 >> level) - 7  # the last place is reached
        assert rows.min() == columns.min() == 0


def test_value_is_that_of_the_definition() -> None:
    """Two programs with different draws agree to the noise of patches and directions."""
    real, fake = blots(30, 32, 0), blots(30, 32, 1, contrast=90)
    expected = distance_by_definition(real, fake, 2, 5)
    found = sliced_wasserstein(real, fake, seed=3)
    assert found.levels == (32, 16)
    assert found.by_level == pytest.approx(expected, rel=0.1)
    assert found.average == pytest.approx(np.mean(expected), rel=0.08)
    low, high = found.interval
    assert low < found.average < high


def test_statistics_projections_and_distances_are_those_of_the_patches() -> None:
    """By plain arrays: unbiased deviations of each channel, and sorted projections compared."""
    one, other = (
        _Patches(blots(3, 32, seed), 0, 2, torch.Generator().manual_seed(seed)) for seed in (0, 1)
    )
    scaled = []
    for patches in (one, other):
        cut = np.concatenate([part.numpy() for part in patches._cut()]).astype(np.float64)
        assert cut.shape == (patches.count, 7 * 7 * 3) == (3 * 128, 147)
        values = cut.reshape(-1, 3)
        np.testing.assert_allclose(patches._mean, values.mean(axis=0), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(patches._std, values.std(axis=0, ddof=1), rtol=3e-6)
        even = (values - values.mean(axis=0)) / values.std(axis=0, ddof=1)
        scaled.append(even.reshape(cut.shape))
    drawn = torch.randn(147, 128, generator=torch.Generator().manual_seed(5)).double().numpy()
    drawn /= np.linalg.norm(drawn, axis=0)
    sides = [np.sort(rows @ drawn, axis=0) for rows in scaled]
    found = _distance(one, other, torch.Generator().manual_seed(5))
    assert found == pytest.approx(np.abs(sides[0] - sides[1]).mean(), rel=1e-5)


def test_averages_are_those_of_the_repeats() -> None:
    """Over directions: two sets of them, whose means over the levels are 2 and 4."""
    found = SlicedWasserstein((32, 16), np.array([[1.0, 5.0], [3.0, 3.0]]))
    assert found.by_level == (3, 3)
    assert found.average == 3
    half = 12.706204736432095  # t of one, with a standard error of 1
    assert found.interval == pytest.approx((3 - half, 3 + half))


def test_same_seed_same_value_and_a_stream_of_blocks_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, fake = blots(40, 16, 0), blots(40, 16, 1)
    first = sliced_wasserstein(real, fake, seed=1)
    assert (first.repeats != sliced_wasserstein(real, fake, seed=2).repeats).all()
    monkeypatch.setattr("dcgan_models.metrics.wasserstein._BLOCK", 7)
    monkeypatch.setattr("dcgan_models.metrics.wasserstein._HELD", 32)
    again = sliced_wasserstein(real, fake, seed=1)
    np.testing.assert_allclose(again.repeats, first.repeats, rtol=1e-4)


def test_whoever_sorts_the_value_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV has a sort of Intel's on x86 alone."""
    real, fake = blots(40, 16, 0), blots(40, 16, 1)
    found = set()
    for intels in (True, False):
        monkeypatch.setattr("cv2.ipp.useIPP", lambda intels=intels: intels)
        found.add(tuple(sliced_wasserstein(real, fake).repeats.flat))
    assert len(found) == 1


def test_other_patches_cost() -> None:
    real = blots(40, 32, 0)
    coarse = blots(40, 16, 1).repeat(2, axis=1).repeat(2, axis=2)
    noise = np.random.default_rng(0).integers(0, 256, real.shape).astype(np.uint8)
    same, near, far = (
        sliced_wasserstein(real, fake).average for fake in (blots(40, 32, 1), coarse, noise)
    )
    assert 1.5 * same < min(near, far)


def test_grey_and_constant_pictures() -> None:
    """Beyond the border lies mid-grey, which a pyramid sees and a single level does not."""
    black = np.zeros((30, 32, 32, 1), np.uint8)
    grey = blots(30, 32, 0, channels=1)
    found = sliced_wasserstein(grey, black)
    assert found.levels == (32, 16)
    assert 100 < found.average < 5000
    assert sliced_wasserstein(grey[:, :28, :28], grey[:, :28, :28]).levels == (28,)


def test_one_colour_is_refused(refused: Any) -> None:
    with refused("one colour"):
        sliced_wasserstein(blots(4, 16, 0), np.full((4, 16, 16, 3), 9, np.uint8))


def test_levels_of_sizes() -> None:
    assert [pyramid_levels(side, side) for side in (16, 28, 32, 64, 128, 256)] == [1, 1, 2, 3, 4, 4]


@pytest.mark.parametrize(
    ("real", "fake", "words"),
    [
        (blots(4, 16, 0), blots(5, 16, 0), ("4 real", "5 generated")),
        (blots(4, 16, 0), blots(4, 32, 0), ("(16, 16, 3)", "(32, 32, 3)")),
        (blots(4, 16, 0) / 255, blots(4, 16, 0), ("real pictures", "float64", "0 to 255")),
        (blots(4, 8, 0), blots(4, 8, 0), ("8x8", "16")),
        (blots(0, 16, 0), blots(0, 16, 0), ("0 pictures",)),
        (blots(4, 40, 0)[:, :34], blots(4, 40, 0)[:, :33], ("one shape",)),
        (blots(4, 40, 0)[:, :33], blots(4, 40, 0)[:, :33], ("33x40", "divide by 2")),
    ],
)
def test_bad_pictures_are_refused(refused: Any, real: Any, fake: Any, words: Any) -> None:
    with refused(*words):
        sliced_wasserstein(real, fake)
