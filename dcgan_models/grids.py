"""Pictures side by side, row-major and without separators, as the paper's figures show them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from dcgan_models.data import PixelStore
from dcgan_models.files import open_atomic

Pixels = npt.NDArray[np.uint8]


def tile(pictures: Pixels, columns: int) -> Pixels:
    """Lay pictures out in rows of `columns`; a last row that is not full ends in black.

    Args:
        pictures: uint8 (n, height, width, channels).
        columns: Pictures in a row.

    Returns:
        uint8 (rows * height, columns * width, channels).
    """
    n, height, width, channels = pictures.shape
    rows = -(-n // columns)
    grid = np.zeros((rows * columns, height, width, channels), np.uint8)
    grid[:n] = pictures
    grid = grid.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return grid.reshape(rows * height, columns * width, channels)


def neighbour_sheet(pictures: Pixels, store: PixelStore, rows: npt.NDArray[np.int64]) -> Pixels:
    """A row for each picture: itself, a white gap, and its neighbours, nearest first.

    Args:
        pictures: uint8 (n, height, width, channels).
        store: Holds pictures of the same shape.
        rows: int64 (n, k), the neighbours' rows in the store.
    """
    lines = []
    for picture, nearest in zip(pictures, rows, strict=True):
        gap = np.full((picture.shape[0], 4, picture.shape[2]), 255, np.uint8)
        lines.append(np.concatenate([picture, gap, tile(store.gather(nearest), len(nearest))], 1))
    return np.concatenate(lines)


def write_png(path: Path, picture: Pixels) -> None:
    """Write uint8 (height, width, channels), grey or RGB, as a PNG, atomically."""
    from PIL import Image

    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    with open_atomic(path) as stream:
        image.save(stream, format="PNG", optimize=True)
