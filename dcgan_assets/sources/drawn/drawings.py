"""Drawn rooms, faces or things as a source of pictures, beside folders, archives and databases.

Every picture is drawn when it is read; its factors are columns of the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import pyarrow as pa

from dcgan_assets.sources.drawn import faces, rooms, things
from dcgan_assets.sources.planted import plant, png, require_share
from dcgan_assets.sources.reading.items import (
    HELD_OUT,
    Item,
    once_a_process,
    one_piece_version,
    shard_of,
)
from dcgan_models.pixels import Pixels

LICENCE, ATTRIBUTION = "CC0-1.0", "drawn by dcgan-assets"
# Pictures are drawn larger than they are trained on: copies are edited at that size.
_ENLARGED = 2


class Kind(NamedTuple):
    """What is drawn.

    Attributes:
        factors: Columns of the manifest, `factor.NAME`.
        seen: The factors' values of a picture, by its seed and number, in their order.
        draw: A picture by its seed, number and side: uint8 (side, side, 3), RGB.
    """

    factors: tuple[pa.Field, ...]
    seen: Callable[[int, int], tuple[Any, ...]]
    draw: Callable[[int, int, int], Pixels]


KINDS = MappingProxyType(
    {
        "rooms": Kind(rooms.FACTORS, rooms.seen_in, rooms.draw),
        "faces": Kind(faces.FACTORS, faces.seen_in, faces.draw),
        "things": Kind(things.FACTORS, things.seen_in, things.draw),
    }
)
# Of one seed, pictures are drawn for these uses; each counts from a number of its own, so that
# more of one leaves the others as they are.
_FIRST = {"train": 0, HELD_OUT: 1_000_000_000, "probe": 2_000_000_000}


class Drawing(NamedTuple):
    """A picture that is drawn when it is read, perhaps edited; its bytes are a PNG file.

    Attributes:
        kind: One of `KINDS`.
        seed, number: Of the picture.
        side: That it is drawn at, in pixels.
        edit: One of `dcgan_models.dedup.planted.EDITS`, or None.
    """

    kind: str
    seed: int
    number: int
    side: int
    edit: str | None = None

    def read(self) -> bytes:
        """The picture as PNG."""
        return png(KINDS[self.kind].draw(self.seed, self.number, self.side), self.edit)


@dataclass(frozen=True)
class Drawings:
    """Drawn pictures, of which some are there again as near-duplicates.

    The key of a picture is `rooms/000123`, that of its planted copy `rooms/000123/EDIT`, that of
    a held-out one `held_out/rooms/000123`. A picture is the same whichever shard it is dealt to.

    Attributes:
        kind: One of `KINDS`.
        count: Pictures in all, but for the held-out ones.
        size: Side that they will be trained at; they are drawn at twice that.
        planted: The share of them that are edited copies of other ones; at most a half.
        held_out: Pictures more, of the split `held_out`.
        seed: Of all factors.
    """

    stand_in: ClassVar[bool] = True
    classes: ClassVar[tuple[str, ...]] = ()

    kind: str
    count: int
    size: int
    planted: float = 0.0
    held_out: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        require_share(self.planted, self.kind)

    @property
    def factors(self) -> tuple[pa.Field, ...]:
        """Columns of the manifest that say what is seen."""
        return KINDS[self.kind].factors

    def items(self, shard: int, shards: int) -> list[Item]:
        """As `Source.items`."""
        return shard_of(_items(self), shard, shards)

    def version(self, shard: int, shards: int) -> str:
        """As `Source.version`: the settings; how it is drawn counts in the code's version."""
        return one_piece_version(repr(self), shard, shards)

    def probes(self, most: int) -> Sequence[Item]:
        """Pictures that are in no other use, for measuring what was learned from this source."""
        return [self._item("probe", number) for number in range(most)]

    def _item(self, use: str, number: int, edit: str | None = None) -> Item:
        prefix = f"{HELD_OUT}/" if use == HELD_OUT else ""
        key = f"{prefix}{self.kind}/{number:06d}" + (f"/{edit}" if edit else "")
        place = Drawing(self.kind, self.seed, _FIRST[use] + number, _ENLARGED * self.size, edit)
        uri = f"drawn:{self.kind}#seed={self.seed},number={place.number}"
        uri += f",{edit}" if edit else ""
        split = HELD_OUT if use == HELD_OUT else None
        seen = KINDS[self.kind].seen(self.seed, place.number)
        return Item(key, uri, None, split, LICENCE, ATTRIBUTION, place, seen)


def drawing_of(key: str) -> str | None:
    """The drawing that a key of `Drawings` shows, edited or not; None for keys of other sources."""
    parts = key.removeprefix(f"{HELD_OUT}/").split("/")
    return "/".join(parts[:2]) if parts[0] in KINDS else None


@once_a_process
def _items(source: Drawings) -> tuple[Item, ...]:
    copies = round(source.count * source.planted)
    items = [source._item("train", number) for number in range(source.count - copies)]
    keys = [item.key for item in items]
    items += [source._item("train", n, edit) for _, n, edit in plant(keys, copies, source.seed)]
    items += [source._item(HELD_OUT, number) for number in range(source.held_out)]
    return tuple(sorted(items, key=lambda item: item.key))
