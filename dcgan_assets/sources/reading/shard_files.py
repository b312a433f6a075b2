"""A shard's files in the making: pixels as .npy files, and a table with a row for every input.

Both grow row by row, hold little in memory, and are published when they end well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dcgan_assets.sources.reading.manifest import FILE_BYTES
from dcgan_models.errors import UserError
from dcgan_models.files import open_atomic
from dcgan_models.pixels import Pixels

Row = tuple[Any, ...]

_ROW_GROUP = 1 << 15


class TableFile:
    """A Parquet file in the making; a context that publishes it when it ends well.

    Args:
        finish: What each part of the table goes through before it is written.
    """

    def __init__(
        self, path: Path, schema: pa.Schema, finish: Callable[[pa.Table], pa.Table] = lambda t: t
    ) -> None:
        self._schema = schema
        self._finish = finish
        self._file = open_atomic(path)
        self._rows: list[Row] = []

    def __enter__(self) -> TableFile:
        self._writer = pq.ParquetWriter(self._file.__enter__(), self._schema, compression="zstd")
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self._write()
        self._writer.close()
        self._file.__exit__(*error)

    def add(self, rows: Iterable[Row]) -> None:
        """Append rows: values in the order of the schema."""
        self._rows.extend(rows)
        if len(self._rows) >= _ROW_GROUP:
            self._write()

    def _write(self) -> None:
        columns = list(zip(*self._rows, strict=True)) or [()] * len(self._schema)
        arrays = [
            pa.array(column, kind.type) for column, kind in zip(columns, self._schema, strict=True)
        ]
        table = pa.Table.from_arrays(arrays, schema=self._schema)
        self._writer.write_table(self._finish(table))
        self._rows.clear()


class PixelFiles:
    """The .npy files of one size in the making; a context that publishes the last one.

    The first is called STEM.npy, the others STEM_001.npy and so on.
    """

    def __init__(
        self, folder: Path, stem: str, size: int, file_bytes: int = FILE_BYTES, channels: int = 3
    ) -> None:
        self.stem = stem
        self.size = size
        self.channels = channels
        self.rows_per_file = max(1, file_bytes // (size * size * channels))
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
        """Append uint8 (n, size, size, channels)."""
        while len(pixels):
            if self._rows == self.rows_per_file:
                self.__exit__(None, None, None)
                self._open()
            fitting = pixels[: self.rows_per_file - self._rows]
            self._stream.write(np.ascontiguousarray(fitting).data)
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
        shape = (self._rows, self.size, self.size, self.channels)
        facts = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._stream, facts)


@contextmanager
def unwritable_named(folder: Path) -> Iterator[None]:
    """Say of a failure to write that it is this folder's."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})") from error
