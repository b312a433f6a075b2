"""Parquet and Arrow files cut short and with bits turned over: refused, or read as they were.

The files here carry checksums of their pages, as Parquet allows: without any, a number that
changed is another number, which a reader cannot tell. What is published has SHA-256 in its record.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixture_types import Refused
from made_up_features import columns, made_up, write
from pixel_folders import pictures

from dcgan_assets.sources.web.search.names import listed_people
from dcgan_models.classification.feature_table import COLUMNS_FILE, FEATURES_FILE, FeatureTable
from dcgan_models.data import PixelStore, write_dataset
from dcgan_models.errors import UserError


def whole(path: Path, table: pa.Table) -> None:
    pq.write_table(table, path, write_page_checksum=True)


@dataclass(frozen=True)
class Kind:
    """A file that is read: how a folder with it is made, and what is read from it."""

    file: str
    make: Callable[[Path], Any]
    read: Callable[[Path], Any]


def features_folder(folder: Path) -> None:
    write(folder, made_up(5, 16))
    whole(folder / COLUMNS_FILE, columns(16))


def read_features(folder: Path) -> Any:
    table = FeatureTable.open(folder)
    return table.columns.to_pylist(), len(table), table.labels.tolist(), table.splits.tolist()


def pixels_folder(folder: Path) -> None:
    stored = pictures()
    np.save(folder / "shard.npy", stored)
    n = len(stored)
    index = {
        "key": [f"picture_{i}" for i in range(n)],
        "shard": [0] * n,
        "row": list(range(n)),
        "label": [i % 3 for i in range(n)],
        "split": ["train"] * n,
    }
    whole(folder / "index.parquet", pa.table(index))
    write_dataset(folder, index="index.parquet", shards=["shard.npy"])


def read_pixels(folder: Path) -> Any:
    store = PixelStore.open(folder, split="train")
    return store.row.tolist(), store.shard.tolist(), store.labels.tolist(), list(store.keys)


def names_folder(folder: Path) -> None:
    names = [f"Somebody {n}" for n in range(40)]
    addresses = [f"http://example.org/{n}" for n in range(40)]
    whole(folder / "names.parquet", pa.table({"name": names, "uri": addresses}))


def read_names(folder: Path) -> Any:
    return list(listed_people(folder / "names.parquet"))


KINDS = {
    "features": Kind(COLUMNS_FILE, features_folder, read_features),
    "pixels": Kind("index.parquet", pixels_folder, read_pixels),
    "names": Kind("names.parquet", names_folder, read_names),
}
_CUTS, _FLIPS = 37, 111


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Kind, Path, bytes, Any]:
    """A kind, its folder, the file's bytes, and what is read from it."""
    kind: Kind = request.param
    folder = tmp_path_factory.mktemp("folder")
    kind.make(folder)
    return kind, folder, (folder / kind.file).read_bytes(), kind.read(folder)


@pytest.mark.parametrize("number", range(_CUTS))
def test_a_file_cut_short_is_refused(
    made: tuple[Kind, Path, bytes, Any], refused: Refused, number: int
) -> None:
    kind, folder, content, _ = made
    (folder / kind.file).write_bytes(content[: len(content) * number // _CUTS])
    with refused(kind.file):
        kind.read(folder)


def read_or_refused(kind: Kind, folder: Path) -> tuple[Any, str]:
    try:
        return kind.read(folder), ""
    except UserError as error:
        return None, str(error)


@pytest.mark.parametrize("number", range(_FLIPS))
def test_a_bit_turned_over_is_noticed_or_does_no_harm(
    made: tuple[Kind, Path, bytes, Any], number: int
) -> None:
    """At places all over the file, the last of them in its footer's length and mark."""
    kind, folder, content, right = made
    damaged = bytearray(content)
    damaged[(len(content) - 1) * number // (_FLIPS - 1)] ^= 1 << number % 8
    (folder / kind.file).write_bytes(damaged)
    found, line = read_or_refused(kind, folder)
    assert (found == right and not line) or (kind.file in line and line.isprintable())


# --- What is no such file, and what lies --------------------------------------------------------


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def sparse(path: Path) -> None:
    """100 GB that take no place on the disk, between Parquet's marks."""
    with path.open("wb") as stream:
        stream.write(b"PAR1")
        stream.seek(100 * 2**30)
        stream.write(b"\xff\xff\xff\x7fPAR1")


@cache
def equal_rows() -> bytes:
    """More rows than any of ours, in some kilobytes."""
    stream = io.BytesIO()
    falses = pa.table({"name": np.zeros(2**23, np.bool_)})
    with pq.ParquetWriter(stream, falses.schema) as writer:
        for _ in range(9):
            writer.write_table(falses)
    return stream.getvalue()


PLACES = {
    "a pipe": pipe,
    "a folder": Path.mkdir,
    "an endless device": endless,
    "a link to itself": loop,
    "100 GB": sparse,
    "empty": Path.touch,
    "another table": lambda path: pq.write_table(pa.table({"x": [1]}), path),
    "a table without columns": lambda path: pq.write_table(pa.table({}), path),
    "75 million rows": lambda path: path.write_bytes(equal_rows()),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize(
    "kind",
    [*KINDS.values(), Kind(FEATURES_FILE, features_folder, read_features)],
    ids=[*KINDS, "features themselves"],
)
def test_what_is_no_such_table_is_refused(
    tmp_path: Path, refused: Refused, kind: Kind, place: Callable[[Path], Any]
) -> None:
    kind.make(tmp_path)
    (tmp_path / kind.file).unlink()
    place(tmp_path / kind.file)
    with refused(kind.file):
        kind.read(tmp_path)


@pytest.mark.parametrize("number", range(60))
def test_bits_turned_over_in_features_never_crash(
    tmp_path_factory: pytest.TempPathFactory, number: int
) -> None:
    """Arrow's IPC files have no checksums: what a bit hits in the numbers is another number."""
    folder = tmp_path_factory.mktemp("features")
    features_folder(folder)
    content = bytearray((folder / FEATURES_FILE).read_bytes())
    content[(len(content) - 1) * number // 59] ^= 1 << number % 8
    (folder / FEATURES_FILE).write_bytes(content)
    found, line = read_or_refused(KINDS["features"], folder)
    if line:
        assert FEATURES_FILE in line
        assert line.isprintable()
    else:
        assert found[1] == 5
        FeatureTable.open(folder).gather(np.arange(5))
