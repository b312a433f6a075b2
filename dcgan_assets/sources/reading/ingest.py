"""From a source's items to pixels on disk and a manifest with a row for every item.

The pixels of each size are .npy files of at most some 800 MB. Row r of a size lies in file
r // rows, at r % rows, `rows` being that size's `IngestReport.rows_per_file`.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from dcgan_assets.sources.reading.items import Item
from dcgan_assets.sources.reading.manifest import (
    FILE_BYTES,
    KEPT,
    MANIFEST_FILE,
    PICTURE_SCHEMA,
    REJECTED,
)
from dcgan_assets.sources.reading.readers import Reading, Recipe
from dcgan_assets.sources.reading.shard_files import PixelFiles, Row, TableFile, unwritable_named
from dcgan_assets.sources.reading.workers import StoppedError, run_workers
from dcgan_models.files import remove_file

MIN_SIDE = 32

Progress = Callable[[int, int], None]


def _manifest_schema() -> pa.Schema:
    """The schema of small sources, and what decoding changed beside it."""
    description = (
        "What decoding changed: EXIF orientation applied, alpha on white, 16-bit cut to 8, grey "
        "or CMYK to RGB, the frame taken of an animation, colours to sRGB by the profile named; "
        "and what it did not change, of colours. Null when nothing, and when rejected."
    )
    converted = pa.field("converted", pa.string(), metadata={"description": description})
    after = PICTURE_SCHEMA.get_field_index("reason") + 1
    return PICTURE_SCHEMA.insert(after, converted)


INGEST_SCHEMA = _manifest_schema()


@dataclass(frozen=True)
class IngestReport:
    """What became of the items.

    Attributes:
        kept, rejected: Items; together all of them.
        reasons: Rejected items by kind of reason (what stands before the colon).
        conversions: Kept items by each kind of thing that decoding changed.
        files: For each size the names of its .npy files.
        rows_per_file: For each size the rows in each of its files but the last.
        seconds: How long it took.
    """

    kept: int
    rejected: int
    reasons: dict[str, int]
    conversions: dict[str, int]
    files: dict[int, tuple[str, ...]]
    rows_per_file: dict[int, int]
    seconds: float

    @property
    def items(self) -> int:
        """All items."""
        return self.kept + self.rejected


def available_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ingest(
    items: Sequence[Item],
    folder: Path,
    sizes: Sequence[int] = (64, 32),
    *,
    workers: int | None = None,
    min_side: int = MIN_SIDE,
    on_progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    file_bytes: int = FILE_BYTES,
    factors: Sequence[pa.Field] = (),
) -> IngestReport | None:
    """Read every item, and write `pixels_SIZE.npy` and `manifest.parquet`.

    The pixels are uint8 (n_kept, size, size, 3), RGB, in the order of the items. More files
    than one are called pixels_64.npy, pixels_64_001.npy and so on. The manifest has a row for
    every item, in their order, with `INGEST_SCHEMA` and the factors' columns; it is written last.

    Args:
        items: From a source, with unique keys.
        folder: Exists; files of these names in it are replaced.
        sizes: Sides of the thumbnails.
        workers: Processes that read; as many as there are cores by default.
        min_side: Pictures with a shorter side are rejected.
        on_progress: Called with the items done and in all.
        should_stop: Asked twice a second at least; True leaves the folder without manifest.
        file_bytes: About the size of a .npy file.
        factors: Columns for `Item.factors`, where the items have them.

    Returns:
        The counts, or None when stopped.

    Raises:
        UserError: The source as a whole cannot be read, or the folder cannot be written.
    """
    started = time.monotonic()
    tally = _Tally()
    if len({item.key for item in items}) < len(items):
        raise ValueError("the items' keys are not unique")
    # None stays of a manifest that describes other pixels.
    remove_file(folder / MANIFEST_FILE)
    schema = pa.schema([*INGEST_SCHEMA, *factors], INGEST_SCHEMA.metadata)
    batches = run_workers(
        Recipe(tuple(sizes), min_side),
        [item.location for item in items],
        workers or available_cores(),
        should_stop,
    )
    try:
        with unwritable_named(folder), closing(batches), ExitStack() as stack:
            manifest = stack.enter_context(TableFile(folder / MANIFEST_FILE, schema))
            files = [
                stack.enter_context(PixelFiles(folder, f"pixels_{size}", size, file_bytes))
                for size in sizes
            ]
            for batch in batches:
                first = tally.kept + tally.rejected
                done = first + len(batch.readings)
                manifest.add(_rows(items[first:done], batch.readings, tally.kept))
                tally.add(batch.readings)
                for one, pixels in zip(files, batch.pixels, strict=True):
                    one.add(pixels)
                if on_progress:
                    on_progress(done, len(items))
    except StoppedError:
        return None
    return IngestReport(
        tally.kept,
        tally.rejected,
        dict(tally.reasons),
        dict(tally.conversions),
        {one.size: tuple(one.names) for one in files},
        {one.size: one.rows_per_file for one in files},
        time.monotonic() - started,
    )


@dataclass
class _Tally:
    """Counts of `IngestReport`."""

    kept: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    conversions: Counter[str] = field(default_factory=Counter)

    def add(self, readings: Sequence[Reading]) -> None:
        for reading in readings:
            if reading.reason is None:
                self.kept += 1
            else:
                self.rejected += 1
                self.reasons[reading.reason.partition(":")[0]] += 1
            if reading.converted:
                changes = reading.converted.split("; ")
                self.conversions.update(change.partition(":")[0] for change in changes)


def _rows(items: Sequence[Item], readings: Sequence[Reading], row: int) -> Iterator[Row]:
    """Rows of the manifest, `row` being the number of the next picture kept."""
    for item, reading in zip(items, readings, strict=True):
        kept = reading.reason is None
        yield (
            item.key,
            reading.source_sha256,
            reading.pixels_sha256,
            item.uri,
            item.licence,
            item.attribution,
            reading.width,
            reading.height,
            KEPT if kept else REJECTED,
            reading.reason,
            reading.converted,
            row if kept else None,
            item.label,
            item.split,
            *item.factors,
        )
        row += kept
