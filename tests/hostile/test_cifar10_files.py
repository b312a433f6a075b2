"""CIFAR-10's archive and batch files: another's, damaged, cut short, with links in them."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from cifar10_files import batches, pack, seen
from fixture_types import Refused

from dcgan_assets.sources.cifar10 import (
    CIFAR10_DOWNLOAD,
    FOLDER,
    from_archive,
    from_folder,
)

Bytes = npt.NDArray[np.uint8]


def test_another_archive_is_refused_unread(tmp_path: Path, refused: Refused) -> None:
    path = tmp_path / CIFAR10_DOWNLOAD.name
    release = pack(path, batches())
    with refused(str(path), f"{release.size:,} bytes found", "170,052,171 expected"):
        from_folder(tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with refused(str(path), "SHA-256", sha256(content).hexdigest(), release.sha256):
        from_archive(path, release)


def short(files: dict[str, bytes]) -> None:
    files["data_batch_3.bin"] = files["data_batch_3.bin"][:-1]


def long(files: dict[str, bytes]) -> None:
    files["test_batch.bin"] += b"\0" * 3073


def wrong_label(files: dict[str, bytes]) -> None:
    content = bytearray(files["data_batch_2.bin"])
    content[7 * 3073] = 10
    files["data_batch_2.bin"] = bytes(content)


def without(files: dict[str, bytes]) -> None:
    del files["data_batch_4.bin"]


WRONG: dict[Callable[[dict[str, bytes]], None], tuple[str, ...]] = {
    short: ("data_batch_3.bin", "36,875 bytes found", "36,876 expected", "12 records of 3,073"),
    long: ("test_batch.bin", "39,949 bytes found"),
    wrong_label: ("data_batch_2.bin", "record 7 is 10", "0 to 9"),
    without: ("data_batch_4.bin is missing",),
}


@pytest.mark.parametrize("damage", WRONG)
def test_wrong_batch_files_are_refused(
    tmp_path: Path, refused: Refused, damage: Callable[[dict[str, bytes]], None]
) -> None:
    files = batches()
    damage(files)
    path = tmp_path / "some.tar.gz"
    release = pack(path, files)
    with refused(str(path), *WRONG[damage]):
        from_archive(path, release)
    folder = tmp_path / FOLDER
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with refused(str(folder), *WRONG[damage]):
        from_folder(tmp_path, release)


@pytest.mark.parametrize("keep", [0, 5, 1000, 100_000])
def test_an_archive_that_ends_early_is_refused(tmp_path: Path, refused: Refused, keep: int) -> None:
    """Also when its size and checksum are taken for right."""
    path = tmp_path / "some.tar.gz"
    pack(path, batches())
    path.write_bytes(path.read_bytes()[:keep])
    with refused(str(path)):
        from_archive(path, seen(path))


def test_what_is_no_tar_or_no_gzip_is_refused(tmp_path: Path, refused: Refused) -> None:
    path = tmp_path / "some.tar.gz"
    for content in (b"no gzip" * 1000, bytes.fromhex("1f8b0800") + bytes(2000)):
        path.write_bytes(content)
        with refused(str(path), "get it again"):
            from_archive(path, seen(path))
    with refused("none.tar.gz", "cannot be read"):
        from_archive(tmp_path / "none.tar.gz")


def test_links_and_other_folders_are_no_batch_files(tmp_path: Path, refused: Refused) -> None:
    path = tmp_path / "some.tar.gz"
    pack(path, batches(), folder="elsewhere")
    with refused("data_batch_1.bin is missing"):
        from_archive(path, seen(path))
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo(f"{FOLDER}/data_batch_1.bin")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    with refused("data_batch_1.bin is missing"):
        from_archive(path, seen(path))
