"""The Dagster home of a workspace, and what processes that were killed leave in it."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import dagster as dg
import psutil
import pytest
import small_graph
import yaml
from dagster._core.events import DagsterEvent
from fixture_types import Refused
from small_graph import SmallGraph

from dcgan_assets.catalogue import build_definitions
from dcgan_assets.instance import (
    claim_home,
    close_dead_runs,
    open_instance,
    pool_holder,
    prepare_home,
    process_tags,
)
from dcgan_assets.workspace import Workspace
from dcgan_models.errors import UserError

# --- The home -------------------------------------------------------------------------------


def test_a_home_is_made_with_our_settings(tmp_path: Path) -> None:
    home = prepare_home(Workspace(tmp_path))
    assert home == tmp_path / ".dagster_home"
    assert os.environ["DAGSTER_HOME"] == str(home)
    assert os.environ["DCGAN_ROOT"] == str(tmp_path)
    settings = yaml.safe_load((home / "dagster.yaml").read_text(encoding="utf-8"))
    assert settings["telemetry"]["enabled"] is False
    assert settings["nux"]["enabled"] is False
    assert settings["concurrency"]["pools"]["default_limit"] == 1
    # Without it, a run that was killed under the UI keeps its place in the pool for ever.
    assert settings["run_monitoring"]["enabled"] is True
    assert settings["run_monitoring"]["free_slots_after_run_end_seconds"] > 0


def test_an_old_home_gets_the_settings_of_today_and_keeps_the_rest(tmp_path: Path) -> None:
    home = prepare_home(Workspace(tmp_path))
    settings = (home / "dagster.yaml").read_text(encoding="utf-8")
    (home / "dagster.yaml").write_text("telemetry: {enabled: true}\n", encoding="utf-8")
    (home / "history").touch()
    prepare_home(Workspace(tmp_path))
    assert (home / "dagster.yaml").read_text(encoding="utf-8") == settings
    assert (home / "history").exists()


def test_settings_that_are_right_are_not_written_again(tmp_path: Path) -> None:
    path = prepare_home(Workspace(tmp_path)) / "dagster.yaml"
    before = path.stat().st_mtime_ns
    prepare_home(Workspace(tmp_path))
    assert path.stat().st_mtime_ns == before


def test_a_home_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".dagster_home").touch()
    with pytest.raises(UserError, match="cannot be written") as caught:
        prepare_home(Workspace(tmp_path))
    assert "\n" not in str(caught.value)
    assert str(tmp_path / ".dagster_home") in str(caught.value)


# --- Opening it -----------------------------------------------------------------------------


def test_a_home_on_a_full_disk_is_one_line(tmp_path: Path, refused: Refused) -> None:
    """A limit on the size of files stands for the disk: the same call fails, by its own name."""
    workspace = Workspace(tmp_path)
    prepare_home(workspace)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with refused(f"{tmp_path / '.dagster_home'}: cannot be written"), open_instance(workspace):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in (tmp_path / ".dagster_home").iterdir()] == ["dagster.yaml"]


def test_broken_records_are_one_line_and_stay_as_they_are(
    tmp_path: Path, dagster_home: Path, refused: Refused
) -> None:
    home = shutil.copytree(dagster_home, tmp_path / ".dagster_home")
    database = home / "history" / "runs.db"
    database.write_bytes(b"no database" * 1000)
    with refused(f"{home}: Dagster's records cannot be read"), open_instance(Workspace(tmp_path)):
        pass
    assert database.read_bytes() == b"no database" * 1000


@pytest.mark.parametrize(
    "name", ["history/runs.db", "history/runs/index.db", "schedules/schedules.db"]
)
def test_records_of_another_version_are_refused(
    tmp_path: Path, dagster_home: Path, refused: Refused, name: str
) -> None:
    home = shutil.copytree(dagster_home, tmp_path / ".dagster_home")
    with open_instance(Workspace(tmp_path)) as instance:
        assert instance.get_runs_count() == 0
    with closing(sqlite3.connect(home / name)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '6b7fb194ff9c'")
    words = ("another version of Dagster (6b7fb194ff9c", "dagster instance migrate")
    with refused(str(home), *words), open_instance(Workspace(tmp_path)):
        pass


def test_a_second_web_ui_is_told_where_the_first_one_is(tmp_path: Path, refused: Refused) -> None:
    workspace = Workspace(tmp_path)
    prepare_home(workspace)
    claim = claim_home(workspace, "http://127.0.0.1:3000")
    with refused("open already at http://127.0.0.1:3000", "--read-only"):
        claim_home(workspace, "http://127.0.0.1:3001")
    # As it must be in the process that `dcgan ui` becomes.
    assert os.get_inheritable(claim)
    os.close(claim)
    os.close(claim_home(workspace, "http://127.0.0.1:3001"))


# --- A process that is killed ---------------------------------------------------------------


@contextmanager
def patient_process(graph: SmallGraph) -> Iterator[subprocess.Popen[str]]:
    """Another process that materialises `toy/patient`, which is at work and waits."""
    with subprocess.Popen(
        [sys.executable, str(small_graph.__file__), str(graph.root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line == "patient: started\n":
                    break
            yield process
        finally:
            process.kill()


def test_a_killed_process_holds_nothing_up(small: SmallGraph) -> None:
    small.only("patient")
    with patient_process(small) as process, small.instance() as instance:
        (run,) = instance.get_runs()
        assert run.status is dg.DagsterRunStatus.STARTED
        # While it lives, it is left alone, and whoever waits is told for whom.
        assert close_dead_runs(instance) == []
        assert pool_holder(instance, "gpu") == run.run_id
        assert pool_holder(instance, "net") is None
        process.kill()
        # Dead, but not yet waited for by its parent: its number still exists.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert psutil.pid_exists(process.pid)

        small_graph.RELEASED.set()
        ran = small.run()
        assert ran.code == 0
        assert ran.lines[0] == f"closed run {run.run_id[:8]}: its process had died"
        assert ran.made == ["toy/patient"]
        closed = instance.get_run_by_id(run.run_id)
        assert closed is not None
        assert closed.status is dg.DagsterRunStatus.FAILURE
        assert pool_holder(instance, "gpu") is None
        assert close_dead_runs(instance) == []


@pytest.fixture
def instance(small: SmallGraph) -> Iterator[dg.DagsterInstance]:
    with small.only("constant").instance() as instance:
        yield instance


def start_run(small: SmallGraph, instance: dg.DagsterInstance, ago: float, **tags: str) -> str:
    """A run that counts as started since `ago` seconds, by this process if no tag says else."""
    job = build_definitions(small.catalogue()).resolve_implicit_global_asset_job_def()
    own = {f"dcgan/{name}": value for name, value in tags.items()}
    run = instance.create_run_for_job(job, tags={**process_tags(), **own})
    event = DagsterEvent("PIPELINE_START", job_name=job.name)
    instance.report_dagster_event(event, run_id=run.run_id, timestamp=time.time() - ago)
    return run.run_id


def test_a_number_that_a_younger_process_has_got_counts_as_dead(
    small: SmallGraph, instance: dg.DagsterInstance
) -> None:
    """As after a restart of a container, where numbers begin anew."""
    start_run(small, instance, ago=0)
    before_us = start_run(small, instance, ago=time.time() - psutil.Process().create_time() + 10)
    assert close_dead_runs(instance) == [before_us]


@pytest.mark.parametrize(
    ("tags", "dead"),
    [
        pytest.param({}, True, id="of this machine"),
        pytest.param({"host": "another"}, False, id="of a machine that cannot be seen from here"),
    ],
)
def test_runs_of_other_machines_are_left_alone(
    small: SmallGraph, instance: dg.DagsterInstance, tags: dict[str, str], dead: bool
) -> None:
    # More than any system gives out.
    run_id = start_run(small, instance, ago=0, pid=str(2**22 + 1), **tags)
    assert close_dead_runs(instance) == [run_id] * dead


def test_process_tags_are_of_this_process_on_this_machine() -> None:
    tags = process_tags()
    assert psutil.Process(int(tags["dcgan/pid"])).create_time() <= time.time()
    assert tags["dcgan/host"]
