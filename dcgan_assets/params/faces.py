"""The section of params.yaml that says how faces are found and which are kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from dcgan_assets.params.base import Count, Section
from dcgan_assets.sources.faces.detectors import CASCADES, HAAR_LEAST_SIDE, DetectorFile
from dcgan_assets.sources.faces.finding import FaceRules

_SHA256 = re.compile("[0-9a-f]{64}")

DetectorName = Literal["haar_alt2", "haar_default", "yunet"]


class FaceDetector(Section):
    """A face detector: an OpenCV cascade, or YuNet with its model.

    Attributes:
        name: `haar_alt2` and `haar_default` are OpenCV's cascades; `yunet` needs a model.
        model: YuNet's ONNX file, relative to the workspace.
        model_sha256: Its SHA-256 in hex; another file is refused.
    """

    name: DetectorName
    model: str | None = None
    model_sha256: str | None = None

    @model_validator(mode="after")
    def _has_its_model(self) -> Self:
        needed = self.name == "yunet"
        if (self.model is not None) != needed or (self.model_sha256 is not None) != needed:
            raise ValueError("`model` and `model_sha256` go with `name: yunet`, and only there")
        if self.model_sha256 is not None and not _SHA256.fullmatch(self.model_sha256):
            raise ValueError("`model_sha256` is 64 digits of 0-9 and a-f")
        return self

    def identity(self) -> dict[str, Any]:
        """The section with the checksum of the model, and without the place where it lies."""
        return self.model_dump(mode="json", exclude={"model"})

    def file(self, root: Path) -> DetectorFile:
        """Name and model of the detector, for workers to open; `root` is the workspace."""
        model = root / self.model if self.model is not None else None
        return DetectorFile(self.name, model, self.model_sha256)

    def found(self, root: Path) -> str:
        """The detector, once it was opened."""
        from dcgan_assets.sources.faces.detectors import open_detector

        return f"finds faces: {open_detector(self.file(root)).version}"


class FaceBoxes(Section):
    """How faces are found in photographs, and which are kept.

    Attributes:
        detector: Whose boxes are used.
        second: Asked as well, to see on how many of the kept boxes the two agree.
        min_face: The least side of a box, in the photograph's own pixels: what the paper calls
            "sufficiently high resolution". Faces are looked for down to this size, however large
            the photograph is. A cascade finds none below 48.
        max_aspect: A box is at most so many times as long as wide.
        margin: What is stored around a box on each side, as a share of its side. With 0.5 the
            training picture, the central half of what is stored, is the box.
        min_sharpness: Least variance of the Laplacian of a face at 64 pixels.
    """

    detector: FaceDetector = FaceDetector(name="haar_alt2")
    second: FaceDetector | None = None
    min_face: Annotated[int, Field(ge=16, le=1024, strict=True)] = 64
    max_aspect: Annotated[float, Field(ge=1, le=4, strict=True)] = 1.5
    margin: Annotated[float, Field(ge=0, le=1, strict=True)] = 0.5
    min_sharpness: Annotated[float, Field(ge=0, strict=True)] = 40.0

    @model_validator(mode="after")
    def _second_is_another(self) -> Self:
        if self.second == self.detector:
            raise ValueError("`second` is the same detector; another one, or none, is allowed")
        return self

    @model_validator(mode="after")
    def _small_faces_are_seen(self) -> Self:
        names = [one.name for one in (self.detector, self.second) if one is not None]
        cascades = [name for name in names if name in CASCADES]
        if cascades and self.min_face < HAAR_LEAST_SIDE:
            raise ValueError(
                f"`min_face` is {self.min_face} and {cascades[0]} finds no face below "
                f"{HAAR_LEAST_SIDE}; at least that, or other detectors, are allowed"
            )
        return self

    def identity(self) -> dict[str, Any]:
        """The section, with the identity of each detector."""
        second = self.second.identity() if self.second is not None else None
        own = {"detector": self.detector.identity(), "second": second}
        return {**super().identity(), **own}

    def rules(self, root: Path) -> FaceRules:
        """The section as `find_boxes` takes it; `root` is the workspace."""
        return FaceRules(
            self.detector.file(root),
            self.second.file(root) if self.second is not None else None,
            self.min_face,
            self.max_aspect,
            self.margin,
            self.min_sharpness,
        )


class FacePhotographs(Section):
    """Photographs of drawn people, the stand-in for a search of the web.

    Attributes:
        names: People, each before backgrounds of its own.
        faces: Photographs of each, some with strangers beside.
        others: Photographs of each name in which nobody is.
        seed: Seed of all that is drawn.
    """

    names: Annotated[int, Field(ge=1, le=400, strict=True)] = 200
    faces: Count = 12
    others: Annotated[int, Field(ge=0, strict=True)] = 1
    seed: Annotated[int, Field(ge=0, lt=2**63, strict=True)] = 42
