"""Real web servers on 127.0.0.1 like the documented APIs, and a clock that never waits."""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from aiohttp import web

from dcgan_assets.sources.web.clock import Clock
from dcgan_assets.sources.web.search.answers import Answer, ApiError
from dcgan_assets.sources.web.search.client import ApiClient, Manners, Patience

CONTACT = "ada@dcgan.test"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Seen(NamedTuple):
    path: str
    query: dict[str, str]
    headers: dict[str, str]


class ApiServer:
    """One handler for every path, in a thread of its own; it remembers what it was asked."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        self._handler = handler
        self._tls = tls
        self.seen: list[Seen] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        query = {**request.query, **(await request.post() if request.method == "POST" else {})}
        self.seen.append(
            Seen(request.path, {k: str(v) for k, v in query.items()}, dict(request.headers))
        )
        return await self._handler(request)

    async def run(self, ready: threading.Event, stop: asyncio.Event) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.port = runner.addresses[0][1]
        ready.set()
        await stop.wait()
        await runner.cleanup()
        # Handlers whose clients have hung up.
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


@contextmanager
def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> Iterator[ApiServer]:
    server, ready, loop = ApiServer(handler, tls), threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(server.run(ready, stop),))
    thread.start()
    try:
        assert ready.wait(60)
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def in_turn(*answers: Callable[[], web.StreamResponse]) -> Handler:
    """Gives the n-th request the n-th answer; the last one repeats."""
    left = list(answers)

    async def handle(request: web.Request) -> web.StreamResponse:
        return left.pop(0)() if len(left) > 1 else left[0]()

    return handle


def reply(content: Any, status: int = 200, **headers: str) -> Callable[[], web.StreamResponse]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda: web.json_response(content, status=status, headers=named)


def page(status: int = 200, text: str = "<html>Sorry</html>", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda: web.Response(text=text, status=status, content_type="text/html", headers=named)


@dataclass
class FakeTime:
    """Sleeping moves the clock and nothing else."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    @property
    def clock(self) -> Clock:
        return _FakeClock(self)


class _FakeClock(Clock):
    def __init__(self, time: FakeTime) -> None:
        self._time = time

    def now(self) -> float:
        return self._time.now

    async def sleep(self, seconds: float) -> None:
        self._time.now += seconds
        self._time.slept.append(round(seconds, 3))


def manners(time: FakeTime | None = None, **changes: Any) -> Manners:
    time = time or FakeTime()
    settings = {"contact": CONTACT, "pause": 0.0, "allow_private": True, "clock": time.clock}
    patience = Patience(connect=60.0, read=60.0, waits=(1.0, 2.0, 4.0))
    return Manners(**{"patience": patience, **settings, **changes})


class Citizen(NamedTuple):
    """Somebody whom the fake endpoints know."""

    uri: str
    name: str | None
    born: str
    sitelinks: int = 20
    item: str | None = None


def citizens(
    count: int, born: str = "1950-01-01", wiki: str = "http://w.example/"
) -> list[Citizen]:
    return [Citizen(f"{wiki}{n}", f"Person {n}", born, n) for n in range(count)]


class SparqlEndpoint:
    """Answers the queries of `dcgan_assets.sources.web.search.sparql` from a list of people.

    Attributes:
        most: Cuts results silently after so many rows, as DBpedia does.
        maxrows_header: Whether it says so in X-SPARQL-MaxRows.
        miscount: Added to every count.
        faults: By the number of the request (from 0), an answer instead of the right one.
    """

    def __init__(self, people: Sequence[Citizen], most: int = 10_000) -> None:
        self.people = people
        self.most = most
        self.maxrows_header = False
        self.miscount = 0
        self.faults: dict[int, Callable[[], web.StreamResponse]] = {}
        self.when: Callable[[str], Callable[[], web.StreamResponse] | None] = lambda query: None
        self.queries: list[str] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        query = str((await request.post())["query"])
        number = len(self.queries)
        self.queries.append(query)
        fault = self.faults.get(number) or self.when(query)
        if fault is not None:
            return fault()
        if "VALUES" in query:
            return self.rows(self.sitelinks(query))
        chosen = self.chosen(query)
        if "COUNT(" in query:
            return self.rows([{"people": str(len(chosen) + self.miscount)}])
        limit = int(re.search(r"LIMIT (\d+)", query)[1])  # type: ignore[index]
        capped = chosen[: min(limit, self.most)]
        header = {"X-SPARQL-MaxRows": str(self.most)} if self.maxrows_header else {}
        return self.rows([self.row(one) for one in capped], header)

    def chosen(self, query: str) -> list[Citizen]:
        start, end = re.findall(r'"(\d{4}-\d\d-\d\d)', query)[:2]
        digits = re.search(r'MD5\(STR\(\?person\)\), "([0-9a-f]+)"', query)
        prefix = digits[1] if digits else ""
        return [
            one
            for one in self.people
            if start <= one.born[:10] < end
            and hashlib.md5(one.uri.encode()).hexdigest().startswith(prefix)  # noqa: S324
        ]

    def row(self, one: Citizen) -> dict[str, str]:
        row = {"person": one.uri, "birth": one.born, "sitelinks": str(one.sitelinks)}
        if one.name is not None:
            row["name"] = one.name
        if one.item is not None:
            row = {**row, "item": one.item}
            del row["sitelinks"]
        return row

    def sitelinks(self, query: str) -> list[dict[str, str]]:
        items = {
            f"http://www.wikidata.org/entity/{name}" for name in re.findall(r"wd:(Q\d+)", query)
        }
        return [
            {"person": one.uri, "sitelinks": str(one.sitelinks)}
            for one in self.people
            if one.uri in items
        ]

    def rows(
        self, rows: list[dict[str, str]], headers: dict[str, str] | None = None
    ) -> web.Response:
        names = sorted({name for row in rows for name in row})
        bindings = [
            {name: {"type": "literal", "value": value} for name, value in row.items()}
            for row in rows
        ]
        return web.json_response(
            {"head": {"vars": names}, "results": {"bindings": bindings}},
            content_type="application/sparql-results+json",
            headers=headers,
        )


def get(
    url: str, time: FakeTime | None = None, how: Manners | None = None, **options: Any
) -> Answer:
    async def run() -> Answer:
        async with ApiClient(how or manners(time)) as client:
            return await client.get_json(url, {"q": "x"}, **options)

    return asyncio.run(run())


def failure(handler: Handler, kind: type[ApiError], **options: Any) -> tuple[str, int]:
    """The line of an error, and after how many requests it came."""
    with serving(handler) as server, pytest.raises(ApiError) as caught:
        get(server.url, **options)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    return str(caught.value), len(server.seen)
