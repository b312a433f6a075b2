"""LSUN's categories from a real HTTP server on 127.0.0.1: zips with a real LMDB, and others."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import yaml
from commands import lines, made, materialize
from fixture_types import Refused

from dcgan_assets.assets.pictures import images as group_images
from dcgan_assets.params.file import profile_text
from dcgan_assets.sources import lsun_downloads
from dcgan_assets.sources.lsun import Lsun
from dcgan_assets.sources.lsun_downloads import (
    LSUN_CATEGORIES,
    database_folder,
    fetch_database,
    lsun_download,
)
from dcgan_assets.sources.reading.decode import Decoded, decode, thumbnails
from dcgan_assets.sources.reading.items import forget_listings
from dcgan_assets.sources.reading.workers import close_workers
from dcgan_models.files import BUILDING

PICTURES = 40
NAME = "bedroom_train_lmdb"
ZIP = f"{NAME}.zip"


# --- A publisher of our own -----------------------------------------------------------------


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, counts requests, and may hold an answer back."""

    server: Publisher

    def do_GET(self) -> None:
        self.server.seen.append(self.path)
        self.server.may_answer.wait(30)
        self.server.meanwhile()
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


class Publisher(ThreadingHTTPServer):
    # Closing then waits for every handler, so no thread outlives its test.
    daemon_threads = False

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.folder = folder
        self.seen: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.url = f"http://127.0.0.1:{self.server_port}/"


def jpeg(number: int) -> bytes:
    """A picture of soft colours, 64 by 48."""
    coarse = np.random.default_rng(number).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    whole, data = cv2.imencode(".jpg", cv2.resize(coarse, (64, 48)))
    assert whole
    return data.tobytes()


VALUES = {f"{number * 7919 % 99991:040x}".encode(): jpeg(number) for number in range(PICTURES)}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """data.mdb as LSUN publishes it."""
    folder = tmp_path_factory.mktemp("lmdb")
    environment = lmdb.open(str(folder), map_size=1 << 22)
    with environment.begin(write=True) as transaction:
        for key, value in VALUES.items():
            transaction.put(key, value)
    environment.close()
    return (folder / "data.mdb").read_bytes()


@pytest.fixture
def publisher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_listings: None
) -> Iterator[Publisher]:
    (tmp_path / "server").mkdir()
    server = Publisher(tmp_path / "server")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(lsun_downloads, "_PUBLISHER", server.url)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


Publish = Callable[..., Path]


@pytest.fixture
def publish(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Put a file on the server, and its size and checksum where those of the category are."""

    def put(content: bytes, size: int | None = None, sha256: str | None = None) -> Path:
        path = publisher.folder / ZIP
        path.write_bytes(content)
        digest = sha256 or hashlib.sha256(content).hexdigest()
        known = {**LSUN_CATEGORIES, "bedroom": (size or len(content), digest)}
        for module in (lsun_downloads, group_images):
            monkeypatch.setattr(module, "LSUN_CATEGORIES", known)
        return path

    return put


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


def quiet(done: int, total: int) -> None:
    pass


# --- What LSUN publishes --------------------------------------------------------------------


def test_categories_are_lsuns() -> None:
    """The ten scenes of the LSUN paper; the bedrooms are 43 GiB."""
    assert set(LSUN_CATEGORIES) == {
        *("bedroom", "bridge", "church_outdoor", "classroom", "conference_room"),
        *("dining_room", "kitchen", "living_room", "restaurant", "tower"),
    }
    wanted = lsun_download("bedroom")
    assert wanted.url == "http://dl.yf.io/lsun/scenes/bedroom_train_lmdb.zip"
    assert (wanted.name, wanted.size, wanted.plain_http) == (ZIP, 45_922_737_680, True)
    checksums = [sha256 for _, sha256 in LSUN_CATEGORIES.values()]
    assert len(set(checksums)) == 10
    assert all(len(bytes.fromhex(sha256)) == 32 for sha256 in checksums)


# --- Fetching -------------------------------------------------------------------------------


def test_a_category_is_fetched_unpacked_and_then_there(
    tmp_path: Path, publisher: Publisher, publish: Publish, database: bytes
) -> None:
    # LSUN's zips hold a folder with a lock file. Nothing but the database is written, wherever
    # the archive would have it.
    others = {f"{NAME}/": b"", f"{NAME}/lock.mdb": b"lock", "../outside": b"x", "/absolute": b"x"}
    content = zipped({**others, f"{NAME}/data.mdb": database})
    publish(content)
    told: list[tuple[int, int]] = []
    downloads = tmp_path / "data" / "downloads"
    folder = fetch_database("bedroom", downloads, lambda *progress: told.append(progress))
    assert folder == database_folder("bedroom", downloads) == downloads / NAME
    assert names(downloads) == {NAME}, "the zip is not kept beside what it held"
    assert names(folder) == {"data.mdb"}
    assert (folder / "data.mdb").read_bytes() == database
    assert not list(tmp_path.rglob("outside"))
    assert told[-1] == (len(content), len(content))
    assert publisher.seen == [f"/{ZIP}"]
    found = {item.key.encode(): item.location.read() for item in Lsun(folder).items(0, 1)}
    assert found == VALUES

    assert fetch_database("bedroom", downloads, quiet) == folder
    assert publisher.seen == [f"/{ZIP}"], "what is there is not asked for again"


def test_a_folder_that_was_put_there_by_hand_is_left_alone(
    tmp_path: Path, publisher: Publisher
) -> None:
    folder = database_folder("tower", tmp_path)
    folder.mkdir()
    (folder / "data.mdb").write_bytes(b"mine")
    assert fetch_database("tower", tmp_path, quiet) == folder
    assert (folder / "data.mdb").read_bytes() == b"mine"
    assert publisher.seen == []


def test_two_that_ask_at_once_are_served_by_one_download(
    tmp_path: Path, publisher: Publisher, publish: Publish, database: bytes
) -> None:
    publish(zipped({f"{NAME}/data.mdb": database}))
    publisher.may_answer.clear()
    begun = threading.Barrier(3)
    found: list[Any] = []

    def ask() -> None:
        begun.wait()
        try:
            found.append(fetch_database("bedroom", tmp_path / "downloads", quiet))
        except Exception as error:
            found.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    begun.wait()
    publisher.may_answer.set()
    for thread in threads:
        thread.join(60)
    assert found == [tmp_path / "downloads" / NAME] * 2
    assert (found[0] / "data.mdb").read_bytes() == database
    assert publisher.seen == [f"/{ZIP}"]
    assert names(tmp_path / "downloads") == {NAME}


def test_what_a_killed_process_had_half_unpacked_is_removed(
    tmp_path: Path, publish: Publish, database: bytes
) -> None:
    publish(zipped({f"{NAME}/data.mdb": database}))
    left = tmp_path / f".{NAME}.0123abcd.part"
    left.mkdir()
    (left / BUILDING).touch()
    (left / "data.mdb").write_bytes(database[:1000])
    unmarked = tmp_path / f".{NAME}.4567abcd.part"
    unmarked.mkdir()
    (unmarked / "data.mdb").write_bytes(b"whose?")
    other = tmp_path / ".tower_train_lmdb.0123abcd.part"
    other.mkdir()
    fetch_database("bedroom", tmp_path, quiet)
    assert names(tmp_path) - {"server"} == {NAME, unmarked.name, other.name}
    assert (unmarked / "data.mdb").read_bytes() == b"whose?"


def test_a_zip_that_was_put_there_by_hand_stays(
    tmp_path: Path, publisher: Publisher, publish: Publish, database: bytes
) -> None:
    content = zipped({f"{NAME}/data.mdb": database})
    publish(content)
    (tmp_path / ZIP).write_bytes(content)
    folder = fetch_database("bedroom", tmp_path, quiet)
    assert (folder / "data.mdb").read_bytes() == database
    assert (tmp_path / ZIP).read_bytes() == content
    assert publisher.seen == []


# --- What goes wrong ------------------------------------------------------------------------


def test_another_file_than_the_expected_one(
    tmp_path: Path, publish: Publish, database: bytes, refused: Refused
) -> None:
    wrong = "0" * 64
    publish(zipped({f"{NAME}/data.mdb": database}), sha256=wrong)
    downloads = tmp_path / "downloads"
    with refused(f"{ZIP}: sha256 ", f"{wrong} expected", f"put {ZIP} (", f"into {downloads} and"):
        fetch_database("bedroom", downloads, quiet)
    assert names(downloads) == set()
    publish(zipped({f"{NAME}/data.mdb": database}), size=12)
    with refused(f"{ZIP}: ", "bytes offered, 12 expected"):
        fetch_database("bedroom", downloads, quiet)
    assert names(downloads) == set()


def test_a_file_that_is_not_there(tmp_path: Path, publish: Publish, refused: Refused) -> None:
    publish(b"anything").unlink()
    with refused(f"{ZIP}: HTTP 404", "and run again"):
        fetch_database("bedroom", tmp_path / "downloads", quiet)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(zipped({"data.mdb": b"x"}), "There is no item named", id="another member"),
        pytest.param(zipped({}), "There is no item named", id="empty"),
        pytest.param(b"<html>moved</html>" * 9, "not a zip file", id="no zip"),
    ],
)
def test_a_zip_that_is_not_lsuns(
    tmp_path: Path, publish: Publish, refused: Refused, content: bytes, words: str
) -> None:
    publish(content)
    downloads = tmp_path / "downloads"
    with refused(f"{downloads / ZIP}: cannot be unpacked", words):
        fetch_database("bedroom", downloads, quiet)
    assert names(downloads) == {ZIP}, "no folder that looks like a database"


# --- Through the command --------------------------------------------------------------------


def small(data: bytes, size: int) -> npt.NDArray[np.uint8]:
    found = decode(data)
    assert isinstance(found, Decoded)
    return thumbnails(found.pixels, (size,))[0]


@pytest.fixture
def root(memory: str | None, dagster_home: Path) -> Iterator[Path]:
    """A workspace whose pictures are LSUN's bedrooms, in two shards."""
    with tempfile.TemporaryDirectory(dir=memory) as place:
        root = Path(place)
        shutil.copytree(dagster_home, root / ".dagster_home")
        params = yaml.safe_load(profile_text("sample"))
        download = {"source": "lsun", "category": "bedroom", "size": 16, "shards": 2}
        params["lsun"]["images"] = download
        for name in ("candidate", "ablations"):
            params["lsun"][name]["size"] = 16
        (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        yield root
    close_workers()


def test_two_shards_are_made_from_one_download(
    root: Path, publisher: Publisher, publish: Publish, database: bytes
) -> None:
    archive = publish(zipped({f"{NAME}/data.mdb": database}))
    # What is planned looks at no database: it is not there yet.
    assert materialize(root, "lsun", "--dry-run").exit_code == 0
    assert publisher.seen == []
    done = materialize(root, "lsun/images")
    assert done.exit_code == 0, done.output
    assert made(done) == ["lsun/images[00]", "lsun/images[01]"]
    assert publisher.seen == [f"/{ZIP}"]
    keys: list[str] = []
    for shard in ("00", "01"):
        folder = root / "data/lsun/images" / shard
        pixels = np.load(folder / "pixels_16.npy")
        assert len(np.load(folder / "pixels_32.npy")) == len(pixels) == PICTURES // 2
        for row in pq.read_table(folder / "manifest.parquet").to_pylist():
            keys.append(row["key"])
            expected = small(VALUES[row["key"].encode()], 16)
            np.testing.assert_array_equal(pixels[row["row"]], expected)
    assert sorted(keys) == sorted(key.decode() for key in VALUES)

    # The version is that of the publisher's file: without the database nothing is stale.
    shutil.rmtree(root / "data/downloads")
    archive.unlink()
    forget_listings()
    assert materialize(root, "lsun/images").stdout == "up to date: 2\n"
    done = materialize(root, "--force", "lsun/images", "--partition", "01")
    assert done.exit_code == 1
    (line,) = lines(done, "FAILED")
    assert line.startswith(f"FAILED lsun/images[01]: {ZIP}: HTTP 404")
    assert "Traceback" not in done.output


def test_a_download_is_interrupted_at_once(
    root: Path, publisher: Publisher, publish: Publish, database: bytes
) -> None:
    publish(zipped({f"{NAME}/data.mdb": database}))
    publisher.meanwhile = lambda: os.kill(os.getpid(), signal.SIGINT)
    done = materialize(root, "lsun/images")
    assert done.exit_code == 130, done.output
    assert made(done) == ["lsun/images[00]"], "the second shard is not begun"
    assert len(publisher.seen) == 1
    assert not (root / "data/downloads/lsun" / NAME).exists()
    assert not list((root / "data/lsun/images").glob("[!.]*"))
