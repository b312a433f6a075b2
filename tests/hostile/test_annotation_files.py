"""Files of picks and boxes by other tools, or by nobody who means well."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixture_types import Refused

from dcgan_assets.annotate.files import Subject, read_boxes, read_concepts, revision

SUBJECT = Subject("lsun", "published", samples=16, height=32, width=32)
NAN, INF = float("nan"), float("inf")


def concepts(picked: Any = None, **others: Any) -> bytes:
    """A file of concepts."""
    content = {"format": 1, "generator": "published", "picked_by": "person"}
    return json.dumps({**content, "concepts": picked or {"smile": [1]}, **others}).encode()


def coco(**others: Any) -> bytes:
    """A file of boxes: one picture, one category, one box."""
    content = {
        "info": {"generator": "published"},
        "images": [picture()],
        "categories": [{"id": 1, "name": "bed"}],
        "annotations": [box(1, 1, 5, 5)],
    }
    return json.dumps({**content, **others}).encode()


def picture(name: str = "sample_0001.png", **others: Any) -> dict[str, Any]:
    return {"id": 1, "file_name": name, "width": 32, "height": 32, **others}


def box(*bbox: Any, **others: Any) -> dict[str, Any]:
    return {"image_id": 1, "category_id": 1, "bbox": bbox, **others}


# What is no JSON at all, or not what either file is.
NEITHER: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not JSON"),
    "null": (b"null", "should be a valid dictionary"),
    "a list": (b"[]", "should be a valid dictionary"),
    "a number of 5,000 digits": (b"9" * 5000, "not JSON"),
    "100,000 brackets": (b"[" * 100_000, "not JSON"),
    "100,000 braces": (b'{"a":' * 100_000, "not JSON"),
    "more than one": (b"{}{}", "not JSON (Extra data"),
    "cut short": (b'{"format": 1, "conc', "not JSON"),
    "Latin-1": (b'{"a": "\xe9"}', "not JSON ('utf-8' codec can't decode byte 0xe9"),
    "a key twice": (b'{"info": 1, "info": 2}', "'info' stands there twice"),
    "a key twice that clears the screen": (
        b'{"\\u001b[2J\\n": 1, "\\u001b[2J\\n": 2}',
        "'\\x1b[2J\\n' stands there twice",
    ),
    "YAML": (b"format: 1", "not JSON"),
    "a pickle": (b"\x80\x04\x95\x1c\x00\x00\x00", "not JSON"),
}
CONCEPTS: dict[str, tuple[bytes, str]] = {
    "another format": (concepts(format=2), "format: input should be 1"),
    "another generator": (concepts(generator="other"), "made for generator other, published"),
    "a generator with a line's end": (
        concepts(generator="x\n\x1b"),
        "made for generator x\\n\\x1b",
    ),
    "a generator that is a number": (concepts(generator=7), "generator: input should be"),
    "a generator of half a character": (concepts(generator="\ud800"), "\\ud800"),
    "picked by nobody": (concepts(picked_by="\x1b"), "picked_by: input should be 'person'"),
    "concepts that are a list": (concepts([1]), "concepts: input should be a valid dictionary"),
    "rows that are a number": (concepts({"a": 1}), "concepts.a: input should be a valid list"),
    "a row that is a truth": (concepts({"a": [True]}), "concepts.a.0: input should be a valid"),
    "a row that is a half": (concepts({"a": [0.5]}), "concepts.a.0: input should be a valid"),
    "a row that is no number": (concepts({"a": [NAN]}), "concepts.a.0: input should be a valid"),
    "a row below": (concepts({"a": [-1]}), "a: sample -1 does not exist; lsun has 0 to 15"),
    "a row above": (concepts({"a": [16]}), "a: sample 16 does not exist; lsun has 0 to 15"),
    "a row far above": (concepts({"a": [10**300]}), "does not exist; lsun has 0 to 15"),
    "a name of a prototype": (concepts({"__proto__": [1]}), "not a concept's name"),
    "a name with a line's end": (concepts({"a\n": [1]}), "not a concept's name"),
    "a name with NUL": (concepts({"a\0": [1]}), "not a concept's name"),
    "a name that leads up": (concepts({"../a": [1]}), "not a concept's name"),
    "a name of 40,000 letters": (concepts({"a" * 40_000: [1]}), "not a concept's name"),
    "a name of half a character": (concepts({"\ud800": [1]}), "not a concept's name"),
    "201 names": (concepts({f"a{n}": [1] for n in range(201)}), "at most 200 items"),
}
BOXES: dict[str, tuple[bytes, str]] = {
    "no generator": (coco(info={}), "info.generator is missing; if these are samples"),
    "info that is a list": (coco(info=[]), "info: input should be a valid dictionary"),
    "another generator": (coco(info={"generator": "x\n"}), "made for generator x\\n, published"),
    "no numbers": (coco(annotations=[box()]), "annotations.0.bbox"),
    "three numbers": (coco(annotations=[box(1, 1, 5)]), "annotations.0.bbox.3: field required"),
    "five numbers": (coco(annotations=[box(1, 1, 5, 5, 5)]), "at most 4 items"),
    "texts": (coco(annotations=[box("1", 1, 5, 5)]), "bbox.0: input should be a valid number"),
    "a truth": (coco(annotations=[box(True, 1, 5, 5)]), "bbox.0: input should be a valid number"),
    "nothing": (coco(annotations=[box(None, 1, 5, 5)]), "bbox.0: input should be a valid number"),
    "not a number": (coco(annotations=[box(NAN, 1, 5, 5)]), "bbox.0: input should be a finite"),
    "an endless box": (coco(annotations=[box(1, 1, INF, 5)]), "bbox.2: input should be a finite"),
    "a number of 400 digits": (coco(annotations=[box(10**400, 1, 1, 1)]), "bbox.0: input"),
    "the largest numbers": (coco(annotations=[box(*[1.7e308] * 4)]), "annotations.0: the box"),
    "a box of nothing": (coco(annotations=[box(1, 1, 0, 5)]), "annotations.0: a"),
    "a box turned over": (coco(annotations=[box(9, 9, -5, 5)]), "annotations.0: a"),
    "a box 1e-300 wide": (coco(annotations=[box(1, 1, 1e-300, 5)]), "annotations.0: a"),
    "a box outside": (coco(annotations=[box(30, 30, 5, 5)]), "leaves the picture of 32x32"),
    "a box that is a mapping": (coco(annotations=[{**box(), "bbox": {"x": 1}}]), "valid tuple"),
    "boxes that are a mapping": (coco(annotations={}), "annotations: input should be a valid list"),
    "a box in no picture": (coco(annotations=[box(1, 1, 5, 5, image_id=2)]), "image_id 2 is in no"),
    "a box of nothing known": (coco(annotations=[box(1, 1, 5, 5, category_id=2)]), "category_id 2"),
    "a picture twice": (coco(images=[picture(), picture()]), "images: the id 1 stands there twice"),
    "a row twice": (coco(images=[picture(), picture(id=2)]), "two images are sample 1"),
    "a row above": (coco(images=[picture("sample_9999.png")]), "sample 9999 does not exist"),
    "a row of 5,000 digits": (coco(images=[picture("9" * 5000)]), "does not exist; lsun has 0"),
    "a row of Arabic digits": (coco(images=[picture("sample_\u0661.png")]), "does not end in"),
    "a file elsewhere": (coco(images=[picture("../../etc/passwd")]), "does not end in the row"),
    "a file that clears the screen": (coco(images=[picture("\x1b[2J")]), "'\\x1b[2J' does not"),
    "a file of half a character": (coco(images=[picture("\ud800")]), "'\\ud800' does not end"),
    "another size": (coco(images=[picture(width=33)]), "is 33x32, samples of lsun are 32x32"),
    "an id that is a text": (coco(images=[picture(id="1")]), "images.0.id: input should be"),
    "a category's ESC": (coco(categories=[{"id": 1, "name": "\x1b"}]), "categories.0.name"),
    "a category of nothing": (coco(categories=[{"id": 1, "name": ""}]), "categories.0.name"),
    "a category of 61 letters": (coco(categories=[{"id": 1, "name": "a" * 61}]), "categories.0"),
    "half a category": (coco(categories=[{"id": 1, "name": "\ud800"}]), "categories.0.name"),
    "a category twice": (coco(categories=[{"id": 1, "name": "a"}] * 2), "categories: the id 1"),
}
READERS = {"concepts": read_concepts, "boxes": read_boxes}


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("case", NEITHER)
def test_what_is_neither_file_is_one_line(
    tmp_path: Path, refused: Refused, case: str, kind: str
) -> None:
    read_refused(tmp_path, refused, kind, *NEITHER[case])


@pytest.mark.parametrize("case", CONCEPTS)
def test_what_are_no_concepts_is_one_line(tmp_path: Path, refused: Refused, case: str) -> None:
    read_refused(tmp_path, refused, "concepts", *CONCEPTS[case])


@pytest.mark.parametrize("case", BOXES)
def test_what_are_no_boxes_is_one_line(tmp_path: Path, refused: Refused, case: str) -> None:
    read_refused(tmp_path, refused, "boxes", *BOXES[case])


def read_refused(folder: Path, refused: Refused, kind: str, content: bytes, words: str) -> None:
    path = folder / f"{kind}.json"
    path.write_bytes(content)
    with refused(str(path), words):
        READERS[kind](path, SUBJECT)


def large(path: Path) -> None:
    path.touch()
    os.truncate(path, 100_000_000)


PLACES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a pipe": (os.mkfifo, "not a plain file"),
    "/dev/zero": (lambda path: path.symlink_to("/dev/zero"), "not a plain file"),
    "a folder": (Path.mkdir, "Is a directory"),
    "a symlink to itself": (lambda path: path.symlink_to(path.name), "symbolic links"),
    "100 MB": (large, "larger than 16 MiB"),
}


@pytest.mark.parametrize("case", PLACES)
@pytest.mark.parametrize("kind", READERS)
def test_what_is_no_file_is_refused_and_not_waited_for(
    tmp_path: Path, refused: Refused, case: str, kind: str
) -> None:
    make, words = PLACES[case]
    path = tmp_path / f"{kind}.json"
    make(path)
    with refused(str(path), words):
        READERS[kind](path, SUBJECT)
    with refused(str(path), words):  # asked before a page's work is saved
        revision(path)
