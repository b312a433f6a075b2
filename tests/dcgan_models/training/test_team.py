"""Several processes that train one pair of networks: real ones, over gloo, through torchrun."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file
from training_runs import (
    CHECKOUT,
    PATIENCE_S,
    assert_same_run,
    log_of,
    quick_run,
    state_of,
    team_command,
    training,
    wait_until,
)

from dcgan_models.training import TrainConfig, train
from dcgan_models.weights import in_bytes, in_half

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, write_pictures: Any) -> TrainConfig:
    """A run of 36 minibatches, half of which show pictures of unlike brightness."""
    rng = np.random.default_rng(0)
    level = rng.uniform(0.1, 1, (24, 1, 1, 1))
    pixels = (rng.uniform(0, 255, (24, 28, 28, 1)) * level).astype(np.uint8)
    data = write_pictures(tmp_path_factory.mktemp("digits"), pixels)
    # The rate and Adam's eps of the plain loop's `telling` settings: rounding stays small.
    changes = {"epochs": 12, "learning_rate": 2e-3, "adam_eps": 3e-3}
    return quick_run(data, changes, snapshots=(1,), save_seconds=1e9)


# --- As one ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`alone`: one process; `whole` and `shares`: two, with and without sync_batch_norm."""
    root = tmp_path_factory.mktemp("team")
    replace(config, sync_batch_norm=True).write(root / "whole")
    replace(config, sync_batch_norm=False).write(root / "shares")
    launcher = team_command(root / "whole")
    words = [*launcher[: launcher.index("dcgan_models.training")], "team_member"]
    done = subprocess.run(
        [*words, str(root / "whole"), str(root / "shares")],
        cwd=Path(__file__).parent,  # where team_member.py is
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    assert train(config, root / "alone")
    return root


def published(run_dir: Path) -> dict[str, torch.Tensor]:
    return {
        f"{role}.{name}": tensor
        for role in ("generator", "discriminator")
        for name, tensor in load_file(run_dir / "result" / role / "weights.safetensors").items()
    }


def test_two_processes_with_common_statistics_are_one(trained: Path) -> None:
    alone, whole = published(trained / "alone"), published(trained / "whole")
    assert set(alone) == set(whole)
    for name in alone:
        # Kernels are kept in half precision: next to each other at most.
        torch.testing.assert_close(
            whole[name].float(), alone[name].float(), atol=1e-5, rtol=2**-10, msg=name
        )
    lines, expected = log_of(trained / "whole"), log_of(trained / "alone")
    assert len(lines) == len(expected) == 12
    for line, other in zip(lines, expected, strict=True):
        assert line == pytest.approx(other, abs=1e-4)


def test_with_statistics_of_their_own_they_are_not(trained: Path) -> None:
    alone, shares = published(trained / "alone"), published(trained / "shares")
    weights = [name for name in alone if not name.endswith(("norm.mean", "norm.var"))]
    assert max(float((shares[name] - alone[name]).abs().max()) for name in weights) > 1e-3


@pytest.mark.parametrize("name", ["whole", "shares"])
def test_all_processes_end_with_the_same_bits(trained: Path, name: str) -> None:
    one, other = (load_file(trained / name / f"rank_{rank}.safetensors") for rank in (0, 1))
    assert set(one) == set(other)
    for key, tensor in one.items():
        assert torch.equal(tensor, other[key]), key
    ours = published(trained / name)
    for role, shorten in (("generator", in_half), ("discriminator", in_bytes)):
        place = f"{role}."
        weights = {key.removeprefix(place): t for key, t in one.items() if key.startswith(place)}
        assert weights
        for key, tensor in shorten(weights).items():
            assert torch.equal(tensor, ours[place + key]), key


# --- Ended ----------------------------------------------------------------------------------


def members(launcher: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that train."""
    found = psutil.Process(launcher.pid).children(recursive=True)
    trainers = [process for process in found if "dcgan_models.training" in process.cmdline()]
    assert len(trainers) == 2
    return trainers


def all_gone(processes: list[psutil.Process]) -> Callable[[], bool]:
    # Each is told from a later process of the same number.
    return lambda: (
        not any(
            process.is_running() and process.status() != psutil.STATUS_ZOMBIE
            for process in processes
        )
    )


def step_of(run_dir: Path) -> int:
    """Of the newest state, which must be whole."""
    return int(state_of(run_dir)[1]["step"])


def test_a_team_outlives_every_end_and_goes_on_to_the_same_bits(
    config: TrainConfig, tmp_path: Path
) -> None:
    """SIGTERM, Ctrl-C, and `kill -9` of the launcher and of a process; then the whole run."""
    long = replace(
        config, preset=replace(config.preset, epochs=150), tick_steps=8, save_seconds=0.0
    )
    steps, run_dir = 450, tmp_path / "run"
    long.write(run_dir)

    for number in (signal.SIGTERM, signal.SIGINT):
        with training(run_dir, team_command(run_dir)) as launcher:
            family = members(launcher)
            if number is signal.SIGINT:  # a terminal sends Ctrl-C to everybody
                for process in family:
                    process.send_signal(number)
            launcher.send_signal(number)
            out, err = launcher.communicate(timeout=PATIENCE_S)
        assert launcher.returncode != 0
        assert all_gone(family)(), "who has saved has ended, and the launcher waited for it"
        assert log_of(run_dir)[-1]["step"] <= step_of(run_dir) < steps, err + out

    saved = step_of(run_dir)
    with training(run_dir, team_command(run_dir)) as launcher:
        family = members(launcher)
        launcher.kill()
        launcher.communicate(timeout=PATIENCE_S)
        wait_until(all_gone(family), "the end of a killed launcher's processes")
    assert saved < step_of(run_dir) < steps

    for rank in (1, 0):
        saved = step_of(run_dir)
        with training(run_dir, team_command(run_dir)) as launcher:
            family = members(launcher)
            chosen = next(p for p in family if p.environ()["RANK"] == str(rank))
            chosen.kill()
            launcher.communicate(timeout=PATIENCE_S)
            wait_until(all_gone(family), "the end of the others")
        assert launcher.returncode not in {0, 130}
        assert saved < step_of(run_dir) < steps

    for folder in (run_dir, tmp_path / "uninterrupted"):
        replace(long, save_seconds=1e9).write(folder)
        done = subprocess.run(
            team_command(folder), cwd=CHECKOUT, capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.returncode == 0, done.stderr
    assert_same_run(run_dir, tmp_path / "uninterrupted")


@pytest.fixture(scope="module")
def undivided(
    config: TrainConfig, tmp_path_factory: pytest.TempPathFactory
) -> subprocess.CompletedProcess[str]:
    """Nine pictures for two processes."""
    run_dir = tmp_path_factory.mktemp("undivided")
    replace(config, preset=replace(config.preset, batch=9)).write(run_dir)
    done = subprocess.run(
        team_command(run_dir), cwd=CHECKOUT, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert not (run_dir / "states").exists()
    return done


def test_a_batch_that_does_not_divide_is_refused(
    undivided: subprocess.CompletedProcess[str],
) -> None:
    assert undivided.returncode == 1
    assert "error: a batch of 9 does not divide among 2 processes" in undivided.stderr


def test_a_refusal_is_one_line(undivided: subprocess.CompletedProcess[str]) -> None:
    said = [line for line in undivided.stderr.splitlines() if "error: " in line]
    assert said == ["error: a batch of 9 does not divide among 2 processes"]
    assert "Traceback" not in undivided.stderr
