"""A polite client for a handful of fixed web APIs: SPARQL endpoints and image searches.

It says who the operator is, keeps a pause between two requests to a host, waits as long as a
server asks it to, tries again what may go well a moment later, and reads no more than a fixed
number of bytes. Requests run one after another, as Wikimedia asks of its API's users. What goes
wrong is an `ApiError` of a kind that says what the caller can do about it.
"""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver

from dcgan_assets.sources.redaction import hide, hide_bytes
from dcgan_assets.sources.web.addresses import parse_address
from dcgan_assets.sources.web.clock import Clock
from dcgan_assets.sources.web.contact import user_agent
from dcgan_assets.sources.web.resolver import CheckedResolver
from dcgan_assets.sources.web.search.answers import (
    Answer,
    ApiError,
    Judge,
    MalformedError,
    RefusedError,
    TooLargeError,
    TransientError,
    UnavailableError,
    trust,
)
from dcgan_assets.sources.web.wanted import RejectedError
from dcgan_models.errors import UserError

_LOG = logging.getLogger(__name__)
_CLOCK = Clock()
_BLOCK_BYTES = 1 << 16
_MAX_REDIRECTS = 3
_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
# What a host's own rules ask for, whatever the user's setting.
_LEAST_PAUSES = {"musicbrainz.org": 1.0}


@dataclass(frozen=True)
class Patience:
    """How long the client waits, in seconds, and how much it reads.

    Attributes:
        connect: For a connection.
        read: For one whole answer. Wikidata computes for at most 60 s, DBpedia for 120 s.
        total: For one request, all tries and pauses together.
        waits: Pauses before the second, third, ... try; `Retry-After` goes before them.
        max_bytes: Of one answer, decompressed.
    """

    connect: float = 10.0
    read: float = 150.0
    total: float = 900.0
    waits: tuple[float, ...] = (5.0, 15.0, 60.0, 120.0)
    max_bytes: int = 32 << 20


@dataclass(frozen=True)
class Manners:
    """How APIs are asked, and by whom.

    Attributes:
        contact: The operator's mail address or web page, for those who run the servers.
        pause: Least seconds between the starts of two requests to a host.
        allow_private: Lets http and private hosts through. For tests alone, and said in the log.
        resolver: Looks names up; unless `allow_private` is on, what it says is checked.
    """

    contact: str
    pause: float = 1.0
    patience: Patience = field(default_factory=Patience)
    clock: Clock = _CLOCK
    allow_private: bool = False
    resolver: Callable[[], AbstractResolver] = aiohttp.ThreadedResolver

    def user_agent(self) -> str:
        """What the client calls itself: this program, its version, and whom to write to.

        Raises:
            UserError: There is no contact, or none that can be used.
        """
        return user_agent(self.contact)

    def endpoint(self, url: str, setting: str) -> str:
        """Return an API's address when it is https on a public host.

        What its name leads to is looked at when it is asked.

        Raises:
            UserError: It is not, and `allow_private` is off.
        """
        if not self._allows(url):
            raise UserError(f"{setting}: {url!r} is not allowed; https on a public host is")
        return url

    def _allows(self, url: str) -> bool:
        if self.allow_private:
            return urlsplit(url).scheme in ("http", "https")
        try:
            return parse_address(url).scheme == "https"
        except RejectedError:
            return False

    def connector(self) -> aiohttp.TCPConnector:
        """Connections to the machines that may be asked, whatever DNS says of their names."""
        resolver = self.resolver()
        if not self.allow_private:
            resolver = CheckedResolver(resolver, frozenset())
        return aiohttp.TCPConnector(resolver=resolver)


class ApiClient:
    """One session for all APIs of a run; use it as an async context manager.

    Raises:
        UserError: There is no contact.
    """

    _session: aiohttp.ClientSession

    def __init__(self, manners: Manners) -> None:
        self._agent = manners.user_agent()
        self._manners = manners
        self._patience = manners.patience
        self._clock = manners.clock
        self._next: dict[str, float] = {}
        self.requests = 0
        if manners.allow_private:
            _LOG.warning("allow_private is on: http and private hosts are fetched; for tests alone")

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=self._manners.connector(),
            headers={"User-Agent": self._agent, "Accept-Encoding": "gzip"},
            # No proxy, netrc or cookie of whoever runs this goes along.
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get_json(
        self,
        url: str,
        parameters: Mapping[str, str],
        *,
        headers: Mapping[str, str] | None = None,
        judge: Judge = trust,
        post: bool = False,
        follow: tuple[str, ...] = (),
    ) -> Answer:
        """Ask until there is an answer of status 200 whose body is JSON.

        Args:
            parameters: Of the query; of the body with `post`.
            headers: Beside the client's own. They are not logged, and not sent to another host.
            judge: Looks at every answer first. It raises a `TransientError` or `MalformedError`
                to try again, and any other `ApiError`, or a `UserError`, to give up.
            follow: Domains to which redirects may lead, beside the host itself.

        Raises:
            UnavailableError: Every try failed; the text tells how the last one did.
            RefusedError: A status other than 200 that another try will not change.
            TooLargeError: The answer is larger than the client reads.
            MalformedError: The last try got something that is no JSON, or JSON cut off.
        """
        self._manners.endpoint(url, "endpoint")
        call = _Call(url, dict(parameters), dict(headers or {}), judge, post, follow)
        deadline = self._clock.now() + self._patience.total
        tries = 1 + len(self._patience.waits)
        problem: ApiError = UnavailableError(f"{call.host}: no try")
        wait: float | None = None
        for number, pause in enumerate((0.0, *self._patience.waits), 1):
            if not await self._waited(pause if wait is None else wait, deadline):
                break
            try:
                return await self._try(call, deadline)
            except TransientError as error:
                problem, wait = UnavailableError(f"{call.host}: {error}"), error.wait
            except MalformedError as error:
                problem, wait = type(error)(f"{call.host}: {error}"), None
            _LOG.info("%s (try %d of %d)", problem, number, tries)
        raise problem

    async def _waited(self, seconds: float, deadline: float) -> bool:
        """Sleep, unless the deadline comes first: a server may ask for hours."""
        if self._clock.now() + seconds > deadline:
            return False
        if seconds > 0:
            await self._clock.sleep(seconds)
        return True

    async def _try(self, call: _Call, deadline: float) -> Answer:
        url = call.url
        for _ in range(_MAX_REDIRECTS + 1):
            await self._keep_pace(urlsplit(url).hostname or "", deadline)
            answer = await self._request(url, call, deadline)
            if answer.status not in (301, 302, 303, 307, 308):
                return self._judged(answer, call)
            url = call.redirected(url, answer.headers.get("Location", ""))
        raise RefusedError(f"{call.host}: more than {_MAX_REDIRECTS} redirects")

    async def _keep_pace(self, host: str, deadline: float) -> None:
        now = self._clock.now()
        wait = self._next.get(host, now) - now
        if wait > 0 and not await self._waited(wait, deadline):
            raise UnavailableError(f"{host}: asked to wait for {wait:.0f} s, longer than we do")
        self._next[host] = self._clock.now() + max(
            self._manners.pause, _LEAST_PAUSES.get(host, 0.0)
        )

    async def _request(self, url: str, call: _Call, deadline: float) -> Answer:
        own = urlsplit(url).hostname == call.host
        content = {"data" if call.post else "params": call.parameters} if url == call.url else {}
        self.requests += 1
        try:
            async with self._session.request(
                "POST" if call.post and own else "GET",
                url,
                headers=call.headers if own else {},
                allow_redirects=False,
                timeout=self._timeout(deadline),
                **content,  # type: ignore[arg-type]
            ) as response:
                body = hide_bytes(await self._body(response))
                # A server may send back what it was sent, a key as well.
                headers = response.headers.copy()
                for name, text in response.headers.items():
                    headers[name] = hide(text)
                return Answer(url, response.status, headers, body)
        except RejectedError as error:
            raise RefusedError(f"{error.reason}: {error.detail}") from None
        # What aiohttp says of a request may hold its headers, and a key with them.
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            name = type(error).__name__
            raise TransientError(f"no whole answer ({name})") from None

    def _timeout(self, deadline: float) -> aiohttp.ClientTimeout:
        left = max(deadline - self._clock.now(), 0.1)
        return aiohttp.ClientTimeout(
            total=min(self._patience.read, left), sock_connect=self._patience.connect
        )

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """The body, decompressed here: a few kilobytes of gzip may hold gigabytes."""
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        if encoding not in ("identity", "gzip"):
            raise MalformedError(f"content encoding {encoding!r}, which was not asked for")
        most = self._patience.max_bytes
        plain, inflate = bytearray(), zlib.decompressobj(wbits=31)
        async for block in response.content.iter_chunked(_BLOCK_BYTES):
            room = most + 1 - len(plain)
            try:
                plain += inflate.decompress(block, room) if encoding == "gzip" else block
            except zlib.error:
                raise MalformedError("damaged gzip") from None
            if len(plain) > most:
                raise TooLargeError(f"more than {most:,} bytes in one answer")
        if encoding == "gzip" and plain and not inflate.eof:
            raise TransientError("gzip cut off")
        return bytes(plain)

    def _judged(self, answer: Answer, call: _Call) -> Answer:
        host = urlsplit(answer.url).hostname or ""
        asked = answer.retry_after
        if asked is not None:
            self._next[host] = max(self._next.get(host, 0.0), self._clock.now() + asked)
        call.judge(answer)
        if answer.status in _TRANSIENT_STATUS:
            told = "" if asked is None else f", told to wait {asked:.0f} s"
            raise TransientError(f"HTTP {answer.status}{told}", asked)
        if answer.status != 200:
            words = " ".join(answer.body[:120].decode("utf-8", "replace").split())
            raise RefusedError(f"{host}: HTTP {answer.status} ({words!r})", answer.status)
        _ = answer.json
        return answer


@dataclass(frozen=True)
class _Call:
    """One request as it was asked for, before redirects."""

    url: str
    parameters: dict[str, str]
    headers: dict[str, str] = field(repr=False)
    judge: Judge
    post: bool
    follow: tuple[str, ...]

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    def redirected(self, url: str, location: str) -> str:
        """Where a redirect leads; from https never to http, which the archives still write.

        Raises:
            RefusedError: To no address, or to a host that this API does not use.
        """
        try:
            target = urljoin(url, location)
            host = urlsplit(target).hostname or ""
        except ValueError:
            target, host = "", ""
        known = (self.host, *self.follow)
        if not any(host == domain or host.endswith(f".{domain}") for domain in known):
            raise RefusedError(
                f"{self.host}: redirected to {location[:120]!r}, not a host of this API"
            )
        secure = self.url.startswith("https:")
        return re.sub(r"^http:", "https:", target) if secure else target
