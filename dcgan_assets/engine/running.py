"""Running a plan: Dagster's in-process runs, one after another or in lanes."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property

import dagster as dg

from dcgan_assets.engine.batch_runs import asset_keys, launch_config, read_outcome
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.dagster_assets import dagster_asset
from dcgan_assets.engine.instance import (
    claim_place,
    close_dead_runs,
    describe_run,
    has_engine,
    pool_holder,
    process_tags,
    release_ended_run,
)
from dcgan_assets.engine.lanes import Lanes
from dcgan_assets.engine.liveness import alive
from dcgan_assets.engine.planning import Plan, require_places
from dcgan_assets.engine.schedule import Batch, Outcome, Report, Say, Schedule
from dcgan_assets.engine.step import GPU, PHOTOS, WEB, Step
from dcgan_assets.engine.submitting import QueuedRuns
from dcgan_models.machine import may_use_gpu

_POOL_SECONDS = 1.0


_SAY_SECONDS = 60.0


_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def run_plan(
    catalogue: Catalogue,
    instance: dg.DagsterInstance,
    plan: Plan,
    say: Say,
    *,
    seed: int | None = None,
    forced: Collection[str] = (),
    jobs: int = 1,
    here: bool = False,
) -> Report:
    """Run a plan's batches in order; go on past failures with what does not need them.

    Where the instance has an engine's launcher they are submitted to Dagster's queue. Else the
    assets are those of the web UI but for their hooks: whoever calls books what was made.

    Args:
        seed: For every seeded step of the plan.
        forced: Keys of steps to make again even where nothing has changed.
        jobs: How many batches may run at once, each in a process of its own; 1: in this one.
        here: Whether everything is made on this machine, whatever the launcher.
    """
    require_places(catalogue, plan)
    if has_engine(instance) and not here:
        schedule = Schedule(catalogue, plan, say, {GPU, PHOTOS, WEB})
        QueuedRuns(catalogue, instance, say, seed, frozenset(forced)).run(schedule)
        return schedule.report
    # Without a GPU the lanes share the command's one place among those that train.
    shared = jobs > 1 and not may_use_gpu(catalogue.workspace.params.machine.device)
    schedule = Schedule(catalogue, plan, say, {GPU} if shared else set())
    run_batch = BatchRun(
        catalogue, _planned_and_read(catalogue, plan), say, seed, frozenset(forced), shared
    )
    if jobs > 1:
        try:
            with _place_of_all(catalogue, instance, plan, say) if shared else nullcontext():
                Lanes(catalogue, run_batch, instance, jobs).run(schedule)
        except KeyboardInterrupt:  # while it waited
            schedule.report.interrupted = True
        return schedule.report
    while not schedule.report.interrupted and (batch := schedule.next_batch()):
        schedule.finish(batch, run_batch(instance, batch))
    return schedule.report


@dataclass(frozen=True)
class BatchRun:
    """Runs of Dagster's implicit asset job, of the steps of a plan and those that they read of.

    Attributes:
        shared: Whether whoever calls has the place in the pool `gpu` that trainings need.
    """

    catalogue: Catalogue
    steps: Sequence[Step]
    say: Say
    seed: int | None
    forced: frozenset[str]
    shared: bool

    @cached_property
    def _job(self) -> dg.JobDefinition:
        assets = [dagster_asset(self.catalogue, self._placed(step)) for step in self.steps]
        return dg.Definitions(assets=assets).resolve_implicit_global_asset_job_def()

    def _placed(self, step: Step) -> Step:
        """A step as it needs a place of its own in a pool."""
        return replace(step, pool=None) if self.shared and step.pool == GPU else step

    def __call__(self, instance: dg.DagsterInstance, batch: Batch) -> Outcome:
        """Make a batch as one run; it counts as alive from before Dagster knows of it."""
        run_id = str(uuid.uuid4())
        launch = launch_config(batch.steps, self.seed, self.forced)
        first = self._placed(batch.steps[0])
        try:
            with (
                alive(instance, run_id),
                _place(self.catalogue, instance, run_id, first, self.say),
            ):
                result = self._job.execute_in_process(
                    instance=instance,
                    run_id=run_id,
                    asset_selection=asset_keys(batch.steps),
                    partition_key=self.catalogue.partition(batch.steps[0], batch.shard),
                    raise_on_error=False,
                    tags=process_tags(),
                    run_config={**_QUIET, "ops": launch},
                )
        except KeyboardInterrupt:
            return Outcome(interrupted=True)
        return read_outcome(result.all_events, result.dagster_run.status, batch)


def _planned_and_read(catalogue: Catalogue, plan: Plan) -> list[Step]:
    """The steps of a plan and those that they read of: the others would cost each run its time."""
    planned = {catalogue.by_key[key] for key, _ in plan.items}
    read = {catalogue.by_key[key] for step in planned for key in (*step.inputs, *step.if_there)}
    return [step for step in catalogue.steps if step in planned or step in read]


@contextmanager
def _place_of_all(
    catalogue: Catalogue, instance: dg.DagsterInstance, plan: Plan, say: Say
) -> Iterator[None]:
    """One place in the pool `gpu` for all that a plan trains, freed as that of a run is."""
    steps = (catalogue.by_key[key] for key, _ in plan.items)
    first = next((step for step in steps if step.pool == GPU), None)
    if first is None:
        yield
        return
    run_id = str(uuid.uuid4())
    with alive(instance, run_id), _place(catalogue, instance, run_id, first, say):
        yield


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
