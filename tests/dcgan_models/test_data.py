"""`PixelStore`: pictures come back in the order asked, and every bad file is one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan_models.data import PixelStore, write_dataset

N = 23


def pictures(n: int = N, channels: int = 3) -> npt.NDArray[np.uint8]:
    """Random pictures, no two alike."""
    pixels = np.random.default_rng(0).integers(0, 256, (n, 4, 5, channels), dtype=np.uint8)
    pixels[:, 0, 0, 0] = np.arange(n)
    return pixels


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


# --- Bad files ------------------------------------------------------------------------------

Damage = Callable[[Path], Any]


def keep(share: float) -> Damage:
    return lambda path: path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def write(content: str | bytes) -> Damage:
    text = content if isinstance(content, bytes) else content.encode()
    return lambda path: path.write_bytes(text)


def shard(content: Any) -> Damage:
    return lambda path: np.save(path, content)


def archive(path: Path) -> None:
    with path.open("wb") as stream:
        np.savez(stream, shard=pictures())


def without(column: str) -> Damage:
    return lambda path: pq.write_table(pq.read_table(path).drop_columns([column]), path)


def column(name: str, values: list[Any]) -> Damage:
    def apply(path: Path) -> None:
        table = pq.read_table(path).drop_columns([name])
        pq.write_table(table.append_column(name, pa.array(values)), path)

    return apply


def last(name: str, value: int) -> Damage:
    """Another value for the last picture alone."""

    def apply(path: Path) -> None:
        values = pq.read_table(path).column(name).to_pylist()
        column(name, [*values[:-1], value])(path)

    return apply


@pytest.mark.parametrize(
    ("file", "damage", "words"),
    [
        ("dataset.json", Path.unlink, "no data set here"),
        ("dataset.json", keep(0.5), "dataset.json: not readable"),
        ("dataset.json", write(b"\xff\xfe\x00"), "dataset.json: not readable"),
        ("dataset.json", write("[]"), "`index`"),
        ("dataset.json", write('{"index": "index.parquet"}'), "`shards`"),
        ("dataset.json", write('{"index": 3, "shards": ["shard_000.npy"]}'), "`index`"),
        ("dataset.json", write('{"index": "index.parquet", "shards": []}'), "`shards`"),
        ("dataset.json", write('{"index": "index.parquet", "shards": "shard_000.npy"}'), "list"),
        ("dataset.json", write('{"index": "index.parquet", "shards": [1]}'), "`shards`"),
        ("shard_000.npy", Path.unlink, "shard_000.npy: not a whole .npy shard"),
        ("shard_000.npy", keep(0.9), "shard_000.npy: not a whole .npy shard"),
        ("shard_000.npy", keep(0.05), "shard_000.npy: not a whole .npy shard"),
        ("shard_000.npy", write(""), "shard_000.npy: not a whole .npy shard"),
        ("shard_000.npy", write("hello"), "shard_000.npy: not a whole .npy shard"),
        ("shard_000.npy", archive, "shard_000.npy: not a whole .npy shard"),
        ("shard_000.npy", shard(np.array([{}])), "shard_000.npy: not a whole .npy shard"),
        ("shard_000.npy", shard(np.zeros((N, 4, 5, 3))), "a shard is uint8"),
        ("shard_000.npy", shard(np.zeros((N, 4, 5), np.uint8)), "(n, height, width, channels)"),
        ("shard_000.npy", shard(np.zeros((9, 4, 5, 3), np.uint8)), "shards do not hold"),
        ("shard_001.npy", shard(np.zeros((N, 5, 4, 3), np.uint8)), "different shapes"),
        ("index.parquet", Path.unlink, "index.parquet: not a readable index"),
        ("index.parquet", keep(0.7), "index.parquet: not a readable index"),
        ("index.parquet", write("key,shard,row"), "index.parquet: not a readable index"),
        ("index.parquet", without("label"), "label"),
        ("index.parquet", column("row", list("abcdefghijklmnopqrstuvw")), "not a readable index"),
        ("index.parquet", column("row", [0.5] * N), "not a readable index"),
        ("index.parquet", last("row", 99), "shards do not hold"),
        ("index.parquet", last("row", -1), "shards do not hold"),
        ("index.parquet", last("shard", 2), "shards do not hold"),
        ("index.parquet", last("shard", -1), "shards do not hold"),
        ("index.parquet", column("shard", [None] * N), "shards do not hold"),
        ("index.parquet", column("split", ["test"] * N), "no pictures in split 'train'"),
        ("index.parquet", column("row", [None] * N), "no pictures in split 'train'"),
    ],
)
def test_a_bad_file_is_one_line(
    tmp_path: Path, write_pictures: Any, refused: Any, file: str, damage: Damage, words: str
) -> None:
    folder = write_pictures(tmp_path, pictures(), shards=2)
    PixelStore.open(folder, "train")
    damage(folder / file)
    with refused(str(folder), words):
        PixelStore.open(folder, "train")
