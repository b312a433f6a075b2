"""The bound of the second look, by the pictures that it was chosen on and nothing else uses."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.confirming import CALIBRATION_SEED, calibration_pictures, of_copies, of_others
from dcgan_assets.params.file import PROFILES, profile_text
from dcgan_models.dedup.confirming import BOUND, alike, differences
from dcgan_models.pixels import Pixels


@pytest.fixture(scope="module")
def pictures() -> dict[str, list[Pixels]]:
    return calibration_pictures(40)


def test_the_bound_holds_nearly_all_copies_and_is_no_larger(
    pictures: dict[str, list[Pixels]],
) -> None:
    copies = {name: of_copies(found) for name, found in pictures.items()}
    assert all((found <= BOUND).mean() >= 0.98 for found in copies.values())
    most = max(float(np.quantile(found, 0.99)) for found in copies.values())
    assert BOUND - 2.5 < most < BOUND + 1


def test_different_rooms_are_not_alike(pictures: dict[str, list[Pixels]]) -> None:
    assert (of_others(pictures["rooms"]) > BOUND).all()


def test_no_profile_draws_the_pictures_that_the_bound_is_chosen_on() -> None:
    for profile in PROFILES:
        assert str(CALIBRATION_SEED) not in profile_text(profile)


def test_a_difference_is_that_of_grey_levels() -> None:
    """Of flat pictures smoothing changes nothing."""
    flat = np.broadcast_to(np.array([100, 112, 113], np.uint8)[:, None, None, None], (3, 32, 32, 3))
    pairs = np.array([[0, 1], [0, 2], [1, 2]])
    assert differences(flat, pairs).tolist() == pytest.approx([12, 13, 1])
    assert alike(flat, pairs).tolist() == [True, False, True]


def test_blocks_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    pairs = np.random.default_rng(1).integers(9, size=(20, 2))
    whole = differences(pictures, pairs)
    monkeypatch.setattr("dcgan_models.dedup.confirming._BLOCK", 7)
    assert differences(pictures, pairs) == pytest.approx(whole, rel=1e-6)
