"""Faces drawn from known factors: turned by a known angle, smiling or not, with glasses or without.

They stand in for the paper's faces (section 4.2). A head is an ellipsoid and what it bears lies on
its surface, so that features move and shorten as it turns. `Person` is the table of what stays
with a name, `Pose` that of what changes from picture to picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import numpy as np
import pyarrow as pa

from dcgan_assets.sources.drawn.canvas import (
    CIRCLE,
    Canvas,
    Colour,
    Point,
    Points,
    ellipse,
    hsv,
    mix,
    shade,
)
from dcgan_assets.sources.drawn.factors import Between, Chance, OneOf, draw_factors
from dcgan_assets.sources.reading.manifest import column
from dcgan_models.pixels import Pixels

HAIR_COLOURS = {
    "black": (28.0, 24.0, 24.0),
    "brown": (84.0, 54.0, 32.0),
    "blond": (192.0, 152.0, 84.0),
    "red": (146.0, 66.0, 30.0),
    "grey": (126.0, 124.0, 122.0),
}
IRIS_COLOURS = {
    "brown": (62.0, 38.0, 24.0),
    "blue": (70.0, 104.0, 150.0),
    "green": (84.0, 110.0, 70.0),
}
_LIGHTEST_SKIN, _DARKEST_SKIN = (250.0, 214.0, 186.0), (130.0, 86.0, 60.0)
_EYE_WHITE = (246.0, 246.0, 244.0)
_GLEAM = (255.0, 240.0, 225.0)
_LIT, _SHADED = 0.18, 0.55  # cheeks, and the sockets of the eyes
_LIPS = (166.0, 62.0, 66.0)
_FRAME = (24.0, 24.0, 28.0)

# The head: half its width and depth, in halves of its height.
_WIDE, _DEEP = 0.76, 0.84
# Where features lie on the front of it, in degrees to the side and down.
_EYE_ASIDE, _EYE_DOWN = 23.0, -7.0
_MOST_LIGHT = 0.2


@dataclass(frozen=True, slots=True)
class Person:
    """What stays the same in all pictures of a person."""

    skin: Annotated[float, Between(0.0, 1.0)]  # from light to dark
    hair: Annotated[str, OneOf(tuple(HAIR_COLOURS))]
    long_hair: Annotated[bool, Chance(0.5)]
    hairline: Annotated[float, Between(34.0, 46.0)]  # degrees above the middle of the head
    broad: Annotated[float, Between(0.92, 1.06)]  # head and jaw
    brows: Annotated[float, Between(0.7, 1.3)]  # how thick
    nose: Annotated[float, Between(0.85, 1.2)]
    iris: Annotated[str, OneOf(("brown", "brown", "blue", "green"))]


@dataclass(frozen=True, slots=True)
class Pose:
    """What differs from one picture of a person to the next. Lengths are shares of the side."""

    yaw: Annotated[float, Between(-28.0, 28.0)]  # degrees; above 0 towards the right of the picture
    smile: Annotated[bool, Chance(0.5)]
    glasses: Annotated[bool, Chance(0.35)]
    across: Annotated[float, Between(-0.03, 0.03)]
    down: Annotated[float, Between(-0.03, 0.03)]
    size: Annotated[float, Between(0.34, 0.39)]  # half the head's height
    light: Annotated[float, Between(-1.0, 1.0)]
    brightness: Annotated[float, Between(0.85, 1.06)]
    clothes_hue: Annotated[float, Between(0.0, 1.0)]
    clothes_value: Annotated[float, Between(0.3, 0.9)]
    ground_hue: Annotated[float, Between(0.0, 1.0)]
    ground_colour: Annotated[float, Between(0.1, 0.5)]
    ground_value: Annotated[float, Between(0.4, 0.9)]


FACTORS = (
    column("factor.yaw", pa.float32(), "Degrees that the head is turned, to the right above 0."),
    column("factor.smile", pa.bool_(), "Whether the face smiles."),
    column("factor.glasses", pa.bool_(), "Whether it wears glasses."),
    column("factor.long_hair", pa.bool_(), "Whether the hair is long."),
    column("factor.hair", pa.string(), f"Colour of the hair: {', '.join(HAIR_COLOURS)}."),
    column("factor.skin", pa.float32(), "Skin from light, 0, to dark, 1."),
    column("factor.light", pa.float32(), "Light from the left, -1, to the right, 1."),
)


def person(seed: int, index: int) -> Person:
    """Person `index` of a seed."""
    return draw_factors(Person, (seed, 0), index)


def pose(seed: int, index: int) -> Pose:
    """The factors of picture `index` of a seed that do not hang on the person."""
    return draw_factors(Pose, (seed, 1), index)


def draw(seed: int, number: int, size: int) -> Pixels:
    """Paint face `number` of a seed, each of another person: uint8 (size, size, 3), RGB."""
    return draw_face(person(seed, number), pose(seed, number), size)


def seen_in(seed: int, number: int) -> tuple[bool | float | str, ...]:
    """What is to be seen on face `number` of a seed, in the order of `FACTORS`."""
    return values(person(seed, number), pose(seed, number))


def values(who: Person, how: Pose) -> tuple[bool | float | str, ...]:
    """What is to be seen of a person in a pose, in the order of `FACTORS`."""
    return how.yaw, how.smile, how.glasses, who.long_hair, who.hair, who.skin, how.light


def draw_face(who: Person, how: Pose, size: int) -> Pixels:
    """Paint head and shoulders of a person: uint8 (size, size, 3), RGB."""
    ground = hsv(how.ground_hue, how.ground_colour, how.ground_value)
    canvas = Canvas(size, ground)
    paint_person(canvas, who, how, (0.5 + how.across, 0.5 + how.down), how.size)
    return canvas.finished((_MOST_LIGHT * how.light, 0.0), how.brightness)


def paint_person(canvas: Canvas, who: Person, how: Pose, middle: Point, size: float) -> None:
    """Paint a person onto a canvas.

    Args:
        canvas: What is there shows beside the person.
        who: The person.
        how: Of it yaw, smile, glasses and clothes are used.
        middle: Of the head.
        size: Half the head's height, as a share of the canvas's side.
    """
    head = _Head(canvas, who, how, middle, size)
    _paint_behind(head)
    _paint_skull(head)
    for side in (-1.0, 1.0):
        _paint_eye(head, side)
    _paint_nose(head)
    _paint_mouth(head)
    if how.glasses:
        _paint_glasses(head)


def paint_hair_over(canvas: Canvas, who: Person, middle: Point, size: float) -> None:
    """Paint the back of a head where its face was."""
    back = ellipse(middle, 1.1 * _WIDE * who.broad * size, (1.1 if who.long_hair else 0.95) * size)
    canvas.polygon(back, HAIR_COLOURS[who.hair])


def paint_board(canvas: Canvas, how: Pose, middle: Point, size: float) -> None:
    """Paint something that hides a face from the eyes down."""
    x, y = middle
    corners = np.array([(-1.0, -0.25), (1.0, -0.35), (1.05, 1.2), (-0.95, 1.3)]) * size + (x, y)
    canvas.polygon(corners, hsv(how.ground_hue, 0.4, how.clothes_value))


def face_square(how: Pose, middle: Point, size: float) -> tuple[float, float, float]:
    """Left edge, upper edge and side of the square from the hairline to the chin.

    Its side and place are those that OpenCV's `alt2` cascade gives drawn faces on average: 1.8
    halves of the head's height, a tenth below the middle of the head, and aside as the face turns.
    """
    side = 1.8 * size
    x = middle[0] + 0.7 * math.sin(math.radians(how.yaw)) * size
    y = middle[1] + 0.105 * size
    return x - side / 2, y - side / 2, side


class _Head:
    """A turned head on a canvas: where the points of its surface are seen."""

    def __init__(self, canvas: Canvas, who: Person, how: Pose, middle: Point, size: float) -> None:
        self.canvas, self.who, self.how = canvas, who, how
        self.middle, self.size = middle, size
        self.skin = mix(_LIGHTEST_SKIN, _DARKEST_SKIN, who.skin)
        self.hair: Colour = HAIR_COLOURS[who.hair]
        self.sine = math.sin(math.radians(how.yaw))
        self._wide = _WIDE * who.broad * math.cos(math.radians(how.yaw))
        self._deep = _DEEP * self.sine

    def at(self, places: Points | Sequence[Point], out: float = 1.0) -> Points:
        """Where points of the head are seen: (n, 2) on the canvas.

        Args:
            places: Degrees from the middle of the face: (n, 2), to the right and down.
            out: How far out they lie; 1 is the surface.
        """
        across, along = np.radians(np.asarray(places)).T
        seen = np.empty((len(across), 2))
        seen[:, 0] = self._wide * np.sin(across) + self._deep * np.cos(across)
        seen[:, 0] *= np.cos(along) * out
        seen[:, 1] = np.sin(along) * out
        return self.flat(seen)

    def flat(self, points: Points | Sequence[Point]) -> Points:
        """Points beside the head's middle, given in halves of its height."""
        return np.asarray(points) * self.size + self.middle

    def fill(self, colour: Colour, places: Points | Sequence[Point], out: float = 1.0) -> None:
        """Fill a convex shape on the head's surface, its corners in degrees."""
        self.canvas.polygon(self.at(places, out), colour)

    def patch(self, colour: Colour, place: Point, extent: Point, out: float = 1.0) -> None:
        """Fill an ellipse on the head's surface; place and extent in degrees."""
        self.fill(colour, ellipse(place, *extent), out)

    def soft(self, colour: Colour, over: Colour, place: Point, extent: Point) -> None:
        """Fill an ellipse whose edge fades into the colour that it lies on."""
        wide, high = extent
        for grown, share in ((1.25, 0.45), (0.9, 1.0)):
            self.patch(mix(over, colour, share), place, (grown * wide, grown * high))

    def strip(self, colour: Colour, middle: Sequence[Point], half: float, out: float = 1.0) -> None:
        """A line of even thickness along points of the surface; `half` of it in degrees."""
        for (a, b), (c, d) in pairwise(middle):
            self.fill(colour, ((a, b - half), (c, d - half), (c, d + half), (a, b + half)), out)


def _paint_behind(head: _Head) -> None:
    """Long hair, neck and shoulders."""
    canvas, broad = head.canvas, head.who.broad
    back = -0.12 * head.sine
    if head.who.long_hair:
        dark = shade(head.hair, 0.8)
        canvas.polygon(head.flat(ellipse((back, 0.0), 1.0, 1.12)), dark)
        falls = ((back - 0.98, 0.0), (back + 0.98, 0.0), (back + 1.04, 1.7), (back - 1.04, 1.7))
        canvas.polygon(head.flat(falls), dark)
        # Strands that catch the light: without them hair is lost on a ground of its colour.
        light = mix(head.hair, _GLEAM, 0.3)
        for x in (-0.92, -0.82, 0.82, 0.92):
            left, right = back + x - 0.02, back + x + 0.02
            canvas.polygon(
                head.flat(((left, -0.3), (right, -0.3), (right, 1.6), (left, 1.6))), light
            )
    middle = 0.6 * back
    half = 0.36 * broad
    neck = ((middle - half, 0.4), (middle + half, 0.4), (middle + half, 1.6), (middle - half, 1.6))
    canvas.polygon(head.flat(neck), shade(head.skin, 0.72))
    clothes = hsv(head.how.clothes_hue, 0.5, head.how.clothes_value)
    canvas.polygon(head.flat(ellipse((middle, 1.95), 1.25, 0.72)), clothes)
    body = ((middle - 1.25, 1.95), (middle + 1.25, 1.95), (middle + 1.2, 9.0), (middle - 1.2, 9.0))
    canvas.polygon(head.flat(body), clothes)


def _paint_skull(head: _Head) -> None:
    """Ears, hair and the face itself, with light on cheeks, forehead and chin."""
    skin, who = head.skin, head.who
    if not who.long_hair:
        for side in (-1.0, 1.0):
            head.patch(shade(skin, 0.85), (side * 88.0, 2.0), (9.0, 11.0), 1.06)
    wide = _WIDE * who.broad
    head.canvas.polygon(head.flat(ellipse((0.0, 0.0), wide, 1.0)), shade(skin, 0.86))
    upper = CIRCLE[CIRCLE[:, 1] <= 0.08]
    head.canvas.polygon(head.flat(upper * (1.09 * wide, 1.08)), head.hair)
    aside = 62.0 if who.long_hair else 74.0
    for inner, light in ((1.0, 0.92), (0.88, 1.0)):
        below = np.where(CIRCLE[:, 1:] > 0, 86.0 * inner, who.hairline * inner)
        outline = CIRCLE * np.hstack([np.full_like(below, aside * inner), below])
        head.fill(shade(skin, light), outline)
    for side in (-1.0, 1.0):
        head.soft(mix(skin, _GLEAM, _LIT), skin, (side * 27.0, 20.0), (12.0, 10.0))
    head.soft(mix(skin, _GLEAM, _LIT), skin, (0.0, -27.0), (22.0, 7.0))
    head.soft(mix(skin, _GLEAM, _LIT), skin, (0.0, 54.0), (12.0, 6.0))


def _paint_eye(head: _Head, side: float) -> None:
    """Socket, eye, lid and brow: `side` is -1 for the left of the picture and 1 for the right."""
    aside, skin = side * _EYE_ASIDE, head.skin
    head.soft(shade(skin, _SHADED), skin, (aside, _EYE_DOWN - 1.0), (13.5, 9.0))
    head.patch(shade(_EYE_WHITE, 0.62 + 0.3 * (1 - head.who.skin)), (aside, _EYE_DOWN), (8.0, 3.6))
    looks = aside + 0.06 * head.how.yaw
    head.patch(IRIS_COLOURS[head.who.iris], (looks, _EYE_DOWN), (4.4, 4.0))
    head.patch((16.0, 14.0, 14.0), (looks, _EYE_DOWN), (2.4, 2.4))
    head.strip(shade(skin, 0.32), _arch(aside, _EYE_DOWN - 2.0, 9.5, 2.8), 1.2)
    hairs = shade(mix(head.hair, (30.0, 24.0, 20.0), 0.5), 0.8)
    head.strip(hairs, _arch(aside, _EYE_DOWN - 10.0, 12.0, 2.8), 1.8 * head.who.brows)


def _arch(aside: float, down: float, half: float, rise: float) -> Sequence[Point]:
    """Three points of an arch over a place."""
    return (aside - half, down), (aside, down - rise), (aside + half, down)


def _paint_nose(head: _Head) -> None:
    """A light bridge, a tip that stands out, and the shadow below it."""
    skin, tip = head.skin, 15.0 * head.who.nose
    head.patch(mix(skin, _GLEAM, 1.2 * _LIT), (0.0, -2.0), (5.0, 12.0), 1.04)
    head.patch(shade(skin, 0.6), (0.0, tip + 5.0), (9.0, 2.6), 1.06)
    head.patch(shade(skin, 1.08), (0.0, tip), (7.5, 4.6), 1.14)


def _paint_mouth(head: _Head) -> None:
    """Lips; a smile is wide, bent and shows teeth."""
    lips = mix(_LIPS, shade(head.skin, 0.6), 0.3)
    dark, low, out = shade(lips, 0.42), 34.0, 1.02
    if not head.how.smile:
        head.patch(lips, (0.0, low), (14.0, 3.6), out)
        head.strip(dark, ((-14.5, low), (14.5, low)), 1.0, out)
        return
    lower = _SMILE * (24.0, 8.5) + (0.0, low - 6.0)
    upper = _SMILE[::-1] * (24.0, 1.5) + (0.0, low - 6.5)
    lip, gum, narrower = np.array([0.0, 1.6]), np.array([0.0, 2.0]), (0.84, 1.0)
    head.fill(lips, np.vstack([lower + lip, upper - lip]), out)
    head.fill(dark, np.vstack([lower, upper]), out)
    head.fill(_EYE_WHITE, np.vstack([lower - gum, upper]) * narrower, out)


# A parabola from -1 to 1, 0 at its ends.
_SMILE = np.stack([np.linspace(-1, 1, 9), 1 - np.linspace(-1, 1, 9) ** 2], axis=1)


def _paint_glasses(head: _Head) -> None:
    """Two round lenses in a dark frame, the bridge between them and the temples."""
    half = 1.3
    for side in (-1.0, 1.0):
        middle = (side * _EYE_ASIDE, _EYE_DOWN)
        rim = head.at(ellipse(middle, 14.0, 11.0), 1.05)
        head.canvas.line(rim, 2.2 * math.radians(half) * head.size, _FRAME)
        temple = ((side * (_EYE_ASIDE + 13.0), _EYE_DOWN - 2.0), (side * 80.0, _EYE_DOWN - 3.0))
        head.strip(_FRAME, temple, half, 1.05)
    head.strip(_FRAME, ((-9.5, _EYE_DOWN - 1.0), (9.5, _EYE_DOWN - 1.0)), half, 1.06)
