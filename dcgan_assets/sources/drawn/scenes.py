"""Photographs of drawn people, as a search of the web would bring them, and the truth about each.

They stand in for the pictures of section 4.2. A photograph has the person that it was found for
and up to two strangers, before a piece of a packaged photograph: near or far away, turned to the
camera, turned away, or half hidden. Where every face is, and what it shows, is written beside.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from dcgan_assets.sources.drawn.canvas import Canvas
from dcgan_assets.sources.drawn.drawings import ATTRIBUTION, LICENCE
from dcgan_assets.sources.drawn.faces import (
    FACTORS,
    Person,
    Pose,
    face_square,
    paint_board,
    paint_hair_over,
    paint_person,
    person,
    pose,
    values,
)
from dcgan_assets.sources.drawn.people_files import HEADS_FILE, PEOPLE_FOLDER, PICTURES_FILE
from dcgan_assets.sources.photographs import PHOTOGRAPHS, SHOWN, TRAIN, photograph, region
from dcgan_assets.sources.reading.manifest import column
from dcgan_models.pixels import Pixels

SIDE = 320  # of a photograph

SHOWN_FACE, SMALL, AWAY, HIDDEN = "face", "small", "away", "hidden"
HEAD_SCHEMA = pa.schema(
    [
        column("file", pa.string(), "The photograph, relative to the folder of people."),
        column("photo_sha256", pa.string(), "Of the photograph's bytes."),
        column(
            "kind",
            pa.string(),
            "'face' where it can be found; 'small', 'away' (turned) or 'hidden' (half of it).",
        ),
        column("x", pa.float64(), "Left edge of the square around the face, in pixels."),
        column("y", pa.float64(), "Its upper edge."),
        column("side", pa.float64(), "Its side."),
        *FACTORS,
    ]
)
# Half a head's height, in pixels: of faces that are to be found, and of those that are too small.
_NEAR, _FAR = (44.0, 66.0), (10.0, 18.0)
_STRANGERS = (0.4, 0.4, 0.2)  # how often there are none, one, two
_STRANGER_KINDS = (SHOWN_FACE, SMALL, AWAY, HIDDEN)
_STRANGER_SHARES = (0.55, 0.15, 0.15, 0.15)
_PLAIN_EVERY = 4
_JPEG_QUALITY = 95
_TRIES = 40
_TILE = 48
# The astronaut's face would be found in the background.
_BACKGROUNDS = tuple(name for name in SHOWN if name != "astronaut")


class PhotographRow(NamedTuple):
    """A photograph that was written.

    Attributes:
        file: Relative to `PEOPLE_FOLDER`: NAME/NUMBER.jpg.
        person_name: Whom it was found for.
        licence, author, attribution: Of people and background together.
    """

    file: str
    person_name: str
    licence: str
    author: str
    attribution: str


@dataclass(frozen=True)
class Head:
    """A head in a photograph: who, how, of which kind, where, and half its height in pixels."""

    who: Person
    how: Pose
    kind: str
    x: float
    y: float
    size: float


def write_photographs(
    folder: Path, names: int, faces: int, others: int, seed: int
) -> list[PhotographRow]:
    """Write a folder of photographs for each person, and two tables of the truth.

    The same arguments give the same pixels.

    Args:
        folder: Exists; gets `people/NAME/NUMBER.jpg`, `pictures.parquet` and `heads.parquet`.
        names: How many people; there are backgrounds for 400 at least.
        faces: Photographs that show each of them.
        others: Photographs more of each name in which nobody is.
        seed: Of all that is drawn.
    """
    import cv2
    import pyarrow.parquet as pq

    rows, heads = [], []
    for row, pixels, shown in _photographs(names, faces, others, seed):
        path = folder / PEOPLE_FOLDER / row.file
        path.parent.mkdir(parents=True, exist_ok=True)
        options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        data = cv2.imencode(".jpg", pixels[..., ::-1], options)[1].tobytes()
        path.write_bytes(data)
        rows.append(row)
        heads += [_truth(row.file, hashlib.sha256(data).hexdigest(), head) for head in shown]
    columns = dict(zip(PhotographRow._fields, zip(*rows, strict=True), strict=True))
    pq.write_table(pa.table(columns), folder / PICTURES_FILE)
    found = [list(values) for values in zip(*heads, strict=True)]
    arrays = [pa.array(v, f.type) for v, f in zip(found, HEAD_SCHEMA, strict=True)]
    pq.write_table(pa.Table.from_arrays(arrays, schema=HEAD_SCHEMA), folder / HEADS_FILE)
    return rows


def compose(heads: list[Head], background: Pixels) -> Pixels:
    """Paint people before a background, far ones first: uint8 (SIDE, SIDE, 3), RGB."""
    canvas = Canvas(SIDE, (0.0, 0.0, 0.0))
    canvas.pixels[:] = background
    for head in sorted(heads, key=lambda head: head.size):
        middle, size = (head.x / SIDE, head.y / SIDE), head.size / SIDE
        paint_person(canvas, head.who, head.how, middle, size)
        if head.kind == AWAY:
            paint_hair_over(canvas, head.who, middle, size)
        if head.kind == HIDDEN:
            paint_board(canvas, head.how, middle, size)
    light = heads[0].how if heads else None
    return canvas.finished((0.1 * light.light, 0.0) if light else (0.0, 0.0), 1.0)


@functools.cache
def tiles() -> tuple[tuple[str, int, int], ...]:
    """Squares of the photographs' training parts that share no pixel: name, top and left."""
    found = []
    for name in _BACKGROUNDS:
        rows, columns = region(name, TRAIN)
        for top in range(rows.start, rows.stop - _TILE + 1, _TILE):
            for left in range(columns.start, columns.stop - _TILE + 1, _TILE):
                found.append((name, top, left))
    return tuple(found)


def _photographs(
    names: int, faces: int, others: int, seed: int
) -> Iterator[tuple[PhotographRow, Pixels, list[Head]]]:
    for number in range(names):
        who = person(seed, number)
        for place in range(faces + others):
            rng = np.random.default_rng((seed, 2, number, place))
            heads = _heads(who, seed, (number, place), rng) if place < faces else []
            background, name = _background(number, place, rng)
            yield _row(number, place, name), compose(heads, background), heads


def _heads(who: Person, seed: int, place: tuple[int, int], rng: np.random.Generator) -> list[Head]:
    """The person, and strangers where there is room for them."""
    # A number of its own for each head of each photograph; strangers are none of the people.
    first = 10_000_000 * (place[0] + 1) + 10_000 * place[1]
    heads = _add([], Head(who, pose(seed, first), SHOWN_FACE, 0, 0, _size(_NEAR, rng)), rng)
    for number in range(1, 1 + int(rng.choice(3, p=_STRANGERS))):
        kind = str(rng.choice(_STRANGER_KINDS, p=_STRANGER_SHARES))
        size = _size(_FAR if kind == SMALL else _NEAR, rng)
        stranger = person(seed, first + number)
        head = Head(stranger, pose(seed, first + number), kind, 0, 0, size)
        heads = _add(heads, head, rng)
    return heads


def _size(span: tuple[float, float], rng: np.random.Generator) -> float:
    return float(rng.uniform(*span))


def _add(heads: list[Head], head: Head, rng: np.random.Generator) -> list[Head]:
    """Place a head where its crop is inside the picture and no other is near; else leave it out."""
    # A face's square of 1.8 half heights is stored with half its side around it.
    room = 1.85 * head.size if head.kind == SHOWN_FACE else 1.2 * head.size
    for _ in range(_TRIES):
        x, y = (float(rng.uniform(room, SIDE - room)) for _ in range(2))
        # Hair is as wide as 1.1 half heights, and shoulders reach down beside the next head.
        if all(abs(x - other.x) > 1.3 * (head.size + other.size) for other in heads):
            return [*heads, replace(head, x=x, y=y)]
    return heads


def _background(number: int, place: int, rng: np.random.Generator) -> tuple[Pixels, str | None]:
    """A grey level, or a piece of the person's own tile, and the photograph that it is of."""
    import cv2

    if place % _PLAIN_EVERY == 0:
        return np.full((SIDE, SIDE, 3), rng.integers(40, 216), np.uint8), None
    name, top, left = tiles()[number]
    side = int(rng.integers(_TILE // 2, _TILE + 1))
    down, across = (int(value) for value in rng.integers(_TILE - side + 1, size=2))
    rows, columns = slice(top + down, top + down + side), slice(left + across, left + across + side)
    piece = photograph(name)[rows, columns]
    large = cv2.resize(piece, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large, np.uint8), name


def _row(number: int, place: int, background: str | None) -> PhotographRow:
    name = person_name(number)
    facts = PHOTOGRAPHS[background] if background else None
    return PhotographRow(
        f"{name}/{place:03d}.jpg",
        name,
        LICENCE if facts is None else f"{LICENCE}; background {facts.licence}",
        ATTRIBUTION,
        ATTRIBUTION if facts is None else f"{ATTRIBUTION}; background: {facts.attribution}",
    )


def person_name(number: int) -> str:
    """The name of a drawn person."""
    return f"Person {number:03d}"


def _truth(file: str, sha256: str, head: Head) -> tuple[object, ...]:
    x, y, side = face_square(head.how, (head.x, head.y), head.size)
    return file, sha256, head.kind, x, y, side, *values(head.who, head.how)
