"""How far two folders agree: every kind of file, with differences that were put there."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dcgan_assets.dvc.agreement import compare_folders, grey_levels, number_difference
from dcgan_models.files import read_json, write_json
from dcgan_models.grids import write_png

RESULT = {
    "hardware": "one machine",
    "rows": [{"name": "loss", "value": 2.0}, {"name": "error", "value": 0.25, "n": 100}],
}
PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
TABLE = {"key": ["a", "b"], "area": [3.0, 400.0], "code": [[1.0, 2.0], [3.0, 4.0]]}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two equal folders with a file of every kind."""
    one = tmp_path / "one"
    (one / "below").mkdir(parents=True)
    write_json(one / "result.json", RESULT)
    write_png(one / "figure.png", PIXELS)
    np.save(one / "below" / "pixels.npy", PIXELS)
    np.save(one / "weights.npy", np.array([[0.5, -8.0], [np.nan, 0.0]], np.float32))
    pq.write_table(pa.table(TABLE), one / "table.parquet")
    (one / "page.html").write_text("<p>", encoding="utf-8")
    return one, Path(shutil.copytree(one, tmp_path / "other"))


def edit(path: Path, change: Callable[[Any], None]) -> None:
    content = read_json(path)
    change(content)
    write_json(path, content)


def test_equal_folders(folders: tuple[Path, Path]) -> None:
    assert compare_folders(*folders) is None


def test_one_number_of_many(folders: tuple[Path, Path]) -> None:
    edit(folders[1] / "result.json", lambda content: content["rows"][1].update(value=0.26))
    found = compare_folders(*folders)
    assert found is not None
    assert found.place == "result.json: rows[1] (error): value"
    assert found.words == "0.25 and 0.26"
    assert found.size == pytest.approx(0.01)


def test_the_largest_difference_is_told(folders: tuple[Path, Path]) -> None:
    edit(folders[1] / "result.json", lambda content: content["rows"][1].update(value=0.26))
    pixels = PIXELS.copy()
    pixels[2, 1, 0] += 51
    write_png(folders[1] / "figure.png", pixels)
    found = compare_folders(*folders)
    assert found is not None
    assert found.place == "figure.png at (2, 1, 0)"
    assert found.size == pytest.approx(0.2)
    assert found.words == "27 and 78"


def test_arrays_are_compared_by_place(folders: tuple[Path, Path]) -> None:
    np.save(folders[1] / "weights.npy", np.array([[0.5, -8.8], [np.nan, 0.05]], np.float32))
    found = compare_folders(*folders)
    assert found is not None
    assert found.place == "weights.npy at (0, 1)"
    assert found.size == pytest.approx(0.8 / 8.8)


@pytest.mark.parametrize("column", ["area", "code"])
def test_tables_are_compared_by_column(folders: tuple[Path, Path], column: str) -> None:
    changed: dict[str, Any] = {"area": [3.0, 404.0], "code": [[1.0, 2.0], [3.0, 4.04]]}
    pq.write_table(pa.table(TABLE | {column: changed[column]}), folders[1] / "table.parquet")
    found = compare_folders(*folders)
    assert found is not None
    assert found.place.startswith(f"table.parquet: {column} at ")
    assert found.size == pytest.approx(4 / 404)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("page.html", b"<q>", "other bytes"),
        ("result.json", b'{"rows": []}', "'one machine'"),
        ("result.json", b'{"rows": ', "not readable"),
        ("figure.png", b"\x89PNG", "not readable"),
        ("table.parquet", b"PAR1", "not readable"),
        ("weights.npy", b"\x93NUMPY", "not readable"),
    ],
)
def test_what_cannot_be_compared_is_infinitely_far(
    folders: tuple[Path, Path], name: str, content: bytes, words: str
) -> None:
    (folders[1] / name).write_bytes(content)
    found = compare_folders(*folders)
    assert found is not None
    assert found.size == math.inf
    assert found.place == name
    assert words in found.words


@pytest.mark.parametrize("side", [0, 1])
def test_a_file_more_or_less(folders: tuple[Path, Path], side: int) -> None:
    (folders[side] / "page.html").unlink()
    found = compare_folders(*folders)
    assert found is not None
    assert (found.place, found.size) == ("page.html", math.inf)
    assert found.words == f"only in the {('second', 'first')[side]}"
    assert compare_folders(*folders, apart_from={"page.html"}) is None


def test_other_shapes_and_types(folders: tuple[Path, Path]) -> None:
    np.save(folders[1] / "weights.npy", np.zeros(3, np.float64))
    found = compare_folders(*folders)
    assert found is not None
    assert found.words == "float32 (2, 2) and float64 (3,)"


def test_circumstances_do_not_count_at_the_top_alone(folders: tuple[Path, Path]) -> None:
    edit(folders[1] / "result.json", lambda content: content.update(hardware="another"))
    assert compare_folders(*folders, ignored={"hardware"}) is None
    found = compare_folders(*folders, ignored={"rows"})
    assert found is not None
    assert found.words == "'one machine' and 'another'"


def test_differences_of_numbers() -> None:
    assert number_difference(0.001, 0.002) == pytest.approx(0.001)
    assert number_difference(100.0, 101.0) == pytest.approx(1 / 101)
    assert number_difference(1.0, math.nan) == math.inf


def test_pictures_differ_by_grey_levels(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
    grey = np.full((4, 5, 1), 100, np.uint8)
    brighter = grey.copy()
    brighter[1, 2] = 103
    for name, pair in {
        "equal.png": (grey, grey),
        "off.png": (grey, brighter),
        "larger.png": (grey, np.full((4, 6, 1), 100, np.uint8)),
    }.items():
        for folder, picture in zip((one, other), pair, strict=True):
            write_png(folder / name, picture)
    write_png(one / "lost.png", grey)
    found = grey_levels(one, other)
    assert found == {"equal.png": 0, "off.png": 3, "larger.png": math.inf, "lost.png": math.inf}
