"""`dcgan materialize`: bring assets up to date, in order, in this process.

Work is cut into waves of runs of Dagster's one implicit asset job: steps with the same shards
form a batch; a batch in one piece is one run, a sharded batch one run a shard. (A run over a
range of shards would give them all one data version.) Runs, checks and metadata are the same as
those that the web UI starts. What failed blocks only what needs it.
"""

from __future__ import annotations

import graphlib
import math
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from dcgan_assets.engine.instance import (
    claim_place,
    close_dead_runs,
    describe_run,
    pool_holder,
    process_tags,
    release_ended_run,
)
from dcgan_assets.engine.liveness import alive
from dcgan_assets.engine.names import unknown
from dcgan_assets.engine.step import Catalogue, Step, is_current, place_order, standing
from dcgan_assets.releases.commit import LATER_TAG
from dcgan_models.errors import UserError

Say = Callable[[str], None]
Item = tuple[Step, str | None]

_POOL_SECONDS = 1.0
_SAY_SECONDS = 60.0
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Plan:
    """What is to be run, in order.

    Attributes:
        items: Steps and shards, each with the reason why.
        current: How many others are up to date.
    """

    items: dict[tuple[str, str | None], str]
    current: int


@dataclass
class Report:
    """How a materialisation went.

    Attributes:
        made: Labels that ran.
        failed: Labels with the one line that says why.
        blocked: Labels that were not run because of them.
    """

    made: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: list[str] = field(default_factory=list)
    interrupted: bool = False


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
    current = 0
    wanted = _wanted(catalogue, named, forced)
    for step in steps:
        for name in catalogue.shards(step):
            if shard is not None and name not in {shard, None}:
                continue
            reason = _reason(catalogue, instance, (step, name), items)
            if step.key in forced:
                reason = "asked for"
            elif _is_away(catalogue, step) and step.key not in wanted:
                if reason == _ANEW:
                    reason = _PERHAPS
                elif reason is not None and _stood_in(catalogue, step):
                    reason = None
            if reason is None:
                current += 1
            else:
                items[step.key, name] = reason
    return Plan(items, current)


_ABSENT = "not there yet"
_ANEW = "its inputs are made anew"
_PERHAPS = "its inputs are made anew; not needed where they come out the same"
UNRECORDED = "Dagster has no record of it"


def _reason(
    catalogue: Catalogue,
    instance: dg.DagsterInstance,
    item: Item,
    planned: dict[tuple[str, str | None], str],
) -> str | None:
    """Why a step must run, given what runs before it; None where it need not."""
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
    for meta in metas:
        if recorded_version(instance, meta.key, shard) != meta.data_version:
            return UNRECORDED
    # Shards share their asset's checks: the latest result may be another one's.
    if shard is None and not shows_checks(instance, metas[0].key, metas[0].checks):
        return UNRECORDED
    return None


def shows_checks(
    instance: dg.DagsterInstance, key: str, checks: Iterable[Mapping[str, Any]]
) -> bool:
    """Whether Dagster's latest checks are those of what is published, and not of a refused one."""
    asset = dg.AssetKey.from_user_string(key)
    for verdict in checks:
        check = dg.AssetCheckKey(asset, verdict["check"])
        record = instance.get_latest_asset_check_evaluation_record(check)
        status = "SUCCEEDED" if verdict["passed"] else "FAILED"
        if record is None or record.status.value != status:
            return False
    return True


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


def _stood_in(catalogue: Catalogue, step: Step) -> bool:
    """Whether a transient asset that is away is not needed: all that is made of it is current."""
    consumers = [s for s in catalogue.steps if set(step.outputs) & set(s.inputs)]
    if not (_is_away(catalogue, step) and consumers):
        return False
    return all(
        is_current(catalogue, consumer) or _stood_in(catalogue, consumer) for consumer in consumers
    )


def recorded_version(instance: dg.DagsterInstance, key: str, shard: str | None) -> str | None:
    """The data version of an asset's latest materialisation in Dagster's records."""
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(
            asset_key=dg.AssetKey.from_user_string(key),
            asset_partitions=[shard] if shard is not None else None,
        ),
        limit=1,
    ).records
    if not records or records[0].asset_materialization is None:
        return None
    return (records[0].asset_materialization.tags or {}).get("dagster/data_version")


def run_plan(
    catalogue: Catalogue,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    plan: Plan,
    say: Say,
    *,
    seed: int | None = None,
    forced: Collection[str] = (),
) -> Report:
    """Run a plan's batches in order; go on past failures with what does not need them.

    Args:
        seed: For every seeded step of the plan.
        forced: Keys of steps to make again even where nothing has changed.
    """
    job = definitions.resolve_implicit_global_asset_job_def()
    report = Report()
    stopped: set[tuple[str, str | None]] = set()
    for batch, shard in batches(catalogue, plan):
        ready = []
        for step in batch:
            # A clone has pulled the networks, and has just made the pictures again.
            if plan.items[step.key, shard] == _PERHAPS and _stood_in(catalogue, step):
                say(f"{step.key}: not needed, its inputs came out the same")
            elif _needs(catalogue, step, shard) & stopped:
                stopped.add((step.key, shard))
                report.blocked.append(catalogue.artefact(step.key, shard).label)
            else:
                ready.append(step)
        if not ready:
            continue
        run_id = str(uuid.uuid4())
        try:
            with alive(instance, run_id), _place(catalogue, instance, run_id, ready[0], say):
                result = job.execute_in_process(
                    instance=instance,
                    run_id=run_id,
                    asset_selection=_asset_keys(ready),
                    partition_key=shard,
                    raise_on_error=False,
                    tags={**process_tags(), LATER_TAG: "at the end"},
                    run_config={**_QUIET, "ops": _launch_config(ready, seed, forced)},
                )
        except KeyboardInterrupt:
            report.interrupted = True
            break
        _read_result(catalogue, result, (ready, shard), stopped, report)
        if report.interrupted:
            break
    return report


def batches(catalogue: Catalogue, plan: Plan) -> list[tuple[list[Step], str | None]]:
    """Neighbours in the plan with the same shards, as one run each (one a shard)."""
    batches: list[tuple[list[Step], list[str | None]]] = []
    keys = list(dict.fromkeys(key for key, _ in plan.items))
    for key in keys:
        step = catalogue.by_key[key]
        shards = [shard for other, shard in plan.items if other == key]
        last = batches[-1] if batches else None
        # Whether it is needed is known when what is before it has run; and its place in a pool is
        # waited for before its run begins.
        waits = plan.items[key, shards[0]] == _PERHAPS or step.pool is not None
        # The same partitions, and the same ones of them to make. What reads something if it is
        # there has a run of its own: Dagster skips it where that fails in the same run.
        same = last and last[1] == shards and catalogue.shards(last[0][0]) == catalogue.shards(step)
        if last and same and not waits and not _may_read(step, last[0]):
            last[0].append(step)
        else:
            batches.append(([step], shards))
    return [(steps, shard) for steps, shards in batches for shard in shards]


def _may_read(step: Step, others: Iterable[Step]) -> bool:
    return any(key in step.if_there for other in others for key in other.outputs)


def _needs(catalogue: Catalogue, step: Step, shard: str | None) -> set[tuple[str, str | None]]:
    read = catalogue.read_by(step, shard)
    return {
        (catalogue.by_key[artefact.key].key, artefact.shard)
        for key in step.inputs
        for artefact in read[key]
    }


def _asset_keys(steps: Iterable[Step]) -> list[dg.AssetKey]:
    return [dg.AssetKey.from_user_string(key) for step in steps for key in step.outputs]


def _launch_config(
    steps: Iterable[Step], seed: int | None, forced: Collection[str]
) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for step in steps:
        launch: dict[str, Any] = {"force": step.key in forced}
        if step.seeded and seed is not None:
            launch["seed"] = seed
        config[step.op_name] = {"config": launch}
    return config


@contextmanager
def _place(
    catalogue: Catalogue, instance: dg.DagsterInstance, run_id: str, step: Step, say: Say
) -> Iterator[None]:
    """A place in the pool of a run's first step, where it needs one, until the run is over.

    Dagster would wait for it as well, but without a word, for the place of a dead process for
    ever, and deaf to Ctrl-C. So no step but the first of a run needs one (see `batches`).
    """
    if step.pool is None:
        yield
        return
    began, said = time.monotonic(), -math.inf
    while not claim_place(instance, step.pool, run_id, step.op_name):
        waited = time.monotonic() - began
        holder = pool_holder(instance, step.pool)
        if waited - said >= _SAY_SECONDS:
            said = waited
            say(_waiting_line(catalogue, instance, step.pool, holder, waited))
        time.sleep(_POOL_SECONDS)
        close_dead_runs(instance)
        if holder:
            release_ended_run(instance, holder[0])
    try:
        yield
    finally:
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)


def _waiting_line(
    catalogue: Catalogue,
    instance: dg.DagsterInstance,
    pool: str,
    holder: tuple[str, str] | None,
    waited: float,
) -> str:
    so_far = f" (for {waited / 60:.0f} min so far)" if waited >= _SAY_SECONDS else ""
    if holder is None:
        return f"waiting for the {pool} pool{so_far}: it has no free place"
    run_id, op = holder
    what = next((step.key for step in catalogue.steps if step.op_name == op), op)
    return f"waiting for the {pool} pool{so_far}: held by {describe_run(instance, run_id, what)}"


def _read_result(
    catalogue: Catalogue,
    result: Any,
    batch: tuple[list[Step], str | None],
    stopped: set[tuple[str, str | None]],
    report: Report,
) -> None:
    """Sort a finished run's steps into made, failed and blocked."""
    steps, shard = batch
    succeeded = {event.step_key for event in result.all_events if event.is_step_success}
    failures = {event.step_key: event for event in result.all_events if event.is_step_failure}
    for step in steps:
        name = step.op_name
        label = catalogue.artefact(step.key, shard).label
        if name in succeeded:
            report.made.append(label)
            continue
        stopped.add((step.key, shard))
        if name not in failures:
            report.blocked.append(label)
            continue
        data = failures[name].step_failure_data
        if _was_interrupted(data.error):
            report.interrupted = True
        else:
            report.failed[label] = _failure_line(data)
    report.interrupted |= result.dagster_run.status == dg.DagsterRunStatus.CANCELED


def _was_interrupted(error: Any) -> bool:
    while error is not None:
        if error.cls_name == "DagsterExecutionInterruptedError":
            return True
        error = error.cause
    return False


def _failure_line(data: Any) -> str:
    """The message of a `UserError`; the whole traceback of anything else, which is our bug."""
    if data.user_failure_data is not None and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    return str(data.error_display_string)
