"""Copies that are planted: what the edits do, and what is counted of them."""

from __future__ import annotations

import numpy as np
import pytest
from blots import blots

from dcgan_models.metrics.extractor import random_extractor
from dcgan_models.metrics.memorisation import CopyBounds
from dcgan_models.metrics.planted_copies import (
    COPY_EDITS,
    copy_power,
    crop,
    flip,
    noise,
    plant,
    views,
)


@pytest.mark.parametrize("side", [28, 32, 64, 128])
def test_edits_change_a_picture_a_little_and_keep_its_kind(side: int) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (5, side, side, 1), dtype=np.uint8)
    before = pictures.copy()
    for edit in COPY_EDITS.values():
        edited = edit(pictures, np.random.default_rng(1))
        assert edited.dtype == np.uint8
        assert edited.shape == pictures.shape
        assert (edited != pictures).any(axis=(1, 2, 3)).all()
        assert np.array_equal(pictures, before)


def test_what_the_edits_are() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    off = noise(pictures, rng).astype(int) - pictures
    assert off.min() == -8
    assert off.max() == 8
    assert np.array_equal(flip(pictures, rng)[:, :, 0], pictures[:, :, -1])
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None, None], (1, 64, 64, 3))
    cut = crop(np.ascontiguousarray(ramp), rng)[0, :, 0, 0].astype(float)
    # 62 rows, from 1 to 62, stretched to 64: by half a pixel at the edges, by none in the middle.
    assert cut == pytest.approx(np.clip((np.arange(64) + 0.5) * 62 / 64 + 0.5, 1, 62), abs=0.51)


def test_every_tenth_is_a_copy_and_the_others_are_left() -> None:
    fake, train = blots(60, 32, 1), blots(40, 32, 0)
    planted = plant(fake, train, seed=3)
    changed = np.flatnonzero((planted != fake).any(axis=(1, 2, 3)))
    assert changed.tolist() == [0, 10, 20, 30, 40, 50]
    mirrored = planted[[20, 50]][:, :, ::-1]
    assert all((picture == train).all(axis=(1, 2, 3)).any() for picture in mirrored)
    near = [np.abs(planted[row].astype(int) - train).max(axis=(1, 2, 3)).min() for row in (0, 30)]
    assert max(near) <= 8


def test_what_is_found_of_planted_copies() -> None:
    train, held_out, fake = (blots(n, 32, seed) for seed, n in enumerate((400, 200, 200)))
    extractor = random_extractor()
    bounds = CopyBounds.of(extractor.features(train), *views(extractor, held_out))
    assert bounds.judge(*views(extractor, fake)).share <= 0.02
    power = copy_power(bounds, extractor, train, fake, seed=0)
    assert set(power.found) == set(COPY_EDITS)
    assert power.found["flip"] == 1
    assert power.found["noise"] > 0.9
    assert power.missed == pytest.approx(1 - np.mean(list(power.found.values())))
    assert power.tenth.share == pytest.approx(0.1, abs=0.03)
    assert power.tenth.low > 0.03


def test_a_space_that_sees_nothing_finds_no_copies() -> None:
    """The extractor's features of every picture are noise: what is planted is missed, and said."""

    class Blind:
        name, kind, resizer, fingerprint = "blind", "random", "none", ""

        def features(self, pictures: object) -> object:
            drawn = np.random.default_rng(abs(hash(np.asarray(pictures).tobytes())) % 2**32)
            return drawn.normal(size=(len(np.asarray(pictures)), 16)).astype(np.float32)

    train, held_out, fake = (blots(n, 32, seed) for seed, n in enumerate((300, 100, 100)))
    blind: object = Blind()
    bounds = CopyBounds.of(*(blind.features(x) for x in (train, held_out)))  # type: ignore[attr-defined]
    power = copy_power(bounds, blind, train, fake, seed=0)  # type: ignore[arg-type]
    assert power.missed > 0.9
    assert power.tenth.low < 0.03
