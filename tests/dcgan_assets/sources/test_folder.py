"""`Folder` on real trees, with every kind of name and entry that a file system can hold."""

from __future__ import annotations

import hashlib
import os
import pickle
import socket
import tempfile
import time
from pathlib import Path

import pytest
from fixture_types import Refused
from hypothesis import given
from hypothesis import strategies as st

from dcgan_assets.sources import folder as folder_module
from dcgan_assets.sources.folder import FileBytes, Folder
from dcgan_assets.sources.reading.items import (
    Item,
    Unread,
    UnreadableError,
    forget_listings,
    safe_key,
)
from dcgan_models.files import is_system_file

pytestmark = pytest.mark.usefixtures("fresh_listings")


def put(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def keys(source: Folder, shards: int = 1) -> list[str]:
    return sorted(item.key for shard in range(shards) for item in source.items(shard, shards))


def reasons(source: Folder) -> dict[str, str | None]:
    return {
        item.key: item.location.reason if isinstance(item.location, Unread) else None
        for item in source.items(0, 1)
    }


# Names.


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_safe_keys_are_unique_and_printable(one: bytes, other: bytes) -> None:
    assert (safe_key(one) == safe_key(other)) == (one == other)
    key = safe_key(one)
    key.encode()  # any table takes it
    assert len(key.splitlines()) <= 1
    assert not any(ord(character) < 32 or ord(character) == 127 for character in key)


def test_safe_keys_by_hand() -> None:
    cases = {
        "grün/bild 1.jpg": "grün/bild 1.jpg",
        "a\nb": "a\\x0ab",
        "a\\nb": "a\\\\nb",
        "a\u2028b\u202eb": "a\\u2028b\\u202eb",
        "\x85": "\\u0085",
    }
    assert {name: safe_key(name.encode()) for name in cases} == cases
    assert safe_key(b"gr\xfcn") == "gr\\xfcn"
    assert safe_key(b"\x85") == "\\x85"


def test_names_that_are_no_text_can_be_read(tmp_path: Path) -> None:
    names = [b"gr\xfcn.jpg", "grün.jpg".encode(), b"new\nline.jpg", b"gr\\xfcn.jpg"]
    for number, name in enumerate(names):
        put(tmp_path / os.fsdecode(name), bytes([number]))
    items = pickle.loads(pickle.dumps(Folder(tmp_path).items(0, 1)))  # noqa: S301
    found = {item.key: item.location.read() for item in items}
    assert found == {
        "gr\\xfcn.jpg": b"\0",
        "grün.jpg": b"\1",
        "new\\x0aline.jpg": b"\2",
        "gr\\\\xfcn.jpg": b"\3",
    }


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        (".DS_Store", True),
        ("a/.git/x.png", True),
        ("a/Thumbs.db", True),
        ("_meta.json", True),
        ("__MACOSX/._a.jpg", True),
        ("a/meta.json", False),
        ("thumbs.db.png", False),
        ("../a.png", False),
    ],
)
def test_system_files(name: str, is_one: bool) -> None:
    assert is_system_file(name) == is_one


# Trees.


def test_tree(tmp_path: Path) -> None:
    for name in ("b.jpg", "a/z.png", "a/deep/er/y.gif", "a-1/x.webp", "notes.txt"):
        put(tmp_path / name, name.encode())
    for name in (".hidden/b.jpg", "a/.x.jpg", "_meta.json", "Thumbs.db", ".DS_Store"):
        put(tmp_path / name)
    (tmp_path / "empty").mkdir()
    source = Folder(tmp_path, licence="CC0-1.0", attribution="somebody", stand_in=True)
    items = source.items(0, 1)
    assert [item.key for item in items] == [
        "a-1/x.webp",
        "a/deep/er/y.gif",
        "a/z.png",
        "b.jpg",
        "notes.txt",
    ]
    assert [item.location.read().decode() for item in items] == [item.key for item in items]
    assert items[2] == Item(
        "a/z.png",
        "a/z.png",
        None,
        None,
        "CC0-1.0",
        "somebody",
        FileBytes(os.fsencode(tmp_path / "a/z.png")),
    )
    assert source.classes == ()
    assert source.stand_in


def test_labels_are_first_level_folders(tmp_path: Path) -> None:
    for name in ("dog/1.jpg", "cat/2.jpg", "cat/more/3.jpg", "4.jpg"):
        put(tmp_path / name)
    (tmp_path / "empty").mkdir()
    source = Folder(tmp_path, labels=True)
    assert source.classes == ("cat", "dog")
    assert {item.key: item.label for item in source.items(0, 1)} == {
        "dog/1.jpg": 1,
        "cat/2.jpg": 0,
        "cat/more/3.jpg": 0,
        "4.jpg": None,
    }


def test_what_is_no_file_is_a_rejected_row(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    put(inside / "a.jpg", b"picture")
    put(inside / "sub/b.jpg")
    put(outside / "secret.jpg")
    links = {
        "link.jpg": "a.jpg",
        "sub/up.jpg": "../a.jpg",
        "absolute.jpg": str(inside / "a.jpg"),
        "out.jpg": "../out/secret.jpg",
        "out": str(outside),
        "sub/again": "..",
        "nothing.jpg": "nowhere.jpg",
        "self.jpg": "self.jpg",
        "sibling.jpg": "../in-other/x.jpg",
    }
    put(tmp_path / "in-other/x.jpg")
    for name, target in links.items():
        (inside / name).symlink_to(target)
    os.mkfifo(inside / "pipe.jpg")
    source = Folder(inside)
    left, folder = "a symlink that leaves the folder", "a symlink to a folder"
    assert {k: v and v.partition(";")[0] for k, v in reasons(source).items()} == {
        "a.jpg": None,
        "sub/b.jpg": None,
        "link.jpg": None,
        "sub/up.jpg": None,
        "absolute.jpg": None,
        "out.jpg": left,
        "out": left,
        "sibling.jpg": left,
        "sub/again": folder,
        "nothing.jpg": "a symlink to nothing",
        "self.jpg": "a symlink to nothing",
        "pipe.jpg": "not a file",
    }
    found = {item.key: item.location for item in source.items(0, 1)}
    assert found["sub/up.jpg"].read() == b"picture"
    with pytest.raises(UnreadableError, match="leaves the folder"):
        found["out.jpg"].read()


def test_a_socket_is_no_file() -> None:
    # A short path: sockets have no long names.
    with tempfile.TemporaryDirectory() as name, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{name}/s.jpg")
        assert reasons(Folder(Path(name))) == {"s.jpg": "not a file"}


def test_a_folder_reached_by_a_link_is_its_own_root(tmp_path: Path) -> None:
    put(tmp_path / "real/a.jpg")
    (tmp_path / "real/b.jpg").symlink_to("a.jpg")
    (tmp_path / "link").symlink_to("real")
    assert reasons(Folder(tmp_path / "link")) == {"a.jpg": None, "b.jpg": None}


def test_file_that_goes_or_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "a.jpg", b"12345")
    (item,) = Folder(tmp_path).items(0, 1)
    monkeypatch.setattr(folder_module, "MAX_PICTURE_BYTES", 5)
    assert item.location.read() == b"12345"
    monkeypatch.setattr(folder_module, "MAX_PICTURE_BYTES", 4)
    with pytest.raises(UnreadableError, match="more than 4 bytes"):
        item.location.read()
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(UnreadableError, match=r"cannot be read \(No such file or directory\)"):
        item.location.read()


@pytest.mark.parametrize("content", ["missing", "a file", "empty", "hidden only"])
def test_nothing_to_list(tmp_path: Path, content: str, refused: Refused) -> None:
    root = tmp_path / "pictures"
    if content == "a file":
        put(root)
    elif content != "missing":
        root.mkdir()
    if content == "hidden only":
        put(root / ".a.jpg")
    words = "no files found" if content in ("empty", "hidden only") else "cannot be listed"
    with refused(str(root), words, "a folder of pictures is expected"):
        Folder(root).items(0, 1)


# Shards and versions.


def test_shards_hold_every_file_once_and_about_as_many(tmp_path: Path) -> None:
    for number in range(800):
        put(tmp_path / f"{number}.jpg")
    source = Folder(tmp_path)
    counts = [len(source.items(shard, 8)) for shard in range(8)]
    assert keys(source, 8) == keys(source) == sorted(f"{n}.jpg" for n in range(800))
    assert sum(counts) == 800
    assert 60 < min(counts) <= max(counts) < 140
    # The deal never changes: published shards depend on it.
    digest = hashlib.blake2b(b"0.jpg", digest_size=8).digest()
    shard = int.from_bytes(digest, "big") % 8
    assert "0.jpg" in [item.key for item in source.items(shard, 8)]


def versions(source: Folder, shards: int = 16) -> list[str]:
    forget_listings()
    return [source.version(shard, shards) for shard in range(shards)]


def changed(one: list[str], other: list[str]) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def test_version_changes_with_what_its_shard_reads(tmp_path: Path) -> None:
    paths = [put(tmp_path / f"c/{number}.jpg") for number in range(100)]
    source = Folder(tmp_path)
    before = versions(source)
    assert versions(source) == before
    assert len(set(before)) == 16
    put(tmp_path / "c/new.jpg")
    added = versions(source)
    assert changed(before, added) == 1
    (tmp_path / "c/new.jpg").unlink()
    assert versions(source) == before
    facts = paths[5].stat()
    os.utime(paths[5], ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    touched = versions(source)
    assert changed(before, touched) == 1
    paths[6].write_bytes(b"xx")
    os.utime(paths[6], ns=(facts.st_atime_ns, paths[7].stat().st_mtime_ns))
    assert changed(touched, versions(source)) == 1
    hidden = versions(source)
    put(tmp_path / "_meta.json")
    assert versions(source) == hidden


def test_a_new_class_changes_every_shard_since_labels_move(tmp_path: Path) -> None:
    for number in range(20):
        put(tmp_path / f"b/{number}.jpg")
    plain, labelled = Folder(tmp_path), Folder(tmp_path, labels=True)
    before = versions(plain), versions(labelled)
    put(tmp_path / "a/0.jpg")
    assert changed(before[0], versions(plain)) == 1
    assert changed(before[1], versions(labelled)) == 16


def test_a_folder_is_listed_once_until_told_to_forget(tmp_path: Path) -> None:
    put(tmp_path / "a.jpg")
    source = Folder(tmp_path)
    before = source.version(0, 1)
    put(tmp_path / "b.jpg")
    assert (source.version(0, 1), keys(source)) == (before, ["a.jpg"])
    forget_listings()
    assert source.version(0, 1) != before
    assert keys(source) == ["a.jpg", "b.jpg"]


def test_many_files_in_one_folder(tmp_path: Path) -> None:
    first = put(tmp_path / "0.jpg")
    for number in range(1, 20_000):
        os.link(first, tmp_path / f"{number}.jpg")
    source = Folder(tmp_path)
    start = time.process_time()
    assert sum(len(source.items(shard, 64)) for shard in range(64)) == 20_000
    assert time.process_time() - start < 2
