"""Zip and tar archives, written for tests."""

from __future__ import annotations

import io
import tarfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

from dcgan_assets.sources.archive import Archive
from dcgan_assets.sources.reading.items import Unread

PLAIN = {"b.jpg": b"bee" * 1000, "a/z.png": b"zed", "a/y.png": b"", "dog/grün.gif": b"green"}


def write_zip(path: Path, members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive, warnings.catch_warnings():
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tar_info(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info


def write_tar(path: Path, members: Mapping[str, bytes], kind: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=kind) as archive:
        for name, content in members.items():
            archive.addfile(tar_info(name, len(content)), io.BytesIO(content))
    return path


def reasons(source: Archive) -> dict[str, str | None]:
    return {
        item.key: item.location.reason if isinstance(item.location, Unread) else None
        for item in source.items(0, 1)
    }
