"""The version of a folder that somebody else fills: its listing, not its bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from dcgan_models.files import is_system_file


def listing_version(folder: Path) -> str:
    """Hash of every file's path, size and modification time below a folder, but system files'.

    Reading a listing takes seconds where hashing a data set takes hours. A missing folder has a
    version too: the source itself says what is wrong with it.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if is_system_file(name):
            continue
        facts = path.stat()
        digest.update(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]
