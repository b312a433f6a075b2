"""A zip or tar file of pictures, read in place: members are found once and read by their offset.

A compressed tar can only be read from its beginning, by one process; so it is refused.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dcgan_assets.sources.reading.items import (
    MAX_PICTURE_BYTES,
    UNSTATED,
    Item,
    Location,
    Unread,
    UnreadableError,
    in_shard,
    key_hashes,
    once_a_process,
    safe_key,
)
from dcgan_models.errors import UserError
from dcgan_models.files import is_system_file

_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_LOCAL_HEADER = 30
# Of a tar: a name, or a table of facts; tarfile would read whatever size one claims.
_LARGEST_HEADER = 1 << 20
TOO_LARGE = f"more than {MAX_PICTURE_BYTES:,} bytes"


class TarMember(NamedTuple):
    """A picture inside an uncompressed tar: so many bytes from an offset on."""

    archive: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """The member's bytes; `UnreadableError` where they are not all there."""
        return _bytes_at(self.archive, self.offset, self.size)


class ZipMember(NamedTuple):
    """A picture inside a zip: where its local header lies, and what the directory says of it."""

    archive: Path
    offset: int
    compressed_size: int
    size: int
    crc: int
    deflated: bool

    def read(self) -> bytes:
        """The member's bytes; `UnreadableError` where they are damaged or not all there."""
        header = _bytes_at(self.archive, self.offset, _LOCAL_HEADER)
        if not header.startswith(b"PK\x03\x04"):
            raise UnreadableError("damaged archive: no member where the directory says")
        name, extra = struct.unpack_from("<HH", header, 26)
        start = self.offset + _LOCAL_HEADER + name + extra
        content = _bytes_at(self.archive, start, self.compressed_size)
        if self.deflated:
            content = self._inflated(content)
        if len(content) != self.size or zlib.crc32(content) != self.crc:
            raise UnreadableError("damaged archive: the member's size or checksum is wrong")
        return content

    def _inflated(self, content: bytes) -> bytes:
        try:
            # One byte more than promised is enough to see that the promise is broken.
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, self.size + 1)
        except zlib.error as error:
            raise UnreadableError(f"damaged archive: {error}") from error


def _bytes_at(path: Path, offset: int, size: int) -> bytes:
    try:
        with path.open("rb") as stream:
            # A directory may say what no system can seek.
            if 0 <= offset <= os.fstat(stream.fileno()).st_size - size:
                stream.seek(offset)
                return stream.read(size)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    raise UnreadableError("truncated archive")


@dataclass(frozen=True)
class Archive:
    """The pictures in a zip or an uncompressed tar. The key is the member's name.

    Nothing is unpacked. Members with absolute names or `..`, links, devices, encrypted members,
    members of a zip that overlap and members that promise more than `MAX_PICTURE_BYTES` are
    rejected rows; so are members whose name occurs again later, as an unpacker would overwrite
    them.

    Attributes:
        path: The archive; its format is told by its content.
        labels: Whether the first-level folders in it are classes.
        licence, attribution: Of all its pictures.
        stand_in: Whether these are other pictures than the paper's.
    """

    path: Path
    labels: bool = False
    licence: str = UNSTATED
    attribution: str = UNSTATED
    stand_in: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the first-level folders that hold anything; empty without `labels`."""
        return _listing(self.path).folders if self.labels else ()

    def items(self, shard: int, shards: int) -> list[Item]:
        """As `Source.items`; keys are dealt into shards by their hash."""
        listing = _listing(self.path)
        numbers = {name: number for number, name in enumerate(self.classes)}
        name = f"{self.path.name}#"
        found = []
        for position in in_shard(listing.hashes, shard, shards).tolist():
            member = listing.members[position]
            key = member.key
            label = numbers.get(_first_folder(key))
            found.append(
                Item(key, name + key, label, None, self.licence, self.attribution, member.location)
            )
        return found

    def version(self, shard: int, shards: int) -> str:
        """As `Source.version`: names, sizes, and checksums (zip) or times (tar) of the members."""
        listing = _listing(self.path)
        digest = hashlib.sha256(repr(self.classes).encode())
        for position in in_shard(listing.hashes, shard, shards).tolist():
            member = listing.members[position]
            digest.update(f"{member.key}\0{member.version}\n".encode())
        return digest.hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class _Member:
    key: str
    version: str
    location: Location


@dataclass(frozen=True)
class _Listing:
    """The members of an archive, sorted by key."""

    members: list[_Member]
    hashes: npt.NDArray[np.uint64]
    folders: tuple[str, ...]


@once_a_process
def _listing(path: Path) -> _Listing:
    with damage_named(path, "zip or tar"):
        is_zip = uncompressed_magic(path).startswith(b"PK")
        members = list(_zip_members(path) if is_zip else _tar_members(path))
    if not members:
        raise UserError(f"{path}: an archive without files; pictures are expected")
    unique = sorted(_with_unique_keys(members), key=lambda member: member.key)
    folders = sorted({_first_folder(member.key) for member in unique} - {""})
    hashes = key_hashes([member.key for member in unique])
    return _Listing(unique, hashes, tuple(folders))


def uncompressed_magic(path: Path) -> bytes:
    """The first bytes of an archive, which is no compressed stream.

    Raises:
        UserError: It is one.
    """
    with path.open("rb") as stream:
        magic = stream.read(6)
    for start, kind in _COMPRESSED.items():
        if magic.startswith(start):
            raise UserError(
                f"{path}: a {kind} stream, which can only be read from its beginning; "
                "unpack it, or pack it as .zip or plain .tar"
            )
    return magic


def _first_folder(key: str) -> str:
    first, inside, _ = key.partition("/")
    return first if inside else ""


def _with_unique_keys(members: list[_Member]) -> Iterator[_Member]:
    """Reject all but the last of members with one name; each gets a key of its own."""
    taken = {member.key for member in members}
    seen: set[str] = set()
    for member in reversed(members):
        if member.key not in seen:
            seen.add(member.key)
            yield member
            continue
        number = 1
        while (key := f"{member.key}#{number}") in taken:
            number += 1
        taken.add(key)
        yield _Member(key, member.version, Unread("its name occurs again later in the archive"))


def _zip_members(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        overlapping = set(_overlapping(infos))
        for info in infos:
            if info.is_dir() or is_system_file(info.filename):
                continue
            reason = _refused_name(info.filename) or _zip_refusal(info)
            if info.header_offset in overlapping:
                reason = "overlaps another member"
            location: Location = ZipMember(
                path,
                info.header_offset,
                info.compress_size,
                info.file_size,
                info.CRC,
                info.compress_type == zipfile.ZIP_DEFLATED,
            )
            key = safe_key(info.filename.encode("utf-8", "surrogateescape"))
            version = f"{info.file_size}\0{info.CRC}\0{reason}"
            yield _Member(key, version, Unread(reason) if reason else location)


def _overlapping(infos: list[zipfile.ZipInfo]) -> Iterator[int]:
    """Where members begin whose bytes are another one's as well: a bomb unpacks them many times."""
    ordered = sorted(infos, key=lambda info: info.header_offset)
    for one, following in pairwise(ordered):
        if one.header_offset + _LOCAL_HEADER + one.compress_size > following.header_offset:
            yield one.header_offset


def _zip_refusal(info: zipfile.ZipInfo) -> str | None:
    if stat.S_ISLNK(info.external_attr >> 16):
        return "a link"
    if info.flag_bits & 1:
        return "encrypted"
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        return f"compression method {info.compress_type}; stored and deflated members are read"
    if max(info.file_size, info.compress_size) > MAX_PICTURE_BYTES:
        return TOO_LARGE
    return None


def _tar_members(path: Path) -> Iterator[_Member]:
    for info in tar_headers(path):
        name = info.name.removeprefix("./")
        if info.isdir() or is_system_file(name):
            continue
        reason = _refused_name(name) or _tar_refusal(info)
        key = safe_key(name.encode("utf-8", "surrogateescape"))
        location: Location = TarMember(path, info.offset_data, info.size)
        version = f"{info.size}\0{info.mtime}\0{reason}"
        yield _Member(key, version, Unread(reason) if reason else location)


def tar_headers(path: Path, start: int = 0, size: int | None = None) -> Iterator[tarfile.TarInfo]:
    """The headers of an uncompressed tar; no member is read, and no header is kept.

    Args:
        path: The file.
        start, size: Where the tar lies in the file, when that is itself an archive. The headers'
            offsets count from `start`.

    Raises:
        tarfile.TarError: It is no tar, or damaged, or cut short, or its headers lead backwards.
    """
    # Without a buffer, which would read 8 KB or more for every header of 512 bytes.
    with path.open("rb", buffering=0) as file:
        stream = _Window(file, start, path.stat().st_size if size is None else size)
        with tarfile.open(
            fileobj=stream, mode="r:", errors="surrogateescape", encoding="utf-8"
        ) as archive:
            end = 0
            while (info := archive.next()) is not None:
                # A size may be negative, and headers would be read again without end.
                if info.size < 0 or archive.offset <= end:
                    raise tarfile.ReadError(f"a size of {info.size:,} at byte {info.offset:,}")
                end = archive.offset
                # It would keep every member, a kilobyte each.
                archive.members.clear()  # type: ignore[attr-defined]
                yield info
            # tarfile takes a damaged header, and a file cut between members, for the end.
            stream.seek(archive.offset)
            if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError(f"no header and no end mark at byte {archive.offset:,}")


class _Window(io.RawIOBase):
    """So many bytes of a file from an offset on, as a file of their own."""

    def __init__(self, file: io.FileIO, start: int, size: int) -> None:
        self._file, self._start, self._size = file, start, size
        self._position = 0

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        assert whence == io.SEEK_SET  # noqa: S101  (tarfile knows no other)
        self._position = offset
        return offset

    def read(self, size: int = -1) -> bytes:
        """So many bytes, and fewer at the end; tarfile reads headers alone."""
        if self._position < 0 or not 0 <= size <= _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes at byte {self._position:,}")
        left = max(self._size - self._position, 0)
        self._file.seek(self._start + self._position)
        content = self._file.read(min(size, left))
        self._position += len(content)
        return content


def _tar_refusal(info: tarfile.TarInfo) -> str | None:
    if info.issym() or info.islnk():
        return "a link"
    if not info.isreg() or info.issparse():
        return "not a file"
    return TOO_LARGE if info.size > MAX_PICTURE_BYTES else None


def _refused_name(name: str) -> str | None:
    parts = re.split(r"[/\\]", name)
    if parts[0] == "" or re.match("[A-Za-z]:", name):
        return "an absolute name"
    return "a name with .." if ".." in parts else None


@contextmanager
def damage_named(where: object, kind: str) -> Iterator[None]:
    """Turn what reading an archive raises into one line.

    Args:
        where: The archive, and what in it.
        kind: What was expected.
    """
    damage = (zipfile.BadZipFile, tarfile.TarError, NotImplementedError, ValueError, struct.error,
              OverflowError, RecursionError)  # fmt: skip
    try:
        yield
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({error.strerror})") from error
    except damage as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{where}: not a whole {kind} archive ({reason})") from error
