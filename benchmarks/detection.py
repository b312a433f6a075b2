"""How often drawn faces are found, and real ones in their places: `python -m benchmarks.detection`.

The scenes are those that the sample profile's people are drawn in, with its numbers and seed. In
a second copy of each a face of scikit-image's LFW subset, enlarged by cubic interpolation, covers
the square of every drawn face that is there to be found; which one goes by turns. What else is in
the scene, the hair around the face included, stays. Both copies are JPEG, as a download is.

Found: a box shares at least 0.4 with the square. False: a box that does so with no head at all.
Targets: drawn faces are found at least as often as LFW's are (aim: 95 %); at most 2 % of boxes are
false.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq

from benchmarks.harness import options, report
from benchmarks.lfw import lfw_pieces
from dcgan_assets.sources.drawn.people_files import HEADS_FILE, PEOPLE_FOLDER
from dcgan_assets.sources.drawn.scenes import SHOWN_FACE, write_photographs
from dcgan_assets.sources.faces.detectors import Detector, DetectorFile, find_faces, open_detector
from dcgan_assets.sources.faces.truth import Found, compare
from dcgan_models.metrics.intervals import wilson_interval
from dcgan_models.pixels import Pixels

MIN_FACE, SEED = 64, 42  # of the sample profile
_LFW_FACES = 100
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95]


def pasted(picture: Pixels, heads: Iterable[Any], faces: Iterator[Pixels]) -> Pixels:
    """A scene with the next of some faces over every drawn one, as it comes back from a JPEG."""
    found = picture.copy()
    for head in heads:
        if head["kind"] == SHOWN_FACE:
            side = round(head["side"])
            left, top = round(head["x"]), round(head["y"])
            face = cv2.resize(next(faces), (side, side), interpolation=cv2.INTER_CUBIC)
            found[top : top + side, left : left + side] = face[..., np.newaxis]
    data = cv2.imencode(".jpg", found[..., ::-1], _JPEG)[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]


def boxes_on(detector: Detector, picture: Pixels, photo: str) -> list[dict[str, Any]]:
    """Rows as `compare` reads them."""
    found = find_faces(detector, np.ascontiguousarray(picture), MIN_FACE)
    return [
        {"photo_sha256": photo, "x": b.x, "y": b.y, "width": b.width, "height": b.height}
        for b in found
    ]


def share(count: int, n: int) -> str:
    """In percent, with n and the Wilson interval."""
    low, high = (100 * bound for bound in wilson_interval(count, n))
    return f"{100 * count / n:.2f} % of {n:,} ({low:.2f} to {high:.2f})"


def told(name: str, found: Found) -> dict[str, str]:
    """What was found, and what was found by mistake."""
    return {
        f"{name} faces found": share(found.faces - found.missed, found.faces),
        f"boxes on no head, {name} faces": share(found.on_no_head, len(found.head_of)),
        f"{name} faces, overlap of box and square, median": f"{np.median(found.overlaps):.3f}",
    }


def main() -> None:
    parser = options("How often drawn and real faces are found in the same scenes.", runs=1)
    parser.add_argument("--names", type=int, default=200, metavar="N", help="people")
    parser.add_argument("--faces", type=int, default=12, metavar="N", help="photographs of each")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    detector = open_detector(DetectorFile("haar_alt2"))
    pieces = lfw_pieces()[:_LFW_FACES]
    faces = (pieces[number % _LFW_FACES] for number in count())
    drawn, real = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photographs(folder, arguments.names, arguments.faces, 1, SEED)
        heads = pq.read_table(folder / HEADS_FILE)
        by_file: dict[str, list[Any]] = {}
        for head in heads.to_pylist():
            by_file.setdefault(head["file"], []).append(head)
        start = time.process_time()
        for file, own in by_file.items():
            picture = np.asarray(cv2.imread(str(folder / PEOPLE_FOLDER / file)), np.uint8)[
                ..., ::-1
            ]
            photo = own[0]["photo_sha256"]
            drawn += boxes_on(detector, picture, photo)
            real += boxes_on(detector, pasted(picture, own, faces), photo)
    rate = 2 * len(by_file) / (time.process_time() - start)
    setting = {
        "scenes": len(by_file),
        "detector": f"haar_alt2, faces of {MIN_FACE} pixels and more",
    }
    setting |= told("drawn", compare(drawn, heads)) | told("LFW's", compare(real, heads))
    report(setting, {"pictures looked at, a second of a core": [rate]}, arguments.json)


if __name__ == "__main__":
    main()
