"""Detectors on the LFW faces, on photographs, and on squares planted for a network to find."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from fixture_types import Refused
from photo_shards import A_FACE, ANOTHER, agreement, canvas
from planted_yunet import planted_yunet

from benchmarks.lfw import lfw_pieces
from dcgan_assets.sources.faces.detectors import (
    Box,
    Detector,
    DetectorFile,
    find_faces,
    open_detector,
    overlap,
    scaled,
)

HAAR = ("haar_alt2", "haar_default")


def haar(name: str = "haar_alt2") -> Detector:
    return open_detector(DetectorFile(name))


def yunet(folder: Path) -> Detector:
    data = planted_yunet()
    (folder / "model.onnx").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return open_detector(DetectorFile("yunet", folder / "model.onnx", digest))


# --- Cascades -------------------------------------------------------------------------------


def test_lfw_faces_are_found_and_nothing_else() -> None:
    found = [
        haar().detect(canvas((number, 50, 50, 100), height=200, width=200), 64)
        for number in range(200)
    ]
    assert sum(len(boxes) == 1 for boxes in found[:100]) >= 98
    assert sum(map(len, found[:100])) <= 100
    assert sum(map(len, found[100:])) == 0
    for boxes in found[:100]:
        assert all(agreement(box, 50, 50, 100) > 0.55 for box in boxes)


@pytest.mark.parametrize("name", HAAR)
def test_one_box_on_the_portrait(name: str) -> None:
    (box,) = haar(name).detect(skimage.data.astronaut(), 64)
    assert agreement(box, 177, 66, 97) > 0.8
    assert haar(name).name == name
    assert cv2.__version__ in haar(name).version
    assert name.removeprefix("haar_") in haar(name).version


def test_boxes_are_those_of_the_cascade_without_scores() -> None:
    # OpenCV takes another way through its code when it is asked for scores.
    path = Path(cv2.__file__).parent / "data/haarcascade_frontalface_alt2.xml"
    cascade = cv2.CascadeClassifier(str(path))
    picture = canvas((A_FACE, 20, 40, 90), (ANOTHER, 150, 30, 110))
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    plain = cascade.detectMultiScale(grey, 1.1, 5, minSize=(64, 64))
    boxes = haar().detect(picture, 64)
    assert sorted(box[:4] for box in boxes) == sorted(tuple(map(float, box)) for box in plain)
    assert len(boxes) == 2
    assert boxes[0].score >= boxes[1].score > 0


def test_smallest_side() -> None:
    picture = canvas((A_FACE, 100, 80, 60))
    assert len(haar().detect(picture, 48)) == 1
    assert haar().detect(picture, 80) == []


def test_colours_are_rgb() -> None:
    # Red weighs less than half of green in grey: a face in red on green is there in RGB only.
    piece = cv2.resize(lfw_pieces()[A_FACE], (100, 100), interpolation=cv2.INTER_CUBIC)
    picture = canvas()
    picture[80:180, 100:200] = np.dstack([piece, piece // 8, piece // 8])
    swapped = np.ascontiguousarray(picture[..., ::-1])
    scores = [haar().detect(one, 64)[0].score for one in (picture, swapped)]
    assert scores[0] != scores[1]


# --- YuNet, with a network that takes white squares for faces ------------------------------------


def test_yunet_boxes_are_where_they_were_planted(tmp_path: Path) -> None:
    picture = np.zeros((203, 301, 3), np.uint8)
    picture[64:72, 80:88] = 255
    picture[160:176, 224:240, 1:] = 254
    detector = yunet(tmp_path)
    # Each square is one face at its own stride; the second is dimmer.
    boxes = detector.detect(picture, 64)
    assert boxes[0] == Box(76, 56, 16, 24, pytest.approx(1.0))
    assert all(one.score >= other.score for one, other in itertools.pairwise(boxes))
    assert detector.name == "yunet"
    assert "model.onnx" in detector.version


def test_yunet_refusals(tmp_path: Path, refused: Refused) -> None:
    model = tmp_path / "other.onnx"
    with refused("yunet", "other.onnx", "no such file"):
        open_detector(DetectorFile("yunet", model, "0" * 64))
    model.write_bytes(b"no network")
    with refused("yunet", "other.onnx", "sha256 is", "0" * 64):
        open_detector(DetectorFile("yunet", model, "0" * 64))
    digest = hashlib.sha256(b"no network").hexdigest()
    with refused("yunet", "other.onnx", "cannot read it"):
        open_detector(DetectorFile("yunet", model, digest))
    with refused("yunet", "`model_sha256`"):
        open_detector(DetectorFile("yunet"))


# --- Sizes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("longest", [64, 512, 4000])
def test_a_cascade_looks_at_the_photograph_itself(longest: int) -> None:
    assert haar().scales(64, longest) == (1,)


@pytest.mark.parametrize(
    ("min_face", "longest", "scales"),
    [
        (16, 256, (1.0,)),
        (64, 1024, (1 / 4,)),  # 64 pixels are shown as 16, the whole as 256
        (64, 1025, (1 / 4, 1 / 64)),
        (64, 4000, (1 / 4, 1 / 64)),
        (128, 40_000, (1 / 8, 1 / 128, 1 / 2048)),
    ],
)
def test_networks_are_shown_every_face_at_a_size_that_they_see(
    tmp_path: Path, min_face: int, longest: int, scales: tuple[float, ...]
) -> None:
    found = yunet(tmp_path).scales(min_face, longest)
    assert found == scales
    for side in range(min_face, longest + 1):
        assert any(16 <= side * scale <= 256 for scale in found)


def test_boxes_of_copies_are_in_the_pixels_of_the_photograph(tmp_path: Path) -> None:
    """A square that the network sees as a face of 16x24 about a square of 8, a quarter as large."""
    photo = np.zeros((1000, 1000, 3), np.uint8)
    photo[480:512, 640:672] = 255
    best = find_faces(yunet(tmp_path), photo, 64)[0]
    assert best[:4] == pytest.approx((624, 448, 64, 96), abs=1e-3)


def test_sides_are_rounded_each_on_its_own() -> None:
    large = canvas((A_FACE, 700, 300, 420), height=1203, width=1601)
    assert scaled(large, 0.32).shape == (385, 512, 3)
    assert scaled(large, 1.0) is large
    assert scaled(large[:1, :600], 0.1).shape == (1, 60, 3)
    (box,) = find_faces(haar(), large, 64)
    assert agreement(box, 700, 300, 420) > 0.7


def test_overlap() -> None:
    one, inner, apart = Box(0, 0, 10, 10, 0), Box(2, 2, 5, 4, 0), Box(10, 0, 5, 5, 0)
    assert overlap(one, one) == (1, 1)
    assert overlap(one, inner) == (0.2, 1)
    assert overlap(one, apart) == (0, 0)
    assert overlap(one, Box(5, 0, 10, 10, 0)) == (pytest.approx(1 / 3), 0.5)
