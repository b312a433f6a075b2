"""What a picture's first bytes promise, read without decoding: the guard in front of decoders.

A few kilobytes can promise hundreds of millions of pixels, which a decoder would allocate before
anybody can object. So size, frames and colour kind are read here first, in some microseconds.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from dcgan_assets.sources.reading.avif_header import read_avif
from dcgan_assets.sources.reading.header import (
    DAMAGED,
    MAX_SCANS,
    NO_PICTURE,
    NOT_READ,
    TOO_MANY_SCANS,
    TRUNCATED,
    BadHeaderError,
    Colour,
    Header,
    bounded,
    check_written,
)
from dcgan_assets.sources.reading.png_header import read_png
from dcgan_assets.sources.reading.tiff import exif_orientation
from dcgan_assets.sources.reading.tiff_header import read_tiff

# Start-of-frame markers: all of 0xC0 to 0xCF but the tables DHT, JPG and DAC.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers without a length: TEM, the restarts, and start of image.
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
# The next one behind a scan's data, in which 0xFF stands before a zero or a restart; any number of
# fill bytes come first.
_JPEG_MARKER = re.compile(rb"\xff+([\x02-\xcf\xd9-\xfe])")
# A scan may need tables and a few settings before it.
_MAX_SEGMENTS = 8 * MAX_SCANS
_JPEG_PROFILE = b"ICC_PROFILE\0"
_END_OF_IMAGE = b"\xff\xd9"
_JPEG_COLOURS: dict[int, Colour] = {1: "grey", 4: "CMYK"}
_BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})


def read_header(data: bytes) -> Header:
    """Read the header of a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF file, told by its content.

    Raises:
        BadHeaderError: It is none of these, or cut off or damaged where that can be seen.
    """
    for place, magic, read in _READERS:
        if data.startswith(magic, place):
            try:
                return read(data)
            except (IndexError, struct.error):
                raise BadHeaderError(TRUNCATED) from None
    raise BadHeaderError(_what_else(data))


def _what_else(data: bytes) -> str:
    if not data:
        return "empty"
    if data.startswith(b"version https://git-lfs.github.com/"):
        return "a git-lfs pointer: `git lfs pull` fetches the picture"
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")) or (
        start.startswith(b"<") and b"<html" in start
    ):
        return "HTML, not a picture"
    return NO_PICTURE


def _jpeg(data: bytes) -> Header:
    position, orientation = 2, 1
    frame: tuple[int, int, int, int] | None = None
    profile: list[bytes] = []
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
            orientation = exif_orientation(data[position + 8 : position + length])
        elif marker == 0xE2 and data.startswith(_JPEG_PROFILE, position + 2):
            profile.append(data[position + 14 : position + length])
        position += max(length, 2)
    if frame is None:
        raise BadHeaderError(DAMAGED)
    if data.rfind(_END_OF_IMAGE, position) < 0:
        raise BadHeaderError(TRUNCATED)
    _check_scans(data, position)
    depth, height, width, channels = frame
    if depth != 8:
        raise BadHeaderError(f"JPEG {NOT_READ}: {depth} bits")
    colour = _JPEG_COLOURS.get(channels, "colour")
    joined = _joined(profile) if profile else None
    return Header("JPEG", width, height, orientation, colour=colour, profile=joined)


def _check_scans(data: bytes, position: int) -> None:
    """Refuse a JPEG whose decoding would go over its pixels again and again.

    Args:
        position: Behind the marker of the first scan.
    """
    scans = segments = 1
    while (found := _JPEG_MARKER.search(data, position)) and found[1] != b"\xd9":
        scans += found[1] == b"\xda"
        segments += 1
        if scans > MAX_SCANS or segments > _MAX_SEGMENTS:
            raise BadHeaderError(f"{TOO_MANY_SCANS}: at most {MAX_SCANS} are read")
        position = found.end() + max(int.from_bytes(data[found.end() : found.end() + 2], "big"), 2)


def _joined(parts: list[bytes]) -> bytes:
    """A profile from its segments, each with its number and the number of all; empty if bad."""
    whole = {part[0]: part[2:] for part in parts if len(part) > 2 and part[1] == len(parts)}
    if sorted(whole) != list(range(1, len(parts) + 1)):
        return b""
    return bounded(b"".join(whole[number] for number in sorted(whole)))


def _webp(data: bytes) -> Header:
    if data[8:12] != b"WEBP":
        raise BadHeaderError(_what_else(b"?"))
    (size,) = struct.unpack_from("<I", data, 4)
    if size + 8 > len(data):
        raise BadHeaderError(TRUNCATED)
    kind = data[12:16]
    if kind == b"VP8 ":
        check_written(data[20 : size + 8])
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
    profile = None
    while position + 8 <= end:
        name, length = struct.unpack_from("<4sI", data, position)
        if name == b"EXIF":
            exif = data[position + 8 : position + 8 + length]
            orientation = exif_orientation(exif.removeprefix(b"Exif\0\0"))
        elif name == b"ICCP":
            profile = bounded(data[position + 8 : position + 8 + length])
        elif name == b"VP8 ":
            check_written(data[position + 8 : position + 8 + length])
        frames += name == b"ANMF"
        position += 8 + length + (length & 1)
    return Header(
        "WebP",
        width,
        height,
        orientation,
        transparency=transparency,
        frames=max(frames, 1),
        profile=profile,
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


def _bmp(data: bytes) -> Header:
    offset, size = struct.unpack_from("<II", data, 10)
    if size not in _BMP_HEADERS:
        raise BadHeaderError(NO_PICTURE)
    if size == 12:
        width, height, planes, bits = struct.unpack_from("<HHHH", data, 18)
        packing = 0
    else:
        width, height, planes, bits, packing = struct.unpack_from("<iiHHI", data, 18)
    if planes != 1 or width < 0:
        raise BadHeaderError(DAMAGED)
    height = abs(height)  # negative where the first row is the top one
    plain = packing in {0, 3, 6}
    if plain and offset + (width * bits + 31) // 32 * 4 * height > len(data):
        raise BadHeaderError(TRUNCATED)
    masked = packing in {3, 6} and bits == 32 and size >= 56
    transparency = masked and struct.unpack_from("<I", data, 66)[0] != 0
    return Header("BMP", width, height, transparency=transparency)


_READERS: tuple[tuple[int, bytes, Callable[[bytes], Header]], ...] = (
    (0, b"\xff\xd8\xff", _jpeg),
    (0, b"\x89PNG\r\n\x1a\n", read_png),
    (0, b"RIFF", _webp),
    (0, b"GIF87a", _gif),
    (0, b"GIF89a", _gif),
    (0, b"BM", _bmp),
    (0, b"II*\0", read_tiff),
    (0, b"MM\0*", read_tiff),
    (4, b"ftyp", read_avif),
)
