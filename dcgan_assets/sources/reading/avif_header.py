"""The header of an AVIF file, which is a tree of boxes; HEIC is one as well, and is not read."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from dcgan_assets.sources.reading.header import (
    DAMAGED,
    NO_PICTURE,
    TRUNCATED,
    BadHeaderError,
    Header,
    bounded,
    check_written,
)
from dcgan_assets.sources.reading.png_header import told_code_points

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_HEIC = "HEIC, which is not read: save it as JPEG or PNG"
# By the quarter turns of `irot` (against the clock) and the axis of `imir`.
_ORIENTATIONS = {
    (0, None): 1, (1, None): 8, (2, None): 3, (3, None): 6,
    (0, 0): 4, (1, 0): 5, (2, 0): 2, (3, 0): 7,
    (0, 1): 2, (1, 1): 7, (2, 1): 4, (3, 1): 5,
}  # fmt: skip

_TO_PROPERTIES = (b"meta", b"iprp", b"ipco")
_TO_SAMPLES = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsz")
# Boxes in which others lie behind four bytes of their own.
_VERSIONED = frozenset({b"meta"})
# `check_written` looks at the end of the file: what lies before may be EXIF data with a filling.
_END = 512


def read_avif(data: bytes) -> Header:
    """The header of an AVIF file: the properties of its largest picture."""
    brands = _brands(data)
    if not brands & _AVIF_BRANDS:
        heic = brands & _HEIC_BRANDS
        raise BadHeaderError(_HEIC if heic else NO_PICTURE)
    for _ in _boxes(data, 0, len(data)):  # to the end: the last one tells whether it is all there
        pass
    properties = list(_properties(data))
    sizes = [struct.unpack_from(">II", box, 4) for name, box in properties if name == b"ispe"]
    if not sizes:
        raise BadHeaderError(DAMAGED)
    check_written(data[-_END:])
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    first = dict(reversed(properties))
    coders = [box[2] for name, box in properties if name == b"av1C"]
    profile, unapplied = _colours([box for name, box in properties if name == b"colr"])
    turns = first[b"irot"][0] & 3 if b"irot" in first else 0
    axis = first[b"imir"][0] & 1 if b"imir" in first else None
    return Header(
        "AVIF",
        width,
        height,
        _ORIENTATIONS[turns, axis],
        max((_depth(flags) for flags in coders), default=8),
        "grey" if coders and all(flags & 0x10 for flags in coders) else "colour",
        transparency=any(name == b"auxC" and b"alpha" in box for name, box in properties),
        frames=_frames(data) if data[8:12] == b"avis" else 1,
        profile=profile,
        unapplied=unapplied,
    )


def _brands(data: bytes) -> set[bytes]:
    """What the file says it can be read as."""
    (size,) = struct.unpack_from(">I", data)
    return {data[place : place + 4] for place in (8, *range(16, min(size, 256), 4))}


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, beginning and end of the content of the boxes between two places."""
    while start < end:
        size, name = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        elif size == 0:
            size = end - start
        if size < head:
            raise BadHeaderError(DAMAGED)
        if start + size > end:
            raise BadHeaderError(TRUNCATED)
        yield name, start + head, start + size
        start += size


def _box(data: bytes, path: tuple[bytes, ...]) -> tuple[int, int] | None:
    """Where the content of the first box at the end of a path of names lies."""
    start, end = 0, len(data)
    for wanted in path:
        for name, first, last in _boxes(data, start, end):
            if name == wanted:
                start, end = first + 4 * (name in _VERSIONED), last
                break
        else:
            return None
    return start, end


def _properties(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of the properties of the pictures in the file."""
    place = _box(data, _TO_PROPERTIES)
    if place is not None:
        for name, start, end in _boxes(data, *place):
            yield name, data[start:end]


def _depth(flags: int) -> int:
    """Bits a channel, as the third byte of a coder's settings says."""
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8


def _colours(boxes: list[bytes]) -> tuple[bytes | None, str | None]:
    """The profile; without one, what else is said of the colours, as `Header.unapplied`."""
    for box in boxes:
        if box[:4] in {b"prof", b"rICC"}:
            return bounded(box[4:]), None
    for box in boxes:
        if box[:4] == b"nclx":
            return None, told_code_points(*struct.unpack_from(">HH", box, 4))
    return None, None


def _frames(data: bytes) -> int:
    """How many frames an animation has."""
    place = _box(data, _TO_SAMPLES)
    if place is None:
        return 1
    (count,) = struct.unpack_from(">I", data, place[0] + 8)
    return max(1, int(count))
