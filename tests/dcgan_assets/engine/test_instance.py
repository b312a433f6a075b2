"""The Dagster home of a workspace, and what processes that were killed leave in it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import psutil
import pytest
import small_graph
import yaml
from dagster._core.events import DagsterEvent
from fixture_types import Refused
from small_graph import SmallGraph

from dcgan_assets.definitions import build_definitions
from dcgan_assets.engine.instance import (
    _UNSEALED,
    claim_home,
    claim_place,
    close_dead_runs,
    describe_run,
    is_ours,
    open_instance,
    pool_holder,
    prepare_home,
    process_tags,
    release_ended_run,
)
from dcgan_assets.engine.liveness import alive, has_died, marked_runs
from dcgan_assets.engine.workspace import Workspace
from dcgan_models.errors import UserError
from dcgan_models.files import tree_files

# --- The home -------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, dagster_home: Path) -> Path:
    """A home with our settings, its databases copied: making them takes a third of a second."""
    copy = Path(shutil.copytree(dagster_home, tmp_path / ".dagster_home"))
    (copy / "dagster.yaml").unlink()
    return prepare_home(Workspace(tmp_path))


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


@pytest.mark.parametrize("earlier", ["sealed", "before seals", "cut off by a crash"])
def test_an_old_home_gets_the_settings_of_today_and_keeps_the_rest(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, earlier: str
) -> None:
    path = home / "dagster.yaml"
    settings = path.read_bytes()
    body = b"telemetry: {enabled: true}\n"
    digest = hashlib.sha256(body).hexdigest()
    seal = settings.partition(b"\n")[0].rsplit(b" ", 1)[0]
    monkeypatch.setattr("dcgan_assets.engine.instance._UNSEALED", {digest})
    old = {
        "sealed": seal + f" {digest}\n".encode() + body,
        "before seals": body,
        "cut off by a crash": b"",
    }
    path.write_bytes(old[earlier])
    (home / "history").touch()
    prepare_home(Workspace(tmp_path))
    assert path.read_bytes() == settings
    assert (home / "history").exists()


def test_the_settings_of_all_versions_before_seals_are_known() -> None:
    """As their files were: a changed character makes it the user's."""
    assert not is_ours(b"telemetry: {enabled: true}\n")
    assert len(_UNSEALED) == 3
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in _UNSEALED)


@pytest.mark.parametrize("change", ["another", "a line more", "a line less", "the seal alone"])
def test_a_dagster_yaml_of_the_user_is_never_touched(
    tmp_path: Path, home: Path, change: str
) -> None:
    path = home / "dagster.yaml"
    written = path.read_bytes()
    own = {
        "another": b"storage: {sqlite: {base_dir: /elsewhere}}\n",
        "a line more": written + b"# mine\n",
        "a line less": written[:-10],
        "the seal alone": written.partition(b"\n")[0] + b"\n",
    }
    path.write_bytes(own[change])
    before = path.stat().st_mtime_ns
    with suppress(UserError):  # cut off, it is not readable
        prepare_home(Workspace(tmp_path))
    assert path.read_bytes() == own[change]
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("storage: {custom: {module: no_such, class: Storage}}", "Couldn't import module no_such"),
        ("nonsense: 3", 'unexpected config entry "nonsense"'),
        ("a: [", "expected the node content"),
        ("- 3", "to parse to dictionary"),
    ],
)
def test_a_dagster_yaml_that_is_none_is_one_line(
    tmp_path: Path, home: Path, refused: Refused, settings: str, words: str
) -> None:
    path = home / "dagster.yaml"
    path.write_text(settings, encoding="utf-8")
    with (
        refused(f"{path}: Dagster cannot use it", words, "remove it"),
        open_instance(Workspace(tmp_path)),
    ):
        pass
    assert path.read_text(encoding="utf-8") == settings


def test_records_may_lie_where_an_own_dagster_yaml_says(tmp_path: Path) -> None:
    path = tmp_path / ".dagster_home/dagster.yaml"
    path.parent.mkdir()
    path.write_text(f"storage: {{sqlite: {{base_dir: {tmp_path / 'records'}}}}}\n", "utf-8")
    with open_instance(Workspace(tmp_path)) as instance:
        assert instance.get_runs_count() == 0
    assert (tmp_path / "records/history/runs.db").exists()
    assert not (tmp_path / ".dagster_home/history").exists()


def test_settings_that_are_right_are_not_written_again(tmp_path: Path, home: Path) -> None:
    path = home / "dagster.yaml"
    before = path.stat().st_mtime_ns
    prepare_home(Workspace(tmp_path))
    assert path.stat().st_mtime_ns == before


def test_a_dagster_yaml_that_is_a_link_stays_one(tmp_path: Path, refused: Refused) -> None:
    home, shared = tmp_path / ".dagster_home", tmp_path / "shared.yaml"
    home.mkdir()
    (home / "dagster.yaml").symlink_to(shared)
    with refused(f"{home / 'dagster.yaml'}: a symlink to nothing"):
        prepare_home(Workspace(tmp_path))
    shared.write_bytes(b"")
    prepare_home(Workspace(tmp_path))
    assert (home / "dagster.yaml").readlink() == shared
    assert shared.read_bytes() == b""


def test_a_home_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".dagster_home").touch()
    with pytest.raises(UserError, match="cannot be written") as caught:
        prepare_home(Workspace(tmp_path))
    assert "\n" not in str(caught.value)
    assert str(tmp_path / ".dagster_home") in str(caught.value)


# --- Opening it -----------------------------------------------------------------------------


def test_a_home_on_a_full_disk_is_one_line(tmp_path: Path, home: Path, refused: Refused) -> None:
    """A limit on the size of files stands for the disk: the same call fails, by its own name."""
    workspace = Workspace(tmp_path)
    names = sorted(tree_files(home))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with refused(f"{home}: cannot be written"), open_instance(workspace):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(tree_files(home)) == names


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
        connection.execute("CREATE TABLE of_that_version AS SELECT 'a record'")
    words = ("another version of Dagster (6b7fb194ff9c", "dagster instance migrate")
    with refused(str(home), *words), open_instance(Workspace(tmp_path)):
        pass


@pytest.mark.usefixtures("home")
def test_a_second_web_ui_is_told_where_the_first_one_is(tmp_path: Path, refused: Refused) -> None:
    workspace = Workspace(tmp_path)
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
        assert has_died(instance, run.run_id) is False
        assert pool_holder(instance, "gpu") == (run.run_id, "toy__patient")
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


def mark_dead(instance: dg.DagsterInstance, run_id: str) -> None:
    """Leave the lock file of a run as a process does that is killed."""
    with pytest.raises(ZeroDivisionError), alive(instance, run_id):
        raise ZeroDivisionError


# Of no process: more than any system gives out.
NO_PROCESS = str(2**22 + 1)


def test_the_lock_decides_and_neither_host_name_nor_process_number(
    small: SmallGraph, instance: dg.DagsterInstance
) -> None:
    """As seen from another container: same name, other numbers; or another name, same disk."""
    lives = start_run(small, instance, ago=0, pid=NO_PROCESS)
    dead = start_run(small, instance, ago=0, host="container-a")
    mark_dead(instance, dead)
    with alive(instance, lives):
        assert has_died(instance, lives) is False
        assert has_died(instance, dead) is True
        assert close_dead_runs(instance) == [dead]
        assert marked_runs(instance) == [lives]
        assert close_dead_runs(instance) == []
    assert marked_runs(instance) == []
    run = instance.get_run_by_id(dead)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.FAILURE


def test_of_another_host_the_engine_says_whether_a_run_lives(small: SmallGraph) -> None:
    """Its lock seems free to us where a disk keeps the locks of each host for itself."""
    home = prepare_home(small.only("constant").catalogue().workspace)
    engine = {"run_launcher": {"module": "process_launcher", "class": "ProcessLauncher"}}
    (home / "dagster.yaml").write_text(json.dumps(engine), encoding="utf-8")
    with small.instance() as instance:
        elsewhere = start_run(small, instance, ago=0, host="another")
        here = start_run(small, instance, ago=0)
        for run_id in (elsewhere, here):
            mark_dead(instance, run_id)
        assert close_dead_runs(instance) == [here]
        run = instance.get_run_by_id(elsewhere)
        assert run is not None
        instance.report_run_failed(run)
        assert close_dead_runs(instance) == []
        assert marked_runs(instance) == []


def test_a_run_that_somebody_stopped_before_its_process_died_is_canceled(
    small: SmallGraph, instance: dg.DagsterInstance
) -> None:
    """So that the daemon does not try it again."""
    run_id = start_run(small, instance, ago=0)
    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.report_run_canceling(run)
    mark_dead(instance, run_id)
    assert close_dead_runs(instance) == [run_id]
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.CANCELED


def test_what_ended_runs_and_waits_leave_is_cleared_without_a_word(
    small: SmallGraph, instance: dg.DagsterInstance
) -> None:
    run_id = start_run(small, instance, ago=0)
    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.report_run_failed(run)
    for left in (run_id, "never-began"):
        mark_dead(instance, left)
        assert claim_place(instance, "gpu", left, "toy__patient")
        assert pool_holder(instance, "gpu") == (left, "toy__patient")
        assert close_dead_runs(instance) == []
        assert pool_holder(instance, "gpu") is None
    assert marked_runs(instance) == []


# --- Places in a pool -----------------------------------------------------------------------


def test_a_place_is_taken_once_and_found_by_the_run_that_it_is_for(
    instance: dg.DagsterInstance,
) -> None:
    assert claim_place(instance, "gpu", "first", "toy__patient")
    assert claim_place(instance, "gpu", "first", "toy__patient"), "it has it already"
    assert not claim_place(instance, "gpu", "second", "toy__patient")
    info = instance.event_log_storage.get_concurrency_info("gpu")
    assert info.pending_run_ids == set(), "who is killed while waiting has no turn"
    instance.event_log_storage.free_concurrency_slots_for_run("first")
    assert claim_place(instance, "gpu", "second", "toy__patient")


def test_a_run_that_is_about_to_begin_keeps_its_place(instance: dg.DagsterInstance) -> None:
    with alive(instance, "beginning"):
        assert claim_place(instance, "gpu", "beginning", "toy__patient")
        release_ended_run(instance, "beginning")
        assert pool_holder(instance, "gpu") == ("beginning", "toy__patient")
        assert describe_run(instance, "beginning", "x") == "run beginnin (x, just beginning)"
    release_ended_run(instance, "beginning")
    assert pool_holder(instance, "gpu") is None


def test_whoever_waits_is_told_for_whom(small: SmallGraph, instance: dg.DagsterInstance) -> None:
    run_id = start_run(small, instance, ago=0, host="container-a")
    with alive(instance, run_id):
        words = describe_run(instance, run_id, "toy/patient")
    since = r"since (\d{4}-\d\d-\d\d )?\d\d:\d\d"
    where = "on host container-a"
    assert re.fullmatch(rf"run {run_id[:8]} \(toy/patient, {since}, {where}\)", words)
    old = start_run(small, instance, ago=3 * 86_400, host="container-a")
    words = describe_run(instance, old, "toy/patient")
    day = (datetime.now() - timedelta(days=3)).date()
    assert f"since {day} " in words
    assert "holds no lock, so nobody can tell from here whether it lives" in words
    assert words.endswith("terminate it on the page Runs of `dcgan ui`")


# --- Clocks, names and numbers that lie -------------------------------------------------------

DAY = 86_400.0
STEPS = {"long-ago": 3650 * DAY, "yesterday": DAY, "just-now": 0.0, "tomorrow": -DAY}


@pytest.mark.parametrize("status", ["started", "being stopped"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("tags", [{}, {"pid": NO_PROCESS}, {"host": "another"}], ids=str)
def test_a_living_run_is_left_alone_whatever_the_clock_says(
    small: SmallGraph, instance: dg.DagsterInstance, tags: dict[str, str], step: str, status: str
) -> None:
    """By the next command, and by Dagster's own daemon: before and after its lock is seen."""
    run_id = start_run(small, instance, ago=STEPS[step], **tags)
    if status == "being stopped":
        event = DagsterEvent("PIPELINE_CANCELING", job_name="job")
        when = time.time() - STEPS[step] / 2
        instance.report_dagster_event(event, run_id=run_id, timestamp=when)
    before = status_of(instance, run_id)
    assert claim_place(instance, "gpu", run_id, "toy__patient")
    assert close_dead_runs(instance) == [], "it may be of a version that held no lock"
    with alive(instance, run_id):
        assert close_dead_runs(instance) == []
        monitor(instance, run_id)
        assert status_of(instance, run_id) is before
        assert pool_holder(instance, "gpu") == (run_id, "toy__patient")


def status_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def monitor(instance: dg.DagsterInstance, run_id: str) -> None:
    """What the daemon does of a run every ten seconds."""
    from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration

    class Context:
        def __init__(self) -> None:
            self.instance = instance

        def create_request_context(self) -> None: ...

    said = list(execute_run_monitoring_iteration(Context(), logging.getLogger("daemon")))  # type: ignore[arg-type]
    assert said == [None] * len(said)
    assert said, f"it looks at {run_id}"


def test_the_daemon_closes_one_that_was_being_stopped_when_it_died(
    small: SmallGraph, instance: dg.DagsterInstance
) -> None:
    """As soon as it asks for another one, which may wait for its place."""
    stopped, waits = (start_run(small, instance, ago=0) for _ in range(2))
    run = instance.get_run_by_id(stopped)
    assert run is not None
    instance.report_run_canceling(run)
    mark_dead(instance, stopped)
    with alive(instance, waits):
        monitor(instance, waits)
        assert status_of(instance, stopped) is dg.DagsterRunStatus.CANCELED
        assert status_of(instance, waits) is dg.DagsterRunStatus.STARTED


def test_process_tags_are_of_this_process_on_this_machine() -> None:
    tags = process_tags()
    assert psutil.Process(int(tags["dcgan/pid"])).create_time() <= time.time()
    assert tags["dcgan/host"]
