"""Made-up pictures for the measures: coarse noise, enlarged, so that neighbouring pixels agree."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def blots(
    n: int, side: int, seed: int, *, contrast: float = 40, channels: int = 3
) -> npt.NDArray[np.uint8]:
    """uint8 (n, side, side, channels) with squares of 8 pixels under a little fine noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(128, contrast, (n, side // 8, side // 8, channels))
    pictures = coarse.repeat(8, axis=1).repeat(8, axis=2) + rng.normal(0, 5, (n, side, side, 1))
    return np.asarray(pictures.clip(0, 255).astype(np.uint8))
