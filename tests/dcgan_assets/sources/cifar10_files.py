"""CIFAR-10's files, a few pictures large."""

from __future__ import annotations

import io
import tarfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dcgan_assets.sources.cifar10 import (
    FOLDER,
    Release,
)

Bytes = npt.NDArray[np.uint8]

NAMES = [*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]


PER_BATCH = 12


def picture(batch: int, number: int) -> Bytes:
    """A picture (32, 32, 3) of its own."""
    rng = np.random.default_rng([batch, number])
    return rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)


def label(batch: int, number: int) -> int:
    return (3 * batch + number) % 10


def batch_file(batch: int, count: int = PER_BATCH) -> bytes:
    """Records after the description on the data set's page: label, red, green and blue planes."""
    content = bytearray()
    for number in range(count):
        content.append(label(batch, number))
        for colour in range(3):
            content += picture(batch, number)[:, :, colour].tobytes()
    return bytes(content)


def batches() -> dict[str, bytes]:
    return {name: batch_file(n) for n, name in enumerate(NAMES)}


def pack(path: Path, files: dict[str, bytes], *, folder: str = FOLDER) -> Release:
    """Write an archive with the members of the true one, in its order; what to expect of it."""
    others = {"batches.meta.txt": b"airplane\n", "readme.html": b"<html></html>"}
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo(folder)
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
        for name, content in (others | files).items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return seen(path)


def seen(path: Path) -> Release:
    content = path.read_bytes()
    return Release(len(content), sha256(content).hexdigest(), PER_BATCH)
