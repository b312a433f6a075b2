"""Speed and memory of the picture downloader: `python -m benchmarks.download`.

Pictures of 55 KB come from a server in a process of its own on loopback. The same server is asked
by a bare aiohttp loop, which reads the bytes and does nothing else: no robots.txt, no checks, no
file, no journal. Ours runs with politeness switched off, for it is the machinery that is measured.
Once the server answers at once, which is more than any network does, and once after 20 ms.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import aiohttp
import psutil
from aiohttp import web

from dcgan_assets.sources.web.download.download import download
from dcgan_assets.sources.web.wanted import Limits, Wanted

PICTURE_BYTES = 55_000
AT_ONCE = 32
COUNTS = (1_000, 20_000)
WAITS = (0, 20)  # ms


def picture(number: int) -> bytes:
    """A JPEG by its marks: header, so many bytes, end; a content of its own for each number."""
    frame = bytes.fromhex("ffd8ffc0000b080040004001011100ffda0008010100003f00")
    filler = f"{number:08}".encode() * ((PICTURE_BYTES - len(frame) - 2) // 8)
    return frame + filler + b"\xff\xd9"


async def answer(request: web.Request) -> web.Response:
    if request.path == "/robots.txt":
        raise web.HTTPNotFound
    _, wait, number = request.path.split("/")
    await asyncio.sleep(int(wait) / 1000)
    return web.Response(body=picture(int(number)), content_type="image/jpeg")


def serve(pipe: Connection) -> None:
    """Serve until the process is ended; tells its port through the pipe."""

    async def forever() -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        pipe.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(forever())


async def bare(port: int, count: int, wait: int) -> None:
    """Ask for so many pictures, `AT_ONCE` at a time; each is answered after `wait` ms."""
    numbers = iter(range(count))
    async with aiohttp.ClientSession() as session:

        async def loop() -> None:
            for number in numbers:
                async with session.get(f"http://127.0.0.1:{port}/{wait}/{number}") as response:
                    assert len(await response.read()) > 0.99 * PICTURE_BYTES

        await asyncio.gather(*(loop() for _ in range(AT_ONCE)))


def pictures(port: int, count: int, wait: int) -> Iterator[Wanted]:
    for number in range(count):
        address = f"http://127.0.0.1:{port}/{wait}/{number}"
        yield Wanted(f"{number:08}", address, f"{number:040x}", "CC0", "Ada", "Ada", "Q42", "Ada")


def ours(port: int, count: int, wait: int) -> None:
    limits = Limits(
        "benchmark@dcgan.test",
        concurrency=AT_ONCE,
        per_site=AT_ONCE,
        delay=0.0,
        site_megabits=None,
        allow_private=(f"127.0.0.1:{port}",),
    )
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        out.mkdir()
        packed = download(pictures(port, count, wait), Path(folder) / "work", out, limits)
        assert packed is not None
        assert packed.kept == count


def timed(contender: Callable[[], None], spent: list[float]) -> Callable[[], None]:
    """The contender, with this process's own processor seconds noted at each call."""

    def call() -> None:
        start = time.process_time()
        contender()
        spent.append(time.process_time() - start)

    return call


def peak_memory(port: int, count: int) -> float:
    """Most resident memory in MiB of a process of its own that downloads so many."""
    code = f"from benchmarks.download import ours; ours({port}, {count}, 0)"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    watched, peak = psutil.Process(process.pid), 0
    while process.poll() is None:
        try:
            peak = max(peak, watched.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        time.sleep(0.02)
    assert process.wait() == 0
    return peak / 2**20


def main() -> None:
    # Here: it loads torch, which the processes whose memory is measured must not.
    from benchmarks.harness import interleaved, options, ratios, report

    parser = options(__doc__ or "", runs=5)
    parser.add_argument("--count", type=int, default=1500, metavar="N", help="pictures a run")
    arguments = parser.parse_args()
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    try:
        port, count = here.recv(), arguments.count
        spent: dict[str, list[float]] = {}
        contenders: dict[str, Callable[[], None]] = {}
        for wait in WAITS:
            fetchers = {"bare": lambda w=wait: asyncio.run(bare(port, count, w))}
            fetchers["ours"] = lambda w=wait: ours(port, count, w)
            for name, fetcher in fetchers.items():
                spent[f"{name} {wait}"] = []
                contenders[f"{name} {wait}"] = timed(fetcher, spent[f"{name} {wait}"])
        seconds = interleaved(contenders, arguments.runs)
        memory = {f"peak MiB, {many:,} addresses": [peak_memory(port, many)] for many in COUNTS}
    finally:
        server.terminate()
    least, most = (values[0] for values in memory.values())
    report(
        {
            "pictures a run": count,
            "bytes each": PICTURE_BYTES,
            "requests at once": AT_ONCE,
            "in ours": "robots.txt, checks, SHA-256, files, journal, and packing to a tar",
        },
        {
            **{
                f"{name.split()[0]}, answers after {name.split()[1]} ms, images/s": [
                    count / one for one in values
                ]
                for name, values in seconds.items()
            },
            **{
                f"ours to bare, answers after {wait} ms": ratios(
                    seconds[f"bare {wait}"], seconds[f"ours {wait}"]
                )
                for wait in WAITS
            },
            **{
                f"{name}, CPU ms a picture": [1000 * one / count for one in spent[f"{name} 0"][1:]]
                for name in ("bare", "ours")
            },
            **memory,
            "MiB more at 20 times the addresses": [most - least],
        },
        arguments.json,
    )


if __name__ == "__main__":
    main()
