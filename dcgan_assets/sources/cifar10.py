"""CIFAR-10 (Krizhevsky, 2009): section 5.1 of the DCGAN paper classifies its pictures.

The archive read here is the binary one, whose records are a byte of label and 3,072 bytes of
pixels. The "python" one holds pickles, which can run anything when they are opened.
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from dcgan_assets.sources.fetch import Download, Progress, fetch
from dcgan_assets.sources.reading.items import (
    UNSTATED,
    Item,
    in_shard,
    key_hashes,
    once_a_process,
    one_piece_version,
)
from dcgan_assets.sources.reading.listing import listing_version
from dcgan_assets.sources.reading.manifest import Pictures, Record
from dcgan_models.errors import UserError
from dcgan_models.files import sha256_file

SIDE = 32
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
CIFAR10_ATTRIBUTION = "CIFAR-10, A. Krizhevsky, V. Nair and G. Hinton"
FOLDER = "cifar-10-batches-bin"

_RECORD_BYTES = 1 + 3 * SIDE * SIDE

# The address, size and checksum of the archive are those that TensorFlow Datasets publishes
# (url_checksums/cifar10.txt). It was never fetched where this was written; `fetch` checks what
# arrives. The dataset's page names no licence.
CIFAR10_DOWNLOAD = Download(
    "cifar-10-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    170_052_171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    UNSTATED,
    "CIFAR-10, 50,000 training and 10,000 test pictures",
)

# Batch files in order. The checksums are those in the Ruby package torchvision-ruby
# (lib/torchvision/datasets/cifar10.rb).
BATCH_SHA256: Mapping[str, str] = MappingProxyType(
    {
        "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
    }
)

_LOOKED_FOR = (
    f"expected {CIFAR10_DOWNLOAD.name}, or its data_batch_1.bin to data_batch_5.bin and "
    f"test_batch.bin, also below {FOLDER}/"
)


@dataclass(frozen=True)
class Release:
    """What an archive in this format is expected to hold.

    Attributes:
        size, sha256: Of the archive.
        per_batch: Pictures in each of the six batch files.
    """

    size: int
    sha256: str
    per_batch: int = 10_000


CIFAR10 = Release(CIFAR10_DOWNLOAD.size, CIFAR10_DOWNLOAD.sha256)


def from_download(folder: Path, on_progress: Progress | None = None) -> Pictures:
    """Fetch the archive into `folder` where it is not there yet, and read it.

    Raises:
        UserError: As `fetch` and `from_archive` raise it.
    """
    return from_archive(fetch(CIFAR10_DOWNLOAD, folder, on_progress))


def holds_cifar10(folder: Path) -> bool:
    """Whether `from_folder` would read the public pictures, byte for byte."""
    archive = folder / CIFAR10_DOWNLOAD.name
    batches = _batch_folder(folder)
    if archive.is_file():
        return sha256_file(archive) == CIFAR10.sha256
    return batches is not None and all(
        (batches / name).is_file() and sha256_file(batches / name) == sha256
        for name, sha256 in BATCH_SHA256.items()
    )


def from_folder(path: Path, release: Release = CIFAR10) -> Pictures:
    """Read the archive, or else the batch files, in a folder of the user.

    Batch files are read as they are: `holds_cifar10` says whether they are the public ones.

    Args:
        path: Holds the archive, the six batch files, or the folder that the archive unpacks to.
        release: Whose size and checksum the archive must have.

    Returns:
        Pictures of shape (60000, 32, 32, 3), RGB, the 50,000 training pictures first.

    Raises:
        UserError: The folder holds neither, or as `from_archive` raises it.
    """
    archive = path / CIFAR10_DOWNLOAD.name
    if archive.is_file():
        return from_archive(archive, release)
    batches = _batch_folder(path)
    if batches is None:
        raise UserError(f"{path}: no CIFAR-10 here; {_LOOKED_FOR}")
    missing = [name for name in BATCH_SHA256 if not (batches / name).is_file()]
    if missing:
        raise UserError(f"{batches}: {missing[0]} is missing; {_LOOKED_FOR}")
    contents = {}
    for name in BATCH_SHA256:
        file = batches / name
        try:
            _check_size(str(file), file.stat().st_size, release)
            contents[name] = file.read_bytes()
        except OSError as error:
            raise UserError(f"{file}: cannot be read ({error.strerror})") from error
    return _pictures(contents, str(batches), "", release)


def _batch_folder(path: Path) -> Path | None:
    """Where batch files lie: in the folder itself, or in the one that the archive unpacks to."""
    for folder in (path, path / FOLDER):
        if any((folder / name).is_file() for name in BATCH_SHA256):
            return folder
    return None


def from_archive(path: Path, release: Release = CIFAR10) -> Pictures:
    """Read `cifar-10-binary.tar.gz` member by member; nothing is unpacked to disk.

    Args:
        path: The archive.
        release: Whose size and checksum it must have.

    Returns:
        Pictures of shape (60000, 32, 32, 3), RGB, the 50,000 training pictures first. A key is
        `data_batch_1/00000`.

    Raises:
        UserError: The archive cannot be read, has another size or checksum, lacks a batch file,
            has one of another length, or a label above 9.
    """
    try:
        _check_archive(path, release)
        contents = dict(_members(path, release))
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path}: cannot be read ({reason}); get it again") from error
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise UserError(f"{path}: not a whole tar.gz archive ({error}); get it again") from error
    missing = [name for name in BATCH_SHA256 if name not in contents]
    if missing:
        raise UserError(f"{path}: member {FOLDER}/{missing[0]} is missing")
    return _pictures(contents, str(path), f"{path.name}#", release)


def _check_archive(path: Path, release: Release) -> None:
    size = path.stat().st_size
    if size != release.size:
        raise UserError(
            f"{path}: {size:,} bytes found, {release.size:,} expected; get it again from "
            f"{CIFAR10_DOWNLOAD.url}"
        )
    found = sha256_file(path)
    if found != release.sha256:
        raise UserError(
            f"{path}: its SHA-256 is {found}, {release.sha256} expected; get it again from "
            f"{CIFAR10_DOWNLOAD.url}"
        )


def _members(path: Path, release: Release) -> Iterator[tuple[str, bytes]]:
    """The batch files of an archive, in its order."""
    with tarfile.open(path, "r|gz") as archive:
        for member in archive:
            folder, _, name = member.name.removeprefix("./").partition("/")
            if folder != FOLDER or name not in BATCH_SHA256 or not member.isreg():
                continue
            _check_size(f"{path}: member {member.name}", member.size, release)
            stream = archive.extractfile(member)
            assert stream is not None  # noqa: S101  (only a member that is no file has none)
            yield name, stream.read()


def _check_size(where: str, size: int, release: Release) -> None:
    expected = release.per_batch * _RECORD_BYTES
    if size != expected:
        raise UserError(
            f"{where}: {size:,} bytes found, {expected:,} expected for {release.per_batch:,} "
            f"records of {_RECORD_BYTES:,}"
        )


def _pictures(
    contents: Mapping[str, bytes], where: str, uri_prefix: str, release: Release
) -> Pictures:
    """Put the batch files together, in the order of `BATCH_SHA256`."""
    pixels = np.empty((len(BATCH_SHA256) * release.per_batch, SIDE, SIDE, 3), np.uint8)
    records: list[Record] = []
    for name in BATCH_SHA256:
        rows = np.frombuffer(contents[name], np.uint8).reshape(-1, _RECORD_BYTES)
        _check_labels(rows[:, 0], f"{where}: {name}")
        planes = rows[:, 1:].reshape(-1, 3, SIDE, SIDE)
        pixels[len(records) : len(records) + len(rows)] = planes.transpose(0, 2, 3, 1)
        records += _records(rows, name, uri_prefix)
    return Pictures.assemble(pixels, records)


def _check_labels(labels: npt.NDArray[np.uint8], where: str) -> None:
    wrong = np.flatnonzero(labels >= len(CLASSES))
    if len(wrong):
        raise UserError(
            f"{where}: the label of record {wrong[0]} is {labels[wrong[0]]}; "
            f"0 to {len(CLASSES) - 1} expected"
        )


def _records(rows: npt.NDArray[np.uint8], name: str, uri_prefix: str) -> Iterator[Record]:
    stem = name.removesuffix(".bin")
    for number, row in enumerate(rows):
        yield Record(
            key=f"{stem}/{number:05d}",
            source_sha256=hashlib.sha256(row.data).hexdigest(),
            source_uri=f"{uri_prefix}{name}#{number}",
            licence=UNSTATED,
            attribution=CIFAR10_ATTRIBUTION,
            original_width=SIDE,
            original_height=SIDE,
            reason=None,
            label=int(row[0]),
            split="test" if stem == "test_batch" else "train",
        )


# --- Without labels ---------------------------------------------------------------------------


class RawPicture(NamedTuple):
    """A picture that was read with its archive: 32 rows of 32 RGB pixels."""

    pixels: bytes

    def read(self) -> bytes:
        """The same as a PNG, which is what is hashed as the source's bytes."""
        import cv2

        picture = np.frombuffer(self.pixels, np.uint8).reshape(SIDE, SIDE, 3)
        stored = [cv2.IMWRITE_PNG_COMPRESSION, 0]
        content: bytes = cv2.imencode(".png", picture[..., ::-1], stored)[1].tobytes()
        return content


@dataclass(frozen=True)
class UnlabelledCifar10:
    """The training pictures without labels, in place of pictures of the same size: ImageNet-32.

    The key is `data_batch_1/00000`, dealt into shards by its hash.

    Attributes:
        path: A folder as `from_folder` reads it.
        release: As there.
    """

    path: Path
    release: Release
    stand_in: ClassVar[bool] = True  # the paper trains no DCGAN on CIFAR-10
    classes: ClassVar[tuple[str, ...]] = ()

    def items(self, shard: int, shards: int) -> list[Item]:
        """As `Source.items`."""
        pictures = _read_once(self)
        keys, uris, splits = (
            pictures.table[name].to_pylist() for name in ("key", "source_uri", "split")
        )
        return [
            Item(
                keys[row],
                uris[row],
                None,
                None,
                UNSTATED,
                CIFAR10_ATTRIBUTION,
                RawPicture(pictures.pixels[row].tobytes()),
            )
            for row in in_shard(key_hashes(keys), shard, shards).tolist()
            if splits[row] == "train"
        ]

    def version(self, shard: int, shards: int) -> str:
        """As `Source.version`: the names, sizes and times of the folder's files."""
        return one_piece_version(listing_version(self.path), shard, shards)


@once_a_process
def _read_once(source: UnlabelledCifar10) -> Pictures:
    return from_folder(source.path, source.release)
