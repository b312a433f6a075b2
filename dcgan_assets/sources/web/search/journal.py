"""What a long run has found so far, line by line, so that a killed one goes on where it was.

A journal is a file of JSON lines. The first line names the work; the others hold one finished
piece each. A line that a kill has cut off is dropped when the journal is opened again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dcgan_models.files import fsync_folder


class Journal:
    """Finished pieces of work by their key.

    A journal of other work is deleted: its pieces answer other questions.

    Args:
        path: The file; its folder is made when missing.
        work: Plain JSON that says what the pieces are pieces of: queries, settings.
    """

    def __init__(self, path: Path, work: Any) -> None:
        self._path = path
        self._places: dict[str, int] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        head = _line({"work": work})
        if not self._resume(head):
            path.write_bytes(head)
            fsync_folder(path.parent)

    def _resume(self, head: bytes) -> bool:
        """Find the pieces of an earlier run, and cut off what is no whole line."""
        if not self._path.exists():
            return False
        with self._path.open("r+b") as stream:
            if stream.readline() != head:
                return False
            end = stream.tell()
            for line in stream:
                key = _key_of(line)
                if key is None:
                    break
                self._places[key] = end
                end += len(line)
            stream.truncate(end)
        return True

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def write(self, key: str, content: Any) -> None:
        """Add a finished piece and flush it to disk."""
        line = _line({"key": key, "content": content})
        with self._path.open("ab") as stream:
            place = stream.tell()
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
        self._places[key] = place

    def read(self, key: str) -> Any:
        """The content of one piece."""
        with self._path.open("rb") as stream:
            stream.seek(self._places[key])
            return json.loads(stream.readline())["content"]

    def pieces(self) -> Iterator[tuple[str, Any]]:
        """Every piece, in the order in which they were written."""
        with self._path.open("rb") as stream:
            stream.readline()
            for line in stream:
                piece = json.loads(line)
                yield piece["key"], piece["content"]


def _key_of(line: bytes) -> str | None:
    """The key of a whole line; None of what a kill or a loss of power has left."""
    try:
        key = json.loads(line)["key"]
    except (ValueError, TypeError, KeyError):
        return None
    return key if isinstance(key, str) and line.endswith(b"\n") else None


def _line(content: Any) -> bytes:
    # ASCII, because a service's JSON may hold lone surrogates, which no encoding takes.
    return json.dumps(content, sort_keys=True).encode() + b"\n"
