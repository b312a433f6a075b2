"""ICC profiles made from their definition, so that what they mean is known in closed form."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

# XYZ of red, green and blue at the white point D50, and the exponent.
ADOBE = (((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446)), 2.199)
PROPHOTO = (((0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249)), 1.8)
DISPLAY_P3 = (((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841)), 2.2)
_SRGB = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
_D50 = (0.9642, 1.0, 0.8249)

_Colours = npt.NDArray[np.float64]


def matrix_profile(
    primaries: tuple[tuple[float, ...], ...], gamma: float, name: str = "x"
) -> bytes:
    """RGB by a matrix and a power."""
    tags = {
        key: _xyz(place) for key, place in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)
    }
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _power(gamma))
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags, name)


def grey_profile(gamma: float) -> bytes:
    """Grey by a power."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _power(gamma)}, "grey")


def ink_profile() -> bytes:
    """CMYK whose lightness falls with the mean of three inks, and with black; without colour."""
    even = bytes(range(256))
    nodes = bytearray()
    for node in range(16):
        cyan, magenta, yellow, black = (node >> shift & 1 for shift in (3, 2, 1, 0))
        lightness = (1 - black) * (1 - (cyan + magenta + yellow) / 3)
        nodes += bytes((round(255 * lightness), 128, 128))
    identity = b"".join(map(_fixed, (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + identity + even * 4 + bytes(nodes) + even * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table}, "Ink")


def as_srgb(colours: _Colours, primaries: tuple[tuple[float, ...], ...], gamma: float) -> _Colours:
    """What `matrix_profile` means, (n, 3) from 0 to 1, in sRGB."""
    linear = colours**gamma @ np.array(primaries) @ np.linalg.inv(np.array(_SRGB))
    return srgb_curve(np.clip(linear, 0, 1))


def srgb_curve(linear: _Colours) -> _Colours:
    """From light to sRGB's numbers, 0 to 1."""
    return np.asarray(
        np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    )


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(place: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, place))


def _power(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def _profile(kind: bytes, space: bytes, pcs: bytes, tags: dict[bytes, bytes], name: str) -> bytes:
    text = name.encode() + b"\0"
    described = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)
    tags = {
        **tags,
        b"wtpt": _xyz(_D50),
        b"desc": described,
        b"cprt": b"text\0\0\0\0x\0",
    }
    body, table = b"", struct.pack(">I", len(tags))
    start = 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += tag + struct.pack(">II", start + len(body), len(content))
        body += padded
    head = struct.pack(
        ">I4sI4s4s4s", start + len(body), b"lcms", 0x02400000, kind, space, pcs
    ) + bytes(12)
    head += b"acsp" + bytes(28) + b"".join(map(_fixed, _D50))
    return head.ljust(128, b"\0") + table + body
