"""Records: what was released, in git, so that a clone knows it without having run anything.

    records/GROUP/ASSET.json

A record says of an asset, shard by shard, which version was released, what it was made from, what
the UI showed of it, and whether it may be passed on. `dcgan release` writes all records at once,
beside the objects that go with them; `dcgan register` tells Dagster what they say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from dcgan_assets.engine.metadata import without_thumbnails
from dcgan_assets.engine.store import Licence, Meta, Provenance, first_foreign
from dcgan_models.errors import UserError
from dcgan_models.files import read_json, tree_files

RECORDS = "records"


class Entry(Provenance):
    """One released artefact: an asset in one piece, or a shard of one.

    Attributes:
        files, bytes: How much it is.
        metadata: What the UI shows, as Dagster serialises it; without thumbnails where pictures may
            not be passed on.
    """

    files: int
    bytes: int
    metadata: dict[str, str]

    @classmethod
    def of(cls, meta: Meta, licence: Licence) -> Entry:
        """What a record says of a published artefact."""
        told = meta.metadata if licence == "open" else without_thumbnails(meta.metadata)
        return cls(
            **meta.provenance(),
            files=len(meta.files),
            bytes=sum(facts["size"] for facts in meta.files.values()),
            metadata=told,
        )

    def meta(self, key: str) -> Meta:
        """The artefact's own record as far as this one tells: without the list of its files."""
        return Meta(key=key, metadata=self.metadata, **self.provenance())


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


def read_record(path: Path, key: str) -> Record:
    """Read one record; raise `UserError` where it is none."""
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


def as_released(root: Path, meta: Meta) -> Meta:
    """The record of an asset that was made again, with date, run and machine of its release.

    Then it has the same bytes, and DVC, which compares these, sees no change.
    """
    try:
        entry = read_record(root / RECORDS / f"{meta.key}.json", meta.key).entry(meta.shard)
    except UserError:  # none, or none that is whole: `dcgan register` says so
        return meta
    if entry is None:
        return meta
    if (entry.fingerprint, entry.data_version) != (meta.fingerprint, meta.data_version):
        return meta
    # Speeds are among the metadata. A record may lack thumbnails, and they come out the same.
    # Inputs are of the same versions; how these came about may differ.
    names = ("created", "duration_s", "hardware", "run", "inputs")
    said = {name: getattr(entry, name) for name in names}
    return meta.model_copy(update={**said, "metadata": {**meta.metadata, **entry.metadata}})


def split_label(label: str) -> tuple[str, str | None]:
    """The key and the shard that a label names: `lsun/images[03]`."""
    key, _, rest = label.partition("[")
    return key, rest.removesuffix("]") or None


def require_records_alone(root: Path) -> None:
    """Refuse a folder of records in which something else lies, because it is written as a whole.

    Raises:
        UserError: The line names the first such file.
    """
    found = first_foreign(root / RECORDS, records_in)
    if found is not None:
        raise UserError(
            f"{root / RECORDS / found}: no record of ours; move it out of {RECORDS}, which is "
            "written as a whole"
        )


def records_in(folder: Path) -> list[str]:
    """The files of a folder that are records, each under its own key."""

    def is_record(name: str) -> bool:
        try:
            return bool(read_record(folder / name, name.removesuffix(".json")))
        except UserError:
            return False

    return [name for name in tree_files(folder) if name.endswith(".json") and is_record(name)]
