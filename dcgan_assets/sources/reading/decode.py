"""From the bytes of any picture to uint8 RGB, or to the reason why not; and to thumbnails.

The recipe is the same for every picture, and what it changed is told: EXIF orientation applied,
transparency on white, 16 bits cut to 8, grey to three channels, the first frame of animations,
colours converted to sRGB by the picture's own profile.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dcgan_assets.sources.reading.colours import UNCONVERTED, conversion, to_srgb
from dcgan_assets.sources.reading.complaints import listening
from dcgan_assets.sources.reading.header import DAMAGED, NOT_READ, BadHeaderError, Header
from dcgan_assets.sources.reading.headers import read_header
from dcgan_models.pixels import Pixels

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 50_000_000
MAX_SIDE = 16_384
MAX_ASPECT = 4
# Of 16-bit pictures: what a camera of 12 bits leaves, whose writer did not say so in sBIT.
NARROW = "less than a sixteenth of the range used"

_OPENCV_FORMATS = frozenset({"JPEG", "PNG", "WebP"})
_JPEG_FORMATS = frozenset({"JPEG", "TIFF"})
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
    """Decode a picture; its header is checked before anything is allocated.

    Args:
        data: The bytes of a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF file.
        min_side: Pictures whose shorter side is less are refused.

    Returns:
        The picture, or why it is refused. The kinds of reasons are `empty`, `truncated`,
        `damaged`, `HTML, not a picture`, `a git-lfs pointer`, `not a JPEG, PNG, WebP, GIF, BMP,
        TIFF or AVIF picture`, `HEIC, which is not read`, `a raw photograph`, `TIFF of a kind
        that is not read`, `too many pixels` (`MAX_PIXELS`, `MAX_SIDE`), `too many scans`
        (`MAX_SCANS`), `too small`, `too long` (`MAX_ASPECT`).
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
    try:
        stored = _stored(data, header)
    except _BadPixelsError as error:
        return Refused(str(error), width, height)
    colours, told = _in_srgb(stored.colours, header)
    if stored.alpha is not None:
        colours = _on_white(colours, stored.alpha)
    # Pillow has turned a TIFF.
    pixels = _upright(colours, 1 if header.format == "TIFF" else header.orientation)
    if pixels.shape[:2] != (height, width):
        return Refused(f"{DAMAGED}: the header promises another size", width, height)
    notes = [*_conversions(header), *stored.notes, *told]
    return Decoded(pixels, width, height, "; ".join(notes) or None)


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


class _BadPixelsError(Exception):
    """A decoder gave up, or complained; the text is the reason."""


class _Stored(NamedTuple):
    """Pixels as they lie in the file.

    Attributes:
        colours: uint8 (height, width, 3), RGB; or (height, width, 4), CMYK, where a profile
            converts them.
        alpha: uint8 (height, width), or None.
        notes: What was changed beyond what the header says.
    """

    colours: Pixels
    alpha: Pixels | None = None
    notes: tuple[str, ...] = ()


def _stored(data: bytes, header: Header) -> _Stored:
    """Decode.

    Raises:
        _BadPixelsError: It is damaged, or of a kind that is not read.
    """
    read = _with_opencv if header.format in _OPENCV_FORMATS else _with_pillow
    if header.format not in _JPEG_FORMATS:
        return read(data, header)
    stored, damage = listening(lambda: read(data, header))
    if damage:
        raise _BadPixelsError(f"{DAMAGED}: {damage}")
    return stored


def _with_opencv(data: bytes, header: Header) -> _Stored:
    """Decode a JPEG, PNG or WebP.

    Raises:
        _BadPixelsError: It is damaged.
    """
    import cv2

    # What OpenCV would print about damaged pictures is said in their rows.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    colours = cv2.IMREAD_UNCHANGED if header.transparency else cv2.IMREAD_COLOR_RGB
    flags = colours | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        stored: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        stored = None
    if stored is None:
        raise _BadPixelsError(DAMAGED)
    if header.colour == "CMYK" and header.profile and conversion(header.profile, 4).transform:
        # OpenCV gives no inks.
        return _with_pillow(data, header)
    if header.transparent_level is not None:
        # OpenCV does not look at the transparent level of a grey PNG.
        stored = _with_alpha(stored, header.transparent_level, header.depth)
    if stored.shape[2] == 3:
        return _in_8_bits(stored, None, header)
    return _in_8_bits(stored[..., 2::-1], stored[..., 3], header)


def _in_8_bits(
    colours: npt.NDArray[Any], alpha: npt.NDArray[Any] | None, header: Header
) -> _Stored:
    """Cut 16 bits to 8, and fewer to as many as the file says they are.

    A PNG's sBIT says how many bits mean anything. They should be the upper ones, and then there is
    nothing to do. Some writers leave them below, and the picture is nearly black. Nothing but sBIT
    decides how far they are moved: never the brightest pixel that a picture happens to have.
    """
    depth = 16 if colours.dtype == np.uint16 else 8
    bits = header.significant or depth
    unused = (1 << depth - bits) - 1 if 1 <= bits < depth <= header.depth else 0
    notes: tuple[str, ...] = ()
    if unused and int(colours.max()) < 1 << bits and bool((colours & unused).any()):
        notes = (f"{bits} bits in the lower ones of {depth}",)
        depth = bits
        if alpha is not None and int(alpha.max()) >= 1 << bits:
            alpha = alpha >> (16 if alpha.dtype == np.uint16 else 8) - bits
    cut = _shifted(colours, depth - 8)
    if colours.dtype == np.uint16 and not notes and int(cut.max()) < 16:
        notes = (NARROW,)
    return _Stored(cut, None if alpha is None else _shifted(alpha, depth - 8), notes)


def _shifted(levels: npt.NDArray[Any], bits: int) -> Pixels:
    """Levels without their lowest bits; with as many zeros more where the number is negative."""
    if bits < 0:
        return (levels << -bits).astype(np.uint8)
    return (levels >> bits).astype(np.uint8) if bits else levels


def _with_alpha(grey: npt.NDArray[Any], level: int, depth: int) -> npt.NDArray[Any]:
    """Grey (height, width), levels spread to 8 or 16 bits as OpenCV does, to four channels."""
    spread = level * 255 // (2**depth - 1) if depth < 8 else level
    alpha = np.where(grey == spread, 0, np.iinfo(grey.dtype).max).astype(grey.dtype)
    return np.dstack([grey, grey, grey, alpha])


def _with_pillow(data: bytes, header: Header) -> _Stored:
    """Decode the first picture of a GIF, BMP, TIFF or AVIF, or the inks of a JPEG.

    Raises:
        _BadPixelsError: It is damaged, or of a kind that Pillow does not read.
    """
    from PIL import Image

    # What Pillow raises on damaged bytes, found by damaging bytes.
    damage = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError,
              OverflowError, RuntimeError, struct.error)  # fmt: skip
    try:
        picture = Image.open(io.BytesIO(data), formats=[header.format])
    except damage:
        raise _BadPixelsError(f"{header.format} {NOT_READ}") from None
    try:
        with picture:
            return _of_pillow(picture, header)
    except damage:
        raise _BadPixelsError(DAMAGED) from None


def _of_pillow(picture: Image.Image, header: Header) -> _Stored:
    """The pixels of an opened picture, in one of the modes that TIFF, GIF, BMP and AVIF have."""
    if picture.mode.startswith("I;16"):
        levels = np.asarray(picture).astype(np.uint16) << 16 - header.depth
        return _in_8_bits(np.repeat(levels[..., np.newaxis], 3, axis=2), None, header)
    if header.colour == "CMYK" and header.profile and conversion(header.profile, 4).transform:
        return _Stored(np.asarray(picture))
    if picture.has_transparency_data:
        pixels = np.asarray(picture.convert("RGBA"))
        return _Stored(pixels[..., :3], pixels[..., 3])
    return _Stored(np.asarray(picture.convert("RGB")))


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


def _conversions(header: Header) -> list[str]:
    done = []
    if header.orientation != 1:
        done.append(f"EXIF orientation {header.orientation}")
    if header.transparency:
        done.append("alpha on white")
    if header.depth > 8:
        done.append(f"{header.depth}-bit")
    if header.colour != "colour":
        done.append(header.colour)
    if header.frames > 1:
        done.append(f"frame 1 of {header.frames}")
    return done


def _in_srgb(colours: Pixels, header: Header) -> tuple[Pixels, list[str]]:
    """RGB by the picture's profile, and what was done; as they are where it has none."""
    if header.profile is None:
        return colours, [f"{UNCONVERTED}: {header.unapplied}"] if header.unapplied else []
    channels = {"grey": 1, "colour": 3, "CMYK": 4}[header.colour]
    transform, told = conversion(header.profile, channels)
    if transform is not None:
        colours = to_srgb(colours[..., 0] if channels == 1 else colours, transform)
    return colours, [told] if told else []
