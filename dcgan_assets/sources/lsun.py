"""LSUN (Yu et al., 2015): 3 million bedrooms in one LMDB, section 4.1 of the DCGAN paper.

The database is opened without lock file, so it may lie on read-only media. Its keys are read
once, its values only by the worker processes, of which each reads a range of keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dcgan_assets.sources.reading.items import (
    MAX_PICTURE_BYTES,
    UNSTATED,
    Item,
    UnreadableError,
    once_a_process,
    one_piece_version,
    safe_key,
)
from dcgan_models.errors import UserError

LSUN_ATTRIBUTION = "LSUN, F. Yu, A. Seff, Y. Zhang, S. Song, T. Funkhouser and J. Xiao"
_DATA_FILE = "data.mdb"


class LmdbValue(NamedTuple):
    """A picture that is a value of an LMDB."""

    path: str
    key: bytes

    def read(self) -> bytes:
        """The value.

        Raises:
            UnreadableError: The key is gone, or the value is too large or damaged.
            UserError: The database cannot be opened.
        """
        import lmdb

        try:
            with _environment(self.path).begin(buffers=True) as transaction:
                value = transaction.get(self.key)
                if value is None:
                    raise UnreadableError("not in the database any more")
                if len(value) > MAX_PICTURE_BYTES:
                    raise UnreadableError(f"more than {MAX_PICTURE_BYTES:,} bytes")
                return bytes(value)
        except lmdb.Error as error:
            raise UnreadableError(f"damaged database ({error})") from error


@dataclass(frozen=True)
class Lsun:
    """The pictures of an LMDB as LSUN publishes them: values are JPEG or WebP files.

    Shards are ranges of keys of equal size. Their version is the size and time of modification of
    the database, since LSUN's is written once: a changed database changes every shard.

    Attributes:
        path: The folder with data.mdb (`bedroom_train_lmdb`), or that file.
        split: 'train' or 'test', when the user says so.
        licence, attribution: Of all its pictures. LSUN's pages name no licence.
        stand_in: Whether these are other pictures than the paper's.
    """

    path: Path
    split: str | None = None
    licence: str = UNSTATED
    attribution: str = LSUN_ATTRIBUTION
    stand_in: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """Empty: an LSUN database holds one category."""
        return ()

    def items(self, shard: int, shards: int) -> list[Item]:
        """As `Source.items`."""
        path = str(_data_file(self.path))
        bounds = _bounds(path, shards)
        name = f"{self.path.name}#"
        items = []
        for raw in _keys(path, bounds[shard], bounds[shard + 1]):
            key = safe_key(raw)
            place = LmdbValue(path, raw)
            items.append(
                Item(key, name + key, None, self.split, self.licence, self.attribution, place)
            )
        return sorted(items, key=lambda item: item.key)

    def version(self, shard: int, shards: int) -> str:
        """As `Source.version`. No key is read for it."""
        facts = _data_file(self.path).stat()
        return one_piece_version(f"{facts.st_size}\0{facts.st_mtime_ns}", shard, shards)


def _data_file(path: Path) -> Path:
    data = path / _DATA_FILE if path.is_dir() else path
    if not data.is_file():
        raise UserError(
            f"{path}: no LMDB here; a folder with {_DATA_FILE} is expected, "
            "as bedroom_train_lmdb.zip unpacks to"
        )
    return data


# One process may open a database only once, so everything here shares this environment.
@once_a_process
def _environment(path: str) -> Any:
    """Open a database; a file that ends early would later end the process with a bus error."""
    import lmdb

    if not Path(path).stat().st_size:
        raise UserError(f"{path}: an empty file, not an LMDB; copy it again")
    with _damage_named(path):
        environment = lmdb.open(
            path, subdir=False, readonly=True, lock=False, create=False, max_spare_txns=4
        )
    page, last = environment.stat()["psize"], environment.info()["last_pgno"]
    expected, found = page * (last + 1), Path(path).stat().st_size
    if found < expected:
        environment.close()
        raise UserError(
            f"{path}: truncated LMDB: {found:,} bytes found, {expected:,} expected; copy it again"
        )
    if not environment.stat()["entries"]:
        environment.close()
        raise UserError(f"{path}: an LMDB without pictures")
    return environment


@once_a_process
def _bounds(path: str, shards: int) -> tuple[bytes | None, ...]:
    """The first key of each shard, and None after the last; other keys are not held.

    Where there are fewer keys than shards, shards that begin as the next one does are empty.
    """
    total = _environment(path).stat()["entries"]
    positions = [shard * total // shards for shard in range(shards)]
    wanted = set(positions)
    firsts = {n: key for n, key in enumerate(_keys(path, None, None)) if n in wanted}
    return (*map(firsts.__getitem__, positions), None)


def _keys(path: str, first: bytes | None, end: bytes | None) -> Iterator[bytes]:
    """The keys from `first` up to but without `end`, in the database's order."""
    with _damage_named(path), _environment(path).begin() as transaction:
        cursor = transaction.cursor()
        if not (cursor.first() if first is None else cursor.set_range(first)):
            return
        for key in cursor.iternext(keys=True, values=False):
            if key == end:
                return
            yield key


@contextmanager
def _damage_named(path: str) -> Iterator[None]:
    """Turn LMDB's errors into one line."""
    import lmdb

    try:
        yield
    except lmdb.Error as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise UserError(f"{path}: not a readable LMDB ({reason})") from error
