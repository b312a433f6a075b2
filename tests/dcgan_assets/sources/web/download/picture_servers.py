"""Real HTTP servers on loopback that behave well, badly and not at all, and what asks them."""

from __future__ import annotations

import asyncio
import functools
import io
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult
from PIL import Image

from dcgan_assets.sources.web.clock import Clock
from dcgan_assets.sources.web.download.download import download
from dcgan_assets.sources.web.download.fetching import Surroundings
from dcgan_assets.sources.web.wanted import Limits, Wanted

CONTACT = "operator@dcgan.test"


@dataclass
class Request:
    """What was asked; and the way to answer it byte by byte."""

    path: str
    headers: dict[str, str]
    writer: asyncio.StreamWriter
    server: Server

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, status: int, **headers: object) -> None:
        lines = [f"HTTP/1.1 {status} Whatever"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8"))

    async def answer(self, status: int, body: bytes = b"", **headers: object) -> None:
        await self.head(status, Content_Length=len(body), **headers)
        await self.send(body)


Answer = Callable[[Request], Awaitable[None]]


def picture(body: bytes, **headers: object) -> Answer:
    async def answer(request: Request) -> None:
        await request.answer(200, body, **headers)

    return answer


def status(code: int, **headers: object) -> Answer:
    async def answer(request: Request) -> None:
        await request.answer(code, **headers)

    return answer


def moved(location: str, code: int = 302) -> Answer:
    return status(code, Location=location)


def in_turn(*answers: Answer) -> Answer:
    """The n-th request gets the n-th answer; the last one repeats."""
    left = list(answers)

    async def answer(request: Request) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(request)

    return answer


@dataclass
class Server:
    """A server in a thread of its own; `answers` by path, and one for all other paths."""

    answers: dict[str, Answer] = field(default_factory=dict)
    default: Answer = field(default_factory=lambda: status(404))
    tls: ssl.SSLContext | None = None
    address: str = "127.0.0.1"
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    most_at_once: int = 0
    connections: int = 0
    port: int = 0

    @property
    def site(self) -> str:
        return f"{self.address}:{self.port}"

    def url(self, path: str) -> str:
        return f"{'https' if self.tls else 'http'}://{self.site}{path}"

    def asked_for(self, path: str) -> int:
        return self.asked.count(path)

    @contextmanager
    def running(self) -> Iterator[Server]:
        loop = asyncio.new_event_loop()
        started = threading.Event()
        thread = threading.Thread(target=self._run, args=(loop, started))
        thread.start()
        assert started.wait(60)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(self._stop.set)
            thread.join()
            loop.close()

    def _run(self, loop: asyncio.AbstractEventLoop, started: threading.Event) -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(self._serve(started))

    async def _serve(self, started: threading.Event) -> None:
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        server = await asyncio.start_server(self._client, self.address, 0, ssl=self.tls)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    await self._one(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        path = first.split(" ")[1]
        headers = dict(line.split(": ", 1) for line in lines if line)
        self.asked.append(path)
        self.headers.append(headers)
        self.times.append(time.monotonic())
        answer = self.answers.get(path)
        if answer is None:
            answer = status(404) if path == "/robots.txt" else self.default
        self._now = getattr(self, "_now", 0) + 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            await answer(Request(path, headers, writer, self))
        finally:
            self._now -= 1


def jpeg(number: int = 0, side: int = 40) -> bytes:
    """A picture of its own for each number."""
    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=80)
    return stream.getvalue()


def encoded(kind: str, side: int = 40) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (side, side), (200, 30, 60)).save(stream, kind)
    return stream.getvalue()


def enormous_png() -> bytes:
    """A whole PNG of 20,000 x 20,000 pixels in about 220 KB."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(20_000 * 2501), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


class SkippingClock(Clock):
    """The real time while requests are under way; pauses in between take none.

    On a busy machine some of a wait has passed before the pause begins, so that `passed` bounds
    a wait from below, and `skipped` from above.
    """

    def __init__(self) -> None:
        self.skipped = 0.0
        self._began = super().now()

    @property
    def passed(self) -> float:
        """Seconds by this clock since it was made."""
        return self.now() - self._began

    def now(self) -> float:
        return super().now() + self.skipped

    def wall(self) -> float:
        return super().wall() + self.skipped

    async def pause(self, event: asyncio.Event, seconds: float, *, idle: bool) -> None:
        if idle:
            self.skipped += seconds
            await asyncio.sleep(0)
        else:
            await super().pause(event, seconds, idle=idle)


class Names(AbstractResolver):
    """A resolver with its own book: each name's answers in turn, the last one for ever."""

    def __init__(self, book: dict[str, list[str]]) -> None:
        self.book = book
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if host not in self.book:
            raise OSError(None, "no such host")
        answers = self.book[host]
        address = answers.pop(0) if len(answers) > 1 else answers[0]
        found = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=found,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        pass


def wanted(address: str, key: str | None = None, sha1: str | None = None, **more: Any) -> Wanted:
    one = Wanted(
        key or address,
        address,
        sha1,
        "CC BY-SA 4.0",
        "Ada",
        "Ada, via Commons",
        "http://www.wikidata.org/entity/Q42",
        "Zoë",
    )
    return one._replace(**more)


@functools.cache
def machine_trust() -> ssl.SSLContext:
    """What the downloader takes by default, read once: it takes a tenth of a second."""
    return ssl.create_default_context()


# No politeness, and patience enough for any machine: where time is what is tested, the test says
# how much there is.
SWIFT = Limits(
    CONTACT,
    concurrency=16,
    per_site=8,
    delay=0.0,
    site_megabits=None,
    connect=60.0,
    deadline=60.0,
    min_rate=1000.0,
    grace=60.0,
)


@dataclass
class Bench:
    """A work folder, an output folder, and what is handed to `download`."""

    root: Path
    limits: Limits = SWIFT
    clock: Clock = field(default_factory=SkippingClock)
    names: AbstractResolver | None = None
    tls: ssl.SSLContext | None = None

    def run(self, pictures: list[Wanted], *servers: Server, **more: Any) -> dict[str, Any]:
        """Download; returns the manifest's rows by key."""
        out = self.root / "out"
        out.mkdir(parents=True, exist_ok=True)
        sites = (*self.limits.allow_private, *(server.site for server in servers))
        around = Surroundings(
            self.clock,
            (lambda: self.names) if self.names else ThreadedResolver,  # type: ignore[arg-type,return-value]
            self.tls or machine_trust(),
        )
        self.packed = download(
            iter(pictures),
            self.root / "work",
            out,
            replace(self.limits, allow_private=sites),
            around=around,
            **more,
        )
        return {} if self.packed is None else self.rows()

    def rows(self) -> dict[str, Any]:
        table = pq.read_table(self.root / "out" / "manifest.parquet").to_pylist()
        return {row["key"]: row for row in table}
