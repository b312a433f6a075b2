"""`kill -9` at thirty random moments of a training: nothing is half, and nothing is lost."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from training_runs import (
    assert_same_run,
    count_lines,
    quick_run,
    state_of,
    wait_until,
    without_saves,
)

from dcgan_models.training import TrainConfig, train
from dcgan_models.training.checkpoint import read_state

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

KILLS_AT_WORK, KILLS_AT_THE_END = 24, 6
PER_EPOCH = 3
EPOCHS = 250


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, write_pictures: Any) -> TrainConfig:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 28, 28, 1), dtype=np.uint8)
    data = write_pictures(tmp_path_factory.mktemp("digits"), pixels)
    snapshots = tuple(range(5, EPOCHS + 1, 45))
    return quick_run(data, {"epochs": EPOCHS}, snapshots=snapshots, tick_steps=PER_EPOCH)


@pytest.fixture(scope="module")
def uninterrupted(config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("uninterrupted")
    assert train(without_saves(config), run_dir)
    return run_dir


def go_on(run_dir: Path) -> None:
    train(TrainConfig.read(run_dir), run_dir)


@contextmanager
def training(run_dir: Path) -> Iterator[ForkProcess]:
    """A process that trains, killed at the end; a copy of this one, which has loaded torch."""
    process = multiprocessing.get_context("fork").Process(target=go_on, args=(run_dir,))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def assert_nothing_is_half(run_dir: Path) -> None:
    """Every file that has its name is whole; what was being written has another, hidden one."""
    states = sorted((run_dir / "states").glob("step_*"))
    assert states
    for path in states:
        read_state(path)
    for path in run_dir.glob("result/**/[!.]*.safetensors"):
        assert load_file(path)


def test_killed_at_work_thirty_times_in_all_it_ends_in_the_same_bits(
    config: TrainConfig, uninterrupted: Path, tmp_path: Path
) -> None:
    """Some runs save after every minibatch, so that most of their time is spent in saves."""
    rng, last = random.Random(1), 0  # noqa: S311  (moments, not secrets)
    for _ in range(KILLS_AT_WORK):
        replace(config, save_seconds=rng.choice([0.0, 0.0, 0.03])).write(tmp_path)
        seen = count_lines(tmp_path)
        with training(tmp_path) as process:
            wait_until(
                lambda process=process, seen=seen: (
                    count_lines(tmp_path) >= seen + 2 or not process.is_alive()
                ),
                "two lines of the log",
            )
            assert process.is_alive()
            time.sleep(rng.uniform(0, 0.1))  # the moment is what is random here
            process.kill()
        assert_nothing_is_half(tmp_path)
        step = state_of(tmp_path)[1]["step"]
        assert last <= step < EPOCHS * PER_EPOCH
        last = step
    assert last > KILLS_AT_WORK, "each start went on, not back"
    assert not (tmp_path / "result" / "discriminator").exists()

    # The others fall while the result is written.
    calls = iter(range(EPOCHS * PER_EPOCH - last - 1))
    assert not train(without_saves(config), tmp_path, should_stop=lambda: next(calls, None) is None)
    for _ in range(KILLS_AT_THE_END):
        with training(tmp_path) as process:
            wait_until(
                lambda process=process: (
                    state_of(tmp_path)[1]["step"] == EPOCHS * PER_EPOCH or not process.is_alive()
                ),
                "the last state",
            )
            time.sleep(rng.uniform(0, 0.3))
            process.kill()
        assert_nothing_is_half(tmp_path)

    assert train(without_saves(config), tmp_path)
    assert_same_run(tmp_path, uninterrupted)
