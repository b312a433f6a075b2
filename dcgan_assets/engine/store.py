"""The store: where every artefact lies, and how it is published there whole and versioned.

    data/GROUP/ASSET/       pictures and tables        (a folder SHARD/ each where sharded)
    models/GROUP/ASSET/     networks
    results/GROUP/ASSET/    result.json, figures, tables
    runs/GROUP/FINGERPRINT/ work in progress, never under DVC

An artefact is a folder. It is built beside its place, flushed, made read-only and swapped in as
a whole, so a reader sees the old one or the new one, and files that DVC has hard-linked into its
cache are never changed. `_meta.json` in it says what it is made of: its data version (a content
hash), the versions of its inputs, the code version, the seed, and the fingerprint of all these,
by which a step that would make the same thing again is skipped.

The record also lists the files, and so says what in a place is ours. A place is written only where
nothing is, or nothing but what such a record lists and what desktops leave about (`is_litter`);
anything else stops before anything is made. Only what is listed is ever removed.

Machines that share no folder have an exchange (exchange.py). Then what is published is what its
records say, and the folders here are copies, each brought as a whole before it is read.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, StrictStr

from dcgan_assets.engine.exchange import Exchange
from dcgan_assets.engine.results import RESULT_FILE, stable_digest
from dcgan_assets.engine.terminal import say
from dcgan_models.errors import UserError
from dcgan_models.fields import check_fields
from dcgan_models.files import (
    BUILDING,
    LARGEST_JSON,
    Ours,
    built_for,
    is_folder,
    is_system_file,
    parse_json,
    read_json,
    read_regular,
    remove_listed,
    sha256_file,
    staged,
    swap_in,
    tree_files,
    write_json,
)

META_FILE = "_meta.json"
_SAY_SECONDS = 60.0
Kind = Literal["data", "models", "results"]
Licence = Literal["open", "restricted"]
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63, strict=True)]


@dataclass(frozen=True)
class Artefact:
    """The name and place of what an asset publishes.

    Attributes:
        key: `group/name`, the asset's key.
        kind: The top folder.
        shard: Of a sharded asset, which one.
    """

    key: str
    kind: Kind
    shard: str | None = None

    @property
    def label(self) -> str:
        """The key, and the shard in brackets: `lsun/images[03]`."""
        return self.key if self.shard is None else f"{self.key}[{self.shard}]"

    @property
    def path(self) -> Path:
        """The folder, relative to the root."""
        folder = Path(self.kind) / self.key
        return folder if self.shard is None else folder / self.shard


@dataclass(frozen=True)
class Input:
    """What an artefact was made from: the content, and how that had been made."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    data_version: StrictStr
    fingerprint: StrictStr
    seed: Int64 | None
    params_seed: Int64


class Provenance(BaseModel):
    """What an artefact's own record and that of its release say of it in the same words.

    Attributes:
        shard: None for an asset in one piece.
        data_version: Hash of the content.
        fingerprint: Hash of code version, inputs and seed.
        inputs: What it was made from, by label.
        seed, params_seed: The seed used, and the one in params.yaml at that time.
        run: Id of the Dagster run that made it; empty in records older than this field.
        checks: Results of the asset's checks, replayed when the artefact is found again.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    shard: str | None
    data_version: str
    code_version: str
    fingerprint: str
    inputs: dict[str, Input]
    seed: Int64 | None
    params_seed: Int64
    created: str
    duration_s: float
    hardware: str
    run: str = ""
    checks: list[dict[str, Any]] = []

    def provenance(self) -> dict[str, Any]:
        """The fields above alone, as arguments of another record of the same artefact."""
        return {name: getattr(self, name) for name in Provenance.model_fields}


class Meta(Provenance):
    """`_meta.json`: what an artefact is and how it came about.

    Attributes:
        files: Sizes and SHA-256 by relative name.
        metadata: What the UI shows of it, each value as Dagster serialises it.
    """

    model_config = ConfigDict(strict=True)

    key: str
    files: dict[str, dict[str, Any]] = {}
    metadata: dict[str, str] = {}

    @classmethod
    def read(cls, folder: Path) -> Meta | None:
        """Read a published folder's `_meta.json`; None where there is no whole one."""
        return cls.read_file(folder / META_FILE)

    @classmethod
    def read_file(cls, path: Path) -> Meta | None:
        """Read a `_meta.json` wherever it lies, as in a remote under its hash; None likewise."""
        try:
            return cls.parse(read_regular(path, LARGEST_JSON))
        except OSError:
            return None

    @staticmethod
    def parse(text: bytes) -> Meta | None:
        """The record that a `_meta.json` holds; None where it is not one."""
        return _parse_record(text)


# A plan asks for each record half a dozen times, and what the same bytes say is the same.
@lru_cache(maxsize=256)
def _parse_record(text: bytes) -> Meta | None:
    try:
        parse_json(text)  # not deeper than a record is
        record = Meta.model_validate_json(text)
        check_details(record)
    except (ValueError, UserError):  # pydantic's errors are of the first kind
        return None
    return record


@dataclass(frozen=True)
class _File:
    """What `Meta.files` says of one."""

    size: int
    sha256: str


@dataclass(frozen=True)
class _Check:
    """What `Meta.checks` says of one, as `checks.Verdict` has it."""

    check: str
    passed: bool
    facts: dict[str, Any]


def check_details(record: Meta) -> None:
    """Check what is inside a record's lists and mappings; raise `UserError` or `ValueError`."""
    for of, found in ((_File, record.files.values()), (_Check, record.checks)):
        for one in found:
            check_fields(of, one, META_FILE)
    if record.created:
        datetime.fromisoformat(record.created)


class MissingError(UserError):
    """Inputs are not published, as far as is seen here."""

    def __init__(self, artefacts: list[Artefact]) -> None:
        self.artefacts = artefacts
        labels = ", ".join(artefact.label for artefact in artefacts)
        super().__init__(f"missing: {labels}; run `dcgan materialize {artefacts[0].key}`")


class Store:
    """The artefacts below one root.

    Args:
        exchange: Where those of other machines are found, and those of this one are written.
    """

    def __init__(self, root: Path, exchange: Exchange | None = None) -> None:
        self.root = root
        self.exchange = exchange

    def folder(self, artefact: Artefact) -> Path:
        """Where an artefact lies, whether it is there or not."""
        return self.root / artefact.path

    def place(self, artefact: Artefact) -> Path:
        """Where an artefact is written: its folder, or where a symlink in its place leads.

        Raises:
            UserError: The symlink leads to nothing, or to itself.
        """
        folder = self.folder(artefact)
        for part in (folder, *folder.parents[: len(artefact.path.parts) - 1]):
            if part.is_symlink() and not part.exists():
                raise UserError(
                    f"{part}: a symlink to nothing, where {artefact.label} is to be made; mend it, "
                    "or remove it"
                )
        return folder.resolve()

    def run_dir(self, key: str, fingerprint: str) -> Path:
        """Where an asset keeps the resumable work that has this fingerprint."""
        return self.root / "runs" / key.split("/", maxsplit=1)[0] / fingerprint[:12]

    def meta(self, artefact: Artefact) -> Meta | None:
        """What is published, or None where nothing whole is.

        The files of the record are compared with it by name and size, and what lies beside them
        does not count; `verify` reads every byte. With an exchange its record counts, whatever of
        it lies here: `bring` before it is read.
        """
        if self.exchange is None:
            return self.here(artefact)
        record = self.exchange.record(artefact.path.as_posix())
        return None if record is None else Meta.parse(record)

    def here(self, artefact: Artefact) -> Meta | None:
        """The record of what lies in the artefact's folder, where that is whole."""
        folder = self.folder(artefact)
        meta = Meta.read(folder)
        if meta is None:
            return None
        sizes = {name: facts["size"] for name, facts in meta.files.items()}
        return meta if sizes.items() <= dict(_sizes(folder)).items() else None

    def require(self, artefacts: list[Artefact]) -> dict[str, Meta]:
        """The records of inputs, by label; raise `MissingError` naming those that are missing."""
        metas = {artefact.label: self.meta(artefact) for artefact in artefacts}
        missing = [artefact for artefact in artefacts if metas[artefact.label] is None]
        if missing:
            raise MissingError(missing)
        return {label: meta for label, meta in metas.items() if meta is not None}

    def bring(self, artefacts: Iterable[Artefact]) -> None:
        """Copy what is published through an exchange into its folders here, each at once.

        Raises:
            UserError: The exchange cannot be read, or a record there lists what no artefact has.
        """
        for artefact in artefacts if self.exchange is not None else ():
            meta = self.meta(artefact)
            if meta is not None and meta != self.here(artefact):
                with self.writing(artefact) as staging:
                    self._fetch(artefact, meta, staging)

    def _fetch(self, artefact: Artefact, meta: Meta, staging: Path) -> None:
        assert self.exchange is not None  # noqa: S101  (only `bring` calls)
        if (meta.key, meta.shard) != (artefact.key, artefact.shard):
            raise UserError(f"{self.exchange.url}: the record of {artefact.label} is of another")
        here = self.here(artefact)
        old = {facts["sha256"]: name for name, facts in here.files.items()} if here else {}
        for name, facts in meta.files.items():
            parts = PurePosixPath(name).parts
            if ".." in parts or PurePosixPath(name).is_absolute() or name == META_FILE:
                raise UserError(f"{self.exchange.url}: {artefact.label} lists {name!r:.80}")
            target = staging / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if facts["sha256"] in old:
                link_file(self.folder(artefact) / old[facts["sha256"]], target)
            else:
                self.exchange.fetch(facts["sha256"], target)
        self._seal(staging, artefact, meta)

    def verify(self, artefact: Artefact) -> str | None:
        """Hash what lies here again; the name of the first file that differs, or None."""
        meta = self.here(artefact)
        if meta is None:
            return META_FILE
        folder = self.folder(artefact)
        for name, facts in meta.files.items():
            if sha256_file(folder / name) != facts["sha256"]:
                return name
        return None

    @contextmanager
    def writing(self, artefact: Artefact) -> Iterator[Path]:
        """A folder beside the artefact's place, to build it in, held by one process.

        Another one waits until that is done, and says so: two that make the same shards would else
        each stop at one that the other holds.

        Raises:
            UserError: Something lies in its place that is not ours.
        """
        locks = self.root / "runs" / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / f"{artefact.label.replace('/', '__')}.lock")
        _wait_for(lock, artefact.label)
        try:
            self.require_ours(artefact.key, artefact.kind)
            with staged(self.place(artefact), _ours(artefact)) as staging:
                yield staging
        finally:
            lock.release()

    def require_ours(self, key: str, kind: Kind) -> None:
        """Refuse an asset's place where anything lies that no record of ours lists.

        Raises:
            UserError: The line names the place, the first such file, and what to do.
        """
        place = self.place(Artefact(key, kind))
        found = first_foreign(place, lambda folder: recorded(folder, key))
        if found is not None:
            where = f"{kind}/{key}/{found}" if found else f"{kind}/{key}"
            raise UserError(
                f"{self.root / where}: not ours, and it lies where {key} is to be made; move it "
                f"away, for example to pictures/{key.split('/', maxsplit=1)[0]}"
            )

    def content_version(self, folder: Path) -> str:
        """The data version of a built folder: a hash over its files' names and contents.

        Of a published one what its record lists counts, and nothing beside it.

        A result counts by what was found, not by how long it took or on what machine.
        """
        digest = hashlib.sha256()
        for name, _, path in sorted(_files(folder)):
            content = stable_digest(path) if name == RESULT_FILE else sha256_file(path)
            digest.update(f"{name}\0{content}\n".encode())
        return digest.hexdigest()[:32]

    def publish(self, staging: Path, artefact: Artefact, meta: Meta) -> Meta:
        """Swap a built folder into its place together with its record; the exchange has it before.

        Args:
            staging: From `writing`.
            meta: The record; what it is of, and `files`, are filled in here.
        """
        files = {
            name: {"size": size, "sha256": sha256_file(path)}
            for name, size, path in _files(staging)
        }
        facts = {"key": artefact.key, "shard": artefact.shard, "files": files}
        meta = meta.model_copy(update=facts)
        self._upload(artefact, meta, staging)
        self._seal(staging, artefact, meta)
        return meta

    def offer(self, artefact: Artefact, fingerprint: str) -> None:
        """Give an exchange that has none what lies here, where it is what would be made now."""
        here = self.here(artefact) if self.exchange and self.meta(artefact) is None else None
        if here is not None and here.fingerprint == fingerprint:
            self._upload(artefact, here, self.folder(artefact))

    def _upload(self, artefact: Artefact, meta: Meta, folder: Path) -> None:
        if self.exchange is not None:
            content = {str(facts["sha256"]): folder / name for name, facts in meta.files.items()}
            record = meta.model_dump_json().encode()
            self.exchange.publish(artefact.path.as_posix(), record, content)

    def _seal(self, staging: Path, artefact: Artefact, meta: Meta) -> None:
        """Put the record into a built folder, and swap it in."""
        write_json(staging / META_FILE, meta.model_dump())
        for path in staging.rglob("*"):
            if path.is_file():
                path.chmod(0o444)
        swap_in(staging, self.place(artefact), _ours(artefact))

    def amend(self, artefact: Artefact, meta: Meta) -> None:
        """Publish what is published once more under another record; its place is held already."""
        with staged(self.place(artefact), _ours(artefact)) as staging:
            self.keep(artefact, staging)
            self.publish(staging, artefact, meta)

    def keep(self, artefact: Artefact, staging: Path) -> None:
        """Fill `staging` with what is published now, by hard links where the disk allows."""
        folder = self.folder(artefact)
        for name, _, path in _files(folder):
            target = staging / name
            target.parent.mkdir(parents=True, exist_ok=True)
            link_file(path, target)

    def clear_foreign_shards(self, key: str, kind: Kind, shards: tuple[str, ...]) -> None:
        """Remove published shards that are none any more, because there were more of them."""
        place = self.place(Artefact(key, kind))
        listed = recorded(place, key)
        gone = [name for name in listed if built_for(name.split("/")[0]) not in shards]
        remove_listed(place, gone)


def _wait_for(lock: FileLock, label: str) -> None:
    patience = 0.0
    while not lock.is_locked:
        try:
            lock.acquire(timeout=patience)
        except Timeout:
            say(f"{label}: waiting for another process, which is making it")
            patience = _SAY_SECONDS


# --- What in a place is ours ----------------------------------------------------------------


def recorded(folder: Path, key: str, shard: str | None = None) -> list[str]:
    """The files of an asset's place that its records list; each record after what it lists.

    Those of its shards come first. A record counts in the folder that it was written for,
    whichever version of ours wrote it, and in the one from which another process is just about to
    move it there.
    """
    names = []
    if shard is None and folder.is_dir():
        for child in sorted(folder.iterdir()):
            if is_folder(child):
                listed = recorded(child, key, built_for(child.name))
                names += [f"{child.name}/{name}" for name in listed]
    own = listed_files(folder / META_FILE, (key, shard))
    return names if own is None else [*names, *own, META_FILE]


def listed_files(record: Path, of: tuple[str, str | None] | None = None) -> list[str] | None:
    """The files that a `_meta.json` lists; None where it is no record.

    Args:
        of: Key and shard that it is to be a record of.
    """
    try:
        content = read_json(record)
    except (OSError, ValueError):
        return None
    match content:
        case {"key": key, "shard": shard, "files": dict() as files} if of in (None, (key, shard)):
            return [*files]
    return None


def _ours(artefact: Artefact) -> Ours:
    return lambda folder: recorded(folder, artefact.key, artefact.shard)


def first_foreign(place: Path, ours: Ours) -> str | None:
    """The first file below a place that is neither recorded nor litter; None where there is none.

    The name is empty where the place itself is a file or a symlink.
    """
    if os.path.lexists(place) and not is_folder(place):
        return ""
    listed = set(ours(place))
    while True:
        names = (name for name in tree_files(place) if name not in listed)
        found = next((name for name in names if not is_litter(name)), None)
        before, listed = listed, listed if found is None else set(ours(place))
        if listed == before:  # else another process has just published there
            return found


def is_litter(name: str) -> bool:
    """Whether a relative name is what desktops leave about: it stops nothing, and always stays."""
    return is_system_file(name) and META_FILE not in name.split("/")


# --- Files of an artefact --------------------------------------------------------------------


def link_file(source: str | Path, target: str | Path) -> None:
    """Give a published file, which is never written into, a second name; copy where that fails."""
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)


def _files(folder: Path) -> Iterator[tuple[str, int, Path]]:
    """The content files of an artefact: relative name, size, path."""
    meta = Meta.read(folder)
    for name, size in _sizes(folder):
        if meta is None or name in meta.files:
            yield name, size, folder / name


def _sizes(folder: str | Path, below: str = "") -> Iterator[tuple[str, int]]:
    """Relative names and sizes alone: a plan asks for ten thousand, and paths take seconds."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except PermissionError:  # a folder of somebody else's
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _sizes(entry.path, f"{below}{entry.name}/")
        elif entry.name not in (META_FILE, BUILDING) and entry.is_file():
            yield below + entry.name, entry.stat().st_size
