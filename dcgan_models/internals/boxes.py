"""Boxes around objects in pictures: the positions of a grid they cover, what changed in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dcgan_models.errors import UserError
from dcgan_models.pixels import Pixels

Mask = npt.NDArray[np.bool_]

# Tools that write boxes round; so many pixels beyond the edge are forgiven.
_SLACK = 0.5


@dataclass(frozen=True)
class Box:
    """A box around an object in a sample, in pixels; (x, y) is its upper left corner.

    Attributes:
        picture: Which of the latents drew it, from 0.
        x, y, width, height: As COCO has them; whole numbers lie between pixels.
    """

    picture: int
    x: float
    y: float
    width: float
    height: float


def check_boxes(boxes: Sequence[Box], pictures: int, image: tuple[int, int]) -> None:
    """Refuse boxes that are empty or lie beyond their picture, or whose picture is unknown.

    Args:
        boxes: At least one.
        pictures: How many pictures there are.
        image: Height and width of a picture; half a pixel beyond is forgiven.

    Raises:
        UserError: The line names the box by its number, from 0.
    """
    if not boxes:
        raise UserError("no boxes: draw at least one around the object, on two pictures or more")
    height, width = image
    for number, box in enumerate(boxes):
        where = f"box {number} on picture {box.picture}"
        if not 0 <= box.picture < pictures:
            raise UserError(f"{where}: there are pictures 0 to {pictures - 1}")
        # Written so that NaN, of which every comparison is false, is refused as well.
        if not (box.width > 0 and box.height > 0):
            raise UserError(f"{where} is empty: {box.width} wide, {box.height} high")
        across = box.x >= -_SLACK and box.x + box.width <= width + _SLACK
        down = box.y >= -_SLACK and box.y + box.height <= height + _SLACK
        if not (across and down):
            raise UserError(
                f"{where} reaches from ({box.x}, {box.y}) to ({box.x + box.width}, "
                f"{box.y + box.height}), beyond the picture of {width}x{height}"
            )


def on_object(box: Box, grid: tuple[int, int], image: tuple[int, int]) -> Mask:
    """The positions of a grid (height, width) that are on the object in a box of a picture.

    Args:
        box: In pixels of the picture.
        grid: Height and width of the layer's maps.
        image: Height and width of the picture.

    Returns:
        bool `grid`, at least one of them True.
    """
    cell = image[0] / grid[0], image[1] / grid[1]
    rows = _centres_within(box.y, box.height, cell[0], grid[0])
    columns = _centres_within(box.x, box.width, cell[1], grid[1])
    return rows[:, None] & columns


def _centres_within(start: float, length: float, cell: float, count: int) -> Mask:
    """Which cells of an axis have their centre in an interval, or hold the interval's own."""
    centres = (np.arange(count) + 0.5) * cell
    within: Mask = (centres >= start) & (centres < start + length)
    if not within.any():
        within[min(int((start + length / 2) / cell), count - 1)] = True
    return within


def touched(box: Box, grid: tuple[int, int], image: tuple[int, int]) -> Mask:
    """The positions whose cell a box touches: neither on the object for certain nor off it."""
    cell = image[0] / grid[0], image[1] / grid[1]
    spans = []
    for start, length, size, count in (
        (box.y, box.height, cell[0], grid[0]),
        (box.x, box.width, cell[1], grid[1]),
    ):
        edges = np.arange(count) * size
        spans.append((edges + size > start) & (edges < start + length))
    return spans[0][:, None] & spans[1]


@dataclass(frozen=True)
class Change:
    """Mean absolute difference of two drawings in grey levels, inside and outside of boxes."""

    inside: float
    outside: float

    @property
    def ratio(self) -> float:
        """How many times more the inside changed; infinity where only the inside did, else 1."""
        if self.outside > 0:
            return self.inside / self.outside
        return math.inf if self.inside > 0 else 1.0


def box_change(before: Pixels, after: Pixels, boxes: Sequence[Box]) -> Change:
    """Compare two drawings of the same pictures inside and outside of all boxes.

    Args:
        before, after: uint8 (n, height, width, channels).
        boxes: In pixels; pixels that one touches are inside. Pictures without boxes are all
            outside.

    Returns:
        Mean absolute differences in grey levels; 0 for a side that has no pixels.
    """
    inside = np.zeros(before.shape[:3], bool)
    for box in boxes:
        top, left = max(0, math.floor(box.y)), max(0, math.floor(box.x))
        bottom, right = math.ceil(box.y + box.height), math.ceil(box.x + box.width)
        inside[box.picture, top:bottom, left:right] = True
    difference = np.abs(before.astype(np.int64) - after).mean(axis=3)
    return Change(_mean(difference[inside]), _mean(difference[~inside]))


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else 0.0
