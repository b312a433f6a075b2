"""Pictures on the page: the same to look at, and never too many bytes."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from fixture_types import Refused
from PIL import Image
from small_results import draw

from dcgan_assets.assets.report.encoding import encode, encode_all


def decoded(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "WEBP"
        return np.asarray(image.convert("RGB")).astype(int)


def test_a_chart_keeps_every_pixel_on_white(tmp_path: Path) -> None:
    draw(tmp_path / "chart.png", 640, 320, grid=False, seed=0)
    found = encode(tmp_path / "chart.png", 100_000)
    pixels = decoded(found.content)
    assert pixels.shape == (found.height, found.width, 3) == (320, 640, 3)
    assert (pixels[:80] == 255).all()
    assert (pixels[80:160] == 0).all()
    assert not found.grid


def test_a_grid_is_close_to_what_it_was(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 800 * 400 * 3).reshape(400, 800, 3).astype(np.uint8)
    Image.fromarray(ramp).save(tmp_path / "grid.png")
    found = encode(tmp_path / "grid.png", 100_000)
    assert found.grid
    assert np.abs(decoded(found.content) - ramp).mean() < 2


def test_its_address_holds_the_picture(tmp_path: Path) -> None:
    draw(tmp_path / "grid.png", 60, 40, grid=True, seed=0)
    found = encode(tmp_path / "grid.png", 100_000)
    scheme, content = found.address.split(",")
    assert scheme == "data:image/webp;base64"
    assert base64.b64decode(content) == found.content


def test_all_together_keep_to_the_budget_and_the_large_ones_give_way(tmp_path: Path) -> None:
    paths = {}
    for seed, (name, side) in enumerate({"large": 500, "middle": 300, "small": 40}.items()):
        paths[name] = tmp_path / f"{name}.png"
        draw(paths[name], side, side, grid=True, seed=seed)
    free = encode_all(paths, 10_000_000)
    tight = encode_all(paths, 90_000)
    assert (
        sum(len(one.address) - len("data:image/webp;base64,") for one in tight.values()) <= 90_000
    )
    assert tight["small"] == free["small"]
    assert len(tight["large"].content) < len(free["large"].content)
    assert tight == encode_all(paths, 90_000)


def test_a_picture_that_is_too_long_for_webp_is_made_smaller(tmp_path: Path) -> None:
    draw(tmp_path / "long.png", 40, 17_000, grid=True, seed=0)
    found = encode(tmp_path / "long.png", 100_000)
    assert (found.width, found.height) == (6, 2400)


def test_a_budget_that_nothing_fits_into_is_one_line(tmp_path: Path, refused: Refused) -> None:
    draw(tmp_path / "grid.png", 200, 200, grid=True, seed=0)
    with refused("report.paper: 1 pictures do not fit", "megabytes"):
        encode_all({"grid": tmp_path / "grid.png"}, 1000)
