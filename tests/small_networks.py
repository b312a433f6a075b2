"""Small networks whose pictures have contrast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dcgan_models.networks import (
    Generator,
    Network,
    draw_latents,
    estimate_sampling_statistics,
    initialise,
    save_network,
)
from dcgan_models.presets import Preset, preset


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(name: str, **changes: Any) -> Preset:
    return preset(name).with_overrides(width=0.03, batch=8, **changes)


def generator(name: str, *, seed: int = 0, statistics: bool = True) -> Generator:
    """A small generator whose pictures have contrast, with sampling statistics."""
    network = Generator(small(name))
    enliven(network, seed)
    if statistics:
        estimate_sampling_statistics(network, seed=seed, minibatches=4)
    return network


@torch.no_grad()
def enliven(network: Network, seed: int) -> None:
    """Weights ten times the initial ones, so that no layer is near its linear range."""
    initialise(network, rng(seed))
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.mul_(10)
        else:
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.3, generator=rng(seed)))


def save_generator(folder: Path) -> Path:
    """A folder with a generator, as a run leaves it."""
    network = generator("mnist28")
    network.fixed_z = draw_latents(network.preset, 20, rng(8))
    network.fixed_labels = torch.arange(20) % 10
    save_network(network, folder)
    return folder
