"""Whether a feature space sees damage: a control that needs no generator.

Real pictures are held against other real ones, and against other real ones laid over one another
in pairs, as a generator that mixes its training pictures would draw them. A space in which both
are equally far away says nothing about generators.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dcgan_models.metrics.extractor import Extractor
from dcgan_models.metrics.frechet import frechet_distance, moments
from dcgan_models.metrics.pictures import Pictures, check_pictures, take

# Real pictures on each side, at most.
_MOST = 500


@dataclass(frozen=True)
class Damage:
    """Fréchet distances from real pictures: of as many other real ones, and of damaged ones."""

    real: float
    damaged: float


def damage_seen(extractor: Extractor, pictures: Pictures) -> Damage:
    """Measure real and damaged pictures in a feature space.

    Args:
        extractor: The space.
        pictures: uint8 (n, height, width, channels), n at least 4.

    Raises:
        UserError: Too few pictures.
    """
    check_pictures(pictures, "real pictures", 4)
    # Neighbours in a data set may be alike: each kind is spread over the whole of it.
    rows = np.linspace(0, len(pictures) - 1, min(len(pictures), 2 * _MOST)).astype(np.int64)
    first, second = take(pictures, rows[::2]), take(pictures, rows[1::2])
    over = np.roll(second, len(second) // 2, axis=0)
    mixed = ((second.astype(np.uint16) + over) // 2).astype(np.uint8)
    here = moments(extractor.features(first))
    distances = [frechet_distance(here, moments(extractor.features(x))) for x in (second, mixed)]
    return Damage(*distances)
