"""Painting filled shapes larger than they are kept, and averaging them down.

Coordinates are shares of the picture's side: (0, 0) is the upper left corner, (1, 1) the lower
right one.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dcgan_models.pixels import Pixels

Colour = tuple[float, float, float]  # red, green, blue, 0 to 255
Point = tuple[float, float]
Points = npt.NDArray[np.float64]  # (n, 2)

# Bits of a coordinate below the pixel, as OpenCV takes them.
_SUBPIXEL = 4
# The least side that is painted; smaller pictures are averaged from it.
_LEAST_PAINTED = 128


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """A colour from hue (any number, 1 being once round), saturation and value, 0 to 1."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return 255 * red, 255 * green, 255 * blue


def shade(colour: Colour, light: float) -> Colour:
    """The colour in more (above 1) or less light."""
    red, green, blue = colour
    return min(255.0, red * light), min(255.0, green * light), min(255.0, blue * light)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`share` of the second colour, the rest of the first."""
    red, green, blue = (a + share * (b - a) for a, b in zip(first, second, strict=True))
    return red, green, blue


class Canvas:
    """A square picture; a small one is painted larger and averaged down."""

    def __init__(self, size: int, ground: Colour) -> None:
        self.size = size
        self.side = max(size, _LEAST_PAINTED)
        self.pixels: Pixels = np.empty((self.side, self.side, 3), np.uint8)
        self.pixels[:] = ground
        self._unit = self.side * (1 << _SUBPIXEL)

    def polygon(self, points: Points | Sequence[Point], colour: Colour) -> None:
        """Fill a convex polygon."""
        import cv2

        cv2.fillConvexPoly(self.pixels, self._placed(points), colour, cv2.LINE_AA, _SUBPIXEL)

    def line(self, points: Points, width: float, colour: Colour) -> None:
        """Draw a closed line through points, `width` being a share of the picture's side."""
        import cv2

        thick = max(1, round(width * self.side))
        path = [self._placed(points)]
        cv2.polylines(self.pixels, path, True, colour, thick, cv2.LINE_AA, _SUBPIXEL)

    def _placed(self, points: Points | Sequence[Point]) -> npt.NDArray[np.int32]:
        """Points as OpenCV takes them, which gives whole coordinates to a pixel's middle."""
        places = np.asarray(points) * self._unit - (1 << (_SUBPIXEL - 1))
        placed: npt.NDArray[np.int32] = np.rint(places).astype(np.int32)
        return placed

    def finished(self, light: Point, brightness: float) -> Pixels:
        """The picture at its own size, in a light that changes evenly across it.

        Args:
            light: How much lighter the right edge is than the middle, and the lower edge, as
                shares; negative ones for the left and the upper edge.
            brightness: Factor of all.

        Returns:
            uint8 (size, size, 3), RGB.
        """
        import cv2

        small = cv2.resize(self.pixels, (self.size, self.size), interpolation=cv2.INTER_AREA)
        ramp = np.linspace(-1, 1, self.size, dtype=np.float32)
        factor = brightness * (1 + light[0] * ramp + light[1] * ramp[:, None])
        lit = small * factor[..., None].astype(np.float32)
        np.clip(lit, 0, 255, out=lit)
        return np.rint(lit, out=lit).astype(np.uint8)


_TURNS = np.arange(24) * (math.tau / 24)
CIRCLE: Points = np.stack([np.cos(_TURNS), np.sin(_TURNS)], axis=1)
CIRCLE.flags.writeable = False


def ellipse(centre: Point, across: float, down: float) -> Points:
    """The outline of an ellipse of half axes `across` and `down`, as corners of a polygon."""
    return CIRCLE * (across, down) + centre


def box_of(points: Sequence[Point]) -> tuple[float, float, float, float]:
    """Left, top, width and height of what points span, cut off at the picture's edges."""
    across = [min(1.0, max(0.0, x)) for x, _ in points]
    down = [min(1.0, max(0.0, y)) for _, y in points]
    left, top = min(across), min(down)
    return left, top, max(across) - left, max(down) - top
