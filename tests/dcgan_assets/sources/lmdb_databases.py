"""LMDB databases as LSUN's, written for tests."""

from __future__ import annotations

from pathlib import Path

import lmdb


def write(folder: Path, values: dict[bytes, bytes]) -> Path:
    environment = lmdb.open(str(folder), map_size=1 << 26)
    with environment.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key, value)
    environment.close()
    return folder


def pictures(count: int) -> dict[bytes, bytes]:
    return {f"{number * 7919 % 99991:040x}".encode(): bytes([number % 256]) * 5000
            for number in range(count)}  # fmt: skip
