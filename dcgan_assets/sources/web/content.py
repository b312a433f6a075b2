"""The bytes of pictures: judged by their headers as they arrive, and kept in one file.

No name from outside becomes a file's name, and nothing is decoded here.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from dcgan_assets.sources.reading.decode import MAX_PIXELS, MAX_SIDE
from dcgan_assets.sources.reading.header import (
    DAMAGED,
    TOO_MANY_SCANS,
    TRUNCATED,
    BadHeaderError,
    Format,
)
from dcgan_assets.sources.reading.headers import read_header
from dcgan_assets.sources.web.wanted import Picture, Reason, RejectedError

# By so many bytes it shows what a file is: the longest mark is 12, and HTML may begin with spaces.
_START = 1024
_IN_MEMORY = 1 << 20
EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/bmp": "bmp",
    "image/tiff": "tif",
    "image/avif": "avif",
}
MIMES: dict[Format, str] = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WebP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
}


def check_start(start: bytes) -> None:
    """Refuse what begins like no picture, before the rest of it is fetched.

    Raises:
        RejectedError: `not a picture`.
    """
    try:
        read_header(start)
    except BadHeaderError as error:
        if _kind(error) not in {TRUNCATED, DAMAGED, TOO_MANY_SCANS, "empty"}:
            raise RejectedError(Reason.NO_PICTURE, str(error)) from None


def judge(data: bytes) -> tuple[str, int, int]:
    """The MIME type, width and height of a picture, from its header alone.

    Raises:
        RejectedError: It is no picture that `read_header` knows, is cut off, or promises too many
            pixels or scans.
    """
    try:
        header = read_header(data)
    except BadHeaderError as error:
        known = {
            TRUNCATED: Reason.TRUNCATED,
            DAMAGED: Reason.DAMAGED,
            TOO_MANY_SCANS: Reason.SCANS,
        }
        raise RejectedError(known.get(_kind(error), Reason.NO_PICTURE), str(error)) from None
    width, height = header.width, header.height
    if header.orientation > 4:
        width, height = height, width
    size = f"{width}x{height}"
    if not width or not height:
        raise RejectedError(Reason.DAMAGED, size)
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise RejectedError(Reason.PIXELS, size)
    return MIMES[header.format], width, height


def examined(data: bytes, final_address: str) -> Picture:
    """What a picture is, and the hash of its bytes.

    Raises:
        RejectedError: It is not wanted; see `judge`.
    """
    mime, width, height = judge(data)
    return Picture(final_address, hashlib.sha256(data).hexdigest(), len(data), mime, width, height)


def _kind(error: BadHeaderError) -> str:
    """What stands before the details."""
    return str(error).partition(":")[0]


class Arrival:
    """An answer's bytes as they arrive, in memory until they are many; a context.

    Args:
        folder: Where the many go, in a file without a name.
    """

    def __init__(self, folder: Path) -> None:
        self.size = 0
        self._folder = folder
        self._data = bytearray()
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Arrival:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, block: bytes) -> None:
        """Append bytes.

        Raises:
            RejectedError: They begin like no picture.
        """
        before, self.size = self.size, self.size + len(block)
        self._data += block
        if before < _START <= self.size:
            check_start(bytes(self._data[:_START]))
        if self.size > _IN_MEMORY:
            if self._file is None:
                self._file = TemporaryFile(dir=self._folder)  # noqa: SIM115
            self._file.write(self._data)
            self._data.clear()

    def read(self) -> bytes:
        """All that arrived."""
        if self._file is None:
            return bytes(self._data)
        self._file.seek(0)
        return self._file.read()


class Content:
    """The pictures of a work folder, one after the other in one file; a context.

    A file for each would cost more time than its download on a fast connection. Where a picture
    lies is in the ledger; what lies behind the last of them was never written down, and is cut off.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "pictures.bin"
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        self._end = os.fstat(self._descriptor).st_size

    def __enter__(self) -> Content:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def cut(self, end: int) -> None:
        """Forget everything from `end` on."""
        os.ftruncate(self._descriptor, end)
        self._end = end

    def append(self, data: bytes) -> int:
        """Add a picture; returns where it begins."""
        place = self._end
        self._write(data, place)
        self._end += len(data)
        return place

    def read(self, place: int, size: int) -> bytes:
        """The bytes of a picture; fewer when the file is shorter."""
        return os.pread(self._descriptor, size, place)

    def wipe(self, place: int, size: int) -> None:
        """Overwrite a picture with zeros."""
        self._write(bytes(size), place)

    def _write(self, data: bytes, place: int) -> None:
        left = memoryview(data)
        while left:
            written = os.pwrite(self._descriptor, left, place)
            left, place = left[written:], place + written
