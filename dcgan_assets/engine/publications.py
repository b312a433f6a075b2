"""The history of published networks: the files of every publication, so that any comes back.

    history/publications/GROUP/NUMBER.json   the records under which the networks stood
    history/objects/3f/3fa91c...             a file of them, read-only, named by its SHA-256

Published files are never written into, so an object is a hard link to the published file where the
disk has them; equal bytes are one object. Objects come first and the publication's own file last: a
process that is killed between leaves objects that nobody names, which `dcgan gc` removes. Nothing
here is under DVC or in git.

While a publication comes back (`going_back`), the record of its first asset's place bears, in the
place of its fingerprint, which one that is. Until both networks are in, nobody removes it.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import dagster as dg
from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.store import (
    META_FILE,
    Artefact,
    Int64,
    Meta,
    check_details,
    is_litter,
    link_file,
)
from dcgan_models.errors import UserError
from dcgan_models.files import (
    BUILDING,
    LARGEST_JSON,
    is_folder,
    open_atomic,
    parse_json,
    read_regular,
    remove_listed,
    sha256_file,
    share_file,
    tree_files,
    write_json,
)

HISTORY = "history"
# What the metadata `decision` says of how a publication came about.
PUBLISHED, KEPT = "published the candidate", "kept the champion"
_PUBLICATIONS, _OBJECTS = "publications", "objects"
_FILE = re.compile(r"([1-9]\d{0,8})\.json", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ON_ITS_WAY = re.compile(r"publication (\d+) on its way")
_OBJECT = re.compile(rf"{_OBJECTS}/([0-9a-f]{{2}})/(\1[0-9a-f]{{62}})")
_PUBLICATION = re.compile(rf"{_PUBLICATIONS}/[^/]+/{_FILE.pattern}", re.ASCII)
# What a process was writing that was killed: each name of ours, hidden.
_HALF = re.compile(
    rf"({_PUBLICATIONS}/[^/]+/\.\d+\.json|{_OBJECTS}/[0-9a-f]{{2}}/\.[0-9a-f]{{64}}|\.\.gitignore)"
    r"\.[0-9a-f]{8}\.part",
    re.ASCII,
)
_OURS = (_PUBLICATION, _HALF, _OBJECT, re.compile(r"\.gitignore"))


class DamagedError(UserError):
    """A file has not the bytes that its record says."""


class Publication(BaseModel):
    """Networks that were published together, and how that was decided.

    Attributes:
        group: Whose they are.
        number: By which `dcgan log` names it; the first of a group is 1.
        published: When, in UTC, ISO 8601.
        seed: Of the candidate that was decided on; of one that came back, of its networks.
        records: The `_meta.json` under which they stood, one an asset.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    group: str
    number: int
    published: str
    seed: Int64 | None
    records: tuple[Meta, ...]

    @property
    def label(self) -> str:
        """What it is called on the terminal."""
        return f"publication {self.number} of {self.group}"

    @property
    def key(self) -> str:
        """The first asset's key, which names the step."""
        return self.records[0].key

    @property
    def version(self) -> str:
        """The first asset's data version."""
        return self.records[0].data_version

    @property
    def digests(self) -> set[str]:
        """The SHA-256 of all its files."""
        return {facts["sha256"] for meta in self.records for facts in meta.files.values()}

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Texts and numbers that the web UI showed of the first asset, by name."""
        values = shown.decode(self.records[0].metadata)
        return {
            name: value.value
            for name, value in values.items()
            if isinstance(value, dg.TextMetadataValue | dg.FloatMetadataValue | dg.IntMetadataValue)
        }

    @property
    def decision(self) -> str:
        """`PUBLISHED`, `KEPT`, or that it came back and as what."""
        return str(self.facts.get("decision", PUBLISHED))

    @property
    def contender(self) -> Literal["candidate", "champion"]:
        """By which name its networks stand among the scores by which it was decided."""
        return "champion" if self.decision.endswith(KEPT) else "candidate"


class History:
    """The publications below one root.

    Raises:
        UserError: Whatever is asked of it, where `history` or a folder in it is no folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    # --- Reading ---

    def groups(self) -> list[str]:
        """The groups that have publications, also those that params.yaml has no more."""
        folder = self._folder(_PUBLICATIONS)
        found = folder.iterdir() if folder.is_dir() else ()
        return sorted(path.name for path in found if is_folder(path))

    def numbers(self, group: str) -> list[int]:
        """The numbers of a group's publications, the first one first."""
        folder = self._folder(_PUBLICATIONS, group)
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        return sorted(int(found[1]) for found in map(_FILE.fullmatch, names) if found)

    def read(self, group: str, number: int) -> Publication:
        """One publication.

        Raises:
            UserError: There is none of that number, or its file is none of ours.
        """
        path = self._folder(_PUBLICATIONS, group) / f"{number}.json"
        where = f"{HISTORY}/{_PUBLICATIONS}/{group}/{number}.json"
        if number not in self.numbers(group):
            known = ", ".join(map(str, self.numbers(group))) or "none"
            raise UserError(f"{group}: no publication {number}; there are: {known}")
        try:
            if path.is_symlink():
                raise ValueError("a symlink")
            return _parse(read_regular(path, LARGEST_JSON), group, number)
        except ValidationError as error:
            first = error.errors()[0]
            why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        except (OSError, ValueError, UserError) as error:
            why = str(error)
        raise UserError(f"{where}: not a publication of ours ({why}); move it away") from None

    def publications(self, group: str) -> tuple[list[Publication], list[UserError]]:
        """A group's publications, the first one first, and what is wrong with others."""
        found: list[Publication] = []
        wrong: list[UserError] = []
        for number in self.numbers(group):
            try:
                found.append(self.read(group, number))
            except UserError as error:
                wrong.append(error)
        return found, wrong

    def find(self, metas: Sequence[Meta]) -> Publication | None:
        """The latest publication of just these records."""
        found, _ = self.publications(metas[0].key.split("/")[0])
        return next((one for one in reversed(found) if one.records == tuple(metas)), None)

    def fill(self, meta: Meta, folder: Path, names: Iterable[str] | None = None) -> None:
        """Fill a folder with the files of a record, or those of them that are named.

        Raises:
            UserError: A file is missing or damaged; the line names it.
        """
        for name in meta.files if names is None else names:
            digest = meta.files[name]["sha256"]
            path = self._folder(_OBJECTS, digest[:2]) / digest
            target = folder / name
            if not _is_plain(path):
                raise UserError(
                    f"{meta.key}: {name} cannot be had any more, {self._shown(path)} is missing"
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            link_file(path, target)
            if sha256_file(target) != digest:
                raise DamagedError(f"{meta.key}: {name} is damaged ({self._shown(path)})")

    def damaged(self, digests: Iterable[str]) -> dict[str, str]:
        """Of files that publications name, by SHA-256, what is wrong with each that is not whole.

        Raises:
            UserError: A folder of theirs is none.
        """
        wrong = {}
        for digest in digests:
            path = self._folder(_OBJECTS, digest[:2]) / digest
            if not _is_plain(path):
                wrong[digest] = f"{self._shown(path)} is missing"
                continue
            try:
                if sha256_file(path) != digest:
                    wrong[digest] = f"{self._shown(path)} is damaged"
            except OSError as error:
                wrong[digest] = f"{self._shown(path)} cannot be read ({error.strerror})"
        return wrong

    def foreign(self) -> list[str]:
        """Files in the folder that are not ours, as `history/...`."""
        return [
            f"{HISTORY}/{name}"
            for name in tree_files(self._folder())
            if not is_litter(name) and not any(pattern.fullmatch(name) for pattern in _OURS)
        ]

    # --- Writing ---

    def keep(
        self,
        metas: Sequence[Meta],
        folders: Mapping[str, Path],
        *,
        seed: int | None = None,
        published: str = "",
        once: bool = False,
    ) -> Publication:
        """Keep what was published together.

        Args:
            metas: The records, the first asset's first.
            folders: Where the files of each lie, by key.
            seed: Of the networks; else that of the candidate, which the record names.
            published: When; now by default.
            once: Not where it is kept already.

        Raises:
            DamagedError: A file is not what its record says; nothing is kept then.
        """
        group = metas[0].key.split("/")[0]
        if seed is None:
            seeds = [made.seed for made in metas[0].inputs.values() if made.seed is not None]
            seed = next(iter(seeds), metas[0].seed)
        with self._alone():
            if once and (found := self.find(metas)) is not None:
                return found
            self._ignored_by_git()
            for meta in metas:
                for name, facts in meta.files.items():
                    self._keep_file(folders[meta.key] / name, facts["sha256"])
            publication = Publication(
                group=group,
                number=max(self.numbers(group), default=0) + 1,
                published=published or datetime.now(UTC).isoformat(timespec="seconds"),
                seed=seed,
                records=tuple(metas),
            )
            folder = self._folder(_PUBLICATIONS, group, make=True)
            write_json(folder / f"{publication.number}.json", publication.model_dump())
        return publication

    def _keep_file(self, source: Path, digest: str) -> None:
        path = self._folder(_OBJECTS, digest[:2], make=True) / digest
        if _is_plain(path) and sha256_file(path) == digest:
            return
        if sha256_file(source) != digest:
            raise DamagedError(f"{source}: damaged, it is not what its record says")
        share_file(source, path)
        path.chmod(
            0o444
        )  # `dvc pull` leaves files that can be written, and a link is the same file

    def share(self, metas: Iterable[Meta], folders: Mapping[str, Path]) -> None:
        """Make objects links to published files again, where these are other copies by now.

        DVC puts links into its cache in their place. A link on the same disk holds no bytes twice.
        """
        with self._alone():
            for meta in metas:
                for name, facts in meta.files.items():
                    digest, source = facts["sha256"], folders[meta.key] / name
                    path = self._folder(_OBJECTS, digest[:2]) / digest
                    if not _is_plain(path) or path.samefile(source):
                        continue
                    same_disk = path.stat().st_dev == source.stat().st_dev
                    if same_disk and sha256_file(source) == digest:
                        share_file(source, path)

    def _ignored_by_git(self) -> None:
        """Let git leave the folder alone, whatever the workspace's own .gitignore says."""
        path = self._folder(make=True) / ".gitignore"
        if not path.exists():
            with open_atomic(path) as stream:
                stream.write(b"*\n")

    # --- Removing ---

    def outlived(self, most: int) -> list[Publication]:
        """Publications that are older than the last `most` networks, and than as many decisions.

        A champion that is kept for years does not push out the networks before it, and what is on
        its way back is none of them.

        Raises:
            UserError: A publication cannot be read.
        """
        found: list[Publication] = []
        for group in self.groups():
            whole = self._all_of(group)
            for key in dict.fromkeys(one.key for one in whole):
                own = [one for one in whole if one.key == key]
                kept = {one.number for one in (*newly_published(own)[-most:], *own[-most:])}
                kept.add(self._number_on_its_way(key) or 0)
                found += [one for one in own if one.number not in kept]
        return found

    def unnamed(self, without: Sequence[Publication] = ()) -> dict[str, int]:
        """Files that no publication names, or that are half written, and how large they are.

        Args:
            without: Publications that do not count.

        Raises:
            UserError: A publication cannot be read, so that nobody knows what it names.
        """
        gone = {(one.group, one.number) for one in without}
        named = {
            digest
            for group in self.groups()
            for one in self._all_of(group)
            if (group, one.number) not in gone
            for digest in one.digests
        }
        folder = self._folder()
        return {
            name: (folder / name).lstat().st_size
            for name in tree_files(folder)
            if _HALF.fullmatch(name)
            or ((found := _OBJECT.fullmatch(name)) and found[2] not in named)
        }

    def remove(self, publication: Publication) -> None:
        """Remove a publication's own file; its objects are left to `sweep`.

        Raises:
            UserError: It is on its way back.
        """
        with self._alone():
            if self._number_on_its_way(publication.key) == publication.number:
                raise UserError(
                    f"the rollback to {publication.label} was stopped between two networks; "
                    f"`dcgan materialize {publication.key}` finishes it"
                )
            remove_listed(
                self._folder(_PUBLICATIONS, publication.group), [f"{publication.number}.json"]
            )

    def sweep(self) -> None:
        """Remove what `unnamed` finds."""
        with self._alone():
            remove_listed(self._folder(), sorted(self.unnamed()))

    def files(self) -> list[str]:
        """All files of ours in the folder, by relative name, in the order in which they may go."""
        names = list(tree_files(self._folder()))
        return [name for pattern in _OURS for name in names if pattern.fullmatch(name)]

    @contextmanager
    def held(self, publication: Publication) -> Iterator[None]:
        """A block in which nobody removes a publication: there its networks get their mark.

        Raises:
            UserError: It has been removed since it was read.
        """
        with self._alone():
            self.read(publication.group, publication.number)
            yield

    # --- Places ---

    def _number_on_its_way(self, key: str) -> int | None:
        """Which publication is on its way back to the networks whose first asset this is."""
        return number_on_its_way(Meta.read(self._root / Artefact(key, "models").path))

    def _all_of(self, group: str) -> list[Publication]:
        found, wrong = self.publications(group)
        if wrong:
            raise wrong[0]
        return found

    def _folder(self, *parts: str, make: bool = False) -> Path:
        """A folder of the history; `history` itself may be a symlink, and nothing in it."""
        top = self._root / HISTORY
        if top.is_symlink() and not top.exists():
            raise UserError(f"{top}: a symlink to nothing; mend it, or remove it")
        place = top.resolve()
        for folder in (place, *(place.joinpath(*parts[: n + 1]) for n in range(len(parts)))):
            if os.path.lexists(folder) and not is_folder(folder):
                raise UserError(
                    f"{folder}: no folder; publications are kept there, so move it away"
                )
            if make:
                folder.mkdir(exist_ok=True)
        return place.joinpath(*parts)

    def _shown(self, path: Path) -> str:
        return f"{HISTORY}/{path.relative_to(self._folder()).as_posix()}"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While a publication is kept, no other process removes the objects that it will name."""
        locks = self._root / "runs" / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / f"{HISTORY}.lock"):
            yield


def newly_published(publications: Sequence[Publication]) -> list[Publication]:
    """Of an asset's publications, in order, those with other networks than stood before."""
    changes = (after for before, after in pairwise(publications) if after.version != before.version)
    return [*publications[:1], *changes]


def on_its_way(publication: Publication) -> str:
    """The fingerprint of the first network that came back, until the last one has."""
    return f"publication {publication.number} on its way"


def number_on_its_way(meta: Meta | None) -> int | None:
    """Of which publication a record's network came back before the others of it; else None."""
    found = _ON_ITS_WAY.fullmatch(meta.fingerprint) if meta is not None else None
    return int(found[1]) if found else None


def _is_plain(path: Path) -> bool:
    """Whether a file lies at a path itself: no link, pipe or folder."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _parse(text: bytes, group: str, number: int) -> Publication:
    """Read a publication's file, of which nothing is trusted; else `ValueError` or `UserError`."""
    parse_json(text)  # not deeper than ours
    found = Publication.model_validate_json(text)
    if (found.group, found.number) != (group, number):
        raise ValueError(f"says that it is {found.label}")
    datetime.fromisoformat(found.published)
    if not found.records:
        raise ValueError("it has no records")
    for meta in found.records:
        check_details(meta)
        if meta.shard is not None or meta.key.split("/")[0] != group:
            raise ValueError(f"a record of {meta.key!r}")
        for name, facts in meta.files.items():
            if not _is_inside(name) or not _DIGEST.fullmatch(facts["sha256"]):
                raise ValueError(f"{meta.key} lists {name!r}")
    return found


def _is_inside(name: str) -> bool:
    """Whether a relative name stays in its folder, and is that of content."""
    path = PurePosixPath(name)
    usual = path.as_posix() == name and not path.is_absolute() and "\0" not in name
    return usual and bool(path.parts) and not {"..", META_FILE, BUILDING} & set(path.parts)
