"""Runs beside each other, each in a process of its own: same outcomes, and nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psutil
import pytest
from small_graph import SmallGraph, write_workspace

from dcgan_assets.engine.lanes import Lanes
from dcgan_assets.engine.planning import in_order, make_plan
from dcgan_assets.engine.schedule import Batch, Outcome, Schedule

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="lanes are forks, on Linux alone")

# `dcgan materialize --jobs 2` on two of the small graph's steps: one waits to be stopped.
_COMMAND = """
import sys
import time
from pathlib import Path
from small_graph import open_graph
from dcgan_assets.cli.materialize import Request, bring_up_to_date
graph = open_graph(Path(sys.argv[1]), ("patient", "constant"))
sys.exit(bring_up_to_date(graph, Request(jobs=2)))
"""


@pytest.fixture
def graph(fast_disk: Path) -> SmallGraph:
    small = SmallGraph(fast_disk / "small")
    small.root.mkdir()
    write_workspace(small.root)
    small.change(machine={"device": "cpu"})
    for shard in ("00", "01", "02"):
        small.write_source(shard, 1.0)
    return small


def ended(graph: SmallGraph) -> set[dg.DagsterRunStatus]:
    with graph.instance() as instance:
        return {run.status for run in instance.get_runs()}


# --- The same as in one process ---------------------------------------------------------------


def test_two_are_at_work_at_the_same_time(
    graph: SmallGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits for the other; both train, for which there is no GPU that they would share."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("dcgan_assets.engine.lanes.available_cores", lambda: 6)
    ran = graph.only("left", "right").run(jobs=2)
    assert ran.code == 0, ran.lines
    assert ended(graph) == {dg.DagsterRunStatus.SUCCESS}
    for name in ("left", "right"):
        threads = (graph.root / f"data/toy/{name}/threads.txt").read_text(encoding="utf-8")
        assert threads == "3"
    with graph.instance() as instance:
        (pool,) = instance.event_log_storage.get_pool_limits()
        assert (pool.limit, pool.from_default) == (1, True)


_NAMES = ("images", "boxes", "mean", "summary", "candidate", "generator", "samples", "constant")


@pytest.mark.slow
@pytest.mark.parametrize(
    "limit", [pytest.param(9.0, id="all made"), pytest.param(0.5, id="one refused")]
)
def test_what_comes_out_is_what_one_process_makes(fast_disk: Path, limit: float) -> None:
    found = {}
    for jobs in (1, 3):
        small = SmallGraph(fast_disk / str(jobs)).only(*_NAMES)
        small.root.mkdir()
        write_workspace(small.root)
        small.change(mean={"limit": limit})
        for shard in ("00", "01", "02"):
            small.write_source(shard, float(shard) + 1)
        ran = small.run(jobs=jobs)
        versions = {
            (key, shard): small.recorded(key)
            for step in small.catalogue().steps
            for key in step.outputs
            for shard in [None]
        }
        told = {line for line in ran.lines if line.startswith(("FAILED", "blocked"))}
        found[jobs] = (ran.code, told, versions)
    assert found[1] == found[3]
    assert bool(found[1][1]) == (limit < 1)


def test_of_a_pool_one_is_given_out_at_a_time(graph: SmallGraph) -> None:
    catalogue = graph.only("left", "right").catalogue()
    with graph.instance() as instance:
        plan = make_plan(catalogue, instance, in_order(catalogue, catalogue.steps))
    schedule = Schedule(catalogue, plan, print)
    first = schedule.next_batch()
    assert first is not None
    assert schedule.next_batch() is None
    schedule.finish(first, Outcome(made=(first.steps[0].key,)))
    assert schedule.next_batch() is not None
    assert schedule.next_batch() is None


def test_what_most_comes_after_is_made_first(graph: SmallGraph) -> None:
    """The summary stands before the training in the catalogue, and nothing comes after it."""
    names = ("images", "boxes", "mean", "summary", "candidate", "generator", "samples")
    catalogue = graph.only(*names).catalogue()
    with graph.instance() as instance:
        plan = make_plan(catalogue, instance, in_order(catalogue, catalogue.steps))
    schedule = Schedule(catalogue, plan, print)
    given = []
    while batch := schedule.next_batch():
        given.append(batch.steps[0].key)
        schedule.finish(batch, Outcome(made=tuple(step.key for step in batch.steps)))
    assert given.index("toy/candidate") < given.index("toy/summary")
    assert not schedule.report.blocked


# --- Ends ---------------------------------------------------------------------------------------


@contextmanager
def at_work(graph: SmallGraph) -> Iterator[tuple[subprocess.Popen[str], psutil.Process, list[str]]]:
    """The command, the lane in which `toy/patient` waits, and the lines so far."""
    paths = [str(Path(__file__).parents[1]), *sys.path]
    with subprocess.Popen(
        [sys.executable, "-c", _COMMAND, str(graph.root)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as command:
        try:
            assert command.stdout is not None
            said: list[str] = []
            for line in command.stdout:
                said.append(line)
                if "patient: started" in line:
                    break
            yield command, _lane_of(graph, command), said
        finally:
            command.kill()


def _lane_of(graph: SmallGraph, command: subprocess.Popen[str]) -> psutil.Process:
    with graph.instance() as instance:
        patient = dg.AssetKey(["toy", "patient"])
        (run,) = (run for run in instance.get_runs() if patient in (run.asset_selection or ()))
    lane = psutil.Process(int(run.tags["dcgan/pid"]))
    assert lane.ppid() == command.pid
    return lane


@pytest.mark.slow
def test_ctrl_c_is_handed_on_once(graph: SmallGraph) -> None:
    with at_work(graph) as (command, lane, _):
        os.killpg(command.pid, signal.SIGINT)  # as a terminal does
        rest, _ = command.communicate()
        assert command.returncode == 130
        assert rest.splitlines()[-1].startswith("interrupted; ")
        assert not lane.is_running()
    assert dg.DagsterRunStatus.CANCELED in ended(graph)
    assert dg.DagsterRunStatus.STARTED not in ended(graph)


@pytest.mark.slow
def test_a_lane_that_is_killed_fails_its_asset_alone(graph: SmallGraph) -> None:
    with at_work(graph) as (command, lane, said):
        lane.kill()
        rest, _ = command.communicate()
        assert command.returncode == 1
        lost = "FAILED toy/patient: its process was lost (signal 9); "
        assert any(line.startswith(lost) for line in rest.splitlines())
        assert "toy/constant: making\n" in [*said, *rest.splitlines(keepends=True)]
    graph.meta("toy/constant")
    assert ended(graph) == {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}


@pytest.mark.slow
def test_lanes_end_with_a_command_that_is_killed(graph: SmallGraph) -> None:
    with at_work(graph) as (command, lane, _):
        command.kill()
        command.wait()
        lane.wait()
    assert graph.only("constant").run().code == 0
    assert dg.DagsterRunStatus.STARTED not in ended(graph)
    with graph.instance() as instance:
        assert not instance.event_log_storage.get_concurrency_info("gpu").claimed_slots


class _Deadly(Schedule):
    """Kills every lane as soon as it has ended what it was given."""

    def finish(self, batch: Batch, outcome: Outcome) -> None:
        super().finish(batch, outcome)
        for lane in psutil.Process().children():
            lane.kill()
            while lane.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.001)


def test_a_lane_that_dies_at_rest_is_replaced(graph: SmallGraph) -> None:
    """Steps of one chain, each of which finds the lane dead that made the one before."""
    catalogue = graph.only("images", "mean", "candidate", "generator").catalogue()

    def run(instance: dg.DagsterInstance, batch: Batch) -> Outcome:
        return Outcome(made=tuple(step.key for step in batch.steps))

    with graph.instance() as instance:
        plan = make_plan(catalogue, instance, in_order(catalogue, catalogue.steps))
        schedule = _Deadly(catalogue, plan, print)
        Lanes(catalogue, run, instance, 1).run(schedule)
    assert not schedule.report.failed
    assert len(schedule.report.made) == len(plan.items)
