"""Words over pictures: the picture is untouched, the words are there and fit."""

from __future__ import annotations

import numpy as np
import pytest

from dcgan_models.internals.captions import captioned


@pytest.mark.parametrize("channels", [1, 3])
def test_the_picture_is_untouched_below_its_words(channels: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 200, channels), dtype=np.uint8)
    sheet = captioned(picture, "three words here")
    assert sheet.shape[1:] == (200, channels)
    np.testing.assert_array_equal(sheet[-20:], picture)
    strip = sheet[:-20]
    assert (strip < 100).any(), "there are words"
    assert (strip > 250).mean() > 0.5, "on white"
    assert (strip == strip[..., :1]).all()


def test_long_lines_are_broken_and_long_words_widen() -> None:
    picture = np.zeros((10, 120, 3), np.uint8)
    one, many = captioned(picture, "few words"), captioned(picture, "very many words " * 4)
    assert many.shape[0] > one.shape[0]
    assert many.shape[1] == one.shape[1] == 120
    wide = captioned(picture, "w" * 60)
    assert wide.shape[1] > 120
    np.testing.assert_array_equal(wide[-10:, :120], picture)
    assert (wide[-10:, 120:] == 255).all()


def test_other_words_look_otherwise() -> None:
    picture = np.zeros((10, 120, 3), np.uint8)
    strips = [captioned(picture, words) for words in ("by rule (auto)", "by a person")]
    assert not np.array_equal(*strips)
