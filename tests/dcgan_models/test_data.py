"""`PixelStore`: pictures come back in the order asked, and every bad file is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pixel_folders import N, pictures

from dcgan_models.data import PixelStore, write_dataset, write_smaller


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory, write_pictures: Any) -> PixelStore:
    folder = tmp_path_factory.mktemp("sharded")
    return PixelStore.open(write_pictures(folder, pictures(), shards=4))


def test_a_store_tells_what_it_holds(sharded: PixelStore) -> None:
    assert len(sharded) == N
    assert sharded.shape == (4, 5, 3)
    assert sharded.labels.dtype == np.int64
    assert sharded.labels.tolist() == [i % 10 for i in range(N)]
    assert list(sharded.keys) == [f"picture_{i}" for i in range(N)]
    assert all(isinstance(shard, np.memmap) for shard in sharded.shards)


@settings(max_examples=50)
@given(rows=st.lists(st.integers(0, N - 1), max_size=60))
def test_gather_gives_the_pictures_in_the_order_asked(sharded: PixelStore, rows: list[int]) -> None:
    gathered = sharded.gather(rows)
    assert gathered.dtype == np.uint8
    assert gathered.shape == (len(rows), 4, 5, 3)
    assert np.array_equal(gathered, pictures()[rows])


def test_gathered_pictures_are_copies(sharded: PixelStore) -> None:
    gathered = sharded.gather([0])
    gathered[:] = 0
    assert np.array_equal(sharded.gather([0]), pictures()[:1])


def test_all_pictures_as_one_tensor(sharded: PixelStore) -> None:
    tensor = sharded.to_device(torch.device("cpu"))
    assert tensor.dtype == torch.uint8
    assert np.array_equal(tensor.numpy(), pictures())
    assert torch.from_numpy(sharded.labels).dtype == torch.int64


def test_an_index_may_order_the_shards_rows_at_will(tmp_path: Path, write_pictures: Any) -> None:
    order = np.random.default_rng(1).permutation(N)
    half = (N + 1) // 2
    folder = write_pictures(
        tmp_path,
        pictures(),
        shards=2,
        shard=[int(i >= half) for i in order],
        row=[int(i % half) for i in order],
    )
    store = PixelStore.open(folder)
    assert np.array_equal(store.gather(range(N)), pictures()[order])


def test_a_split_holds_its_own_pictures(tmp_path: Path, write_pictures: Any) -> None:
    splits = ["train", "test", "validation"] * 8
    folder = write_pictures(tmp_path, pictures(24), shards=3, split=splits)
    for number, split in enumerate(("train", "test", "validation")):
        store = PixelStore.open(folder, split)
        assert np.array_equal(store.gather(range(len(store))), pictures(24)[number::3])
        assert store.labels.tolist() == [i % 10 for i in range(number, 24, 3)]
    assert len(PixelStore.open(folder)) == 24


def test_rejected_rows_are_skipped(tmp_path: Path, write_pictures: Any) -> None:
    """A manifest has a row for every input; a rejected one lies in no shard."""
    places = [None if i % 4 == 1 else i for i in range(N)]
    shards = [None if i is None else 0 for i in places]
    folder = write_pictures(tmp_path, pictures(), row=places, shard=shards)
    store = PixelStore.open(folder, "train")
    kept = [i for i in places if i is not None]
    assert np.array_equal(store.gather(range(len(store))), pictures()[kept])
    assert list(store.keys) == [f"picture_{i}" for i in kept]


@pytest.mark.parametrize("labels", [[None] * N, [None, *range(1, N)]])
def test_a_picture_without_a_label_has_minus_one(
    tmp_path: Path, write_pictures: Any, labels: list[int | None]
) -> None:
    store = PixelStore.open(write_pictures(tmp_path, pictures(), label=labels))
    assert store.labels.dtype == np.int64
    assert store.labels.tolist() == [-1 if label is None else label for label in labels]


def test_shards_and_index_may_lie_elsewhere(tmp_path: Path, write_pictures: Any) -> None:
    """A training set copies no pixels."""
    write_pictures(tmp_path / "images", pictures())
    (tmp_path / "training_set").mkdir()
    write_dataset(
        tmp_path / "training_set",
        index="../images/index.parquet",
        shards=["../images/shard_000.npy"],
        recipe="all of them",
    )
    store = PixelStore.open(tmp_path / "training_set")
    assert np.array_equal(store.gather(range(N)), pictures())
    described = json.loads((tmp_path / "training_set" / "dataset.json").read_text())
    assert described["recipe"] == "all of them"


# --- Smaller copies ---------------------------------------------------------------------------


def test_smaller_pictures_are_means_of_squares(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)
    labels, rows = np.array([4, 3, 2, 1, 0]), np.array([4, 0, 3, 1, 2])
    store = PixelStore([pixels], np.zeros(5, np.int64), rows, labels, list("abcde"))
    write_smaller(store, 4, tmp_path, "train")
    smaller = PixelStore.open(tmp_path, "train")
    expected = pixels[rows].reshape(5, 4, 2, 4, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(smaller.gather(np.arange(5)), expected, atol=0.5)
    assert (list(smaller.keys), smaller.labels.tolist()) == (list("abcde"), labels.tolist())


def test_pictures_of_the_same_side_are_written_as_they_are(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 1)).astype(np.uint8)
    store = PixelStore(
        [pixels], np.zeros(3, np.int64), np.arange(3), np.zeros(3, np.int64), list("abc")
    )
    write_smaller(store, 4, tmp_path)
    assert (PixelStore.open(tmp_path).gather(np.arange(3)) == pixels).all()
