"""Photographs with faces at known places, and shards of them as the downloader writes them."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from benchmarks.lfw import lfw_pieces
from dcgan_assets.sources.faces.detectors import Box, DetectorFile, overlap
from dcgan_assets.sources.faces.finding import FaceRules
from dcgan_models.pixels import Pixels

RULES = FaceRules(DetectorFile("haar_alt2"), None, 64, 1.5, 0.5, 40.0)
# Of the LFW pieces; found at any size and place that was tried.
A_FACE, ANOTHER = 3, 8


def canvas(
    *faces: tuple[int, int, int, int], height: int = 260, width: int = 300, level: int = 127
) -> Pixels:
    """Grey, with LFW pieces: (number, left, top, side) each."""
    pixels = np.full((height, width, 3), level, np.uint8)
    for number, left, top, side in faces:
        piece = cv2.resize(lfw_pieces()[number], (side, side), interpolation=cv2.INTER_CUBIC)
        pixels[top : top + side, left : left + side] = piece[..., np.newaxis]
    return pixels


def png(pixels: Pixels) -> bytes:
    return cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()


def saved(pixels: Pixels, kind: str, mode: str = "RGB", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


def agreement(box: Box, left: int, top: int, side: int) -> float:
    """Intersection over union with the truth."""
    return overlap(box, Box(left, top, side, side, 0))[0]


def row_of(key: str, data: bytes, offset: int, **changes: Any) -> dict[str, Any]:
    return {
        "key": key,
        "status": "kept",
        "reason": None,
        "address": f"https://pictures.example/{key}",
        "sha256": hashlib.sha256(data).hexdigest(),
        "offset": offset,
        "bytes": len(data),
        "licence": "CC-BY-4.0",
        "author": "A. Photographer",
        "attribution": "A. Photographer, pictures.example",
        "person_uri": f"https://people.example/{key}",
        "person_name": f"Person {key}",
        **changes,
    }


def write_shard(
    folder: Path, files: Mapping[str, bytes], changes: Mapping[str, dict[str, Any]] | None = None
) -> Path:
    """A shard of photographs; `changes` replaces values of rows by key."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "photos.tar", "w") as tar:
        for key, data in files.items():
            info = tarfile.TarInfo(key)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    with tarfile.open(folder / "photos.tar") as tar:
        offsets = {member.name: member.offset_data for member in tar}
    rows = [
        row_of(key, data, offsets[key], **(changes or {}).get(key, {}))
        for key, data in files.items()
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "manifest.parquet")
    return folder
