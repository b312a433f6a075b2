"""Walks against closed forms, and generators whose smoothness is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from fixture_types import Refused
from torch import Tensor

from dcgan_models.internals.latent import latent_walk, pixel_walk, smoothness
from dcgan_models.pixels import Pixels

ROUNDING = 1 / math.sqrt(6) / 255  # two levels, each rounded: variances 1/12 + 1/12 of a level


def latents(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def photographs(seed: int, n: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 6, 3), dtype=np.uint8)


def to_frames(values: npt.NDArray[Any], side: int = 4) -> Pixels:
    """A grey picture of one level in [0, 1] for each value."""
    levels = np.rint(np.asarray(values) * 255).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (len(levels), side, side, 1)).copy()


def bends(path: npt.NDArray[Any], tolerance: float) -> list[int]:
    """Frames of a path (n, d) at which it changes direction or speed."""
    second = np.abs(path[2:] - 2 * path[1:-1] + path[:-2]).max(axis=1)
    return (1 + np.flatnonzero(second > tolerance)).tolist()


# --- The walk in z --------------------------------------------------------------------------


def test_walk_by_hand() -> None:
    points = torch.tensor([[0.0, 8.0], [4.0, 0.0], [4.0, -8.0]])
    assert latent_walk(points, 4).tolist() == [
        *([0, 8], [1, 6], [2, 4], [3, 2]),
        *([4, 0], [4, -2], [4, -4], [4, -6]),
    ]


def test_the_figure_has_ten_rows_that_begin_at_the_points() -> None:
    points = latents(0, 11, 100)
    walk = latent_walk(points, 10)
    assert walk.shape == (100, 100)
    assert walk.dtype == torch.float32
    assert torch.equal(walk[::10], points[:-1])
    assert not (walk == points[-1]).all(dim=1).any()


def test_a_linear_generator_bends_at_the_joints_alone() -> None:
    """As measured on the authors' Figure 4: frames 10, 20, ... 90."""
    matrix = latents(1, 100, 30).double()
    path = latent_walk(latents(2, 11, 100).double(), 10) @ matrix
    assert bends(path.numpy(), 1e-12) == list(range(10, 100, 10))


def test_double_latents_stay_double_and_are_linear_to_the_last_bits() -> None:
    points = latents(3, 2, 5).double()
    walk = latent_walk(points, 7)
    expected = np.linspace(points[0].numpy(), points[1].numpy(), 7, endpoint=False)
    np.testing.assert_allclose(walk.numpy(), expected, rtol=0, atol=1e-15)
    assert walk.dtype == torch.float64


# --- The walk between photographs -------------------------------------------------------------


def test_fade_by_hand() -> None:
    """3/4 of 255 is 191.25, a half is 127.5 (rounded up), a quarter 63.75."""
    pictures = np.array([255, 0, 10], np.uint8).reshape(3, 1, 1, 1)
    assert pixel_walk(pictures, 4).ravel().tolist() == [255, 191, 128, 64, 0, 3, 5, 8]


def test_fade_is_the_mean_rounded_to_the_nearest_level() -> None:
    pictures = photographs(4, 4)
    walk = pixel_walk(pictures, 10)
    assert walk.shape == (30, 8, 6, 3)
    assert walk.dtype == np.uint8
    exact = [
        (1 - j / 10) * pictures[r].astype(float) + j / 10 * pictures[r + 1]
        for r in range(3)
        for j in range(10)
    ]
    assert np.abs(walk - np.array(exact)).max() <= 0.5 + 1e-9
    assert np.array_equal(walk[::10], pictures[:-1])
    # The authors' rows are as straight: an error of 0.3 levels, which is rounding.
    error = np.sqrt(np.square(walk - np.array(exact)).mean())
    assert error == pytest.approx(1 / math.sqrt(12), abs=0.02)
    assert bends(walk.reshape(30, -1).astype(float), 2.0) == [10, 20]


# --- Smoothness -------------------------------------------------------------------------------


def test_distances_by_hand() -> None:
    """Black to white in half of the pixels is sqrt(1/2); one level in all is 1/255."""
    frames = np.zeros((3, 2, 2, 1), np.uint8)
    frames[1:, 0] = 255
    frames[2, 1], frames[2, 0] = 1, 254
    result = smoothness(frames, steps=3)
    assert result.distances == pytest.approx([math.sqrt(1 / 2), 1 / 255])
    assert result.largest == pytest.approx(math.sqrt(1 / 2))
    assert result.median == pytest.approx((math.sqrt(1 / 2) + 1 / 255) / 2)
    assert result.ratio == pytest.approx(result.largest / result.median)


def test_an_even_walk_has_ratio_one() -> None:
    result = smoothness(to_frames(np.arange(20) * 12 / 255), steps=5)
    assert result.distances == pytest.approx(np.full(19, 12 / 255))
    assert result.ratio == pytest.approx(1)
    assert not result.sharp


def test_a_linear_generator_steps_as_long_as_its_segments() -> None:
    """All steps of a segment are |z_{r+1} - z_r| / steps, the one over the joint included."""
    points = torch.tensor([[0.0], [100.0], [150.0], [0.0], [250.0]]) / 255
    result = smoothness(to_frames(latent_walk(points, 10).numpy()[:, 0]), steps=10)
    assert result.distances * 255 == pytest.approx(np.repeat([10, 5, 15, 25], 10)[:-1])
    assert result.ratio == pytest.approx(25 / 10)
    assert result.row == 3
    assert not result.sharp


@pytest.mark.parametrize(
    ("threshold", "place"), [(0.35, (0, 3)), (0.95, (0, 9)), (1.75, (1, 7)), (2.05, (2, 0))]
)
def test_a_generator_that_jumps_is_flagged_where_it_jumps(
    threshold: float, place: tuple[int, int]
) -> None:
    """It drifts slowly and changes its picture at one z; 0.95 lies on the step over a joint."""
    z = latent_walk(torch.arange(4.0)[:, None], 10).numpy()[:, 0]
    result = smoothness(to_frames(0.05 * z + 0.6 * (z > threshold)), steps=10)
    assert (result.row, result.column) == place
    assert result.sharp
    assert result.largest == pytest.approx(0.605, abs=1 / 255)


def test_a_generator_that_only_remembers_is_flagged_with_a_finite_ratio() -> None:
    """It draws the nearest of the pictures it knows: still, then another picture at once."""
    walk = latent_walk(torch.arange(3.0)[:, None], 10).numpy()[:, 0]
    result = smoothness(photographs(5, 3)[np.rint(walk + 0.01).astype(int)], steps=10)
    assert result.median == 0
    assert result.ratio == pytest.approx(result.largest / ROUNDING)
    assert np.flatnonzero(result.distances).tolist() == [4, 14]
    assert result.sharp


@pytest.mark.parametrize(("sharpness", "sharp"), [(2, False), (300, True)])
def test_a_generator_that_blends_what_it_knows_is_judged_by_how_it_blends(
    sharpness: float, sharp: bool
) -> None:
    """Weights of a softmax over known pictures: a fade at one end, a jump at the other."""
    z = latent_walk(torch.arange(6.0)[:, None], 10)
    weights = torch.softmax(-sharpness * (z - torch.arange(6)) ** 2, dim=1).numpy()
    known = photographs(6, 6).reshape(6, -1)
    frames = np.rint(weights @ known).astype(np.uint8).reshape(-1, 8, 6, 3)
    assert smoothness(frames, steps=10).sharp == sharp


def test_no_step_leads_from_a_walk_to_one_that_is_apart() -> None:
    """Five even walks over 90 levels, each from where the last one does not end."""
    levels = np.arange(10) * 10 + 35 * np.arange(5)[:, None]
    result = smoothness(to_frames(levels.ravel() / 255), steps=10, joined=False)
    assert result.distances == pytest.approx(np.full(45, 10 / 255))
    assert not result.sharp
    levels[3, 6:] = levels[3, 5] + 95
    result = smoothness(to_frames(levels.ravel() / 255), steps=10, joined=False)
    assert (result.row, result.column) == (3, 5)
    assert result.sharp


def test_more_steps_leave_a_smooth_ratio_and_raise_a_jumps() -> None:
    known = photographs(7, 2)

    def ratio(steps: int, jump: bool) -> float:
        t = np.arange(steps).reshape(-1, 1, 1, 1) / steps
        share = (t > 0.5) * 0.5 + 0.5 * t if jump else t**2
        frames = np.rint(known[0] + share * (known[1].astype(float) - known[0]))
        return smoothness(frames.astype(np.uint8), steps).ratio

    assert ratio(40, jump=False) == pytest.approx(ratio(10, jump=False), rel=0.15)
    assert ratio(40, jump=True) == pytest.approx(4 * ratio(10, jump=True), rel=0.15)


def test_a_walk_that_stands_still_has_no_ratio_and_is_not_sharp() -> None:
    result = smoothness(to_frames(np.full(12, 0.3)), steps=4)
    assert (result.largest, result.ratio, result.sharp) == (0, 0, False)


@pytest.mark.parametrize(("points", "steps"), [(1, 10), (0, 10), (3, 0)])
def test_walks_without_a_segment_are_refused(points: int, steps: int, refused: Refused) -> None:
    words = f"{points} points in {steps} steps"
    with refused(words):
        latent_walk(torch.zeros(points, 5), steps)
    with refused(words):
        pixel_walk(photographs(8, points), steps)
    with refused(words):
        smoothness(photographs(8, points), steps)
