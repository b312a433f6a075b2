"""The plan of `dcgan materialize`: which assets are stale, why, and in which order they are made.

Work is cut into runs of Dagster's one implicit asset job (`schedule.py`). (A run over a range of
shards would give them all one data version.) Runs, checks and metadata are the same as those that
the web UI starts. What failed blocks only what needs it.
"""

from __future__ import annotations

import graphlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.fingerprint import is_current, place_order, standing
from dcgan_assets.engine.step import Step
from dcgan_assets.engine.store import Meta
from dcgan_assets.engine.terminal import unknown
from dcgan_assets.engine.versions import memory
from dcgan_models.errors import UserError

Item = tuple[Step, str | None]


@dataclass(frozen=True)
class Plan:
    """The steps and shards that a run will make, in order.

    Attributes:
        items: Steps and shards, each with the reason why.
        current: The others, each with the record of what stands there; None where that need not
            be, as what was made of it is up to date.
    """

    items: dict[tuple[str, str | None], str]
    current: dict[tuple[str, str | None], Meta | None]


def choose_steps(catalogue: Catalogue, names: Sequence[str]) -> list[Step]:
    """The steps that keys or groups name, all of them where there are no names.

    Optional steps are chosen by their key alone.

    Raises:
        UserError: A name is neither; the line names the nearest ones.
    """
    groups = sorted({step.group for step in catalogue.steps})
    chosen: list[Step] = []
    for name in names:
        members = [s for s in catalogue.steps if name == s.group and not s.optional]
        found = members or [s for s in catalogue.steps if name in s.outputs]
        if not found:
            where = f"groups: {', '.join(groups)}; `dcgan ui` shows all assets"
            raise unknown("asset or group", name, [*groups, *catalogue.by_key], where)
        chosen += found
    return in_order(catalogue, chosen or [s for s in catalogue.steps if not s.optional])


def with_ancestors(catalogue: Catalogue, steps: Iterable[Step]) -> list[Step]:
    """Steps and everything that they are made from, in order."""
    wanted: dict[str, Step] = {}
    waiting = list(steps)
    while waiting:
        step = waiting.pop()
        if step.key not in wanted:
            wanted[step.key] = step
            waiting += [catalogue.by_key[key] for key in step.inputs]
    return in_order(catalogue, wanted.values())


def in_order(catalogue: Catalogue, steps: Iterable[Step]) -> list[Step]:
    """Steps in topological order, without repetition."""
    wanted = {step.key: step for step in steps}
    graph = {
        s.key: {catalogue.by_key[key].key for key in (*s.inputs, *s.if_there)}
        for s in catalogue.steps
    }
    order = graphlib.TopologicalSorter(graph).static_order()
    return [wanted[key] for key in order if key in wanted]


def make_plan(
    catalogue: Catalogue,
    instance: dg.DagsterInstance,
    steps: Sequence[Step],
    *,
    named: Collection[str] = (),
    shard: str | None = None,
    forced: Collection[str] = (),
) -> Plan:
    """Say which steps and shards need a run, and why.

    Args:
        steps: In order, ancestors included where they are to come along.
        named: Keys that the user wrote out. A transient asset that is named without what is made
            of it runs even where a published descendant makes it unnecessary.
        shard: Only this shard of sharded steps.
        forced: Keys of steps to run in any case.
    """
    items: dict[tuple[str, str | None], str] = {}
    current: dict[tuple[str, str | None], Meta | None] = {}
    wanted = _wanted(catalogue, named, forced)
    for step in steps:
        for name in catalogue.shards(step):
            if shard is not None and name not in {shard, None}:
                continue
            found: str | Meta | None = _reason_or_record(catalogue, instance, (step, name), items)
            if step.key in forced:
                found = "asked for"
            elif _is_away(catalogue, step) and step.key not in wanted:
                if found == _ANEW:
                    found = PERHAPS
                elif isinstance(found, str) and stood_in(catalogue, step):
                    found = None
            if isinstance(found, str):
                items[step.key, name] = found
            else:
                current[step.key, name] = found
    memory.remember()  # a second of parsing, which every command would pay for
    return Plan(items, current)


_ABSENT = "not there yet"
_ANEW = "its inputs are made anew"
PERHAPS = "its inputs are made anew; not needed where they come out the same"
UNRECORDED = "Dagster has no record of it"
DATA_VERSION = "dagster/data_version"


def _reason_or_record(
    catalogue: Catalogue,
    instance: dg.DagsterInstance,
    item: Item,
    planned: dict[tuple[str, str | None], str],
) -> str | Meta:
    """Why a step must run, given what runs before it; the record of its asset where it need not."""
    step, shard = item
    read = [a for artefacts in catalogue.read_by(step, shard).values() for a in artefacts]
    upstream = {(catalogue.by_key[artefact.key].key, artefact.shard) for artefact in read}
    # What is only to be recorded, as after `dvc pull`, stays as it is.
    if upstream & {other for other, reason in planned.items() if reason != UNRECORDED}:
        return _ANEW
    try:
        order = place_order(catalogue, step, shard)
    except UserError as error:
        return str(error)
    metas = standing(catalogue, order)
    if metas is None:
        there = all(catalogue.store.meta(artefact) for artefact in order.outputs)
        return "code, parameters, seed or inputs changed" if there else _ABSENT
    if not all(_is_recorded(catalogue, instance, meta) for meta in metas):
        return UNRECORDED
    # Shards share their asset's checks: the latest result may be another one's.
    partition = catalogue.partition(step, shard)
    if partition is None and not shows_checks(instance, metas[0].key, metas[0].checks):
        return UNRECORDED
    return metas[0]


def require_places(catalogue: Catalogue, plan: Plan) -> None:
    """Refuse a plan where anything that is not ours lies in a place that it writes.

    Raises:
        UserError: The line names the first such file. Nothing has been made then.
    """
    for step in (catalogue.by_key[key] for key in dict.fromkeys(key for key, _ in plan.items)):
        for key in step.outputs:
            catalogue.store.require_ours(key, step.kind)


def shows_checks(
    instance: dg.DagsterInstance, key: str, checks: Iterable[Mapping[str, Any]]
) -> bool:
    """Whether Dagster's latest checks are those of what is published, and not of a refused one."""
    asset = dg.AssetKey.from_user_string(key)
    wanted = {
        dg.AssetCheckKey(asset, verdict["check"]): "SUCCEEDED" if verdict["passed"] else "FAILED"
        for verdict in checks
    }
    # One question for all of them: `status` has two hundred.
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key([*wanted])
    return all(
        check in latest and latest[check].status.value == status for check, status in wanted.items()
    )


def _wanted(catalogue: Catalogue, named: Collection[str], forced: Collection[str]) -> set[str]:
    """Keys of transient steps that no published descendant makes unnecessary.

    Those that are asked for themselves, and not as the way to what is named too, as in the
    commands of dvc.yaml; and what leads to them, and to what is made again by force.
    """
    consumers = {
        step.key: [s for s in catalogue.steps if set(step.outputs) & set(s.inputs)]
        for step in catalogue.steps
    }
    asked = {key for key in named if not any(s.key in named for s in consumers.get(key, ()))}
    waiting, wanted = [*asked, *forced], set[str]()
    while waiting:
        key = waiting.pop()
        step = catalogue.by_key.get(key)
        if step is None:  # a group's name
            continue
        wanted |= {key} if step.transient else set()
        if step.transient or key in forced:
            waiting += [k for k in step.inputs if catalogue.by_key[k].transient]
    return wanted


def _is_away(catalogue: Catalogue, step: Step) -> bool:
    """Whether a transient asset does not lie there as it would be made today."""
    return step.transient and not is_current(catalogue, step)


def stood_in(catalogue: Catalogue, step: Step) -> bool:
    """Whether a transient asset that is not there need not be made: all made of it is current."""
    consumers = [s for s in catalogue.steps if set(step.outputs) & set(s.inputs)]
    if not (_is_away(catalogue, step) and consumers):
        return False
    return all(
        is_current(catalogue, consumer) or stood_in(catalogue, consumer) for consumer in consumers
    )


def _is_recorded(catalogue: Catalogue, instance: dg.DagsterInstance, meta: Meta) -> bool:
    """Whether Dagster's latest record of an artefact is of what is published, and in its form.

    An asset that had partitions and has none any more, as its sole shard is none, is told of again,
    and so is what Dagster remembers to have been made from its partitions.
    """
    step = catalogue.by_key[meta.key]
    event = latest_event(catalogue, instance, meta.key, meta.shard)
    if event is None or event.partition != catalogue.partition(step, meta.shard):
        return False
    tags = event.tags or {}
    if tags.get(DATA_VERSION) != meta.data_version:
        return False
    for key in (*step.inputs, *step.if_there):
        shards = catalogue.shards(catalogue.by_key[key])
        remembered = tags.get(f"dagster/input_data_version/{key}")
        if len(shards) == 1 and shards != (None,) and remembered is not None:
            upstream = latest_event(catalogue, instance, key, shards[0])
            if upstream and (upstream.tags or {}).get(DATA_VERSION) != remembered:
                return False
    return True


def latest_event(
    catalogue: Catalogue, instance: dg.DagsterInstance, key: str, shard: str | None
) -> dg.AssetMaterialization | None:
    """The latest materialisation of an asset, or of a shard of it, that Dagster knows of."""
    partition = catalogue.partition(catalogue.by_key[key], shard)
    wanted = dg.AssetRecordsFilter(
        asset_key=dg.AssetKey.from_user_string(key),
        asset_partitions=[partition] if partition is not None else None,
    )
    records = instance.fetch_materializations(wanted, limit=1).records
    return records[0].asset_materialization if records else None
