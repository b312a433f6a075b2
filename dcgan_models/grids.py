"""Pictures side by side, row-major and without separators, as the paper's figures show them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dcgan_models.data import PixelStore
from dcgan_models.files import open_atomic
from dcgan_models.pixels import Pixels


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


def beside(blocks: Sequence[Pixels], gap: int, level: int = 255) -> Pixels:
    """Lay blocks (h, w, channels) of any size side by side, `gap` pixels of a level between them.

    Lower blocks end in the same level.
    """
    height = max(block.shape[0] for block in blocks)
    parts = []
    for block in blocks:
        room = np.full((height, block.shape[1] + gap, block.shape[2]), level, np.uint8)
        room[: block.shape[0], : block.shape[1]] = block
        parts.append(room)
    joined = np.concatenate(parts, axis=1)
    return joined[:, : joined.shape[1] - gap]


def above(blocks: Sequence[Pixels], gap: int, level: int = 255) -> Pixels:
    """Lay blocks (h, w, channels) of any width one above the other; else as `beside`."""
    return beside([block.swapaxes(0, 1) for block in blocks], gap, level).swapaxes(0, 1)


def neighbour_sheet(pictures: Pixels, store: PixelStore, rows: npt.NDArray[np.int64]) -> Pixels:
    """A row for each picture: itself, a white gap, and its neighbours, nearest first.

    Args:
        pictures: uint8 (n, height, width, channels).
        store: Holds pictures of the same shape.
        rows: int64 (n, k), the neighbours' rows in the store.
    """
    lines = [
        beside([picture, tile(store.gather(nearest), len(nearest))], gap=4)
        for picture, nearest in zip(pictures, rows, strict=True)
    ]
    return np.concatenate(lines)


def png(picture: Pixels) -> bytes:
    """uint8 (height, width, channels), grey or RGB, as a PNG."""
    from PIL import Image

    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def write_png(path: Path, picture: Pixels) -> None:
    """Write uint8 (height, width, channels), grey or RGB, as a PNG, atomically."""
    content = png(picture)
    with open_atomic(path) as stream:
        stream.write(content)
