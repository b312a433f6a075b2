"""A small data set on disk, and what is done to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

N = 23


def pictures(n: int = N, channels: int = 3) -> npt.NDArray[np.uint8]:
    """Random pictures, no two alike."""
    pixels = np.random.default_rng(0).integers(0, 256, (n, 4, 5, channels), dtype=np.uint8)
    pixels[:, 0, 0, 0] = np.arange(n)
    return pixels


Damage = Callable[[Path], Any]


def shard(content: Any) -> Damage:
    return lambda path: np.save(path, content)
