"""Whose turn a site is: one shard at a time asks it, whatever process or machine that is in.

How often a site may be asked is counted by the shard that asks. So two shards never ask one site at
once; those of different sites do. A turn is a lock on a file, which a process that is killed lets
go; in it stands for how long the site is still to be left alone.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

_MOST_BYTES = 64


class Turns:
    """The sites whose turn is this shard's.

    Args:
        folder: Of the locks, the same for all shards; on a disk whose locks hold between machines.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}
        self._name = uuid.uuid4().hex

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()

    def take(self, site: str) -> float | None:
        """Take a site's turn, which nobody here has, until it is given back.

        Returns:
            Seconds for which another shard leaves it to be left alone; None where one has it now.
            No clock is in them: machines differ by minutes.
        """
        descriptor = os.open(self._folder / quote(site, safe=""), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        self._held[site] = descriptor
        left, _, whose = (
            os.pread(descriptor, _MOST_BYTES, 0).decode("ascii", "replace").partition(" ")
        )
        with suppress(ValueError):
            return 0.0 if whose.strip() == self._name else max(0.0, float(left))
        return 0.0

    def leave_alone(self, site: str, seconds: float) -> None:
        """Say to whoever comes next, also after a kill, how long a site is to be left alone."""
        line = f"{seconds:.3f} {self._name}"
        os.pwrite(self._held[site], f"{line:<{_MOST_BYTES - 1}}\n".encode(), 0)

    def give_back(self, site: str) -> None:
        """Let others ask a site."""
        os.close(self._held.pop(site))
