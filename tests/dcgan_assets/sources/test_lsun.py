"""`Lsun` on real LMDBs, whole and broken, on folders that cannot be written."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from lmdb_databases import pictures, write

from dcgan_assets.sources.lsun import LSUN_ATTRIBUTION, Lsun

pytestmark = pytest.mark.usefixtures("fresh_listings")


@pytest.mark.parametrize("lock_file", [True, False])
def test_values_are_read_without_writing_anything(tmp_path: Path, lock_file: bool) -> None:
    values = pictures(40)
    folder = write(tmp_path / "bedroom_train_lmdb", values)
    if not lock_file:
        (folder / "lock.mdb").unlink()
    # Root may write all the same, so what is there is compared as well.
    (folder / "data.mdb").chmod(0o444)
    folder.chmod(0o555)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    items = pickle.loads(pickle.dumps(Lsun(folder, split="train").items(0, 1)))  # noqa: S301
    assert {item.key.encode(): item.location.read() for item in items} == values
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    folder.chmod(0o755)
    assert [item.key for item in items] == sorted(key.decode() for key in values)
    first = items[0]
    assert first.uri == f"bedroom_train_lmdb#{first.key}"
    assert (first.label, first.split, first.licence) == (None, "train", "unstated")
    assert first.attribution == LSUN_ATTRIBUTION


@pytest.mark.parametrize(("count", "shards"), [(40, 1), (40, 7), (40, 40), (3, 8), (1000, 64)])
def test_shards_are_equal_ranges_of_keys(tmp_path: Path, count: int, shards: int) -> None:
    values = pictures(count)
    source = Lsun(write(tmp_path / "db", values))
    dealt = [[item.key.encode() for item in source.items(n, shards)] for n in range(shards)]
    assert [key for shard in dealt for key in shard] == sorted(values)
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


def test_keys_that_are_no_text(tmp_path: Path) -> None:
    source = Lsun(write(tmp_path / "db", {b"\xff\n": b"1", b"a": b"2", b"\\": b"3"}))
    found = {item.key: item.location.read() for item in source.items(0, 1)}
    assert found == {"\\\\": b"3", "\\xff\\x0a": b"1", "a": b"2"}
    assert list(found) == sorted(found)


def test_the_data_file_itself_may_be_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "db", pictures(3))
    (folder / "data.mdb").rename(tmp_path / "bedroom.mdb")
    assert len(Lsun(tmp_path / "bedroom.mdb").items(0, 1)) == 3


def test_version_is_size_and_time(tmp_path: Path) -> None:
    folder = write(tmp_path / "db", pictures(3))
    source, data = Lsun(folder), folder / "data.mdb"
    before = [source.version(shard, 4) for shard in range(4)]
    assert len(set(before)) == 4
    assert [source.version(shard, 4) for shard in range(4)] == before
    facts = data.stat()
    os.utime(data, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    assert not {source.version(shard, 4) for shard in range(4)} & set(before)
    os.utime(data, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert source.version(2, 4) == before[2]
