"""A second look at pictures whose codes are near: whether their pixels are alike as well.

Codes forget mean colour and contrast, so pictures that show little may have near codes and be
quite different. An exact collision is the paper's evidence and needs no second look; a near one
does. The bound lies between what edits do to a picture and what two pictures have in common: on
275 planted copies the difference was at most 10.5 grey levels (5% more brightness on a bright
picture), on 154 near pairs of different photographs at least 15.5.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from dcgan_models.dedup.autoencoder import Pictures, smooth, take

BOUND = 13.0
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
    found = np.empty(len(pairs), np.bool_)
    for low in range(0, len(pairs), _BLOCK):
        part = pairs[low : low + _BLOCK]
        one, other = (torch.from_numpy(take(pictures, part[:, side])).float() for side in (0, 1))
        difference = smooth(one - other).flatten(1).square().mean(dim=1).sqrt()
        found[low : low + len(part)] = (difference <= bound).numpy()
    return found
