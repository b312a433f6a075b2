"""Planted duplicates: edits that near-duplicates on the web have, and what a hash makes of them.

The paper says "high recall" of its deduplication but measures none (section 3.1). Here copies are
planted: pictures are edited at their source resolution, made into 32x32 thumbnails like the
originals, and looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from dcgan_models.dedup.codes import Codes, check_codes, hamming, words
from dcgan_models.errors import UserError
from dcgan_models.pixels import Pixels

_QUALITY = 75
_BLOCK = 256  # originals compared with all others at once


def thumbnail(picture: Pixels, side: int = 32) -> Pixels:
    """The centre square of a picture, averaged down (section 3.1).

    Args:
        picture: uint8 (height, width, 3).
        side: Of the result.

    Returns:
        uint8 (side, side, 3).
    """
    import cv2

    height, width = picture.shape[:2]
    square = min(height, width)
    top, left = (height - square) // 2, (width - square) // 2
    centre = picture[top : top + square, left : left + square]
    return _uint8(cv2.resize(centre, (side, side), interpolation=cv2.INTER_AREA))


def jpeg(picture: Pixels) -> Pixels:
    """Store as JPEG of quality 75 and read again."""
    import cv2

    # OpenCV takes the channels for blue, green, red; JPEG treats colours unequally.
    data = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
    return _uint8(cv2.imdecode(data, cv2.IMREAD_COLOR))[:, :, ::-1].copy()


def half_size_jpeg(picture: Pixels) -> Pixels:
    """Halve both sides, then store as JPEG of quality 75."""
    import cv2

    height, width = picture.shape[:2]
    halved = cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return jpeg(_uint8(halved))


def crop(picture: Pixels) -> Pixels:
    """Cut 1% off each edge, 2% of each side in all, and enlarge to the old size."""
    import cv2

    height, width = picture.shape[:2]
    y, x = round(height * 0.01), round(width * 0.01)
    inner = picture[y : height - y, x : width - x]
    return _uint8(cv2.resize(inner, (width, height), interpolation=cv2.INTER_LINEAR))


def shift(picture: Pixels) -> Pixels:
    """Move by 1.5% of the side, right and down; the gap shows the border reflected."""
    height, width = picture.shape[:2]
    y, x = round(height * 0.015), round(width * 0.015)
    return np.pad(picture, ((y, 0), (x, 0), (0, 0)), mode="reflect")[:height, :width]


def brighten(picture: Pixels) -> Pixels:
    """Multiply by 1.05, rounded and cut off at 255."""
    return _uint8(np.minimum(np.rint(picture * 1.05), 255))


def _uint8(picture: Any) -> Pixels:
    """What OpenCV says is an array of some kind, or nothing, as the bytes that it is."""
    return np.asarray(picture).astype(np.uint8, copy=False)


EDITS: Mapping[str, Callable[[Pixels], Pixels]] = MappingProxyType(
    {
        "jpeg 75": jpeg,
        "half size, jpeg 75": half_size_jpeg,
        "crop 2%": crop,
        "shift 1.5%": shift,
        "brightness +5%": brighten,
    }
)
"""Edits by name: each takes and returns uint8 (height, width, 3), of some 256 pixels a side."""


def recall(originals: Codes, edited: Codes, radius: int) -> tuple[int, int]:
    """How many edited pictures are found, each by its own original.

    Args:
        originals: Packed codes, uint8 (n, bits / 8).
        edited: Codes of the edited copies, in the same order.
        radius: Differing bits that still count; 0 for exact collisions.

    Returns:
        Found, and n: made for `metrics.wilson_interval`.
    """
    if originals.shape != edited.shape:
        raise UserError(f"codes {originals.shape} and {edited.shape}: a copy for each is needed")
    return int((hamming(originals, edited) <= radius).sum()), len(originals)


def false_pairs(codes: Codes, origin: npt.NDArray[np.int64], radius: int) -> tuple[int, int]:
    """Count pairs of different origin whose codes lie within the radius all the same.

    Args:
        codes: Packed, uint8 (n, bits / 8).
        origin: (n,) integers: what a picture was made from.
        radius: Differing bits that still count; 0 for exact collisions.

    Returns:
        False pairs, and all pairs of different origin.
    """
    check_codes(codes)
    if origin.shape != codes.shape[:1]:
        raise UserError(f"{origin.shape} origins for {len(codes)} codes")
    found = words(codes)
    false = pairs = 0
    for low in range(0, len(found), _BLOCK):
        one, later = found[low : low + _BLOCK], found[low:]
        distances = np.bitwise_count(one[:, None] ^ later[None]).sum(axis=2, dtype=np.int64)
        foreign = np.triu(origin[low : low + _BLOCK, None] != origin[None, low:])
        false += int((foreign & (distances <= radius)).sum())
        pairs += int(foreign.sum())
    return false, pairs
