"""The pictures of README and docs: those that are named, no others, and each shows something."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from checkout import CHECKOUT
from doc_pages import PAGES, links
from fixture_types import Refused
from PIL import Image

from docs.writers.pictures import FIGURES, FOLDER, PICTURES, SHOTS, THINGS, things, write_pictures


def size_and_spread(path: Path) -> tuple[tuple[int, int], float]:
    """Width and height, and how much the levels differ: 0 of a blank picture."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        return image.size, float(np.asarray(image.convert("L")).std())


def test_what_pages_name_is_written_and_nothing_else() -> None:
    folder = CHECKOUT / FOLDER
    named = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in links(page)
        if target.endswith(".png") and not target.startswith("http")
    }
    assert named == {folder.resolve() / name for name in PICTURES}
    assert {path.name for path in folder.iterdir()} == set(PICTURES)


@pytest.mark.parametrize("name", PICTURES)
def test_each_picture_shows_something(name: str) -> None:
    size, spread = size_and_spread(CHECKOUT / FOLDER / name)
    assert min(size) >= 240
    assert spread > 10


def test_things_are_as_they_are_drawn_today() -> None:
    with Image.open(CHECKOUT / FOLDER / THINGS) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), things())


def test_what_is_not_made_is_one_line(tmp_path: Path, refused: Refused) -> None:
    with refused("results/lsun/samples/figure.png: not there; `make demo` makes it"):
        write_pictures(tmp_path, tmp_path / "images")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_pictures_can_be_taken_anew(tmp_path: Path) -> None:
    """From what `make demo` made in the checkout; CI makes it before this test."""
    if not (CHECKOUT / "results" / "mnist").is_dir() and "CI" not in os.environ:
        pytest.skip("`make demo` was not run in this checkout")
    write_pictures(CHECKOUT, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(PICTURES)
    for name in PICTURES:
        size, spread = size_and_spread(tmp_path / name)
        assert spread > 10, name
        if name in FIGURES:
            figure = CHECKOUT / "results" / FIGURES[name]
            assert (tmp_path / name).read_bytes() == figure.read_bytes()
        if name in SHOTS:
            assert size == SHOTS[name].size
