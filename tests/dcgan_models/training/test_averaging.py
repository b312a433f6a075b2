"""The running average of G's weights against its closed form, and what a run makes of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fixture_types import WritePictures
from safetensors.torch import load_file
from training_runs import quick_run

from dcgan_models.networks import Generator
from dcgan_models.presets import preset
from dcgan_models.training import train
from dcgan_models.training.averaging import RunningAverage
from dcgan_models.training.checkpoint import load_state


def constant(value: float) -> Generator:
    """A generator of one value for every weight."""
    generator = Generator(preset("mnist28").with_overrides(width=0.02)).double()
    with torch.no_grad():
        for weight in generator.parameters():
            weight.fill_(value)
    return generator


def averaged(values: list[float]) -> float:
    """The average of weights that have had these values; that of all weights is one."""
    average = RunningAverage(constant(1e6))
    for value in values:
        average.follow(constant(value))
    found = torch.cat([weight.flatten() for weight in average.generator.parameters()])
    assert found.unique().numel() == 1
    return float(found[0])


@pytest.mark.parametrize("updates", [1, 2, 5, 40])
def test_the_average_is_that_of_its_closed_form(updates: int) -> None:
    """Update t has a weight of t (t + 1) ... (t + 7): the start, a million, is forgotten."""
    values = np.random.default_rng(0).normal(size=updates).tolist()
    weights = [math.comb(t + 7, 8) for t in range(1, updates + 1)]
    expected = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
    assert averaged(values) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_it_goes_on_from_a_state() -> None:
    one = RunningAverage(constant(0.0))
    for value in (1.0, 2.0, 3.0):
        one.follow(constant(value))
    other = RunningAverage(constant(9.0))
    other.restore(one.state())
    for average in (one, other):
        average.follow(constant(4.0))
    for ours, theirs in zip(other.generator.parameters(), one.generator.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_run_that_averages_learns_as_one_that_does_not_and_draws_with_the_average(
    tmp_path: Path, write_pictures: WritePictures
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 28, 28, 1), dtype=np.uint8)
    data = write_pictures(tmp_path / "digits", pixels)
    plain = quick_run(data, {"epochs": 2}, snapshots=(1,))
    config = replace(plain, preset=replace(plain.preset, averaged=True))
    runs = {True: tmp_path / "averaged", False: tmp_path / "plain"}
    assert train(config, runs[True])
    assert train(plain, runs[False])

    def loss_lines(run: Path) -> list[tuple[float, float]]:
        lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        return [(line["d_loss"], line["g_loss"]) for line in lines]

    assert loss_lines(runs[True]) == loss_lines(runs[False])
    d, other_d = (
        load_file(run / "result" / "discriminator" / "weights.safetensors") for run in runs.values()
    )
    assert all(torch.equal(d[name], other_d[name]) for name in d)
    # What is kept is the state's average, neither the last weights nor those of the plain run.
    state = load_state(runs[True])
    assert state is not None
    kept = load_file(runs[True] / "result" / "generator" / "weights.safetensors")
    learned = load_file(runs[False] / "result" / "generator" / "weights.safetensors")
    name = "blocks.1.weight.weight"
    assert torch.equal(kept[name], state[0][f"average.{name}"].to(kept[name].dtype))
    assert torch.equal(learned[name], state[0][f"generator.{name}"].to(learned[name].dtype))
    assert not torch.equal(kept[name], learned[name])
    early = runs[True] / "result" / "generator" / "snapshots" / "epoch_0001.safetensors"
    assert not torch.equal(load_file(early)[name], kept[name])
