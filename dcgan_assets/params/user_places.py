"""Checks that a user's own files lie outside the folders we write, and that no group is named so.

Every path in params.yaml names something of the user's. It is looked at with symlinks followed, so
that no way round leads into a folder that is written, around it or above it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dcgan_assets.params.base import Section
from dcgan_assets.params.classification import RELEASED
from dcgan_models.errors import UserError

DOWNLOADS = "downloads"
# Folders of ours below data/ and runs/, and what stands beside a group's name in params.yaml.
RESERVED_NAMES = frozenset(
    {DOWNLOADS, "reproduce", "locks", "data", "models", "results", "runs", "records", "report"}
)
# The fields of params.yaml that name a place, each relative to the workspace.
PATH_FIELDS = frozenset({"path", "removals", "verdicts", "model", "inception"})
_WRITTEN = (
    *("models", "results", "runs", "history", "records", "dvc-remote"),
    *(".dagster_home", ".dvc", ".git"),
)


def reserved_name(name: str) -> str | None:
    """Why a group cannot have this name, or None."""
    if name in RESERVED_NAMES:
        return f"groups.{name}: the name of a folder of ours; choose another"
    return None


def named_paths(section: Section, key: str = "") -> Iterator[tuple[str, str]]:
    """Every place that a section of params.yaml names: its dotted key, and the path there."""
    for name, value in section:
        yield from _paths_in(name, value, f"{key}.{name}" if key else name)


def _paths_in(name: str, value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Section):
        yield from named_paths(value, key)
    elif isinstance(value, dict):
        for inner, section in value.items():
            yield from _paths_in(inner, section, f"{key}.{inner}")
    elif isinstance(value, str) and name in PATH_FIELDS:
        yield key, value
    elif isinstance(value, str) and value.startswith(RELEASED):
        yield key, value.removeprefix(RELEASED)


def require_apart(
    root: Path, groups: Iterable[str], path: str | Path, key: str, where: str = ""
) -> None:
    """Refuse a place of the user's that lies in, above or around a folder that we write.

    Args:
        groups: Names of the workspace's groups, each of which has a folder below data/.
        path: Absolute, or relative to the root.
        key: What names it, dotted.
        where: Begins the line.

    Raises:
        UserError: The line proposes another place.
    """
    place = _followed(root / path, f"{where}{key}")
    for written in _written(root, groups):
        real = Path(os.path.realpath(written))
        if place.is_relative_to(real) or real.is_relative_to(place):
            ours = written.relative_to(root).as_posix()
            raise UserError(
                f"{where}{key}: {path!s:.200} lies in, above or around {ours}, where what is made "
                f"goes; name another place, such as pictures/{_group_of(key)}"
            )


def _followed(path: Path, where: str) -> Path:
    """Where a path leads; raise `UserError` for one that no file can have."""
    try:
        place = Path(os.path.realpath(path))
        place.lstat()
    except ValueError:
        raise UserError(f"{where}: NUL is in no path") from None
    except OSError as error:
        # What is not there, or may not be read, is for those to say who need it.
        if error.errno == errno.ENAMETOOLONG:
            raise UserError(f"{where}: a longer path than any file has") from None
    return place


def _group_of(key: str) -> str:
    first, *rest = key.split(".")
    return rest[0] if first == "groups" else first


def _written(root: Path, groups: Iterable[str]) -> Iterator[Path]:
    yield from (root / name for name in _WRITTEN)
    for group in groups:
        folder = root / "data" / group
        yield folder
        # An asset's place may be a symlink to another disk.
        if folder.is_dir():
            yield from (child for child in sorted(folder.iterdir()) if child.is_symlink())
