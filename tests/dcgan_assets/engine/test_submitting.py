"""`dcgan materialize` where another launcher than ours is set: runs in Dagster's queue."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from small_graph import SmallGraph, write_workspace

from dcgan_assets.engine.expectations import CODE_TAG
from dcgan_assets.engine.instance import prepare_home
from dcgan_assets.engine.submitting import WORK_TAG

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[2]
_PATHS = str(TESTS / "dcgan_assets")  # not tests/, which would hide the package
# What the daemon's and the command's code servers load.
_LOCATION = """
import os
from pathlib import Path
from small_graph import MADE_AT_ONCE, open_graph
from dcgan_assets.definitions import build_definitions
defs = build_definitions(open_graph(Path(os.environ["DCGAN_ROOT"]), (*MADE_AT_ONCE, "patient")))
"""
_COMMAND = """
import sys
from pathlib import Path
from small_graph import MADE_AT_ONCE, open_graph
from dcgan_assets.cli.materialize import Request, bring_up_to_date
graph = open_graph(Path(sys.argv[1]), (*MADE_AT_ONCE, "patient"))
sys.exit(bring_up_to_date(graph, Request(tuple(sys.argv[2:]))))
"""
_QUEUE = {
    "telemetry": {"enabled": False},
    "run_launcher": {"module": "process_launcher", "class": "ProcessLauncher"},
    "run_monitoring": {
        "enabled": True,
        "poll_interval_seconds": 1,
        "start_timeout_seconds": 86400,  # the machine may be busy
    },
    "run_retries": {"enabled": True, "retry_on_asset_or_op_failure": False},
    "concurrency": {
        "runs": {
            "max_concurrent_runs": 2,
            "tag_concurrency_limits": [
                {"key": "dcgan/place", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
            ],
        }
    },
}


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallGraph]:
    """A workspace whose runs a daemon starts, each in a process."""
    graph = SmallGraph(tmp_path_factory.mktemp("queue"))
    write_workspace(graph.root)
    graph.change(machine={"dvc": "off"})
    for shard in ("00", "01", "02"):
        graph.write_source(shard, float(shard) + 1)
    (graph.root / "location.py").write_text(_LOCATION, encoding="utf-8")
    location = {"python_file": {"relative_path": "location.py", "location_name": "small"}}
    (graph.root / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [location]}))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DCGAN_ROOT", "DAGSTER_HOME"):  # `prepare_home` sets them
            patch.setenv(name, "")
        patch.setenv("PYTHONPATH", _PATHS)
        patch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        home = prepare_home(graph.catalogue().workspace)
        (home / "dagster.yaml").write_text(yaml.safe_dump(_QUEUE), encoding="utf-8")
        words = ["dagster-daemon", "run", "-w", str(graph.root / "workspace.yaml")]
        with (graph.root / "daemon.log").open("wb") as log:
            daemon = subprocess.Popen(words, stdout=log, stderr=log)
        try:
            yield graph
        finally:
            daemon.send_signal(signal.SIGINT)
            daemon.wait()


def command(graph: SmallGraph, *keys: str) -> subprocess.Popen[str]:
    """`dcgan materialize KEY...` in a process and a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", _COMMAND, str(graph.root), *keys],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str], code: int = 0) -> list[str]:
    out, _ = process.communicate()
    assert process.returncode == code, out
    return out.splitlines()


def runs_of(graph: SmallGraph, key: str) -> list[dg.DagsterRun]:
    with graph.instance() as instance:
        return [
            run for run in instance.get_runs() if run.tags.get("dcgan/place", "").startswith(key)
        ]


def wait_for(graph: SmallGraph, key: str, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    """Wait until the newest run of an asset is so far."""
    while True:
        for run in runs_of(graph, key)[:1]:
            if run.status == status:
                return run
        time.sleep(0.2)


def test_each_shard_is_a_run_and_comes_out_as_in_process(queue: SmallGraph, tmp_path: Path) -> None:
    lines = ended(command(queue, "toy/summary"))
    here = SmallGraph(tmp_path)
    write_workspace(here.root)
    here.change(machine={"dvc": "off"})
    for shard in ("00", "01", "02"):
        here.write_source(shard, float(shard) + 1)
    assert here.run("toy/summary").code == 0
    assert len(runs_of(queue, "toy/images")) == 3
    for shard in ("00", "01", "02"):
        ours, theirs = here.meta("toy/images", shard), queue.meta("toy/images", shard)
        assert ours.data_version == theirs.data_version
        assert sum(line.startswith(f"toy/images[{shard}]: made in ") for line in lines) == 1
    assert here.meta("toy/summary").data_version == queue.meta("toy/summary").data_version
    assert not [line for line in ended(command(queue, "toy/summary")) if "made in" in line]


def test_a_refusal_is_one_line_and_blocks_what_needs_it(queue: SmallGraph) -> None:
    queue.change(mean={"limit": 0.5})
    lines = ended(command(queue, "toy/summary"), 1)
    queue.change(mean={"limit": 100.0})
    (failed,) = [line for line in lines if line.startswith("FAILED")]
    assert "not published, check failed" in failed
    assert [line for line in lines if line.startswith("blocked toy/summary")]


def test_ctrl_c_stops_what_was_asked_for(queue: SmallGraph) -> None:
    process = command(queue, "toy/patient")
    run = wait_for(queue, "toy/patient", dg.DagsterRunStatus.STARTED)
    os.killpg(process.pid, signal.SIGINT)
    assert any(line.startswith("interrupted") for line in ended(process, 130))
    assert wait_for(queue, "toy/patient", dg.DagsterRunStatus.CANCELED).run_id == run.run_id


def test_a_killed_command_leaves_its_run_which_the_next_one_finds(queue: SmallGraph) -> None:
    """And a run of another command is not stopped by Ctrl-C of this one."""
    first = command(queue, "toy/patient")
    run = wait_for(queue, "toy/patient", dg.DagsterRunStatus.STARTED)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    second = command(queue, "toy/patient")
    assert second.stdout is not None
    for line in second.stdout:
        if "is at it already" in line:
            assert run.run_id[:8] in line
            break
    os.killpg(second.pid, signal.SIGINT)
    lines = ended(second, 130)
    assert any("goes on, another command began it" in line for line in lines)
    (one,) = [each for each in runs_of(queue, "toy/patient") if not each.is_finished]
    assert (one.run_id, one.status) == (run.run_id, dg.DagsterRunStatus.STARTED)
    with queue.instance() as instance:
        assert instance.run_launcher.terminate(one.run_id)
    wait_for(queue, "toy/patient", dg.DagsterRunStatus.CANCELED)


def test_a_lost_worker_is_replaced_and_its_work_alone_done_again(queue: SmallGraph) -> None:
    process = command(queue, "toy/patient")
    run = wait_for(queue, "toy/patient", dg.DagsterRunStatus.STARTED)
    while "dcgan/pid" not in run.tags:
        run = wait_for(queue, "toy/patient", dg.DagsterRunStatus.STARTED)
    os.kill(int(run.tags["dcgan/pid"]), signal.SIGKILL)
    assert process.stdout is not None
    for line in process.stdout:
        if "was lost; tried again" in line:
            break
    again = wait_for(queue, "toy/patient", dg.DagsterRunStatus.STARTED)
    assert again.run_id != run.run_id
    assert again.tags[WORK_TAG] == run.tags[WORK_TAG]
    os.killpg(process.pid, signal.SIGINT)
    ended(process, 130)


def test_two_at_once_make_each_shard_once(queue: SmallGraph) -> None:
    for shard in ("00", "01", "02"):
        queue.write_source(shard, 7.0)
    both = [command(queue, "toy/images") for _ in range(2)]
    lines = [line for process in both for line in ended(process)]
    for shard in ("00", "01", "02"):
        runs = {
            run.run_id
            for run in runs_of(queue, f"toy/images[{shard}]")
            if run.run_id == queue.meta("toy/images", shard).run
        }
        assert len(runs) == 1
        assert sum(line.startswith(f"toy/images[{shard}]: ") for line in lines) >= 2


def test_other_code_is_refused_before_anything_is_touched(queue: SmallGraph) -> None:
    before = queue.meta("toy/images", "00")
    queue.write_source("00", 11.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "dcgan_assets.engine.submitting.code_of", lambda *_: {"toy/images": "another"}
        )
        ran = queue.run("toy/images", partition="00")
    assert ran.code == 1
    (failed,) = ran.starting("FAILED")
    assert "another one than where the run was planned" in failed
    assert queue.meta("toy/images", "00") == before
    (run, *_) = runs_of(queue, "toy/images[00]")
    assert json.loads(run.tags[CODE_TAG]) == {"toy/images": "another"}
