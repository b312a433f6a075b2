"""Copies that are planted among generated pictures: whether those of a training set would be seen.

Copies as a generator makes them are no bytes of the training set: they are noisy, cut a little
otherwise, or mirrored. Each kind is planted and looked for, and every tenth of a generator's
pictures is replaced by one: a generator that copies so often must be told from an honest one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch.nn.functional import interpolate

from dcgan_models.metrics.extractor import Extractor
from dcgan_models.metrics.memorisation import CopyBounds, Memorisation
from dcgan_models.metrics.pictures import Pictures, take
from dcgan_models.metrics.rows import Features
from dcgan_models.pixels import Pixels

EVERY = 10
# Training pictures of which a copy of each kind is made, at most.
PLANTED = 100
_OFF_BY = 8


def noise(pictures: Pixels, rng: np.random.Generator) -> Pixels:
    """Each value off by up to 8 grey levels."""
    off = rng.integers(-_OFF_BY, _OFF_BY + 1, pictures.shape, np.int16)
    noisy: Pixels = np.clip(pictures + off, 0, 255).astype(np.uint8)
    return noisy


def crop(pictures: Pixels, rng: np.random.Generator) -> Pixels:
    """Cut one pixel in 64 off each edge, at least one, and enlarge to the old size."""
    height, width = pictures.shape[1:3]
    y, x = (max(1, round(side / 64)) for side in (height, width))
    inner = torch.from_numpy(pictures[:, y : height - y, x : width - x]).permute(0, 3, 1, 2).float()
    grown = interpolate(inner, (height, width), mode="bilinear", align_corners=False)
    return grown.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def flip(pictures: Pixels, rng: np.random.Generator) -> Pixels:
    """The mirror image."""
    return np.ascontiguousarray(pictures[:, :, ::-1])


COPY_EDITS: Mapping[str, Callable[[Pixels, np.random.Generator], Pixels]] = MappingProxyType(
    {"noise": noise, "crop": crop, "flip": flip}
)
"""Edits by name: each takes and returns uint8 (n, height, width, channels)."""


@dataclass(frozen=True)
class Power:
    """What is seen of planted copies.

    Attributes:
        found: The share of them that count as copies, by edit.
        tenth: What a generator is judged every tenth picture of which is one of them.
    """

    found: dict[str, float]
    tenth: Memorisation

    @property
    def missed(self) -> float:
        """Share of all planted copies that do not count as such."""
        return 1 - float(np.mean(list(self.found.values())))


def views(extractor: Extractor, pictures: Pictures) -> tuple[Features, Features]:
    """Features of pictures as they are, and of their mirror images, in the same order."""
    as_they_are = take(pictures, np.arange(len(pictures)))
    mirrored = flip(as_they_are, np.random.default_rng(0))
    return extractor.features(as_they_are), extractor.features(mirrored)


def plant(fake: Pixels, train: Pictures, seed: int, every: int = EVERY) -> Pixels:
    """Replace every so manyth generated picture by a copy of a training picture, edits in turn.

    Args:
        fake: uint8 (k, height, width, channels); left as it is.
        train: Training pictures of that shape.
        seed: Of which are copied, and of the noise.
        every: 10 for every tenth, beginning with the first.
    """
    rng = np.random.default_rng(seed)
    places = np.arange(0, len(fake), every)
    originals = take(train, rng.integers(len(train), size=len(places)))
    planted = fake.copy()
    for number, edit in enumerate(COPY_EDITS.values()):
        here = slice(number, None, len(COPY_EDITS))
        planted[places[here]] = edit(originals[here], rng)
    return planted


def copy_power(
    bounds: CopyBounds, extractor: Extractor, train: Pictures, fake: Pixels, seed: int
) -> Power:
    """Plant copies, and count what is found of them.

    Args:
        bounds: What counts as a copy in the extractor's space, of pictures and mirror images.
        extractor: The space.
        train: The training pictures.
        fake: uint8 (k, height, width, channels), generated.
        seed: Of which are copied, and of the noise.
    """
    rng = np.random.default_rng(seed)
    originals = take(train, rng.permutation(len(train))[:PLANTED])
    found = {
        name: float(bounds.copies(*views(extractor, edit(originals, rng))).mean())
        for name, edit in COPY_EDITS.items()
    }
    return Power(found, bounds.judge(*views(extractor, plant(fake, train, seed))))
