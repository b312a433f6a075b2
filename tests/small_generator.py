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


def publish_generator(root: Path, group: str, name: str = "lsun64", seed: int = 0) -> str:
    """Publish a generator of untrained weights with contrast; its data version."""
    generator = Generator(preset(name).with_overrides(width=0.03, batch=8))
    rng = torch.Generator().manual_seed(seed)
    initialise(generator, rng)
    with torch.no_grad():
        for parameter in generator.parameters():
            if parameter.ndim > 1:
                parameter.mul_(10)
    estimate_sampling_statistics(generator, seed=seed, minibatches=4)
    generator.fixed_z = draw_latents(generator.preset, SAMPLES, rng)
    if generator.preset.classes:
        generator.fixed_labels = torch.arange(SAMPLES) % generator.preset.classes
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
