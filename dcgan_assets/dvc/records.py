"""`records/` of a whole workspace: written by a release, read by `dcgan register`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from dcgan_assets.engine.records import (
    RECORDS,
    Entry,
    Record,
    read_record,
    records_in,
    require_records_alone,
    split_label,
)
from dcgan_models.errors import UserError
from dcgan_models.files import staged, swap_in, write_json

if TYPE_CHECKING:
    from dcgan_assets.engine.catalogue import Catalogue
    from dcgan_assets.engine.step import Step


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
            found[key] = read_record(path, key)
    for key, record in found.items():
        for label, said, recorded in _contradictions(record, found):
            raise UserError(
                f"{RECORDS}/{key}.json: made from {label} {said[:8]}, but its record says "
                f"{recorded[:8]}; `git checkout {RECORDS}` brings the released ones back"
            )
    return found


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
        with staged(folder, records_in) as staging:
            for key, record in new.items():
                path = staging / f"{key}.json"
                path.parent.mkdir(exist_ok=True)
                write_json(path, record.model_dump(mode="json"))
            swap_in(staging, folder, records_in)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})") from None
    return list(new)


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
