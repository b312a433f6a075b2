"""`Archive` on real zip and tar files: honest ones, hostile ones and broken ones."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import pytest
from archive_files import PLAIN, reasons, tar_info, write_tar, write_zip

from dcgan_assets.sources.archive import Archive
from dcgan_assets.sources.reading.items import Unread, forget_listings

pytestmark = pytest.mark.usefixtures("fresh_listings")


def contents(source: Archive, shards: int = 1) -> dict[str, bytes]:
    items = [item for shard in range(shards) for item in source.items(shard, shards)]
    return {item.key: item.location.read() for item in pickle.loads(pickle.dumps(items))}  # noqa: S301


@pytest.mark.parametrize("kind", ["stored", "deflated", "pax", "gnu", "ustar"])
def test_members_are_read(tmp_path: Path, kind: str) -> None:
    match kind:
        case "stored":
            path = write_zip(tmp_path / "p", PLAIN, zipfile.ZIP_STORED)
        case "deflated":
            path = write_zip(tmp_path / "p", PLAIN)
        case _:
            path = write_tar(tmp_path / "p", PLAIN, getattr(tarfile, f"{kind.upper()}_FORMAT"))
    source = Archive(path, labels=True, licence="CC0-1.0", attribution="somebody")
    assert contents(source) == PLAIN
    assert contents(source, 5) == PLAIN
    items = source.items(0, 1)
    assert [item.key for item in items] == sorted(PLAIN)
    assert [item.uri for item in items] == [f"p#{key}" for key in sorted(PLAIN)]
    assert source.classes == ("a", "dog")
    assert [item.label for item in items] == [0, 0, None, 1]
    assert {(item.licence, item.attribution) for item in items} == {("CC0-1.0", "somebody")}
    assert Archive(path).classes == ()
    assert {item.label for item in Archive(path).items(0, 1)} == {None}


def test_long_names_and_names_that_are_no_text_in_a_tar(tmp_path: Path) -> None:
    long = "folder/" * 30 + "picture.jpg"
    path = tmp_path / "p.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        for number, name in enumerate((long, "gr\xfcn\n.jpg", "./dot.jpg")):
            archive.addfile(tar_info(name, 1), io.BytesIO(bytes([number])))
    assert contents(Archive(path)) == {long: b"\0", "gr\\xfcn\\x0a.jpg": b"\1", "dot.jpg": b"\2"}


def test_zip_behind_other_bytes(tmp_path: Path) -> None:
    # What a self-extracting archive is: the offsets in its directory are relative.
    path = write_zip(tmp_path / "p.zip", PLAIN)
    inner = path.read_bytes()
    path.write_bytes(b"PK# a program" + inner)
    assert contents(Archive(path)) == PLAIN


def test_system_files_and_folders_are_no_inputs(tmp_path: Path) -> None:
    members = {"__MACOSX/._a.jpg": b"x", ".DS_Store": b"x", "a/": b"", "a/b.jpg": b"b"}
    assert contents(Archive(write_zip(tmp_path / "p.zip", members))) == {"a/b.jpg": b"b"}
    path = tmp_path / "p.tar"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tar_info("./", kind=tarfile.DIRTYPE))
        archive.addfile(tar_info("./.hidden", 1), io.BytesIO(b"x"))
        archive.addfile(tar_info("./b.jpg", 1), io.BytesIO(b"b"))
    assert contents(Archive(path)) == {"b.jpg": b"b"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_the_last_member_of_a_name_counts(tmp_path: Path, kind: str) -> None:
    names = ["a.jpg", "b.jpg", "a.jpg", "a.jpg#1", "a.jpg"]
    path = tmp_path / "p"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as zipped:
            for number, name in enumerate(names):
                zipped.writestr(name, bytes([number]))
    else:
        with tarfile.open(path, "w") as archive:
            for number, name in enumerate(names):
                archive.addfile(tar_info(name, 1), io.BytesIO(bytes([number])))
    source = Archive(path)
    again = "its name occurs again later in the archive"
    assert reasons(source) == {
        "a.jpg": None,
        "a.jpg#1": None,
        "a.jpg#2": again,
        "a.jpg#3": again,
        "b.jpg": None,
    }
    kept = [item for item in source.items(0, 1) if not isinstance(item.location, Unread)]
    assert {item.key: item.location.read() for item in kept} == {
        "a.jpg": b"\4",
        "a.jpg#1": b"\3",
        "b.jpg": b"\1",
    }


# Versions.


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_version_changes_with_what_its_shard_reads(tmp_path: Path, kind: str) -> None:
    write = write_zip if kind == "zip" else write_tar
    members = {f"{number}.jpg": b"x" for number in range(100)}

    def versions() -> list[str]:
        forget_listings()
        source = Archive(write(tmp_path / "p", members))
        return [source.version(shard, 16) for shard in range(16)]

    def changed(before: list[str]) -> int:
        return sum(a != b for a, b in zip(before, versions(), strict=True))

    before = versions()
    assert changed(before) == 0
    assert len(set(before)) == 16
    members["new.jpg"] = b"x"
    assert changed(before) == 1
    before = versions()
    members["1.jpg"] = b"xx"
    assert changed(before) == 1
