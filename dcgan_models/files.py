"""Files that are either whole or not there, and the one way in which files are removed.

Nothing else in this project removes, renames or replaces; docs/architecture.md says of each use
why it cannot hit what is not ours. The rule: a file goes only when a record of ours lists it by its
name, a folder only when it is empty. What is not listed stays, whenever it came.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import io
import json
import logging
import os
import re
import shutil
import stat
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TextIO

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_LOG = logging.getLogger(__name__)
_HIDDEN = re.compile(r"\.(.+)\.[0-9a-f]{8}\.(?:part|old)")
_HALF_FILE = re.compile(r"(.*/)?\.([^/]+)\.[0-9a-f]{8}\.part", re.DOTALL)
# Stands in a folder as long as it is built, and makes all that is in it ours.
BUILDING = ".dcgan-building"
# Records of some hundred thousand files have fewer bytes, and nothing of ours is nested so deep.
LARGEST_JSON = 64 * 2**20
_DEEPEST_JSON = 64
_TOO_DEEP = f"nested more than {_DEEPEST_JSON} deep"
# Names of the files in a folder that its own record lists, in the order in which they may go: the
# record itself is the last, so that what a killed process leaves is still known as ours. None where
# the folder bears no record of ours.
Ours = Callable[[Path], Sequence[str]]


def no_record(folder: Path) -> Sequence[str]:
    """Name no file of a folder as ours: the `Ours` of folders that keep no record."""
    return ()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fsync_folder(folder: Path) -> None:
    """Flush a folder's own entries, without which a rename may be lost with the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for writing; it changes only when the block ends well, and then at once.

    The bytes go to a hidden neighbour that is flushed to disk and renamed over `path`. When the
    block raises, the neighbour is removed and `path` is as it was.

    Raises:
        OSError: The disk says so, or at `path` is a folder, a device, a pipe or a socket.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no plain file, and is not replaced", str(path))
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def finished_name(name: str) -> str:
    """The relative name that a file of `open_atomic` was to bear whose process was killed.

    Of `grids/.a.png.1e7df06b.part` that is `grids/a.png`; of any other name, the name itself.
    """
    half = _HALF_FILE.fullmatch(name)
    return f"{half[1] or ''}{half[2]}" if half else name


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    with open_atomic(path) as stream:
        stream.write(text.encode() + b"\n")


@contextmanager
def open_regular(path: str | Path, largest: int | None = None) -> Iterator[io.BufferedReader]:
    """Open a plain file for reading, or what a symlink to one leads to; never wait for it.

    Opening a pipe waits for somebody who writes, and reading /dev/zero never ends.

    Args:
        largest: Bytes that it may have, whole MiB; any number by default.

    Raises:
        OSError: As `open` raises it; or it is a device, a pipe or a socket, or larger.
    """
    with open(path, "rb", opener=_open_without_waiting) as stream:
        facts = os.fstat(stream.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EINVAL, "not a plain file", str(path))
        if largest is not None and facts.st_size > largest:
            raise OSError(errno.EFBIG, f"larger than {largest >> 20} MiB", str(path))
        yield stream


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open a plain file of UTF-8, with or without a mark at its start, as `csv` wants it."""
    with (
        open_regular(path) as stream,
        io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text,
    ):
        yield text


def read_regular(path: str | Path, largest: int) -> bytes:
    """All bytes of a plain file of at most so many; raises as `open_regular` does."""
    with open_regular(path, largest) as stream:
        return stream.read(largest)


def read_json(path: Path, largest: int = LARGEST_JSON) -> Any:
    """Read a JSON file of at most so many bytes.

    Raises:
        OSError: As `open_regular` raises it.
        ValueError: As `parse_json` raises it.
    """
    return parse_json(read_regular(path, largest))


def parse_json(text: str | bytes) -> Any:
    """Read JSON that may come from anybody: UTF-8, and never nested deeper than ours is.

    Raises:
        ValueError: It is not JSON, nested deeper, or holds half of a character.
    """
    if isinstance(text, bytes):
        text = text.decode()
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    level = [content]
    for _ in range(_DEEPEST_JSON):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            break
    else:
        raise ValueError(_TOO_DEEP)
    if "\\u" in text:  # alone, half of a pair is text that can be neither printed nor written
        json.dumps(content, ensure_ascii=False).encode()
    return content


def flush_tree(folder: Path) -> None:
    """Flush every file below `folder`, and the folders themselves, to disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with (Path(parent) / name).open("rb") as stream:
                os.fsync(stream.fileno())
        fsync_folder(Path(parent))


# --- Folders that change as a whole ---------------------------------------------------------


@contextmanager
def staged(folder: Path, ours: Ours) -> Iterator[Path]:
    """A hidden folder beside a place, to build in it what is then swapped in.

    What killed processes left there is removed first: only one process at a time builds for a
    place.

    Args:
        ours: What the record in such a folder lists.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(folder, ours)
    staging = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")
    staging.mkdir()
    (staging / BUILDING).touch()
    try:
        yield staging
    finally:
        if is_building(staging):
            remove_built(staging)


def swap_in(staging: Path, folder: Path, ours: Ours) -> None:
    """Put what was built in the place of what is there, once all of it is on disk."""
    (staging / BUILDING).unlink()  # from now on its own record says what in it is ours
    flush_tree(staging)
    swap_folder(staging, folder, ours)
    _clear_leftovers(folder, ours)


def _clear_leftovers(folder: Path, ours: Ours) -> None:
    """Remove half-built folders, and old ones that a swap had not retired yet.

    One that bears neither our mark nor our record is removed only where nothing is in it.
    """
    for left in _leftovers(folder):
        if is_building(left):
            remove_built(left)
        elif not ours(left):
            remove_listed(left, ())
        elif is_folder(folder):
            retire(left, folder, ours)


def _leftovers(folder: Path) -> list[Path]:
    hidden = (p for p in folder.parent.iterdir() if p.name != folder.name)
    return sorted(p for p in hidden if built_for(p.name) == folder.name and is_folder(p))


def built_for(name: str) -> str:
    """The name of the place for which a hidden folder was built, or from which it steps aside.

    Of `.01.1e7df06b.part` that is `01`; of any other name, the name itself.
    """
    found = _HIDDEN.fullmatch(name)
    return found[1] if found else name


def is_building(folder: Path) -> bool:
    """Whether a folder is being built, or was by a process that was killed."""
    return is_folder(folder) and (folder / BUILDING).is_file()


def remove_built(folder: Path) -> None:
    """Remove a folder that is being built, or one inside such a folder.

    Raises:
        ValueError: Nobody is building there: a fault of ours.
    """
    if not any(map(is_building, (folder, *folder.parents))):
        raise ValueError(f"{folder}: not part of a folder that is being built")
    remove_listed(folder, sorted(tree_files(folder), key=lambda name: name == BUILDING))


def swap_folder(fresh: Path, target: Path, ours: Ours) -> None:
    """Put the folder `fresh` in the place of `target` in one step, and `retire` the old one.

    Linux and macOS exchange the two names atomically. Elsewhere, and on file systems without
    exchange, the old folder steps aside under a hidden name first, so that a crash in between
    leaves both whole on disk.
    """
    if not os.path.lexists(target):
        fresh.rename(target)
    elif _exchange(fresh, target):
        retire(fresh, target, ours)
    else:
        aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.old")
        target.rename(aside)
        fresh.rename(target)
        retire(aside, target, ours)
    fsync_folder(target.parent)


def retire(old: Path, target: Path, ours: Ours) -> None:
    """Remove the files that a replaced folder's own record lists.

    All else goes over to the new folder, under its name there. What finds that name taken stays
    together in a visible folder beside it, of which the log tells.
    """
    listed = ours(old) if is_folder(old) else ()
    for name in sorted({*tree_files(old)}.difference(listed)):
        _move_to_free_place(old / name, target / name)
    remove_listed(old, listed)
    if os.path.lexists(old):
        kept = target.with_name(f"{target.name}.kept.{uuid.uuid4().hex[:8]}")
        old.rename(kept)
        _LOG.warning("%s: what was there and is not ours lies in %s now", target, kept)


def _move_to_free_place(source: Path, target: Path) -> None:
    """Move a file where nothing is in its way; it stays where something is."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        put_new(source, target)
    except OSError:  # its name is taken, or that of its folder; or it may not be moved
        return


def put_new(source: Path, target: Path) -> None:
    """Give a file or folder a name that nothing bears; raise `FileExistsError` where one does."""
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)


def share_file(source: Path, target: Path) -> None:
    """Give a finished file a second name, over an older one of ours; a copy on another disk.

    Whoever is killed here leaves the older file, or none. It is read-only: nobody may write into
    what bears two names. A symlink is followed.

    Raises:
        OSError: As linking or copying raises it.
    """
    source = source.resolve(strict=True)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        try:
            partial.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, partial)
            partial.chmod(0o444)
            with partial.open("rb") as stream:
                os.fsync(stream.fileno())
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    fsync_folder(target.parent)


# --- Removing -------------------------------------------------------------------------------


def is_folder(path: Path) -> bool:
    """Whether a folder lies at a path itself, not behind a symlink."""
    return path.is_dir() and not path.is_symlink()


def tree_files(folder: str | Path, below: str = "") -> Iterator[str]:
    """Relative names of all files and symlinks below a folder, in order.

    A symlink is a name of its own, wherever it leads; nothing is looked for behind it. So is a
    folder that may not be read.
    """
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    except PermissionError:
        yield below.removesuffix("/")
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from tree_files(entry.path, f"{below}{entry.name}/")
        else:
            yield below + entry.name


def remove_file(path: Path) -> None:
    """Remove one file, if it is there, by a name under which only this project writes."""
    path.unlink(missing_ok=True)


def give_name(source: Path, target: Path) -> None:
    """Rename a file that this process has just made; over an older one of ours of that name."""
    source.rename(target)


def remove_listed(folder: Path, names: Sequence[str]) -> None:
    """Remove files of a folder by their relative names, in order, and folders that are empty then.

    What is not listed stays where it is. Nothing is removed behind a symlink.
    """
    if not is_folder(folder):
        return
    there = set(tree_files(folder))
    for name in names:
        if name in there:
            _despite_mode(folder / name, remove_file)
    for parent, _, _ in os.walk(folder, topdown=False):
        try:
            _despite_mode(Path(parent), Path.rmdir)
        except OSError:  # something is in it, or it may not be removed
            continue


def _despite_mode(path: Path, remove: Callable[[Path], None]) -> None:
    """Remove something even where the folder that holds it was made read-only."""
    try:
        remove(path)
    except PermissionError:
        path.parent.chmod(0o755)
        remove(path)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names atomically; False where this system or file system cannot."""
    call = _exchange_call()
    return call is not None and call(os.fsencode(one), os.fsencode(other)) == 0


def _exchange_call() -> Callable[[bytes, bytes], int] | None:
    if os.name != "posix":
        return None
    libc = ctypes.CDLL(None)
    if sys.platform == "darwin" and hasattr(libc, "renamex_np"):
        return lambda one, other: libc.renamex_np(one, other, _RENAME_EXCHANGE)
    if hasattr(libc, "renameat2"):
        return lambda one, other: libc.renameat2(_AT_FDCWD, one, _AT_FDCWD, other, _RENAME_EXCHANGE)
    return None


def digest_json(content: Any) -> str:
    """Hex SHA-256 of plain JSON values, independent of key order."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


# In small letters. Thumbnails, bins, snapshots and lost clusters of Windows, macOS, Android, and of
# storage boxes (Synology, QNAP, NetApp); what begins with a dot need not be named.
_SYSTEM_NAMES = {
    "_meta.json",
    "thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "$recycle.bin",
    "system volume information",
    "found.000",
    "__macosx",
    "icon\r",
    "network trash folder",
    "temporary items",
    "@eadir",
    "@tmp",
    "#recycle",
    "#snapshot",
    "@recycle",
    "@recently-snapshot",
    "~snapshot",
    "lost+found",
    "lost.dir",
}


def is_system_file(name: str) -> bool:
    """Whether a relative name is that of a file which systems leave about, and no input.

    These are hidden files and folders (.DS_Store, .git, .Trash-1000, ._a.jpg), what desktops and
    storage boxes make by themselves (`Thumbs.db`, `$RECYCLE.BIN`, `__MACOSX`, `@eaDir`), and our
    own `_meta.json`. They get no row, and do not count in versions.
    """
    return any(
        part.startswith(".") or part.lower() in _SYSTEM_NAMES
        for part in PurePosixPath(name).parts
        if part != ".."
    )
