"""Data sets whose index or shards are damaged, foreign, or point out of their folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pixel_folders import Damage, N, pictures, shard

from dcgan_models.data import PixelStore


def keep(share: float) -> Damage:
    return lambda path: path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def write(content: str | bytes) -> Damage:
    text = content if isinstance(content, bytes) else content.encode()
    return lambda path: path.write_bytes(text)


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
