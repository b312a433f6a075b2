"""`dcgan` and `dagster` as a user calls them: killed, interrupted, called twice at once."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest
from workbench import Bench, Running, lengthen, without_dvc

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

_COMMAND = ("dcgan", "materialize", "mnist/candidate")


def _until_step(bench: Bench, running: Running, least: int) -> int:
    """Wait for a log line of at least that step; the last one there is."""
    running.until(lambda: bench.steps("mnist28")[-1:] >= [least], f"step {least} in the log")
    return bench.steps("mnist28")[-1]


def test_a_training_outlives_ctrl_c_and_two_kills(make_bench: Any, uninterrupted: Bench) -> None:
    bench: Bench = make_bench("kills", lengthen, without_dvc)
    with bench.running(*_COMMAND) as first:
        _until_step(bench, first, 50)
        with bench.paused(first.descendants()):
            _assert_nobody_else_gets_in(bench, first)
        assert first.interrupt() == 130
        assert "interrupted; what was being trained is saved" in first.output()
    saved = bench.saved_step("mnist28")
    assert saved is not None
    assert bench.steps("mnist28")[-1] <= saved < uninterrupted.steps("mnist28")[-1]
    *_, (_, outcome) = bench.recorded_runs()
    assert outcome == "CANCELED"

    last = saved
    for _ in range(2):
        with bench.running(*_COMMAND) as killed:
            last = _until_step(bench, killed, last + 1)
            killed.kill()
        # A slow machine comes to the time of the next save.
        kept = bench.saved_step("mnist28")
        assert kept is not None
        assert saved <= kept <= last
        assert not (bench.root / "models/mnist/candidate").exists()

    said = bench.dcgan("materialize", "mnist/candidate")
    assert "its process had died" in said
    statuses = [status for _, status in bench.recorded_runs()]
    assert statuses[-3:] == ["FAILURE", "FAILURE", "SUCCESS"]
    # Every line once, though two processes wrote some of them and died.
    assert bench.steps("mnist28") == uninterrupted.steps("mnist28")
    ours, theirs = (b.files("models/mnist/candidate") for b in (bench, uninterrupted))
    differing = {name for name in ours | theirs if ours.get(name) != theirs.get(name)}
    assert differing == {"models/mnist/candidate/_meta.json"}  # when and how fast


def _assert_nobody_else_gets_in(bench: Bench, holder: Running) -> None:
    """While one process trains: another waits for the GPU, a bare training stops in one line."""
    with bench.running(*_COMMAND) as second:
        second.until(
            lambda: "waiting for the gpu pool: held by run " in second.output(), "its one line"
        )
        assert second.interrupt() == 130
    folder = bench.run_folder("mnist28")
    said = bench.run(sys.executable, "-m", "dcgan_models.training", str(folder), code=1)
    assert said.splitlines()[-1] == f"error: {folder}: another process is training in this folder"
    assert "Traceback" not in said
    assert holder.process.poll() is None


def test_a_second_process_on_the_same_asset_waits(uninterrupted: Bench) -> None:
    """Without a pool the artefact's lock decides."""
    from filelock import FileLock

    command = ("dcgan", "materialize", "--force", "--only", "mnist/images")
    with (
        FileLock(uninterrupted.root / "runs/locks/mnist__images.lock"),
        uninterrupted.running(*command) as second,
    ):
        line = "mnist/images: waiting for another process, which is making it"
        second.until(lambda: line in second.output(), "its one line")
        assert second.interrupt() == 130


def test_dagsters_own_commands_work_in_a_workspace(make_bench: Any) -> None:
    """String selections crash where DVC's antlr has displaced the one that Dagster needs."""
    bench: Bench = make_bench("dagster")
    module = ("-m", "dcgan_assets.definitions")
    listed = bench.run("dagster", "asset", "list", *module, "--select", 'group:"mnist"')
    assert {"mnist/images", "mnist/candidate", "mnist/generator"} <= set(listed.split())
    assert not re.search(r"^(?!mnist/)\S+/\S+$", listed, re.MULTILINE)
    bench.run("dagster", "definitions", "validate", "-w", "workspace.yaml")
    bench.run("dagster", "asset", "materialize", *module, "--select", "mnist/images")
    assert bench.meta("data/mnist/images")["key"] == "mnist/images"
    # What Dagster made on its own is found again, not made twice.
    assert "mnist/images: up to date" in bench.dcgan("materialize", "mnist/images")
