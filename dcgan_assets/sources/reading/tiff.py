"""Directories of TIFF, as a TIFF file and EXIF data have them: numbers by tag, nothing decoded."""

from __future__ import annotations

import struct
from typing import NamedTuple

ORIENTATION = 0x0112

# Bytes of a value by the number of its type: byte, ASCII, short, long, rational and so on.
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_NUMBERS = {1: "B", 3: "H", 4: "I"}


class Entry(NamedTuple):
    """Where a tag's values lie.

    Attributes:
        kind: The number of their type.
        length: How many there are.
        place: Where the first begins.
    """

    kind: int
    length: int
    place: int


class Tiff:
    """Bytes laid out as TIFF.

    Raises:
        ValueError: They do not begin as TIFF does.
    """

    def __init__(self, data: bytes) -> None:
        order = {b"II": "<", b"MM": ">"}.get(data[:2])
        if order is None:
            raise ValueError("no byte order")
        self._data, self._order = data, order

    def first(self) -> int:
        """Where the first directory lies.

        Raises:
            struct.error: The data end before, as with all that is read here.
        """
        return self._place(4)

    def directory(self, position: int) -> dict[int, Entry]:
        """A directory's entries by tag."""
        entries = {}
        (count,) = struct.unpack_from(f"{self._order}H", self._data, position)
        for place in range(position + 2, position + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(f"{self._order}HHI", self._data, place)
            here = _BYTES.get(kind, 1) * values <= 4
            entries[tag] = Entry(kind, values, place + 8 if here else self._place(place + 8))
        return entries

    def following(self, position: int) -> int:
        """Where the directory after this one lies; 0 where there is none."""
        (count,) = struct.unpack_from(f"{self._order}H", self._data, position)
        return self._place(position + 2 + 12 * count)

    def numbers(self, entry: Entry | None, most: int, default: int = 0) -> tuple[int, ...]:
        """An entry's values, `most` at most; the default where it has no whole numbers."""
        if entry is None or entry.kind not in _NUMBERS or not entry.length:
            return (default,)
        values = f"{self._order}{min(entry.length, most)}{_NUMBERS[entry.kind]}"
        return struct.unpack_from(values, self._data, entry.place)

    def content(self, entry: Entry) -> bytes:
        """An entry's bytes; fewer where the data end before."""
        size = entry.length * _BYTES.get(entry.kind, 1)
        return self._data[entry.place : entry.place + size]

    def _place(self, position: int) -> int:
        (place,) = struct.unpack_from(f"{self._order}I", self._data, position)
        return int(place)


def exif_orientation(exif: bytes) -> int:
    """The orientation in EXIF data, 1 to 8; 1 where there is none or the data make no sense."""
    try:
        tiff = Tiff(exif)
        entry = tiff.directory(tiff.first()).get(ORIENTATION)
        value = tiff.numbers(entry, 1, default=1)[0]
    except (ValueError, struct.error):
        return 1
    return value if 1 <= value <= 8 else 1
