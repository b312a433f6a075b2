"""From a shard of photographs to its faces: boxes, crops, and what training reads.

A shard of photographs is `photos.tar` (not compressed) and `manifest.parquet`, a row for every
picture that was wanted, with at least `PHOTO_COLUMNS`. A shard of faces holds

- `boxes.parquet`: a row for every box, kept or rejected, and for every photograph without one
  (`BOX_SCHEMA`);
- `faces.npy`: the kept ones, uint8 (n, 128, 128, 3), RGB;
- `pixels_64.npy`: their central 64 pixels, which are trained on;
- `manifest.parquet`: the same rows as every picture group has them (`FACE_SCHEMA`), with licence,
  author, attribution and person of the photograph.

Row r of the manifest is row r of the boxes; their `row` is that in both files of pixels.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from dcgan_assets.sources.archive import TarMember
from dcgan_assets.sources.faces.detectors import Detector, open_detector
from dcgan_assets.sources.faces.finding import (
    AGREEMENT,
    NO_FACE,
    STORED_SIDE,
    TRAINING_SIDE,
    Face,
    FaceRules,
    PhotoBytes,
    PhotoFaces,
    photo_faces,
    training_pictures,
)
from dcgan_assets.sources.reading.ingest import Progress, available_cores
from dcgan_assets.sources.reading.items import MAX_PICTURE_BYTES, UNSTATED, Location, Unread
from dcgan_assets.sources.reading.manifest import (
    FILE_BYTES,
    KEPT,
    MANIFEST_FILE,
    PICTURE_SCHEMA,
    REJECTED,
    column,
    pixels_sha256,
)
from dcgan_assets.sources.reading.shard_files import PixelFiles, Row, TableFile, unwritable_named
from dcgan_assets.sources.reading.workers import Each, StoppedError, run_workers
from dcgan_assets.sources.web.download.packing import PHOTOS_FILE
from dcgan_assets.sources.web.removed_rows import forget_removed
from dcgan_assets.sources.web.wanted import Reason
from dcgan_models.errors import UserError
from dcgan_models.files import remove_file
from dcgan_models.tables import arrow_words, open_parquet

BOXES_FILE = "boxes.parquet"
FACES_STEM = "faces"
PHOTO_COLUMNS = (
    "key",
    "status",
    "address",
    "sha256",
    "offset",
    "bytes",
    "licence",
    "author",
    "attribution",
    "person_uri",
    "person_name",
)

_ROWS_AT_ONCE = 4096
# A photograph takes some tens of milliseconds.
_BATCH = 8

# A row of the photographs' manifest, all its columns, by name.
Photo = dict[str, Any]


BOX_SCHEMA = pa.schema(
    [
        column("key", pa.string(), "PHOTO/BOX, or PHOTO where there is no box."),
        column("photo", pa.string(), "Key of the photograph."),
        column("photo_sha256", pa.string(), "Of the photograph's bytes."),
        column(
            "box", pa.int64(), "Counts from 0, the best score first. Null: no box.", nullable=True
        ),
        column("x", pa.float64(), "Left edge, in pixels of the upright photograph.", nullable=True),
        column("y", pa.float64(), "Upper edge.", nullable=True),
        column("width", pa.float64(), "In pixels of the photograph.", nullable=True),
        column("height", pa.float64(), "In pixels of the photograph.", nullable=True),
        column("score", pa.float64(), "The detector's own; kinds do not compare.", nullable=True),
        column("detector", pa.string(), "Its name."),
        column("detector_version", pa.string(), "Of its code and training."),
        column(
            "scale",
            pa.float64(),
            "Of the largest copy of the photograph that was looked at.",
            nullable=True,
        ),
        column("sharpness", pa.float64(), "Variance of the Laplacian at 64 pixels.", nullable=True),
        column(
            "upscaled",
            pa.bool_(),
            "Whether the stored crop has more pixels than there were.",
            nullable=True,
        ),
        column(
            "agreement",
            pa.float64(),
            "Best intersection over union with a second detector's.",
            nullable=True,
        ),
        column("status", pa.string(), "'kept' or 'rejected'."),
        column("reason", pa.string(), "Why it was rejected. Null when kept.", nullable=True),
        column("row", pa.int64(), "Row in the files of pixels. Null when rejected.", nullable=True),
    ],
    metadata={"description": "One row for each box, and for each photograph without one."},
)


def _face_schema() -> pa.Schema:
    """The schema of every group's pictures, and whose they are beside it."""
    schema = PICTURE_SCHEMA
    at = schema.get_field_index("attribution") + 1
    for name, description in (
        ("person_name", "The person's name. Null when removed."),
        ("person_uri", "Whom the photograph was found for. Null when removed."),
        ("photo", "Key of the photograph."),
        ("author", "Who made the photograph, as its source says."),
    ):
        schema = schema.insert(at, column(name, pa.string(), description, nullable=True))
    return schema.with_metadata({"description": "One row for each row of boxes.parquet."})


FACE_SCHEMA = _face_schema()


@dataclass
class FacesReport:
    """What became of a shard of photographs.

    Attributes:
        photos: Photographs that the downloader kept; `with_faces`, `without_face` and
            `not_read` (damaged, too small, removed ...) together.
        boxes: All boxes found; `kept` and `rejected` together.
        upscaled: Kept ones whose stored crop has more pixels than the photograph had there.
        reasons: Rejected rows by kind of reason (what stands before the colon), photographs'
            and boxes'.
        agreeing: Kept ones on which the second detector agrees; None where there is none.
        files: Of the training pictures.
        seconds: How long it took.
    """

    photos: int = 0
    with_faces: int = 0
    without_face: int = 0
    not_read: int = 0
    boxes: int = 0
    kept: int = 0
    rejected: int = 0
    upscaled: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    agreeing: int | None = None
    files: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        """Of each of the two tables."""
        return self.boxes + self.without_face + self.not_read

    @property
    def adds_up(self) -> bool:
        """Whether every photograph and every box is accounted for once."""
        return (
            self.photos == self.with_faces + self.without_face + self.not_read
            and self.boxes == self.kept + self.rejected
            and self.rows == self.kept + sum(self.reasons.values())
        )

    def add(self, found: PhotoFaces) -> None:
        """Count a photograph."""
        self.photos += 1
        if found.reason is not None:
            self.without_face += found.reason.startswith(NO_FACE)
            self.not_read += not found.reason.startswith(NO_FACE)
            self.reasons[_kind(found.reason)] += 1
        self.with_faces += found.reason is None
        self.boxes += len(found.faces)
        for face in found.faces:
            if face.reason is not None:
                self.rejected += 1
                self.reasons[_kind(face.reason)] += 1
                continue
            self.kept += 1
            self.upscaled += face.upscaled
            if face.agreement is not None:
                self.agreeing = (self.agreeing or 0) + (face.agreement >= AGREEMENT)


def find_boxes(
    photos: Path,
    folder: Path,
    rules: FaceRules,
    *,
    workers: int | None = None,
    removal: Callable[[Photo], str | None] = lambda photo: None,
    on_progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    file_bytes: int = FILE_BYTES,
) -> FacesReport | None:
    """Find the faces of a shard of photographs, and write a shard of faces.

    Memory is bounded: photographs are a list of places, everything else streams.

    Args:
        photos: Folder of the shard of photographs.
        folder: Exists; gets the shard of faces. Files of these names in it are replaced.
        rules: How faces are looked for, and which are kept.
        workers: Processes that look; as many as there are cores by default.
        removal: Why a photograph must not be used any more, or None, given its manifest's row.
            That reason is found in the table, after `removed: `.
        on_progress: Called with the photographs done and in all.
        should_stop: Asked twice a second at least; True leaves the folder without manifest.
        file_bytes: About the size of a .npy file.

    Returns:
        The counts, or None when stopped.

    Raises:
        UserError: The photographs' manifest or tar cannot be read, the detector's model is
            not there, or the folder cannot be written.
    """
    started = time.monotonic()
    report = FacesReport()
    detector = open_detector(rules.detector)
    if rules.second is not None:
        report.agreeing = 0
        open_detector(rules.second)
    # None stays of a manifest that describes other pixels.
    remove_file(folder / MANIFEST_FILE)
    locations = [_location(photo, photos / PHOTOS_FILE, removal) for photo in _photos(photos)]
    finder = Each(partial(photo_faces, rules=rules), PhotoFaces, _BATCH)
    batches = run_workers(finder, locations, workers or available_cores(), should_stop)
    rows = _photos(photos)
    try:
        with unwritable_named(folder), closing(batches), ExitStack() as stack:
            # The manifest is published last.
            manifest = stack.enter_context(
                TableFile(folder / MANIFEST_FILE, FACE_SCHEMA, forget_removed)
            )
            boxes = stack.enter_context(TableFile(folder / BOXES_FILE, BOX_SCHEMA, forget_removed))
            stored = stack.enter_context(PixelFiles(folder, FACES_STEM, STORED_SIDE, file_bytes))
            training = stack.enter_context(
                PixelFiles(folder, f"pixels_{TRAINING_SIDE}", TRAINING_SIDE, file_bytes)
            )
            for batch in batches:
                for found in batch:
                    photo = next(rows)
                    boxes.add(_box_rows(photo, found, detector, report.kept))
                    manifest.add(_face_rows(photo, found, report.kept))
                    stored.add(found.crops)
                    training.add(training_pictures(found.crops).copy())
                    report.add(found)
                if on_progress:
                    on_progress(report.photos, len(locations))
    except StoppedError:
        return None
    report.files = tuple(training.names)
    report.seconds = time.monotonic() - started
    return report


def _kind(reason: str) -> str:
    return reason.partition(":")[0]


def _photos(folder: Path) -> Iterator[Photo]:
    """The photographs that the downloader kept, in its order."""
    path = folder / MANIFEST_FILE
    try:
        with open_parquet(path) as file:
            missing = sorted(set(PHOTO_COLUMNS) - set(file.schema_arrow.names))
            if missing:
                raise UserError(f"{path}: columns are missing: {', '.join(missing)}")
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                yield from (photo for photo in batch.to_pylist() if photo["status"] == KEPT)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: not a readable manifest of photographs ({arrow_words(error)})"
        ) from None


def _location(photo: Photo, tar: Path, removal: Callable[[Photo], str | None]) -> Location:
    reason = removal(photo)
    if reason is not None:
        return Unread(f"{Reason.REMOVED}: {reason}")
    if photo["bytes"] > MAX_PICTURE_BYTES:
        return Unread(f"too large: more than {MAX_PICTURE_BYTES:,} bytes")
    return PhotoBytes(TarMember(tar, photo["offset"], photo["bytes"]), photo["sha256"])


def _box_rows(photo: Photo, found: PhotoFaces, detector: Detector, row: int) -> Iterator[Row]:
    """Rows of boxes.parquet, `row` being the number of the next face kept."""
    for key, number, face in _entries(photo, found):
        reason = face.reason if face else found.reason
        yield (
            key,
            photo["key"],
            photo["sha256"],
            number,
            *(face.box if face else (None,) * 5),
            detector.name,
            detector.version,
            found.scale,
            *((face.sharpness, face.upscaled, face.agreement) if face else (None,) * 3),
            REJECTED if reason else KEPT,
            reason,
            None if reason else row,
        )
        row += reason is None


def _face_rows(photo: Photo, found: PhotoFaces, row: int) -> Iterator[Row]:
    """Rows of manifest.parquet."""
    pictures = iter(training_pictures(found.crops))
    for key, _, face in _entries(photo, found):
        reason = face.reason if face else found.reason
        yield (
            key,
            photo["sha256"],
            None if reason else pixels_sha256(next(pictures)),
            photo["address"],
            photo["licence"] or UNSTATED,
            photo["attribution"] or UNSTATED,
            photo["author"],
            photo["key"],
            photo["person_uri"],
            photo["person_name"],
            found.width,
            found.height,
            REJECTED if reason else KEPT,
            reason,
            None if reason else row,
            None,
            None,
        )
        row += reason is None


def _entries(photo: Photo, found: PhotoFaces) -> list[tuple[str, int | None, Face | None]]:
    """Key, number and face of each row: of each box, or of the photograph without one."""
    if not found.faces:
        return [(photo["key"], None, None)]
    return [(f"{photo['key']}/{number}", number, face) for number, face in enumerate(found.faces)]
