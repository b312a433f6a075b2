"""`ingest` with real worker processes, on good pictures, bad ones, and ones that kill."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np
import numpy.typing as npt
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixture_types import Refused
from odd_locations import Broken, Endless, Faulty, Given, Greedy, Killed, Segfault, die
from PIL import Image

from dcgan_assets.sources.folder import Folder
from dcgan_assets.sources.lsun import Lsun
from dcgan_assets.sources.reading import readers
from dcgan_assets.sources.reading import workers as processes
from dcgan_assets.sources.reading.decode import NARROW, Decoded, decode, thumbnails
from dcgan_assets.sources.reading.decode import Refused as Unreadable
from dcgan_assets.sources.reading.ingest import INGEST_SCHEMA, IngestReport, ingest
from dcgan_assets.sources.reading.items import Item, Location, Unread, forget_listings
from dcgan_assets.sources.reading.manifest import PICTURE_SCHEMA, pixels_sha256
from dcgan_assets.sources.reading.readers import Recipe, decode_apart
from dcgan_assets.sources.reading.workers import Each, close_workers, run_workers
from dcgan_models.pixels import Pixels

Row = dict[str, Any]


pytestmark = pytest.mark.usefixtures("no_workers_left")


def jpeg(seed: int, height: int = 60, width: int = 80) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", picture)[1].tobytes()


def item(number: int, location: Location) -> Item:
    key = f"{number:05d}"
    return Item(key, f"file#{key}", number % 3, "train", "CC0-1.0", "nobody", location)


def items_of(locations: Sequence[Location]) -> list[Item]:
    return [item(number, location) for number, location in enumerate(locations)]


def run(items: Sequence[Item], folder: Path, **options: Any) -> IngestReport:
    report = ingest(items, folder, **{"workers": 2, **options})
    assert report is not None
    return report


def rows(folder: Path) -> list[Row]:
    table = pq.read_table(folder / "manifest.parquet")
    assert table.schema.equals(INGEST_SCHEMA, check_metadata=True)
    found: list[Row] = table.to_pylist()
    return found


def pixels(folder: Path, report: IngestReport, size: int) -> Pixels:
    parts = [np.load(folder / name, mmap_mode="r") for name in report.files[size]]
    whole = np.concatenate(parts)
    assert whole.dtype == np.uint8
    assert whole.shape[1:] == (size, size, 3)
    return whole


def expected(data: bytes) -> list[Pixels]:
    found = decode(data)
    assert isinstance(found, Decoded)
    return thumbnails(found.pixels, (64, 32))


def reason_of(row: Row) -> str:
    assert row["status"] == "rejected"
    assert row["row"] is row["pixels_sha256"] is row["converted"] is None
    return str(row["reason"])


# Good pictures.


def test_rows_are_in_the_order_of_the_items(tmp_path: Path) -> None:
    # Pictures of very different cost, so that the workers finish out of order.
    sizes = [(600, 900) if number % 50 < 10 else (40, 50) for number in range(300)]
    files = [jpeg(number, *size) for number, size in enumerate(sizes)]
    calls: list[tuple[int, int]] = []
    report = run(
        items_of([Given(data) for data in files]),
        tmp_path,
        on_progress=lambda done, total: calls.append((done, total)),
    )
    assert (report.items, report.kept, report.rejected) == (300, 300, 0)
    assert report.files == {64: ("pixels_64.npy",), 32: ("pixels_32.npy",)}
    large, small = (pixels(tmp_path, report, size) for size in (64, 32))
    table = rows(tmp_path)
    for number, (data, row) in enumerate(zip(files, table, strict=True)):
        one, other = expected(data)
        assert np.array_equal(large[number], one)
        assert np.array_equal(small[number], other)
        assert row == {
            "key": f"{number:05d}",
            "source_sha256": hashlib.sha256(data).hexdigest(),
            "pixels_sha256": pixels_sha256(one),
            "source_uri": f"file#{number:05d}",
            "licence": "CC0-1.0",
            "attribution": "nobody",
            "original_width": sizes[number][1],
            "original_height": sizes[number][0],
            "status": "kept",
            "reason": None,
            "converted": None,
            "row": number,
            "label": number % 3,
            "split": "train",
        }
    assert calls[-1] == (300, 300)
    assert calls == sorted(calls)
    assert len(calls) == -(-300 // readers.BATCH)


def test_files_are_split_and_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    locations: list[Location] = [Given(jpeg(number)) for number in range(100)]
    locations[10] = Unread("a symlink that leaves the folder")
    folders = [tmp_path / str(workers) for workers in (1, 2)]
    reports = []
    for workers, folder in enumerate(folders, 1):
        folder.mkdir()
        reports.append(
            run(items_of(locations), folder, workers=workers, file_bytes=40 * 64 * 64 * 3)
        )
    names = sorted(path.name for path in folders[0].iterdir())
    assert names == [
        "manifest.parquet",
        "pixels_32.npy",
        "pixels_64.npy",
        "pixels_64_001.npy",
        "pixels_64_002.npy",
    ]
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    report = reports[0]
    assert report.rows_per_file == {64: 40, 32: 160}
    assert [len(np.load(folders[0] / name)) for name in report.files[64]] == [40, 40, 19]
    assert np.array_equal(pixels(folders[0], report, 64)[50], expected(jpeg(51))[0])


def test_sizes_in_any_order(tmp_path: Path) -> None:
    report = run(items_of([Given(jpeg(1))]), tmp_path, sizes=(16, 48))
    assert pixels(tmp_path, report, 16).shape == (1, 16, 16, 3)
    assert rows(tmp_path)[0]["pixels_sha256"] == pixels_sha256(pixels(tmp_path, report, 48)[0])


@pytest.mark.parametrize("locations", [[], [Unread("a link")]])
def test_nothing_kept(tmp_path: Path, locations: list[Location]) -> None:
    report = run(items_of(locations), tmp_path)
    assert (report.kept, report.rejected) == (0, len(locations))
    assert pixels(tmp_path, report, 64).shape == (0, 64, 64, 3)
    assert [row["reason"] for row in rows(tmp_path)] == ["a link"] * len(locations)


def test_an_lmdb_through_and_through(tmp_path: Path) -> None:
    files = {f"{number:040x}".encode(): jpeg(number) for number in range(70)}
    stream = io.BytesIO()
    Image.fromarray(expected(jpeg(1))[0]).save(stream, "WEBP", lossless=True)
    files[b"webp"] = stream.getvalue()
    environment = lmdb.open(str(tmp_path / "db"), map_size=1 << 26)
    with environment.begin(write=True) as transaction:
        for key, value in files.items():
            transaction.put(key, value)
    environment.close()
    (tmp_path / "db/lock.mdb").unlink()
    forget_listings()
    source = Lsun(tmp_path / "db")
    seen = []
    for shard in range(3):
        report = run(source.items(shard, 3), tmp_path)
        found = pixels(tmp_path, report, 64)
        for row in rows(tmp_path):
            seen.append(row["key"].encode())
            assert np.array_equal(found[row["row"]], expected(files[seen[-1]])[0])
    assert seen == sorted(files)


# Bad pictures.


def png_bomb() -> bytes:
    """400 million pixels in 48 KB."""
    packer = zlib.compressobj(9)
    row = bytes(1 + 20_000 // 8)
    body = b"".join(packer.compress(row) for _ in range(20_000)) + packer.flush()
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def saved(array: npt.NDArray[Any], kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, kind, **options)
    return stream.getvalue()


def test_bad_files_are_rows_with_reasons_and_the_rest_goes_on(tmp_path: Path) -> None:
    good = expected(jpeg(3))[0]
    turned = Image.Exif()
    turned[0x0112] = 6
    alpha = np.dstack([good, np.full((64, 64), 9, np.uint8)])
    files = {
        "alpha.png": saved(alpha, "PNG"),
        "bomb.png": png_bomb(),
        "cut.jpg": jpeg(4)[:-100],
        "good.jpg": jpeg(5),
        "grey.png": saved(good[..., 0], "PNG"),
        "html.jpg": b"<html><body>404",
        "long.jpg": jpeg(6, 40, 200),
        "notes.txt": b"hello",
        "one-pixel.png": saved(good[:1, :1], "PNG"),
        "turned.jpg": saved(good[:40], "JPEG", exif=turned),
        "zero.jpg": b"",
    }
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "new\nline.jpg").write_bytes(jpeg(7))
    (folder / "link.jpg").symlink_to("/etc/passwd")
    forget_listings()
    report = run(Folder(folder).items(0, 1), out)
    table = {row["key"]: row for row in rows(out)}
    rejected = {key: reason_of(row) for key, row in table.items() if row["status"] == "rejected"}
    assert {key: reason.partition(":")[0] for key, reason in rejected.items()} == {
        "bomb.png": "too many pixels",
        "cut.jpg": "truncated",
        "html.jpg": "HTML, not a picture",
        "link.jpg": "a symlink that leaves the folder",
        "long.jpg": "too long",
        "notes.txt": "not a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF picture",
        "one-pixel.png": "too small",
        "zero.jpg": "empty",
    }
    kept = [(key, row) for key, row in table.items() if key not in rejected]
    assert {key: (row["row"], row["converted"]) for key, row in kept} == {
        "alpha.png": (0, "alpha on white"),
        "good.jpg": (1, None),
        "grey.png": (2, "grey"),
        "new\\x0aline.jpg": (3, None),
        "turned.jpg": (4, "EXIF orientation 6"),
    }
    assert (report.kept, report.rejected, report.items) == (5, 8, 13)
    assert sum(report.reasons.values()) == 8
    assert report.reasons["too small"] == 1
    assert report.conversions == {"alpha on white": 1, "grey": 1, "EXIF orientation 6": 1}
    assert len(pixels(out, report, 64)) == 5
    assert (table["bomb.png"]["original_width"], table["turned.jpg"]["original_width"]) == (
        20_000,
        40,
    )
    assert table["cut.jpg"]["source_sha256"] == hashlib.sha256(files["cut.jpg"]).hexdigest()
    assert table["link.jpg"]["source_sha256"] is None


# Pictures that kill.


@pytest.mark.parametrize(
    ("deadly", "reason"),
    [
        (Killed(), "its reading process died: SIGKILL"),
        (Segfault(), "its reading process died: SIGSEGV"),
        (Greedy(), "too much memory: more than 1.25 GiB needed"),
    ],
)
def test_a_deadly_picture_costs_one_row(tmp_path: Path, deadly: Location, reason: str) -> None:
    locations: list[Location] = [Given(jpeg(number)) for number in range(150)]
    for place in (0, 70, 149):
        locations[place] = deadly
    report = run(items_of(locations), tmp_path)
    table = rows(tmp_path)
    assert {n: reason_of(row) for n, row in enumerate(table) if row["status"] == "rejected"} == {
        0: reason,
        70: reason,
        149: reason,
    }
    assert (report.kept, report.reasons) == (147, {reason.partition(":")[0]: 3})
    found = pixels(tmp_path, report, 64)
    for row, location in zip(table, locations, strict=True):
        if isinstance(location, Given):
            assert np.array_equal(found[row["row"]], expected(location.data)[0])


def test_a_picture_without_end_costs_one_row(tmp_path: Path) -> None:
    locations: list[Location] = [Given(jpeg(number)) for number in range(40)]
    locations[33] = Endless(tmp_path / "began")
    batches = list(run_workers(Recipe((64,), 1), locations, 2, batch_seconds=2.0))
    readings = [reading for batch in batches for reading in batch.readings]
    assert [n for n, reading in enumerate(readings) if reading.reason] == [33]
    assert readings[33].reason == "not read within 2 s"
    numbers = {int(line) for line in (tmp_path / "began").read_text().splitlines()}
    assert len(numbers) == 2  # in its batch, then alone
    assert not any(psutil.pid_exists(number) for number in numbers)


def test_a_second_run_of_one_thread_is_refused_and_not_waited_for() -> None:
    locations = [Given(jpeg(number)) for number in range(40)]
    job = Recipe((64,), 1)
    first = run_workers(job, locations, 1)
    next(first)
    with pytest.raises(RuntimeError, match="this thread began another run"):
        next(run_workers(job, locations, 1))
    done: list[int] = []
    other = threading.Thread(
        target=lambda: done.append(len(list(run_workers(job, locations, 1)))), daemon=True
    )
    other.start()  # waits for its turn
    whole = 1 + len(list(first))
    other.join(60)
    assert done == [whole]


@pytest.mark.slow
def test_deadly_pictures_are_rows_however_many_in_a_row(tmp_path: Path) -> None:
    good: list[Location] = [Given(jpeg(number)) for number in range(3)]
    locations = [*good, *[Killed()] * (2 * processes.MAX_DEATHS_IN_A_ROW), *good]
    report = run(items_of(locations), tmp_path, workers=1)
    reason = "its reading process died: SIGKILL"
    assert (report.kept, report.reasons) == (6, {reason.partition(":")[0]: len(locations) - 6})
    assert [row["reason"] for row in rows(tmp_path)[3:-3]] == [reason] * (len(locations) - 6)


@pytest.mark.slow
def test_pictures_without_end_are_rows_however_many(tmp_path: Path) -> None:
    count = processes.MAX_DEATHS_IN_A_ROW + 1
    locations: list[Location] = [Endless(tmp_path / "began")] * count
    job = Each(bytes.upper, str.encode, 1)
    found = list(run_workers(job, [*locations, Given(b"good")], 2, batch_seconds=0.3))
    assert found == [[b"not read within 0.3 s"]] * count + [[b"GOOD"]]


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 64])
def test_processes_that_die_of_a_good_picture_are_one_error(refused: Refused, batch: int) -> None:
    locations = [Given(jpeg(number)) for number in range(40)]
    job = Each(die, str.encode, batch)
    with refused("die again and again, of a good one as well (SIGKILL)", "too little memory"):
        list(run_workers(job, locations, 1))


def test_whole_pictures_are_decoded_apart_as_they_are_here() -> None:
    data = [jpeg(number, 700, 900) for number in range(5)]
    locations = [Given(data[0]), Killed(), *map(Given, data[1:]), Unread("a link"), Given(b"x")]
    found = list(decode_apart(locations))
    refused = {n: one.reason for n, one in enumerate(found) if isinstance(one, Unreadable)}
    assert list(refused) == [1, 6, 7]
    assert refused[1] == "its reading process died: SIGKILL"
    assert refused[6] == "a link"
    for content, one in zip(data, (found[0], *found[2:6]), strict=True):
        here = decode(content)
        assert isinstance(one, Decoded)
        assert isinstance(here, Decoded)
        assert np.array_equal(one.pixels, here.pixels)


def test_errors_of_the_source_and_of_ours(tmp_path: Path, refused: Refused) -> None:
    locations: list[Location] = [Given(jpeg(number)) for number in range(100)]
    locations[40] = Broken()
    with refused("bedrooms.mdb: the disk is gone"):
        run(items_of(locations), tmp_path)
    locations[40] = Faulty()
    with pytest.raises(RuntimeError, match="ZeroDivisionError: a bug"):
        run(items_of(locations), tmp_path)
    assert list(tmp_path.iterdir()) == []
    # What was in flight then does not turn up in the next run.
    assert run(items_of(locations[:40]), tmp_path).kept == 40


def test_keys_must_be_unique(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not unique"):
        run([item(1, Unread("x"))] * 2, tmp_path)


def test_folder_that_cannot_be_written(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "pixels_64.npy").mkdir()
    (tmp_path / "pixels_64.npy/x").touch()
    with refused(str(tmp_path), "cannot be written"):
        run(items_of([Given(jpeg(1))]), tmp_path)
    with refused("nowhere", "cannot be written"):
        run([], tmp_path / "nowhere")


# Stopping, and the end of the processes.


def test_stopping_leaves_no_manifest_and_no_part(tmp_path: Path) -> None:
    items = items_of([Given(jpeg(number)) for number in range(3000)])
    assert run(items[:10], tmp_path).kept == 10
    done: list[int] = []
    report = ingest(
        items,
        tmp_path,
        workers=2,
        on_progress=lambda n, _: done.append(n),
        should_stop=lambda: bool(done),
    )
    assert report is None
    assert 0 < done[-1] < 3000
    # The pixels of the run before are whole, but nothing says that they are these items'.
    assert {path.name for path in tmp_path.iterdir()} == {"pixels_64.npy", "pixels_32.npy"}
    assert run(items[:50], tmp_path).kept == 50


def test_processes_are_kept_for_the_next_shard_and_ended_on_request(tmp_path: Path) -> None:
    items = items_of([Given(jpeg(number)) for number in range(40)])
    run(items, tmp_path)
    first = [worker.process for worker in processes._pool]
    run(items, tmp_path)
    assert [worker.process for worker in processes._pool] == first
    assert len(first) == 2
    assert all(process.poll() is None for process in first)
    run(items, tmp_path, workers=1)
    assert len(processes._pool) == 1
    close_workers()
    assert processes._pool == []
    assert all(process.poll() is not None for process in first)


PARENT = """
import sys
from pathlib import Path
from odd_locations import Endless
from dcgan_assets.sources.reading.ingest import ingest
from dcgan_assets.sources.reading.items import Item
folder = Path(sys.argv[1])
place = Endless(folder / "began")
items = [Item(str(n), "", None, None, "", "", place) for n in range(100)]
ingest(items, folder, workers=2)
"""


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_parent(tmp_path: Path, kind: signal.Signals) -> None:
    os.mkfifo(tmp_path / "began")
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        with os.fdopen(os.open(tmp_path / "began", os.O_RDWR)) as began:
            workers = [psutil.Process(int(began.readline())) for _ in range(2)]
        # Ctrl-C reaches every process of the group.
        os.killpg(process.pid, kind) if kind == signal.SIGINT else process.send_signal(kind)
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == -kind
    assert not psutil.wait_procs(workers, timeout=120)[1]
    if kind == signal.SIGINT:
        assert said.strip().endswith("KeyboardInterrupt")
        assert said.count("Traceback") == 1
        assert {path.name for path in tmp_path.iterdir()} == {"began"}


@pytest.mark.slow
def test_memory_of_a_worker_is_bounded_whatever_the_picture(tmp_path: Path) -> None:
    # 50 million pixels of 16-bit RGBA, interlaced or not: the most that is read.
    peaks = []
    for interlaced in (0, 1):
        packer = zlib.compressobj(1)
        header = struct.pack(">IIBBBBB", 7000, 7142, 16, 6, 0, 0, interlaced)
        passes = (
            [(7000, 7142)]
            if not interlaced
            else [
                (-(-(7000 - x) // dx), -(-(7142 - y) // dy))
                for x, y, dx, dy in (
                    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4),
                    (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
                )
            ]
        )  # fmt: skip
        body = b"".join(
            packer.compress(bytes(1 + 8 * width)) for width, height in passes for _ in range(height)
        )
        chunks = [(b"IHDR", header), (b"IDAT", body + packer.flush()), (b"IEND", b"")]
        data = b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(content)) + name + content
            + struct.pack(">I", zlib.crc32(name + content))
            for name, content in chunks
        )  # fmt: skip
        report = run(items_of([Given(data), Given(jpeg(1))]), tmp_path, workers=1)
        told = {"alpha on white": 1, "16-bit": 1, NARROW: 1}  # all of it is black
        assert (report.kept, report.conversions) == (2, told)
        status = Path(f"/proc/{processes._pool[0].process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        peaks.append(int(line.split()[1]) * 1024)
    assert max(peaks) < 3 << 29, peaks


def test_schema_is_that_of_small_sources_with_the_conversions() -> None:
    names = [name for name in INGEST_SCHEMA.names if name != "converted"]
    assert names == PICTURE_SCHEMA.names
    assert pa.schema([INGEST_SCHEMA.field(n) for n in names]).equals(
        pa.schema(list(PICTURE_SCHEMA)), check_metadata=True
    )
    assert all(field.metadata[b"description"] for field in INGEST_SCHEMA)
