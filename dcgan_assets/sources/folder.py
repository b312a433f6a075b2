"""A folder of pictures: ImageNet, albums, whatever a user has.

Every file below the folder is an input, whatever it is called; what is no picture gets a row that
says so, and so does a folder in it that cannot be listed. Only what systems leave about
(`is_system_file`) is no input.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dcgan_assets.sources.reading.items import (
    MAX_PICTURE_BYTES,
    UNSTATED,
    Item,
    Location,
    Unread,
    UnreadableError,
    in_shard,
    key_hash,
    once_a_process,
    safe_key,
)
from dcgan_models.errors import UserError
from dcgan_models.files import is_system_file, open_regular

# An object of DVC's cache: where all of them lie, and this one's place there by its MD5.
_DVC_OBJECT = re.compile(rb"(.*/files/md5)/[0-9a-f]{2}/[0-9a-f]{30}", re.DOTALL)


class FileBytes(NamedTuple):
    """A picture that is a file; the path is bytes, because names need not be UTF-8."""

    path: bytes

    def read(self) -> bytes:
        """The file's bytes.

        Raises:
            UnreadableError: It cannot be read, or is too large.
        """
        try:
            with open_regular(os.fsdecode(self.path)) as stream:
                content = stream.read(MAX_PICTURE_BYTES + 1)
        except OSError as error:
            raise UnreadableError(f"cannot be read ({error.strerror})") from error
        if len(content) > MAX_PICTURE_BYTES:
            raise UnreadableError(f"more than {MAX_PICTURE_BYTES:,} bytes")
        return content


@dataclass(frozen=True)
class Folder:
    """The pictures below a folder, at any depth. The key is the name relative to it.

    Symlinks to files inside are read as those files, and so are symlinks into the workspace's DVC
    cache. Others that leave the folder, or lead to a folder, are not followed: they are rejected
    rows, as sockets and devices are, and folders that cannot be listed, whose keys end in a slash.

    Attributes:
        path: The folder.
        workspace: Whose DVC cache symlinks may lead into: `dvc config cache.type symlink` makes
            every file of a tracked folder one.
        labels: Whether the first-level sub-folders are classes. Files beside them have no label.
        licence, attribution: Of all its pictures.
        stand_in: Whether these are other pictures than the paper's.
    """

    path: Path
    workspace: Path | None = None
    labels: bool = False
    licence: str = UNSTATED
    attribution: str = UNSTATED
    stand_in: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the first-level sub-folders that hold anything; empty without `labels`."""
        return tuple(map(safe_key, self._listing.folders)) if self.labels else ()

    def __len__(self) -> int:
        """How many inputs it holds."""
        return len(self._listing.names)

    def states(self) -> npt.NDArray[np.int64]:
        """What would tell that an input is another one now, for each of them.

        Returns:
            (n, 3): the bits of the key's `key_hash`, size in bytes, modification in nanoseconds.
        """
        found = self._listing
        return np.stack([found.hashes.view(np.int64), found.sizes, found.modified], axis=1)

    def items(self, shard: int, shards: int) -> list[Item]:
        """As `Source.items`; keys are dealt into shards by their hash."""
        listing = self._listing
        numbers = {name: n for n, name in enumerate(listing.folders)} if self.labels else {}
        root = os.fsencode(self.path) + b"/"
        found = []
        for position in in_shard(listing.hashes, shard, shards).tolist():
            name = listing.names[position]
            reason = listing.refused.get(position)
            location: Location = Unread(reason) if reason else FileBytes(root + name)
            key = safe_key(name)
            first, inside, _ = name.partition(b"/")
            label = numbers[first] if inside and self.labels else None
            found.append(Item(key, key, label, None, self.licence, self.attribution, location))
        return sorted(found, key=lambda item: item.key)

    def version(self, shard: int, shards: int) -> str:
        """As `Source.version`: names, sizes and times of modification; and the classes, if any."""
        listing = self._listing
        digest = hashlib.sha256(repr(self.classes).encode())
        mine = in_shard(listing.hashes, shard, shards).tolist()
        for position in sorted(mine, key=listing.names.__getitem__):
            size, modified = listing.sizes[position], listing.modified[position]
            reason = listing.refused.get(position, "")
            digest.update(b"%b\0%d\0%d\0" % (listing.names[position], size, modified))
            digest.update(f"{reason}\n".encode())
        return digest.hexdigest()[:32]

    @property
    def _listing(self) -> _Listing:
        return _list_folder(self.path, self.workspace)


@dataclass(frozen=True, slots=True)
class _Entry:
    name: bytes
    size: int
    modified: int
    refused: str | None


@dataclass(frozen=True)
class _Listing:
    """Every input of a folder; columns instead of objects, because ImageNet has 1.3 million."""

    names: list[bytes]
    sizes: npt.NDArray[np.int64]
    modified: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.uint64]
    refused: dict[int, str]
    folders: list[bytes]


@once_a_process
def _list_folder(root: Path, workspace: Path | None) -> _Listing:
    names: list[bytes] = []
    numbers: list[tuple[int, int, int]] = []
    refused: dict[int, str] = {}
    try:
        for entry in _entries(root, workspace):
            if entry.refused:
                refused[len(names)] = entry.refused
            names.append(entry.name)
            numbers.append((entry.size, entry.modified, key_hash(safe_key(entry.name))))
    except OSError as error:
        raise UserError(
            f"{safe_key(os.fsencode(root))}: cannot be listed ({error.strerror}); "
            "a folder of pictures is expected"
        ) from error
    if not names:
        raise UserError(f"{root}: no files found; a folder of pictures is expected")
    sizes, modified, hashes = zip(*numbers, strict=True)
    folders = {first for first, inside, _ in (name.partition(b"/") for name in names) if inside}
    return _Listing(
        names,
        np.array(sizes, np.int64),
        np.array(modified, np.int64),
        np.array(hashes, np.uint64),
        refused,
        sorted(folders),
    )


def _entries(root: Path, workspace: Path | None) -> Iterator[_Entry]:
    """Every input below a folder; names are relative, with slashes.

    Raises:
        OSError: The folder itself cannot be listed.
    """
    top = os.fsencode(root)
    real_top = os.path.realpath(top)
    waiting = [b""]
    while waiting:
        parent = waiting.pop()
        try:
            with os.scandir(top + b"/" + parent) as entries:
                for entry in entries:
                    if is_system_file(os.fsdecode(entry.name)):
                        continue
                    name = parent + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(name + b"/")
                    else:
                        yield _entry(entry, name, real_top, workspace)
        except OSError as error:
            if not parent:
                raise
            yield _Entry(parent, 0, 0, f"a folder that cannot be listed ({error.strerror})")


def _entry(
    entry: os.DirEntry[bytes], name: bytes, real_top: bytes, workspace: Path | None
) -> _Entry:
    """An input that is no folder; what is not followed is not even looked at."""
    try:
        refused = _refusal(entry, real_top, workspace)
        facts = entry.stat(follow_symlinks=refused is None)
    except OSError as error:
        return _Entry(name, 0, 0, f"cannot be read ({error.strerror})")
    return _Entry(name, facts.st_size, facts.st_mtime_ns, refused)


def _refusal(entry: os.DirEntry[bytes], real_top: bytes, workspace: Path | None) -> str | None:
    """Why an entry that is no folder is not read, if it is not."""
    if entry.is_file(follow_symlinks=False):
        return None
    if not entry.is_symlink():
        return "not a file"
    target = os.path.realpath(entry.path)
    if not may_be_read(target, real_top, workspace):
        return "a symlink that leaves the folder"
    try:
        mode = Path(os.fsdecode(target)).stat().st_mode
    except OSError:
        return "a symlink to nothing"
    if stat.S_ISDIR(mode):
        return "a symlink to a folder; what it holds is read where it lies"
    return None if stat.S_ISREG(mode) else "not a file"


def may_be_read(target: bytes, top: bytes, workspace: Path | None) -> bool:
    """Whether a file lies below a folder, or is an object in the workspace's DVC cache.

    Args:
        target, top: Paths without symlinks, as `os.path.realpath` gives them.
        workspace: Whose cache; None for no cache at all.
    """
    if os.path.commonpath([target, top]) == top:
        return True
    found = _DVC_OBJECT.fullmatch(target)
    return bool(found and workspace and found[1] == _dvc_objects(workspace))


@once_a_process
def _dvc_objects(workspace: Path) -> bytes | None:
    """Where a workspace's DVC cache keeps its objects, without symlinks; None without DVC."""
    if not any((folder / ".dvc").is_dir() for folder in (workspace, *workspace.parents)):
        return None
    # They take a second to load: only a link of the right form leads here.
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import SCMError

    try:
        with Repo(str(workspace)) as repo:
            return os.path.realpath(os.fsencode(repo.cache.local.path))
    except SCMError:  # a checkout that was downloaded as an archive: DVC does not work in it
        return None
    except (DvcException, OSError) as error:
        raise UserError(f"{workspace}: DVC cannot be opened ({error})") from None
