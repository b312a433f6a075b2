"""Colour profiles: from what a picture's numbers mean to sRGB, which is what networks are shown.

A profile that moves no colour is sRGB, whatever it is called. One that cannot be used changes
nothing, and that is told.
"""

from __future__ import annotations

import functools
import io
import re
from typing import Any, NamedTuple

import numpy as np

from dcgan_models.pixels import Pixels

UNCONVERTED = "colours not converted"
CONVERTED = "colours to sRGB"

# The bytes of a picture's channels as Pillow names them.
_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
# So far apart, in levels, are spellings of sRGB: rounded primaries, a table in place of a formula.
_ALIKE = 2
_PIXELS_AT_ONCE = 1 << 20
_NAME_LENGTH = 40
_UNTOLD = re.compile(r"[^A-Za-z0-9 ()._+-]+")
# A CMYK profile takes half a megabyte; few pictures in a row have different ones.
_KEPT = 16


class Conversion(NamedTuple):
    """From a profile to sRGB.

    Attributes:
        transform: Pillow's; None where the numbers stay.
        told: What is said of it in the picture's row; None of sRGB.
    """

    transform: Any
    told: str | None


@functools.lru_cache(_KEPT)
def conversion(profile: bytes, channels: int) -> Conversion:
    """How pictures with this ICC profile become sRGB.

    Args:
        profile: Foreign bytes.
        channels: Of the picture: 1 grey, 3 RGB, 4 CMYK.
    """
    from PIL import ImageCms

    try:
        opened = ImageCms.getOpenProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(
            opened,
            ImageCms.createProfile("sRGB"),
            _MODES[channels],
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        name = ImageCms.getProfileDescription(opened)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return Conversion(None, f"{UNCONVERTED}: an unusable profile")
    if channels != 4 and _moves_nothing(transform, channels):
        return Conversion(None, None)
    short = _UNTOLD.sub(" ", name).strip()[:_NAME_LENGTH].strip()
    return Conversion(transform, f"{CONVERTED}: {short or 'a profile without a name'}")


def to_srgb(pixels: Pixels, transform: Any) -> Pixels:
    """Convert some rows at a time, because Pillow takes four bytes a pixel.

    Args:
        pixels: uint8 (height, width, channels), or (height, width) of grey.
        transform: Of `conversion`, for so many channels.

    Returns:
        uint8 (height, width, 3).
    """
    from PIL import Image, ImageCms

    height, width = pixels.shape[:2]
    mode = _MODES[pixels.shape[2] if pixels.ndim == 3 else 1]
    converted = np.empty((height, width, 3), np.uint8)
    rows = max(1, _PIXELS_AT_ONCE // width)
    for first in range(0, height, rows):
        part = np.ascontiguousarray(pixels[first : first + rows])
        image = Image.frombuffer(mode, (width, len(part)), part, "raw", mode, 0, 1)
        converted[first : first + rows] = np.asarray(ImageCms.applyTransform(image, transform))
    return converted


def _moves_nothing(transform: Any, channels: int) -> bool:
    """Whether a grid of colours stays where it is."""
    levels = np.arange(0, 256, 17 if channels == 3 else 1, dtype=np.uint8)
    grid = np.stack(np.meshgrid(*[levels] * channels, indexing="ij"), axis=-1)
    colours: Pixels = grid.reshape(1, -1, channels)
    moved = to_srgb(colours if channels == 3 else colours[..., 0], transform)
    return bool(np.abs(moved.astype(int) - colours).max() <= _ALIKE)
