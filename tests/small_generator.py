"""A tiny generator, published in a workspace as a training would have left it."""

from __future__ import annotations

from pathlib import Path

import torch

from dcgan_assets.engine.store import Artefact, Meta, Store
from dcgan_models.networks import (
    Generator,
    draw_latents,
    estimate_sampling_statistics,
    initialise,
    save_network,
)
from dcgan_models.presets import preset

SAMPLES = 70


def small_generator(
    name: str = "lsun64", rng: torch.Generator | None = None, seed: int = 0, shifts: float = 0.0
) -> Generator:
    """A generator of untrained weights with contrast.

    Args:
        shifts: How far biases, and scales and shifts of batch norm, are moved from 0 and 1.
    """
    rng = rng or torch.Generator().manual_seed(seed)
    generator = Generator(preset(name).with_overrides(width=0.03, batch=8, biased=True))
    initialise(generator, rng)
    with torch.no_grad():
        for parameter in generator.parameters():
            if parameter.ndim > 1:
                parameter.mul_(10)
            elif shifts:
                parameter.add_(shifts * (torch.rand(parameter.shape, generator=rng) - 0.5))
    estimate_sampling_statistics(generator, seed=seed, minibatches=4)
    return generator


def publish_generator(
    root: Path, group: str, name: str = "lsun64", seed: int = 0, samples: int = SAMPLES
) -> str:
    """Publish a generator of untrained weights with contrast; its data version."""
    rng = torch.Generator().manual_seed(seed)
    generator = small_generator(name, rng, seed)
    if samples:
        generator.fixed_z = draw_latents(generator.preset, samples, rng)
    if samples and generator.preset.classes:
        generator.fixed_labels = torch.arange(samples) % generator.preset.classes
    store, artefact = Store(root), Artefact(f"{group}/generator", "models")
    with store.writing(artefact) as staging:
        save_network(generator, staging)
        version = store.content_version(staging)
        meta = Meta(
            key=artefact.key,
            shard=None,
            data_version=version,
            code_version="",
            fingerprint="",
            inputs={},
            seed=seed,
            params_seed=seed,
            created="",
            duration_s=0.0,
            hardware="",
        )
        store.publish(staging, artefact, meta)
    return version
