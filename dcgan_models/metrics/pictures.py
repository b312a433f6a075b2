"""Pictures as every measure takes them: checked once, read a block at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dcgan_models.data import PixelStore
from dcgan_models.errors import UserError
from dcgan_models.pixels import Pixels

Pictures = Pixels | PixelStore
"""uint8 (n, height, width, channels): an array, a memory map, or a store."""


def check_pictures(pictures: Pictures, what: str, at_least: int = 1) -> tuple[int, int, int]:
    """Check a set of pictures, and give their (height, width, channels).

    Args:
        pictures: The set.
        what: Its name in messages, such as "generated pictures".
        at_least: How many a measure needs.

    Raises:
        UserError: Not uint8 (n, height, width, channels), or too few.
    """
    if not isinstance(pictures, np.ndarray | PixelStore):
        raise UserError(f"{what}: {type(pictures).__name__}; an array or a PixelStore is needed")
    if isinstance(pictures, np.ndarray) and (pictures.dtype != np.uint8 or pictures.ndim != 4):
        raise UserError(
            f"{what}: {pictures.dtype} {pictures.shape}; uint8 (n, height, width, channels) with "
            "values from 0 to 255 is needed"
        )
    if len(pictures) < at_least:
        raise UserError(f"{what}: {len(pictures)} pictures, at least {at_least} are needed")
    height, width, channels = pictures.shape[-3:]
    return height, width, channels


def check_alike(real: Pictures, fake: Pictures, at_least: int = 1) -> tuple[int, int, int]:
    """The shape that real and generated pictures share; raise `UserError` where they differ."""
    shapes = (
        check_pictures(real, "real pictures", at_least),
        check_pictures(fake, "generated pictures", at_least),
    )
    if shapes[0] != shapes[1]:
        raise UserError(
            f"real pictures are {shapes[0]} and generated ones {shapes[1]} (height, width, "
            "channels); they must be of one shape"
        )
    return shapes[0]


def take(pictures: Pictures, rows: npt.NDArray[np.int64]) -> Pixels:
    """Copy pictures out, in the order of `rows`."""
    return pictures[rows] if isinstance(pictures, np.ndarray) else pictures.gather(rows)


def blocks(pictures: Pictures, size: int) -> Iterator[Pixels]:
    """All pictures in order, `size` at a time."""
    for first in range(0, len(pictures), size):
        yield take(pictures, np.arange(first, min(first + size, len(pictures))))
