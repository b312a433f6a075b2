"""The header of a TIFF file, whose directory may claim anything."""

from __future__ import annotations

import struct

from dcgan_assets.sources.reading.header import (
    DAMAGED,
    NOT_READ,
    TRUNCATED,
    BadHeaderError,
    Colour,
    Header,
    bounded,
)
from dcgan_assets.sources.reading.tiff import ORIENTATION, Tiff

_SMALLER_COPY, _WIDTH, _HEIGHT, _BITS, _PACKING, _MEANING = 254, 256, 257, 258, 259, 262
_STRIPS, _CHANNELS, _ROWS, _STRIP_BYTES, _PLANES = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
_EXTRA, _SAMPLE_FORMAT, _PROFILE, _RAW = 338, 339, 34675, 50706

_COLOURS: dict[int, Colour] = {0: "grey", 1: "grey", 5: "CMYK"}
# Grey with white as 0, grey, RGB, a palette, inks, YCbCr.
_MEANINGS = frozenset({0, 1, 2, 3, 5, 6})
# Bounds on what a file may claim. A strip of one row for each of four planes makes as many.
_MAX_PARTS = 65_536
_MAX_TILE_PIXELS = 4096 * 4096
_MAX_PAGES = 1000


def read_tiff(data: bytes) -> Header:
    """The header of a TIFF file, which is its first directory."""
    claims = _Claims(data)
    # A raw photograph's first picture is a small preview, not the photograph.
    if data[8:10] == b"CR" or claims.has(_RAW) or claims.number(_SMALLER_COPY) & 1:
        raise BadHeaderError("a raw photograph: save it as JPEG, PNG or TIFF")
    meaning, depth = claims.number(_MEANING), claims.number(_BITS, 1)
    channels = claims.number(_CHANNELS, 1)
    whole_numbers = claims.number(_SAMPLE_FORMAT, 1) == 1
    if meaning not in _MEANINGS or not whole_numbers or (meaning == 0 and depth > 8):
        raise BadHeaderError(f"TIFF {NOT_READ}")
    if not 1 <= channels <= 5 or not 1 <= depth <= 16:
        raise BadHeaderError(f"TIFF {NOT_READ}: {channels} channels of {depth} bits")
    width, height = claims.number(_WIDTH), claims.number(_HEIGHT)
    if width and height:  # without, there is no picture, and that is said of all formats
        _check_parts(claims, width, height, (width * channels * depth + 7) // 8 * height)
    orientation = claims.number(ORIENTATION, 1)
    return Header(
        "TIFF",
        width,
        height,
        orientation if 1 <= orientation <= 8 else 1,
        max(depth, 8),
        _COLOURS.get(meaning, "colour"),
        transparency=claims.number(_EXTRA) in {1, 2},
        frames=claims.pages(),
        profile=claims.content(_PROFILE),
    )


class _Claims:
    """The first directory of a TIFF file."""

    def __init__(self, data: bytes) -> None:
        self.file_size = len(data)
        self._tiff = Tiff(data)
        self._entries = self._tiff.directory(self._tiff.first())

    def has(self, tag: int) -> bool:
        return tag in self._entries

    def count(self, tag: int) -> int:
        """How many values a tag has; 0 where it is missing."""
        return self._entries[tag].length if tag in self._entries else 0

    def number(self, tag: int, default: int = 0) -> int:
        """A tag's first value."""
        return self._tiff.numbers(self._entries.get(tag), 1, default)[0]

    def numbers(self, tag: int) -> tuple[int, ...]:
        return self._tiff.numbers(self._entries.get(tag), _MAX_PARTS)

    def content(self, tag: int) -> bytes | None:
        return bounded(self._tiff.content(self._entries[tag])) if tag in self._entries else None

    def pages(self) -> int:
        """How many directories there are, some at most: the chain may be a ring."""
        pages, place = 0, self._tiff.first()
        while place and pages < _MAX_PAGES:
            pages += 1
            try:
                place = self._tiff.following(place)
            except struct.error:
                break
        return pages


def _check_parts(claims: _Claims, width: int, height: int, plain_bytes: int) -> None:
    """Refuse strips or tiles that are too many, too large, too few, or beyond the file's end.

    Args:
        claims: What the file says.
        width, height: Of the picture.
        plain_bytes: What the picture takes when it is not compressed.
    """
    if claims.has(_TILES):
        places, sizes = _TILES, _TILE_BYTES
        wide, high = claims.number(_TILE_WIDTH), claims.number(_TILE_HEIGHT)
    else:
        places, sizes = _STRIPS, _STRIP_BYTES
        wide, high = width, min(claims.number(_ROWS, height), height)
    if not wide or not high or claims.count(places) > _MAX_PARTS:
        raise BadHeaderError(DAMAGED)
    if claims.has(_TILES) and wide * high > _MAX_TILE_PIXELS:
        raise BadHeaderError(DAMAGED)
    planes = claims.number(_CHANNELS, 1) if claims.number(_PLANES, 1) == 2 else 1
    needed = -(-width // wide) * -(-height // high) * planes
    starts, lengths = claims.numbers(places), claims.numbers(sizes)
    if not claims.has(sizes):  # allowed where there is but one
        lengths = (claims.file_size - starts[0],)
    ends = [start + length for start, length in zip(starts, lengths, strict=False)]
    if len(ends) < needed or max(ends) > claims.file_size:
        raise BadHeaderError(TRUNCATED)
    if claims.number(_PACKING, 1) == 1 and sum(lengths) < plain_bytes:
        raise BadHeaderError(TRUNCATED)
