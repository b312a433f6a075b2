"""Ten classes of small pictures out of packaged photographs: the `sample` profile's CIFAR-10."""

from __future__ import annotations

import hashlib

import numpy as np

from dcgan_assets.sources.photographs import LabelledPhotographs
from dcgan_assets.sources.reading.decode import Decoded, decode, thumbnails
from dcgan_assets.sources.reading.items import Item
from dcgan_assets.sources.reading.pictures import Pictures, Record

SIDE = 32


def labelled_crops(train: int, test: int, seed: int) -> Pictures:
    """Crops of ten photographs, the photograph being the class.

    Training crops, test crops and what networks are trained on without labels share no pixel.

    Args:
        train, test: Pictures of each split.
        seed: Of the places of the crops.

    Returns:
        Pictures of shape (train + test, 32, 32, 3), RGB.

    Raises:
        UserError: The photographs have no room for so many.
    """
    items = LabelledPhotographs(train, test, seed).items(0, 1)
    pixels = np.empty((len(items), SIDE, SIDE, 3), np.uint8)
    records = []
    for row, item in enumerate(items):
        data = item.location.read()
        found = decode(data, SIDE)
        assert isinstance(found, Decoded)  # noqa: S101  (our own PNG of a crop of 32 at least)
        (pixels[row],) = thumbnails(found.pixels, (SIDE,))
        records.append(_record(item, data, found))
    return Pictures.assemble(pixels, records)


def _record(item: Item, data: bytes, found: Decoded) -> Record:
    return Record(
        key=item.key,
        source_sha256=hashlib.sha256(data).hexdigest(),
        source_uri=item.uri,
        licence=item.licence,
        attribution=item.attribution,
        original_width=found.width,
        original_height=found.height,
        reason=None,
        label=item.label,
        split=item.split,
    )
