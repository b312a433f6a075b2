"""Boxes and known faces, matched by hand."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from dcgan_assets.sources.drawn.scenes import HEAD_SCHEMA
from dcgan_assets.sources.faces.truth import compare


def _heads(*rows: tuple[str, str, float, float, float]) -> pa.Table:
    facts = [(f"{p}.jpg", p, kind, x, y, side) for p, kind, x, y, side in rows]
    shown = (0.0, False, False, False, "red", 0.5, 0.0)
    columns = zip(*((*fact, *shown) for fact in facts), strict=True)
    arrays = [pa.array(list(c), f.type) for c, f in zip(columns, HEAD_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=HEAD_SCHEMA)


def _box(photo: str, x: float, y: float, side: float) -> dict[str, Any]:
    return {"photo_sha256": photo, "x": x, "y": y, "width": side, "height": side}


def test_a_box_is_of_the_head_that_it_covers_most_of() -> None:
    heads = _heads(("a", "face", 0, 0, 100), ("a", "face", 60, 0, 100), ("b", "face", 0, 0, 100))
    found = compare([_box("a", 50, 0, 100), _box("a", 0, 0, 100), _box("b", 0, 0, 100)], heads)
    assert found.head_of == (1, 0, 2)
    assert (found.faces, found.missed, found.on_no_head) == (3, 0, 0)
    assert found.overlaps == pytest.approx((1.0, 9 / 11, 1.0))


def test_a_face_without_a_box_is_missed_and_a_box_without_a_face_is_on_no_head() -> None:
    heads = _heads(("a", "face", 0, 0, 100), ("b", "face", 0, 0, 100))
    found = compare([_box("a", 300, 300, 100), _box("c", 0, 0, 100)], heads)
    assert found.head_of == (None, None)
    assert (found.faces, found.missed, found.on_no_head) == (2, 2, 2)
    assert found.overlaps == ()


def test_less_than_the_bound_is_no_match() -> None:
    heads = _heads(("a", "face", 0, 0, 100))
    # Shifted by s of a hundred, intersection over union is (100 - s) / (100 + s).
    assert compare([_box("a", 42, 0, 100)], heads).head_of == (0,)
    assert compare([_box("a", 44, 0, 100)], heads).head_of == (None,)


def test_heads_that_cannot_be_found_count_neither_as_missed_nor_as_nobody() -> None:
    heads = _heads(("a", "hidden", 0, 0, 100), ("a", "small", 200, 0, 30))
    found = compare([_box("a", 0, 0, 100)], heads)
    assert found.head_of == (0,)
    assert (found.faces, found.missed, found.on_no_head) == (0, 0, 0)


def test_two_boxes_of_a_face_are_one_face_found_by_the_better() -> None:
    heads = _heads(("a", "face", 0, 0, 100))
    found = compare([_box("a", 30, 0, 100), _box("a", 10, 0, 100)], heads)
    assert (found.faces, found.missed) == (1, 0)
    assert found.overlaps == pytest.approx((90 / 110,))
