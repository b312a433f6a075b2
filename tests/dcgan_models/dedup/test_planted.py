"""Planted duplicates: what each edit does to a picture, and how finds are counted."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from dcgan_models.dedup.codes import Codes
from dcgan_models.dedup.planted import EDITS, false_pairs, recall, thumbnail


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A 256-pixel crop with a fair share of detail, uint8 (256, 256, 3)."""
    return np.ascontiguousarray(load_sample_image("china.jpg")[100:356, 200:456])


def rms(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sqrt(np.square(one.astype(float) - other).mean()))


def test_every_edit_changes_a_picture_a_little_and_keeps_its_kind(photo: np.ndarray) -> None:
    before = photo.copy()
    for name, edit in EDITS.items():
        edited = edit(photo)
        assert edited.dtype == np.uint8
        assert edited.ndim == 3
        assert np.array_equal(photo, before)
        assert np.array_equal(edit(photo), edited)
        small, original = thumbnail(edited), thumbnail(photo)
        assert small.shape == (32, 32, 3)
        assert 0 < rms(small, original) < 25, name


def test_jpeg_is_that_of_another_library(photo: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG", quality=75)
    theirs = np.asarray(Image.open(buffer))
    ours = EDITS["jpeg 75"](photo)
    assert rms(ours, theirs) < 0.5
    assert rms(ours, photo) > 2
    halved = EDITS["half size, jpeg 75"](photo)
    assert halved.shape == (128, 128, 3)
    assert rms(halved, photo.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3))) < 10


def test_shift_moves_right_and_down_and_reflects(photo: np.ndarray) -> None:
    shifted = EDITS["shift 1.5%"](photo)
    assert np.array_equal(shifted[4:, 4:], photo[:-4, :-4])
    assert np.array_equal(shifted[3, 4:], photo[1, :-4])
    assert np.array_equal(shifted[4:, 0], photo[:-4, 4])


def test_crop_enlarges_the_inner_part(photo: np.ndarray) -> None:
    cropped = EDITS["crop 2%"](photo)
    assert cropped.shape == photo.shape
    theirs = Image.fromarray(photo[3:253, 3:253]).resize((256, 256), Image.Resampling.BILINEAR)
    assert rms(cropped, np.asarray(theirs)) < 1


def test_brightness_is_cut_off() -> None:
    levels = np.array([[[0, 10, 100], [200, 243, 255]]], np.uint8)
    assert EDITS["brightness +5%"](levels).tolist() == [[[0, 10, 105], [210, 255, 255]]]


def test_a_thumbnail_averages_the_centre_square() -> None:
    wide = np.zeros((64, 100, 3), np.uint8)
    wide[:, :18] = wide[:, 82:] = 255
    wide[0, 18] = 200  # one of four pixels below the first
    small = thumbnail(wide)
    assert small.shape == (32, 32, 3)
    assert small[0, 0].tolist() == [50, 50, 50]
    assert small.sum() == 150
    assert np.array_equal(thumbnail(wide.transpose(1, 0, 2)), small.transpose(1, 0, 2))


def near_codes(seed: int) -> tuple[Codes, np.ndarray]:
    """600 codes near a few centres, and bits, so that all distances occur."""
    random = np.random.default_rng(seed)
    bits = (random.random((12, 64)) < 0.5)[random.integers(12, size=600)]
    bits ^= random.random(bits.shape) < 0.05
    return np.packbits(bits, axis=1), bits


@pytest.mark.parametrize("radius", [0, 3, 7])
def test_recall_counts_each_pair_of_rows(radius: int) -> None:
    codes, bits = near_codes(0)
    other_codes, _ = near_codes(1)
    mixed = np.where(np.arange(600)[:, None] % 3 == 0, codes, other_codes)
    expected = sum(
        (a != b).sum() <= radius
        for a, b in zip(bits, np.unpackbits(mixed, axis=1).astype(bool), strict=True)
    )
    assert recall(codes, mixed, radius) == (expected, 600)
    assert expected >= 200


@pytest.mark.parametrize("radius", [0, 3, 7])
def test_false_pairs_are_those_of_comparing_all(radius: int) -> None:
    codes, bits = near_codes(2)
    origin = np.random.default_rng(2).integers(0, 40, 600)
    near = (bits[:, None] != bits[None]).sum(axis=2) <= radius
    foreign = np.triu(origin[:, None] != origin[None], 1)
    assert false_pairs(codes, origin, radius) == ((near & foreign).sum(), foreign.sum())


def test_copies_and_origins_of_another_number_are_refused(refused) -> None:
    codes, _ = near_codes(3)
    with refused("(600, 8) and (599, 8)"):
        recall(codes, codes[1:], 0)
    with refused("(3,) origins for 600 codes"):
        false_pairs(codes, np.arange(3), 0)
