"""LMDB databases that are damaged, cut short, or none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fixture_types import Refused
from lmdb_databases import pictures, write

from dcgan_assets.sources import lsun as lsun_module
from dcgan_assets.sources.lsun import LmdbValue, Lsun
from dcgan_assets.sources.reading.items import UnreadableError
from dcgan_models.errors import UserError

pytestmark = pytest.mark.usefixtures("fresh_listings")


def test_value_that_is_gone_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(write(tmp_path / "db", {b"a": b"12345"}) / "data.mdb")
    with pytest.raises(UnreadableError, match="not in the database"):
        LmdbValue(path, b"b").read()
    monkeypatch.setattr(lsun_module, "MAX_PICTURE_BYTES", 4)
    with pytest.raises(UnreadableError, match="more than 4 bytes"):
        LmdbValue(path, b"a").read()


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
