"""What libjpeg says about a JPEG, or about one inside a TIFF, while it is decoded.

libjpeg makes something of damaged data, and says so in a line on the standard error of the process
and nowhere else: OpenCV does not pass it on. So that descriptor is another file while a JPEG is
decoded. Nothing else of what is written there meanwhile gets lost.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")

_STDERR = 2
_DAMAGE = (
    "Corrupt JPEG data: ",
    "Premature end of JPEG file",
    "Inconsistent progression",
    "Unsupported marker type",
)
# Oddities of encoders, and profiles, whose damage is found when they are used.
_HARMLESS = (
    "Corrupt JPEG data: bad ICC marker",
    "Warning: unknown JFIF revision number",
    "Unknown Adobe color transform code",
    "Invalid SOS parameters for sequential JPEG",
    "Application transferred too many scanlines",
)


class _Ear:
    """The file that stands in for standard error, one for a process, and whose turn it is."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin anew: a forked child shares the file, and may find it locked for ever."""
        self.lock = threading.Lock()
        self._paper: int | None = None

    def paper(self) -> int:
        """The descriptor of the file, which is empty."""
        if self._paper is None:
            with tempfile.TemporaryFile() as file:
                self._paper = os.dup(file.fileno())
        return self._paper


_ear = _Ear()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ear.begin)


def listening(decode: Callable[[], _T]) -> tuple[_T, str | None]:
    """What decoding a JPEG gives, and the damage that libjpeg told of.

    libjpeg tells of the first of its troubles only.

    Returns:
        The damage, as `premature end of data segment`; None where there is none.
    """
    with _ear.lock:
        paper = _ear.paper()
        stderr = os.dup(_STDERR)
        os.dup2(paper, _STDERR)
        try:
            result = decode()
        finally:
            os.dup2(stderr, _STDERR)
            os.close(stderr)
            said = _taken(paper)
    return result, _damage(said) if said else None


def _taken(paper: int) -> bytes:
    """What was written, which is then gone."""
    length = os.lseek(paper, 0, os.SEEK_CUR)
    if not length:
        return b""
    said = os.pread(paper, length, 0)
    os.ftruncate(paper, 0)
    os.lseek(paper, 0, os.SEEK_SET)
    return said


def _damage(said: bytes) -> str | None:
    """The damage among the lines; lines that are not libjpeg's are handed on."""
    damage = None
    for line in said.splitlines(keepends=True):
        text = line.decode("ascii", "replace").strip()
        text = text.removeprefix("JPEGLib: ").removeprefix("Warning, ")  # libtiff's words
        if text.startswith(_HARMLESS):
            continue
        if text.startswith(_DAMAGE):
            damage = damage or text.removeprefix(_DAMAGE[0])
        else:
            os.write(_STDERR, line)
    return damage
