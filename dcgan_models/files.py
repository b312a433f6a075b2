"""Files that are either whole or not there: atomic writes and swaps of files and folders."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


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
    """
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


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    with open_atomic(path) as stream:
        stream.write(text.encode() + b"\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; raise `OSError` or `ValueError` as `open` and `json` do."""
    return json.loads(path.read_text(encoding="utf-8"))


def flush_tree(folder: Path) -> None:
    """Flush every file below `folder`, and the folders themselves, to disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with (Path(parent) / name).open("rb") as stream:
                os.fsync(stream.fileno())
        fsync_folder(Path(parent))


def swap_folder(fresh: Path, target: Path) -> None:
    """Put the folder `fresh` in the place of `target` in one step; the old one is deleted.

    Linux and macOS exchange the two names atomically. Elsewhere, and on file systems without
    exchange, the old folder steps aside under a hidden name first, so that a crash in between
    leaves both whole on disk.
    """
    if not target.exists():
        fresh.rename(target)
    elif _exchange(fresh, target):
        _discard(fresh)
    else:
        aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.old")
        target.rename(aside)
        fresh.rename(target)
        _discard(aside)
    fsync_folder(target.parent)


def _discard(folder: Path) -> None:
    """Delete a folder tree even where its files or folders were made read-only."""
    for parent, _, _ in os.walk(folder):
        Path(parent).chmod(0o755)
    shutil.rmtree(folder)


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
