"""Bedrooms drawn in perspective from known factors.

They stand in for LSUN's bedrooms (section 4.1 of the paper): walls, floor and ceiling of a room,
a bed, and perhaps a window, a lamp, a picture and a door. A room is measured in metres and seen
by a pinhole camera; `Room` is the table of its factors, `draw_room` paints them and
`seen_in` says what is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import pyarrow as pa

from dcgan_assets.sources.drawn.canvas import (
    Canvas,
    Colour,
    Point,
    box_of,
    ellipse,
    hsv,
    mix,
    shade,
)
from dcgan_assets.sources.drawn.factors import Between, Chance, OneOf, draw_factors
from dcgan_assets.sources.reading.manifest import column
from dcgan_models.pixels import Pixels

_HORIZON = 0.36  # how far down the picture the eye looks straight ahead
_BED_LENGTH = 2.0
_DOOR = 1.25, 0.35  # how far before the back wall its edges are
_LEAST_SEEN = 0.03  # of the picture's side: less of a door is not seen
_MOST_LIGHT = 0.16  # how much lighter the picture's side is that the light comes from
_Corners = tuple[tuple[float, float, float], ...]
_WHITE = (250.0, 248.0, 243.0)


@dataclass(frozen=True, slots=True)
class Room:
    """The factors of a drawn bedroom. Lengths are in metres, hues and shares from 0 to 1."""

    # The room, and who looks into it.
    width: Annotated[float, Between(3.2, 4.2)]
    height: Annotated[float, Between(2.3, 2.8)]
    depth: Annotated[float, Between(3.6, 4.4)]  # from the camera to the back wall
    aside: Annotated[float, Between(-0.4, 0.4)]  # of the camera, from the middle
    eye: Annotated[float, Between(1.5, 1.9)]  # the camera's height
    focal: Annotated[float, Between(0.92, 1.08)]  # in widths of the picture
    light: Annotated[float, Between(-1.0, 1.0)]  # comes from the left (-1) to the right (1)
    brightness: Annotated[float, Between(0.78, 1.08)]
    wall_hue: Annotated[float, Between(0.0, 1.0)]
    wall_colour: Annotated[float, Between(0.05, 0.36)]  # saturation
    wall_value: Annotated[float, Between(0.6, 0.95)]
    floor_hue: Annotated[float, Between(0.04, 0.11)]
    floor_value: Annotated[float, Between(0.32, 0.68)]
    # The window: its place on the wall beside the bed's head, from the far end (0) to the bed (1).
    window: Annotated[bool, Chance(0.65)]
    window_place: Annotated[float, Between(0.0, 1.0)]
    window_width: Annotated[float, Between(1.15, 1.75)]
    window_height: Annotated[float, Between(1.05, 1.4)]
    window_sill: Annotated[float, Between(0.9, 1.1)]
    window_frame: Annotated[str, OneOf(("white", "white", "wood"))]
    transom: Annotated[bool, Chance(0.5)]  # four panes in place of two
    curtains: Annotated[bool, Chance(0.5)]
    curtain_hue: Annotated[float, Between(0.0, 1.0)]
    view: Annotated[str, OneOf(("meadow", "houses", "sky"))]
    sky: Annotated[float, Between(0.05, 0.45)]
    # The bed stands with its head against the back wall.
    bed: Annotated[bool, Chance(0.92)]
    bed_side: Annotated[str, OneOf(("left", "right"))]
    bed_double: Annotated[bool, Chance(0.6)]  # two pillows in place of one
    bed_gap: Annotated[float, Between(0.05, 0.55)]  # to the side wall
    bed_height: Annotated[float, Between(0.45, 0.6)]
    head_height: Annotated[float, Between(0.3, 0.6)]  # above the mattress
    head_value: Annotated[float, Between(0.2, 0.5)]
    blanket_hue: Annotated[float, Between(0.0, 1.0)]
    blanket_colour: Annotated[float, Between(0.25, 0.8)]
    blanket_value: Annotated[float, Between(0.4, 0.92)]
    blanket_folded: Annotated[float, Between(0.55, 0.8)]  # share of the bed that it covers
    # What else there may be.
    lamp: Annotated[bool, Chance(0.5)]
    lamp_height: Annotated[float, Between(1.05, 1.45)]
    picture: Annotated[bool, Chance(0.4)]
    picture_hue: Annotated[float, Between(0.0, 1.0)]
    picture_width: Annotated[float, Between(0.4, 0.75)]
    door: Annotated[bool, Chance(0.3)]  # in the side wall away from the bed
    door_value: Annotated[float, Between(0.35, 0.9)]
    rug: Annotated[bool, Chance(0.35)]
    rug_hue: Annotated[float, Between(0.0, 1.0)]


FACTORS = (
    column("factor.window", pa.bool_(), "Whether the back wall has a window."),
    column(
        "factor.window_box",
        pa.list_(pa.float32(), 4),
        "Left, top, width and height of the window, in shares of the side. Null without one.",
        nullable=True,
    ),
    column("factor.curtains", pa.bool_(), "Whether the window has curtains."),
    column("factor.bed", pa.bool_(), "Whether there is a bed."),
    column("factor.bed_left", pa.bool_(), "Whether a bed stands at the left wall."),
    column("factor.pillows", pa.int64(), "Pillows on the bed: 0 to 2."),
    column("factor.lamp", pa.bool_(), "Whether a lamp stands at the bed's head."),
    column("factor.picture", pa.bool_(), "Whether a picture hangs on the wall."),
    column("factor.door", pa.bool_(), "Whether a door in a side wall is in sight."),
    column("factor.wall_hue", pa.float32(), "Hue of the walls, 0 to 1."),
    column("factor.light", pa.float32(), "Light from the left, -1, to the right, 1."),
)


class Span(NamedTuple):
    """A rectangle on the back wall: metres from the room's left wall, and from the floor."""

    left: float
    right: float
    bottom: float
    top: float


def room(seed: int, index: int) -> Room:
    """The factors of bedroom `index` of a seed."""
    return draw_factors(Room, (seed,), index)


def draw_room(scene: Room, size: int) -> Pixels:
    """Paint a bedroom: uint8 (size, size, 3), RGB."""
    view = _View(scene, size)
    _paint_shell(view)
    if door_in_sight(scene):
        _paint_door(view)
    if (window := window_span(scene)) is not None:
        _paint_window(view, window)
    if (picture := picture_span(scene)) is not None:
        _paint_picture(view, picture)
    if scene.rug:
        _paint_rug(view)
    if scene.lamp:
        _paint_lamp(view)
    if scene.bed:
        _paint_bed(view)
    return view.canvas.finished((_MOST_LIGHT * scene.light, 0.03), scene.brightness)


def draw(seed: int, number: int, size: int) -> Pixels:
    """Paint bedroom `number` of a seed: uint8 (size, size, 3), RGB."""
    return draw_room(room(seed, number), size)


def seen_in(seed: int, number: int) -> tuple[bool | float | tuple[float, ...] | None, ...]:
    """What is to be seen in bedroom `number` of a seed, in the order of `FACTORS`."""
    scene = room(seed, number)
    window = window_span(scene)
    box = None if window is None else box_of(_View(scene, 1).on_wall(window))
    return (
        window is not None,
        box,
        window is not None and scene.curtains,
        scene.bed,
        scene.bed and scene.bed_side == "left",
        (1 + scene.bed_double) if scene.bed else 0,
        scene.lamp,
        picture_span(scene) is not None,
        door_in_sight(scene),
        scene.wall_hue,
        scene.light,
    )


# --- Where things stand: `from_bed` counts from the side wall that the bed stands at ---------


def bed_width(scene: Room) -> float:
    """Of a double or a single bed, in metres."""
    return 1.65 if scene.bed_double else 1.1


def window_span(scene: Room) -> Span | None:
    """Where the window is; None in a room without one."""
    if not scene.window:
        return None
    # Not behind the bed's head, but for a third of the bed.
    free = scene.width - scene.bed_gap - 0.67 * bed_width(scene) - 0.25
    width = min(scene.window_width, free)
    far = 0.25 + scene.window_place * (free - width)
    left = _from_far(scene, far, width)
    top = min(scene.window_sill + scene.window_height, scene.height - 0.18)
    return Span(left, left + width, scene.window_sill, top)


def picture_span(scene: Room) -> Span | None:
    """Where a picture hangs: in the wider part of the wall that the window leaves, if any."""
    if not scene.picture:
        return None
    window = window_span(scene)
    free = [(0.2, scene.width - 0.2)]
    if window is not None:
        free = [(0.2, window.left - 0.3), (window.right + 0.3, scene.width - 0.2)]
    left, right = max(free, key=lambda part: part[1] - part[0])
    if right - left < scene.picture_width:
        return None
    middle = (left + right) / 2
    half = scene.picture_width / 2
    return Span(middle - half, middle + half, 1.45, 1.45 + 1.5 * half)


def door_in_sight(scene: Room) -> bool:
    """Whether there is a door, and the camera sees some of it beside the picture's edge."""
    across = _from_far(scene, 0.0, 0.0)
    seen_at, _ = _View(scene, 1).at(across, 1.0, scene.depth - _DOOR[1])
    return scene.door and _LEAST_SEEN < seen_at < 1 - _LEAST_SEEN


def _from_far(scene: Room, far: float, width: float) -> float:
    """The left end of what is `width` wide and `far` away from the side wall without the bed."""
    return far if scene.bed_side == "right" else scene.width - far - width


def _from_bed(scene: Room, near: float, width: float) -> float:
    """The left end of what is `width` wide and `near` to the side wall with the bed."""
    return near if scene.bed_side == "left" else scene.width - near - width


# --- Painting, from far to near ---------------------------------------------------------------


class _View:
    """A room seen by its camera, and the canvas that it is painted on."""

    def __init__(self, scene: Room, size: int) -> None:
        self.scene = scene
        self.canvas = Canvas(size, hsv(scene.wall_hue, scene.wall_colour, scene.wall_value))
        self.floor = hsv(scene.floor_hue, 0.45, scene.floor_value)
        self._middle = scene.width / 2 + scene.aside

    def at(self, across: float, up: float, away: float) -> Point:
        """Where a point of the room is seen."""
        near = self.scene.focal / max(away, 0.05)
        return 0.5 + near * (across - self._middle), _HORIZON + near * (self.scene.eye - up)

    def paint(self, colour: Colour, *corners: tuple[float, float, float]) -> None:
        """Fill what a flat convex shape of the room looks like."""
        self.canvas.polygon([self.at(*corner) for corner in corners], colour)

    def on_wall(self, span: Span, before: float = 0.0) -> list[Point]:
        """The corners of a rectangle on the back wall, or so many metres before it."""
        away = self.scene.depth - before
        left, right, bottom, top = span
        ends = ((left, bottom), (right, bottom), (right, top), (left, top))
        return [self.at(across, up, away) for across, up in ends]

    def hang(self, colour: Colour, span: Span, before: float = 0.0) -> None:
        """Fill a rectangle on the back wall, or so many metres before it."""
        self.canvas.polygon(self.on_wall(span, before), colour)


def _paint_shell(view: _View) -> None:
    """Back wall (the canvas has its colour), side walls, ceiling, floor and skirting."""
    scene = view.scene
    wall = hsv(scene.wall_hue, scene.wall_colour, scene.wall_value)
    right, top, away, here = scene.width, scene.height, scene.depth, 0.4
    for across, towards in ((0.0, -1), (right, 1)):
        # The wall on the light's side lies in its own shadow.
        lit = 0.86 - 0.08 * towards * scene.light
        corners = ((across, 0.0, away), (across, top, away), (across, top, here), (across, 0, here))
        view.paint(shade(wall, lit), *corners)
    ceiling = mix(_WHITE, wall, 0.12)
    view.paint(ceiling, (0, top, away), (right, top, away), (right, top, here), (0, top, here))
    view.paint(view.floor, (0, 0, away), (right, 0, away), (right, 0, here), (0, 0, here))
    view.hang(shade(_WHITE, 0.88), Span(0, right, 0, 0.09))


def _paint_door(view: _View) -> None:
    """A door in the side wall that the bed does not stand at."""
    scene = view.scene
    across = _from_far(scene, 0.0, 0.0)
    colour = hsv(scene.floor_hue, 0.35, scene.door_value)
    near, far = (scene.depth - before for before in _DOOR)
    for grown, light in ((0.07, 0.7), (0.0, 1.0)):
        first, last, top = near - grown, far + grown, 2.02 + grown
        corners = ((across, 0, last), (across, top, last), (across, top, first), (across, 0, first))
        view.paint(shade(colour, light), *corners)


def _paint_window(view: _View, window: Span) -> None:
    """View, frame, bars and curtains."""
    scene = view.scene
    frame = _WHITE if scene.window_frame == "white" else hsv(0.07, 0.55, 0.36)
    edge = 0.07
    left, right, bottom, top = window
    view.hang(frame, window)
    glass = Span(left + edge, right - edge, bottom + edge, top - edge)
    _paint_outdoors(view, glass)
    middle = (left + right) / 2
    view.hang(frame, Span(middle - 0.03, middle + 0.03, bottom, top))
    if scene.transom:
        half = (bottom + top) / 2
        view.hang(frame, Span(left, right, half - 0.03, half + 0.03))
    view.hang(shade(frame, 0.8), Span(left - 0.06, right + 0.06, bottom - 0.05, bottom))
    if scene.curtains:
        cloth = hsv(scene.curtain_hue, 0.5, 0.75)
        width = 0.22 * (right - left)
        for inner, outer, light in (
            (left + width, left - 0.16, 0.95),
            (right - width, right + 0.16, 0.85),
        ):
            hanging = Span(min(inner, outer), max(inner, outer), bottom - 0.3, top + 0.1)
            view.hang(shade(cloth, light), hanging, 0.05)


def _paint_outdoors(view: _View, glass: Span) -> None:
    """Sky, and a meadow or houses below it."""
    scene = view.scene
    left, right, bottom, top = glass
    height, width = top - bottom, right - left
    for band in range(4):
        sky = hsv(0.57, scene.sky * (0.4 + 0.2 * band), 1.0)
        low = bottom + height * band / 4
        view.hang(sky, Span(left, right, low, low + height / 4))
    if scene.view == "meadow":
        view.hang(hsv(0.27, 0.5, 0.55), Span(left, right, bottom, bottom + 0.34 * height))
    if scene.view == "houses":
        for start, end, tall in ((0.0, 0.38, 0.45), (0.38, 0.7, 0.3), (0.7, 1.0, 0.55)):
            house = Span(left + start * width, left + end * width, bottom, bottom + tall * height)
            view.hang(hsv(0.04 + 0.05 * end, 0.35, 0.4 + 0.3 * start), house)


def _paint_picture(view: _View, picture: Span) -> None:
    """A dark frame, a mount and something in it."""
    left, right, bottom, top = picture
    hue = view.scene.picture_hue
    view.hang(hsv(0.08, 0.4, 0.22), picture)
    inner = Span(left + 0.05, right - 0.05, bottom + 0.05, top - 0.05)
    view.hang(hsv(hue, 0.45, 0.85), inner)
    view.hang(hsv(hue + 0.4, 0.5, 0.5), inner._replace(top=(bottom + top) / 2 - 0.02))


def _paint_rug(view: _View) -> None:
    """A round rug beside the bed."""
    scene = view.scene
    middle = _from_far(scene, 0.33 * scene.width, 0.0)
    colour = hsv(scene.rug_hue, 0.45, 0.7)
    for radius, light in ((0.75, 0.8), (0.6, 1.0)):
        corners = ellipse((middle, scene.depth - 1.3), radius, 0.75 * radius)
        view.paint(
            shade(colour, light), *((across, 0.0, away) for across, away in corners.tolist())
        )


def _paint_lamp(view: _View) -> None:
    """A lamp that is lit, on a small table at the bed's head."""
    scene = view.scene
    near = scene.bed_gap + bed_width(scene) + 0.12
    left = _from_bed(scene, near, 0.42)
    middle = left + 0.21
    wood = hsv(0.07, 0.5, scene.head_value)
    away, before = scene.depth - 0.1, scene.depth - 0.5
    view.paint(shade(wood, 0.7), *_front(left, left + 0.42, 0.0, 0.52, before))
    view.paint(shade(wood, 1.2), *_top(left, left + 0.42, 0.52, before, away))
    stand = scene.depth - 0.3
    high = scene.lamp_height
    view.paint(hsv(0.1, 0.3, 0.25), *_front(middle - 0.025, middle + 0.025, 0.52, high, stand))
    shade_of_lamp = (
        (-0.2, high - 0.05),
        (0.2, high - 0.05),
        (0.12, high + 0.25),
        (-0.12, high + 0.25),
    )
    glow = hsv(0.13, 0.35, 1.0)
    view.paint(glow, *((middle + aside, up, stand) for aside, up in shade_of_lamp))


def _paint_bed(view: _View) -> None:
    """Shadow, head, mattress, blanket and pillows."""
    scene = view.scene
    width = bed_width(scene)
    left = _from_bed(scene, scene.bed_gap, width)
    right = left + width
    away, foot, high = scene.depth - 0.08, scene.depth - _BED_LENGTH, scene.bed_height
    wood = hsv(0.07, 0.5, scene.head_value)
    blanket = hsv(scene.blanket_hue, scene.blanket_colour, scene.blanket_value)
    shadow = shade(view.floor, 0.62)
    view.paint(shadow, *_top(left - 0.12, right + 0.12, 0.0, foot - 0.1, away))
    view.hang(wood, Span(left - 0.04, right + 0.04, 0.0, high + scene.head_height), 0.08)
    side = right if view.at(right, 0, foot)[0] < 0.5 else left
    edge = foot + scene.blanket_folded * _BED_LENGTH
    view.paint(shade(_WHITE, 0.8), *_side(side, 0.12, high, foot, away))
    view.paint(shade(blanket, 0.72), *_side(side, 0.12, high, foot, edge))
    view.paint(shade(blanket, 0.6), *_front(left, right, 0.12, high, foot))
    view.paint(_WHITE, *_top(left, right, high, foot, away))
    view.paint(blanket, *_top(left, right, high, foot, edge))
    view.paint(shade(blanket, 1.15), *_top(left, right, high, edge - 0.16, edge))
    pillows = 1 + scene.bed_double
    for number in range(pillows):
        middle = left + width * (number + 0.5) / pillows
        for up, radius, light in ((0.03, 1.0, 0.84), (0.1, 0.88, 1.0)):
            corners = ellipse((middle, away - 0.32), radius * 0.36, radius * 0.25)
            flat = ((across, high + up, back) for across, back in corners.tolist())
            view.paint(shade(_WHITE, light), *flat)


def _front(left: float, right: float, low: float, high: float, away: float) -> _Corners:
    """A rectangle that faces the camera."""
    return ((left, low, away), (right, low, away), (right, high, away), (left, high, away))


def _top(left: float, right: float, up: float, near: float, away: float) -> _Corners:
    """A rectangle that lies flat."""
    return ((left, up, near), (right, up, near), (right, up, away), (left, up, away))


def _side(across: float, low: float, high: float, near: float, away: float) -> _Corners:
    """A rectangle that faces a side wall."""
    return ((across, low, near), (across, high, near), (across, high, away), (across, low, away))
