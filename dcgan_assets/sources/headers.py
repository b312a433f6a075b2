"""What a picture's first bytes promise, read without decoding: the guard in front of decoders.

A few kilobytes can promise hundreds of millions of pixels, which a decoder would allocate before
anybody can object. So size, frames and colour kind are read here first, in some microseconds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Literal, NamedTuple

Format = Literal["JPEG", "PNG", "WebP", "GIF"]
Colour = Literal["colour", "grey", "CMYK"]

TRUNCATED = "truncated"
DAMAGED = "damaged"

# Start-of-frame markers: all of 0xC0 to 0xCF but the tables DHT, JPG and DAC.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers without a length: TEM, the restarts, and start of image.
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_COLOURS: dict[int, Colour] = {1: "grey", 4: "CMYK"}


class BadHeaderError(Exception):
    """The bytes are no picture that is read here; the text is the reason."""


class Header(NamedTuple):
    """What a picture says of itself.

    Attributes:
        width, height: In pixels, as stored: before the EXIF orientation is applied.
        orientation: The EXIF orientation, 1 to 8; 1 is upright.
        depth: Bits a channel.
        transparency: Whether there may be transparent pixels.
        frames: 1, or the number of frames of an animation.
        transparent_level: The grey level that stands for nothing, as a grey PNG may name one.
    """

    format: Format
    width: int
    height: int
    orientation: int = 1
    depth: int = 8
    colour: Colour = "colour"
    transparency: bool = False
    frames: int = 1
    transparent_level: int | None = None


def read_header(data: bytes) -> Header:
    """Read the header of a JPEG, PNG, WebP or GIF file, told by its content.

    Raises:
        BadHeaderError: It is none of these, or cut off or damaged where that can be seen.
    """
    for magic, read in _READERS:
        if data.startswith(magic):
            try:
                return read(data)
            except (IndexError, struct.error):
                raise BadHeaderError(TRUNCATED) from None
    raise BadHeaderError(_what_else(data))


def _what_else(data: bytes) -> str:
    if not data:
        return "empty"
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")) or (
        start.startswith(b"<") and b"<html" in start
    ):
        return "HTML, not a picture"
    return "not a JPEG, PNG, WebP or GIF picture"


def _jpeg(data: bytes) -> Header:
    position, orientation = 2, 1
    frame: tuple[int, int, int, int] | None = None
    while True:
        if data[position] != 0xFF:
            raise BadHeaderError(DAMAGED)
        while data[position] == 0xFF:  # any number of fill bytes may come first
            position += 1
        marker = data[position]
        position += 1
        if marker in _JPEG_BARE:
            continue
        if marker in {0xDA, 0xD9}:  # the scan begins, or the picture ends
            break
        length = data[position] << 8 | data[position + 1]
        if marker in _JPEG_FRAMES:
            frame = struct.unpack_from(">BHHB", data, position + 2)
        elif marker == 0xE1 and data[position + 2 : position + 8] == b"Exif\0\0":
            orientation = _exif_orientation(data[position + 8 : position + length])
        position += max(length, 2)
    if frame is None:
        raise BadHeaderError(DAMAGED)
    depth, height, width, channels = frame
    colour = _JPEG_COLOURS.get(channels, "colour")
    return Header("JPEG", width, height, orientation, depth, colour)


def _png(data: bytes) -> Header:
    width, height, depth, kind = struct.unpack_from(">IIBB", data, 16)
    transparency, orientation, frames = kind in {4, 6}, 1, 1
    transparent_level = None
    position = 8
    while True:
        length, name = struct.unpack_from(">I4s", data, position)
        if name == b"IEND":
            break
        if name == b"tRNS":
            transparency = True
            if kind == 0:
                (transparent_level,) = struct.unpack_from(">H", data, position + 8)
        elif name == b"eXIf":
            orientation = _exif_orientation(data[position + 8 : position + 8 + length])
        elif name == b"acTL":
            (frames,) = struct.unpack_from(">I", data, position + 8)
        position += length + 12
    if position + 12 > len(data):
        raise BadHeaderError(TRUNCATED)
    return Header(
        "PNG",
        width,
        height,
        orientation,
        depth,
        "grey" if kind in {0, 4} else "colour",
        transparency,
        frames,
        transparent_level,
    )


def _webp(data: bytes) -> Header:
    if data[8:12] != b"WEBP":
        raise BadHeaderError(_what_else(b"?"))
    (size,) = struct.unpack_from("<I", data, 4)
    if size + 8 > len(data):
        raise BadHeaderError(TRUNCATED)
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Header("WebP", width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        return Header("WebP", width, height, transparency=bool(bits >> 28 & 1))
    if kind != b"VP8X":
        raise BadHeaderError(DAMAGED)
    return _extended_webp(data, size + 8)


def _extended_webp(data: bytes, end: int) -> Header:
    transparency = bool(data[20] & 0x10)
    width = int.from_bytes(data[24:27], "little") + 1
    height = int.from_bytes(data[27:30], "little") + 1
    orientation, frames, position = 1, 0, 30
    while position + 8 <= end:
        name, length = struct.unpack_from("<4sI", data, position)
        if name == b"EXIF":
            exif = data[position + 8 : position + 8 + length]
            orientation = _exif_orientation(exif.removeprefix(b"Exif\0\0"))
        frames += name == b"ANMF"
        position += 8 + length + (length & 1)
    return Header(
        "WebP", width, height, orientation, transparency=transparency, frames=max(frames, 1)
    )


def _gif(data: bytes) -> Header:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + _gif_colours(flags)
    frames, transparency = 0, False
    while position < len(data) and data[position] != 0x3B:
        block = data[position]
        if block == 0x2C:
            if not frames:  # the decoder enlarges the screen to hold a first frame beyond it
                left, top, wide, high = struct.unpack_from("<HHHH", data, position + 1)
                width, height = max(width, left + wide), max(height, top + high)
            frames += 1
            position += 11 + _gif_colours(data[position + 9])  # the descriptor, the code size
        elif block == 0x21:
            # The first frame's graphic control says whether a colour stands for nothing.
            if not frames and data[position + 1] == 0xF9 and data[position + 3] & 1:
                transparency = True
            position += 2
        else:
            raise BadHeaderError(DAMAGED)
        while length := data[position]:
            position += length + 1
        position += 1
    if not frames:
        raise BadHeaderError(TRUNCATED)
    return Header("GIF", width, height, transparency=transparency, frames=frames)


def _gif_colours(flags: int) -> int:
    """Bytes of a colour table."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _exif_orientation(tiff: bytes) -> int:
    """The orientation in EXIF data; 1 where there is none or the data makes no sense."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (position,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, position)
        for entry in range(position + 2, position + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
            if tag == 0x0112:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


_READERS: tuple[tuple[bytes, Callable[[bytes], Header]], ...] = (
    (b"\xff\xd8\xff", _jpeg),
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"RIFF", _webp),
    (b"GIF87a", _gif),
    (b"GIF89a", _gif),
)
