"""Published folders as a dvc.lock pinned them, out of DVC's cache or else of a remote."""

from __future__ import annotations

import functools
import hashlib
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from dcgan_models.errors import UserError

_SETTINGS = ("core", "cache", "remote")


class Place(NamedTuple):
    """Where a folder is pinned.

    Attributes:
        commit: Whose dvc.lock pins it; None for the dvc.lock on disk.
        path: Of the folder, from the top of the git repository; of the workspace without a commit.
    """

    commit: str | None
    path: str


class AwayError(UserError):
    """Neither DVC's cache nor a remote gives what is pinned."""


class DvcCache:
    """What DVC can give of pinned folders, which are named by their hash in dvc.lock.

    The settings are those of now, whatever a commit has in its `.dvc/config`. Nothing is taken for
    what was pinned that has another hash.

    Args:
        root: Of the workspace.
        places: Where folders are pinned, by hash.

    Raises:
        UserError: DVC cannot read its own settings.
    """

    def __init__(self, root: Path, places: Mapping[str, Place]) -> None:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        self._root = root
        self._places = places
        self._systems: dict[str | None, Any] = {}
        self._lists: dict[str, dict[str, str]] = {}
        try:
            with Repo(str(root)) as repo:
                self._settings = {name: dict(repo.config[name]) for name in _SETTINGS}
        except (DvcException, OSError) as error:
            raise UserError(f"{root}: DVC cannot be opened ({error})") from None

    def files(self, pinned: str) -> dict[str, str]:
        """The files of a folder, MD5 by relative name.

        Raises:
            AwayError: Its list cannot be had, or is damaged.
        """
        if pinned not in self._lists:
            with self._asking(pinned) as (system, path):
                self._lists[pinned] = _listed(system, path)
        return self._lists[pinned]

    def require(self, pinned: str) -> None:
        """Raise `AwayError` where a folder cannot be had whole."""
        for name in self.files(pinned):
            with self._asking(pinned) as (system, path):
                system.open(f"{path}/{name}").close()

    def holds(self, pinned: str) -> bool:
        """Whether a folder can be had whole."""
        try:
            self.require(pinned)
        except AwayError:
            return False
        return True

    def read(self, pinned: str, name: str) -> bytes | None:
        """The bytes of one file of a folder, None where they cannot be had."""
        try:
            digest = self.files(pinned).get(name)
            with self._asking(pinned) as (system, path):
                content: bytes = system.cat_file(f"{path}/{name}")
        except AwayError:
            return None
        return (
            content if hashlib.md5(content, usedforsecurity=False).hexdigest() == digest else None
        )

    def copy(self, pinned: str, folder: Path, names: Collection[str]) -> None:
        """Fill a folder with files of a pinned one, each hashed again.

        Raises:
            AwayError: A file cannot be had.
            UserError: A file is damaged.
        """
        for name, digest in self.files(pinned).items():
            if name not in names:
                continue
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            # Not `get`, which would link to the cache where its settings say so.
            with (
                self._asking(pinned) as (system, path),
                system.open(f"{path}/{name}") as source,
                target.open("wb") as sink,
            ):
                shutil.copyfileobj(source, sink)
            if md5_file(target) != digest:
                raise UserError(
                    f"{path}/{name}, {digest}: damaged; remove it, and `dvc fetch` brings a whole "
                    "one"
                )

    @contextmanager
    def _asking(self, pinned: str) -> Iterator[tuple[Any, str]]:
        """The file system in which a folder lies, and its path there."""
        commit, path = self._places[pinned]
        system = self._system(commit)
        try:
            yield system, path
        # DVC lets errors of its libraries through, which it does not declare, and plain KeyErrors.
        except Exception as error:
            why = " ".join(str(error).split()) or type(error).__name__
            of = f"{path} of commit {commit}" if commit else path
            raise AwayError(f"{of} is not in DVC's cache, and cannot be fetched ({why})") from error

    def _system(self, commit: str | None) -> Any:
        from dvc.api import DVCFileSystem
        from dvc.repo import Repo

        if commit not in self._systems:
            self._systems[commit] = DVCFileSystem(
                str(self._root),
                rev=commit,
                config=self._settings,
                # The workspace may lie below the top of its git repository.
                subrepos=True,
                repo_factory=functools.partial(Repo, config=self._settings),
            )
        return self._systems[commit]


def _listed(system: Any, path: str) -> dict[str, str]:
    """MD5 by name, relative to `path`, of the files that DVC tracks below it."""
    found = {}
    for name, info in system.find(path, detail=True, dvc_only=True).items():
        relative, digest = PurePosixPath(name).relative_to(path), info["dvc_info"]["md5"]
        if not relative.parts or ".." in relative.parts or not isinstance(digest, str):
            raise ValueError(f"its list is damaged: {name!r}")
        found[relative.as_posix()] = digest
    if not found:
        raise ValueError("it has no list")
    return found


def md5_file(path: Path) -> str:
    """Hex MD5 of a file's bytes, by which DVC names an object."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
