"""`dcgan register`: tell Dagster what the records say, so that a pulled clone is a green graph.

Every released artefact is reported as a materialisation of its own, with the versions, the
metadata and the thumbnail of the record. Dagster compares what it then knows with the code and
the parameters as they are: a change since the release shows as stale, for its own reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from dcgan_assets.dvc.dvc_yaml import is_kept
from dcgan_assets.dvc.records import read_records
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.dagster_assets import FINGERPRINT, SEVERITY
from dcgan_assets.engine.fingerprint import is_current
from dcgan_assets.engine.instance import open_instance
from dcgan_assets.engine.planning import DATA_VERSION, in_order, latest_event, shows_checks
from dcgan_assets.engine.records import RECORDS, Entry, Record, split_label
from dcgan_assets.engine.served_results import FIGURES
from dcgan_assets.engine.step import Step
from dcgan_assets.engine.store import Artefact
from dcgan_models.errors import UserError
from dcgan_models.files import digest_json

NOT_HERE = "not on this disk"  # the metadata that say so, and why
# What Dagster itself writes of an input that was never made.
_NO_EVENT, _NO_VERSION = "NULL", "INITIAL"


@dataclass
class Registered:
    """What Dagster was told of each released artefact, and why not of others.

    Attributes:
        new: Reported now.
        known: Dagster had it already.
        superseded: Something else was made here since; left as it is.
        not_pulled: Under DVC and not here.
        to_rebuild: Keys of what may not be passed on and is not here.
        damaged: What is here is not what was released, though it says so.
    """

    new: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    superseded: list[str] = field(default_factory=list)
    not_pulled: list[str] = field(default_factory=list)
    to_rebuild: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """How much Dagster was told."""
        return f"registered: {len(self.new)} new, {len(self.known)} known already"


def register_released(catalogue: Catalogue) -> Iterator[str]:
    """Register a workspace's records; what there is to say about it, a line each.

    Raises:
        UserError: There are no records, they are not whole, or at last, when all else has been
            registered, something is damaged.
    """
    records = read_records(catalogue)
    if not records:
        raise UserError(f"{catalogue.workspace.root / RECORDS}: no records; nothing was released")
    done = register_here(catalogue, records)
    yield done.summary
    if done.superseded:
        yield f"made here since the release, left as they are: {', '.join(done.superseded)}"
    if done.not_pulled:
        yield f"not here, run `dvc pull` and register again: {', '.join(done.not_pulled)}"
    for key in done.to_rebuild:
        yield f"{key}: not kept by DVC; rebuild with {rebuild_hint(key)}"
    if done.damaged:
        raise UserError(
            f"damaged on the way here, not registered: {', '.join(done.damaged)}; remove these "
            "folders and the objects that `dcgan doctor` names, and `dvc pull` again from a remote "
            "that is whole"
        )


def register_here(catalogue: Catalogue, records: dict[str, Record]) -> Registered:
    """`register` in the workspace's own Dagster home."""
    with open_instance(catalogue.workspace) as instance:
        return register(catalogue, instance, records)


def register(
    catalogue: Catalogue, instance: dg.DagsterInstance, records: dict[str, Record]
) -> Registered:
    """Report what Dagster does not know yet, inputs before what is made of them.

    Args:
        records: From `read_records`.
    """
    done = Registered()
    for step in in_order(catalogue, catalogue.steps):
        shards = set(catalogue.shards(step))
        for key in step.outputs:
            entries = records[key].entries if key in records else []
            # Of a release with another number of shards nothing is to be had.
            for entry in entries if {entry.shard for entry in entries} == shards else []:
                _register_entry(catalogue, instance, step, (key, entry), done)
    return done


def _register_entry(
    catalogue: Catalogue,
    instance: dg.DagsterInstance,
    step: Step,
    released: tuple[str, Entry],
    done: Registered,
) -> None:
    key, entry = released
    artefact = catalogue.artefact(key, entry.shard)
    here = catalogue.store.meta(artefact)
    if here is not None and here.fingerprint != entry.fingerprint and _is_left(catalogue, step):
        here = None
    if here is not None and here.fingerprint != entry.fingerprint:
        done.superseded.append(artefact.label)
        return
    if here is None and is_kept(catalogue, step):
        there = catalogue.store.folder(artefact).exists()
        (done.damaged if there else done.not_pulled).append(artefact.label)
        return
    if here is None and not step.transient and key not in done.to_rebuild:
        done.to_rebuild.append(key)
    if _is_known(catalogue, instance, key, entry):
        done.known.append(artefact.label)
        return
    # DVC pulls what a remote holds under a name, and does not hash it again.
    if here is not None and not is_whole(catalogue, artefact, entry):
        done.damaged.append(artefact.label)
        return
    note = {"released": entry.created}
    if here is None:
        note[NOT_HERE] = f"{_why_not_kept(catalogue, step)}; {rebuild_hint(key)} makes it"
    partition = catalogue.partition(step, entry.shard)
    report(instance, step, artefact, entry, "released", note, partition=partition)
    done.new.append(artefact.label)


def _is_left(catalogue: Catalogue, step: Step) -> bool:
    """Whether what lies there is a candidate of another commit, for which the release stands in."""
    return step.transient and not is_current(catalogue, step)


def is_whole(catalogue: Catalogue, artefact: Artefact, entry: Entry) -> bool:
    """Whether the files of an artefact have the data version that was released."""
    store = catalogue.store
    try:
        return store.content_version(store.folder(artefact)) == entry.data_version
    except ValueError:  # a result that is not JSON any more
        return False


def _why_not_kept(catalogue: Catalogue, step: Step) -> str:
    """Why `dvc pull` does not bring what a step made."""
    if step.transient:
        return "only a way to what is published, which stands without it"
    if step.derived:
        return "made in seconds of what came with the clone"
    if catalogue.licence(step) == "restricted":
        return "made of pictures that may not be passed on"
    return "too large for the remote that came with the clone"


def rebuild_hint(key: str) -> str:
    """What to call where an asset is not kept by any remote."""
    return f"`dcgan materialize {key}`"


def _is_known(catalogue: Catalogue, instance: dg.DagsterInstance, key: str, entry: Entry) -> bool:
    """Whether the latest materialisation is that of the entry, by a run or by an earlier call."""
    event = latest_event(catalogue, instance, key, entry.shard)
    if event is None or (event.tags or {}).get(DATA_VERSION) != entry.data_version:
        return False
    partition = catalogue.partition(catalogue.by_key[key], entry.shard)
    if event.partition != partition:
        return False
    fingerprint = event.metadata.get(FINGERPRINT)
    if fingerprint is None or fingerprint.value != entry.fingerprint:
        return False
    return partition is not None or shows_checks(instance, key, entry.checks)


def report(
    instance: dg.DagsterInstance,
    step: Step,
    artefact: Artefact,
    entry: Entry,
    how: str,
    note: Mapping[str, str],
    *,
    partition: str | None = None,
) -> None:
    """Tell Dagster of an artefact that no run made: the materialisation and its checks.

    Args:
        how: It came here, for the description.
        note: Further metadata.
        partition: As `Catalogue.partition` has it.
    """
    instance.report_runless_asset_event(
        _materialization(instance, step, artefact, entry, how, note, partition)
    )
    if artefact.key == step.key:
        for verdict in entry.checks:
            instance.report_runless_asset_event(_evaluation(artefact.key, verdict))


def _materialization(
    instance: dg.DagsterInstance,
    step: Step,
    artefact: Artefact,
    entry: Entry,
    how: str,
    note: Mapping[str, str],
    partition: str | None,
) -> dg.AssetMaterialization:
    facts: dict[str, Any] = {
        FINGERPRINT: entry.fingerprint,
        "seconds": entry.duration_s,
        "files": entry.files,
        "bytes": entry.bytes,
        **({} if entry.seed is None else {"seed": entry.seed}),
        **note,
    }
    told: dict[str, Any] = {**shown.decode(entry.metadata)}
    if NOT_HERE in note:
        told.pop(FIGURES, None)  # files, which are not here either
    return dg.AssetMaterialization(
        asset_key=dg.AssetKey.from_user_string(artefact.key),
        partition=partition,
        description=f"{how}, made on {entry.hardware}" + f"; {NOT_HERE}" * (NOT_HERE in note),
        metadata=told | facts,
        tags={
            "dagster/data_version": entry.data_version,
            "dagster/data_version_is_user_provided": "true",
            "dagster/code_version": entry.code_version,
            **_provenance(instance, step, entry),
        },
    )


def _provenance(instance: dg.DagsterInstance, step: Step, entry: Entry) -> dict[str, str]:
    """Tags that say from which versions of its inputs an artefact was made.

    Of an input in one piece Dagster compares the version. Of one in shards it compares what came
    after the event that the pointer names with what came before: without a real one, a shard that
    changes later would never be noticed.
    """
    tags = {}
    for upstream in (*step.inputs, *step.if_there):
        made = {
            label: made.data_version
            for label, made in entry.inputs.items()
            if split_label(label)[0] == upstream
        }
        versions = [*made.values()]
        whole = versions[0] if len(versions) == 1 else digest_json(made)[:32]
        tags[f"dagster/input_data_version/{upstream}"] = whole if made else _NO_VERSION
        tags[f"dagster/input_event_pointer/{upstream}"] = _pointer(instance, upstream)
    return tags


def _pointer(instance: dg.DagsterInstance, key: str) -> str:
    """The storage id of an asset's latest materialisation, of whatever shard."""
    asset = dg.AssetKey.from_user_string(key)
    records = instance.fetch_materializations(asset, limit=1).records
    return str(records[0].storage_id) if records else _NO_EVENT


def _evaluation(key: str, verdict: dict[str, object]) -> dg.AssetCheckEvaluation:
    facts = verdict["facts"]
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey.from_user_string(key),
        check_name=str(verdict["check"]),
        passed=bool(verdict["passed"]),
        severity=SEVERITY,
        metadata=facts if isinstance(facts, dict) else {},
    )
