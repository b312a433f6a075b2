"""Pictures as worker processes decode them: whole, or to thumbnails, as `ingest` has them do."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np

from dcgan_assets.sources.reading.decode import Decoded, Refused, decode, thumbnails
from dcgan_assets.sources.reading.items import Location
from dcgan_assets.sources.reading.workers import Each, attempt, run_workers
from dcgan_models.pixels import Pixels

# A batch takes some 15 ms.
BATCH = 64


class Reading(NamedTuple):
    """What became of one location.

    Attributes:
        reason: Why there are no pixels; None where there are.
        source_sha256: Of the bytes; None when they were not read.
        pixels_sha256: Of the largest thumbnail; None when refused.
        width, height: Of the picture as shown, where known.
        converted: What decoding changed, as `Decoded.converted`.
    """

    reason: str | None
    source_sha256: str | None = None
    pixels_sha256: str | None = None
    width: int | None = None
    height: int | None = None
    converted: str | None = None


class Readings(NamedTuple):
    """What became of some locations, in their order.

    Attributes:
        readings: One for each location.
        pixels: For each size uint8 (n_kept, size, size, 3), in the order of the sizes.
    """

    readings: list[Reading]
    pixels: list[Pixels]


class Recipe(NamedTuple):
    """What is made of every picture: thumbnails of these sizes, unless a side is too short.

    It is a `dcgan_assets.sources.reading.workers.Job`. Pixels come back through the shared memory:
    through the line they would be copied four times.
    """

    sizes: tuple[int, ...]
    min_side: int

    @property
    def batch(self) -> int:
        """As `Job.batch`."""
        return BATCH

    @property
    def space_bytes(self) -> int:
        """As `Job.space_bytes`: all thumbnails of a batch."""
        return BATCH * sum(size * size * 3 for size in self.sizes)

    def work(self, locations: Sequence[Location], space: memoryview) -> list[Reading]:
        """Read a batch; the pixels of those kept go into the space, one after the other."""
        places = self._places(space)
        readings = []
        kept = 0
        for location in locations:
            found = attempt(location, self._picture)
            reading, made = (Reading(found), []) if isinstance(found, str) else found
            for place, pixels in zip(places, made, strict=False):
                place[kept] = pixels
            kept += reading.reason is None
            readings.append(reading)
        return readings

    def finish(self, answer: list[Reading], space: memoryview) -> Readings:
        """As `Job.finish`."""
        kept = sum(reading.reason is None for reading in answer)
        return Readings(answer, [places[:kept].copy() for places in self._places(space)])

    def lost(self, reason: str) -> Readings:
        """As `Job.lost`."""
        nothing = [np.empty((0, size, size, 3), np.uint8) for size in self.sizes]
        return Readings([Reading(reason)], nothing)

    def _places(self, space: memoryview) -> list[Pixels]:
        """Where a batch's thumbnails lie: for each size uint8 (BATCH, size, size, 3), writable."""
        position = 0
        places = []
        for size in self.sizes:
            places.append(np.ndarray((BATCH, size, size, 3), np.uint8, space, position))
            position += places[-1].nbytes
        return places

    def _picture(self, data: bytes) -> tuple[Reading, list[Pixels]]:
        """Thumbnails and checksums of a picture; no thumbnails when it is refused."""
        digest = hashlib.sha256(data).hexdigest()
        found = decode(data, self.min_side)
        if isinstance(found, Refused):
            return Reading(found.reason, digest, None, found.width, found.height), []
        made = thumbnails(found.pixels, self.sizes)
        pixels = hashlib.sha256(np.ascontiguousarray(max(made, key=len)).data).hexdigest()
        reading = Reading(None, digest, pixels, found.width, found.height, found.converted)
        return reading, made


def decode_apart(locations: Sequence[Location]) -> Generator[Decoded | Refused, None, None]:
    """Whole pictures, decoded one after the other in a worker process, bounded as all are there.

    The process is this generator's until it ends or is closed, as with `run_workers`.

    Args:
        locations: Of the bytes of whatever a stranger may have made.

    Yields:
        As `decode` returns; refused is also what cannot be had, takes too long, or kills.
    """
    with closing(run_workers(Each[Decoded | Refused](decode, Refused, 1), locations, 1)) as batches:
        for batch in batches:
            yield from batch
