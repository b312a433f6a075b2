"""`python -m dcgan_models.training` as a user runs it: stopped, killed, out of disk, misused."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_runs import (
    CHECKOUT,
    PATIENCE_S,
    assert_same_run,
    command,
    last_line,
    log_of,
    quick_run,
    state_of,
    training,
    without_saves,
)

from dcgan_models.training import TrainConfig, train


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, write_pictures: Any) -> TrainConfig:
    """A run of 150 minibatches that saves after each, so that a signal falls in the middle."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 28, 28, 1), dtype=np.uint8)
    data = write_pictures(tmp_path_factory.mktemp("digits"), pixels)
    return quick_run(data, {"epochs": 50}, snapshots=(1,))


@pytest.fixture(scope="module")
def uninterrupted(config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("uninterrupted")
    assert train(without_saves(config), run_dir)
    return run_dir


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_run_and_the_same_command_goes_on(
    config: TrainConfig, uninterrupted: Path, tmp_path: Path, refused: Any, number: signal.Signals
) -> None:
    config.write(tmp_path)
    with training(tmp_path) as process:
        process.send_signal(signal.SIGSTOP)  # it cannot end meanwhile
        with refused("another process is training in this folder"):
            train(config, tmp_path)
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, err
    assert "Traceback" not in err + out
    assert log_of(tmp_path)[-1]["step"] <= state_of(tmp_path)[1]["step"] < 150
    assert not (tmp_path / "result" / "discriminator").exists()
    assert train(without_saves(config), tmp_path)
    assert_same_run(tmp_path, uninterrupted)


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_save(
    config: TrainConfig, uninterrupted: Path, tmp_path: Path
) -> None:
    config.write(tmp_path)
    with training(tmp_path) as process:
        process.kill()
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "result" / "discriminator").exists()
    assert 0 < state_of(tmp_path)[1]["step"] < 150  # whole, whenever the kill came
    assert train(without_saves(config), tmp_path)
    assert_same_run(tmp_path, uninterrupted)


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_state_whole(config: TrainConfig, tmp_path: Path) -> None:
    """No file may grow beyond half a state: writing one fails as on a full disk."""
    calls = iter([False] * 5)
    train(config, tmp_path, should_stop=lambda: next(calls, True))
    path = max(tmp_path.glob("states/*"))
    before, limit = path.read_bytes(), path.stat().st_size // 2
    done = subprocess.run(
        command(tmp_path),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "File too large" in last_line(done.stderr)
    assert path.read_bytes() == before
    assert state_of(tmp_path)[1]["step"] == 5
    assert not list(tmp_path.rglob(".*"))  # the half-written file is gone


# --- Without a process of its own -----------------------------------------------------------


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str]]]:
    """Call `main` with arguments; give its exit code and what it wrote to stderr."""
    from dcgan_models.training.__main__ import main

    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["training", *arguments])
        code = main()
        return code, capsys.readouterr().err

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_finished_run_exits_with_zero(
    config: TrainConfig, uninterrupted: Path, tmp_path: Path, call: Any
) -> None:
    without_saves(config).write(tmp_path)
    code, shown = call(str(tmp_path))
    assert code == 0
    assert "150/150" in shown
    assert_same_run(tmp_path, uninterrupted)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "config.json is missing"),
        ('{"preset": "mnist28", "data": "nowhere", "seed": 1}', "no data set here"),
        ('{"preset": "mnist28", "data": "nowhere", "seed": 1, "sedd": 1}', "unknown key 'sedd'"),
        ('{"preset": "mnist28", "data": "nowhere", "seed": 1, "device": "gpu"}', "device"),
    ],
)
def test_an_error_is_one_line_and_exits_with_one(
    tmp_path: Path, call: Any, text: str | None, words: str
) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    code, shown = call(str(tmp_path))
    assert code == 1
    assert words in last_line(shown)
