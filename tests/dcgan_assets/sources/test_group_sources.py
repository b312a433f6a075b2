"""ImageNet and CIFAR-10 as the pictures of a group, made by the command."""

from __future__ import annotations

import functools
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cifar10_files
import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from commands import made, materialize
from imagenet_files import pack

from dcgan_assets.assets.pictures.images import open_source
from dcgan_assets.params.file import profile_text
from dcgan_assets.params.pictures import GroupImages
from dcgan_assets.sources import cifar10
from dcgan_assets.sources.reading.items import forget_listings
from dcgan_models.files import read_json

pytestmark = pytest.mark.usefixtures("fresh_listings", "no_workers_left")


@pytest.fixture
def root(memory: str | None, dagster_home: Path) -> Iterator[Path]:
    """A workspace without pictures yet."""
    with tempfile.TemporaryDirectory(dir=memory) as place:
        root = Path(place)
        shutil.copytree(dagster_home, root / ".dagster_home")
        yield root


def with_images(root: Path, **section: Any) -> None:
    params = yaml.safe_load(profile_text("sample"))
    params["lsun"]["images"] = {"size": 32, "shards": 2, **section}
    params["lsun"]["candidate"]["size"] = 32
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def rows(root: Path) -> list[dict[str, Any]]:
    """Manifest rows of both shards, with their pixels."""
    found = []
    for shard in ("00", "01"):
        folder = root / "data/lsun/images" / shard
        pixels = np.load(folder / "pixels_32.npy")
        for row in pq.read_table(folder / "manifest.parquet").to_pylist():
            found.append({**row, "pixels": pixels[row["row"]]})
        assert read_json(folder / "origin.json")["stand_in"] is True
    return found


def test_the_official_archive_becomes_a_groups_pictures(root: Path) -> None:
    with_images(root, source="imagenet", path="raw/imagenet.tar")
    (root / "raw").mkdir()
    grey = {f"n0144076{n // 5}/n0144076{n // 5}_{n}.JPEG": 10 * n + 50 for n in range(15)}
    tars: dict[str, dict[str, bytes]] = {}
    for key, level in grey.items():
        synset, name = key.split("/")
        content = cv2.imencode(".jpg", np.full((50, 70, 3), level, np.uint8))[1].tobytes()
        tars.setdefault(f"{synset}.tar", {})[name] = content
    outer = pack({name: pack(files) for name, files in tars.items()})
    (root / "raw/imagenet.tar").write_bytes(outer)
    done = materialize(root, "lsun/images")
    assert done.exit_code == 0, done.output
    assert made(done) == ["lsun/images[00]", "lsun/images[01]"]
    found = rows(root)
    assert {row["key"]: round(float(row["pixels"].mean())) for row in found} == grey
    assert all(row["label"] == int(row["key"][8]) for row in found)


@pytest.mark.slow
def test_what_is_no_imagenet_is_one_line(root: Path) -> None:
    with_images(root, source="imagenet", path="imagenet.tar")
    for content, words in ((None, "no such file or folder"), (b"junk", "not a whole tar archive")):
        if content is not None:
            (root / "imagenet.tar").write_bytes(content)
        done = materialize(root, "lsun/images")
        assert done.exit_code == 1
        assert f"imagenet.tar: {words}" in done.output
        assert "Traceback" not in done.output
        forget_listings()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.slow
def test_cifar10_is_downloaded_once_for_all_shards(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / cifar10.CIFAR10_DOWNLOAD.name
    release = cifar10_files.pack(archive, cifar10_files.batches())
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        url = f"http://127.0.0.1:{server.server_port}/{archive.name}"
        here = replace(cifar10.CIFAR10_DOWNLOAD, url=url, size=release.size, sha256=release.sha256)
        monkeypatch.setattr(cifar10, "CIFAR10_DOWNLOAD", here)
        monkeypatch.setattr(cifar10, "CIFAR10", release)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            with_images(root, source="cifar10")
            done = materialize(root, "lsun/images")
        finally:
            server.shutdown()
            thread.join()
    assert done.exit_code == 0, done.output
    assert made(done) == ["lsun/images[00]", "lsun/images[01]"]
    found = {row["key"]: row for row in rows(root)}
    whole = cifar10.from_archive(archive, release)
    trained = [row for row in whole.table.to_pylist() if row["split"] == "train"]
    assert found.keys() == {row["key"] for row in trained}
    for row in trained:
        mine = found[row["key"]]
        np.testing.assert_array_equal(mine["pixels"], whole.pixels[row["row"]])
        assert mine["pixels_sha256"] == row["pixels_sha256"]
        assert (mine["label"], mine["split"]) == (None, None)
    # The version is that of the publisher's file: without the archive nothing is stale.
    shutil.rmtree(root / "data/downloads")
    forget_listings()
    assert materialize(root, "lsun/images").stdout == "up to date: 2\n"


def test_cifar10_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raw").mkdir()
    archive = tmp_path / "raw" / cifar10.CIFAR10_DOWNLOAD.name
    monkeypatch.setattr(cifar10, "CIFAR10", cifar10_files.pack(archive, cifar10_files.batches()))
    section = GroupImages(source="cifar10", path="raw", size=32, shards=2)
    source = open_source(section, tmp_path)
    assert sum(len(source.items(shard, 2)) for shard in range(2)) == 60
    before = [source.version(shard, 2) for shard in range(2)]
    archive.write_bytes(b"another")
    after = [open_source(section, tmp_path).version(shard, 2) for shard in range(2)]
    assert len({*before, *after}) == 4
