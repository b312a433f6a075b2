"""params.yaml, edited by a command: its text changes where something is added, and nowhere else."""

from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from dcgan_assets.params.file import PARAMS_FILE, validate_params
from dcgan_assets.params.yaml_files import parse_to_edit, parse_yaml, read_yaml_text
from dcgan_models.errors import UserError
from dcgan_models.files import open_atomic


def add_group_section(root: Path, name: str, section: Mapping[str, Any]) -> None:
    """Put `groups.NAME` into a workspace's params.yaml, comments and all else as they were.

    The file is read again under a lock, so that of several commands at once each adds its own.

    Raises:
        UserError: The name is taken, the whole would not be valid, or the file cannot be written.
    """
    path = (root / PARAMS_FILE).resolve()  # a symlink stays one
    try:
        with _locked(path):
            text = _with_group(read_yaml_text(path), str(path), name, section)
            with open_atomic(path) as stream:
                os.fchmod(stream.fileno(), path.stat().st_mode)
                stream.write(text.encode())
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None


def _with_group(text: str, where: str, name: str, section: Mapping[str, Any]) -> str:
    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 100
    # As the templates write lists, or those in the file would move.
    editor.indent(mapping=2, sequence=4, offset=2)
    content = parse_to_edit(editor, text, where)
    if name in (content.get("groups") or {}):
        raise UserError(f"groups.{name} is in {PARAMS_FILE} already; choose another name")
    if content.get("groups") is None:  # or nothing stands after its colon
        content["groups"] = {}
    content["groups"][name] = dict(section)
    buffer = io.StringIO()
    editor.dump(content, buffer)
    written = buffer.getvalue()
    validate_params(parse_yaml(written, where), f"{PARAMS_FILE}, groups.{name}")
    return written


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a file against others who edit it so, and replace it; no lock file is left beside it."""
    while True:
        # For writing: on a network file system no other lock is exclusive.
        descriptor = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                yield
                return
        finally:
            os.close(descriptor)
