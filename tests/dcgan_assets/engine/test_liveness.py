"""Locks that tell who lives: real processes that are killed, that fork, and in other namespaces."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
import small_graph
from dagster._core.launcher import WorkerStatus
from fixture_types import Refused
from small_graph import SmallGraph

from dcgan_assets.engine.liveness import alive, has_died, hold, marked_runs

# Holds a lock and starts a child that outlives it; tells the child's number, and waits.
_PARENT = """
import os, subprocess, sys, time
import dagster as dg
from dcgan_assets.engine.liveness import hold
with dg.DagsterInstance.get() as instance:
    hold(instance, "parent")
    if sys.argv[1] == "fork":
        child = os.fork()
        if child == 0:
            print(os.getpid(), flush=True)  # by the child: it has let go of the lock by then
    else:
        child = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL).pid
        print(child, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def instance(small: SmallGraph) -> Iterator[dg.DagsterInstance]:
    with small.only("constant").instance() as instance:
        yield instance


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A process whose output is read line by line; it is killed at the end."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_with(process: subprocess.Popen[str], words: str) -> str:
    """Wait for a line that a process says."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if words in line:
            return line
    raise AssertionError("".join(said))


def patient(graph: SmallGraph, *before: str) -> tuple[str, ...]:
    """The command that materialises `toy/patient` and waits, behind another command."""
    return (*before, sys.executable, str(small_graph.__file__), str(graph.root))


def mark_dead(instance: dg.DagsterInstance, run_id: str) -> None:
    """Leave the lock file of a run as a process does that is killed."""
    with pytest.raises(ZeroDivisionError), alive(instance, run_id):
        raise ZeroDivisionError


# --- Locks ----------------------------------------------------------------------------------


def test_a_lock_is_held_until_the_block_ends(instance: dg.DagsterInstance) -> None:
    assert has_died(instance, "run") is None
    with alive(instance, "run"):
        assert has_died(instance, "run") is False
        assert marked_runs(instance) == ["run"]
    assert has_died(instance, "run") is None
    assert marked_runs(instance) == []


def test_who_asks_does_not_look_alive_to_another_who_asks(instance: dg.DagsterInstance) -> None:
    import fcntl

    mark_dead(instance, "run")
    path = Path(instance.root_directory) / "alive/run.lock"
    with path.open("rb") as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        assert has_died(instance, "run") is True


@pytest.mark.parametrize("way", ["fork", "exec"])
def test_a_child_that_outlives_a_run_does_not_keep_it_alive(
    instance: dg.DagsterInstance, way: str
) -> None:
    with running(sys.executable, "-c", _PARENT, way) as parent:
        child = int(line_with(parent, ""))
        try:
            assert has_died(instance, "parent") is False
            parent.kill()
            parent.wait()
            os.kill(child, 0)  # it is still there
            assert has_died(instance, "parent") is True
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_disk_that_refuses_locks_is_one_line(
    instance: dg.DagsterInstance, refused: Refused
) -> None:
    (Path(instance.root_directory) / "alive").write_text("in the way", encoding="utf-8")
    with refused("alive: no lock can be held there"):
        hold(instance, "run")


# --- Dagster's daemon -----------------------------------------------------------------------


def test_the_daemon_learns_who_died(instance: dg.DagsterInstance) -> None:
    launcher = instance.run_launcher
    assert launcher.supports_check_run_worker_health

    def health(run_id: str) -> WorkerStatus:
        return launcher.check_run_worker_health(dg.DagsterRun("job", run_id)).status

    assert health("run") is WorkerStatus.RUNNING, "its process may not have come that far"
    with alive(instance, "run"):
        assert health("run") is WorkerStatus.RUNNING
    mark_dead(instance, "run")
    assert health("run") is WorkerStatus.FAILED


# --- Whole commands -------------------------------------------------------------------------


@pytest.mark.slow
def test_ctrl_c_ends_the_wait_for_a_pool_and_leaves_nothing(
    small: SmallGraph, instance: dg.DagsterInstance
) -> None:
    with running(*patient(small)) as first:
        line_with(first, "patient: started")
        (run,) = instance.get_runs()
        with running(*patient(small)) as second:
            line = line_with(second, "waiting for the gpu pool: held by run ")
            assert f"run {run.run_id[:8]} (toy/patient, since " in line
            second.send_signal(signal.SIGINT)
            assert line_with(second, "interrupted; ")
            assert second.wait() == 130
        assert [run.run_id for run in instance.get_runs()] == [run.run_id]
        assert instance.event_log_storage.get_concurrency_run_ids() == {run.run_id}
        assert has_died(instance, run.run_id) is False


def test_whoever_waits_says_so_again_and_goes_on_when_it_is_free(
    small: SmallGraph, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder is killed after the second line; its run is closed, and the work is done."""
    monkeypatch.setattr("dcgan_assets.engine.running._SAY_SECONDS", 0.0)
    monkeypatch.setattr("dcgan_assets.engine.running._POOL_SECONDS", 0.01)
    small.only("patient")
    small_graph.RELEASED.set()
    lines: list[str] = []

    def waits() -> list[str]:
        return [line for line in lines if line.startswith("waiting for the gpu pool")]

    with running(*patient(small)) as holder:
        line_with(holder, "patient: started")

        def say(line: str) -> None:
            lines.append(line)
            if len(waits()) == 2:
                holder.kill()
                holder.wait()

        monkeypatch.setattr("dcgan_assets.cli.materialize.say", say)
        assert small.run().made == ["toy/patient"]
    assert all("held by run" in line for line in waits()[:2])
    (closed,) = [run for run in instance.get_runs() if run.status is dg.DagsterRunStatus.FAILURE]
    assert closed.run_id[:8] in waits()[0]


def _may_unshare() -> bool:
    unshare = shutil.which("unshare")
    command = [unshare or "unshare", "--uts", "--pid", "--fork", "--mount-proc", "true"]
    return unshare is not None and subprocess.run(command, capture_output=True).returncode == 0


namespaces = pytest.mark.skipif(not _may_unshare(), reason="no namespaces may be made here")


@pytest.mark.slow
@namespaces
def test_a_killed_container_that_has_another_name_holds_nothing_up(
    small: SmallGraph, instance: dg.DagsterInstance
) -> None:
    small.only("patient")
    container = ("unshare", "--uts", "sh", "-c", 'hostname container-a; exec "$@"', "sh")
    with running(*patient(small, *container)) as process:
        line_with(process, "patient: started")
        (run,) = instance.get_runs()
        assert run.tags["dcgan/host"] == "container-a"
        process.kill()
        process.wait()
    small_graph.RELEASED.set()
    ran = small.run()
    assert ran.code == 0
    assert ran.lines[0] == f"closed run {run.run_id[:8]}: its process had died"
    assert ran.made == ["toy/patient"]


@pytest.mark.slow
@namespaces
def test_a_living_run_of_another_container_with_our_name_is_left_alone(
    small: SmallGraph, instance: dg.DagsterInstance
) -> None:
    container = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    with running(*patient(small, *container)) as process:
        line_with(process, "patient: started")
        (run,) = instance.get_runs()
        assert int(run.tags["dcgan/pid"]) < 100, "a number of its own, of no process of ours"
        with running(*patient(small)) as second:
            line = line_with(second, "waiting for the gpu pool")
            assert re.search(rf"run {run.run_id[:8]} \(toy/patient, since", line)
        alive_still = instance.get_run_by_id(run.run_id)
        assert alive_still is not None
        assert alive_still.status is dg.DagsterRunStatus.STARTED
