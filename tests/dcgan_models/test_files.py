"""Atomic writes and swaps, watched by readers while they happen."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dcgan_models import files
from dcgan_models.files import (
    flush_tree,
    open_atomic,
    read_json,
    sha256_file,
    swap_folder,
    tree_files,
    write_json,
)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture(params=["exchange", "step aside"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of swapping: with renameat2, and as on a system that has none."""
    if request.param == "step aside":
        monkeypatch.setattr(files, "_exchange_call", lambda: None)
    elif sys.platform == "linux":
        assert files._exchange_call() is not None
    return str(request.param)


def test_sha256_of_a_file(tmp_path: Path) -> None:
    content = os.urandom(300_000)
    (tmp_path / "file").write_bytes(content)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_a_file_changes_when_the_block_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with open_atomic(path) as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_a_block_that_raises_leaves_the_old_content(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(error), open_atomic(path) as stream:  # noqa: PT012
        stream.write(b"half of the n")
        raise error
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_block_that_raises_leaves_no_new_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), open_atomic(tmp_path / "file") as stream:  # noqa: PT012
        stream.write(b"half")
        raise ValueError("stop")
    assert names(tmp_path) == []


def test_a_published_hard_link_is_replaced_and_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"old")
    (tmp_path / "cache").chmod(0o444)
    (tmp_path / "file").hardlink_to(tmp_path / "cache")
    with open_atomic(tmp_path / "file") as stream:
        stream.write(b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert (tmp_path / "cache").read_bytes() == b"old"


def test_json_comes_back(tmp_path: Path) -> None:
    content = {"b": [1, 2.5, None], "a": "Übung"}
    write_json(tmp_path / "file.json", content)
    assert read_json(tmp_path / "file.json") == content
    assert "Übung" in (tmp_path / "file.json").read_text(encoding="utf-8")
    with pytest.raises(TypeError):
        write_json(tmp_path / "file.json", {"a": object()})
    assert read_json(tmp_path / "file.json") == content


# --- Folders --------------------------------------------------------------------------------


def make(folder: Path, content: str) -> Path:
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "one").write_text(content)
    (folder / "deep" / "er" / "two").write_text(content)
    return folder


def every_file(folder: Path) -> list[str]:
    """A record that lists all that is in a folder."""
    return list(tree_files(folder))


def content(folder: Path) -> set[str]:
    return {path.read_text() for path in (folder / "one", folder / "deep" / "er" / "two")}


def test_a_folder_takes_the_place_of_another(tmp_path: Path, way: str) -> None:
    old, fresh = make(tmp_path / "published", "old"), make(tmp_path / ".fresh", "new")
    (old / "gone").write_text("only in the old one")
    flush_tree(fresh)
    swap_folder(fresh, old, every_file)
    assert content(tmp_path / "published") == {"new"}
    assert names(tmp_path / "published") == ["deep", "one"]
    assert names(tmp_path) == ["published"]


def test_nothing_is_deleted_before_the_new_folder_is_in_place(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    published, discarded = make(tmp_path / "published", "old"), []

    def watch(folder: Path, *_: object) -> None:
        assert content(published) == {"new"}
        assert content(folder) == {"old"}
        discarded.append(folder)

    monkeypatch.setattr(files, "retire", watch)
    swap_folder(make(tmp_path / ".fresh", "new"), published, every_file)
    assert len(discarded) == 1


def test_a_folder_takes_an_empty_place(tmp_path: Path, way: str) -> None:
    swap_folder(make(tmp_path / ".fresh", "new"), tmp_path / "published", every_file)
    assert content(tmp_path / "published") == {"new"}
    assert names(tmp_path) == ["published"]


@pytest.fixture
def as_a_user() -> Iterator[Path]:
    """A folder to work in, as a user whom file modes bind: root may write everywhere."""
    with tempfile.TemporaryDirectory() as folder:
        if os.geteuid() != 0:
            yield Path(folder)
            return
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            os.seteuid(0)


def test_a_folder_with_read_only_files_and_folders_is_replaced(as_a_user: Path, way: str) -> None:
    published = as_a_user / "published"
    for number in ("0", "1"):
        fresh = make(as_a_user / ".fresh", number)
        for path in (fresh / "one", fresh / "deep" / "er" / "two"):
            path.chmod(0o444)
        for folder in (fresh / "deep" / "er", fresh / "deep"):
            folder.chmod(0o555)
        swap_folder(fresh, published, every_file)
    with pytest.raises(PermissionError):
        (published / "deep" / "three").touch()  # so the modes did bind
    assert content(published) == {"1"}
    assert names(as_a_user) == ["published"]


def test_the_other_name_of_a_hard_link_keeps_its_content_and_mode(tmp_path: Path, way: str) -> None:
    """DVC's cache holds the same inodes as a published folder."""
    old = make(tmp_path / "published", "old")
    (old / "one").chmod(0o444)
    (tmp_path / "cache").hardlink_to(old / "one")
    swap_folder(make(tmp_path / ".fresh", "new"), old, every_file)
    assert content(old) == {"new"}
    assert (tmp_path / "cache").read_text() == "old"
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o444
    assert (tmp_path / "cache").stat().st_nlink == 1


@contextmanager
def polling(read: Callable[[], int]) -> Iterator[list[int]]:
    """Call `read` in a thread until the block ends; give its answers, and raise what it raised."""
    answers: list[int] = []
    failures: list[Exception] = []
    done = threading.Event()

    def poll() -> None:
        while not done.is_set() and not failures:
            try:
                answers.append(read())
            except Exception as error:
                failures.append(error)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield answers
    finally:
        done.set()
        thread.join()
    for failure in failures:
        raise failure


def test_a_reader_always_finds_a_whole_folder(tmp_path: Path) -> None:
    """Through 200 swaps or more every path leads to a whole file, never to an older one."""
    if files._exchange_call() is None:
        pytest.skip("this system cannot exchange two names")
    published = make(tmp_path / "published", "0" * 5000)

    def read() -> int:
        one = (published / "one").read_text()
        two = (published / "deep" / "er" / "two").read_text()
        assert len(one) == len(two) == 5000
        assert int(one[-3:]) <= int(two[-3:])
        return int(two[-3:])

    with polling(read) as versions:
        for number in range(1, 1000):
            swap_folder(make(tmp_path / ".fresh", f"{number:05000d}"), published, every_file)
            if number >= 200 and len(set(versions)) > 3:
                break
    assert len(set(versions)) > 3
    assert versions == sorted(versions)
    assert names(tmp_path) == ["published"]


def test_a_reader_always_finds_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_json(path, [0] * 2000)

    def read() -> int:
        numbers = read_json(path)
        assert len(numbers) == 2000
        assert len(set(numbers)) == 1
        return int(numbers[0])

    with polling(read) as versions:
        for number in range(1, 1000):
            write_json(path, [number] * 2000)
            if number >= 100 and len(set(versions)) > 3:
                break
    assert len(set(versions)) > 3
    assert versions == sorted(versions)
