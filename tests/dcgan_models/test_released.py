"""The authors' SVHN arrays: readable digits, D's opinion of them, and every way to be bad."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from checkout import CHECKOUT
from released_arrays import write_arrays

from dcgan_models.networks import Discriminator, Generator, draw_latents
from dcgan_models.released import load_released_svhn


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return write_arrays(tmp_path)


_HERE = CHECKOUT
ARRAYS = Path(os.environ.get("DCGAN_RELEASED_SVHN", _HERE.parent / "shared" / "released_svhn"))

needs_arrays = pytest.mark.skipif(
    not ARRAYS.is_dir(),
    reason="the authors' arrays are not here; set DCGAN_RELEASED_SVHN to their folder",
)


def _mean_opinion(generator: Generator, discriminator: Discriminator) -> float:
    """Mean D(G(z)) over 8 batches of 64, batch statistics in both."""
    rng = torch.Generator().manual_seed(0)
    total = 0.0
    with torch.no_grad():
        for _ in range(8):
            logits = discriminator(generator(draw_latents(generator.preset, 64, rng)))
            total += float(torch.sigmoid(logits).mean())
    return total / 8


def _turn_kernels(network: torch.nn.Module) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 4:
                parameter.copy_(parameter.flip(2, 3))


@needs_arrays
def test_released_discriminator_doubts_released_samples_only_with_turned_kernels() -> None:
    generator, discriminator = load_released_svhn(ARRAYS)
    assert 0.01 < _mean_opinion(generator, discriminator) < 0.15
    _turn_kernels(generator)
    _turn_kernels(discriminator)
    assert _mean_opinion(generator, discriminator) > 0.5


@needs_arrays
def test_released_arrays_are_copied_value_by_value() -> None:
    generator, discriminator = load_released_svhn(ARRAYS)
    dense = np.load(ARRAYS / "200_gen_params.jl_01.npy")
    kernel = np.load(ARRAYS / "200_discrim_params.jl_02.npy")
    weights = dict(generator.named_parameters())
    assert np.array_equal(weights["blocks.0.weight.weight"].detach().numpy(), dense.T)
    found = dict(discriminator.named_parameters())["blocks.1.weight.weight"].detach().numpy()
    assert found[3, 5, 0, 1] == kernel[3, 5, 4, 3]


def test_written_arrays_load(written: Path) -> None:
    generator, _ = load_released_svhn(written)
    assert sum(1 for _ in generator.parameters()) == 10
