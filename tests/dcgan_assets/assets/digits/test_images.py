"""Dealing digits into splits, and the index that says where each of them lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dcgan_assets.assets.digits.images import deal_splits, write_index
from dcgan_assets.sources.reading.manifest import Pictures, Record
from dcgan_models.data import PixelStore
from dcgan_models.errors import UserError


def pictures(*splits: str | None) -> Pictures:
    """Kept pictures of which the source says these splits, and one rejected before them."""
    records = [
        Record(f"{number}", None, "", "", "", None, None, "broken" if number == 0 else None, 0, s)
        for number, s in enumerate((None, *splits))
    ]
    return Pictures.assemble(np.zeros((len(splits), 2, 2, 1), np.uint8), records)


def test_dealing_is_exact_and_hangs_on_the_seed_alone() -> None:
    some = pictures(*[None] * 30)
    dealt = deal_splits(some, {"train": 20, "test": 8}, 42, "here")
    assert {name: int((dealt == name).sum()) for name in set(dealt)} == {
        "train": 20,
        "test": 8,
        "unused": 2,
    }
    np.testing.assert_array_equal(dealt, deal_splits(some, {"train": 20, "test": 8}, 42, "here"))
    assert (dealt != deal_splits(some, {"train": 20, "test": 8}, 43, "here")).any()


def test_a_source_without_splits_gives_its_test_digits_too() -> None:
    dealt = deal_splits(pictures(*[None] * 4), {"train": 2, "test": 2}, 1, "here")
    assert sorted(dealt) == ["test", "test", "train", "train"]


def test_a_sources_own_test_digits_are_the_only_ones() -> None:
    some = pictures("train", "test", "train", "test", "train")
    dealt = deal_splits(some, {"train": 2, "test": 1}, 1, "here")
    assert [dealt[i] in {"train", "unused"} for i in (0, 2, 4)] == [True] * 3
    assert sorted(dealt[[1, 3]]) == ["test", "unused"]
    with pytest.raises(UserError, match=r"here\.test: 3 pictures asked for, 2 left of 5"):
        deal_splits(some, {"train": 2, "test": 3}, 1, "here")


def test_the_index_leads_into_every_file_of_pixels(tmp_path: Path) -> None:
    levels = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    records = [
        Record(f"{n}", None, "", "", "", None, None, "broken" if n == 2 else None, n, None)
        for n in range(6)
    ]
    np.save(tmp_path / "pixels_2.npy", levels[:3])
    np.save(tmp_path / "pixels_2_001.npy", levels[3:])
    splits = np.array(["train", "test", "train", "train", "test"], object)
    write_index(tmp_path, Pictures.assemble(levels, records), splits)
    store = PixelStore.open(tmp_path, "train")
    assert store.gather([0, 1, 2])[:, 0, 0, 0].tolist() == [0, 2, 3]
    assert (list(store.keys), store.labels.tolist()) == (["0", "3", "4"], [0, 3, 4])
