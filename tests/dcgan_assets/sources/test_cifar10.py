"""CIFAR-10's binary archive in the true format, written here: whole, wrong and cut short."""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from cifar10_files import NAMES, PER_BATCH, batch_file, batches, label, pack, picture
from fixture_types import Refused

from dcgan_assets.sources import cifar10
from dcgan_assets.sources.cifar10 import (
    BATCH_SHA256,
    CIFAR10,
    CIFAR10_DOWNLOAD,
    CLASSES,
    FOLDER,
    UnlabelledCifar10,
    from_archive,
    from_folder,
    holds_cifar10,
)
from dcgan_assets.sources.reading.decode import Decoded, decode
from dcgan_assets.sources.reading.items import forget_listings
from dcgan_assets.sources.reading.manifest import PICTURE_SCHEMA, Pictures

Bytes = npt.NDArray[np.uint8]


def check(pictures: Pictures, uri_prefix: str) -> None:
    assert pictures.pixels.shape == (72, 32, 32, 3)
    assert pictures.table.schema.equals(PICTURE_SCHEMA, check_metadata=True)
    for row, record in enumerate(pictures.table.to_pylist()):
        batch, number = divmod(row, PER_BATCH)
        np.testing.assert_array_equal(pictures.pixels[row], picture(batch, number))
        stem = NAMES[batch].removesuffix(".bin")
        content = batch_file(batch)[number * 3073 : (number + 1) * 3073]
        assert record["row"] == row
        assert record["key"] == f"{stem}/{number:05d}"
        assert record["source_uri"] == f"{uri_prefix}{NAMES[batch]}#{number}"
        assert record["source_sha256"] == sha256(content).hexdigest()
        assert record["label"] == label(batch, number)
        assert record["split"] == ("test" if batch == 5 else "train")


# --- What is read -----------------------------------------------------------------------------


def test_the_archive_is_read(tmp_path: Path) -> None:
    path = tmp_path / "some.tar.gz"
    release = pack(path, batches())
    check(from_archive(path, release), "some.tar.gz#")
    assert [entry.name for entry in tmp_path.iterdir()] == ["some.tar.gz"]


def test_members_may_come_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "some.tar.gz"
    release = pack(path, dict(reversed(batches().items())), folder=f"./{FOLDER}")
    check(from_archive(path, release), "some.tar.gz#")


@pytest.mark.parametrize("below", ["", FOLDER])
def test_batch_files_are_read(tmp_path: Path, below: str) -> None:
    (tmp_path / below).mkdir(exist_ok=True)
    for name, content in batches().items():
        (tmp_path / below / name).write_bytes(content)
    check(from_folder(tmp_path, replace(CIFAR10, per_batch=PER_BATCH)), "")


def test_an_archive_in_the_folder_is_read(tmp_path: Path) -> None:
    release = pack(tmp_path / CIFAR10_DOWNLOAD.name, batches())
    check(from_folder(tmp_path, release), f"{CIFAR10_DOWNLOAD.name}#")


def test_the_public_facts_belong_together() -> None:
    assert len(BATCH_SHA256) * CIFAR10.per_batch == 60_000
    assert list(BATCH_SHA256) == NAMES
    checksums = [CIFAR10.sha256, *BATCH_SHA256.values()]
    assert all(re.fullmatch("[0-9a-f]{64}", checksum) for checksum in checksums)
    assert len(set(checksums)) == 7
    assert (CIFAR10_DOWNLOAD.size, CIFAR10_DOWNLOAD.sha256) == (CIFAR10.size, CIFAR10.sha256)
    assert CIFAR10_DOWNLOAD.url.startswith("https://")
    assert len(CLASSES) == 10


def test_only_the_public_files_are_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not holds_cifar10(tmp_path)
    for name, content in batches().items():
        (tmp_path / name).write_bytes(content)
    assert not holds_cifar10(tmp_path)
    known = {name: sha256(content).hexdigest() for name, content in batches().items()}
    monkeypatch.setattr(cifar10, "BATCH_SHA256", known)
    assert holds_cifar10(tmp_path)
    monkeypatch.setattr(cifar10, "CIFAR10", pack(tmp_path / CIFAR10_DOWNLOAD.name, batches()))
    assert holds_cifar10(tmp_path)
    pack(tmp_path / CIFAR10_DOWNLOAD.name, {})
    assert not holds_cifar10(tmp_path)


# --- Without labels ---------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [1, 3])
def test_training_pictures_without_labels(tmp_path: Path, shards: int) -> None:
    forget_listings()
    release = pack(tmp_path / CIFAR10_DOWNLOAD.name, batches())
    source = UnlabelledCifar10(tmp_path, release)
    dealt = [source.items(shard, shards) for shard in range(shards)]
    found = [item for shard in dealt for item in shard]
    assert all(shard == sorted(shard, key=lambda item: item.key) for shard in dealt)
    assert len(found) == 5 * PER_BATCH
    assert {(item.label, item.split) for item in found} == {(None, None)}
    assert (source.classes, source.stand_in) == ((), True)
    for item in found:
        stem, number = item.key.split("/")
        batch = NAMES.index(f"{stem}.bin")
        assert item.uri == f"{CIFAR10_DOWNLOAD.name}#{stem}.bin#{int(number)}"
        decoded = decode(item.location.read())
        assert isinstance(decoded, Decoded)
        np.testing.assert_array_equal(decoded.pixels, picture(batch, int(number)))
    assert len({item.key for item in found}) == len(found)


def test_the_unlabelled_version_is_that_of_the_folder(tmp_path: Path) -> None:
    release = pack(tmp_path / CIFAR10_DOWNLOAD.name, batches())
    source = UnlabelledCifar10(tmp_path, release)
    before = [source.version(shard, 3) for shard in range(3)]
    assert len(set(before)) == 3
    assert [source.version(shard, 3) for shard in range(3)] == before
    pack(tmp_path / CIFAR10_DOWNLOAD.name, {**batches(), "test_batch.bin": b""})
    assert not {source.version(shard, 3) for shard in range(3)} & set(before)


def test_an_unlabelled_archive_that_is_another_is_refused(tmp_path: Path, refused: Refused) -> None:
    forget_listings()
    release = pack(tmp_path / CIFAR10_DOWNLOAD.name, batches())
    with refused(CIFAR10_DOWNLOAD.name, "its SHA-256 is"):
        UnlabelledCifar10(tmp_path, replace(release, sha256="0" * 64)).items(0, 1)


# --- What is refused --------------------------------------------------------------------------


def test_a_folder_without_any_of_it_is_refused(tmp_path: Path, refused: Refused) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with refused(str(path), "no CIFAR-10 here", CIFAR10_DOWNLOAD.name, "data_batch_1.bin"):
            from_folder(path)
