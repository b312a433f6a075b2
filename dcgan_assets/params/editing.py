"""params.yaml, edited by a command: its text changes where something is added, and nowhere else."""

from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from dcgan_assets.params.file import PARAMS_FILE, Engine, validate_params
from dcgan_assets.params.yaml_files import parse_to_edit, parse_yaml, read_yaml_text
from dcgan_models.errors import UserError
from dcgan_models.files import open_atomic


def add_group_section(root: Path, name: str, section: Mapping[str, Any]) -> None:
    """Put `groups.NAME` into a workspace's params.yaml, comments and all else as they were.

    The file is read again under a lock, so that of several commands at once each adds its own.

    Raises:
        UserError: The name is taken, the whole would not be valid, or the file cannot be written.
    """

    def add(content: Any) -> None:
        if name in (content.get("groups") or {}):
            raise UserError(f"groups.{name} is in {PARAMS_FILE} already; choose another name")
        _section(content, "groups")[name] = dict(section)

    _edit(root, f"groups.{name}", add)


def set_engine(root: Path, engine: Engine) -> None:
    """Put `machine.engine` into a workspace's params.yaml, comments and all else as they were.

    Raises:
        UserError: The whole would not be valid, or the file cannot be written.
    """

    def put(content: Any) -> None:
        machine = _section(content, "machine")
        if "engine" in machine:
            machine["engine"] = engine
        else:  # first: what follows the last key belongs to the next section
            machine.insert(0, "engine", engine)

    _edit(root, "machine.engine", put)


def _section(content: Any, name: str) -> Any:
    if content.get(name) is None:  # or nothing stands after its colon
        content[name] = CommentedMap()
    return content[name]


def _edit(root: Path, key: str, change: Callable[[Any], None]) -> None:
    """Change params.yaml; `key` is said where the whole would not be valid then."""
    path = (root / PARAMS_FILE).resolve()  # a symlink stays one
    try:
        with _locked(path):
            text = _edited(read_yaml_text(path), str(path), key, change)
            with open_atomic(path) as stream:
                os.fchmod(stream.fileno(), path.stat().st_mode)
                stream.write(text.encode())
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None


def _edited(text: str, where: str, key: str, change: Callable[[Any], None]) -> str:
    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 100
    # As the templates write lists, or those in the file would move.
    editor.indent(mapping=2, sequence=4, offset=2)
    content = parse_to_edit(editor, text, where)
    change(content)
    buffer = io.StringIO()
    editor.dump(content, buffer)
    written = buffer.getvalue()
    validate_params(parse_yaml(written, where), f"{PARAMS_FILE}, {key}")
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
