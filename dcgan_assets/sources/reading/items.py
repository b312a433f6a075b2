"""What a large source hands over: a list of pictures to read, not the pictures themselves.

`Source` is what a picture group is made from: LSUN bedrooms, ImageNet, a user's folder. It lists
`Item`s, shard by shard; worker processes read their bytes (`dcgan_assets.sources.reading.ingest`).
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

UNSTATED = "unstated"
HELD_OUT = "held_out"
# A photograph of 50 million pixels takes about 30 MB as a JPEG.
MAX_PICTURE_BYTES = 64 << 20

# Backslash itself, control characters, characters that break lines or turn the direction of
# writing, and the bytes that are no UTF-8 (as surrogates). The list is fixed here, because
# `str.isprintable` changes with the version of Python.
_UNSAFE = re.compile(
    "[\\\\\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


class UnreadableError(Exception):
    """The bytes of one picture cannot be had; its text is the reason in the manifest."""


class Location(Protocol):
    """Where a picture's bytes lie.

    Locations are pickled to worker processes, millions of them: the ones here are named tuples,
    which takes a fifth of the time that dataclasses take.
    """

    def read(self) -> bytes:
        """The bytes, at most `MAX_PICTURE_BYTES`.

        Raises:
            UnreadableError: This picture cannot be read; others may.
            UserError: The whole source cannot be read.
        """
        ...


class Unread(NamedTuple):
    """The location of an input that its source refuses without reading it."""

    reason: str

    def read(self) -> bytes:
        """Raise `UnreadableError` with the reason."""
        raise UnreadableError(self.reason)


@dataclass(frozen=True, slots=True)
class Item:
    """One input of a source: a picture, or what was found where pictures are expected.

    Attributes:
        key: Unique in the source, printable, the same in every run.
        uri: File name relative to the source, with #RECORD inside an archive, or
            package:NAME/FILE#RECORD.
        label: Index into the source's `classes`, or None.
        split: 'train', 'test' or `HELD_OUT` where the source says so.
        licence: Licence of the picture, as its source states it.
        attribution: Whom to name as its maker.
        location: Where its bytes are read from.
        factors: What is known to be seen, a value for each of the columns that `ingest` is given.
    """

    key: str
    uri: str
    label: int | None
    split: str | None
    licence: str
    attribution: str
    location: Location
    factors: tuple[Any, ...] = ()


class Source(Protocol):
    """A set of pictures that can be read shard by shard."""

    @property
    def stand_in(self) -> bool:
        """Whether these are other pictures than the paper's; results say so."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels; empty where there are none."""
        ...

    def items(self, shard: int, shards: int) -> Sequence[Item]:
        """The items of shard `shard` of `shards`, sorted by key.

        Every item of the source is in exactly one shard.

        Raises:
            UserError: The source cannot be read.
        """
        ...

    def version(self, shard: int, shards: int) -> str:
        """Hash of the listing of what that shard reads: names, sizes and times, not bytes.

        Raises:
            UserError: The source cannot be read.
        """
        ...


_P = ParamSpec("_P")
_R = TypeVar("_R")
_forgetters: list[Callable[[], None]] = []


def once_a_process(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Cache a function's results until `forget_listings`; its arguments are hashable."""
    cached = functools.cache(function)
    _forgetters.append(cached.cache_clear)
    return cached  # type: ignore[return-value]


def forget_listings() -> None:
    """Let every source look again at what it reads: a process that lives on calls this."""
    for forget in _forgetters:
        forget()


def safe_key(name: bytes) -> str:
    r"""A file's or record's name as text that fits any table and any terminal.

    Different names have different keys. A backslash is doubled; bytes that are no UTF-8 become
    ``\xfc``, ASCII control characters ``\x0a``, and other unprintable characters ``\u2028``.
    """
    return _UNSAFE.sub(_escape, name.decode("utf-8", "surrogateescape"))


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if character == "\\":
        return "\\\\"
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    # Above ASCII always \u, so that U+0085 and a stray byte 0x85 stay apart.
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"


def key_hash(key: str) -> int:
    """64 bits by which keys are dealt into shards, the same everywhere."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")


def key_hashes(keys: Sequence[str]) -> npt.NDArray[np.uint64]:
    """uint64 (n,), the `key_hash` of each key."""
    return np.fromiter(map(key_hash, keys), np.uint64, len(keys))


def in_shard(hashes: npt.NDArray[np.uint64], shard: int, shards: int) -> npt.NDArray[np.intp]:
    """Positions of the keys of one shard: one new key changes one shard.

    Args:
        hashes: uint64 (n,), the keys' `key_hash`.
    """
    return np.flatnonzero(hashes % np.uint64(shards) == np.uint64(shard))


def shard_of(items: Sequence[Item], shard: int, shards: int) -> list[Item]:
    """The items of one shard, dealt by their keys."""
    hashes = key_hashes([item.key for item in items])
    return [items[position] for position in in_shard(hashes, shard, shards)]


def one_piece_version(content: str, shard: int, shards: int) -> str:
    """As `Source.version`, of a source that is written once: a change of it changes every shard.

    Args:
        content: What says that it is another one.
    """
    return hashlib.sha256(f"{content}\0{shard}\0{shards}".encode()).hexdigest()[:32]
