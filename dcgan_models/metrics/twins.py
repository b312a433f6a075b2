"""Held-out pictures of which a twin is trained on: equal, noisy, cropped a little, or mirrored.

Such a picture measures nothing: what is near to it was learned by heart by every network that
fits its training set. Twins are told before there is any network, by pixels: 16 places a side,
smoothed, and the picture's mirror image beside it. What counts as too near to be chance is said
in `memorisation`: nearest over tenth nearest, against pictures spread evenly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from dcgan_models.dedup.autoencoder import smooth
from dcgan_models.metrics.memorisation import NEIGHBOURS, by_no_chance, nearest_of
from dcgan_models.metrics.pictures import Pictures, blocks
from dcgan_models.neighbours.retrieval import typical_norm
from dcgan_models.pixels import Pixels

_SIDE = 16
_BLOCK = 2048


def find_twins(
    held_out: Pictures, train: Pictures, *, on_block: Callable[[int], object] = lambda n: None
) -> npt.NDArray[np.int64]:
    """Say of each held-out picture which training picture is its twin.

    An honest picture is taken for a twin with a chance of one in a thousand. Where more than half
    of the held-out pictures have a twin, and differ from it, some are missed: they are then what
    is usual.

    Args:
        held_out: uint8 (m, height, width, channels); read a block at a time, and kept in small.
        train: uint8 (n, height, width, channels), n at least 2; read a block at a time.
        on_block: Told after each block how many training pictures it had.

    Returns:
        int64 (m,): the row of the twin among the training pictures, -1 where there is none.
    """
    if not len(held_out):
        return np.empty(0, np.int64)
    views = [
        torch.cat([_seen(part, mirrored=mirrored) for part in blocks(held_out, _BLOCK)])
        for mirrored in (False, True)
    ]

    def references() -> Iterator[tuple[tuple[Tensor], Tensor]]:
        first = 0
        for part in blocks(train, _BLOCK):
            yield (_seen(part),), torch.arange(first, first + len(part))
            first += len(part)
            on_block(len(part))

    k = min(NEIGHBOURS, len(train))
    found = nearest_of(views, references(), k, typical_norm(views[0]))
    return np.where(by_no_chance(found.ratio, k), found.row, -1)


def _seen(pixels: Pixels, *, mirrored: bool = False) -> Tensor:
    """What twins have in common: float32 (n, 256 channels), a smoothed picture of 16x16."""
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    x = adaptive_avg_pool2d(x.flip(3) if mirrored else x, 2 * _SIDE)
    return avg_pool2d(smooth(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), 2).flatten(1)
