"""Files that a command writes where its user says: looked at before anything is drawn."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from dcgan_assets.engine.publications import HISTORY
from dcgan_assets.engine.store import Kind
from dcgan_models.errors import UserError

# By ending: what such a file is called, and how it begins.
_FORMATS = {
    ".png": ("a PNG", b"\x89PNG\r\n\x1a\n"),
    ".npy": ("an array", b"\x93NUMPY"),
    ".html": ("a page", b"<!doctype html>"),
    ".onnx": ("an ONNX file", b"\x08"),  # its first field, the version of the form
}
# What is published, and work in progress: nobody but the pipeline writes there.
_OURS = (*get_args(Kind), "runs", HISTORY)


def check_output(root: Path, path: Path, ending: str, reads: Path | None = None) -> None:
    """Refuse a place where a command must not write. A file of the same kind may be there.

    Args:
        root: The workspace.
        ending: `.png`, `.npy`, `.html` or `.onnx`: what is written, and so what the name must
            end in.
        reads: What the command reads.

    Raises:
        UserError: The name has another ending, its folder is not there or is one of the
            pipeline's, or what lies at the place is a folder, a device, a pipe, a link to nothing,
            read-only, of another kind, or what is read.
    """
    with output_errors(path):
        _refuse(root, path, ending, reads)


def _refuse(root: Path, path: Path, ending: str, reads: Path | None) -> None:
    what, signature = _FORMATS[ending]
    if path.suffix.lower() != ending:
        raise UserError(f"{path}: what is written is {what}; allowed are names ending in {ending}")
    _refuse_parent(root, path)
    if not os.path.lexists(path):
        return
    if not path.is_file():
        raise UserError(f"{path}: no file, so it cannot be replaced; choose another name")
    if reads is not None and reads.exists() and path.samefile(reads):
        raise UserError(f"{path}: this is what is read; choose another name")
    if not path.stat().st_mode & 0o222:
        raise UserError(f"{path}: read-only, so it is not replaced; choose another name")
    with path.open("rb") as stream:
        if stream.read(len(signature)) != signature:
            raise UserError(f"{path}: not {what}, so it is not replaced; choose another name")


def _refuse_parent(root: Path, path: Path) -> None:
    if not path.parent.is_dir():
        raise UserError(f"{path.parent}: no such folder")
    place = path.parent.resolve()
    for name in _OURS:
        if place.is_relative_to((root / name).resolve()):
            raise UserError(f"{path}: {name}/ holds what the pipeline makes; choose another folder")


def check_new_folder(root: Path, path: Path) -> None:
    """Refuse a place where a command must not make a folder; whatever lies there stays.

    Raises:
        UserError: Something lies there, or the folder around it is not there or is one of the
            pipeline's.
    """
    with output_errors(path):
        _refuse_parent(root, path)
        if os.path.lexists(path):
            raise UserError(f"{path}: is there already; choose a new folder")


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn what the disk says while a file is written into one line."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
