"""Records: what was released, in git, so that a clone knows it without having run anything.

    records/GROUP/ASSET.json

A record says of an asset, shard by shard, which version was released, what it was made from, what
the UI showed of it, and whether it may be passed on. `dcgan release` writes all records at once,
beside the objects that go with them; `dcgan register` tells Dagster what they say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from dcgan_assets.engine.metadata import thumbnails
from dcgan_assets.engine.store import Input, Licence, Meta, first_foreign
from dcgan_models.errors import UserError
from dcgan_models.files import read_json, staged, swap_in, tree_files, write_json

if TYPE_CHECKING:
    from dcgan_assets.engine.step import Catalogue, Step

RECORDS = "records"
THUMBNAIL_BYTES = 20_000
# What an artefact's own record, `_meta.json`, says in the same words.
_SAME = (
    "shard",
    "data_version",
    "code_version",
    "fingerprint",
    "inputs",
    "seed",
    "params_seed",
    "created",
    "duration_s",
    "hardware",
    "run",
    "checks",
)


class Entry(BaseModel):
    """One released artefact: an asset in one piece, or a shard of one.

    Attributes:
        shard: None for an asset in one piece.
        inputs: What it was made from, by label.
        files, bytes: How much it is.
        run: Id of the Dagster run that made it.
        checks: Results of the asset's checks.
        metadata: What the UI shows, as Dagster serialises it; pictures shrunk, or left out where
            they may not be passed on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    shard: str | None
    data_version: str
    code_version: str
    fingerprint: str
    inputs: dict[str, Input]
    seed: int | None
    params_seed: int
    created: str
    duration_s: float
    hardware: str
    files: int
    bytes: int
    run: str
    checks: list[dict[str, Any]]
    metadata: dict[str, str]

    @classmethod
    def of(cls, meta: Meta, licence: Licence) -> Entry:
        """What a record says of a published artefact."""
        budget = THUMBNAIL_BYTES if licence == "open" else 0
        return cls(
            **{name: getattr(meta, name) for name in _SAME},
            files=len(meta.files),
            bytes=sum(facts["size"] for facts in meta.files.values()),
            metadata=thumbnails(meta.metadata, budget),
        )

    def meta(self, key: str) -> Meta:
        """The artefact's own record as far as this one tells: without the list of its files."""
        same = {name: getattr(self, name) for name in _SAME}
        return Meta(key=key, metadata=self.metadata, **same)


class Record(BaseModel):
    """The content of `records/GROUP/ASSET.json`.

    Attributes:
        licence: Whether the asset may be given to others.
        entries: One, or one a shard.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    asset: str
    profile: str
    licence: Licence
    entries: list[Entry]

    def entry(self, shard: str | None) -> Entry | None:
        """The entry of a shard."""
        return next((entry for entry in self.entries if entry.shard == shard), None)


def read_records(catalogue: Catalogue) -> dict[str, Record]:
    """The records of a workspace's assets, by key, in the order of the catalogue.

    An asset that was added since the release has none; one that is gone is passed over.

    Raises:
        UserError: A file is not a record, or an entry was made from something else than the
            records say: somebody changed one by hand.
    """
    found = {}
    for key in catalogue.by_key:
        path = catalogue.workspace.root / RECORDS / f"{key}.json"
        if path.exists():
            found[key] = _read_record(path, key)
    for key, record in found.items():
        for label, said, recorded in _contradictions(record, found):
            raise UserError(
                f"{RECORDS}/{key}.json: made from {label} {said[:8]}, but its record says "
                f"{recorded[:8]}; `git checkout {RECORDS}` brings the released ones back"
            )
    return found


def _read_record(path: Path, key: str) -> Record:
    where = f"{RECORDS}/{key}.json"
    try:
        record = Record.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"{where}: not a record: {place}: {first['msg']}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{where}: not readable ({error})") from None
    if record.asset != key:
        raise UserError(f"{where}: says that it is about {record.asset!r}")
    return record


def _contradictions(
    record: Record, records: Mapping[str, Record]
) -> Iterator[tuple[str, str, str]]:
    """Inputs of which the record disagrees with theirs: label, its version, their version."""
    for entry in record.entries:
        for label, made in entry.inputs.items():
            key, shard = split_label(label)
            upstream = records[key].entry(shard) if key in records else None
            if upstream is not None and upstream.data_version != made.data_version:
                yield label, made.data_version, upstream.data_version


def as_released(root: Path, meta: Meta) -> Meta:
    """What is made again as it was released: with the date, run and machine of the release.

    Then it has the same bytes, and DVC, which compares these, sees no change.
    """
    try:
        entry = _read_record(root / RECORDS / f"{meta.key}.json", meta.key).entry(meta.shard)
    except UserError:  # none, or none that is whole: `dcgan register` says so
        return meta
    if entry is None:
        return meta
    if (entry.fingerprint, entry.data_version) != (meta.fingerprint, meta.data_version):
        return meta
    # Speeds are among the metadata. Pictures are shrunk in a record, and come out the same.
    told = thumbnails(entry.metadata, 0)
    return replace(
        meta,
        created=entry.created,
        duration_s=entry.duration_s,
        hardware=entry.hardware,
        run=entry.run,
        inputs=entry.inputs,  # of the same versions; how these came about may differ
        metadata={**meta.metadata, **told},
    )


def split_label(label: str) -> tuple[str, str | None]:
    """The key and the shard that a label names: `lsun/images[03]`."""
    key, _, rest = label.partition("[")
    return key, rest.removesuffix("]") or None


def write_records(catalogue: Catalogue, steps: Sequence[Step]) -> list[str]:
    """Write the records of what some steps have published, in one go; return the keys.

    An absent transient asset, as after `dvc pull`, keeps its record.

    Raises:
        UserError: Old records are not readable, something else lies among them, or the root
            cannot be written.
    """
    require_records_alone(catalogue.workspace.root)
    folder = catalogue.workspace.root / RECORDS
    old = read_records(catalogue)
    new = {}
    for step in steps:
        for key in step.outputs:
            record = _record_of(catalogue, step, key) or (old.get(key) if step.transient else None)
            if record is not None:
                new[key] = record
    try:
        with staged(folder, _records_in) as staging:
            for key, record in new.items():
                path = staging / f"{key}.json"
                path.parent.mkdir(exist_ok=True)
                write_json(path, record.model_dump(mode="json"))
            swap_in(staging, folder, _records_in)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})") from None
    return list(new)


def require_records_alone(root: Path) -> None:
    """Refuse a folder of records in which something else lies, because it is written as a whole.

    Raises:
        UserError: The line names the first such file.
    """
    found = first_foreign(root / RECORDS, _records_in)
    if found is not None:
        raise UserError(
            f"{root / RECORDS / found}: no record of ours; move it out of {RECORDS}, which is "
            "written as a whole"
        )


def _records_in(folder: Path) -> list[str]:
    """The files of a folder that are records, each under its own key."""

    def is_record(name: str) -> bool:
        try:
            return bool(_read_record(folder / name, name.removesuffix(".json")))
        except UserError:
            return False

    return [name for name in tree_files(folder) if name.endswith(".json") and is_record(name)]


def _record_of(catalogue: Catalogue, step: Step, key: str) -> Record | None:
    """The record of an asset as it is published now, None where not all of it is."""
    artefacts = [catalogue.artefact(key, shard) for shard in catalogue.shards(step)]
    metas = [catalogue.store.meta(artefact) for artefact in artefacts]
    licence = catalogue.licence(step)
    entries = [Entry.of(meta, licence) for meta in metas if meta is not None]
    if len(entries) < len(metas):
        return None
    return Record(
        asset=key, profile=catalogue.workspace.params.profile, licence=licence, entries=entries
    )
