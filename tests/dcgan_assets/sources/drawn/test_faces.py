from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dcgan_assets.sources.drawn.faces import (
    FACTORS,
    Pose,
    draw,
    draw_face,
    person,
    pose,
    seen_in,
)
from dcgan_assets.sources.faces.detectors import DetectorFile, find_faces, open_detector


def _straight(number: int) -> Pose:
    return replace(pose(1, number), yaw=0.0, across=0.0, down=0.0, light=0.0, brightness=1.0)


def _middle_of_change(one: object, other: object) -> float:
    """The mean column where two pictures differ, in shares of the side."""
    different = np.abs(np.asarray(one, int) - np.asarray(other, int)).sum(axis=(0, 2))
    return float((different * np.arange(len(different))).sum() / different.sum() / len(different))


@pytest.mark.parametrize("size", [32, 64, 128])
def test_a_face_is_rgb_of_its_size(size: int) -> None:
    picture = draw(1, 0, size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8


def test_faces_differ_and_are_the_same_again() -> None:
    pictures = [draw(1, number, 64) for number in range(30)]
    assert len({picture.tobytes() for picture in pictures}) == 30
    assert all(np.array_equal(draw(1, n, 64), pictures[n]) for n in reversed(range(30)))


def test_a_head_turned_the_other_way_is_its_mirror_image() -> None:
    for number in range(12):
        who, how = person(1, number), _straight(number)
        right = draw_face(who, replace(how, yaw=25.0), 128).astype(int)
        left = draw_face(who, replace(how, yaw=-25.0), 128).astype(int)
        # Edges are rounded to a sixteenth of a pixel, and no mirror image rounds the same.
        assert np.abs(right - left[:, ::-1]).mean() < 1


def test_a_straight_face_is_its_own_mirror_image() -> None:
    for number in range(12):
        face = draw_face(person(1, number), _straight(number), 128).astype(int)
        assert np.abs(face - face[:, ::-1]).mean() < 1


@pytest.mark.parametrize("factor", ["smile", "glasses"])
def test_what_changes_moves_with_the_head(factor: str) -> None:
    """A point on the front of the head lies off the middle as the sine of the angle."""
    for number in range(12):
        who, how = person(1, number), _straight(number)
        places = []
        for yaw in (-30.0, -15.0, 0.0, 15.0, 30.0):
            turned = replace(how, yaw=yaw)
            one, other = (
                draw_face(who, replace(turned, **{factor: there}), 128) for there in (True, False)
            )
            places.append(_middle_of_change(one, other) - 0.5)
        assert places == sorted(places)
        assert places[2] == pytest.approx(0, abs=0.006)
        assert places[4] / places[3] == pytest.approx(
            np.sin(np.pi / 6) / np.sin(np.pi / 12), rel=0.25
        )


def test_a_smile_changes_the_mouth_alone() -> None:
    for number in range(12):
        who, how = person(1, number), _straight(number)
        smiling, neutral = (draw_face(who, replace(how, smile=s), 128) for s in (True, False))
        rows = np.flatnonzero(np.abs(smiling.astype(int) - neutral).max(axis=(1, 2)) > 8)
        assert rows.min() > 0.55 * 128
        assert rows.max() < 0.9 * 128


def test_what_is_seen_is_what_was_drawn() -> None:
    names = [factor.name.removeprefix("factor.") for factor in FACTORS]
    for number in range(50):
        seen = dict(zip(names, seen_in(1, number), strict=True))
        who, how = person(1, number), pose(1, number)
        assert all(seen[n] == getattr(who, n) for n in ("long_hair", "hair", "skin"))
        assert all(seen[n] == getattr(how, n) for n in ("yaw", "smile", "glasses", "light"))


def test_shares_are_those_of_the_tables() -> None:
    seen = np.array([seen_in(1, number)[1:4] for number in range(3000)], float)
    assert seen.mean(axis=0) == pytest.approx([0.5, 0.35, 0.5], abs=0.03)


def test_opencv_finds_them_as_it_finds_photographs() -> None:
    detector = open_detector(DetectorFile("haar_alt2"))
    found = 0
    for number in range(100):
        scene = np.full((192, 192, 3), 128, np.uint8)
        scene[32:160, 32:160] = draw(1, number, 128)
        boxes = find_faces(detector, scene, 48)
        middle = (
            (boxes[0].x + boxes[0].width / 2, boxes[0].y + boxes[0].height / 2) if boxes else None
        )
        found += middle is not None and np.hypot(middle[0] - 96, middle[1] - 96) < 25
    assert found >= 93
