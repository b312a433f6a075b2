"""From the bytes of any picture to uint8 RGB, or to the reason why not; and to thumbnails.

The recipe is the same for every picture, and what it changed is told: EXIF orientation applied,
transparency on white, 16 bits cut to 8, grey to three channels, the first frame of animations.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dcgan_assets.sources.headers import (
    DAMAGED,
    TRUNCATED,
    BadHeaderError,
    Header,
    read_header,
)

MAX_PIXELS = 50_000_000
MAX_SIDE = 16_384
MAX_ASPECT = 4

Pixels = npt.NDArray[np.uint8]

_ROWS_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A picture.

    Attributes:
        pixels: uint8 (height, width, 3), RGB, upright.
        width, height: Of the picture as shown.
        converted: What was changed, as `EXIF orientation 6; grey`; None when nothing was.
    """

    pixels: Pixels
    width: int
    height: int
    converted: str | None


@dataclass(frozen=True, slots=True)
class Refused:
    """No picture.

    Attributes:
        reason: The kind of refusal, and details after a colon: `too small: 1x1 pixels`.
        width, height: As shown, where the header says so.
    """

    reason: str
    width: int | None = None
    height: int | None = None


def decode(data: bytes, min_side: int = 1) -> Decoded | Refused:
    """Decode a JPEG, PNG, WebP or GIF picture; the header is checked before anything is allocated.

    Args:
        data: The file's bytes.
        min_side: Pictures whose shorter side is less are refused.

    Returns:
        The picture, or why it is refused: `empty`, `truncated`, `damaged`, `HTML, not a
        picture`, `not a JPEG, PNG, WebP or GIF picture`, `too many pixels` (`MAX_PIXELS`,
        `MAX_SIDE`), `too small`, `too long` (`MAX_ASPECT`).
    """
    try:
        header = read_header(data)
    except BadHeaderError as error:
        return Refused(str(error))
    width, height = header.width, header.height
    if header.orientation > 4:
        width, height = height, width
    reason = _size_refusal(width, height, min_side)
    if reason:
        return Refused(reason, width, height)
    pixels = _decode_gif(data) if header.format == "GIF" else _decode(data, header)
    if pixels is None:
        return Refused(_what_is_wrong(data, header), width, height)
    if pixels.shape[:2] != (header.height, header.width):
        return Refused(f"{DAMAGED}: the header promises another size", width, height)
    return Decoded(_upright(pixels, header.orientation), width, height, _conversions(header))


def thumbnails(picture: Pixels, sizes: Sequence[int]) -> list[Pixels]:
    """The central square of a picture in several sizes.

    The square of the shorter side is cut out, then each size is made from it directly: by area
    averages when shrinking, which lets no fine pattern alias, and by cubic interpolation when
    enlarging. No size is made from another, so each is the same whatever the others are.

    Args:
        picture: uint8 (height, width, 3).
        sizes: Sides of the thumbnails.

    Returns:
        uint8 (size, size, 3) for each size.
    """
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = picture[top : top + side, left : left + side]
    return [_resized(square, size) for size in sizes]


def _resized(square: Pixels, size: int) -> Pixels:
    # Here: the code location reads this module, and each of Dagster's processes would pay.
    import cv2

    if len(square) == size:
        return square.copy()
    method = cv2.INTER_AREA if size < len(square) else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(square, (size, size), interpolation=method), np.uint8)


def _size_refusal(width: int, height: int, min_side: int) -> str | None:
    short, long = sorted((width, height))
    if not short:
        return DAMAGED
    if long > MAX_SIDE or width * height > MAX_PIXELS:
        return (
            f"too many pixels: {width}x{height}; at most {MAX_PIXELS:,}, "
            f"and {MAX_SIDE:,} a side, are read"
        )
    if short < min_side:
        return f"too small: {width}x{height}; a side of at least {min_side} is needed"
    if long > MAX_ASPECT * short:
        return f"too long: {width}x{height}; at most {MAX_ASPECT} times as long as wide"
    return None


def _decode(data: bytes, header: Header) -> Pixels | None:
    """Decode with OpenCV; None when it cannot."""
    import cv2

    # What OpenCV would print about damaged pictures is said in their rows.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    colours = cv2.IMREAD_UNCHANGED if header.transparency else cv2.IMREAD_COLOR_RGB
    flags = colours | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        stored: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    if stored is None:
        return None
    if header.transparent_level is not None:
        # OpenCV does not look at the transparent level of a grey PNG.
        stored = _with_alpha(stored, header.transparent_level, header.depth)
    pixels: Pixels = (stored >> 8).astype(np.uint8) if stored.dtype == np.uint16 else stored
    return _on_white(pixels[..., 2::-1], pixels[..., 3]) if pixels.shape[2] == 4 else pixels


def _with_alpha(grey: npt.NDArray[Any], level: int, depth: int) -> npt.NDArray[Any]:
    """Grey (height, width), levels spread to 8 or 16 bits as OpenCV does, to four channels."""
    spread = level * 255 // (2**depth - 1) if depth < 8 else level
    alpha = np.where(grey == spread, 0, np.iinfo(grey.dtype).max).astype(grey.dtype)
    return np.dstack([grey, grey, grey, alpha])


def _decode_gif(data: bytes) -> Pixels | None:
    """Decode the first frame with Pillow, which knows a GIF's transparent colour."""
    from PIL import Image

    # What Pillow raises on damaged bytes, found by damaging bytes.
    damage = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error)
    try:
        with Image.open(io.BytesIO(data), formats=["GIF"]) as picture:
            pixels = np.asarray(picture.convert("RGBA"))
    except damage:
        return None
    return _on_white(pixels[..., :3], pixels[..., 3])


def _on_white(colours: Pixels, alpha: Pixels) -> Pixels:
    """Blend (height, width, 3) by alpha (height, width) with white, some rows at a time."""
    blended = np.empty(colours.shape, np.uint8)
    for first in range(0, len(colours), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        weight = alpha[rows, :, np.newaxis].astype(np.uint16)
        # The sum is at most 255 * 255 + 127, which 16 bits hold.
        blended[rows] = (colours[rows] * weight + (255 - weight) * 255 + 127) // 255
    return blended


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Turn and mirror as the EXIF orientation says."""
    if orientation == 1:
        return pixels
    if orientation > 4:
        pixels = pixels.swapaxes(0, 1)
    flip_rows = orientation in {3, 4, 7, 8}
    flip_columns = orientation in {2, 3, 6, 7}
    return np.ascontiguousarray(pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1])


def _what_is_wrong(data: bytes, header: Header) -> str:
    """Why a decoder gave up. The other formats' lengths were checked with their headers."""
    ended = data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
    return DAMAGED if ended or header.format != "JPEG" else TRUNCATED


def _conversions(header: Header) -> str | None:
    done = []
    if header.orientation != 1:
        done.append(f"EXIF orientation {header.orientation}")
    if header.transparency:
        done.append("alpha on white")
    if header.depth == 16:
        done.append("16-bit")
    if header.colour != "colour":
        done.append(header.colour)
    if header.frames > 1:
        done.append(f"frame 1 of {header.frames}")
    return "; ".join(done) or None
