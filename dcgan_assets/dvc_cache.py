"""What lies in DVC's cache: published folders by the hash that a dvc.lock pins."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

from dcgan_models.errors import UserError


class DvcCache:
    """The cache of a workspace, wherever its settings put it."""

    def __init__(self, root: Path) -> None:
        """Open the cache of a workspace under DVC.

        Raises:
            UserError: DVC cannot read its own settings.
        """
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        self._root = str(root)
        try:
            with Repo(str(root)) as repo:
                self._objects: Any = repo.cache.local
        except (DvcException, OSError) as error:
            raise UserError(f"{root}: DVC cannot be opened ({error})") from None

    @property
    def objects(self) -> Path:
        """The folder of the objects, in a folder for the first two digits of their hashes."""
        return Path(self._objects.path)

    def files(self, pinned: str) -> dict[str, str] | None:
        """The files of a folder, hashes by relative name; None where its list is not here.

        Args:
            pinned: `md5` of an output in dvc.lock.

        Raises:
            UserError: The list is damaged, or names a place outside of the folder.
        """
        path = self._place(pinned)
        try:
            found = {entry["relpath"]: entry["md5"] for entry in json.loads(path.read_bytes())}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError):
            raise _damaged(path) from None
        for name in found:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise _damaged(path)
        return found

    def holds(self, pinned: str) -> bool:
        """Whether a folder can be had whole without asking a remote."""
        files = self.files(pinned)
        return files is not None and all(self._place(one).exists() for one in files.values())

    def read(self, pinned: str, name: str) -> bytes | None:
        """The bytes of one file of a folder, None where they are not here."""
        digest = (self.files(pinned) or {}).get(name)
        if digest is None or not self._place(digest).exists():
            return None
        return self._place(digest).read_bytes()

    def fetch(self, pinned: Collection[str], remote: str | None) -> str:
        """Ask a remote, the default one without a name, for folders; what it said if it failed."""
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
        from dvc_data.hashfile.hash_info import HashInfo

        try:
            with Repo(self._root) as repo:
                # The list of a folder comes alone: what is in it has to be asked for by name.
                repo.cloud.pull([HashInfo("md5", one) for one in pinned], remote=remote)
                files = {md5 for one in pinned for md5 in (self.files(one) or {}).values()}
                repo.cloud.pull([HashInfo("md5", one) for one in files], remote=remote)
        except (DvcException, OSError) as error:
            return " ".join(str(error).split())
        return "the remote lacks it, too"

    def copy(self, pinned: str, folder: Path, names: Collection[str]) -> None:
        """Fill a folder with files of one that the cache `holds`, each hashed again.

        Raises:
            UserError: An object is damaged.
        """
        for name, digest in (self.files(pinned) or {}).items():
            if name not in names:
                continue
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._place(digest), target)
            if md5_file(target) != digest:
                raise _damaged(self._place(digest))

    def _place(self, digest: str) -> Path:
        return Path(self._objects.oid_to_path(digest))


def md5_file(path: Path) -> str:
    """Hex MD5 of a file's bytes, by which DVC names an object."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _damaged(path: Path) -> UserError:
    return UserError(f"{path}: damaged; remove it, and `dvc fetch` brings a whole one")
