"""Speed of reading pictures: `python -m benchmarks.ingest [--form lsun | tree | tar]`.

Two worker processes of `ingest`, with hashing, manifest and files, compete with two plain
processes that hold the bytes in memory and only call OpenCV: decode, cut out the centre, resize.
Target: at least 0.85 of the plain rate. The pictures are cut from the packaged photographs:

- `lsun`: 256 pixels high, quality 75, in an LMDB, made into 64x64 and 32x32 pixels;
- `tree` and `tar`: 500x375, quality 90, as ImageNet comes, made into 32x32: class folders of files,
  or a tar of tars.

The ratio of the processor times is told as well, because on a machine with other work the third
process, which writes, waits for its turn. Files lie in memory where the system has such a folder,
since plain OpenCV writes none. `--keys N` also lists an LMDB of N keys with small values (3
million unless told), or a tar of N empty pictures (as many as ImageNet has), and tells the time
and the memory that it took.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import cv2
import lmdb
import numpy as np
import psutil

from benchmarks.harness import interleaved, options, ratios, report
from dcgan_assets.sources.imagenet import PICTURES, imagenet
from dcgan_assets.sources.lsun import Lsun
from dcgan_assets.sources.photographs import PHOTOGRAPHS, photograph
from dcgan_assets.sources.reading.ingest import ingest
from dcgan_assets.sources.reading.items import Source

MEMORY = Path("/dev/shm")  # noqa: S108
WORKERS = 2
CLASSES = 100

_held: list[bytes] = []

_LISTING = """
import sys, time
from pathlib import Path
from dcgan_assets.sources.imagenet import imagenet
from dcgan_assets.sources.lsun import Lsun
source = {}(Path(sys.argv[1]))
def memory():
    lines = dict(line.split(":") for line in open("/proc/self/status"))
    return [int(lines[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile")]
before, start = memory(), time.perf_counter()
items = source.items(7, 64)
print(time.perf_counter() - start, *(now - then for now, then in zip(memory(), before)))
"""


class Form(NamedTuple):
    """What pictures are like, how they lie on disk, and what is made of them.

    Attributes:
        write: Writes the files below a folder; the source that reads them.
        write_many: Writes so many small ones, for the listing; None where that is not measured.
        opened: The expression by which the listing opens them.
        many: How many there are to list.
    """

    height: int
    width: int
    quality: int
    sizes: tuple[int, ...]
    write: Callable[[Path, Sequence[bytes]], Source]
    write_many: Callable[[Path, int], Path] | None = None
    opened: str = ""
    many: int = 0


def cut_from_photographs(count: int, form: Form) -> list[bytes]:
    """Windows of the photographs as JPEG files."""
    rng = np.random.default_rng(0)
    files = []
    for number in range(count):
        whole = photograph(list(PHOTOGRAPHS)[number % len(PHOTOGRAPHS)])
        height = int(rng.integers(240, min(whole.shape[0], whole.shape[1] * 3 // 4) + 1))
        width = height * 4 // 3
        top = int(rng.integers(whole.shape[0] - height + 1))
        left = int(rng.integers(whole.shape[1] - width + 1))
        window = whole[top : top + height, left : left + width, ::-1]
        method = cv2.INTER_AREA if height > form.height else cv2.INTER_CUBIC
        picture = cv2.resize(window, (form.width, form.height), interpolation=method)
        quality = [cv2.IMWRITE_JPEG_QUALITY, form.quality]
        files.append(cv2.imencode(".jpg", picture, quality)[1].tobytes())
    return files


# --- As they lie on disk ----------------------------------------------------------------------


def write_lmdb(folder: Path, values: Sequence[bytes]) -> Source:
    environment = lmdb.open(str(folder), map_size=1 << 34, sync=False)
    with environment.begin(write=True) as transaction:
        for number, value in enumerate(values):
            transaction.put(f"{number:040x}".encode(), value)
    environment.close()
    return Lsun(folder)


def many_keys(folder: Path, count: int) -> Path:
    environment = lmdb.open(str(folder), map_size=1 << 34, sync=False)
    rng = np.random.default_rng(0)
    keys = sorted(rng.bytes(20).hex().encode() for _ in range(count))
    with environment.begin(write=True) as transaction:
        cursor = transaction.cursor()
        cursor.putmulti(((key, b"small") for key in keys), append=True)
    environment.close()
    return folder


def in_classes(files: Sequence[bytes], classes: int) -> Mapping[str, Mapping[str, bytes]]:
    names = [f"n{1440764 + 13 * number:08d}" for number in range(classes)]
    return {
        name: {f"{name}_{n}.JPEG": data for n, data in enumerate(files[number::classes])}
        for number, name in enumerate(names)
    }


def write_tree(folder: Path, files: Sequence[bytes]) -> Source:
    for name, pictures in in_classes(files, CLASSES).items():
        (folder / name).mkdir(parents=True)
        for file, data in pictures.items():
            (folder / name / file).write_bytes(data)
    return imagenet(folder)


def write_tar(folder: Path, files: Sequence[bytes]) -> Source:
    folder.mkdir()
    return imagenet(write_class_tars(folder / "train.tar", in_classes(files, CLASSES)))


def write_class_tars(path: Path, classes: Mapping[str, Mapping[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as outer:
        for name, pictures in classes.items():
            content = io.BytesIO()
            with tarfile.open(fileobj=content, mode="w") as inner:
                for file, data in pictures.items():
                    add(inner, file, data)
            add(outer, f"{name}.tar", content.getvalue())
    return path


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def many_members(path: Path, count: int) -> Path:
    return write_class_tars(path, in_classes([b""] * count, 1000))


FORMS = {
    "lsun": Form(256, 341, 75, (64, 32), write_lmdb, many_keys, "Lsun", 3_000_000),
    "tree": Form(375, 500, 90, (32,), write_tree),
    "tar": Form(375, 500, 90, (32,), write_tar, many_members, "imagenet", PICTURES),
}


# --- What is measured -------------------------------------------------------------------------


def hold(files: list[bytes]) -> None:
    """Start a plain process: one thread for OpenCV, and the bytes in memory."""
    cv2.setNumThreads(1)
    _held.extend(files)


def plain(half: int, sizes: tuple[int, ...]) -> int:
    """Decode, cut out the centre and resize half of the files that are held."""
    total = 0
    for data in _held[half::WORKERS]:
        picture = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
        height, width = picture.shape[:2]
        left = (width - height) // 2
        square = picture[:, left : left + height]
        for size in sizes:
            total += len(cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA))
    return total


def processor_time() -> float:
    """Seconds that this process and its children have computed."""
    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def listing(form: Form, place: Path, count: int) -> dict[str, str]:
    """List one shard of 64 in a fresh process."""
    assert form.write_many is not None
    path = form.write_many(place, count)
    command = [sys.executable, "-c", _LISTING.format(form.opened), str(path)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, own, mapped = map(float, output.split())
    return {
        f"listing 1 of 64 shards of {count:,} pictures": f"{seconds:.2f} s",
        "memory taken by it": f"{own:.0f} MiB, and {mapped:.0f} MiB of the mapped file",
    }


def main() -> None:
    parser = options("Speed of reading pictures.", runs=5)
    parser.add_argument("--form", choices=FORMS, default="lsun")
    parser.add_argument("--pictures", type=int, default=8000, metavar="N")
    parser.add_argument("--keys", type=int, metavar="N")
    arguments = parser.parse_args()
    form = FORMS[arguments.form]
    files = cut_from_photographs(arguments.pictures, form)
    setting: dict[str, object] = {
        "form": arguments.form,
        "pictures": len(files),
        "mean bytes": round(sum(map(len, files)) / len(files)),
    }
    with (
        tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name,
        ProcessPoolExecutor(WORKERS, get_context("spawn"), hold, (files,)) as pool,
    ):
        root = Path(name)
        items = form.write(root / "pictures", files).items(0, 1)
        work = partial(plain, sizes=form.sizes)
        computed: dict[str, list[float]] = {}

        def measured(name: str, work: Callable[[], object]) -> Callable[[], None]:
            def run() -> None:
                before = processor_time()
                work()
                computed.setdefault(name, []).append(processor_time() - before)

            return run

        contenders = {
            "plain OpenCV": lambda: list(pool.map(work, range(WORKERS))),
            "ingest": lambda: ingest(items, root, form.sizes, workers=WORKERS),
        }
        seconds = interleaved(
            {name: measured(name, work) for name, work in contenders.items()}, arguments.runs
        )
        if form.write_many is not None:
            setting |= listing(form, root / "many", arguments.keys or form.many)
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
