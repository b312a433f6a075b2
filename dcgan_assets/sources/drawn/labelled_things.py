"""Drawn things of ten kinds with their labels: the `sample` profile's CIFAR-10."""

from __future__ import annotations

import hashlib

import numpy as np

from dcgan_assets.sources.drawn.drawings import ATTRIBUTION, LICENCE
from dcgan_assets.sources.drawn.things import LABELLED, Scene, draw_scene, kind_of, scene
from dcgan_assets.sources.reading.manifest import Pictures, Record

SIDE = 32
CLASSES = tuple(LABELLED)
# Each split counts from a number of its own, beyond those of the pictures without labels: of one
# seed, too, no two pictures have a scene in common, and more of one leave the others as they are.
_FIRST = {"train": 3_000_000_000, "test": 4_000_000_000}


def labelled_things(train: int, test: int, seed: int) -> Pictures:
    """Things of `things.LABELLED`, which the group source `things` does not show.

    The classes take turns. Training and test pictures share no number, so nothing that is drawn.

    Args:
        train, test: Pictures of each split.
        seed: Of all factors; picture i of a split and seed is the same whatever their number.

    Returns:
        Pictures of shape (train + test, 32, 32, 3), RGB, the training pictures first. A key is
        `things/train/000000`.
    """
    pixels = np.empty((train + test, SIDE, SIDE, 3), np.uint8)
    records: list[Record] = []
    for split, count in (("train", train), ("test", test)):
        for index in range(count):
            number = _FIRST[split] + index
            facts = scene(seed, number, Scene)
            pixels[len(records)] = draw_scene(facts, kind_of(number, CLASSES), SIDE)
            records.append(_record(split, index, seed, number, pixels[len(records)].tobytes()))
    return Pictures.assemble(pixels, records)


def _record(split: str, index: int, seed: int, number: int, content: bytes) -> Record:
    kind = kind_of(number, CLASSES)
    return Record(
        key=f"things/{split}/{index:06d}",
        source_sha256=hashlib.sha256(content).hexdigest(),
        source_uri=f"drawn:things#seed={seed},number={number},{kind}",
        licence=LICENCE,
        attribution=ATTRIBUTION,
        original_width=SIDE,
        original_height=SIDE,
        reason=None,
        label=CLASSES.index(kind),
        split=split,
    )
