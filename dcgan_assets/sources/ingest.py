"""From a source's items to pixels on disk and a manifest with a row for every item.

The pixels of each size are .npy files of at most some 800 MB. Row r of a size lies in file
r // rows, at r % rows, `rows` being that size's `IngestReport.rows_per_file`.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dcgan_assets.sources.decode import Pixels
from dcgan_assets.sources.items import Item
from dcgan_assets.sources.pictures import (
    FILE_BYTES,
    KEPT,
    MANIFEST_FILE,
    PICTURE_SCHEMA,
    REJECTED,
)
from dcgan_assets.sources.readers import Reading, Recipe
from dcgan_assets.sources.workers import StoppedError, run_workers
from dcgan_models.errors import UserError
from dcgan_models.files import open_atomic

MIN_SIDE = 32
_ROW_GROUP = 1 << 15

Progress = Callable[[int, int], None]


def _manifest_schema() -> pa.Schema:
    """The schema of small sources, and what decoding changed beside it."""
    description = (
        "What decoding changed: EXIF orientation applied, alpha on white, 16-bit cut to 8, grey "
        "or CMYK to RGB, the frame taken of an animation. Null when nothing, and when rejected."
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
        conversions: Kept items by each thing that decoding changed.
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
) -> IngestReport | None:
    """Read every item, and write `pixels_SIZE.npy` and `manifest.parquet`.

    The pixels are uint8 (n_kept, size, size, 3), RGB, in the order of the items. More files
    than one are called pixels_64.npy, pixels_64_001.npy and so on. The manifest has a row for
    every item, in their order, with `INGEST_SCHEMA`; it is written last.

    Args:
        items: From a source, with unique keys.
        folder: Exists; files of these names in it are replaced.
        sizes: Sides of the thumbnails.
        workers: Processes that read; as many as there are cores by default.
        min_side: Pictures with a shorter side are rejected.
        on_progress: Called with the items done and in all.
        should_stop: Asked twice a second at least; True leaves the folder without manifest.
        file_bytes: About the size of a .npy file.

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
    (folder / MANIFEST_FILE).unlink(missing_ok=True)
    batches = run_workers(
        Recipe(tuple(sizes), min_side),
        [item.location for item in items],
        workers or available_cores(),
        should_stop,
    )
    try:
        with unwritable_named(folder), closing(batches), ExitStack() as stack:
            manifest = stack.enter_context(_Manifest(folder / MANIFEST_FILE))
            files = [
                stack.enter_context(PixelFiles(folder, f"pixels_{size}", size, file_bytes))
                for size in sizes
            ]
            for batch in batches:
                first = tally.kept + tally.rejected
                done = first + len(batch.readings)
                manifest.add(items[first:done], batch.readings, tally.kept)
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
                self.conversions.update(reading.converted.split("; "))


class _Manifest:
    """The manifest in the making; a context that publishes it when it ends well."""

    def __init__(self, path: Path) -> None:
        self._file = open_atomic(path)
        self._rows: list[tuple[Any, ...]] = []

    def __enter__(self) -> _Manifest:
        self._writer = pq.ParquetWriter(self._file.__enter__(), INGEST_SCHEMA)
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self._write()
        self._writer.close()
        self._file.__exit__(*error)

    def add(self, items: Sequence[Item], readings: Sequence[Reading], row: int) -> None:
        """Add rows, `row` being the number of the next picture kept."""
        for item, reading in zip(items, readings, strict=True):
            kept = reading.reason is None
            self._rows.append(
                (
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
                )
            )
            row += kept
        if len(self._rows) >= _ROW_GROUP:
            self._write()

    def _write(self) -> None:
        columns = list(zip(*self._rows, strict=True)) or [()] * len(INGEST_SCHEMA)
        arrays = [
            pa.array(column, kind.type) for column, kind in zip(columns, INGEST_SCHEMA, strict=True)
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=INGEST_SCHEMA))
        self._rows.clear()


class PixelFiles:
    """The .npy files of one size in the making; a context that publishes the last one.

    The first is called STEM.npy, the others STEM_001.npy and so on.
    """

    def __init__(self, folder: Path, stem: str, size: int, file_bytes: int = FILE_BYTES) -> None:
        self.stem = stem
        self.size = size
        self.rows_per_file = max(1, file_bytes // (size * size * 3))
        self.names: list[str] = []
        self._folder = folder

    def __enter__(self) -> PixelFiles:
        self._open()
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self._write_header()
        self._file.__exit__(*error)

    def add(self, pixels: Pixels) -> None:
        """Append uint8 (n, size, size, 3)."""
        while len(pixels):
            if self._rows == self.rows_per_file:
                self.__exit__(None, None, None)
                self._open()
            fitting = pixels[: self.rows_per_file - self._rows]
            self._stream.write(fitting.data)
            self._rows += len(fitting)
            pixels = pixels[len(fitting) :]

    def _open(self) -> None:
        number = f"_{len(self.names):03d}" if self.names else ""
        self.names.append(f"{self.stem}{number}.npy")
        self._file = open_atomic(self._folder / self.names[-1])
        self._stream = self._file.__enter__()
        self._rows = 0
        self._write_header()

    def _write_header(self) -> None:
        """Say how many rows there are; NumPy leaves room in the header for any number."""
        self._stream.seek(0)
        shape = (self._rows, self.size, self.size, 3)
        facts = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._stream, facts)


@contextmanager
def unwritable_named(folder: Path) -> Iterator[None]:
    """Say of a failure to write that it is this folder's."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})") from error
