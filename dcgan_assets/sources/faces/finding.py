"""The faces of one photograph: found, judged, measured and cut out. Runs in worker processes.

The authors stored crops of 128 pixels and trained on the central 64 of them without resizing
(`faces/load.py` of their code), and their published samples show tight faces. So the detector's
box must have been stored with a margin of about half its side all around: the central half of
the crop is then the box itself. We infer that; the paper gives neither margin nor threshold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dcgan_assets.sources.archive import TarMember
from dcgan_assets.sources.faces.detectors import (
    Box,
    DetectorFile,
    find_faces,
    open_detector,
    overlap,
)
from dcgan_assets.sources.reading.decode import Refused, decode, thumbnails
from dcgan_assets.sources.reading.items import UnreadableError
from dcgan_models.pixels import Pixels

STORED_SIDE = 128
TRAINING_SIDE = 64
# One face found twice: so much of the smaller box lies in the other.
SAME_FACE = 0.5
# Faces on which two detectors agree have boxes with this intersection over union.
AGREEMENT = 0.5

NO_FACE = "no face"
TOO_SMALL = "too small"
MISSHAPEN = "misshapen"
CUT_OFF = "cut off"
BLURRED = "blurred"
OVERLAPS = "overlaps another"

_NO_CROPS: Pixels = np.empty((0, STORED_SIDE, STORED_SIDE, 3), np.uint8)


class FaceRules(NamedTuple):
    """How faces are looked for, and which are kept.

    Attributes:
        detector: Whose boxes are used.
        second: Asked as well, only to see whether the two agree.
        min_face: The shorter side of a box, in the photograph's own pixels, must be this:
            the paper's "sufficiently high resolution". Faces are looked for down to this size,
            however large the photograph is.
        max_aspect: A box's longer side is at most so many times the shorter.
        margin: What is stored around the box's square on each side, as a share of its side.
        min_sharpness: The least `sharpness`.
    """

    detector: DetectorFile
    second: DetectorFile | None
    min_face: float
    max_aspect: float
    margin: float
    min_sharpness: float


class Face(NamedTuple):
    """A box, and what became of it.

    Attributes:
        box: In the pixels of the upright photograph.
        reason: Why it is rejected; None when kept.
        sharpness: See `sharpness`; None where it was not measured.
        upscaled: Whether the stored crop has more pixels than the photograph had there.
        agreement: The best intersection over union with a box of the second detector; None
            where there is none.
    """

    box: Box
    reason: str | None
    sharpness: float | None
    upscaled: bool
    agreement: float | None


class PhotoFaces(NamedTuple):
    """What became of a photograph.

    Attributes:
        reason: Why it has no faces: `no face`, or what was wrong with the photograph.
        width, height: As shown, where known.
        scale: Of the largest copy in which faces were looked for; None where none were.
        faces: All boxes, the best score first.
        crops: uint8 (n_kept, 128, 128, 3), RGB, of the kept ones.
    """

    reason: str | None
    width: int | None = None
    height: int | None = None
    scale: float | None = None
    faces: tuple[Face, ...] = ()
    crops: Pixels = _NO_CROPS


class PhotoBytes(NamedTuple):
    """A photograph in a shard's tar, and what its bytes must be."""

    member: TarMember
    sha256: str

    def read(self) -> bytes:
        """As `Location.read`."""
        data = self.member.read()
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise UnreadableError("not the bytes that were downloaded")
        return data


def photo_faces(data: bytes, rules: FaceRules) -> PhotoFaces:
    """Find, judge and cut out the faces of a photograph, given its file's bytes."""
    photo = decode(data, int(np.ceil(rules.min_face)))
    if isinstance(photo, Refused):
        return PhotoFaces(photo.reason, photo.width, photo.height)
    detector = open_detector(rules.detector)
    scale = detector.scales(rules.min_face, max(photo.pixels.shape[:2]))[0]
    boxes = find_faces(detector, photo.pixels, rules.min_face)
    if not boxes:
        reason = f"{NO_FACE}: none of at least {rules.min_face:g} pixels found"
        return PhotoFaces(reason, photo.width, photo.height, scale)
    others = None
    if rules.second is not None:
        others = find_faces(open_detector(rules.second), photo.pixels, rules.min_face)
    faces = []
    crops: list[Pixels] = []
    for number, box in enumerate(boxes):
        face, crop = _judged(photo.pixels, box, boxes[:number], others, rules)
        faces.append(face)
        if crop is not None:
            crops.append(crop)
    stored = np.stack(crops) if crops else _NO_CROPS
    return PhotoFaces(None, photo.width, photo.height, scale, tuple(faces), stored)


def training_pictures(crops: Pixels) -> Pixels:
    """What is trained on: the central 64 pixels, not resized, of crops (n, 128, 128, 3)."""
    start = (STORED_SIDE - TRAINING_SIDE) // 2
    return crops[:, start : start + TRAINING_SIDE, start : start + TRAINING_SIDE]


def sharpness(square: Pixels) -> float:
    """The variance of the Laplacian of a face at 64 pixels, in squared grey levels.

    The size is fixed, or a large photograph would seem more blurred than a small one.

    Args:
        square: uint8 (side, side, 3), RGB.
    """
    import cv2

    (small,) = thumbnails(square, (TRAINING_SIDE,))
    return float(cv2.Laplacian(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def _judged(
    photo: Pixels, box: Box, better: Sequence[Box], others: list[Box] | None, rules: FaceRules
) -> tuple[Face, Pixels | None]:
    """A face and its crop; `better` are the boxes with a higher score."""
    agreement = None
    if others is not None:
        agreement = max((overlap(box, other)[0] for other in others), default=0.0)
    place = _Place.around(box, rules.margin)
    reason = _shape_refusal(box, rules) or _repetition(box, better)
    if reason is None and not place.lies_in(photo):
        reason = f"{CUT_OFF}: its crop of {place.side} pixels leaves the photograph"
    if reason is not None:
        return Face(box, reason, None, False, agreement), None
    sharp = sharpness(_Place.around(box, 0).cut(photo))
    if sharp < rules.min_sharpness:
        reason = f"{BLURRED}: sharpness {sharp:.1f}; at least {rules.min_sharpness:g} is needed"
        return Face(box, reason, sharp, False, agreement), None
    (crop,) = thumbnails(place.cut(photo), (STORED_SIDE,))
    return Face(box, None, sharp, place.side < STORED_SIDE, agreement), crop


class _Place(NamedTuple):
    """A square of whole pixels."""

    left: int
    top: int
    side: int

    @classmethod
    def around(cls, box: Box, margin: float) -> _Place:
        """The square about a box's centre, with its margin."""
        side = round(max(box.width, box.height) * (1 + 2 * margin))
        left = round(box.x + (box.width - side) / 2)
        top = round(box.y + (box.height - side) / 2)
        return cls(left, top, side)

    def lies_in(self, photo: Pixels) -> bool:
        height, width = photo.shape[:2]
        lowest = min(self.left, self.top)
        return lowest >= 0 and self.left + self.side <= width and self.top + self.side <= height

    def cut(self, photo: Pixels) -> Pixels:
        return photo[self.top : self.top + self.side, self.left : self.left + self.side]


def _shape_refusal(box: Box, rules: FaceRules) -> str | None:
    short, long = sorted((box.width, box.height))
    size = f"{box.width:.0f}x{box.height:.0f} pixels"
    if short < rules.min_face:
        return f"{TOO_SMALL}: {size}; a side of at least {rules.min_face:g} is needed"
    if long > rules.max_aspect * short:
        return f"{MISSHAPEN}: {size}; at most {rules.max_aspect:g} times as long as wide"
    return None


def _repetition(box: Box, better: Sequence[Box]) -> str | None:
    for number, other in enumerate(better):
        if overlap(box, other)[1] >= SAME_FACE:
            return f"{OVERLAPS}: box {number}, whose score is higher"
    return None
