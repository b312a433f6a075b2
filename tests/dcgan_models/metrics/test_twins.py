"""Twins of training pictures among held-out ones, planted."""

from __future__ import annotations

import numpy as np
import pytest
from blots import blots

from dcgan_models.data import PixelStore
from dcgan_models.metrics.planted_copies import COPY_EDITS
from dcgan_models.metrics.twins import find_twins


@pytest.mark.parametrize("edit", ["equal", *COPY_EDITS])
@pytest.mark.parametrize(("side", "channels"), [(32, 3), (64, 3), (64, 1)])
def test_twins_are_found_with_what_they_are_twins_of(edit: str, side: int, channels: int) -> None:
    train, held_out = (blots(n, side, seed, channels=channels) for n, seed in ((600, 0), (200, 1)))
    originals = train[100:120]
    if edit != "equal":
        originals = COPY_EDITS[edit](originals, np.random.default_rng(2))
    held_out[50:70] = originals
    found = find_twins(held_out, train)
    assert found[50:70].tolist() == list(range(100, 120))
    honest = np.delete(found, np.arange(50, 70))
    assert (honest >= 0).sum() <= 2


def test_pictures_of_their_own_have_no_twin() -> None:
    """One in a thousand by chance; a picture's mirror image is one picture more to be near to."""
    found = find_twins(blots(2000, 32, 1), blots(1000, 32, 0))
    assert (found >= 0).sum() <= 8


def test_a_twin_of_what_is_there_several_times() -> None:
    once = blots(300, 32, 0)
    held_out = blots(60, 32, 1)
    held_out[0] = COPY_EDITS["noise"](once[7:8], np.random.default_rng(0))[0]
    found = find_twins(held_out, np.concatenate([once] * 2))
    assert found[0] % 300 == 7
    assert (found[1:] < 0).sum() >= 57


def test_a_store_is_read_a_block_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    train, held_out = blots(150, 32, 0), blots(30, 32, 1)
    held_out[3] = train[140]
    store = PixelStore(
        [train[:90], train[90:]],
        np.repeat([0, 1], [90, 60]),
        np.concatenate([np.arange(90), np.arange(60)]),
        np.full(150, -1),
        [""] * 150,
    )
    monkeypatch.setattr("dcgan_models.metrics.twins._BLOCK", 64)
    told: list[int] = []
    found = find_twins(held_out, store, on_block=told.append)
    assert told == [64, 64, 22]
    assert found.tolist() == find_twins(held_out, train).tolist()
    assert found[3] == 140


def test_nothing_held_out_has_no_twins() -> None:
    assert find_twins(blots(2, 32, 0)[:0], blots(5, 32, 0)).shape == (0,)
