"""Grids: row-major, no separators, black where the last row ends early."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcgan_models.grids import above, beside, tile, write_png


def test_pictures_lie_row_by_row() -> None:
    grid = tile(np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1), columns=3)
    assert grid[..., 0].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_each_picture_is_upright_in_its_place() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (7, 4, 5, 3), dtype=np.uint8)
    grid = tile(pictures, columns=3)
    assert grid.shape == (12, 15, 3)
    assert grid.dtype == np.uint8
    for number, picture in enumerate(pictures):
        top, left = 4 * (number // 3), 5 * (number % 3)
        assert np.array_equal(grid[top : top + 4, left : left + 5], picture)
    assert not grid[8:, 5:].any()  # the seventh picture is alone in its row


@pytest.mark.parametrize(("n", "columns", "shape"), [(1, 4, (2, 8, 1)), (8, 4, (4, 8, 1))])
def test_a_grid_is_as_wide_as_asked(n: int, columns: int, shape: tuple[int, ...]) -> None:
    assert tile(np.full((n, 2, 2, 1), 9, np.uint8), columns).shape == shape


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_png_holds_the_same_pixels(tmp_path: Path, channels: int, mode: str) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (9, 6, channels), dtype=np.uint8)
    path = tmp_path / "grid.png"
    path.write_bytes(b"an older picture")
    write_png(path, picture)
    with Image.open(path) as image:
        assert (image.format, image.mode, image.size) == ("PNG", mode, (6, 9))
        assert np.array_equal(np.asarray(image).reshape(picture.shape), picture)
    assert [entry.name for entry in tmp_path.iterdir()] == ["grid.png"]


def test_blocks_of_any_size_lie_beside_and_above_one_another() -> None:
    tall, wide = np.full((3, 1, 1), 7, np.uint8), np.full((1, 2, 1), 9, np.uint8)
    assert beside([tall, wide], 1, level=5)[..., 0].tolist() == [
        [7, 5, 9, 9],
        [7, 5, 5, 5],
        [7, 5, 5, 5],
    ]
    assert above([wide, tall], 1, level=0)[..., 0].tolist() == [
        [9, 9],
        [0, 0],
        [7, 0],
        [7, 0],
        [7, 0],
    ]
    assert np.array_equal(beside([tall], 4), tall)
