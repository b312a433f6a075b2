"""A plan's runs on an engine's workers: submitted to Dagster's queue, and waited for.

Where the instance's launcher is Dagster's default one, or ours, `dcgan materialize` makes
everything itself. Another one starts runs elsewhere: then each batch is a run in the queue, from
which Dagster's daemon hands it to a worker. A run knows nothing of the command that asked for it.
When that is killed the run goes on; the same command finds it by its tag and waits for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import dagster as dg

from dcgan_assets.engine.batch_runs import asset_keys, launch_config, read_outcome
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.dagster_assets import tell_made
from dcgan_assets.engine.engines import database_errors, database_words, quiet_retries
from dcgan_assets.engine.expectations import CODE_TAG, PACKAGES_TAG, ROOT_TAG, code_of, packages
from dcgan_assets.engine.instance import HOST_TAG
from dcgan_assets.engine.schedule import Batch, Outcome, Say, Schedule
from dcgan_models.errors import UserError
from dcgan_models.files import digest_json

if TYPE_CHECKING:
    from dagster._core.workspace.context import WorkspaceProcessContext

T = TypeVar("T")

# The same work has the same value; of those with one value of the other, Dagster starts one at a
# time (dagster.yaml): two commands that ask at once, or ask for other work in the same place.
WORK_TAG, PLACE_TAG = "dcgan/work", "dcgan/place"
# A run whose worker died is tried again, whole: what it had published stands.
_RETRIED = {"dagster/max_retries": "2", "dagster/retry_strategy": "ALL_STEPS"}
_PARTITION_TAG = "dagster/partition"
_LOOK_SECONDS = 0.5
# Each look asks for all runs that are waited for.
_MOST = 200
# Clocks may differ by minutes.
_DAEMON_SECONDS = 600.0
_UNFINISHED = [
    *(dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED),
]


@dataclass
class QueuedRuns:
    """Batches of a plan as runs in Dagster's queue.

    Attributes:
        following: The batches that are waited for, by the id of their run.
        own: Ids of the runs that this command submitted; only those it also stops.
    """

    catalogue: Catalogue
    instance: dg.DagsterInstance
    say: Say
    seed: int | None
    forced: frozenset[str]
    following: dict[str, Batch] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)

    def run(self, schedule: Schedule) -> None:
        """Run all batches of a schedule, and book their outcomes.

        Ctrl-C stops what this command submitted, and waits until that has saved; a second one ends
        the waiting. A command that is killed stops nothing.
        """
        _tell_of_daemon(self.instance, self.say)
        try:
            with _code_location(self.catalogue, self.instance) as context:
                while True:
                    self._hand_out(context, schedule)
                    if not self.following:
                        return
                    self._look(schedule)
        except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
            schedule.report.interrupted = True
        self._stop()
        while self.following:
            self._look(schedule)

    def _hand_out(self, context: WorkspaceProcessContext, schedule: Schedule) -> None:
        while not schedule.report.interrupted and len(self.following) < _MOST:
            batch = schedule.next_batch()
            if batch is None:
                return
            found = self._find(batch)
            run_id = found or self._submit(context, batch)
            self.following[run_id] = batch
            state = "is at it already" if found else "is in the queue"
            self.say(f"{self._label(batch)}: run {run_id[:8]} {state}")

    def _find(self, batch: Batch) -> str | None:
        """The run that does the same work already, whoever asked for it."""
        asked = dg.RunsFilter(tags={WORK_TAG: self._work(batch)}, statuses=_UNFINISHED)
        runs = self._patiently(lambda: self.instance.get_runs(asked, limit=1))
        return runs[0].run_id if runs else None

    def _submit(self, context: WorkspaceProcessContext, batch: Batch) -> str:
        # As heavy as the code server that it speaks to.
        from dagster._core.execution.submit_asset_runs import submit_asset_run
        from dagster._core.utils import make_new_run_id
        from dagster._utils import SingleInstigatorDebugCrashFlags

        run_id = make_new_run_id()
        self.own.add(run_id)
        no_crash: SingleInstigatorDebugCrashFlags = {}
        request = dg.RunRequest(
            asset_selection=asset_keys(batch.steps),
            run_config={"ops": launch_config(batch.steps, self.seed, self.forced)},
            tags=self._tags(batch),
        )

        def submit() -> None:  # no second run: one of this id that is there goes on from there
            asyncio.run(
                submit_asset_run(
                    *(run_id, request, 0, self.instance, context, context.create_request_context()),
                    *({}, no_crash, logging.getLogger(__name__)),
                )
            )

        self._patiently(submit)
        return run_id

    def _tags(self, batch: Batch) -> dict[str, Any]:
        tags: dict[str, Any] = {
            WORK_TAG: self._work(batch),
            PLACE_TAG: self._label(batch),
            CODE_TAG: json.dumps(code_of(self.catalogue, batch.steps)),
            PACKAGES_TAG: json.dumps(packages()),
            ROOT_TAG: str(self.catalogue.workspace.root),
            **_RETRIED,
        }
        partition = self.catalogue.partition(batch.steps[0], batch.shard)
        if partition is not None:
            tags[_PARTITION_TAG] = partition
        return tags

    def _work(self, batch: Batch) -> str:
        return digest_json(
            {
                "place": self._label(batch),
                "code": code_of(self.catalogue, batch.steps),
                "launch": launch_config(batch.steps, self.seed, self.forced),
            }
        )

    def _label(self, batch: Batch) -> str:
        return self.catalogue.artefact(batch.steps[0].key, batch.shard).label

    def _look(self, schedule: Schedule) -> None:
        """Book the runs that have ended since the last look; follow those that are tried again."""
        time.sleep(_LOOK_SECONDS)
        for run in self._runs(self.following):
            if not run.is_finished or self._waits_for_retry(run):
                continue
            batch = self.following.pop(run.run_id)
            again = run.tags.get("dagster/auto_retry_run_id")
            if again is not None:
                self.say(f"{self._label(batch)}: {_where(run)} was lost; tried again")
                self.following[again] = batch
                self.own |= {again} if run.run_id in self.own else set()
            else:
                schedule.finish(batch, self._outcome(run, batch))

    def _waits_for_retry(self, run: dg.DagsterRun) -> bool:
        """Whether a run that failed is about to be tried again, or Dagster has yet to say so."""
        failed = run.status is dg.DagsterRunStatus.FAILURE
        decided = "dagster/will_retry" in run.tags or not self.instance.run_retries_enabled
        return run.is_complete_and_waiting_to_retry or (failed and not decided)

    def _runs(self, run_ids: Collection[str]) -> Sequence[dg.DagsterRun]:
        """Runs as Dagster's records have them now."""
        if not run_ids:  # of which Dagster makes no filter
            return []
        asked = dg.RunsFilter(run_ids=list(run_ids))
        return self._patiently(lambda: self.instance.get_runs(asked))

    def _patiently(self, ask: Callable[[], T]) -> T:
        """What Dagster's records answer; a database that is restarted is waited for."""
        told = False
        while True:
            try:
                with quiet_retries():
                    return ask()
            except Exception as error:
                if not isinstance(error, database_errors()):
                    raise
                if not told:
                    self.say(f"waiting for Dagster's database: {database_words(error)}")
                told = True
                time.sleep(_LOOK_SECONDS)

    def _outcome(self, run: dg.DagsterRun, batch: Batch) -> Outcome:
        kinds = {
            *(dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_FAILURE),
            *(dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.ENGINE_EVENT),
        }
        logs = self._patiently(lambda: self.instance.all_logs(run.run_id, of_type=kinds))
        events = [entry.dagster_event for entry in logs if entry.dagster_event]
        outcome = read_outcome(events, run.status, batch)
        for key in outcome.made:
            artefact = self.catalogue.artefact(key, batch.shard)
            meta = self.catalogue.store.meta(artefact)
            if meta is not None:
                where = f" on {_where(run)}"
                tell_made(self.say, artefact.label, meta, made=meta.run == run.run_id, where=where)
        return outcome

    def _stop(self) -> None:
        """Stop what this command submitted; what another one asked for goes on."""
        others = [run_id for run_id in self.following if run_id not in self.own]
        for run_id in others:
            self.say(
                f"{self._label(self.following.pop(run_id))}: goes on, another command began it"
            )
        for run in self._runs(self.own):
            if not run.is_finished:
                self._patiently(partial(self.instance.run_coordinator.cancel_run, run.run_id))


def _where(run: dg.DagsterRun) -> str:
    return run.tags.get(HOST_TAG, "a worker")


@contextmanager
def _code_location(
    catalogue: Catalogue, instance: dg.DagsterInstance
) -> Iterator[WorkspaceProcessContext]:
    """The code location of a workspace.yaml, in a code server of this command.

    Raises:
        UserError: It cannot be loaded.
    """
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget

    path = catalogue.workspace.root / "workspace.yaml"
    if not path.is_file():
        raise UserError(f"{path} is missing; the engine's workers load what it names")
    target = WorkspaceFileTarget([str(path)])
    with WorkspaceProcessContext(instance, target, code_server_log_level="ERROR") as context:
        entries: Mapping[str, Any] = context.create_request_context().get_code_location_entries()
        for name, entry in entries.items():
            if entry.load_error:
                words = " ".join(entry.load_error.message.split())
                raise UserError(f"{path}: {name} cannot be loaded: {words}")
        yield context


def _tell_of_daemon(instance: dg.DagsterInstance, say: Say) -> None:
    """Say so where nobody would take a run from the queue, or could hand it on."""
    beat = instance.get_daemon_heartbeats().get("QUEUED_RUN_COORDINATOR")
    if beat is None or abs(time.time() - beat.timestamp) > _DAEMON_SECONDS:
        say("no Dagster daemon has been seen; runs wait in the queue until `dcgan ui` is at work")
    complain = getattr(instance.run_launcher, "complaint", None)
    if complain is not None and (line := complain()):
        say(f"{line}; runs wait until it does")
