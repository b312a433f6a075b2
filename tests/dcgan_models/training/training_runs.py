"""Trainings as processes of their own, and what they leave behind: for tests that end them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from checkout import CHECKOUT

from dcgan_models.presets import preset
from dcgan_models.training import TrainConfig
from dcgan_models.training.checkpoint import load_state

PATIENCE_S = 900


def quick_run(data: Path, changes: dict[str, Any], **settings: Any) -> TrainConfig:
    """A run of a tiny network that saves whenever it may.

    Args:
        data: Of digits.
        changes: To the preset.
        settings: Of the run.
    """
    changes = {"width": 0.02, "batch": 8, "decay_epochs": 0, **changes}
    chosen = preset("mnist28").with_overrides(**changes)
    common = {"seed": 5, "tick_steps": 3, "device": "cpu", "precision": "fp32", "save_seconds": 0.0}
    return TrainConfig(preset=chosen, data=str(data), **{**common, **settings})


def without_saves(config: TrainConfig) -> TrainConfig:
    """The same run, saved at its end alone: faster."""
    return replace(config, save_seconds=1e9)


def command(run_dir: Path) -> list[str]:
    """One process."""
    return [sys.executable, "-m", "dcgan_models.training", str(run_dir)]


def team_command(run_dir: Path, processes: int = 2) -> list[str]:
    """Several processes, through torchrun."""
    launcher = ["dcgan_models.training.launch", "--standalone", f"--nproc-per-node={processes}"]
    return [sys.executable, "-m", *launcher, "-m", "dcgan_models.training", str(run_dir)]


def wait_until(look: Callable[[], Any], about: str) -> None:
    """Look again and again, within a bound."""
    deadline = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < deadline, f"waited in vain for {about}"
        time.sleep(0.002)  # between two looks


@contextmanager
def training(run_dir: Path, words: list[str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """The command at work: its log has grown by lines. It is killed if the block leaves it."""
    log, seen = run_dir / "log.jsonl", count_lines(run_dir)
    process = subprocess.Popen(
        words or command(run_dir),
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:

        def at_work() -> bool:
            assert process.poll() is None, process.communicate()
            return log.exists() and count_lines(run_dir) >= seen + 2

        wait_until(at_work, f"lines in {log}")
        yield process
    finally:
        process.kill()
        process.communicate()


def count_lines(run_dir: Path) -> int:
    """Whole lines of the log."""
    path = run_dir / "log.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def log_of(run_dir: Path) -> list[dict[str, Any]]:
    """The log but for how fast it went."""
    lines = map(json.loads, (run_dir / "log.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k != "images_per_second"} for line in lines]


def state_of(run_dir: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Every tensor as bytes, and the facts."""
    state = load_state(run_dir)
    assert state is not None
    tensors, facts = state
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}, facts


def assert_same_run(run_dir: Path, other: Path) -> None:
    """The same logs, the same states, and the same bytes of everything published."""
    assert log_of(run_dir) == log_of(other)
    assert state_of(run_dir) == state_of(other)
    for folder in ("result", "grids"):
        found, expected = (
            {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
            for root in (run_dir / folder, other / folder)
        )
        assert found
        assert found == expected


def last_line(text: str) -> str:
    """The message below the progress bar, which redraws itself with carriage returns."""
    line = text.rstrip("\n").splitlines()[-1]
    assert line.startswith("error: ")
    return line
