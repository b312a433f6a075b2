"""The saved state: every bit comes back, and any other bit is noticed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_states import FACTS, NAME, TENSORS

from dcgan_models.adam import Adam
from dcgan_models.presets import preset
from dcgan_models.training.checkpoint import (
    KEPT_STATES,
    STATES,
    adam_state,
    describe_differences,
    load_adam_state,
    load_state,
    run_lock,
    save_state,
)
from dcgan_models.training.config import TrainConfig


def test_a_state_comes_back_bit_for_bit(tmp_path: Path) -> None:
    assert load_state(tmp_path) is None
    save_state(tmp_path, TENSORS, FACTS)
    loaded = load_state(tmp_path)
    assert loaded is not None
    tensors, facts = loaded
    assert facts == FACTS
    assert set(tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert tensors[name].shape == tensor.shape
        assert tensors[name].numpy().tobytes() == tensor.numpy().tobytes()
    assert [path.name for path in (tmp_path / STATES).iterdir()] == [NAME]


def test_the_last_states_and_those_of_snapshot_epochs_are_kept(tmp_path: Path) -> None:
    for step in range(1, 7):
        save_state(tmp_path, TENSORS, {"step": step}, epoch=1 if step == 2 else None)
    passing = [f"step_{step:09d}.safetensors" for step in range(7 - KEPT_STATES, 7)]
    left = sorted(path.name for path in (tmp_path / STATES).iterdir())
    assert left == ["step_000000002_epoch_0001.safetensors", *passing]
    loaded = load_state(tmp_path)
    assert loaded is not None
    assert loaded[1] == {"step": 6}


def test_adam_goes_on_as_if_it_had_not_stopped() -> None:
    def network() -> tuple[torch.nn.Module, Adam]:
        torch.manual_seed(0)
        module = torch.nn.Linear(3, 2)
        return module, Adam(module.parameters(), 0.1)

    def step(module: torch.nn.Module, optimiser: Adam) -> None:
        optimiser.zero_grad()
        module(torch.ones(1, 3)).square().sum().backward()
        optimiser.step()

    one, its = network()
    for _ in range(3):
        step(one, its)
    other, own = network()
    other.load_state_dict(one.state_dict())
    taken = {f"x.{key}": value for key, value in adam_state(its, one, "g").items()}
    assert len(taken) == 6  # exp_avg, exp_avg_sq and step of two parameters
    load_adam_state(own, other, "x.g", {key: value.clone() for key, value in taken.items()})
    for _ in range(3):
        step(one, its)
        step(other, own)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_differences_are_named_with_both_values() -> None:
    saved = {"seed": 1, "preset": {"batch": 128, "image": [1, 28, 28]}, "snapshots": [1, 5]}
    wanted = {"seed": 2, "preset": {"batch": 64, "image": [1, 28, 28]}, "snapshots": [1]}
    line = describe_differences(saved, wanted)
    assert line.split(", ") == [
        "preset.batch 128 (saved) / 64 (asked)",
        "seed 1 (saved) / 2 (asked)",
        "snapshots.1 5 (saved) / None (asked)",
    ]
    assert describe_differences(saved, saved) == ""


# --- The lock -------------------------------------------------------------------------------


def test_a_folder_has_one_trainer_at_a_time(tmp_path: Path, refused: Any) -> None:
    with run_lock(tmp_path / "run"):
        with refused("another process is training"), run_lock(tmp_path / "run"):
            pass
        with run_lock(tmp_path / "other"):
            pass
    with run_lock(tmp_path / "run"):
        pass


# --- config.json ----------------------------------------------------------------------------


def test_a_configuration_comes_back_from_its_file(tmp_path: Path) -> None:
    config = TrainConfig(
        preset=preset("mnist28").with_overrides(width=0.1, batch=16),
        data="data",
        seed=9,
        data_version="abc",
        snapshots=(1, 5),
        precision="bf16",
    )
    config.write(tmp_path)
    assert TrainConfig.read(tmp_path) == config
    assert config.epochs == 200


def test_a_preset_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"preset": "torch64", "data": "d", "seed": 1}')
    assert TrainConfig.read(tmp_path).preset == preset("torch64")


def test_machine_settings_are_no_part_of_the_identity() -> None:
    one = TrainConfig(preset=preset("mnist28"), data="here", seed=1)
    other = replace(one, data="there", device="cpu", loading="streamed", save_seconds=1.0)
    assert one.identity() == other.identity()
    changes: list[dict[str, Any]] = [
        *({"seed": 2}, {"data_version": "x"}, {"split": "x"}, {"tick_steps": 1}),
        *({"precision": "fp32"}, {"compile": "off"}, {"sync_batch_norm": False}),
        {"preset": preset("mnist28_fc")},
    ]
    for change in changes:
        assert replace(one, **change).identity() != one.identity()


@pytest.mark.parametrize(
    ("steps", "every"),
    [
        *((1, 50), (240, 50), (999, 50)),
        *((1000, 50), (10_000, 50), (10_001, 100), (78_000, 400), (107_815, 800)),
    ],
)
def test_lines_of_the_log_are_as_many_as_the_length_asks_for(steps: int, every: int) -> None:
    config = TrainConfig(preset=preset("mnist28"), data="d", seed=1)
    assert config.tick_every(steps) == every
    assert steps // every <= 200
    assert replace(config, tick_steps=7).tick_every(steps) == 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "config.json is missing"),
        ('{"preset": "mnist28"', "not readable JSON"),
        ("[1, 2]", "a mapping is needed"),
        ('{"preset": "mnist28", "seed": 1}', "`data` is missing"),
        ('{"preset": "mnist28", "data": "d", "seed": 1, "sede": 2}', "unknown key 'sede'"),
        ('{"preset": "mnist29", "data": "d", "seed": 1}', "unknown preset 'mnist29'"),
        ('{"preset": {"name": "x"}, "data": "d", "seed": 1}', "preset: `source` is missing"),
        ('{"preset": "mnist28", "data": "d", "seed": "one"}', "seed is 'one'"),
        ('{"preset": "mnist28", "data": "d", "seed": 1, "device": "gpu"}', "auto, cpu, cuda"),
        ('{"preset": "mnist28", "data": "d", "seed": 1, "precision": "fp16"}', "auto, fp32, bf16"),
        ('{"preset": "mnist28", "data": "d", "seed": 1, "tick_steps": 0}', "tick_steps is 0"),
        ('{"preset": "mnist28", "data": "d", "seed": 1, "snapshots": 5}', "snapshots is 5"),
    ],
)
def test_a_bad_configuration_is_one_line(
    tmp_path: Path, refused: Any, text: str | None, words: str
) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with refused(str(tmp_path / "config.json"), words):
        TrainConfig.read(tmp_path)
