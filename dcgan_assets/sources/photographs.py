"""The photographs inside scikit-image and scikit-learn: the `sample` profile's large pictures.

Ten photographs of ours stand in for the millions of the paper. Each is split once, here, into
rectangles that share no pixel: what one part of the pipeline trains on, another never sees.
Crops of them are the pictures; some are planted again as near-duplicates, so that deduplication
has something known to find.
"""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import numpy as np

from dcgan_assets.sources.planted import plant, png, require_share
from dcgan_assets.sources.reading.decode import Refused, decode, thumbnails
from dcgan_assets.sources.reading.items import (
    HELD_OUT,
    Item,
    once_a_process,
    one_piece_version,
    shard_of,
)
from dcgan_models.errors import UserError
from dcgan_models.pixels import Pixels


@dataclass(frozen=True, slots=True)
class _Facts:
    """Where a photograph lies, its size, and what its package says of its origin."""

    file: str
    width: int
    height: int
    licence: str
    attribution: str


# scikit-image states the origins in the documentation of `skimage.data`, scikit-learn in
# datasets/images/README.txt. That text names one author for both photographs, but links the
# flower to the account of another.
PHOTOGRAPHS = MappingProxyType(
    {
        "astronaut": _Facts(
            "skimage/data/astronaut.png", 512, 512, "public domain", "NASA, Great Images database"
        ),
        "chelsea": _Facts("skimage/data/chelsea.png", 451, 300, "CC0-1.0", "Stefan van der Walt"),
        "china": _Facts(
            "sklearn/datasets/images/china.jpg",
            640,
            427,
            "CC-BY-2.0",
            "danielbuechele, https://www.flickr.com/photos/danielbuechele/6061409035/",
        ),
        "coffee": _Facts(
            "skimage/data/coffee.png", 600, 400, "CC0-1.0", "Rachel Michetti, Pikolo Espresso Bar"
        ),
        "flower": _Facts(
            "sklearn/datasets/images/flower.jpg",
            640,
            427,
            "CC-BY-2.0",
            "vultilion, https://www.flickr.com/photos/vultilion/6056698931/",
        ),
        "hubble_deep_field": _Facts(
            "skimage/data/hubble_deep_field.jpg", 1000, 872, "public domain", "NASA, HubbleSite"
        ),
        "ihc": _Facts(
            "skimage/data/ihc.png",
            512,
            512,
            "no known copyright restrictions",
            "Center for Microscopy And Molecular Imaging (CMMI)",
        ),
        "motorcycle_left": _Facts(
            "skimage/data/motorcycle_left.png",
            741,
            500,
            "unstated",
            "Middlebury Stereo 2014, D. Scharstein et al.",
        ),
        "retina": _Facts("skimage/data/retina.jpg", 1411, 1411, "CC0-1.0", "Mikael Häggström"),
        "rocket": _Facts("skimage/data/rocket.jpg", 640, 427, "public domain", "SpaceX"),
    }
)

# No group shows these without labels: what has learned from a group has not seen them.
PROBES = ("chelsea", "coffee", "motorcycle_left")
# Most crops of the retina are plain red beside plain black: alike without being duplicates.
SHOWN = tuple(name for name in PHOTOGRAPHS if name not in (*PROBES, "retina"))

TRAIN = "train"
WHOLE = "whole"

# Every photograph's left part is for training; the rest of its width is held out.
_TRAIN_WIDTH = 0.6
REGIONS = (TRAIN, HELD_OUT)

# Two crops differ enough when their centres are this share of the smaller side apart, or when
# one side is this many times the other. The planted edits move and scale by a tenth of that.
_APART = 0.25
_SCALED = 1.25
# Crops of sky or plain retina are all alike. This much must neighbouring pixels differ on average,
# in grey levels, when the crop is averaged to 16x16.
_LEAST_DETAIL = 4.0
_MISSES_IN_A_ROW = 1000


class Crop(NamedTuple):
    """A square of a photograph, in its pixels."""

    photograph: str
    top: int
    left: int
    side: int


def photograph(name: str) -> Pixels:
    """One of `PHOTOGRAPHS`: uint8 (height, width, 3), RGB, read-only.

    Raises:
        UserError: There is no such photograph.
    """
    if name not in PHOTOGRAPHS:
        raise UserError(f"photograph {name!r}: one of {', '.join(PHOTOGRAPHS)} is expected")
    return _photograph(name)


def region(name: str, part: str) -> tuple[slice, slice]:
    """Rows and columns of a photograph's part: one of `REGIONS`, which share no pixel, or all.

    Args:
        name: Of the photograph.
        part: One of `REGIONS`, or `WHOLE` for photographs that no other use is made of.
    """
    facts = PHOTOGRAPHS[name]
    if part == WHOLE:
        return slice(0, facts.height), slice(0, facts.width)
    middle = round(facts.width * _TRAIN_WIDTH)
    columns = {TRAIN: slice(0, middle), HELD_OUT: slice(middle, facts.width)}
    return slice(0, facts.height), columns[part]


@once_a_process
def crops(
    part: str,
    count: int,
    side_range: tuple[int, int],
    seed: int,
    photographs: tuple[str, ...] = tuple(PHOTOGRAPHS),
) -> tuple[Crop, ...]:
    """Squares of a part of the photographs, spread so that no two are near-duplicates.

    Larger photographs give more. Sides are spread evenly on a logarithmic scale, as far as a
    photograph's part allows; crops without detail are passed over.

    Args:
        part: One of `REGIONS`, or `WHOLE`.
        count: How many.
        side_range: Smallest and largest side.
        seed: Of the random places.
        photographs: Names of those used.

    Raises:
        UserError: There is no room for so many.
    """
    rng = np.random.default_rng([seed, *part.encode()])
    boards = [_Board(name, part, side_range, count) for name in photographs]
    # The root, so that the two largest do not give most of the pictures.
    rooms = np.cumsum([math.sqrt(board.room) for board in boards])
    found: list[Crop] = []
    misses = 0
    while len(found) < count:
        place = rng.random() * rooms[-1]
        crop = boards[int(np.searchsorted(rooms, place, "right"))].throw(rng)
        misses = 0 if crop else misses + 1
        if crop:
            found.append(crop)
        elif misses > _MISSES_IN_A_ROW:
            raise UserError(
                f"photographs, {part}: {count} crops of {side_range[0]} to {side_range[1]} pixels "
                f"asked for; there is room for about {len(found)} that differ"
            )
    return tuple(found)


class _Board:
    """One photograph's part, and the crops it has given."""

    def __init__(self, name: str, part: str, side_range: tuple[int, int], count: int) -> None:
        rows, columns = region(name, part)
        self.name, self.top, self.left = name, rows.start, columns.start
        self.pixels = photograph(name)[rows, columns]
        self.height, self.width = self.pixels.shape[:2]
        shortest = min(self.height, self.width)
        self.sides = [min(side, shortest) for side in side_range]
        self.room = (self.height - self.sides[0] + 1) * (self.width - self.sides[0] + 1)
        # Centre row, centre column and side of each.
        self.given = np.empty((count, 3))
        self.count = 0

    def throw(self, rng: np.random.Generator) -> Crop | None:
        """A random crop, or None when it is too near to another or shows too little."""
        low, high = self.sides
        side = round(low * (high / low) ** rng.random())
        top = int(rng.integers(self.height - side + 1))
        left = int(rng.integers(self.width - side + 1))
        mark = np.array([top + side / 2, left + side / 2, side])
        others = self.given[: self.count]
        distance = np.hypot(*(others - mark)[:, :2].T)
        ratio = np.maximum(others[:, 2], side) / np.minimum(others[:, 2], side)
        near = (distance < _APART * np.minimum(others[:, 2], side)) & (ratio < _SCALED)
        if near.any():
            return None
        if _detail(self.pixels[top : top + side, left : left + side]) < _LEAST_DETAIL:
            return None
        self.given[self.count] = mark
        self.count += 1
        return Crop(self.name, self.top + top, self.left + left, side)


def _detail(square: Pixels) -> float:
    (small,) = thumbnails(square, (16,))
    grey = small.mean(axis=2)
    return float(np.mean([np.abs(np.diff(grey, axis=axis)).mean() for axis in (0, 1)]))


class CropBytes(NamedTuple):
    """A picture that is a crop of a photograph, perhaps edited; its bytes are a PNG file.

    Attributes:
        edit: One of `dcgan_models.dedup.planted.EDITS`, or None.
    """

    crop: Crop
    edit: str | None = None

    def read(self) -> bytes:
        """The crop as PNG."""
        crop = self.crop
        rows, columns = (slice(start, start + crop.side) for start in (crop.top, crop.left))
        return png(photograph(crop.photograph)[rows, columns], self.edit)


@dataclass(frozen=True)
class Photographs:
    """Crops without labels, of which some are there again as near-duplicates.

    The key of a crop is `coffee/000123`, that of its planted copy `coffee/000123/EDIT`, with a
    name from `dcgan_models.dedup.planted.EDITS`; that of a held-out crop
    `held_out/coffee/000123`. Shards are dealt by the hash of the key.

    Attributes:
        count: Pictures in all, but for the held-out ones.
        planted: The share of them that are edited copies of other ones; at most a half.
        seed: Of the places of the crops.
        part: One of `REGIONS`.
        side_range: Smallest and largest side of a crop.
        photographs: Those used.
        held_out: Crops more, from regions that share no pixel with the others, of the split
            `held_out`.
    """

    count: int
    planted: float = 0.0
    seed: int = 0
    part: str = TRAIN
    side_range: tuple[int, int] = (64, 256)
    photographs: tuple[str, ...] = SHOWN
    held_out: int = 0
    stand_in: ClassVar[bool] = True
    classes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        require_share(self.planted, "photographs")

    def items(self, shard: int, shards: int) -> list[Item]:
        """As `Source.items`."""
        return shard_of(_unlabelled(self), shard, shards)

    def version(self, shard: int, shards: int) -> str:
        """As `Source.version`: the settings, and the content of the packages' files."""
        return _settings_version(repr(self), shard, shards)


def photograph_of(key: str) -> str | None:
    """The photograph that a key of `Photographs` is a crop of; None for keys of other sources."""
    name = key.removeprefix(f"{HELD_OUT}/").partition("/")[0]
    return name if name in PHOTOGRAPHS else None


@once_a_process
def _unlabelled(source: Photographs) -> tuple[Item, ...]:
    copies = round(source.count * source.planted)
    places = crops(
        source.part, source.count - copies, source.side_range, source.seed, source.photographs
    )
    keys = [f"{crop.photograph}/{number:06d}" for number, crop in enumerate(places)]
    items = [_item(key, CropBytes(crop)) for key, crop in zip(keys, places, strict=True)]
    for key, original, edit in plant(keys, copies, source.seed):
        items.append(_item(key, CropBytes(places[original], edit)))
    held_out = crops(HELD_OUT, source.held_out, source.side_range, source.seed, source.photographs)
    for number, crop in enumerate(held_out):
        key = f"{HELD_OUT}/{crop.photograph}/{number:06d}"
        items.append(replace(_item(key, CropBytes(crop)), split=HELD_OUT))
    return tuple(sorted(items, key=lambda item: item.key))


def _item(key: str, location: CropBytes) -> Item:
    crop = location.crop
    facts = PHOTOGRAPHS[crop.photograph]
    place = f"x={crop.left},y={crop.top},side={crop.side}"
    uri = f"package:{facts.file}#{place}" + (f",{location.edit}" if location.edit else "")
    return Item(key, uri, None, None, facts.licence, facts.attribution, location)


def _settings_version(settings: str, shard: int, shards: int) -> str:
    return one_piece_version(f"{settings}\0{_packages_digest()}", shard, shards)


@functools.cache
def _packages_digest() -> str:
    digest = hashlib.sha256()
    for facts in PHOTOGRAPHS.values():
        digest.update(package_file(facts.file).read_bytes())
    return digest.hexdigest()


@functools.cache
def _photograph(name: str) -> Pixels:
    path = package_file(PHOTOGRAPHS[name].file)
    decoded = decode(path.read_bytes())
    if isinstance(decoded, Refused):
        raise UserError(f"{path}: {decoded.reason}; install its package again")
    decoded.pixels.setflags(write=False)
    return decoded.pixels


def package_file(name: str) -> Path:
    """The path of a package's file, without importing the package."""
    spec = find_spec(name.partition("/")[0])
    if spec is None or spec.origin is None:
        raise UserError(f"{name}: its package is not installed; install this project again")
    return Path(spec.origin).parents[1] / name
