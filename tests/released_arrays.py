"""Arrays such as the authors released, with random values."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dcgan_models.networks import Discriminator, Generator
from dcgan_models.presets import preset


def write_arrays(folder: Path) -> Path:
    """Arrays of the right names, shapes and layout, with random values."""
    rng = np.random.default_rng(0)
    for kind, stem in ((Generator, "gen"), (Discriminator, "discrim")):
        for number, parameter in enumerate(kind(preset("svhn32")).parameters(), 1):
            shape = tuple(parameter.shape)
            shape = shape[::-1] if len(shape) == 2 else shape
            array = rng.normal(size=shape).astype(np.float32)
            np.save(folder / f"200_{stem}_params.jl_{number:02d}.npy", array)
    return folder
