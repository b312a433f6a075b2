"""Time and memory of a large shard of faces, for benchmarks.faces: `... FOLDER ROWS`.

The answers of the worker processes are made up: one photograph in a hundred has a face that is
kept, the others one that is too small. All the rest is what `find_boxes` does. Prints seconds,
and the most memory in MiB that the process had.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dcgan_assets.sources.faces import boxes
from dcgan_assets.sources.faces.detectors import Box, DetectorFile
from dcgan_assets.sources.faces.finding import Face, FaceRules, PhotoFaces

RULES = FaceRules(DetectorFile("haar_alt2"), None, 64, 1.5, 0.5, 40.0)

_AT_ONCE = 10_000


def write_photographs(folder: Path, count: int) -> None:
    """A manifest of photographs whose texts are 64 letters each."""
    numeric = ("offset", "bytes")
    kinds = {name: "int64" if name in numeric else "string" for name in boxes.PHOTO_COLUMNS}
    schema = pa.schema(list(kinds.items()))
    with pq.ParquetWriter(folder / "manifest.parquet", schema) as writer:
        for start in range(0, count, _AT_ONCE):
            rows = range(start, min(start + _AT_ONCE, count))
            texts = [f"{row:064x}" for row in rows]
            columns = {name: list(rows) if name in numeric else texts for name in kinds}
            columns["status"] = ["kept"] * len(rows)
            writer.write_table(pa.table(columns, schema=schema))


def answers(job: object, locations: Sequence[Any], *_: object) -> Iterator[list[PhotoFaces]]:
    """In the place of `run_workers`."""
    box = Box(100.25, 120.5, 96.0, 96.0, 50.0)
    crop = np.zeros((1, 128, 128, 3), np.uint8)
    kept = PhotoFaces(None, 640, 480, 0.8, (Face(box, None, 99.0, False, 0.9),), crop)
    small = (Face(box, "too small: 32x32 pixels", None, False, 0.9),)
    found = [kept, *[PhotoFaces(None, 640, 480, 0.8, small)] * 99]
    for start in range(0, len(locations), len(found)):
        yield found[: len(locations) - start]


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    write_photographs(folder, count)
    out = folder / "faces"
    out.mkdir()
    started = time.perf_counter()
    with patch.object(boxes, "run_workers", answers):
        report = boxes.find_boxes(folder, out, RULES)
    seconds = time.perf_counter() - started
    assert report is not None
    assert report.rows == count
    assert report.adds_up
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
