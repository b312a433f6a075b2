"""The training set by itself: equal pixels once, and what nothing can be learned from."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcgan_assets.assets.training.degenerate import why_alike, why_too_few
from dcgan_assets.assets.training.training_set import HELD_OUT, TRAIN, deal_held_out, use_once
from dcgan_assets.params.pictures import TrainingSet

# --- Equal pixels ---------------------------------------------------------------------------


def splits_of(letters: str) -> np.ndarray:
    return np.array([{"t": TRAIN, "h": HELD_OUT}[letter] for letter in letters], object)


@pytest.mark.parametrize(
    ("content", "splits", "used"),
    [
        ("abc", "tht", [0, 1, 2]),
        ("aba", "ttt", [0, 1, 0]),
        ("aba", "hth", [0, 1, 0]),
        # A source's own splits, or two people, have the same picture on both sides.
        ("aba", "tth", [2, 1, 2]),
        ("aaaa", "thth", [1, 1, 1, 1]),
        ("", "", []),
    ],
)
def test_of_equals_the_first_is_used_and_the_held_out_one_before_all(
    content: str, splits: str, used: list[int]
) -> None:
    assert use_once(list(content), splits_of(splits)).tolist() == used


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("th"))))
def test_each_content_is_used_once_and_never_trained_on_where_it_is_held_out(
    pictures: list[tuple[str, str]],
) -> None:
    content = [one for one, _ in pictures]
    splits = splits_of("".join(split for _, split in pictures))
    used = use_once(content, splits)
    assert [content[number] for number in used] == content
    assert len(set(used.tolist())) == len(set(content))
    assert (used[used] == used).all()
    there = defaultdict(set)
    for one, split in zip(content, splits, strict=True):
        there[one].add(split)
    for one, number in zip(content, used, strict=True):
        assert (splits[number] == HELD_OUT) == (HELD_OUT in there[one])


def test_copies_do_not_make_a_picture_more_likely_to_be_held_out() -> None:
    content = [f"{number:064x}" for number in range(2000)]
    section = TrainingSet(held_out=0.2)
    once = deal_held_out(content, [None] * 2000, section, content)
    thrice = deal_held_out(content * 3, [None] * 6000, section, content * 3)
    assert thrice.tolist() == once.tolist() * 3


# --- Nothing to be learned --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "held_out", "copies", "batch", "share", "words"),
    [
        (1, 0, 1199, 16, 0.1, "different pictures: 1 (1,199 more are exact copies); at least 16"),
        (2, 1, 0, 2, 0.1, "different pictures: 3; at least 4"),
        (15, 4, 0, 16, 0.1, "of 19 different pictures all but 15 are held out"),
        (0, 500, 0, 16, 1.0, "of 500 different pictures all but 0 are held out"),
        (50, 0, 0, 16, 0.01, "none came to be held out, and a share of 0.01 was asked for"),
        (50, 0, 0, 16, 0.0, None),
        (16, 1, 5, 16, 0.1, None),
        (4, 0, 0, 2, 0.0, None),
    ],
)
def test_too_few_pictures(
    train: int, held_out: int, copies: int, batch: int, share: float, words: str | None
) -> None:
    reason = why_too_few(train, held_out, copies, batch=batch, share=share)
    if words is None:
        assert reason is None
    else:
        assert reason is not None
        assert words in reason
        assert "\n" not in reason


def test_pictures_that_show_nothing() -> None:
    rng = np.random.default_rng(0)
    different = rng.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    flat = np.broadcast_to(different[:, :1, :1], different.shape)
    assert why_alike(different) is None
    # Six blank pages among a book's are its own; a book of blank pages is none.
    assert why_alike(np.concatenate([different[:14], flat[:6]])) is None
    assert "60% of the training pictures show one colour" in str(
        why_alike(np.concatenate([different[:8], flat[:12]]))
    )
    # The night's pictures: all dark, and yet different.
    assert why_alike(different // 16) is None
    webcam = np.repeat(different[:1], 20, axis=0) // 2 + rng.integers(0, 2, different.shape)
    assert "the same picture: they differ by 0.49" in str(why_alike(webcam.astype(np.uint8)))
