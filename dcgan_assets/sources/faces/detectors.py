"""Face detectors behind one interface: OpenCV's cascades and YuNet.

The paper says only that OpenCV's face detector was used; in 2015 that was a Haar cascade. We take
`haar_alt2`: of the 100 LFW faces it finds 98 and `haar_default` 97, neither anything on the 100
pieces without a face (`benchmarks/faces.py`).
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from dcgan_models.errors import UserError
from dcgan_models.files import sha256_file
from dcgan_models.pixels import Pixels

# Below this a cascade takes patterns for faces, and takes several times as long.
HAAR_LEAST_SIDE = 48
# YuNet finds faces of some 10 to 300 pixels in what it is shown, as its makers say; within this
# range it does so well.
_YUNET_SEES = 16, 256
_NEIGHBOURS = 5
_SCALE_STEP = 1.1
CASCADES = {
    "haar_alt2": "haarcascade_frontalface_alt2.xml",
    "haar_default": "haarcascade_frontalface_default.xml",
}
_YUNET_SCORE = 0.7
_YUNET_OVERLAP = 0.3
_YUNET_BOXES = 5000


class Box(NamedTuple):
    """A face: the left upper corner and size in pixels, and the detector's own score."""

    x: float
    y: float
    width: float
    height: float
    score: float


class Detector(Protocol):
    """What finds faces in a picture.

    Attributes:
        name: Of the kind of detector.
        version: Of its code and its trained content: other versions may find other boxes.
    """

    name: str
    version: str

    def scales(self, min_face: float, longest: int) -> tuple[float, ...]:
        """At which scales a photograph must be shown for all its faces to be found.

        Args:
            min_face: The smallest side of a face that is wanted, in the photograph's pixels.
            longest: The photograph's longer side.

        Returns:
            At most 1, the largest first.
        """
        ...

    def detect(self, picture: Pixels, min_side: float) -> list[Box]:
        """The faces in uint8 (height, width, 3), RGB, in its pixels, the best score first.

        Args:
            picture: The picture.
            min_side: Smaller faces are of no use, and need not be looked for.
        """
        ...


class DetectorFile(NamedTuple):
    """Which detector is meant; small enough to be handed to worker processes.

    Attributes:
        name: `haar_alt2`, `haar_default` or `yunet`.
        model: YuNet's ONNX file.
        model_sha256: What it must be.
    """

    name: str
    model: Path | None = None
    model_sha256: str | None = None


@functools.cache
def open_detector(file: DetectorFile) -> Detector:
    """Load a detector, once a process.

    Raises:
        UserError: Its model is missing or another than it should be.
    """
    if file.name in CASCADES:
        return HaarCascade(file.name)
    if file.model is None or file.model_sha256 is None:
        raise UserError(f"{file.name}: `model` and `model_sha256` are needed")
    return YuNet(file.model, file.model_sha256)


class HaarCascade:
    """Viola and Jones's cascade, as OpenCV carries it; boxes are squares.

    The score is the last stage's sum, the best of the windows that were merged into the box.
    """

    def __init__(self, name: str) -> None:
        import cv2

        if not hasattr(cv2, "CascadeClassifier"):
            raise UserError(f"{name}: OpenCV {cv2.__version__} has no cascades; 4.x has")
        path = Path(cv2.__file__).parent / "data" / CASCADES[name]
        self.name = name
        self.version = _version(path)
        self._cascade = cv2.CascadeClassifier(str(path))

    def scales(self, min_face: float, longest: int) -> tuple[float, ...]:
        """The photograph itself: a cascade makes its own copies, from the smallest face wanted."""
        return (1.0,)

    def detect(self, picture: Pixels, min_side: float) -> list[Box]:
        """As `Detector.detect`."""
        import cv2

        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        least = math.ceil(min_side)
        boxes, _, scores = self._cascade.detectMultiScale3(
            grey,
            scaleFactor=_SCALE_STEP,
            minNeighbors=_NEIGHBOURS,
            minSize=(least, least),
            outputRejectLevels=True,
        )
        pairs = zip(boxes, np.ravel(scores), strict=True)
        return _best_first([Box(*map(float, (*box, score))) for box, score in pairs])


class YuNet:
    """YuNet (Wu, Peng and Yu, 2023) through OpenCV: a small network, also for turned faces.

    Args:
        model: An ONNX file with a fixed input size, such as opencv_zoo's `2023mar`.
        sha256: Of that file, in hex.

    Raises:
        UserError: The file is not there, is another, or OpenCV cannot read it.
    """

    def __init__(self, model: Path, sha256: str) -> None:
        import cv2

        if not model.is_file():
            raise UserError(f"yunet: {model}: no such file; a YuNet model (ONNX) is expected")
        found = sha256_file(model)
        if found != sha256:
            raise UserError(f"yunet: {model}: sha256 is {found}; {sha256} is expected")
        self.name = "yunet"
        self.version = _version(model)
        try:
            self._network = cv2.FaceDetectorYN.create(
                str(model), "", (320, 320), _YUNET_SCORE, _YUNET_OVERLAP, _YUNET_BOXES
            )
        except cv2.error as error:
            raise UserError(f"yunet: {model}: OpenCV cannot read it ({error.err})") from None

    def scales(self, min_face: float, longest: int) -> tuple[float, ...]:
        """The first shows the smallest face as the smallest that YuNet sees, others larger ones.

        The last copy is no larger than the largest face that YuNet sees.
        """
        least, most = _YUNET_SEES
        scales = [min(1.0, least / min_face)]
        while scales[-1] * longest > most:
            scales.append(scales[-1] * least / most)
        return tuple(scales)

    def detect(self, picture: Pixels, min_side: float) -> list[Box]:
        """As `Detector.detect`."""
        height, width = picture.shape[:2]
        self._network.setInputSize((width, height))
        _, faces = self._network.detect(np.ascontiguousarray(picture[..., ::-1]))
        rows: Any = [] if faces is None else faces
        # Between box and score lie five landmarks.
        return _best_first([Box(*map(float, (*row[:4], row[14]))) for row in rows])


def scaled(picture: Pixels, scale: float) -> Pixels:
    """A picture made smaller by area averages; `scale` is at most 1."""
    import cv2

    if scale == 1:
        return picture
    height, width = picture.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def find_faces(detector: Detector, picture: Pixels, min_face: float) -> list[Box]:
    """The faces of a picture, in its own pixels, the best score first.

    How large the picture is makes no difference to which faces are found. A face that is seen at
    two scales has two boxes, one upon the other.

    Args:
        detector: Looks at the picture, or at smaller copies of it.
        picture: uint8 (height, width, 3), RGB.
        min_face: The smallest side of a face that is wanted, in the picture's pixels.
    """
    boxes = []
    for scale in detector.scales(min_face, max(picture.shape[:2])):
        copy = scaled(picture, scale)
        # Each side of the copy was rounded on its own.
        across, down = picture.shape[1] / copy.shape[1], picture.shape[0] / copy.shape[0]
        boxes += [
            Box(box.x * across, box.y * down, box.width * across, box.height * down, box.score)
            for box in detector.detect(copy, min_face * scale)
        ]
    return _best_first(boxes)


def overlap(one: Box, other: Box) -> tuple[float, float]:
    """Intersection over union, and intersection over the smaller area."""
    across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    common = max(0.0, across) * max(0.0, down)
    areas = one.width * one.height, other.width * other.height
    return common / (sum(areas) - common), common / min(areas)


def _best_first(boxes: list[Box]) -> list[Box]:
    """Equal scores in the order of place, so that runs agree."""
    return sorted(boxes, key=lambda box: (-box.score, box.y, box.x, box.width))


def _version(trained: Path) -> str:
    import cv2

    return f"OpenCV {cv2.__version__}, {trained.name} {sha256_file(trained)[:12]}"
