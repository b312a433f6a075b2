"""The number of threads that a run began with is the one that it goes on with."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_beginning import after
from training_runs import CHECKOUT, command, quick_run, state_of, without_saves

from dcgan_models import machine
from dcgan_models.data import PixelStore
from dcgan_models.training import TrainConfig, train
from dcgan_models.training.checkpoint import load_state, save_state
from dcgan_models.training.loop import _Run
from dcgan_models.training.team import Team

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
two_cores = pytest.mark.skipif(CORES < 2, reason="this machine has one core")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, write_pictures: Any) -> TrainConfig:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 28, 28, 1), dtype=np.uint8)
    data = write_pictures(tmp_path_factory.mktemp("digits"), pixels)
    return without_saves(quick_run(data, {"epochs": 2}))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    assert torch.get_num_threads() == 1
    yield
    torch.set_num_threads(1)


@two_cores
def test_a_run_goes_on_with_the_threads_of_its_state(
    config: TrainConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    used = []

    def so_far(steps: int) -> Any:
        stop = after(steps)

        def ask() -> bool:
            used.append(torch.get_num_threads())
            return stop()

        return ask

    torch.set_num_threads(2)
    train(config, tmp_path / "whole", should_stop=so_far(4))
    train(config, tmp_path / "stopped", should_stop=so_far(2))
    torch.set_num_threads(1)
    train(config, tmp_path / "other", should_stop=after(4))
    assert not caplog.text
    train(config, tmp_path / "stopped", should_stop=so_far(2))
    assert set(used) == {2}
    assert torch.get_num_threads() == 1, "what is computed next has its own"
    assert "its number of threads stays 2, not this machine's 1, and so do its bits" in caplog.text
    assert "without as many cores to itself it is several times slower" in caplog.text
    assert state_of(tmp_path / "stopped") == state_of(tmp_path / "whole")
    facts = state_of(tmp_path / "whole")[1], state_of(tmp_path / "other")[1]
    assert [(one["threads"], one["processes"]) for one in facts] == [(2, 1), (1, 1)]


def test_another_number_of_processes_is_said(
    config: TrainConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(config, tmp_path, should_stop=after(2))
    state = load_state(tmp_path)
    assert state is not None
    save_state(tmp_path, state[0], {**state[1], "processes": 2, "threads": 4})
    train(config, tmp_path, should_stop=after(1))
    (line,) = caplog.messages
    assert "its number of processes was 2 and becomes 1: its last bits become others" in line


@two_cores
@pytest.mark.slow
def test_the_bits_are_those_of_the_first_number_of_threads(
    config: TrainConfig, tmp_path: Path
) -> None:
    """Real processes: whole with one and with two threads, and stopped with one, then two."""

    def run(name: str, threads: int) -> bytes:
        config.write(tmp_path / name)
        done = subprocess.run(
            command(tmp_path / name),
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"},
        )
        assert done.returncode == 0, done.stderr
        said = "its number of threads stays 1, not this machine's 2" in done.stderr
        assert said == (name == "stopped")
        assert "slower" not in done.stderr, "fewer threads than there could be starve nobody"
        return (tmp_path / name / "result/generator/weights.safetensors").read_bytes()

    train(config, tmp_path / "stopped", should_stop=after(3))
    one, two, stopped = run("one", 1), run("two", 2), run("stopped", 2)
    assert one == stopped
    assert one != two, "threads do not tell on this machine, so that this test tells nothing"


def test_a_rate_below_half_of_one_threads_is_said(
    config: TrainConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = PixelStore.open(config.data)
    run = _Run(config, tmp_path, store, Team(), torch.device("cpu"))
    torch.set_num_threads(2)
    for rate in (100.0, 60.0, 26.0):  # one thread has 50 at least
        run._mind_rate(rate)
    assert not caplog.messages
    run._mind_rate(24.0)
    (line,) = caplog.messages
    assert "24 pictures a second" in line
    assert "less than half of what one of its 2 threads had" in line


def test_a_new_run_takes_what_there_is_to_have(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a busy machine's one thread stays its number when the machine is idle again."""
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(machine, "available_cores", lambda: 2)
    torch.set_num_threads(2)
    for idle, steps in ((0.4, 2), (2.0, 2)):
        monkeypatch.setattr(machine, "_idle_cores", lambda idle=idle: idle)
        train(config, tmp_path, should_stop=after(steps))
        assert state_of(tmp_path)[1]["threads"] == 1
    assert torch.get_num_threads() == 2
