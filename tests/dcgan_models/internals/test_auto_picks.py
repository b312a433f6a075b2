"""Picks by rule: pictures whose brightness, side, colour and texture were put there."""

from __future__ import annotations

import numpy as np
import pytest
from fixture_types import Refused

from dcgan_models.internals.auto_picks import (
    WORDS,
    agreement,
    auto_boxes,
    auto_concepts,
)
from dcgan_models.internals.boxes import Box
from dcgan_models.pixels import Pixels

SIDE = 32


def plain(n: int = 9) -> Pixels:
    """Grey pictures with a little noise."""
    rng = np.random.default_rng(0)
    return rng.integers(118, 139, (n, SIDE, SIDE, 3), dtype=np.uint8)


def planted(word: str, picture: Pixels, by: int) -> None:
    """Give a picture more of what a word asks for."""
    levels = picture.astype(int)
    match word:
        case "bright" | "dark":
            levels += by if word == "bright" else -by
        case "right" | "left":
            half = levels[:, SIDE // 2 :] if word == "right" else levels[:, : SIDE // 2]
            half += by
        case "warm" | "cool":
            levels[..., 0 if word == "warm" else 2] += by
            levels[..., 2 if word == "warm" else 0] -= by
        case "textured":
            levels[::2] += by
        case "smooth":
            levels[:] = np.linspace(118, 138, SIDE)[:, None, None]
    picture[:] = levels.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("word", WORDS)
def test_each_word_finds_what_was_planted_strongest_first(word: str) -> None:
    pictures = plain()
    for number, by in ((4, 90), (1, 60), (7, 30)):
        planted(word, pictures[number], by)
    picks = auto_concepts(pictures, [word])[word]
    assert sorted(picks) == [1, 4, 7]
    if word != "smooth":  # smooth is smooth
        assert picks == [4, 1, 7]
    assert agreement(pictures[4 : 4 + 1], word, np.delete(pictures, 4, axis=0)) >= 6 / 8


def test_words_together_ask_for_all_of_them() -> None:
    pictures = plain(6)
    given = {0: ["warm"], 2: ["dark"], 3: ["warm", "dark"], 5: ["cool", "dark"]}
    for number, words in given.items():
        for word in words:
            planted(word, pictures[number], 40)
    picks = auto_concepts(pictures, ["warm_dark", "cool_dark"], 1)
    assert picks == {"warm_dark": [3], "cool_dark": [5]}
    samples = np.delete(pictures, 3, axis=0)
    # Four of the five others are less warm for certain, and three are less dark.
    assert agreement(pictures[3 : 3 + 1], "warm_dark", samples) >= (4 / 5 + 3 / 5) / 2
    assert agreement(pictures[3 : 3 + 1], "cool_bright", samples) <= (1 / 5 + 2 / 5) / 2


def test_pictures_with_nothing_in_them_are_no_exemplars() -> None:
    pictures = plain()
    pictures[3] = 0
    planted("dark", pictures[5], 40)
    assert auto_concepts(pictures, ["dark"], 1) == {"dark": [5]}


def test_of_equals_the_lower_number_is_picked() -> None:
    pictures = np.full((5, 4, 4, 1), 128, np.uint8)
    assert auto_concepts(pictures, ["warm", "dark"], 2) == {"warm": [0, 1], "dark": [0, 1]}


def test_the_box_is_the_bright_spot_s() -> None:
    pictures = np.full((4, SIDE, SIDE, 3), 128, np.uint8)
    pictures[0, 5:13, 20:30] = 250
    pictures[2, 10:16, 4:10] = 240
    pictures[2, 20:28, 20:28] = 255  # larger and brighter: this one
    assert auto_boxes(pictures) == [Box(0, 20, 5, 10, 8), Box(2, 20, 20, 8, 8)]
    assert auto_boxes(pictures, most=1) == [Box(0, 20, 5, 10, 8)]


def test_dots_among_which_one_is_brightest_are_no_spot() -> None:
    """The grids that small generators draw: what is smooth and bright is the spot."""
    pictures = np.full((1, SIDE, SIDE, 3), 20, np.uint8)
    pictures[0, 2::6, 2::6] = 255
    pictures[0, 8:18, 12:24] = 200
    pictures[0, 10:14, 2:4] = 255
    (box,) = auto_boxes(pictures)
    assert (box.x, box.y, box.width, box.height) == (12, 8, 12, 10)


def test_specks_skies_and_thin_lines_are_no_spots() -> None:
    pictures = np.full((3, SIDE, SIDE, 3), 60, np.uint8)
    pictures[0, 4:6, 4:6] = 255
    pictures[1, :12] = 255
    np.fill_diagonal(pictures[2, :16, :16, 0], 255)
    pictures[2, :16, :16] = np.maximum(pictures[2, :16, :16], pictures[2, :16, :16, :1])
    assert auto_boxes(pictures) == []


def test_bad_input_is_refused(refused: Refused) -> None:
    with refused("concept 'warm_smiling'", "'smiling'", "bright, dark, right, left"):
        auto_concepts(plain(), ["warm_smiling"])
    with refused("concept 'left_bright_right': it asks for something and for its opposite"):
        auto_concepts(plain(), ["left_bright_right"])
    with refused("10 exemplars", "1 to 9 samples"):
        auto_concepts(plain(), ["warm"], 10)
