"""Things drawn in scenes: ten kinds that are labelled, and ten others that a GAN is trained on.

They stand in for CIFAR-10 and for ImageNet-1k (section 5.1 of the paper): what is classified
belongs to classes that D never saw. Colour, size, place, turn, ground, light and what stands
before a thing say nothing of its kind. `Scene` is the table of factors, `PlainScene` that of the
pictures that a GAN is trained on: what it is to draw in minutes has to be plain. `KINDS` says how
each kind is painted, `draw_scene` paints and `seen_in` says what is seen.

A thing is painted in a frame of its own: from -1 to 1 across, and from -1 (top) to 1 down.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
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

_WHITE: Colour = (246.0, 244.0, 238.0)
_DARK: Colour = (38.0, 34.0, 36.0)
_LEAST_CONTRAST = 0.3  # between the brightness of a thing and that of what is behind it
_LEAST_VALUE, _MOST_VALUE = 0.12, 0.97
_MOST_LIGHT = 0.15  # how much lighter the picture's side is that the light comes from


@dataclass(frozen=True, slots=True)
class Scene:
    """The factors of a picture of a thing, of whatever kind. Shares are of the picture's side."""

    # The thing: its middle, half its height, its turn in radians, its colours and its form.
    across: Annotated[float, Between(0.4, 0.6)]
    down: Annotated[float, Between(0.4, 0.6)]
    size: Annotated[float, Between(0.29, 0.43)]
    turn: Annotated[float, Between(-0.3, 0.3)]
    stretch: Annotated[float, Between(0.85, 1.18)]  # of its width
    mirrored: Annotated[bool, Chance(0.5)]
    hue: Annotated[float, Between(0.0, 1.0)]
    colour: Annotated[float, Between(0.25, 0.85)]  # saturation
    contrast: Annotated[float, Between(0.0, 1.0)]  # from the least (0) to all that there can be
    second_hue: Annotated[float, Between(0.0, 1.0)]
    second_value: Annotated[float, Between(0.0, 1.0)]
    form: Annotated[float, Between(0.0, 1.0)]  # from slim to stout, few parts to many
    # What is behind it: two plain parts, stripes across them, and clutter.
    ground_hue: Annotated[float, Between(0.0, 1.0)]
    ground_colour: Annotated[float, Between(0.05, 0.4)]
    ground_value: Annotated[float, Between(0.15, 0.95)]
    horizon: Annotated[float, Between(0.3, 0.95)]
    floor_hue: Annotated[float, Between(0.0, 1.0)]
    floor_value: Annotated[float, Between(-0.14, 0.14)]  # more than the ground's
    stripes: Annotated[int, OneOf((0, 0, 0, 3, 5))]
    stripes_turn: Annotated[float, Between(0.0, math.pi)]
    stripes_value: Annotated[float, Between(-0.12, 0.12)]  # more than the ground's
    clutter: Annotated[int, OneOf((0, 0, 1, 2, 3))]
    clutter_seed: Annotated[float, Between(0.0, 1.0)]
    # What is before it, and the light.
    hidden: Annotated[bool, Chance(0.25)]
    hidden_from: Annotated[float, Between(0.0, math.tau)]  # the side that is covered
    hidden_hue: Annotated[float, Between(0.0, 1.0)]
    light: Annotated[float, Between(-1.0, 1.0)]  # comes from the left (-1) to the right (1)
    brightness: Annotated[float, Between(0.72, 1.1)]


_HUES = OneOf((0.0, 0.07, 0.14, 0.36, 0.58, 0.82))  # red, orange, yellow, green, blue, violet
_GROUND_HUES = OneOf((0.1, 0.6))


@dataclass(frozen=True, slots=True)
class PlainScene(Scene):
    """A large thing of one of six colours, in the middle of a light ground, nothing before it."""

    across: Annotated[float, Between(0.46, 0.54)]
    down: Annotated[float, Between(0.46, 0.54)]
    size: Annotated[float, Between(0.36, 0.45)]
    turn: Annotated[float, Between(-0.15, 0.15)]
    hue: Annotated[float, _HUES]
    colour: Annotated[float, Between(0.6, 0.9)]
    contrast: Annotated[float, Between(0.0, 0.45)]
    second_hue: Annotated[float, _HUES]
    second_value: Annotated[float, Between(0.4, 1.0)]
    ground_hue: Annotated[float, _GROUND_HUES]
    ground_colour: Annotated[float, Between(0.02, 0.14)]
    ground_value: Annotated[float, Between(0.78, 0.95)]
    floor_hue: Annotated[float, _GROUND_HUES]
    floor_value: Annotated[float, Between(-0.14, 0.0)]
    stripes: Annotated[int, OneOf((0,))]
    clutter: Annotated[int, OneOf((0,))]
    hidden: Annotated[bool, Chance(0.0)]


FACTORS = (
    column("factor.thing", pa.string(), "The kind of thing that is seen."),
    column("factor.across", pa.float32(), "Its middle, from the left edge (0) to the right (1)."),
    column("factor.down", pa.float32(), "Its middle, from the upper edge (0) to the lower (1)."),
    column("factor.size", pa.float32(), "Half its height, in shares of the picture's side."),
    column("factor.turn", pa.float32(), "How far it is turned clockwise, in radians."),
)


class Sketch:
    """A thing's own frame on a canvas, its colours and its form.

    Attributes:
        main, second: Its colours; `dark` is the main one in shadow.
        form: From slim (0) to stout (1), or from few parts to many.
    """

    def __init__(self, canvas: Canvas, scene: Scene) -> None:
        self._canvas = canvas
        self._scale = scene.size
        cosine, sine = math.cos(scene.turn), math.sin(scene.turn)
        wide = scene.stretch * (-1 if scene.mirrored else 1)
        # A point (x, y) of the frame lands at (x, y) @ axes + middle.
        self._axes = scene.size * np.array([[wide * cosine, wide * sine], [-sine, cosine]])
        self._middle = np.array([scene.across, scene.down])
        value = _value_before(scene.ground_value, scene.contrast)
        self.main = hsv(scene.hue, scene.colour, value)
        self.dark = shade(self.main, 0.62)
        self.second = hsv(scene.second_hue, 0.7, 0.25 + 0.7 * scene.second_value)
        self.form = scene.form

    def fill(self, points: Points | Sequence[Point], colour: Colour) -> None:
        """Fill a convex polygon."""
        self._canvas.polygon(np.asarray(points) @ self._axes + self._middle, colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fill an upright rectangle."""
        self.fill(((left, top), (right, top), (right, bottom), (left, bottom)), colour)

    def disc(self, x: float, y: float, across: float, down: float, colour: Colour) -> None:
        """Fill an ellipse of half axes `across` and `down`."""
        self.fill(ellipse((x, y), across, down), colour)

    def ring(self, x: float, y: float, radius: float, width: float, colour: Colour) -> None:
        """Draw a circle."""
        outline = ellipse((x, y), radius, radius) @ self._axes + self._middle
        self._canvas.line(outline, width * self._scale, colour)

    def stroke(self, start: Point, end: Point, width: float, colour: Colour) -> None:
        """Fill a straight bar."""
        (x, y), (to_x, to_y) = start, end
        half = width / 2 / math.hypot(to_x - x, to_y - y)
        over, up = half * (y - to_y), half * (to_x - x)
        corners = ((x + over, y + up), (to_x + over, to_y + up))
        self.fill((*corners, (to_x - over, to_y - up), (x - over, y - up)), colour)


# --- The kinds that are labelled --------------------------------------------------------------

_LOWER_HALF = CIRCLE[: len(CIRCLE) // 2 + 1]
_UPPER_HALF = -_LOWER_HALF


def _bottle(on: Sketch) -> None:
    half = 0.26 + 0.16 * on.form
    on.box(-half, -0.15, half, 1.0, on.main)
    on.fill(((-half, -0.14), (-0.13, -0.5), (0.13, -0.5), (half, -0.14)), on.main)
    on.box(-0.13, -0.85, 0.13, -0.45, on.main)
    on.box(-0.17, -1.0, 0.17, -0.82, on.second)
    on.box(-half, 0.15, half, 0.65, mix(on.second, _WHITE, 0.5))


def _car(on: Sketch) -> None:
    roof = -0.5 - 0.2 * on.form
    on.fill(((-0.62, -0.05), (-0.36, roof), (0.3, roof), (0.62, -0.05)), on.main)
    on.fill(((-0.48, -0.08), (-0.3, roof + 0.12), (-0.06, roof + 0.12), (-0.06, -0.08)), _WHITE)
    on.fill(((0.04, -0.08), (0.04, roof + 0.12), (0.25, roof + 0.12), (0.46, -0.08)), _WHITE)
    on.fill(((-1.0, 0.36), (-0.98, 0.0), (0.75, -0.08), (1.0, 0.1), (1.0, 0.36)), on.main)
    on.box(-1.0, 0.26, 1.0, 0.38, on.dark)
    for x in (-0.56, 0.56):
        on.disc(x, 0.38, 0.25, 0.25, _DARK)
        on.disc(x, 0.38, 0.11, 0.11, (190.0, 190.0, 194.0))
    on.disc(0.93, 0.1, 0.07, 0.07, hsv(0.15, 0.5, 1.0))


def _chair(on: Sketch) -> None:
    top = -1.0 + 0.15 * on.form
    for x in (-0.34, 0.62):
        on.stroke((x, 0.1), (x, 0.8), 0.11, on.dark)
    on.stroke((-0.5, top), (-0.5, 1.0), 0.13, on.main)
    on.stroke((0.42, top), (0.42, 0.2), 0.13, on.main)
    on.stroke((0.42, 0.2), (0.42, 1.0), 0.13, on.main)
    for y in (top + 0.12, top + 0.42):
        on.stroke((-0.5, y), (0.42, y), 0.18, on.main)
    on.fill(((-0.58, 0.22), (-0.34, -0.02), (0.7, -0.02), (0.5, 0.22)), on.second)
    on.box(-0.58, 0.2, 0.5, 0.32, on.dark)


def _cup(on: Sketch) -> None:
    foot = 0.36 + 0.16 * on.form
    on.ring(0.62, 0.0, 0.33, 0.17, on.main)
    on.fill(((-0.62, -0.5), (0.58, -0.5), (foot, 0.6), (-foot, 0.6)), on.main)
    on.disc(-0.02, 0.6, foot, 0.1, on.main)
    on.disc(-0.02, -0.5, 0.6, 0.17, on.dark)
    on.disc(-0.02, -0.47, 0.48, 0.11, hsv(0.06, 0.7, 0.3))
    on.box(-0.5, 0.0, 0.46, 0.16, on.second)


def _fish(on: Sketch) -> None:
    high = 0.36 + 0.2 * on.form
    on.fill(((0.42, 0.0), (1.0, -0.45), (0.86, 0.0), (1.0, 0.45)), on.dark)
    on.fill(((-0.25, -0.2), (0.05, -high - 0.28), (0.35, -0.15)), on.dark)
    on.fill(((-0.1, 0.2), (0.15, high + 0.22), (0.3, 0.15)), on.dark)
    on.disc(-0.18, 0.0, 0.78, high, on.main)
    on.fill(
        ((-0.05, -0.8 * high), (0.12, -0.75 * high), (0.12, 0.75 * high), (-0.05, 0.8 * high)),
        on.second,
    )
    on.disc(-0.62, -0.1, 0.13, 0.13, _WHITE)
    on.disc(-0.64, -0.1, 0.06, 0.06, _DARK)
    on.stroke((-0.94, 0.1), (-0.7, 0.16), 0.06, _DARK)


def _house(on: Sketch) -> None:
    eaves = -0.1 - 0.2 * on.form
    on.box(0.36, -0.85, 0.58, eaves, on.dark)
    on.box(-0.72, eaves, 0.72, 0.9, on.main)
    on.fill(((-0.95, eaves + 0.05), (0.0, -1.0), (0.95, eaves + 0.05)), on.second)
    on.box(-0.5, 0.28, -0.12, 0.9, on.dark)
    on.box(0.12, 0.12, 0.56, 0.52, _WHITE)
    on.stroke((0.34, 0.12), (0.34, 0.52), 0.07, _DARK)
    on.stroke((0.12, 0.32), (0.56, 0.32), 0.07, _DARK)


def _key(on: Sketch) -> None:
    end = 0.85 + 0.12 * on.form
    on.ring(0.0, -0.58, 0.34, 0.24, on.main)
    on.stroke((0.0, -0.28), (0.0, end), 0.21, on.main)
    on.box(0.05, end - 0.2, 0.48, end, on.main)
    on.box(0.05, end - 0.55, 0.38, end - 0.35, on.main)


def _mushroom(on: Sketch) -> None:
    half = 0.17 + 0.12 * on.form
    pale = mix(on.main, _WHITE, 0.55)
    on.fill(((-half, -0.1), (half, -0.1), (1.3 * half, 0.95), (-1.3 * half, 0.95)), pale)
    on.fill(_UPPER_HALF * (0.92, 0.85) + (0.0, 0.08), on.main)
    on.disc(0.0, 0.08, 0.92, 0.14, on.dark)
    for x, y, radius in ((-0.45, -0.2, 0.14), (0.05, -0.46, 0.17), (0.5, -0.16, 0.13)):
        on.disc(x, y, radius, radius, _WHITE)


def _tree(on: Sketch) -> None:
    on.box(-0.13, 0.2, 0.13, 1.0, hsv(0.07, 0.6, 0.36))
    if on.form < 0.5:
        for top, bottom, half in ((-1.0, -0.3, 0.42), (-0.7, 0.12, 0.58), (-0.3, 0.58, 0.74)):
            on.fill(((-half, bottom), (0.0, top), (half, bottom)), on.main)
            on.fill(((0.1, bottom), (0.0, top), (half, bottom)), on.dark)
        return
    for x, y, radius in ((-0.4, 0.0, 0.42), (0.4, 0.02, 0.42), (0.0, -0.42, 0.55)):
        on.disc(x, y, radius, radius, on.main)
    for x, y in ((0.25, -0.5), (-0.35, 0.05), (0.3, 0.05), (-0.15, -0.25)):
        on.disc(x, y, 0.12, 0.12, on.dark)


def _umbrella(on: Sketch) -> None:
    high = 0.7 + 0.2 * on.form
    on.stroke((0.0, -0.95), (0.0, 0.85), 0.1, _DARK)
    on.stroke((0.0, 0.85), (0.26, 0.92), 0.1, _DARK)
    on.stroke((0.26, 0.94), (0.28, 0.68), 0.1, _DARK)
    for left in range(4):
        rib = slice(3 * left, 3 * left + 4)
        colour = (on.main, on.second)[left % 2]
        hem = _UPPER_HALF[rib] * (0.98, high) + (0.0, 0.1)
        on.fill(np.vstack([hem, [[0.0, 0.1]]]), colour)
    for x in (-0.72, -0.24, 0.24, 0.72):
        on.disc(x, 0.1, 0.25, 0.1, on.dark)


# --- The kinds that are seen without labels ----------------------------------------------------


def _bird(on: Sketch) -> None:
    beak = hsv(0.11, 0.9, 0.95)
    for x in (-0.1, 0.14):
        on.stroke((x, 0.4), (x - 0.05, 0.98), 0.07, beak)
    on.fill(((0.35, 0.0), (1.0, -0.28), (1.0, 0.12), (0.4, 0.3)), on.dark)
    on.disc(0.02, 0.14, 0.6, 0.36 + 0.1 * on.form, on.main)
    on.fill(((-0.98, -0.36), (-0.66, -0.5), (-0.66, -0.26)), beak)
    on.disc(-0.46, -0.36, 0.32, 0.32, on.main)
    on.fill(((-0.2, 0.02), (0.42, -0.05), (0.6, 0.3), (0.1, 0.34)), on.second)
    on.disc(-0.54, -0.42, 0.08, 0.08, _DARK)


def _boat(on: Sketch) -> None:
    on.stroke((0.0, -1.0), (0.0, 0.45), 0.09, _DARK)
    on.fill(((0.07, -0.95), (0.07, 0.3), (0.55 + 0.25 * on.form, 0.3)), on.second)
    on.fill(((-0.08, -0.75), (-0.08, 0.3), (-0.65, 0.3)), mix(on.second, _WHITE, 0.6))
    on.fill(((-0.95, 0.4), (0.95, 0.4), (0.6, 0.9), (-0.62, 0.9)), on.main)
    on.fill(((-0.95, 0.4), (0.95, 0.4), (0.87, 0.52), (-0.87, 0.52)), on.dark)


def _butterfly(on: Sketch) -> None:
    wide = 0.4 + 0.1 * on.form
    for side in (-1, 1):
        on.stroke((0.0, -0.5), (0.26 * side, -0.95), 0.06, _DARK)
        upper = ((0.03, -0.1), (0.45, -0.82), (0.9, -0.82), (0.98, -0.4), (0.6, 0.06))
        lower = ((0.03, 0.0), (0.62, 0.05), (0.78, 0.42), (0.5, 0.85), (0.18, 0.6))
        on.fill([(side * x, y) for x, y in lower], on.dark)
        on.fill([(side * x, y) for x, y in upper], on.main)
        on.disc(side * 0.64, -0.46, 0.5 * wide, 0.2, on.second)
        on.disc(side * 0.48, 0.4, 0.16, 0.18, on.second)
    on.disc(0.0, 0.0, 0.1, 0.62, _DARK)


def _cat(on: Sketch) -> None:
    high = 0.66 + 0.1 * on.form
    for side in (-1, 1):
        on.fill([(side * x, y) for x, y in ((0.2, -0.4), (0.78, -1.0), (0.82, 0.1))], on.main)
        on.fill([(side * x, y) for x, y in ((0.4, -0.45), (0.7, -0.8), (0.72, -0.2))], on.second)
    on.disc(0.0, 0.18, 0.86, high, on.main)
    for side in (-1, 1):
        on.disc(0.36 * side, 0.04, 0.19, 0.2, hsv(0.2, 0.6, 0.95))
        on.disc(0.36 * side, 0.04, 0.07, 0.18, _DARK)
        for y in (0.36, 0.52):
            on.stroke((0.25 * side, 0.42), (0.98 * side, y), 0.05, _DARK)
    on.fill(((-0.12, 0.3), (0.12, 0.3), (0.0, 0.44)), hsv(0.97, 0.6, 0.75))


def _clock(on: Sketch) -> None:
    on.disc(0.0, 0.0, 0.95, 0.95, on.main)
    on.disc(0.0, 0.0, 0.76, 0.76, _WHITE)
    for hour in range(12):
        x, y = CIRCLE[2 * hour].tolist()
        on.stroke((0.6 * x, 0.6 * y), (0.72 * x, 0.72 * y), 0.08, _DARK)
    for turn, length, width in ((on.form, 0.42, 0.13), (12 * on.form, 0.58, 0.09)):
        end = length * math.sin(math.tau * turn), -length * math.cos(math.tau * turn)
        on.stroke((0.0, 0.0), end, width, _DARK)


def _flower(on: Sketch) -> None:
    green = hsv(0.31, 0.6, 0.5)
    on.stroke((0.0, -0.3), (0.0, 1.0), 0.11, green)
    on.fill(((0.0, 0.75), (0.2, 0.42), (0.62, 0.3), (0.42, 0.66)), green)
    petals = 5 + int(4 * on.form)
    for petal in range(petals):
        angle = math.tau * petal / petals
        on.disc(0.36 * math.sin(angle), -0.42 - 0.36 * math.cos(angle), 0.24, 0.24, on.main)
    on.disc(0.0, -0.42, 0.22, 0.22, on.second)


def _ice_cream(on: Sketch) -> None:
    cone = hsv(0.1, 0.55, 0.82)
    on.fill(((-0.44, 0.0), (0.44, 0.0), (0.0, 1.0)), cone)
    for start, end in (((-0.2, 0.0), (0.16, 0.6)), ((0.2, 0.0), (-0.16, 0.6))):
        on.stroke(start, end, 0.06, shade(cone, 0.7))
    if on.form > 0.4:
        on.disc(-0.26, -0.16, 0.34, 0.32, on.main)
        on.disc(0.26, -0.16, 0.34, 0.32, on.second)
    else:
        on.disc(0.0, -0.1, 0.5, 0.36, on.main)
    on.disc(0.0, -0.56, 0.36, 0.36, mix(on.main, on.second, on.form))
    on.disc(0.0, -0.94, 0.1, 0.1, hsv(0.98, 0.9, 0.8))


def _lamp(on: Sketch) -> None:
    top = 0.22 + 0.18 * on.form
    on.stroke((0.0, 0.0), (0.0, 0.9), 0.12, _DARK)
    on.fill(((-0.42, 1.0), (-0.3, 0.84), (0.3, 0.84), (0.42, 1.0)), _DARK)
    on.fill(((-top, -0.9), (top, -0.9), (0.78, 0.08), (-0.78, 0.08)), on.main)
    on.fill(((-0.72, -0.06), (0.72, -0.06), (0.78, 0.08), (-0.78, 0.08)), on.second)
    on.stroke((0.4, 0.08), (0.4, 0.42), 0.05, _DARK)


def _rocket(on: Sketch) -> None:
    half = 0.28 + 0.08 * on.form
    flame = hsv(0.11, 0.9, 1.0)
    on.fill(((-0.2, 0.6), (0.2, 0.6), (0.0, 1.0)), flame)
    for side in (-1, 1):
        fin = ((0.2, 0.05), (0.75, 0.5), (0.75, 0.75), (0.2, 0.55))
        on.fill([(side * x, y) for x, y in fin], on.second)
    on.box(-half, -0.4, half, 0.6, on.main)
    on.fill(
        ((-half, -0.39), (-0.6 * half, -0.75), (0.0, -1.0), (0.6 * half, -0.75), (half, -0.39)),
        on.second,
    )
    on.disc(0.0, -0.1, 0.19, 0.19, _WHITE)
    on.disc(0.0, -0.1, 0.12, 0.12, hsv(0.57, 0.7, 0.6))


def _star(on: Sketch) -> None:
    inner = 0.38 + 0.1 * on.form
    angles = math.tau * (np.arange(10) - 2.5) / 10
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    corners[::2] *= inner
    on.fill(corners[::2], on.main)
    for tip in range(1, 10, 2):
        point = corners[[tip - 1, tip, (tip + 1) % 10]]
        on.fill(point, on.main)
        on.fill(np.vstack([point[1:], [[0.0, 0.0]]]), on.dark)


LABELLED = MappingProxyType(
    {
        "bottle": _bottle,
        "car": _car,
        "chair": _chair,
        "cup": _cup,
        "fish": _fish,
        "house": _house,
        "key": _key,
        "mushroom": _mushroom,
        "tree": _tree,
        "umbrella": _umbrella,
    }
)
UNLABELLED = MappingProxyType(
    {
        "bird": _bird,
        "boat": _boat,
        "butterfly": _butterfly,
        "cat": _cat,
        "clock": _clock,
        "flower": _flower,
        "ice cream": _ice_cream,
        "lamp": _lamp,
        "rocket": _rocket,
        "star": _star,
    }
)
KINDS: MappingProxyType[str, Callable[[Sketch], None]] = MappingProxyType(
    {**LABELLED, **UNLABELLED}
)


# --- Scenes -----------------------------------------------------------------------------------


def scene(seed: int, index: int, table: type[Scene] = PlainScene) -> Scene:
    """The factors of picture `index` of a seed, but for the kind of thing."""
    return draw_factors(table, (seed,), index)


def draw_scene(facts: Scene, kind: str | None, size: int) -> Pixels:
    """Paint a thing in its scene: uint8 (size, size, 3), RGB.

    Args:
        kind: One of `KINDS`; None for the scene alone, without what stands before the thing.
        size: Side in pixels.
    """
    canvas = Canvas(size, hsv(facts.ground_hue, facts.ground_colour, facts.ground_value))
    _paint_ground(canvas, facts)
    _paint_clutter(canvas, facts)
    if kind is not None:
        KINDS[kind](Sketch(canvas, facts))
        if facts.hidden:
            _paint_before(canvas, facts)
    return canvas.finished((_MOST_LIGHT * facts.light, 0.0), facts.brightness)


def _value_before(ground: float, contrast: float) -> float:
    """A brightness that stands out from the ground's: darker on a light one, lighter on a dark."""
    if ground > 0.5:
        return ground - _LEAST_CONTRAST - contrast * (ground - _LEAST_CONTRAST - _LEAST_VALUE)
    return ground + _LEAST_CONTRAST + contrast * (_MOST_VALUE - ground - _LEAST_CONTRAST)


def _paint_ground(canvas: Canvas, facts: Scene) -> None:
    """A floor or meadow below the horizon, and stripes."""
    floor = hsv(facts.floor_hue, facts.ground_colour, _shown(facts.ground_value, facts.floor_value))
    horizon = facts.horizon
    canvas.polygon(((0, horizon), (1, horizon), (1, 1), (0, 1)), floor)
    stripe = hsv(
        facts.ground_hue, facts.ground_colour, _shown(facts.ground_value, facts.stripes_value)
    )
    along = np.array([math.cos(facts.stripes_turn), math.sin(facts.stripes_turn)])
    over = np.array([-along[1], along[0]])
    for number in range(facts.stripes):
        middle = 0.5 + ((number + 0.5) / facts.stripes - 0.5) * 1.4 * over
        half = 0.25 / facts.stripes * 1.4 * over
        ends = (middle - along, middle + along)
        canvas.polygon(
            np.array([ends[0] - half, ends[1] - half, ends[1] + half, ends[0] + half]), stripe
        )


def _shown(value: float, more: float) -> float:
    return min(1.0, max(0.0, value + more))


def _paint_clutter(canvas: Canvas, facts: Scene) -> None:
    """Discs, boxes and triangles of any colour, behind the thing and mostly beside it."""
    place = facts.clutter_seed
    for _ in range(facts.clutter):
        # The digits of one number, a few at a time, are as good as numbers of their own.
        numbers = []
        for _ in range(4):
            place = place * 97.0 % 1.0
            numbers.append(place)
        angle = math.tau * numbers[0]
        middle = 0.5 + 0.46 * math.cos(angle), 0.5 + 0.46 * math.sin(angle)
        radius = 0.05 + 0.1 * numbers[1]
        corners = CIRCLE[:: (1, 6, 8)[int(3 * numbers[2])]]
        colour = hsv(numbers[3], 0.6, 0.3 + 0.6 * numbers[2])
        canvas.polygon(corners * radius + middle, colour)


def _paint_before(canvas: Canvas, facts: Scene) -> None:
    """A post or a branch across one side of the thing."""
    out = np.array([math.cos(facts.hidden_from), math.sin(facts.hidden_from)])
    along = np.array([-out[1], out[0]])
    middle = (facts.across, facts.down) + 0.55 * facts.size * out
    near, far = middle - 0.05 * out, middle + 0.05 * out
    colour = hsv(facts.hidden_hue, 0.4, facts.ground_value)
    canvas.polygon(np.array([near - along, near + along, far + along, far - along]), colour)


# --- Pictures by number -----------------------------------------------------------------------


def kind_of(number: int, kinds: Sequence[str] = tuple(UNLABELLED)) -> str:
    """The kind of thing of picture `number`: they take turns."""
    return kinds[number % len(kinds)]


def draw(seed: int, number: int, size: int) -> Pixels:
    """Paint picture `number` of a seed, without a label: uint8 (size, size, 3), RGB."""
    return draw_scene(scene(seed, number), kind_of(number), size)


def seen_in(seed: int, number: int) -> tuple[str | float, ...]:
    """What is to be seen in picture `number` of a seed, in the order of `FACTORS`."""
    facts = scene(seed, number)
    return kind_of(number), facts.across, facts.down, facts.size, facts.turn
