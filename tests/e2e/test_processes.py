"""A candidate trained by two processes through torchrun and Pipes, as a user calls it."""

from __future__ import annotations

import signal
from typing import Any

import dagster as dg
import psutil
import pytest
from web_ui import served
from workbench import LENGTH, Bench, Running, lengthen, wait_for, without_dvc

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

_COMMAND = ("dcgan", "materialize", "mnist/candidate")


def _two_processes(params: dict[str, Any]) -> None:
    params["machine"] = {"device": "cpu", "processes": 2}


def _observed(bench: Bench) -> list[dict[str, Any]]:
    """The numbers of every tick that Dagster was told of, oldest first."""
    with dg.DagsterInstance.from_config(str(bench.root / ".dagster_home")) as instance:
        found = instance.fetch_observations(dg.AssetKey(["mnist", "candidate"]), limit=1000).records
    observations = [record.asset_observation for record in reversed(found)]
    return [{k: v.value for k, v in o.metadata.items()} for o in observations if o is not None]


def _trainers(running: Running) -> list[psutil.Process]:
    """The processes that train, once both are there."""
    return [
        process
        for process, words in running.commands().items()
        if "dcgan_assets.engine.training_process" in words
        and "dcgan_models.training.launch" not in words
    ]


def _until_tick(bench: Bench, running: Running, least: int) -> list[psutil.Process]:
    """Wait for a line of the log of at least that step; everybody who is at work then."""
    running.until(lambda: bench.steps("mnist28")[-1:] >= [least], f"step {least} in the log")
    assert len(_trainers(running)) == 2
    return running.descendants()


def _assert_gone(family: list[psutil.Process]) -> None:
    wait_for(
        lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family),
        "the end of all processes",
        240,
    )


def test_two_processes_train_a_candidate_through_stops_and_losses(make_bench: Any) -> None:
    bench: Bench = make_bench("processes", lengthen, _two_processes, without_dvc)

    with bench.running(*_COMMAND) as stopped:
        family = _until_tick(bench, stopped, 100)
        stopped.process.send_signal(signal.SIGTERM)
        assert stopped.process.wait(240) == 130, stopped.output()
    _assert_gone(family)
    assert "interrupted; what was being trained is saved" in stopped.output()
    saved = bench.saved_step("mnist28")
    assert saved is not None
    assert bench.steps("mnist28")[-1] <= saved < LENGTH
    assert bench.recorded_runs()[-1][1] == "CANCELED"
    assert [tick["step"] for tick in _observed(bench)] == bench.steps("mnist28")

    with bench.running(*_COMMAND) as lame:
        family = _until_tick(bench, lame, saved + 50)
        _trainers(lame)[1].kill()
        assert lame.process.wait(240) == 1, lame.output()
    _assert_gone(family)
    (line,) = [line for line in lame.output().splitlines() if line.startswith("FAILED")]
    assert "mnist/candidate: a training process was lost" in line
    assert "materialise again to go on" in line
    kept = bench.saved_step("mnist28")
    assert kept is not None
    assert saved <= kept < LENGTH

    bench.dcgan("materialize", "mnist/candidate")
    steps = bench.steps("mnist28")
    assert steps == list(range(50, LENGTH + 1, 50)), "every line once"
    observed = _observed(bench)
    # Each of the three runs told its own ticks, and the last one told the last.
    assert {observation["step"] for observation in observed} == set(steps)
    assert observed[-1]["step"] == LENGTH
    told = {"step", "epoch", "images_per_second", "fixed_z_spread", "oscillating_filters"}
    assert all(told <= set(observation) for observation in observed)
    assert all(observation["d_loss"] > 0 for observation in observed)
    assert (bench.root / "models/mnist/candidate/generator/weights.safetensors").exists()
    said = bench.dcgan("materialize", "mnist/candidate")
    assert said.startswith("up to date")


def test_terminate_and_kill_in_the_ui_reach_every_process(make_bench: Any) -> None:
    bench: Bench = make_bench("team", lengthen, _two_processes, without_dvc)
    bench.dcgan("materialize", "mnist/images")
    with served(bench) as server:

        def at_work(least: int) -> tuple[str, list[psutil.Process]]:
            run_id = server.launch("mnist/candidate")
            server.running.until(
                lambda: bench.steps("mnist28")[-1:] >= [least], f"step {least} in the log"
            )
            family = server.family(run_id)
            assert len(_trainers(server.running)) == 2
            return run_id, family

        run_id, family = at_work(50)
        server.terminate(run_id)
        assert server.wait_for_end(run_id) == "CANCELED"
        _assert_gone(family)
        saved = bench.saved_step("mnist28")
        assert saved is not None
        assert saved >= bench.steps("mnist28")[-1]

        run_id, family = at_work(saved + 50)
        family[0].kill()
        assert server.wait_for_end(run_id) == "FAILURE"
        _assert_gone(family)


def test_what_the_processes_refuse_is_said_in_one_line(make_bench: Any) -> None:
    def three(params: dict[str, Any]) -> None:
        params["machine"] = {"device": "cpu", "processes": 3}

    bench: Bench = make_bench("three", three)
    said = bench.dcgan("materialize", "mnist/candidate", code=1)
    (line,) = [line for line in said.splitlines() if line.startswith("FAILED")]
    assert line == "FAILED mnist/candidate: a batch of 32 does not divide among 3 processes"
    assert not (bench.root / "models/mnist/candidate").exists()
