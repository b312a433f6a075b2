"""The header of a PNG, which is its chunks."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from dcgan_assets.sources.reading.header import DAMAGED, MAX_PROFILE_BYTES, BadHeaderError, Header
from dcgan_assets.sources.reading.tiff import exif_orientation

# Of PNG's gAMA and cHRM, in 100,000ths; of H.273: those of television are drawn as sRGB, too, and 2
# is "unspecified".
_SRGB_GAMMA = 45_455
_SRGB_PLACES = (31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000)
_SRGB_PRIMARIES = frozenset({1, 2, 5, 6})
_SRGB_TRANSFERS = frozenset({1, 2, 6, 13, 14, 15})


def read_png(data: bytes) -> Header:
    """The header of a PNG; the checksums of all chunks but the pixels' are looked at."""
    width, height, depth, kind = struct.unpack_from(">IIBB", data, 16)
    chunks = dict(_chunks(data))
    level = chunks.get(b"tRNS") if kind == 0 else None
    bits = chunks.get(b"sBIT", b"") if kind != 3 else b""
    return Header(
        "PNG",
        width,
        height,
        exif_orientation(chunks.get(b"eXIf", b"")),
        depth,
        "grey" if kind in {0, 4} else "colour",
        kind in {4, 6} or b"tRNS" in chunks,
        struct.unpack_from(">I", chunks[b"acTL"])[0] if b"acTL" in chunks else 1,
        struct.unpack_from(">H", level)[0] if level is not None else None,
        significant=max(bits, default=None),
        profile=_profile(chunks[b"iCCP"]) if b"iCCP" in chunks else None,
        unapplied=_unapplied(chunks),
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of every chunk but the pixels, whose checksums the decoder looks at."""
    position, name = 8, b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if name not in {b"IDAT", b"fdAT"}:
            (checksum,) = struct.unpack_from(">I", data, end)
            content = data[position + 8 : end]
            if zlib.crc32(content, zlib.crc32(name)) != checksum:
                raise BadHeaderError(f"{DAMAGED}: a wrong checksum")
            yield name, content
        position = end + 4


def _profile(content: bytes) -> bytes:
    """The profile that a name, a zero and the method of compression come before."""
    _, _, packed = content.partition(b"\0")
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(packed[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return b""
    return profile if unpacker.eof else b""


def _unapplied(chunks: dict[bytes, bytes]) -> str | None:
    """What a PNG without a profile says of its colours, unless it is about what sRGB is."""
    if b"iCCP" in chunks:
        return None
    if b"cICP" in chunks:
        return told_code_points(*struct.unpack_from(">BB", chunks[b"cICP"]))
    if b"sRGB" in chunks:
        return None
    if b"gAMA" in chunks:
        (gamma,) = struct.unpack_from(">I", chunks[b"gAMA"])
        if abs(gamma - _SRGB_GAMMA) > _SRGB_GAMMA // 20:
            return f"gAMA {gamma / 100_000:g}"
    if b"cHRM" in chunks:
        places = struct.unpack_from(">8I", chunks[b"cHRM"])
        if any(abs(a - b) > 1000 for a, b in zip(places, _SRGB_PLACES, strict=True)):
            return "cHRM"
    return None


def told_code_points(primaries: int, transfer: int) -> str | None:
    """What code points of H.273 say, unless it is about what sRGB is."""
    alike = primaries in _SRGB_PRIMARIES and transfer in _SRGB_TRANSFERS
    return None if alike else f"primaries {primaries}, transfer {transfer} of H.273"
