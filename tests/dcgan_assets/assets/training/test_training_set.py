"""The training set by itself: equal pixels once, and what nothing can be learned from."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from commands import materialize_well
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_group import CATS

from dcgan_assets.assets.training.degenerate import why_alike, why_too_few
from dcgan_assets.assets.training.training_set import (
    HELD_OUT,
    TEST,
    TRAIN,
    deal_held_out,
    use_once,
)
from dcgan_assets.params.file import profile_text
from dcgan_assets.params.training import TrainingSet
from dcgan_models.data import PixelStore
from dcgan_models.files import read_json
from dcgan_models.metrics.planted_copies import COPY_EDITS

# --- Equal pixels ---------------------------------------------------------------------------


def splits_of(letters: str) -> np.ndarray:
    names = {"t": TRAIN, "h": HELD_OUT, "e": TEST}
    return np.array([names[letter] for letter in letters], object)


@pytest.mark.parametrize(
    ("content", "splits", "used"),
    [
        ("abc", "tht", [0, 1, 2]),
        ("aba", "ttt", [0, 1, 0]),
        ("aba", "hth", [0, 1, 0]),
        # A source's own splits, or two people, have the same picture on both sides.
        ("aba", "tth", [2, 1, 2]),
        ("aaaa", "thth", [1, 1, 1, 1]),
        ("aaba", "thte", [3, 3, 2, 3]),
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


def test_test_pictures_are_neither_trained_on_nor_held_out() -> None:
    """By held-out pictures networks are chosen: never by those that the table is made of."""
    content = [f"{number:064x}" for number in range(3000)]
    given = ["train"] * 2000 + ["test"] * 1000
    for share in (0.2, 0.0):
        splits = deal_held_out(content, given, TrainingSet(held_out=share), content)
        assert set(splits[2000:]) == {TEST}
        assert TEST not in splits[:2000]
        assert abs((splits == HELD_OUT).sum() - 2000 * share) < 80
    # What a source itself holds out stands beside them.
    given[:50] = [HELD_OUT] * 50
    splits = deal_held_out(content, given, TrainingSet(held_out=0.2), content)
    assert [(splits == name).sum() for name in (TRAIN, HELD_OUT, TEST)] == [1950, 50, 1000]


# --- Twins ------------------------------------------------------------------------------------


def with_twins(root: Path, count: int, twins: int, share: float) -> Path:
    """The training set of pictures of which the first so many are there twice.

    The second time they are noisy, cropped or mirrored.
    """
    coarse = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    pictures = coarse.repeat(8, axis=1).repeat(8, axis=2)
    rng = np.random.default_rng(1)
    folder = root / "pictures"
    folder.mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number:03d}.png")
        if number < twins:
            edit = list(COPY_EDITS.values())[number % len(COPY_EDITS)]
            Image.fromarray(edit(picture[None], rng)[0]).save(folder / f"{number:03d}_twin.png")
    params = yaml.safe_load(profile_text("sample"))
    params["groups"] = {"cats": {**CATS, "training_set": {"held_out": share}}}
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    materialize_well(root, "cats/training_set")
    return root / "data/cats/training_set"


@pytest.mark.slow
def test_held_out_pictures_with_a_twin_to_train_on_are_in_no_split(tmp_path: Path) -> None:
    made = with_twins(tmp_path, 180, 60, share=0.3)
    rows = {row["key"]: row for row in pq.read_table(made / "index.parquet").to_pylist()}
    apart = set()
    for key in [key for key in rows if "_twin" in key]:
        pair = key, key.replace("_twin", "")
        splits = {rows[one]["split"]: one for one in pair}
        if len(splits) == 2:
            apart.add(splits[HELD_OUT])
            assert rows[splits[HELD_OUT]]["duplicate_of"] == splits[TRAIN]
    assert len(apart) > 10
    left_out = {key for key, row in rows.items() if row["row"] is None}
    assert apart <= left_out
    assert len(left_out) <= len(apart) + 2
    held = PixelStore.open(made, HELD_OUT).keys
    assert not left_out & set(held)
    assert read_json(made / "dataset.json")["splits"][HELD_OUT] == len(held)
    facts = read_json(made / "_meta.json")["metadata"]
    assert json.loads(facts["twins"])["value"] == len(left_out)


@pytest.mark.slow
def test_twins_do_not_eat_what_there_is_to_measure_by(tmp_path: Path) -> None:
    """Of 130 pictures twenty are to be held out, and a third of these have a twin."""
    made = with_twins(tmp_path, 100, 30, share=0.05)
    rows = pq.read_table(made / "index.parquet").to_pylist()
    keys = {split: set(PixelStore.open(made, split).keys) for split in (TRAIN, HELD_OUT)}
    dealt = sum(row["split"] == HELD_OUT for row in rows)
    assert dealt > len(keys[HELD_OUT]) >= 20
    assert dealt <= 65
    twins = {f"{number:03d}.png": f"{number:03d}_twin.png" for number in range(30)}
    for one, other in [*twins.items(), *zip(twins.values(), twins, strict=True)]:
        assert not (one in keys[HELD_OUT] and other in keys[TRAIN])


@settings(max_examples=25)
@given(st.integers(40, 200), st.integers(0, 60), st.booleans())
def test_spare_pictures_are_held_out_as_far_as_half_suffices(n: int, spare: int, own: bool) -> None:
    """Those that were held out without them stay."""
    content = [f"{number:064x}" for number in range(n)]
    given = [HELD_OUT] * 5 + [None] * (n - 5) if own else [None] * n
    section = TrainingSet(held_out=0.05)
    plain = deal_held_out(content, given, section, content) == HELD_OUT
    more = deal_held_out(content, given, section, content, spare) == HELD_OUT
    assert not (plain & ~more).any()
    assert more.sum() == (5 if own else min(20 + spare, n // 2))


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
