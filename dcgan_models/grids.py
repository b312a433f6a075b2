"""Pictures side by side, row-major and without separators, as the paper's figures show them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

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


def write_png(path: Path, picture: Pixels) -> None:
    """Write uint8 (height, width, channels), grey or RGB, as a PNG, atomically."""
    from PIL import Image

    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    with open_atomic(path) as stream:
        image.save(stream, format="PNG", optimize=True)
