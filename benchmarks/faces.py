"""Faces: what the detectors find, and how fast: `python -m benchmarks.faces`.

Found: the 100 faces and 100 other pieces of scikit-image's LFW subset, each enlarged to 100
pixels on a 200-pixel grey canvas, and the astronaut's portrait. Agreement: of boxes that are kept
from the sample profile's photographs. Speed: pictures a second of processor time of one core, the
astronaut's photograph at each size, faces of an eighth of its side and more (but 48
pixels) wanted; then `find_boxes` on the sample's photographs with two worker processes against
one. What two processes could gain is told by processor time as well: on a machine with other work
they wait for their turns. With `--rows N`, tables of N boxes are written in a process of their
own, and its memory is told. Targets: at least 98 of the faces, none elsewhere, one box on the
portrait; two processes at least 1.8 times one; 1,000,000 rows in at most 2 GiB.
"""

from __future__ import annotations

import hashlib
import io
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.face_rows import RULES
from benchmarks.harness import interleaved, options, ratios, report
from benchmarks.lfw import lfw_pieces
from dcgan_assets.sources.drawn.people_files import PEOPLE_FOLDER
from dcgan_assets.sources.drawn.scenes import write_photographs
from dcgan_assets.sources.faces.boxes import find_boxes
from dcgan_assets.sources.faces.detectors import Detector, DetectorFile, find_faces, open_detector
from dcgan_assets.sources.photographs import photograph
from dcgan_assets.sources.reading.workers import close_workers

SIZES = (320, 512, 1024)
CANVAS, FACE = 200, 100
REPEATS = 5
Figures = dict[str, list[float]]


def detectors(yunet: Path | None) -> dict[str, Detector]:
    """The cascades, and YuNet where its model is given."""
    files = [DetectorFile("haar_alt2"), DetectorFile("haar_default")]
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
        boxes.append(len(find_faces(detector, canvas, 64)))
    portrait = len(find_faces(detector, photograph("astronaut"), 64))
    faces, others = np.array(boxes[:100]), np.array(boxes[100:])
    return {
        detector.name: f"{(faces == 1).sum()} of 100 faces with one box, {(faces > 1).sum()} with "
        f"more; {others.sum()} boxes on 100 non-faces; {portrait} on the portrait"
    }


def photographs(folder: Path, each: int) -> Path:
    """The sample profile's photographs as a shard of the downloader's."""
    rows = []
    with tarfile.open(folder / "photos.tar", "w") as tar:
        for picture in write_photographs(folder, names=100, faces=each, others=1, seed=42):
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
                    "bytes": len(data),
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


def looking(detector: Detector, side: int, computed: dict[str, list[float]]) -> Callable[[], None]:
    """A contender that notes its speed by processor time."""
    large = cv2.resize(photograph("astronaut"), (side, side), interpolation=cv2.INTER_CUBIC)
    picture = np.asarray(large, np.uint8)

    def run() -> None:
        start = time.process_time()
        for _ in range(REPEATS):
            detector.detect(picture, max(48, side // 8))
        name = f"{detector.name} at {side}, pictures/s of a core"
        computed.setdefault(name, []).append(REPEATS / (time.process_time() - start))

    return run


def finding(folder: Path, workers: int, computed: list[tuple[float, float]]) -> Callable[[], None]:
    """A contender that notes the processor seconds of this process, and those of its workers."""

    def children() -> float:
        close_workers()  # only what has ended is counted
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    def run() -> None:
        before = time.process_time(), children()
        find_boxes(folder, folder / PEOPLE_FOLDER, RULES, workers=workers)
        after = time.process_time(), children()
        computed.append((after[0] - before[0], after[1] - before[1]))

    return run


def compare_processes(folder: Path, photos: int, runs: int) -> Figures:
    """`find_boxes` with two worker processes against one."""
    computed: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    spent = interleaved(
        {str(workers): finding(folder, workers, computed[workers]) for workers in computed}, runs
    )
    figures = {
        f"find_boxes, {workers} processes, photos/s": [photos / time for time in times]
        for workers, times in spent.items()
    }
    figures["two processes against one"] = ratios(spent["1"], spent["2"])
    # The first round is not measured. One worker and the writing process overlap; two workers
    # and the writing process share two cores.
    pairs = list(zip(computed[1], computed[2], strict=True))[1:]
    figures["the same by processor time"] = [max(one) / (sum(two) / 2) for one, two in pairs]
    figures["the writing process's share"] = [own / (own + rest) for _, (own, rest) in pairs]
    return figures


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
    figures: Figures = {}
    interleaved(
        {
            f"{name}, {side}": looking(detector, side, figures)
            for side in SIZES
            for name, detector in known.items()
        },
        arguments.runs,
    )
    figures = {name: values[1:] for name, values in figures.items()}
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
        figures |= compare_processes(folder, agreed.photos, arguments.runs)
    if arguments.rows:
        with tempfile.TemporaryDirectory() as name:
            rows = str(arguments.rows)
            command = [sys.executable, "-m", "benchmarks.face_rows", name, rows]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        took, memory = map(float, output.split())
        setting[f"{arguments.rows:,} rows"] = f"{took:.0f} s, {memory:.0f} MiB at most"
    report(setting, figures, arguments.json)


if __name__ == "__main__":
    main()
