"""A shard's result: photos.tar, manifest.parquet and log.parquet.

The first two are a function of what was fetched alone: sorted by key, no times in them. When,
and after how many tries, is in the log.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from dcgan_assets.sources.archive import TarMember
from dcgan_assets.sources.reading.manifest import KEPT, MANIFEST_FILE, REJECTED, column
from dcgan_assets.sources.reading.shard_files import TableFile
from dcgan_assets.sources.web.content import EXTENSIONS, Content
from dcgan_assets.sources.web.download.ledger import Ledger, Row
from dcgan_assets.sources.web.removed_rows import forget_removed
from dcgan_assets.sources.web.wanted import Picture
from dcgan_models.files import open_atomic, remove_file

PHOTOS_FILE = "photos.tar"
LOG_FILE = "log.parquet"

_BLOCK = tarfile.BLOCKSIZE


_FETCHED = "Null unless it was fetched."
MANIFEST_SCHEMA = pa.schema(
    [
        column("key", pa.string(), "Unique name of the wanted picture; rows are sorted by it."),
        column("address", pa.string(), "Where the search found it."),
        column("final_address", pa.string(), f"After redirects. {_FETCHED}", nullable=True),
        column("status", pa.string(), "'kept' or 'rejected'."),
        column("reason", pa.string(), "Why it was rejected. Null when kept.", nullable=True),
        column("detail", pa.string(), "More of the reason; may be empty."),
        column("sha256", pa.string(), f"Hex, of its bytes. {_FETCHED}", nullable=True),
        column("bytes", pa.int64(), f"How many. {_FETCHED}", nullable=True),
        column("mime", pa.string(), f"By its first bytes. {_FETCHED}", nullable=True),
        column("width", pa.int64(), f"In pixels, as shown. {_FETCHED}", nullable=True),
        column("height", pa.int64(), f"In pixels, as shown. {_FETCHED}", nullable=True),
        column(
            "offset",
            pa.int64(),
            "Where its bytes begin in photos.tar. Null when rejected.",
            nullable=True,
        ),
        column("sha1", pa.string(), "As the search gave it.", nullable=True),
        column("licence", pa.string(), "As the search states it."),
        column("author", pa.string(), "As the search states it."),
        column("attribution", pa.string(), "Whom to name, as the search states it."),
        column("person_uri", pa.string(), "Whom the search was for."),
        column("person_name", pa.string(), "Whom the search was for."),
    ],
    metadata={"description": "One row for every wanted picture, kept or rejected."},
)
LOG_SCHEMA = pa.schema(
    [
        column("key", pa.string(), "Of the wanted picture."),
        column(
            "fetched_at",
            pa.timestamp("ms", "UTC"),
            "When it was settled, to the second; null for what was read on this machine.",
            nullable=True,
        ),
        column("tries", pa.int64(), "Requests that it took, redirects apart."),
    ],
    metadata={"description": "One row for every picture that was asked for."},
)


@dataclass(frozen=True)
class Packed:
    """What is in a shard.

    Attributes:
        kept, rejected: Rows; together all that was wanted.
        reasons: Rejected rows by reason.
        bytes: Of all kept pictures.
    """

    kept: int
    rejected: int
    reasons: dict[str, int]
    bytes: int


def pack(
    ledger: Ledger, content: Content, folder: Path, extra: pa.Schema, *, dated: bool = True
) -> Packed:
    """Write the three files of a settled ledger; the manifest comes last.

    Args:
        extra: Types of the columns that `Wanted.extra` carries; null where a row has none.
        dated: Whether the log says when. Of pictures that were here already it does not: the same
            ones would be another shard every time.

    Raises:
        OSError: The folder cannot be written.
    """
    tally = _Tally()
    remove_file(folder / MANIFEST_FILE)
    schema = pa.schema([*MANIFEST_SCHEMA, *extra], metadata=MANIFEST_SCHEMA.metadata)
    with (
        TableFile(folder / MANIFEST_FILE, schema, forget_removed) as manifest,
        TableFile(folder / LOG_FILE, LOG_SCHEMA) as log,
        open_atomic(folder / PHOTOS_FILE) as photos_file,
    ):
        tar = _Tar(photos_file)
        for row in ledger.rows():
            offset = None
            if row.reason is None:
                assert row.picture is not None  # noqa: S101
                assert row.place is not None  # noqa: S101
                offset = tar.add(row.picture, content.read(row.place, row.picture.bytes))
            tally.add(row)
            manifest.add([_manifest_row(row, offset, extra.names)])
            if row.fetched_at is not None:
                at = row.fetched_at * 1000 if dated else None
                log.add([(row.wanted.key, at, row.tries)])
        tar.end()
    return Packed(tally.kept, sum(tally.reasons.values()), tally.reasons, tally.bytes)


@dataclass
class _Tally:
    kept: int = 0
    bytes: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        if row.reason is not None:
            self.reasons[row.reason] = self.reasons.get(row.reason, 0) + 1
        elif row.picture is not None:
            self.kept += 1
            self.bytes += row.picture.bytes


def _manifest_row(row: Row, offset: int | None, extra: list[str]) -> tuple[Any, ...]:
    one, had = row.wanted, row.picture
    facts = (
        (had.sha256, had.bytes, had.mime, had.width, had.height) if had is not None else (None,) * 5
    )
    return (
        one.key,
        one.address,
        had.final_address if had is not None else None,
        KEPT if row.reason is None else REJECTED,
        row.reason,
        row.detail,
        *facts,
        offset,
        one.sha1,
        *one[3:-1],
        *(one.extra.get(name) for name in extra),
    )


class _Tar:
    """An uncompressed tar archive in the making, whose members' places are known."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = 0

    def add(self, picture: Picture, data: bytes) -> int:
        """Append a picture; returns where its bytes begin."""
        info = tarfile.TarInfo(f"{picture.sha256}.{EXTENSIONS[picture.mime]}")
        info.size = len(data)
        offset = self._size + _BLOCK
        head, padding = info.tobuf(tarfile.USTAR_FORMAT), bytes(-len(data) % _BLOCK)
        self._size += self._file.write(b"".join((head, data, padding)))  # one call of the system
        return offset

    def end(self) -> None:
        """Write the two empty blocks, and more up to a whole record, that end an archive."""
        end = 2 * _BLOCK
        self._file.write(bytes(end + -(self._size + end) % tarfile.RECORDSIZE))


def packed_pictures(folder: Path) -> Iterator[tuple[str, TarMember]]:
    """The key of every kept picture of a packed shard and where its bytes lie, by key."""
    columns = ["key", "offset", "bytes"]
    for batch in pq.ParquetFile(folder / MANIFEST_FILE).iter_batches(columns=columns):
        for row in batch.to_pylist():
            if row["offset"] is not None:
                yield row["key"], TarMember(folder / PHOTOS_FILE, row["offset"], row["bytes"])
