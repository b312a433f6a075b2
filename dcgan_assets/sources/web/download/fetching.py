"""One request: a picture or a robots.txt, with every bound on time, size and place."""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from dcgan_assets.sources.redaction import hide
from dcgan_assets.sources.retry_after import retry_after
from dcgan_assets.sources.web.addresses import joined, origin_of
from dcgan_assets.sources.web.clock import Clock
from dcgan_assets.sources.web.contact import PRODUCT, user_agent
from dcgan_assets.sources.web.content import Arrival
from dcgan_assets.sources.web.download.ledger import Ledger
from dcgan_assets.sources.web.download.robots import MAX_BYTES, Robots, opted_out, parse_robots
from dcgan_assets.sources.web.resolver import CheckedResolver
from dcgan_assets.sources.web.wanted import Limits, Reason, RejectedError, TransientError

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Answers that may be another one a moment later; any other 4xx will not change.
_TRANSIENT = frozenset({408, 425, 429})
_TEXT = {"Accept": "text/plain"}
_ROBOTS_SECONDS = 24 * 3600
# The longest takes 36 MiB; the ledger has the texts of all.
_PARSED_ROBOTS = 64


@dataclass(frozen=True)
class Surroundings:
    """What the downloader takes from the world around it.

    Attributes:
        clock: The time.
        resolver: Looks names up; its answers are checked whatever it is.
        tls: Whom https trusts; by default whom this machine does.
    """

    clock: Clock = field(default_factory=Clock)
    resolver: Callable[[], AbstractResolver] = aiohttp.ThreadedResolver
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True)
class Redirect:
    """Where a server says that the picture is."""

    url: URL


class Fetcher:
    """Asks servers; a context that holds the connections.

    Args:
        limits: Bounds on each request.
        ledger: Keeps robots.txt files for a day.
        around: See `Surroundings`.

    Raises:
        UserError: There is no contact.
    """

    def __init__(self, limits: Limits, ledger: Ledger, around: Surroundings) -> None:
        self._limits = limits
        self._ledger = ledger
        self._around = around
        self._allowed = frozenset(limits.allow_private)
        self._robots: OrderedDict[str, tuple[float, Robots]] = OrderedDict()
        self._asking: dict[str, asyncio.Lock] = {}
        self._headers = {
            "User-Agent": user_agent(limits.contact),
            # A few kilobytes of gzip become gigabytes; pictures are compressed already.
            "Accept-Encoding": "identity",
            "Accept": "image/*",
        }

    async def __aenter__(self) -> Fetcher:
        resolver = CheckedResolver(self._around.resolver(), self._allowed)
        connector = aiohttp.TCPConnector(
            resolver=resolver,
            ssl=self._around.tls or True,  # aiohttp's own context trusts whom this machine does
            limit=0,  # how many there are is decided by whoever calls
            ttl_dns_cache=60,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,  # no proxy that would do the connecting, unchecked
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._limits.connect),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def picture(self, url: URL, arrival: Arrival, seconds: float) -> Redirect | None:
        """Ask for a picture, or where it is.

        Args:
            url: From `parse_address`.
            arrival: Gets the bytes.
            seconds: In which all of it must have come.

        Raises:
            RejectedError: It will not be had.
            TransientError: Not now.
        """
        async with self._answer(url, seconds) as (response, limit):
            if response.status in _REDIRECTS:
                return Redirect(self._redirect(url, response))
            self._check_passing(response)
            if response.status != 200:
                raise RejectedError(Reason.STATUS, f"HTTP {response.status}")
            self._check_headers(response)
            async for block in self._blocks(response, limit):
                arrival.add(block)
                if arrival.size > self._limits.max_bytes:
                    raise RejectedError(Reason.LARGE, f"over {self._limits.max_bytes:,} bytes")
        return None

    async def robots(self, url: URL) -> Robots:
        """The rules that the server of `url` has for us, at most a day old.

        A server without a robots.txt (4xx) has none. While one cannot be asked (5xx, timeouts)
        nothing else is fetched from it: RFC 9309, 2.3.1.

        Raises:
            TransientError: `robots.txt unreachable`, for now.
            RejectedError: `robots.txt`: it leads somewhere that is not asked.
        """
        origin = origin_of(url)
        robots = self._parsed(origin)
        if robots is not None:
            return robots
        lock = self._asking.setdefault(origin, asyncio.Lock())
        try:
            async with lock:
                robots = self._parsed(origin)
                if robots is None:
                    until = self._around.clock.wall() + _ROBOTS_SECONDS
                    robots = await self._known_or_asked(origin, url)
                    self._robots[origin] = (until, robots)
                    if len(self._robots) > _PARSED_ROBOTS:
                        self._robots.popitem(last=False)
                return robots
        finally:
            if not lock.locked():
                self._asking.pop(origin, None)

    def _parsed(self, origin: str) -> Robots | None:
        until, robots = self._robots.get(origin, (0.0, None))
        return robots if self._around.clock.wall() < until else None

    async def _known_or_asked(self, origin: str, url: URL) -> Robots:
        now = int(self._around.clock.wall())
        content = self._ledger.robots(origin, now - _ROBOTS_SECONDS)
        if content is None:
            try:
                content = await self._ask_robots(url.origin() / "robots.txt")
            except TransientError as error:
                detail = f"{error.reason}: {error.detail}"
                raise TransientError(Reason.NO_ROBOTS, detail, error.wait) from error
            except RejectedError as error:
                if error.reason in {Reason.PRIVATE, Reason.TLS}:
                    raise
                raise RejectedError(Reason.ROBOTS, f"{error.reason}: {error.detail}") from error
            self._ledger.keep_robots(origin, content, now)
        return parse_robots(content, PRODUCT)

    async def _ask_robots(self, url: URL) -> bytes:
        """The file, its first 500 KiB, or nothing where there is none."""
        for _ in range(MAX_REDIRECTS + 1):
            async with self._answer(url, self._limits.deadline, _TEXT) as answer:
                response, limit = answer
                if response.status in _REDIRECTS:
                    url = self._redirect(url, response)
                    continue
                self._check_passing(response)
                if response.status != 200:
                    return b""
                if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                    raise RejectedError(Reason.ENCODED, "")
                content = bytearray()
                async for block in self._blocks(response, limit):
                    content += block
                    if len(content) > MAX_BYTES:
                        break
                return bytes(content[: MAX_BYTES + 1])
        return b""  # RFC 9309, 2.3.1.2: after five redirects it counts as unavailable

    @asynccontextmanager
    async def _answer(
        self, url: URL, seconds: float, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, asyncio.Timeout]]:
        with _explained(seconds):
            async with asyncio.timeout(seconds) as limit:
                response = await self._session.get(url, allow_redirects=False, headers=headers)
                try:
                    yield response, limit
                finally:
                    # Where the body was not read to its end, this closes the connection.
                    response.release()

    async def _blocks(
        self, response: aiohttp.ClientResponse, limit: asyncio.Timeout
    ) -> AsyncIterator[bytes]:
        """The body as it comes; each block gives the following ones a little more time."""
        loop = asyncio.get_running_loop()
        last = limit.when()
        assert last is not None  # noqa: S101
        started, size, until = loop.time(), 0, 0.0
        rate, grace = self._limits.min_rate, self._limits.grace
        while True:
            # Moving a timer costs as much as reading a block, so not for each, and not where all
            # is here.
            if not response.content.is_eof() and until < loop.time() + grace / 2:
                until = started + grace + size / rate
                limit.reschedule(min(last, until))
            block = await response.content.readany()
            if not block:
                return
            size += len(block)
            yield block

    def _redirect(self, url: URL, response: aiohttp.ClientResponse) -> URL:
        location = response.headers.get("Location")
        if location is None:
            raise RejectedError(Reason.REDIRECTS, f"HTTP {response.status} without Location")
        return joined(url, hide(location), self._allowed)

    def _check_passing(self, response: aiohttp.ClientResponse) -> None:
        status = response.status
        if status in _TRANSIENT or status >= 500:
            wait = retry_after(response.headers.get("Retry-After"), self._around.clock.wall())
            raise TransientError(Reason.STATUS, f"HTTP {status}", wait)

    def _check_headers(self, response: aiohttp.ClientResponse) -> None:
        signal = opted_out(response.headers, PRODUCT)
        if signal:
            raise RejectedError(Reason.OPTED_OUT, hide(signal))
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            raise RejectedError(Reason.ENCODED, hide(encoding)[:40])
        length = response.content_length
        if length is not None and length > self._limits.max_bytes:
            raise RejectedError(Reason.LARGE, f"{length:,} bytes")


@contextmanager
def _explained(seconds: float) -> Iterator[None]:
    """Turn what aiohttp raises into why a picture is not had."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError:
        raise TransientError(Reason.NO_ANSWER, "no connection in time") from None
    except TimeoutError:
        raise TransientError(Reason.SLOW, "not complete in time") from None
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError) as error:
        raise RejectedError(Reason.TLS, type(error).__name__) from None
    except aiohttp.ClientConnectorDNSError:
        raise TransientError(Reason.NO_ANSWER, "no such host") from None
    except aiohttp.InvalidURL as error:
        raise RejectedError(Reason.BAD_ADDRESS, str(error)[:200]) from None
    except aiohttp.ClientPayloadError:
        raise TransientError(Reason.BROKEN_OFF, "the answer ended early") from None
    except (aiohttp.ClientError, ConnectionError) as error:
        raise TransientError(Reason.NO_ANSWER, type(error).__name__) from None
