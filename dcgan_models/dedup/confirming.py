"""A second look at pictures whose codes are near: whether their pixels are alike as well.

Codes forget mean colour and contrast, so pictures that show little may have near codes and be
quite different. An exact collision is the paper's evidence and needs no second look; a near one
does. The bound is the least whole number within which 99% of edited copies lie, of pictures that
are drawn for choosing it and for nothing else: `python -m benchmarks.confirming`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from dcgan_models.dedup.autoencoder import Pictures, smooth, take

BOUND = 12.0
_BLOCK = 4096


def alike(
    pictures: Pictures, pairs: npt.NDArray[np.int64], bound: float = BOUND
) -> npt.NDArray[np.bool_]:
    """Whether the two pictures of each pair differ by little, fine detail left aside.

    Args:
        pictures: uint8 (n, 32, 32, 3), an array, a memory map, or gatherable.
        pairs: int64 (p, 2), rows.
        bound: Greatest root mean squared difference of the smoothed pictures, in grey levels.

    Returns:
        bool (p,).
    """
    return differences(pictures, pairs) <= bound


def differences(pictures: Pictures, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Root mean squared difference of the smoothed pictures of each pair, in grey levels: (p,).

    Args:
        pictures: uint8 (n, 32, 32, 3), an array, a memory map, or gatherable.
        pairs: int64 (p, 2), rows.
    """
    found = np.empty(len(pairs))
    for low in range(0, len(pairs), _BLOCK):
        part = pairs[low : low + _BLOCK]
        one, other = (torch.from_numpy(take(pictures, part[:, side])).float() for side in (0, 1))
        difference = smooth(one - other).flatten(1).square().mean(dim=1).sqrt()
        found[low : low + len(part)] = difference.numpy()
    return found
