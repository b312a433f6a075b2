"""ImageNet in both its forms, written here in the true format: whole, odd, wrong and cut short."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from imagenet_files import (
    CLASSES,
    TAR,
    Pictures,
    entry,
    opened,
    pictures,
)
from PIL import Image

from dcgan_assets.sources import imagenet as imagenet_module
from dcgan_assets.sources.imagenet import ImageNetTar, ImageNetTree, imagenet
from dcgan_assets.sources.reading.ingest import ingest
from dcgan_assets.sources.reading.items import Item, forget_listings

pytestmark = pytest.mark.usefixtures("fresh_listings", "no_workers_left")


def read(items: list[Item]) -> dict[str, bytes]:
    """What a worker process would read."""
    return {item.key: item.location.read() for item in pickle.loads(pickle.dumps(items))}  # noqa: S301


def flat(content: Pictures) -> dict[str, bytes]:
    return {
        f"{synset}/{name}": data
        for synset, files in content.items()
        for name, data in files.items()
    }


# --- What is read -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["tar", "train", "tree"])
@pytest.mark.parametrize("shards", [1, 5])
def test_every_picture_is_read_with_its_class(tmp_path: Path, form: str, shards: int) -> None:
    content = pictures()
    source = opened(tmp_path, form, content)
    dealt = [list(source.items(shard, shards)) for shard in range(shards)]
    found = [item for shard in dealt for item in shard]
    assert read(found) == flat(content)
    assert len(found) == 21
    for shard in dealt:
        assert [item.key for item in shard] == sorted(item.key for item in shard)
    assert source.classes == CLASSES
    assert all(item.label == CLASSES.index(item.key[:9]) for item in found)
    assert {(item.split, item.licence) for item in found} == {(None, "unstated")}
    assert all("Russakovsky" in item.attribution for item in found)


def test_both_forms_deal_the_same_keys_into_the_same_shards(tmp_path: Path) -> None:
    content = pictures(20)
    sources = [opened(tmp_path, form, content) for form in ("tar", "tree")]
    for shard in range(4):
        ours, theirs = (
            [(item.key, item.label) for item in source.items(shard, 4)] for source in sources
        )
        assert ours == theirs
        assert 0 < len(ours) < 60


def test_addresses_say_where_a_picture_lies(tmp_path: Path) -> None:
    content = pictures(1)
    (first, *_) = opened(tmp_path, "tar", content).items(0, 1)
    assert first.key == "n01440764/n01440764_26.JPEG"
    assert first.uri == f"{TAR}#n01440764.tar/n01440764_26.JPEG"
    (first, *_) = opened(tmp_path, "tree", content).items(0, 1)
    assert first.uri == "n01440764/n01440764_26.JPEG"


@pytest.mark.parametrize("form", ["tar", "tree"])
def test_anything_but_the_whole_is_a_stand_in(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = opened(tmp_path, form, pictures())
    assert source.stand_in
    monkeypatch.setattr(imagenet_module, "CLASSES", 3)
    assert source.stand_in
    monkeypatch.setattr(imagenet_module, "PICTURES", 22)
    assert source.stand_in
    monkeypatch.setattr(imagenet_module, "PICTURES", 21)
    assert not source.stand_in


def test_listing_the_archive_reads_headers_alone(tmp_path: Path) -> None:
    """Pictures of 64 MB that take no room on disk: to read them all would take seconds."""
    size, count = 60 << 20, 40
    path = tmp_path / TAR
    inner = count * (512 + size) + 1024
    with path.open("wb") as stream:
        stream.write(entry("n01440764.tar", inner).tobuf(tarfile.GNU_FORMAT))
        for number in range(count):
            stream.write(entry(f"n01440764_{number:02d}.JPEG", size).tobuf())
            stream.seek(size, os.SEEK_CUR)
        stream.write(bytes(1024 + 1024))
    before = bytes_read()
    items = imagenet(path).items(0, 1)
    assert len(items) == count
    assert bytes_read() - before < 100_000


def bytes_read() -> int:
    with Path("/proc/self/io").open() as stream:
        return int(dict(line.split(": ") for line in stream)["rchar"])


# --- Through the decoder ----------------------------------------------------------------------


def encoded(picture: Any, kind: str, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(buffer, kind, quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["tar", "tree"])
def test_imagenets_odd_files(tmp_path: Path, form: str) -> None:
    """22 of the true pictures are CMYK, n02105855_2933.JPEG is a PNG, and many are grey."""
    coarse = np.random.default_rng(0).integers(60, 196, (4, 5, 3), dtype=np.uint8)
    picture = cv2.resize(coarse, (50, 40), interpolation=cv2.INTER_LINEAR)
    files = {
        "n02105855_1.JPEG": encoded(picture, "JPEG"),
        "n02105855_2.JPEG": encoded(picture, "JPEG", "CMYK"),
        "n02105855_2933.JPEG": encoded(picture, "PNG"),
        "n02105855_3.JPEG": encoded(picture, "JPEG", "L"),
        "n02105855_4.JPEG": encoded(picture, "JPEG")[:-900],
        "n02105855_5.JPEG": encoded(picture[:20, :20], "JPEG"),
        "n02105855_6.JPEG": b"",
    }
    source = opened(tmp_path, form, {"n01440764": {"n01440764_1.JPEG": files["n02105855_1.JPEG"]},
                                     "n02105855": files})  # fmt: skip
    (out := tmp_path / "out").mkdir()
    report = ingest(source.items(0, 1), out, (32,), workers=1)
    assert report is not None
    assert (report.kept, report.rejected) == (5, 3)
    rows = {row["key"][10:]: row for row in pq.read_table(out / "manifest.parquet").to_pylist()
            if row["label"] == 1}  # fmt: skip
    assert {name: row["converted"] for name, row in rows.items()} == {
        name: {"n02105855_2.JPEG": "CMYK", "n02105855_3.JPEG": "grey"}.get(name) for name in files
    }
    reasons = [rows[f"n02105855_{number}.JPEG"]["reason"] for number in (4, 5, 6)]
    assert reasons[0] == "truncated"
    assert reasons[1].startswith("too small: 20x20")
    assert reasons[2] == "empty"
    pixels = np.load(out / "pixels_32.npy").astype(int)
    png = pixels[rows["n02105855_2933.JPEG"]["row"]]
    for name in ("n02105855_1.JPEG", "n02105855_2.JPEG"):
        assert np.abs(pixels[rows[name]["row"]] - png).max() < 12
    grey = pixels[rows["n02105855_3.JPEG"]["row"]]
    assert (grey == grey[..., :1]).all()


# --- Versions ---------------------------------------------------------------------------------


def test_a_new_picture_in_the_tree_changes_one_shard(tmp_path: Path) -> None:
    source = opened(tmp_path, "tree", pictures())
    assert isinstance(source, ImageNetTree)
    before = [source.version(shard, 8) for shard in range(8)]
    assert len(set(before)) == 8
    forget_listings()
    assert [source.version(shard, 8) for shard in range(8)] == before
    (tmp_path / "here/n01440764/n01440764_99999.JPEG").write_bytes(b"new")
    forget_listings()
    after = [source.version(shard, 8) for shard in range(8)]
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


def test_the_archives_version_is_its_size_and_time(tmp_path: Path) -> None:
    source = opened(tmp_path, "tar", pictures())
    assert isinstance(source, ImageNetTar)
    before = [source.version(shard, 4) for shard in range(4)]
    assert len(set(before)) == 4
    facts = source.path.stat()
    os.utime(source.path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    assert not {source.version(shard, 4) for shard in range(4)} & set(before)
    os.utime(source.path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert [source.version(shard, 4) for shard in range(4)] == before
