"""Pictures in memory: uint8 (height, width, channels), or (n, height, width, channels) of several.

A module of its own, because what reads photographs hangs on no other of this package.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


def averaged(pictures: Pixels, side: int) -> Pixels:
    """Square pictures (n, height, width, channels) at a side that theirs is a multiple of.

    Each pixel is the mean of its square, rounded.
    """
    n, height, _, channels = pictures.shape
    times = height // side
    squares = pictures.reshape(n, side, times, side, times, channels)
    means: Pixels = np.rint(squares.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint8)
    return means
