"""Running a plan: waves of Dagster's in-process runs, and what came of them."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.dagster_assets import dagster_asset
from dcgan_assets.engine.instance import (
    claim_place,
    close_dead_runs,
    describe_run,
    pool_holder,
    process_tags,
    release_ended_run,
)
from dcgan_assets.engine.liveness import alive
from dcgan_assets.engine.planning import PERHAPS, Plan, stood_in
from dcgan_assets.engine.step import Step

Say = Callable[[str], None]


_POOL_SECONDS = 1.0


_SAY_SECONDS = 60.0


_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Report:
    """What `dcgan materialize` made, what failed, and what was not run because of that.

    Attributes:
        made: Labels that ran.
        failed: Labels with the one line that says why.
        blocked: Labels that were not run because of them.
    """

    made: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: list[str] = field(default_factory=list)
    interrupted: bool = False


def run_plan(
    catalogue: Catalogue,
    instance: dg.DagsterInstance,
    plan: Plan,
    say: Say,
    *,
    seed: int | None = None,
    forced: Collection[str] = (),
) -> Report:
    """Run a plan's batches in order; go on past failures with what does not need them.

    The assets are those of the web UI but for their hooks: whoever calls books what was made.

    Args:
        seed: For every seeded step of the plan.
        forced: Keys of steps to make again even where nothing has changed.
    """
    assets = [dagster_asset(catalogue, step) for step in catalogue.steps]
    job = dg.Definitions(assets=assets).resolve_implicit_global_asset_job_def()
    report = Report()
    stopped: set[tuple[str, str | None]] = set()
    for batch, shard in batches(catalogue, plan):
        # What of the batch still has a reason and its inputs.
        ready = []
        for step in batch:
            # A clone has pulled the networks, and has just made the pictures again.
            if plan.items[step.key, shard] == PERHAPS and stood_in(catalogue, step):
                say(f"{step.key}: not needed, its inputs came out the same")
            elif _needs(catalogue, step, shard) & stopped:
                stopped.add((step.key, shard))
                report.blocked.append(catalogue.artefact(step.key, shard).label)
            else:
                ready.append(step)
        if not ready:
            continue
        # One run; it counts as alive from before Dagster knows of it.
        run_id = str(uuid.uuid4())
        try:
            with alive(instance, run_id), _place(catalogue, instance, run_id, ready[0], say):
                result = job.execute_in_process(
                    instance=instance,
                    run_id=run_id,
                    asset_selection=_asset_keys(ready),
                    partition_key=shard,
                    raise_on_error=False,
                    tags=process_tags(),
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
        waits = plan.items[key, shards[0]] == PERHAPS or step.pool is not None
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
