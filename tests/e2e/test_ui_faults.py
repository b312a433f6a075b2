"""What goes wrong around the web UI: said in one line, and nothing is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from web_ui import Server, free_port, served
from workbench import Bench, lengthen, wait_for, without_dvc

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def cut_short(make_bench: Any) -> tuple[Bench, str]:
    """A workspace whose UI and all its processes died while it trained, and that run's id."""
    bench: Bench = make_bench("cut_short", lengthen, without_dvc)
    bench.dcgan("materialize", "mnist/images")
    with _training(bench, "mnist/candidate", "mnist28") as (server, run_id):
        server.running.kill_session()
    return bench, run_id


@contextmanager
def _training(bench: Bench, key: str, preset: str) -> Iterator[tuple[Server, str]]:
    """A web UI in which an asset is being trained; unlike `served`, it may end in disorder."""
    with bench.running(
        "dcgan", "ui", "--no-browser", "--port", str(port := free_port())
    ) as running:
        server = Server(running, port)
        running.until(server.is_up, "the web UI")
        run_id = server.launch(key)
        running.until(lambda: bench.steps(preset), "the first line of the log")
        yield server, run_id


def test_the_command_line_goes_on_after_a_power_cut(cut_short: tuple[Bench, str]) -> None:
    bench, run_id = cut_short
    assert (run_id, "STARTED") in bench.recorded_runs()
    said = bench.dcgan("materialize", "mnist/candidate")
    assert f"closed run {run_id[:8]}: its process had died" in said
    assert (run_id, "FAILURE") in bench.recorded_runs()


def test_read_only_looks_and_does_not_touch(cut_short: tuple[Bench, str]) -> None:
    bench, run_id = cut_short
    before = bench.recorded_runs()
    with served(bench, "--read-only") as server:
        assert server.status(run_id) in {"STARTED", "FAILURE"}
        assert server.try_to_launch(["mnist/images"])["__typename"] == "UnauthorizedError"
    assert bench.recorded_runs() == before


def test_a_training_outlives_the_web_server_and_the_next_one_closes_what_was_killed(
    cut_short: tuple[Bench, str],
) -> None:
    """A second web UI is kept out before that, and finds the training afterwards.

    Its daemon closes what was killed beside it, too: it launched none of `dcgan materialize`'s
    runs, and a schedule would wait for ever.
    """
    bench, _ = cut_short
    with _training(bench, "mnist/fc_candidate", "mnist28_fc") as (server, run_id):
        line = _refused(bench)
        assert line.endswith(
            f"its web UI is open already at {server.url}; a second one can only look: --read-only"
        )
        worker = server.worker(run_id)
        commands = server.running.commands()
        family = list(commands)
        web = [process for process, words in commands.items() if "webserver" in words]
        before = bench.steps("mnist28_fc")[-1]
        for process in web:
            process.kill()
        server.running.process.wait(240)
        wait_for(lambda: bench.steps("mnist28_fc")[-1] > before, "a line after the web server")
        assert worker.is_running()
    with served(bench) as server:
        assert "closed run" not in server.running.output()
        assert server.wait_for_end(run_id) == "SUCCESS"
        # The code server that the first one left was only waiting for the training.
        _, left = psutil.wait_procs(family, timeout=240)
        assert not left
        assert bench.meta("models/mnist/fc_candidate")["key"] == "mnist/fc_candidate"

        runs = len(bench.recorded_runs())
        with bench.running("dcgan", "materialize", "mnist/candidate", "--force") as running:
            running.until(lambda: "candidate: making" in running.output(), "the training")
            running.kill()
        run_id = server.latest_run()
        assert server.wait_for_end(run_id) == "FAILURE"
        server.running.until(lambda: not server.pool_holders("gpu"), "the place in the pool")
        assert len(bench.recorded_runs()) == runs + 1, "nobody asked to try it again"


def test_records_of_another_version_are_refused_until_they_are_migrated(
    cut_short: tuple[Bench, str],
) -> None:
    bench, _ = cut_short
    before = bench.recorded_runs()
    database = bench.root / ".dagster_home/history/runs/index.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        (current,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        connection.execute("ALTER TABLE concurrency_limits DROP COLUMN using_default_limit")
        connection.execute("UPDATE alembic_version SET version_num = ?", [_OLDER])
    bench.environment["DAGSTER_HOME"] = str(bench.root / ".dagster_home")
    for line in (_refused(bench), _refused(bench, "materialize", "mnist/images")):
        assert f"of another version of Dagster ({_OLDER}, here {current})" in line
        assert "dagster instance migrate" in line
    bench.run("dagster", "instance", "migrate")
    assert "up to date" in bench.dcgan("materialize", "mnist/images")
    assert bench.recorded_runs() == before


# The revision of Dagster's tables before that column came, in January 2025.
_OLDER = "6b7fb194ff9c"


def test_workspace_yaml_is_loaded_where_its_workspace_is(
    cut_short: tuple[Bench, str], tmp_path: Path
) -> None:
    bench, _ = cut_short
    environment = {k: v for k, v in bench.environment.items() if k != "DAGSTER_HOME"}
    elsewhere = Bench(tmp_path, environment)
    place = str(bench.root / "workspace.yaml")
    said = elsewhere.run("dagster", "definitions", "validate", "-w", place, code=1)
    assert f"UserError: {tmp_path}: no workspace here or above" in said
    assert not list(tmp_path.iterdir())


def _refused(bench: Bench, *command: str) -> str:
    """The one line with which `dcgan` (or `dcgan ui`) refuses to begin."""
    said = bench.dcgan(*(command or ("ui", "--no-browser", "--port", str(free_port()))), code=1)
    (line,) = said.splitlines()
    assert line.startswith("error: ")
    return line
