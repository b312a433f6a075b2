"""What every source hands over: the pixels it kept, and one table row for each of its inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dcgan_models.pixels import Pixels

KEPT = "kept"
REJECTED = "rejected"
SPLITS = ("train", "test")
# Of every `images` artefact: the table of its inputs, and about how large a file of pixels grows.
MANIFEST_FILE = "manifest.parquet"
FILE_BYTES = 800_000_000


def column(name: str, kind: pa.DataType, description: str, *, nullable: bool = False) -> pa.Field:
    """A column of a table that is published, with what it says."""
    return pa.field(name, kind, nullable, metadata={"description": description})


PICTURE_SCHEMA = pa.schema(
    [
        column("key", pa.string(), "Unique name of the input; the same in every run."),
        column(
            "source_sha256",
            pa.string(),
            "Hex SHA-256 of the source bytes: the file, or the record inside an archive. "
            "Null when the source was not read.",
            nullable=True,
        ),
        column(
            "pixels_sha256",
            pa.string(),
            "Hex SHA-256 of the kept pixel bytes, row by row, channels last. Null when rejected.",
            nullable=True,
        ),
        column(
            "source_uri",
            pa.string(),
            "File name relative to the source folder, with #RECORD inside an archive, "
            "or package:NAME/FILE#RECORD.",
        ),
        column("licence", pa.string(), "Licence of the picture, as its source states it."),
        column("attribution", pa.string(), "Whom to name as the maker of the picture."),
        column(
            "original_width",
            pa.int64(),
            "Width in the source, in pixels. Null when it could not be read.",
            nullable=True,
        ),
        column(
            "original_height",
            pa.int64(),
            "Height in the source, in pixels. Null when it could not be read.",
            nullable=True,
        ),
        column("status", pa.string(), "'kept' or 'rejected'."),
        column("reason", pa.string(), "Why it was rejected. Null when kept.", nullable=True),
        column("row", pa.int64(), "Row in the pixel array. Null when rejected.", nullable=True),
        column("label", pa.int64(), "Class number. Null when there is none.", nullable=True),
        column(
            "split",
            pa.string(),
            "'train', 'test' or 'held_out', as the source says. Null when it does not.",
            nullable=True,
        ),
    ],
    metadata={"description": "One row for each input of a source, kept or rejected."},
)


@dataclass(frozen=True)
class Record:
    """What a source knows about one input; it is kept when `reason` is None."""

    key: str
    source_sha256: str | None
    source_uri: str
    licence: str
    attribution: str
    original_width: int | None
    original_height: int | None
    reason: str | None
    label: int | None
    split: str | None


@dataclass(frozen=True, eq=False)
class Pictures:
    """The pictures of one source.

    Attributes:
        pixels: uint8 of shape (n_kept, H, W, C), values 0..255, C being 1 (grey) or 3 (RGB).
        table: One row for each input, with `PICTURE_SCHEMA`; kept rows in the order of `row`.

    Raises:
        ValueError: The two do not belong together.
    """

    pixels: Pixels
    table: pa.Table

    def __post_init__(self) -> None:
        _check_pixels(self.pixels)
        _check_values(self.table)
        _check_status(self.table, len(self.pixels))

    @property
    def kept(self) -> pa.Table:
        """The rows of the pictures, one for each of `pixels`."""
        return self.table.filter(pc.equal(self.table["status"], KEPT))

    @classmethod
    def assemble(cls, pixels: Pixels, records: Sequence[Record]) -> Pictures:
        """Build the table: number the kept records in order, and hash their pixels.

        Args:
            pixels: uint8 (n_kept, H, W, C), in the order of the kept records.
            records: One for each input.

        Raises:
            ValueError: There are not as many pictures as kept records, or a key occurs twice.
        """
        columns = {
            name: [getattr(record, name) for record in records]
            for name in Record.__dataclass_fields__
        }
        kept = [reason is None for reason in columns["reason"]]
        if sum(kept) != len(pixels):
            raise ValueError(f"{len(pixels)} pictures for {sum(kept)} kept records")
        numbers = iter(range(len(pixels)))
        digests = map(pixels_sha256, pixels)
        columns["row"] = [next(numbers) if keep else None for keep in kept]
        columns["pixels_sha256"] = [next(digests) if keep else None for keep in kept]
        columns["status"] = [KEPT if keep else REJECTED for keep in kept]
        return cls(pixels, pa.table(columns, schema=PICTURE_SCHEMA))


def pixels_sha256(picture: Pixels) -> str:
    """Hex SHA-256 of a picture's bytes, row by row, channels last.

    Args:
        picture: uint8 (H, W, C).
    """
    return hashlib.sha256(np.ascontiguousarray(picture).data).hexdigest()


def reject_copies(table: pa.Table, duplicate_of: Sequence[str | None], reason: str) -> pa.Table:
    """Append the column `duplicate_of`, and reject the rows that have something there.

    Args:
        table: With the columns `status` and `reason`.
        duplicate_of: For each row the key of what it is a copy of, or None.
        reason: Why the copies are rejected.
    """
    table = table.append_column("duplicate_of", pa.array(duplicate_of, pa.string()))
    copies = pc.is_valid(table["duplicate_of"])
    for name, word in (("status", REJECTED), ("reason", reason)):
        place = table.column_names.index(name)
        values = pc.if_else(copies, word, table[name])
        table = table.set_column(place, table.schema.field(name), values)
    return table


def _check_pixels(pixels: Pixels) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in (1, 3):
        raise ValueError(
            f"pixels are {pixels.dtype} {pixels.shape}; uint8 (n, H, W, 1 or 3) expected"
        )


def _check_values(table: pa.Table) -> None:
    """Column types, values that must be there, unique keys, known splits."""
    if not table.schema.equals(PICTURE_SCHEMA, check_metadata=True):
        raise ValueError(f"the table's schema is not PICTURE_SCHEMA: {table.schema}")
    for field in PICTURE_SCHEMA:
        if not field.nullable and table[field.name].null_count:
            raise ValueError(f"column {field.name!r} has nulls")
    if pc.count_distinct(table["key"]).as_py() != table.num_rows:
        counts = pc.value_counts(table["key"]).to_pylist()
        twice = next(entry["values"] for entry in counts if entry["counts"] > 1)
        raise ValueError(f"key {twice!r} occurs more than once")
    unknown = set(pc.unique(table["split"]).to_pylist()) - {*SPLITS, None}
    if unknown:
        raise ValueError(f"split is {sorted(unknown)}; {SPLITS} or null expected")


def _check_status(table: pa.Table, n_kept: int) -> None:
    """Kept rows number the pixels in order; rejected rows have a reason and no pixels."""
    unknown = set(pc.unique(table["status"]).to_pylist()) - {KEPT, REJECTED}
    if unknown:
        raise ValueError(f"status is {sorted(unknown)}; {KEPT!r} or {REJECTED!r} expected")
    kept = table.filter(pc.equal(table["status"], KEPT))
    rejected = table.filter(pc.equal(table["status"], REJECTED))
    if kept["row"].to_pylist() != list(range(n_kept)):
        raise ValueError(f"the kept rows do not count from 0 to {n_kept - 1}")
    if kept["pixels_sha256"].null_count or kept["reason"].null_count != n_kept:
        raise ValueError("a kept row lacks its pixels_sha256 or has a reason")
    nulls = [rejected[name].null_count for name in ("row", "pixels_sha256")]
    if nulls != [rejected.num_rows] * 2 or rejected["reason"].null_count:
        raise ValueError("a rejected row has pixels or lacks its reason")
