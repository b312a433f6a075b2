"""One photograph at a time: what is kept, what is not and why, and what is cut out."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from photo_shards import A_FACE, ANOTHER, RULES, agreement, canvas, png, saved
from PIL import Image
from planted_yunet import planted_yunet

from dcgan_assets.sources.faces.detectors import Box, DetectorFile
from dcgan_assets.sources.faces.finding import (
    FaceRules,
    PhotoFaces,
    _shape_refusal,
    photo_faces,
    sharpness,
    training_pictures,
)
from dcgan_models.pixels import Pixels

CENTRE = (A_FACE, 95, 75, 100)


def kind(reason: str | None) -> str:
    assert reason is not None
    return reason.partition(":")[0]


def only_reason(found: PhotoFaces) -> str:
    """The reason of the one face of a photograph, which is rejected."""
    (face,) = found.faces
    assert found.crops.shape == (0, 128, 128, 3)
    return kind(face.reason)


# --- Kept -----------------------------------------------------------------------------------


def test_crop_is_the_box_with_its_margin_and_the_training_picture_its_centre() -> None:
    photo = canvas(CENTRE)
    found = photo_faces(png(photo), RULES)
    (face,) = found.faces
    assert (found.reason, found.width, found.height, found.scale) == (None, 300, 260, 1)
    assert face.reason is None
    assert agreement(face.box, *CENTRE[1:]) > 0.7
    assert not face.upscaled
    assert face.agreement is None
    side = round(2 * face.box.width)
    left, top = (round(at - face.box.width / 2) for at in (face.box.x, face.box.y))
    square = photo[top : top + side, left : left + side]
    expected = cv2.resize(square, (128, 128), interpolation=cv2.INTER_AREA)
    assert np.array_equal(found.crops, expected[np.newaxis])
    assert np.array_equal(training_pictures(found.crops)[0], expected[32:96, 32:96])


def test_pixels_come_from_the_photograph_and_not_from_the_copy() -> None:
    photo = canvas((A_FACE, 480, 300, 500), height=1200, width=1500)
    found = photo_faces(png(photo), RULES)
    (face,) = found.faces
    assert agreement(face.box, 480, 300, 500) > 0.7
    side = round(max(face.box.width, face.box.height) * 2)
    left = round(face.box.x + (face.box.width - side) / 2)
    top = round(face.box.y + (face.box.height - side) / 2)
    square = photo[top : top + side, left : left + side]
    expected = cv2.resize(square, (128, 128), interpolation=cv2.INTER_AREA)
    assert np.array_equal(found.crops[0], expected)


def test_margin() -> None:
    photo = png(canvas(CENTRE))
    (tight,) = photo_faces(photo, RULES._replace(margin=0.0)).crops
    (wide,) = photo_faces(photo, RULES).crops
    centre = cv2.resize(training_pictures(wide[np.newaxis])[0], (128, 128))
    assert np.abs(tight.astype(int) - centre).mean() < 6


def test_small_crops_are_upscaled_and_say_so() -> None:
    (face,) = photo_faces(
        png(canvas((A_FACE, 120, 90, 60))), RULES._replace(min_face=48, min_sharpness=0)
    ).faces
    assert face.reason is None
    assert face.upscaled


def test_two_faces_best_first() -> None:
    photo = canvas((A_FACE, 70, 90, 90), (ANOTHER, 300, 80, 110), width=500)
    found = photo_faces(png(photo), RULES._replace(second=DetectorFile("haar_default")))
    assert len(found.faces) == len(found.crops) == 2
    assert found.faces[0].box.score >= found.faces[1].box.score
    truths = [(70, 90, 90), (300, 80, 110)]
    assert [max(agreement(face.box, *truth) for truth in truths) > 0.6 for face in found.faces]
    assert all(face.agreement is not None and face.agreement > 0.5 for face in found.faces)


# --- Odd files ------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_in_the_upright_photograph(orientation: int) -> None:
    upright = Image.fromarray(canvas(CENTRE))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(np.asarray(stored), "JPEG", exif=exif, quality=95)
    found = photo_faces(data, RULES)
    (face,) = found.faces
    assert (found.width, found.height) == (300, 260)
    assert agreement(face.box, *CENTRE[1:]) > 0.7


@pytest.mark.parametrize(("file", "mode"), [("JPEG", "CMYK"), ("PNG", "L"), ("GIF", "RGB")])
def test_other_colours_and_formats(file: str, mode: str) -> None:
    (face,) = photo_faces(saved(canvas(CENTRE), file, mode), RULES).faces
    assert face.reason is None
    assert agreement(face.box, *CENTRE[1:]) > 0.7


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<html>404", "HTML, not a picture"),
        (png(canvas(CENTRE))[:500], "truncated"),
        (png(canvas()[:50, :90]), "too small"),
        (png(canvas(width=2000)), "too long"),
        (png(canvas()), "no face"),
        (png(canvas((150, 95, 75, 100))), "no face"),
    ],
)
def test_photographs_without_faces(data: bytes, reason: str) -> None:
    found = photo_faces(data, RULES)
    assert kind(found.reason) == reason
    assert found.faces == ()
    assert found.crops.shape == (0, 128, 128, 3)


@pytest.mark.parametrize(("height", "width"), [(700, 700), (1000, 1536), (2000, 3000)])
def test_the_smallest_face_is_as_many_pixels_in_a_photograph_of_any_size(
    height: int, width: int
) -> None:
    photo = canvas((A_FACE, 500, 500, 90), height=height, width=width)
    (face,) = photo_faces(png(photo), RULES).faces
    assert agreement(face.box, 500, 500, 90) > 0.6
    tiny = canvas((A_FACE, 500, 500, 40), height=height, width=width)
    found = photo_faces(png(tiny), RULES)
    assert found.reason == "no face: none of at least 64 pixels found"


@pytest.mark.parametrize(("height", "width", "side"), [(720, 960, 190), (1600, 2400, 190)])
def test_nearly_all_faces_of_a_group_photograph_are_found(
    height: int, width: int, side: int
) -> None:
    """Portraits whose faces are some 80 pixels wide, in rows, as people stand for a photograph."""
    portrait = skimage.data.astronaut()[:290, 110:400]
    small = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
    photo = canvas(height=height, width=width)
    places = [
        (left, top)
        for left in range(10, width - side, side + 20)
        for top in range(10, height - side, side + 20)
    ]
    for left, top in places:
        photo[top : top + side, left : left + side] = small
    found = photo_faces(saved(photo, "JPEG", quality=95), RULES._replace(min_sharpness=0))
    large = [face for face in found.faces if min(face.box.width, face.box.height) >= 64]
    assert len(places) in {12, 77}
    assert len(large) == len(places)


# --- Rejected -------------------------------------------------------------------------------


@pytest.mark.parametrize(("left", "top"), [(0, 75), (200, 75), (95, 0), (95, 160)])
def test_cut_off(left: int, top: int) -> None:
    found = photo_faces(png(canvas((A_FACE, left, top, 100))), RULES)
    assert only_reason(found) == "cut off"
    assert len(photo_faces(png(canvas((A_FACE, left, top, 100))), RULES._replace(margin=0)).crops)


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_blurred_at_any_size(scale: float) -> None:
    sharp = cv2.resize(
        skimage.data.astronaut(), None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC
    )
    blurred = cv2.GaussianBlur(sharp, (0, 0), 4 * scale)
    kept, rejected = (photo_faces(png(one), RULES).faces[0] for one in (sharp, blurred))
    assert kept.reason is None
    assert kept.sharpness is not None
    assert kept.sharpness > 400
    assert rejected.sharpness is not None
    assert rejected.sharpness < 30
    assert kind(rejected.reason) == "blurred"


def test_sharpness_is_the_variance_of_the_laplacian_at_64_pixels() -> None:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (64, 64), np.uint8)
    edges = np.pad(grey.astype(float), 1, mode="reflect")
    laplacian = edges[:-2, 1:-1] + edges[2:, 1:-1] + edges[1:-1, :-2] + edges[1:-1, 2:] - 4.0 * grey
    assert sharpness(np.dstack([grey] * 3)) == pytest.approx(laplacian.var())
    flat: Pixels = np.full((200, 200, 3), 9, np.uint8)
    assert sharpness(flat) == 0


# --- Boxes of a detector that finds white squares ---------------------------------------------


@pytest.fixture
def squares(tmp_path: Path) -> FaceRules:
    data = planted_yunet()
    (tmp_path / "model.onnx").write_bytes(data)
    detector = DetectorFile("yunet", tmp_path / "model.onnx", hashlib.sha256(data).hexdigest())
    return RULES._replace(detector=detector, min_sharpness=0)


def white(*places: tuple[int, int, int]) -> bytes:
    """White squares (left, top, side) on black."""
    pixels = np.zeros((256, 320, 3), np.uint8)
    for left, top, side in places:
        pixels[top : top + side, left : left + side] = 255
    return png(pixels)


def test_too_small_and_misshapen(squares: FaceRules) -> None:
    small = _shape_refusal(Box(160, 128, 16, 24, 1.0), squares._replace(min_face=17))
    assert small == "too small: 16x24 pixels; a side of at least 17 is needed"
    # The box of an 8-pixel square is 16x24.
    tall = photo_faces(white((160, 128, 8)), squares._replace(min_face=16, max_aspect=1.4))
    assert only_reason(tall) == "misshapen"
    kept = photo_faces(white((160, 128, 8)), squares._replace(min_face=16))
    assert kept.faces[0].reason is None
    assert kept.faces[0].upscaled


def test_square_about_a_tall_box(squares: FaceRules) -> None:
    found = photo_faces(white((160, 128, 8)), squares._replace(min_face=16))
    box = found.faces[0].box
    centre = box.x + box.width / 2, box.y + box.height / 2
    left, top = round(centre[0] - 24), round(centre[1] - 24)
    pixels = np.zeros((256, 320, 3), np.uint8)
    pixels[128:136, 160:168] = 255
    square = pixels[top : top + 48, left : left + 48]
    assert np.array_equal(
        found.crops[0], cv2.resize(square, (128, 128), interpolation=cv2.INTER_CUBIC)
    )


def test_a_face_found_twice_is_kept_once(squares: FaceRules) -> None:
    # A 32-pixel square is a face at each stride; the smaller boxes lie in the larger.
    found = photo_faces(white((128, 96, 32)), squares._replace(min_face=16))
    reasons = [face.reason for face in found.faces]
    assert len(reasons) > 2
    kept = [face for face in found.faces if face.reason is None]
    repeated = [face for face in found.faces if face.reason is not None]
    assert len(kept) == len(found.crops)
    assert repeated
    for face in repeated:
        assert kind(face.reason) == "overlaps another"
        assert "box " in str(face.reason)


def test_a_second_detector_that_sees_nothing(squares: FaceRules) -> None:
    rules = RULES._replace(second=squares.detector)
    (face,) = photo_faces(png(canvas(CENTRE, level=20)), rules).faces
    assert face.agreement is not None
    assert face.agreement < 0.5
