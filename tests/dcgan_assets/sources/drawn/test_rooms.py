from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dcgan_assets.sources.drawn.rooms import (
    FACTORS,
    Room,
    door_in_sight,
    draw,
    draw_room,
    picture_span,
    room,
    seen_in,
    window_span,
)
from dcgan_models.pixels import Pixels

NAMES = [factor.name.removeprefix("factor.") for factor in FACTORS]


def _seen(number: int) -> dict[str, object]:
    return dict(zip(NAMES, seen_in(1, number), strict=True))


def _changed(one: Pixels, other: Pixels) -> tuple[float, float, float, float]:
    """Left, top, width and height of where two pictures differ visibly, in shares of the side."""
    different = np.abs(one.astype(int) - other).max(axis=2) > 20
    rows, columns = np.flatnonzero(different.any(axis=1)), np.flatnonzero(different.any(axis=0))
    side = len(one)
    left, top = columns[0] / side, rows[0] / side
    return left, top, (columns[-1] + 1) / side - left, (rows[-1] + 1) / side - top


def _without_what_stands_before(scene: Room) -> Room:
    return replace(scene, lamp=False, bed=False, curtains=False, picture=False)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_a_room_is_rgb_of_its_size(size: int) -> None:
    picture = draw(1, 0, size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 10


def test_rooms_differ_and_are_the_same_again() -> None:
    pictures = [draw(1, number, 64) for number in range(30)]
    assert len({picture.tobytes() for picture in pictures}) == 30
    assert all(np.array_equal(draw(1, n, 64), pictures[n]) for n in reversed(range(30)))
    assert not np.array_equal(draw(2, 0, 64), pictures[0])


def test_a_small_room_is_the_large_one_averaged() -> None:
    for number in range(10):
        large = draw(1, number, 128).astype(float)
        averaged = large.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
        # Light falls on a grid of each size's own.
        assert np.abs(averaged - draw(1, number, 64)).mean() < 2


def test_the_window_is_where_its_box_says() -> None:
    found = 0
    for number in range(60):
        scene = _without_what_stands_before(room(1, number))
        box = _seen(number)["window_box"]
        if not scene.window:
            assert box is None
            continue
        there = _changed(draw_room(scene, 256), draw_room(replace(scene, window=False), 256))
        assert isinstance(box, tuple)
        # The sill stands out a little, and a pale frame on a pale wall is hardly seen.
        assert there[:2] == pytest.approx(box[:2], abs=0.045)
        assert there[2:] == pytest.approx(box[2:], abs=0.06)
        found += 1
    assert found > 25


@pytest.mark.parametrize("thing", ["lamp", "bed", "rug"])
def test_a_thing_is_drawn_where_its_factor_says(thing: str) -> None:
    shown = 0
    for number in range(20):
        scene = room(1, number)
        with_it, without = (draw_room(replace(scene, **{thing: v}), 64) for v in (True, False))
        shown += np.abs(with_it.astype(int) - without).max() > 40
    # A door may be out of the camera's sight, or a rug below the picture.
    assert shown >= {"lamp": 19, "bed": 20, "rug": 12}[thing]


def test_a_door_is_drawn_where_it_is_in_sight() -> None:
    in_sight = 0
    for number in range(60):
        scene = replace(room(1, number), door=True, door_value=0.36, lamp=False)
        change = draw_room(scene, 64).astype(int) - draw_room(replace(scene, door=False), 64)
        assert door_in_sight(scene) == (np.abs(change).max() > 20)
        assert not door_in_sight(replace(scene, door=False))
        in_sight += door_in_sight(scene)
    assert 25 < in_sight < 60


def test_the_bed_stands_on_its_side() -> None:
    for number in range(20):
        scene = replace(room(1, number), lamp=False, rug=False, bed=True)
        left = _changed(
            draw_room(replace(scene, bed_side="left"), 64),
            draw_room(replace(scene, bed_side="left", bed=False), 64),
        )
        right = _changed(
            draw_room(replace(scene, bed_side="right"), 64),
            draw_room(replace(scene, bed_side="right", bed=False), 64),
        )
        assert left[0] + left[2] / 2 < right[0] + right[2] / 2


def test_two_pillows_lie_in_a_double_bed_alone() -> None:
    for number in range(100):
        scene, seen = room(1, number), _seen(number)
        assert seen["pillows"] == (0 if not scene.bed else 2 if scene.bed_double else 1)


def test_a_picture_hangs_beside_the_window() -> None:
    pictures = 0
    for number in range(400):
        scene = room(1, number)
        picture, window = picture_span(scene), window_span(scene)
        assert _seen(number)["picture"] == (picture is not None)
        if picture is not None:
            pictures += 1
            assert 0 < picture.left < picture.right < scene.width
            assert window is None or picture.right < window.left or picture.left > window.right
    assert pictures > 60


def test_windows_are_inside_the_wall() -> None:
    for number in range(400):
        scene = room(1, number)
        window = window_span(scene)
        if window is not None:
            assert 0 < window.left < window.right < scene.width
            assert 0 < window.bottom < window.top < scene.height


def test_shares_are_those_of_the_table() -> None:
    seen = [_seen(number) for number in range(3000)]
    for name, share in {"window": 0.65, "bed": 0.92, "lamp": 0.5}.items():
        assert sum(bool(one[name]) for one in seen) / 3000 == pytest.approx(share, abs=0.03)


def test_light_from_the_right_lights_the_right() -> None:
    scene = replace(room(1, 1), window=False, bed=False, lamp=False, door=False, rug=False)
    bare = replace(scene, picture=False, aside=0.0)
    lit = draw_room(replace(bare, light=1.0), 64).astype(float)
    assert lit[20:30, 44:].mean() > lit[20:30, :20].mean() + 10
