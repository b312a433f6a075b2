"""Lanes: processes that run the batches of a plan beside one another.

A training of the sample profile's size gains little from a second core, and what does not train
nothing: several groups at once keep all cores busy. Each lane has an equal share of them, whatever
the others do at the time.

A lane is a fork of the command's process: it has the catalogue, and needs no start-up. It is a
session of its own, so that Ctrl-C comes to the command alone, which hands it on once; and it ends
with the command, however that ends.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType

import dagster as dg

from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.instance import close_dead_runs
from dcgan_assets.engine.planning import Plan
from dcgan_assets.engine.schedule import Batch, Outcome, Schedule
from dcgan_assets.engine.step import GPU
from dcgan_assets.engine.terminal import share_terminal
from dcgan_models.errors import UserError
from dcgan_models.machine import available_cores, chosen_threads, die_with_parent

RunBatch = Callable[[dg.DagsterInstance, Batch], Outcome]
_MOST = 4
# A lane's threads, where nobody has chosen their number: for what divides them further.
SHARE_VARIABLE = "DCGAN_LANE_THREADS"
_ASKED = (signal.SIGINT, signal.SIGTERM)


def usual_jobs(catalogue: Catalogue, plan: Plan) -> int:
    """How many lanes a plan gets; 1: it runs in the command itself, with all cores.

    As many as groups train in it and as there are cores, four at most; one where a process cannot
    be forked without harm, as on macOS.
    """
    if not sys.platform.startswith("linux"):
        return 1
    steps = (catalogue.by_key[key] for key, _ in plan.items)
    groups = {step.group for step in steps if step.pool == GPU}
    return max(1, min(_MOST, len(groups), available_cores() // (chosen_threads() or 1)))


@dataclass(frozen=True)
class Lanes:
    """What each lane needs: the command's catalogue, its way of running a batch, Dagster's records.

    Attributes:
        jobs: How many lanes there may be.
    """

    catalogue: Catalogue
    run_batch: RunBatch
    instance: dg.DagsterInstance
    jobs: int

    def run(self, schedule: Schedule) -> None:
        """Run all batches of a schedule, and book their outcomes.

        A lane that is lost fails what it was making, and another one takes its place.
        """
        lanes: dict[Connection, _Lane] = {}
        with _handing_on(schedule, lanes):
            try:
                while True:
                    self._hand_out(schedule, lanes)
                    busy = [pipe for pipe, lane in lanes.items() if lane.batch]
                    if not busy:
                        break
                    ended = wait(busy)
                    for pipe in busy:
                        if pipe in ended:
                            self._book(schedule, lanes, pipe)
            finally:
                for lane in lanes.values():
                    lane.dismiss()

    def _hand_out(self, schedule: Schedule, lanes: dict[Connection, _Lane]) -> None:
        """Give what can be run now to free lanes, new ones included."""
        for pipe in [pipe for pipe, lane in lanes.items() if lane.is_gone()]:
            lanes.pop(pipe).dismiss()
        while not schedule.report.interrupted:
            free = next((lane for lane in lanes.values() if lane.batch is None), None)
            if free is None and len(lanes) == self.jobs:
                return
            with _held_back():  # between these lines it would be handed on to nobody
                batch = schedule.next_batch()
                if batch is None:
                    return
                (free or self._new_lane(lanes)).begin(batch)

    def _new_lane(self, lanes: dict[Connection, _Lane]) -> _Lane:
        here, there = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(
            target=self._serve, args=(there, [*lanes, here])
        )
        process.start()
        there.close()
        lanes[here] = lane = _Lane(process, here)
        return lane

    def _serve(self, pipe: Connection, others: list[Connection]) -> None:
        """What a lane does: run what comes through the pipe, until the command closes it."""
        os.setsid()
        die_with_parent()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for other in others:  # else theirs would not be seen to be closed
            other.close()
        if chosen_threads() is None:
            share = str(max(1, available_cores() // self.jobs))
            os.environ.update({"OMP_NUM_THREADS": share, SHARE_VARIABLE: share})
        share_terminal()
        with (
            suppress(KeyboardInterrupt, EOFError),
            dg.DagsterInstance.from_ref(self.instance.get_ref()) as instance,
        ):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ASKED)  # held back until here
            while True:
                outcome = self._try(instance, *pipe.recv())
                _leave_gpu()
                pipe.send(outcome)

    def _try(
        self, instance: dg.DagsterInstance, keys: tuple[str, ...], shard: str | None
    ) -> Outcome:
        batch = Batch(tuple(self.catalogue.by_key[key] for key in keys), shard)
        try:
            return self.run_batch(instance, batch)
        except UserError as error:
            return Outcome(failed=dict.fromkeys(keys, str(error)))

    def _book(self, schedule: Schedule, lanes: dict[Connection, _Lane], pipe: Connection) -> None:
        """Take what a lane has to say of its batch, or that it is gone."""
        lane = lanes[pipe]
        assert lane.batch is not None  # noqa: S101  (only busy lanes are asked)
        try:
            outcome = pipe.recv()
        except (EOFError, ConnectionError):
            del lanes[pipe]
            lane.dismiss()
            close_dead_runs(self.instance)
            ended = schedule.report.interrupted and lane.process.exitcode == 0
            outcome = (
                Outcome(interrupted=True) if ended else _lost(lane.batch, lane.process.exitcode)
            )
        schedule.finish(lane.batch, outcome)
        lane.batch = None


@dataclass
class _Lane:
    process: BaseProcess
    pipe: Connection
    batch: Batch | None = None

    def begin(self, batch: Batch) -> None:
        self.batch = batch
        with suppress(ConnectionError):  # it has just died: the end of its pipe says so
            self.pipe.send((tuple(step.key for step in batch.steps), batch.shard))

    def is_gone(self) -> bool:
        """Whether it died without work, which nothing else would tell."""
        return self.batch is None and not self.process.is_alive()

    def interrupt(self) -> None:
        """Ask for an end of what it is at; a second time, for an end at once."""
        if self.process.pid is not None and self.process.is_alive():
            os.kill(self.process.pid, signal.SIGINT)

    def dismiss(self) -> None:
        """Let it end, and stop what it may still be at."""
        if self.batch is not None:
            self.interrupt()
        self.pipe.close()
        self.process.join()


@contextmanager
def _held_back() -> Iterator[None]:
    """Deliver what is asked of this process after the block; nobody is asked in the middle."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ASKED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_gpu() -> None:
    """Give back what torch keeps of a GPU's memory for later: another lane may train next."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()


def _lost(batch: Batch, code: int | None) -> Outcome:
    how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    line = f"its process was lost ({how}); the same command goes on from what is saved"
    return Outcome(failed={step.key: line for step in batch.steps})


@contextmanager
def _handing_on(schedule: Schedule, lanes: dict[Connection, _Lane]) -> Iterator[None]:
    """Hand on to the lanes at work what is asked of the command by Ctrl-C or SIGTERM."""

    def hand_on(number: int, frame: FrameType | None) -> None:
        schedule.report.interrupted = True
        for lane in lanes.values():
            if lane.batch is not None:
                lane.interrupt()

    previous = {asked: signal.signal(asked, hand_on) for asked in _ASKED}
    try:
        yield
    finally:
        for asked, handler in previous.items():
            signal.signal(asked, handler)
