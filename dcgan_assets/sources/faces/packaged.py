"""Photographs of people for the `sample` profile, made from what installed packages carry.

Scikit-image has 100 faces of the LFW set and 100 other pieces of its pictures, 25x25 grey. Each
face is a person; each of its photographs is the face enlarged onto a canvas, at a place, size
and brightness of its own, mirrored or not. The canvas is plain grey or a piece of a packaged
photograph. Every person has a tile of the photographs' training parts to itself, so that people
who are held out share no pixel with those who are trained on. Some faces lie at the edge or are
blurred, and some photographs show no face, so that every judgement of a box is met.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dcgan_assets.sources.photographs import (
    PHOTOGRAPHS,
    SHOWN,
    TRAIN,
    package_file,
    photograph,
    region,
)
from dcgan_assets.sources.reading.decode import Pixels
from dcgan_assets.sources.reading.items import UNSTATED
from dcgan_models.errors import UserError

PEOPLE_FOLDER = "people"
PICTURES_FILE = "pictures.parquet"
FACE, AT_EDGE, BLURRED, OTHER, PORTRAIT = "face", "at edge", "blurred", "other", "portrait"

CANVAS = 256
FACE_SIDES = (70, 110)
ASTRONAUT = "Eileen Collins"
LFW = "Labeled Faces in the Wild (G. Huang, M. Ramesh, T. Berg, E. Learned-Miller)"

_LFW_FILE = "skimage/data/lfw_subset.npy"
_LFW_FACES = 100
# The astronaut would be a face in the background.
_BACKGROUNDS = tuple(name for name in SHOWN if name != "astronaut")
_TILE = 96
_PLAIN_EVERY = 4
# Of a person's photographs in turn, one is at an edge and one is blurred.
_TURN = 12
_EDGE_TURN, _BLURRED_TURN = 5, 11
_JPEG_QUALITY = 95
# Shares of a face's side: half of it is the margin of a box that fits it exactly; the standard
# deviation of the blur is one part in so many; a hard edge would be learned as part of a face.
_ROOM = 0.6
_BLUR = 16
_SOFT_EDGE = 0.08


class PackagedPicture(NamedTuple):
    """A photograph that was written, and the truth about it.

    Attributes:
        file: Relative to `PEOPLE_FOLDER`: NAME/NUMBER.jpg.
        person_name: Whose photograph it is.
        kind: `FACE`, `AT_EDGE` and `BLURRED` have a face; `OTHER` has none; `PORTRAIT` is the
            training part of the photograph of the astronaut.
        left, top, side: The square that was pasted in; None for the portrait.
        licence, author, attribution: Of face and background together.
    """

    file: str
    person_name: str
    kind: str
    left: int | None
    top: int | None
    side: int | None
    licence: str
    author: str
    attribution: str


def lfw_pieces() -> Pixels:
    """The LFW subset: uint8 (200, 25, 25), grey; 100 faces, then 100 pieces without one.

    Raises:
        UserError: The package's file is not what it should be.
    """
    pieces = np.load(package_file(_LFW_FILE), allow_pickle=False)
    if pieces.shape != (2 * _LFW_FACES, 25, 25):
        raise UserError(f"{_LFW_FILE}: shape {pieces.shape}; install scikit-image again")
    return np.asarray(np.rint(pieces * 255), np.uint8)


def write_photographs(
    folder: Path, names: int = 100, faces: int = 24, others: int = 1, seed: int = 42
) -> list[PackagedPicture]:
    """Write a folder of photographs for each person, and a table of the truth.

    The same arguments give the same pixels.

    Args:
        folder: Exists; gets `people/NAME/NUMBER.jpg` and `pictures.parquet`.
        names: People, at most 100; the astronaut comes on top.
        faces: Photographs of each with the face.
        others: Photographs of each without.
        seed: Of places, sizes and brightness.

    Returns:
        The rows of the table, in the order of the files.
    """
    import cv2
    import pyarrow as pa
    import pyarrow.parquet as pq

    written = []
    for picture, pixels in _pictures(names, faces, others, seed):
        path = folder / PEOPLE_FOLDER / picture.file
        path.parent.mkdir(parents=True, exist_ok=True)
        options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        path.write_bytes(cv2.imencode(".jpg", pixels[..., ::-1], options)[1].tobytes())
        written.append(picture)
    columns = dict(zip(PackagedPicture._fields, zip(*written, strict=True), strict=True))
    pq.write_table(pa.table(columns), folder / PICTURES_FILE)
    return written


def _pictures(
    names: int, faces: int, others: int, seed: int
) -> Iterator[tuple[PackagedPicture, Pixels]]:
    yield _astronaut()
    pieces = lfw_pieces()
    for person in range(names):
        for number in range(faces + others):
            rng = np.random.default_rng([seed, person, number])
            has_face = number < faces
            piece = pieces[person if has_face else _LFW_FACES + person]
            kind = _kind(number) if has_face else OTHER
            yield _canvas(person, number, kind, piece, rng)


def _kind(number: int) -> str:
    return {_EDGE_TURN: AT_EDGE, _BLURRED_TURN: BLURRED}.get(number % _TURN, FACE)


def _astronaut() -> tuple[PackagedPicture, Pixels]:
    """Her photograph's training part; the rest of it belongs to other splits."""
    facts = PHOTOGRAPHS["astronaut"]
    rows, columns = region("astronaut", TRAIN)
    row = PackagedPicture(
        f"{ASTRONAUT}/000.jpg",
        ASTRONAUT,
        PORTRAIT,
        *(None, None, None),
        facts.licence,
        facts.attribution,
        facts.attribution,
    )
    return row, photograph("astronaut")[rows, columns]


def _canvas(
    person: int, number: int, kind: str, piece: Pixels, rng: np.random.Generator
) -> tuple[PackagedPicture, Pixels]:
    """A piece of LFW pasted onto a background."""
    import cv2

    low, high = FACE_SIDES
    side = int(rng.integers(low, high + 1))
    left, top = _place(side, kind == AT_EDGE, rng)
    pasted = cv2.resize(piece, (side, side), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.5:
        pasted = pasted[:, ::-1]
    bright = np.clip(pasted * rng.uniform(0.75, 1.15) + rng.uniform(-20, 20), 0, 255)
    canvas, name = _background(person, number, rng)
    _paste(canvas[top : top + side, left : left + side], bright[..., np.newaxis])
    if kind == BLURRED:
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), side / _BLUR), np.uint8)
    facts = PHOTOGRAPHS[name] if name else None
    person_name = f"LFW {person:03d}"
    row = PackagedPicture(
        f"{person_name}/{number:03d}.jpg",
        person_name,
        kind,
        left,
        top,
        side,
        UNSTATED if facts is None else f"{UNSTATED}; background {facts.licence}",
        LFW,
        LFW if facts is None else f"{LFW}; background: {facts.attribution}",
    )
    return row, canvas


def _paste(place: Pixels, piece: npt.NDArray[np.float64]) -> None:
    """Put a grey piece (side, side, 1) onto colour (side, side, 3); its edge fades away."""
    side = len(place)
    from_edge = np.minimum(np.arange(side), np.arange(side)[::-1]) + 1
    ramp = np.minimum(1, from_edge / (_SOFT_EDGE * side))
    share = np.minimum.outer(ramp, ramp)[..., np.newaxis]
    place[:] = np.rint(share * piece + (1 - share) * place)


def _place(side: int, at_edge: bool, rng: np.random.Generator) -> tuple[int, int]:
    """Left and top: at one edge, or so far from all that the crop of the face has room."""
    room = round(_ROOM * side)
    left, top = (int(value) for value in rng.integers(room, CANVAS - side - room + 1, 2))
    if at_edge:
        far = CANVAS - side
        left, top = [(0, top), (far, top), (left, 0), (left, far)][int(rng.integers(4))]
    return left, top


def _background(person: int, number: int, rng: np.random.Generator) -> tuple[Pixels, str | None]:
    """A canvas of a grey level, or of a piece of the person's own tile, and its photograph."""
    import cv2

    if number % _PLAIN_EVERY == 0:
        return np.full((CANVAS, CANVAS, 3), rng.integers(40, 216), np.uint8), None
    name, top, left = _tiles()[person]
    side = int(rng.integers(_TILE // 2, _TILE + 1))
    down, across = (int(value) for value in rng.integers(_TILE - side + 1, size=2))
    rows, columns = slice(top + down, top + down + side), slice(left + across, left + across + side)
    piece = photograph(name)[rows, columns]
    large = cv2.resize(piece, (CANVAS, CANVAS), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(large, np.uint8), name


@functools.cache
def _tiles() -> tuple[tuple[str, int, int], ...]:
    """Squares of the photographs' training parts that share no pixel: name, top and left."""
    found = []
    for name in _BACKGROUNDS:
        rows, columns = region(name, TRAIN)
        for top in range(rows.start, rows.stop - _TILE + 1, _TILE):
            for left in range(columns.start, columns.stop - _TILE + 1, _TILE):
                found.append((name, top, left))
    return tuple(found)
