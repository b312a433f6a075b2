"""Tables of Arrow and Parquet that may be damaged, or anybody's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dcgan_models.files import open_regular

# A table that says more would take all memory: a billion equal rows are a file of a few hundred
# bytes. LSUN, our longest, has three million pictures.
_MOST_ROWS = 2**26
_LARGEST_FOOTER = 64 * 2**20


def read_parquet(path: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file, or some columns of it; pages that have checksums are held against them.

    Raises:
        OSError: It cannot be opened, or is no plain file.
        ValueError: It is no whole Parquet file, lacks a column, or says that it has more rows than
            are read.
    """
    with open_parquet(path) as file:
        missing = [name for name in columns or () if name not in file.schema_arrow.names]
        if missing:
            raise ValueError(f"it has no column {missing[0]}")
        table = file.read(columns=columns)
        table.validate(full=True)
        return table


@contextmanager
def open_parquet(path: str | Path) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file, to read it in batches; raises as `read_parquet` does, to its end."""
    with open_regular(path) as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - 8))
        footer = int.from_bytes(stream.read(4), "little")
    if footer > _LARGEST_FOOTER:  # Arrow would read it before it looks at what it is
        raise ValueError(f"a footer of {footer:,} bytes")
    with _arrow_errors(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        if file.metadata.num_rows > _MOST_ROWS:
            raise ValueError(f"{file.metadata.num_rows:,} rows; at most {_MOST_ROWS:,} are read")
        yield file


def map_ipc(path: str | Path) -> pa.Table:
    """Map an Arrow IPC file into memory; lists of fixed size are not read, all else is checked.

    Raises:
        OSError: It cannot be opened, or is no plain file.
        ValueError: It is no whole IPC file.
    """
    with _arrow_errors(path), pa.memory_map(str(path)) as mapped:
        table = pa.ipc.open_file(mapped).read_all()
        table.validate()
        large = [field.name for field in table.schema if pa.types.is_fixed_size_list(field.type)]
        table.drop_columns(large).validate(full=True)
        return table


@contextmanager
def _arrow_errors(path: str | Path) -> Iterator[None]:
    """Let nothing but a plain file come to Arrow, which waits for pipes; its errors as one kind."""
    with open_regular(path):
        pass
    try:
        yield
    except pa.ArrowException as error:
        raise ValueError(arrow_words(error)) from None


def arrow_words(value: object) -> str:
    """What Arrow says, often over many lines, as one."""
    return " ".join(str(value).split())
