"""Speed of reading pictures: `python -m benchmarks.ingest`.

LSUN-like JPEG files (256 pixels high, quality 75, cut from the packaged photographs) lie in an
LMDB, and are made into 64x64 and 32x32 pixels. Two worker processes of `ingest`, with hashing,
manifest and files, compete with two plain processes that hold the bytes in memory and only call
OpenCV. Target: at least 0.85 of the plain rate. The ratio of the processor times is told as well,
because on a machine with other work the third process, which writes, waits for its turn. Files
lie in memory where the system has such a folder, since plain OpenCV writes none. `--keys N` also
lists an LMDB of N keys with small values (3 million unless told) and tells the time and the
memory that it took.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import lmdb
import numpy as np
import psutil

from benchmarks.harness import interleaved, options, ratios, report
from dcgan_assets.sources.ingest import ingest
from dcgan_assets.sources.lsun import Lsun
from dcgan_assets.sources.photographs import PHOTOGRAPHS, photograph

MEMORY = Path("/dev/shm")  # noqa: S108
WORKERS = 2
SIZES = (64, 32)
HEIGHT, WIDTH = 256, 341

_held: list[bytes] = []

_LISTING = """
import sys, time
from pathlib import Path
from dcgan_assets.sources.lsun import Lsun
source = Lsun(Path(sys.argv[1]))
def memory():
    lines = dict(line.split(":") for line in open("/proc/self/status"))
    return [int(lines[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile")]
before, start = memory(), time.perf_counter()
items = source.items(7, 64)
print(time.perf_counter() - start, *(now - then for now, then in zip(memory(), before)))
"""


def lsun_like(count: int) -> list[bytes]:
    """Windows of the photographs as JPEG files of about 16 KB."""
    rng = np.random.default_rng(0)
    files = []
    for number in range(count):
        whole = photograph(list(PHOTOGRAPHS)[number % len(PHOTOGRAPHS)])
        height = int(rng.integers(240, min(whole.shape[0], whole.shape[1] * 3 // 4) + 1))
        width = height * 4 // 3
        top = int(rng.integers(whole.shape[0] - height + 1))
        left = int(rng.integers(whole.shape[1] - width + 1))
        window = whole[top : top + height, left : left + width, ::-1]
        picture = cv2.resize(window, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        files.append(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 75])[1].tobytes())
    return files


def write_lmdb(folder: Path, values: Sequence[bytes]) -> Path:
    environment = lmdb.open(str(folder), map_size=1 << 34, sync=False)
    with environment.begin(write=True) as transaction:
        for number, value in enumerate(values):
            transaction.put(f"{number:040x}".encode(), value)
    environment.close()
    return folder


def hold(files: list[bytes]) -> None:
    """Start a plain process: one thread for OpenCV, and the bytes in memory."""
    cv2.setNumThreads(1)
    _held.extend(files)


def plain(half: int) -> int:
    """Decode, cut out the centre and resize half of the files that are held."""
    total = 0
    for data in _held[half::WORKERS]:
        picture = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
        left = (picture.shape[1] - HEIGHT) // 2
        square = picture[:, left : left + HEIGHT]
        for size in SIZES:
            total += len(cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA))
    return total


def processor_time() -> float:
    """Seconds that this process and its children have computed."""
    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def list_keys(folder: Path, count: int) -> list[float]:
    """List one shard of 64 in a fresh process: seconds, MiB of its own, MiB of the mapped file."""
    environment = lmdb.open(str(folder), map_size=1 << 34, sync=False)
    rng = np.random.default_rng(0)
    keys = sorted(rng.bytes(20).hex().encode() for _ in range(count))
    with environment.begin(write=True) as transaction:
        cursor = transaction.cursor()
        cursor.putmulti(((key, b"small") for key in keys), append=True)
    environment.close()
    command = [sys.executable, "-c", _LISTING, str(folder)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(figure) for figure in output.split()]


def main() -> None:
    parser = options("Speed of reading pictures.", runs=5)
    parser.add_argument("--pictures", type=int, default=8000, metavar="N")
    parser.add_argument("--keys", type=int, default=3_000_000, metavar="N")
    arguments = parser.parse_args()
    files = lsun_like(arguments.pictures)
    with (
        tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name,
        ProcessPoolExecutor(WORKERS, get_context("spawn"), hold, (files,)) as pool,
    ):
        root = Path(name)
        items = Lsun(write_lmdb(root / "lmdb", files)).items(0, 1)
        computed: dict[str, list[float]] = {}

        def measured(name: str, work: Callable[[], object]) -> Callable[[], None]:
            def run() -> None:
                before = processor_time()
                work()
                computed.setdefault(name, []).append(processor_time() - before)

            return run

        contenders = {
            "plain OpenCV": lambda: list(pool.map(plain, range(WORKERS))),
            "ingest": lambda: ingest(items, root, SIZES, workers=WORKERS),
        }
        seconds = interleaved(
            {name: measured(name, work) for name, work in contenders.items()}, arguments.runs
        )
        listed, own, mapped = list_keys(root / "keys", arguments.keys)
    setting = {
        "pictures": len(files),
        "mean bytes": round(sum(map(len, files)) / len(files)),
        f"listing 1 of 64 shards of {arguments.keys:,} keys": f"{listed:.2f} s",
        "memory taken by it": f"{own:.0f} MiB, and {mapped:.0f} MiB of the mapped file",
    }
    figures = {
        f"{name}, pictures a second": [len(files) / time for time in times]
        for name, times in seconds.items()
    }
    figures["ingest against plain"] = ratios(seconds["plain OpenCV"], seconds["ingest"])
    # The first round is not measured.
    figures["the same by processor time"] = ratios(
        computed["plain OpenCV"][1:], computed["ingest"][1:]
    )
    report(setting, figures, arguments.json)


if __name__ == "__main__":
    main()
