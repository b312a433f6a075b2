"""Directions of planted factors are found, and truth is counted as it is defined."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dcgan_models.internals.directions import (
    fit_directions,
    new_latents,
    random_directions,
    reach_length,
    read_along,
    truth_of,
)
from dcgan_models.metrics.judge import Factor
from dcgan_models.networks import draw_latents
from dcgan_models.presets import preset

PRESET = preset("lsun64")
FLAG, NUMBER, BOX = (
    Factor("there", "flag"),
    Factor("size", "number"),
    Factor("b", "box", of="there"),
)


class Latents:
    """A generator whose pictures are its latents."""

    preset = PRESET

    def draw(self, z: Tensor) -> Any:
        return z.numpy()


class Planted:
    """A judge: `there` where number 3 of z is above 0, `size` is twice number 5."""

    factors = (FLAG, NUMBER, BOX)

    def read(self, z: Any) -> dict[str, Any]:
        return {
            "there": (z[:, 3] > 0).astype(float),
            "size": 2 * z[:, 5],
            "b": np.zeros((len(z), 4)),
        }


GENERATOR: Any = Latents()
JUDGE: Any = Planted()


def test_planted_directions_are_found() -> None:
    flag, number = fit_directions(GENERATOR, JUDGE, samples=2000, deviations=4.0)
    assert (flag.factor, number.factor) == (FLAG, NUMBER)
    assert float(flag.vector.norm()) == pytest.approx(4 / 3**0.5, rel=1e-5)
    assert float(flag.vector[3] / flag.vector.norm()) > 0.95
    assert float(number.vector[5] / number.vector.norm()) == pytest.approx(1.0, abs=1e-5)
    assert number.explained == pytest.approx(1.0)


def test_truth_is_counted_from_end_to_end() -> None:
    z = new_latents(PRESET, 200, seed=1, fitted=10)
    direction = torch.zeros(PRESET.z_dim)
    direction[3] = 0.5
    middle = JUDGE.read(z.numpy())
    found = truth_of(FLAG, read_along(GENERATOR, JUDGE, z, direction), middle)
    # Absent below and there above: where the number itself lies within half of 0.
    assert found.obeyed == int(((z[:, 3] <= 0.5) & (z[:, 3] > -0.5)).sum())
    assert (found.low, found.middle, found.high) == tuple(
        float((z[:, 3] > bound).double().mean()) for bound in (0.5, 0.0, -0.5)
    )
    still = truth_of(NUMBER, read_along(GENERATOR, JUDGE, z, direction), middle)
    assert still.obeyed == 0


def test_new_latents_are_none_of_those_that_were_fitted() -> None:
    fitted = draw_latents(PRESET, 50, torch.Generator().manual_seed(2))
    new = new_latents(PRESET, 50, seed=2, fitted=50)
    assert not (fitted[:, None] == new[None]).all(dim=2).any()


def test_random_directions_are_as_long() -> None:
    assert random_directions(PRESET, 7, 4.0).norm(dim=1) == pytest.approx(
        np.full(7, reach_length(PRESET, 4.0)), rel=1e-5
    )
