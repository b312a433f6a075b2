"""The header of a TIFF file, whose directory may claim anything."""

from __future__ import annotations

import struct

from dcgan_assets.sources.header import (
    DAMAGED,
    NOT_READ,
    TRUNCATED,
    BadHeaderError,
    Colour,
    Header,
    bounded,
)
from dcgan_assets.sources.tiff import ORIENTATION, Entry, Tiff

# Tags, kinds of pixels that are read, and bounds on what a file may claim.
_WIDTH, _HEIGHT, _BITS, _MEANING, _CHANNELS = 256, 257, 258, 262, 277
_STRIPS, _STRIP_BYTES, _TILE_SIDES, _TILES, _TILE_BYTES = 273, 279, (322, 323), 324, 325
_SMALLER_COPY, _SAMPLE_FORMAT, _EXTRA, _PROFILE, _RAW = 254, 339, 338, 34675, 50706
_TIFF_COLOURS: dict[int, Colour] = {0: "grey", 1: "grey", 5: "CMYK"}
_TIFF_MEANINGS = frozenset({0, 1, 2, 3, 5, 6})
_MAX_TIFF_PARTS = 65_536
_MAX_TILE_PIXELS = 4096 * 4096
_MAX_PAGES = 1000


def read_tiff(data: bytes) -> Header:
    """The header of a TIFF file, which is its first directory."""
    tiff = Tiff(data)
    entries, following = tiff.directory(tiff.first())

    def number(tag: int, default: int = 0) -> int:
        return tiff.numbers(entries.get(tag), default)[0]

    # A raw photograph's first picture is a small preview, not the photograph.
    if data[8:10] == b"CR" or _RAW in entries or number(_SMALLER_COPY) & 1:
        raise BadHeaderError("a raw photograph: save it as JPEG, PNG or TIFF")
    meaning, channels, depth = number(_MEANING), number(_CHANNELS, 1), number(_BITS, 1)
    grey_upside_down = meaning == 0 and depth > 8
    if meaning not in _TIFF_MEANINGS or number(_SAMPLE_FORMAT, 1) != 1 or grey_upside_down:
        raise BadHeaderError(f"TIFF {NOT_READ}")
    if not 1 <= channels <= 5 or depth > 16:
        raise BadHeaderError(f"TIFF {NOT_READ}: {channels} channels of {depth} bits")
    _check_parts(tiff, entries, len(data))
    colour = _TIFF_COLOURS.get(meaning, "colour")
    orientation = number(ORIENTATION, 1)
    return Header(
        "TIFF",
        number(_WIDTH),
        number(_HEIGHT),
        orientation if 1 <= orientation <= 8 else 1,
        max(depth, 8),
        colour,
        transparency=number(_EXTRA) in {1, 2},
        frames=_pages(tiff, following),
        profile=bounded(tiff.content(entries[_PROFILE])) if _PROFILE in entries else None,
    )


def _check_parts(tiff: Tiff, entries: dict[int, Entry], size: int) -> None:
    """Refuse strips or tiles that are too many, too large, or lie beyond the end of the file."""
    tiled = _TILES in entries
    places, sizes = (_TILES, _TILE_BYTES) if tiled else (_STRIPS, _STRIP_BYTES)
    if places not in entries or entries[places].count > _MAX_TIFF_PARTS:
        raise BadHeaderError(DAMAGED)
    if tiled:
        wide, high = (tiff.numbers(entries.get(tag))[0] for tag in _TILE_SIDES)
        if not 1 <= wide * high <= _MAX_TILE_PIXELS:
            raise BadHeaderError(DAMAGED)
    starts = tiff.numbers(entries[places])
    lengths = tiff.numbers(entries.get(sizes))
    if any(start + length > size for start, length in zip(starts, lengths, strict=False)):
        raise BadHeaderError(TRUNCATED)


def _pages(tiff: Tiff, following: int) -> int:
    """How many directories there are; the chain may be a ring."""
    pages = 1
    while following and pages < _MAX_PAGES:
        try:
            _, following = tiff.directory(following)
        except struct.error:
            break
        pages += 1
    return pages
