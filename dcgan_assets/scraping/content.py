"""The bytes of pictures: what arrives is judged by its header, and kept under its SHA-256.

No name from outside becomes a file's name, and nothing is decoded here.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from dcgan_assets.scraping.wanted import Picture, Reason, RejectedError
from dcgan_assets.sources.decode import MAX_PIXELS, MAX_SIDE
from dcgan_assets.sources.headers import (
    DAMAGED,
    TRUNCATED,
    BadHeaderError,
    Format,
    Header,
    read_header,
)
from dcgan_models.files import sha256_file

# By so many bytes it shows what a file is: the longest mark is 12, and HTML may begin with spaces.
_START = 1024
EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/gif": "gif"}
_MIMES: dict[Format, str] = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WebP": "image/webp",
    "GIF": "image/gif",
}


def check_start(start: bytes) -> None:
    """Refuse what begins like no picture, before the rest of it is fetched.

    Raises:
        RejectedError: `not a picture`.
    """
    try:
        read_header(start)
    except BadHeaderError as error:
        if str(error) not in {TRUNCATED, DAMAGED, "empty"}:
            raise RejectedError(Reason.NO_PICTURE, str(error)) from None


def judge(data: bytes) -> tuple[str, int, int]:
    """The MIME type, width and height of a picture, from its header alone.

    Raises:
        RejectedError: It is no JPEG, PNG, WebP or GIF, is cut off, or promises too many pixels.
    """
    try:
        header = read_header(data)
    except BadHeaderError as error:
        text = str(error)
        known = {TRUNCATED: Reason.TRUNCATED, DAMAGED: Reason.DAMAGED}
        raise RejectedError(known.get(text, Reason.NO_PICTURE), text) from None
    width, height = header.width, header.height
    if header.orientation > 4:
        width, height = height, width
    size = f"{width}x{height}"
    if not width or not height:
        raise RejectedError(Reason.DAMAGED, size)
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise RejectedError(Reason.PIXELS, size)
    if _cut_off(header, data):
        raise RejectedError(Reason.TRUNCATED, f"{len(data)} bytes")
    return _MIMES[header.format], width, height


def _cut_off(header: Header, data: bytes) -> bool:
    """Whether a JPEG has no end of image after its last scan; the others say their length."""
    return header.format == "JPEG" and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")


class Arrival:
    """An answer's bytes as they arrive, in a file of their own; a context."""

    def __init__(self, path: Path) -> None:
        self.size = 0
        self._path = path
        self._start = b""
        self._digest = hashlib.sha256()
        self._file: BinaryIO | None = None

    def __enter__(self) -> Arrival:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)

    def add(self, block: bytes) -> None:
        """Append bytes."""
        if self.size < _START:
            self._start += block[:_START]
            if len(self._start) >= _START:
                check_start(self._start)
        if self._file is None:
            self._file = self._path.open("wb")
        self._file.write(block)
        self._digest.update(block)
        self.size += len(block)

    def picture(self, final_address: str) -> Picture:
        """What arrived, once all of it has.

        Raises:
            RejectedError: It is not wanted; see `judge`.
        """
        if self._file is not None:
            self._file.close()
        mime, width, height = judge(self._path.read_bytes() if self.size else b"")
        return Picture(final_address, self._digest.hexdigest(), self.size, mime, width, height)

    def move(self, target: Path) -> None:
        """Give what arrived its name; the same content may have it already."""
        target.parent.mkdir(exist_ok=True)
        self._path.replace(target)


class Content:
    """The files of a work folder: pictures by their SHA-256, and what is arriving.

    Args:
        folder: Exists. What an earlier process left half arrived is removed.
    """

    def __init__(self, folder: Path) -> None:
        self._pictures = folder / "pictures"
        self._arriving = folder / "arriving"
        shutil.rmtree(self._arriving, ignore_errors=True)
        self._arriving.mkdir()
        self._pictures.mkdir(exist_ok=True)
        self._arrivals = 0

    def arrival(self) -> Arrival:
        """A place for one answer's bytes."""
        self._arrivals += 1
        return Arrival(self._arriving / str(self._arrivals))

    def path(self, sha256: str, mime: str) -> Path:
        """Where a picture lies."""
        return self._pictures / sha256[:2] / f"{sha256}.{EXTENSIONS[mime]}"

    def holds(self, sha256: str, mime: str) -> bool:
        """Whether a picture is there, whole."""
        path = self.path(sha256, mime)
        return path.exists() and sha256_file(path) == sha256

    def discard(self, sha256: str, mime: str) -> None:
        """Delete a picture."""
        self.path(sha256, mime).unlink(missing_ok=True)
