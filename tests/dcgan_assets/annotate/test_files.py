"""Annotation files: what is written is read again, what is wrong is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fixture_types import Refused
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan_assets.annotate.files import (
    LARGEST_FILE,
    Box,
    Boxes,
    Concepts,
    Subject,
    boxes_path,
    check_boxes,
    check_concepts,
    concepts_path,
    read_boxes,
    read_concepts,
    revision,
    write_boxes,
    write_concepts,
)

LSUN = Subject("lsun", "a1b2c3d4e5f6a7b8", samples=100, height=64, width=48)
CONCEPTS = Concepts(LSUN.generator, "person", {"dark": (3,), "empty": (), "light": (1, 7, 99)})
BOXES = Boxes(
    LSUN.generator,
    "auto",
    (2, 5, 9),
    (Box(2, "window", 0, 0, 48, 64), Box(2, "lamp", 1.5, 2, 3, 4), Box(9, "window", 5, 6, 7, 8)),
)


# --- Concepts -------------------------------------------------------------------------------


def concepts_file(**changes: Any) -> dict[str, Any]:
    whole = {
        "format": 1,
        "generator": LSUN.generator,
        "picked_by": "person",
        "concepts": {"dark": [3], "light": [1, 7]},
    }
    return {key: value for key, value in {**whole, **changes}.items() if value is not None}


def test_concepts_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = concepts_path(tmp_path, "lsun")
    write_concepts(path, CONCEPTS, "lsun")
    assert path == tmp_path / "annotations/lsun/concepts.json"
    assert read_concepts(path, LSUN) == CONCEPTS


def test_a_pick_more_is_a_line_more(tmp_path: Path) -> None:
    path = tmp_path / "concepts.json"
    write_concepts(path, CONCEPTS, "lsun")
    before = path.read_text("utf-8").splitlines()
    more = Concepts(LSUN.generator, "person", {**CONCEPTS.picks, "light": (7, 99, 1, 4)})
    write_concepts(path, more, "lsun")
    after = path.read_text("utf-8").splitlines()
    (new,) = (line for line in after if line not in before)
    assert new.strip() == "4,"
    after.remove(new)
    assert after == before


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,39}", fullmatch=True),
        st.frozensets(st.integers(0, 99), max_size=9),
        max_size=9,
    )
)
def test_any_picks_survive_json(picks: dict[str, frozenset[int]]) -> None:
    content = concepts_file(concepts={name: list(ids) for name, ids in picks.items()})
    found = check_concepts(json.loads(json.dumps(content)), LSUN, "here")
    assert {name: frozenset(ids) for name, ids in found.picks.items()} == picks
    assert list(found.picks) == sorted(picks)
    assert all(list(ids) == sorted(ids) for ids in found.picks.values())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"concepts": {"dark": [100]}}, ("dark", "sample 100", "0 to 99")),
        ({"concepts": {"dark": [-1]}}, ("dark", "sample -1")),
        ({"concepts": {"dark": [True]}}, ("concepts.dark.0", "integer")),
        ({"concepts": {"dark": [1.0]}}, ("concepts.dark.0", "integer")),
        ({"concepts": {"dark": ["1"]}}, ("concepts.dark.0", "integer")),
        ({"concepts": {"dark": 7}}, ("concepts.dark", "list")),
        ({"concepts": {"../dark": [1]}}, ("../dark", "a letter, then")),
        ({"concepts": {"dark\n": [1]}}, ("a letter, then",)),
        ({"concepts": {"": [1]}}, ("a letter, then",)),
        ({"concepts": {f"c{i}": [] for i in range(201)}}, ("concepts", "200")),
        ({"concepts": [1]}, ("concepts", "dictionary")),
        ({"concepts": None}, ("concepts", "required")),
        ({"generator": None}, ("generator", "required")),
        ({"generator": "ffff"}, ("ffff", "a1b2c3d4e5f6", "dvc checkout", "dcgan annotate lsun")),
        ({"picked_by": "me"}, ("picked_by", "'person', 'judge' or 'auto'")),
        ({"format": 2}, ("format", "1")),
    ],
    ids=repr,
)
def test_concepts_that_are_refused(
    changes: dict[str, Any], words: tuple[str, ...], refused: Refused
) -> None:
    with refused("concepts.json", *words):
        check_concepts(concepts_file(**changes), LSUN, "concepts.json")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("not JSON",)),
        (b"{", ("not JSON",)),
        (b"\xff\xfe", ("not JSON",)),
        (b"[" * 100_000, ("not JSON",)),
        (b"9" * 5_000, ("not JSON",)),
        (b"[]", ("dictionary",)),
        (b'{"concepts": {"dark": [1], "dark": [2]}}', ("'dark' stands there twice",)),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_files_that_are_no_concepts(
    content: bytes, words: tuple[str, ...], tmp_path: Path, refused: Refused
) -> None:
    path = tmp_path / "concepts.json"
    path.write_bytes(content)
    with refused(str(path), *words):
        read_concepts(path, LSUN)


def test_an_enormous_file_is_not_read(tmp_path: Path, refused: Refused) -> None:
    path = tmp_path / "boxes.coco.json"
    with path.open("wb") as stream:
        stream.truncate(LARGEST_FILE + 1)
    with refused(str(path), "larger than 16 MiB"):
        read_boxes(path, LSUN)
    with refused(str(path), "larger than 16 MiB"):
        revision(path)


def test_no_file_and_no_permission(tmp_path: Path, refused: Refused) -> None:
    with pytest.raises(FileNotFoundError):
        read_concepts(tmp_path / "concepts.json", LSUN)
    (tmp_path / "folder").mkdir()
    with refused("folder", "not readable"):
        read_concepts(tmp_path / "folder", LSUN)
    assert revision(tmp_path / "concepts.json") == ""


# --- Boxes ----------------------------------------------------------------------------------


def coco(**changes: Any) -> dict[str, Any]:
    """As another tool writes it: its own order, its own ids, more fields, floats."""
    whole = {
        "licenses": [{"id": 0, "name": "", "url": ""}],
        "annotations": [
            {
                "segmentation": [[1, 2, 3, 4]],
                "iscrowd": 0,
                "category_id": 7,
                "bbox": [10.25, 0.0, 37.76, 64],
                "area": 2416.64,
                "image_id": 31,
                "id": 1,
                "attributes": {"occluded": False},
            }
        ],
        "categories": [{"supercategory": "", "name": "bed lamp", "id": 7}],
        "images": [
            {"license": 0, "height": 64, "width": 48, "id": 30, "file_name": "out/sample_0012.png"},
            {"height": 64, "width": 48, "id": 31, "file_name": "0005.jpg", "flickr_url": ""},
        ],
        "info": {"contributor": "", "year": 2026, "generator": LSUN.generator},
    }
    return {key: value for key, value in {**whole, **changes}.items() if value is not None}


def image(**changes: Any) -> dict[str, Any]:
    return {"id": 31, "file_name": "5.png", "width": 48, "height": 64, **changes}


def annotation(**changes: Any) -> dict[str, Any]:
    return {"image_id": 31, "category_id": 7, "bbox": [1, 2, 3, 4], **changes}


def write(folder: Path, content: Any) -> Path:
    path = folder / "boxes.coco.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_boxes_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = boxes_path(tmp_path, "lsun")
    write_boxes(path, BOXES, LSUN)
    assert path == tmp_path / "annotations/lsun/boxes.coco.json"
    assert read_boxes(path, LSUN) == BOXES


@given(
    width=st.floats(1.01, 48), height=st.floats(1.01, 64), left=st.floats(0, 1), up=st.floats(0, 1)
)
def test_any_box_that_is_kept_is_read_again(
    width: float,
    height: float,
    left: float,
    up: float,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    box = {
        **{"sample": 9, "name": "window", "width": width, "height": height},
        **{"x": left * (48 - width), "y": up * (64 - height)},
    }
    path = tmp_path_factory.getbasetemp() / "boxes.coco.json"
    kept = check_boxes({"samples": [9], "boxes": [box]}, LSUN, "page")
    write_boxes(path, kept, LSUN)
    assert read_boxes(path, LSUN).boxes == kept.boxes


def test_what_is_written_is_coco(tmp_path: Path) -> None:
    path = tmp_path / "boxes.coco.json"
    write_boxes(path, BOXES, LSUN)
    content = json.loads(path.read_text("utf-8"))
    assert content["info"]["generator"] == LSUN.generator
    assert content["info"]["picked_by"] == "auto"
    assert content["images"][1] == {
        "id": 5,
        "file_name": "sample_0005.png",
        "width": 48,
        "height": 64,
    }
    assert content["categories"] == [{"id": 1, "name": "lamp"}, {"id": 2, "name": "window"}]
    assert content["annotations"][1] == {
        "id": 2,
        "image_id": 2,
        "category_id": 1,
        "bbox": [1.5, 2, 3, 4],
        "area": 12,
        "iscrowd": 0,
    }
    lines = path.read_text("utf-8").splitlines()
    assert sum('"bbox"' in line for line in lines) == 3, "a box a line"


def test_no_boxes_are_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "boxes.coco.json"
    write_boxes(path, Boxes(LSUN.generator, "person", (), ()), LSUN)
    assert read_boxes(path, LSUN) == Boxes(LSUN.generator, "person", (), ())


def test_the_files_of_other_tools_are_read(tmp_path: Path) -> None:
    found = read_boxes(write(tmp_path, coco()), LSUN)
    assert found.samples == (5, 12), "by file name, not by the tool's own ids"
    (box,) = found.boxes
    assert (box.sample, box.name) == (5, "bed lamp")
    # 10.25 + 37.76 = 48.01: the tool rounded; the picture ends at 48.
    assert (box.x, box.y, box.x + box.width, box.height) == (10.25, 0, 48, 64)
    assert found.picked_by == "person"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"info": {}}, ("info.generator is missing", f'"generator": "{LSUN.generator}"')),
        ({"info": {"generator": "ffff"}}, ("ffff", "pick anew")),
        ({"info": None}, ("info.generator is missing",)),
        ({"images": None}, ("images", "required")),
        ({"images": [image(width=64)]}, ("5.png", "64x64", "48x64")),
        ({"images": [image(file_name="bedroom.png")]}, ("bedroom.png", "sample_0017.png")),
        ({"images": [image(file_name="sample_0100.png")]}, ("sample 100", "0 to 99")),
        ({"images": [image(), image()]}, ("images", "id 31", "twice")),
        ({"images": [image(), image(id=1, file_name="a_5.png")]}, ("two images are sample 5",)),
        ({"images": [image(id=1)]}, ("annotations.0", "image_id 31")),
        ({"categories": []}, ("annotations.0", "category_id 7", "none")),
        ({"categories": [{"id": 7, "name": ""}]}, ("categories.0.name",)),
        ({"categories": [{"id": 7, "name": "a\nb"}]}, ("categories.0.name",)),
        (
            {"annotations": [annotation(bbox=[1, 2, 0, 4])]},
            ("annotations.0", "0 x 4", "1 at least"),
        ),
        ({"annotations": [annotation(bbox=[1, 2, 3, -4])]}, ("annotations.0", "3 x -4")),
        ({"annotations": [annotation(bbox=[1, 2, 1e-300, 4])]}, ("annotations.0", "1e-300 x 4")),
        ({"annotations": [annotation(bbox=[1, 2, 3, 0.99])]}, ("annotations.0", "3 x 0.99")),
        # 0.02 of it is what rounding let out, and is cut off.
        ({"annotations": [annotation(bbox=[47.01, 2, 1.01, 4])]}, ("annotations.0", "1.01 x 4")),
        (
            {"annotations": [annotation(bbox=[1e308, 2, 1e308, 4])]},
            ("annotations.0", "(1e+308, 2, inf, 6) leaves"),
        ),
        ({"annotations": [annotation(bbox=[40, 2, 9, 4])]}, ("annotations.0", "leaves", "48x64")),
        ({"annotations": [annotation(bbox=[-1, 2, 3, 4])]}, ("annotations.0", "leaves")),
        ({"annotations": [annotation(bbox=[1, 61, 3, 4])]}, ("annotations.0", "leaves")),
        ({"annotations": [annotation(bbox=[1, 2, 3])]}, ("annotations.0.bbox",)),
        ({"annotations": [annotation(bbox=[1, 2, 3, None])]}, ("annotations.0.bbox.3",)),
        ({"annotations": [annotation(bbox=[1, 2, float("inf"), 3])]}, ("annotations.0.bbox.2",)),
        ({"annotations": [annotation(bbox=[1, 2, float("nan"), 3])]}, ("annotations.0.bbox.2",)),
    ],
    ids=repr,
)
def test_boxes_that_are_refused(
    changes: dict[str, Any], words: tuple[str, ...], tmp_path: Path, refused: Refused
) -> None:
    path = write(tmp_path, coco(**changes))
    with refused(str(path), *words):
        read_boxes(path, LSUN)


def test_boxes_of_the_page(refused: Refused) -> None:
    box = {"sample": 9, "name": "window", "x": 1, "y": 2, "width": 3, "height": 4}
    found = check_boxes({"samples": [3], "boxes": [box]}, LSUN, "page")
    assert found.samples == (3, 9), "what has a box was looked at"
    assert found.boxes == (Box(9, "window", 1, 2, 3, 4),)
    with refused("page: box 0", "leaves"):
        check_boxes({"samples": [], "boxes": [{**box, "x": 46}]}, LSUN, "page")
    with refused("sample 100"):
        check_boxes({"samples": [100], "boxes": []}, LSUN, "page")
    with refused("boxes.0.name"):
        check_boxes({"samples": [], "boxes": [{**box, "name": 3}]}, LSUN, "page")


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "boxes.coco.json"
    write_boxes(path, BOXES, LSUN)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_boxes(path, Boxes(LSUN.generator, "person", (), ()), LSUN)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
