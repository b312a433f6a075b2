"""`Lsun` on real LMDBs, whole and broken, on folders that cannot be written."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest
from fixture_types import Refused

from dcgan_assets.sources import lsun as lsun_module
from dcgan_assets.sources.lsun import LSUN_ATTRIBUTION, LmdbValue, Lsun
from dcgan_assets.sources.reading.items import UnreadableError, forget_listings
from dcgan_models.errors import UserError


@pytest.fixture(autouse=True)
def _fresh_listings() -> Iterator[None]:
    forget_listings()
    yield
    forget_listings()


def write(folder: Path, values: dict[bytes, bytes]) -> Path:
    environment = lmdb.open(str(folder), map_size=1 << 26)
    with environment.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key, value)
    environment.close()
    return folder


def pictures(count: int) -> dict[bytes, bytes]:
    return {f"{number * 7919 % 99991:040x}".encode(): bytes([number % 256]) * 5000
            for number in range(count)}  # fmt: skip


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


def test_value_that_is_gone_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(write(tmp_path / "db", {b"a": b"12345"}) / "data.mdb")
    with pytest.raises(UnreadableError, match="not in the database"):
        LmdbValue(path, b"b").read()
    monkeypatch.setattr(lsun_module, "MAX_PICTURE_BYTES", 4)
    with pytest.raises(UnreadableError, match="more than 4 bytes"):
        LmdbValue(path, b"a").read()


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


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
def test_truncated_database(tmp_path: Path, share: float, refused: Refused) -> None:
    data = write(tmp_path / "db", pictures(100)) / "data.mdb"
    os.truncate(data, int(data.stat().st_size * share))
    with refused(str(data), "truncated LMDB", "bytes found", "expected"):
        Lsun(tmp_path / "db").items(0, 1)
    # A worker process says the same instead of dying with a bus error.
    with refused(str(data), "truncated LMDB"):
        LmdbValue(str(data), b"a").read()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("missing", "no LMDB here"),
        ("no data file", "no LMDB here"),
        ("zero bytes", "an empty file"),
        ("no keys", "without pictures"),
        ("junk", "not a readable LMDB"),
        ("some bytes", "not a readable LMDB"),
    ],
)
def test_no_database(tmp_path: Path, content: str, words: str, refused: Refused) -> None:
    folder = tmp_path / "db"
    if content == "no keys":
        write(folder, {})
    elif content != "missing":
        folder.mkdir()
    contents = {"zero bytes": b"", "junk": b"junk" * 9999, "some bytes": b"x" * 100}
    if content in contents:
        (folder / "data.mdb").write_bytes(contents[content])
    with refused(str(folder), words):
        Lsun(folder).items(0, 1)


def test_damaged_pages_are_one_line(tmp_path: Path) -> None:
    data = write(tmp_path / "db", pictures(100)) / "data.mdb"
    content = bytearray(data.read_bytes())
    # Both meta pages stay; the root page and all others are gone.
    content[2 * 4096 :] = bytes(len(content) - 2 * 4096)
    data.write_bytes(content)
    with pytest.raises(UserError) as caught:
        Lsun(tmp_path / "db").items(0, 1)
    assert "not a readable LMDB" in str(caught.value)
    assert "\n" not in str(caught.value)
