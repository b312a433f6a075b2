"""Features on disk: an Arrow table that is mapped, not read.

A folder holds `features.arrow`, an uncompressed Arrow IPC file with a row a picture (key, label,
split, features), and `columns.parquet`, which says where each feature comes from. A classifier
sees the features as NumPy arrays in the file's own pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dcgan_models.errors import UserError
from dcgan_models.files import open_atomic, remove_file
from dcgan_models.tables import arrow_words, map_ipc, read_parquet

FEATURES_FILE = "features.arrow"
PARQUET_FILE = "features.parquet"
COLUMNS_FILE = "columns.parquet"
# Features of a record batch. One is held while it is filled.
BATCH_BYTES = 256 << 20

Features = npt.NDArray[np.float16]


def _column(name: str, description: str) -> pa.Field:
    return pa.field(name, pa.int32(), nullable=False, metadata={"description": description})


COLUMNS_SCHEMA = pa.schema(
    [
        _column("column", "Number of the feature, from 0."),
        _column("layer", "Row of the discriminator's layer table that made it, from 1."),
        _column("channel", "Channel of that layer, from 0."),
        _column("cell_row", "Row of the pooling cell, from 0 at the top to 3."),
        _column("cell_column", "Column of the pooling cell, from 0 on the left to 3."),
    ],
    metadata={"description": "Where in the discriminator each feature comes from."},
)


def feature_schema(columns: int) -> pa.Schema:
    """The schema of `features.arrow` with so many features."""

    def field(name: str, kind: pa.DataType, about: str, *, nullable: bool = False) -> pa.Field:
        return pa.field(name, kind, nullable, metadata={"description": about})

    value = pa.field("item", pa.float16(), nullable=False)
    return pa.schema(
        [
            field("key", pa.string(), "Key of the picture."),
            field("label", pa.int64(), "Class number. Null when there is none.", nullable=True),
            field("split", pa.string(), "The picture's split."),
            field(
                "features", pa.list_(value, columns), "Features, in the order of columns.parquet."
            ),
        ],
        metadata={"description": "One row for each picture: what a discriminator sees in it."},
    )


def layer_columns(columns: pa.Table) -> dict[int, slice]:
    """The columns of each layer, by row of D's layer table, in order.

    Args:
        columns: With `COLUMNS_SCHEMA`; a layer's stand together.
    """
    layers = columns["layer"].to_numpy()
    starts = np.flatnonzero(np.diff(layers, prepend=layers[0] - 1)).tolist()
    stops = [*starts[1:], len(layers)]
    return {int(layers[a]): slice(a, b) for a, b in zip(starts, stops, strict=True)}


def write_feature_table(
    folder: Path,
    columns: pa.Table,
    blocks: Iterable[Features],
    *,
    keys: Sequence[str],
    labels: npt.NDArray[np.int64],
    splits: Sequence[str],
    batch_bytes: int = BATCH_BYTES,
) -> None:
    """Write a table, atomically: `features.arrow` comes last, whole or not at all.

    Args:
        folder: Exists; a table in it is replaced.
        columns: As `features.feature_columns` gives it.
        blocks: float16 (b, columns), as `features.feature_blocks` gives them; they are let go
            one by one.
        keys: The pictures' keys, in the order of the blocks' rows.
        labels: int64 (n,), -1 where there is none.
        splits: The pictures' splits.
        batch_bytes: About the size of a record batch; so much is held beside one block.

    Raises:
        UserError: The folder cannot be written.
        ValueError: The blocks do not have a row for each key and a column for each of `columns`.
    """
    schema = feature_schema(columns.num_rows)
    labelled = pa.array(labels, mask=labels < 0)
    first = 0
    try:
        # None stays of a table that belongs to other columns.
        remove_file(folder / FEATURES_FILE)
        with open_atomic(folder / COLUMNS_FILE) as stream:
            pq.write_table(columns, stream)
        # The features come last, a record batch at a time, so that memory is that of one.
        with (
            open_atomic(folder / FEATURES_FILE) as stream,
            pa.ipc.new_file(stream, schema) as writer,
        ):
            for rows in _in_batches(blocks, columns.num_rows, len(keys), batch_bytes):
                part = slice(first, first + len(rows))
                values = pa.FixedSizeListArray.from_arrays(
                    pa.array(rows.reshape(-1)), type=schema.field("features").type
                )
                arrays = [
                    pa.array(keys[part], pa.string()),
                    labelled[part],
                    pa.array(splits[part], pa.string()),
                    values,
                ]
                writer.write_batch(pa.record_batch(arrays, schema=schema))
                first = part.stop
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from error


def write_parquet(folder: Path) -> None:
    """Write the table of a folder as `features.parquet`, too, batch by batch: for other tools.

    Raises:
        UserError: The file cannot be written.
    """
    try:
        with (
            pa.memory_map(str(folder / FEATURES_FILE)) as mapped,
            pa.ipc.open_file(mapped) as reader,
            open_atomic(folder / PARQUET_FILE) as stream,
            pq.ParquetWriter(stream, reader.schema) as writer,
        ):
            for number in range(reader.num_record_batches):
                writer.write_batch(reader.get_batch(number))
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from error


def _in_batches(
    blocks: Iterable[Features], columns: int, total: int, batch_bytes: int
) -> Iterator[Features]:
    """Collect blocks into arrays of one size but for the last; check that they are `total` rows.

    The same memory is filled again and again: an array is good until the next one is asked for.
    """
    # One record batch: float16 has two bytes.
    space = np.empty((min(total, max(1, batch_bytes // (2 * columns))), columns), np.float16)
    filled = done = 0
    for block in blocks:
        if block.dtype != np.float16 or block.ndim != 2 or block.shape[1] != columns:
            raise ValueError(f"a block is {block.dtype} {block.shape}, not float16 (b, {columns})")
        if done + filled + len(block) > total:
            raise ValueError(f"more than {total} rows of features for {total} keys")
        # A block may end one batch and begin others.
        left = block
        while len(left):
            taken = min(len(left), len(space) - filled)
            space[filled : filled + taken] = left[:taken]
            left, filled = left[taken:], filled + taken
            if filled == len(space):
                yield space
                done, filled = done + filled, 0
    if filled:
        yield space[:filled]
    if done + filled != total:
        raise ValueError(f"{done + filled} rows of features for {total} keys")


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """The features of many pictures on disk, memory-mapped: a row a picture.

    Attributes:
        columns: Where each feature comes from, with `COLUMNS_SCHEMA`.
        parts: The features as read-only views of the file, float16 (n_i, columns), one for each
            record batch; together the table's rows in order.
        keys: The pictures' keys.
        labels: int64 (n,), -1 where there is none.
        splits: The pictures' splits, str (n,).
    """

    columns: pa.Table
    parts: Sequence[Features]
    keys: pa.ChunkedArray
    labels: npt.NDArray[np.int64]
    splits: npt.NDArray[np.str_]

    @classmethod
    def open(cls, folder: str | Path) -> FeatureTable:
        """Open a table; its features are not read.

        Raises:
            UserError: A file is missing, damaged, or not of a feature table, or the two do not
                belong together.
        """
        folder = Path(folder)
        columns = _read_columns(folder / COLUMNS_FILE)
        table = _map_table(folder / FEATURES_FILE, columns.num_rows)
        return cls(
            columns,
            [_view(chunk, columns.num_rows) for chunk in table["features"].chunks],
            table["key"],
            table["label"].fill_null(-1).to_numpy(),
            np.array(table["split"].to_pylist(), np.str_),
        )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def features(self) -> Features:
        """All features as one view, float16 (n, columns), where there is one record batch.

        Raises:
            ValueError: There are more: use `parts`, or `gather`.
        """
        if len(self.parts) != 1:
            raise ValueError(f"{len(self.parts)} record batches: use parts, or gather")
        return self.parts[0]

    def rows(self, split: str) -> npt.NDArray[np.intp]:
        """The rows of a split, ascending."""
        return np.flatnonzero(self.splits == split)

    def gather(self, rows: npt.ArrayLike, columns: slice = slice(None)) -> Features:
        """Copy rows, or some columns of them, out: float16 (len(rows), columns), as asked.

        Raises:
            IndexError: There is no such row.
        """
        rows = np.asarray(rows, dtype=np.intp)
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(self)}")
        width = len(range(*columns.indices(self.columns.num_rows)))
        found = np.empty((len(rows), width), np.float16)
        numbers = np.searchsorted(self._ends, rows, side="right")
        for number, part in enumerate(self.parts):
            here = np.flatnonzero(numbers == number)
            found[here] = part[rows[here] - (self._ends[number] - len(part)), columns]
        return found

    @cached_property
    def _ends(self) -> npt.NDArray[np.intp]:
        """The row after the last one of each part."""
        return np.cumsum([len(part) for part in self.parts], dtype=np.intp)


def _read_columns(path: Path) -> pa.Table:
    try:
        columns = read_parquet(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; a feature table has one") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable Parquet file ({arrow_words(error)})") from None
    if not columns.schema.equals(COLUMNS_SCHEMA) or not columns.num_rows:
        raise UserError(
            f"{path}: a row for each feature is needed, with {', '.join(COLUMNS_SCHEMA.names)}"
        )
    return columns


def _map_table(path: Path, columns: int) -> pa.Table:
    try:
        table = map_ipc(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; a feature table has one") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a whole Arrow IPC file ({arrow_words(error)})") from None
    schema = feature_schema(columns)
    if not table.schema.equals(schema):
        found, needed = (arrow_words(one.remove_metadata()) for one in (table.schema, schema))
        raise UserError(
            f"{path}: its columns are {found}; a feature table has {needed}, as {COLUMNS_FILE} says"
        )
    if not table.num_rows:
        raise UserError(f"{path}: a feature table without rows")
    return table


def _view(chunk: pa.FixedSizeListArray, columns: int) -> Features:
    """A record batch's features where they lie."""
    values: Features = chunk.values.to_numpy(zero_copy_only=True)
    return values.reshape(-1, columns)
