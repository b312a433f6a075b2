"""MNIST's files and PNG folders, a few digits large."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from dcgan_models.errors import UserError

Bytes = npt.NDArray[np.uint8]


def idx(array: npt.NDArray[Any], *, kind: int = 0x08, dimensions: tuple[int, ...] = ()) -> bytes:
    shape = dimensions or array.shape
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape) + array.tobytes()


def png(levels: Bytes, *, colour_type: int = 0, depth: int = 8) -> bytes:
    """A PNG of uint8 (H, W) or (H, W, channels) levels; rows without a filter."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    height, width = levels.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in levels)
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def digits(count: int, seed: int = 0) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)


def labels_for(count: int) -> Bytes:
    return (np.arange(count) * 7 % 10).astype(np.uint8)


def write_set(
    folder: Path, prefix: str, pixels: Bytes, labels: Bytes, *, zipped: bool = False
) -> None:
    pack: Callable[[bytes], bytes] = gzip.compress if zipped else bytes
    ending = ".gz" if zipped else ""
    (folder / f"{prefix}-images-idx3-ubyte{ending}").write_bytes(pack(idx(pixels)))
    (folder / f"{prefix}-labels-idx1-ubyte{ending}").write_bytes(pack(idx(labels)))


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def refusal(call: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(UserError) as caught:
        call(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def jpeg(levels: Bytes) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, "JPEG", quality=95)
    return stream.getvalue()
