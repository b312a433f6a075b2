"""Public downloads as data: one file, one address, one known size and checksum.

A file is either whole and right or not there. What arrives goes to `NAME.part`, which a later
call resumes, and is renamed to `NAME` once its size and SHA-256 are the expected ones.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from filelock import FileLock, Timeout
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from dcgan_assets.sources.ip_addresses import is_loopback, is_public, literal
from dcgan_assets.sources.redaction import hide
from dcgan_assets.sources.retry_after import retry_after
from dcgan_models.errors import UserError
from dcgan_models.files import fsync_folder, put_new, remove_file, sha256_file

Progress = Callable[[int, int], None]

_BLOCK_BYTES = 1 << 16
_MAX_REDIRECTS = 5
_PRIVATE = "a private address"
# Characters of what is told of a server's answer, which may be long.
_TOLD = 400
# Answers that may be another one a moment later; any other 4xx will not change.
_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Download:
    """A public file that a source may fetch.

    Attributes:
        name: File name in the user's folder.
        url: Address; https, or http on a loopback address or with `plain_http`.
        size: Length in bytes.
        sha256: Hex SHA-256 of the bytes.
        licence: SPDX name of the licence, or the publisher's own words.
        about: One sentence that says what the file is.
        plain_http: The publisher has no valid https: others can see what is fetched, and the
            checksum alone vouches for the bytes.
    """

    name: str
    url: str
    size: int
    sha256: str
    licence: str
    about: str
    plain_http: bool = False


@dataclass(frozen=True)
class Patience:
    """How long `fetch` waits, in seconds.

    Attributes:
        connect: For a connection.
        read: For the next bytes of an answer.
        total: For the whole file, all tries together; also for another process that fetches it.
        waits: Pauses before the second, third, ... try. Their count is the count of retries;
            `Retry-After` goes before them.
        longest: A server that asks for a longer pause is not asked again.
        sleep: Spends a pause.
    """

    connect: float = 10.0
    read: float = 30.0
    total: float = 3600.0
    waits: tuple[float, ...] = (1.0, 4.0, 16.0)
    longest: float = 900.0
    sleep: Callable[[float], None] = time.sleep


_PATIENCE = Patience()


class _InterruptedError(Exception):
    """A try failed in a way that another one may mend, after `wait` seconds if the server says."""

    def __init__(self, problem: str, wait: float | None = None) -> None:
        super().__init__(problem)
        self.wait = wait


class _RefusedError(Exception):
    """No further try would help."""


def fetch(
    download: Download,
    folder: Path,
    on_progress: Progress | None = None,
    patience: Patience = _PATIENCE,
) -> Path:
    """Return the path of `download` in `folder`, fetching it when it is not there.

    A file of that name is never overwritten: the right one is returned without a request, a
    wrong one is an error. Two processes that ask for the same file fetch it once.

    Args:
        download: What to fetch.
        folder: Where it goes; made when missing.
        on_progress: Called with the bytes on disk so far and the size of the whole file.
        patience: Time limits and pauses.

    Raises:
        UserError: The address cannot be reached or is not allowed, the server's file is another
            one, a wrong file is in the way, or the folder cannot be written. The text says where
            to put the file by hand.
    """
    report = on_progress or _report_nothing
    target = folder / download.name
    try:
        if not target.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / f".{download.name}.lock", timeout=patience.total):
                # Another process may have brought it while this one waited for the lock.
                if not target.exists():
                    _transfer(download, target, report, patience)
                    return target
        _check_present(download, target)
    except Timeout as error:
        raise UserError(
            f"{target}: another process has been fetching it for {patience.total:g} s"
        ) from error
    except OSError as error:
        raise UserError(
            f"{error.filename or target}: cannot be written or read ({error.strerror})"
        ) from error
    report(download.size, download.size)
    return target


def _report_nothing(done: int, total: int) -> None:
    pass


def _check_present(download: Download, target: Path) -> None:
    problem = _difference(download, target)
    if problem:
        raise UserError(
            f"{target}: {problem}; it is left as it is, move it away and run again to fetch "
            f"{download.url}"
        )


def _difference(download: Download, path: Path) -> str | None:
    """What is wrong with the file's size or checksum, or None."""
    size = path.stat().st_size
    if size != download.size:
        return f"{size:,} bytes found, {download.size:,} expected"
    found = sha256_file(path)
    if found != download.sha256:
        return f"sha256 {found} found, {download.sha256} expected"
    return None


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Say that nothing is a redirect.

        Else requests reads the whole body of one, however long, even when told not to follow.
        """


class _Guard(HTTPAdapter):
    """The connections of one transfer: they end in time, and none leads from outside to inside.

    A limit of requests is one for each packet, and a server that trickles keeps every one of them.

    Args:
        publisher: Whom we ask ourselves, wherever that is; anybody else was named by a redirect.
        deadline: As `time.monotonic` tells it.
    """

    def __init__(self, publisher: str, deadline: float) -> None:
        self._publisher = publisher
        self._open: list[socket.socket] = []
        self._over = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(max(0.0, deadline - time.monotonic()), self._end)
        self._timer.daemon = True
        self._timer.start()
        super().__init__()

    def close(self) -> None:
        """Close all connections."""
        self._timer.cancel()
        self._end()
        super().close()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """As requests does, with connections that are looked at."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools()

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        """As requests does, with connections that are looked at."""
        manager = super().proxy_manager_for(*args, **options)
        if isinstance(manager, urllib3.ProxyManager):  # others have connections of their own
            manager.pool_classes_by_scheme = self._pools()
        return manager

    def admit(self, connection: HTTPConnection, sock: socket.socket) -> socket.socket:
        """A connection that was just made.

        Raises:
            _RefusedError: It leads inside, or comes too late.
        """
        peer = sock.getpeername()[0]
        with self._lock:
            inside = self._leads_inside(connection, peer)
            if not inside and not self._over:
                # TLS takes the socket over; this is another handle of the same connection.
                self._open.append(sock.dup())
                return sock
        sock.close()
        raise _RefusedError(f"{connection.host} is {peer}, {_PRIVATE}" if inside else "too late")

    def _leads_inside(self, connection: HTTPConnection, peer: str) -> bool:
        asked = connection.host == self._publisher or connection.proxy is not None
        both_here = is_loopback(connection.host) and is_loopback(self._publisher)
        return not (asked or both_here or is_public(ip_address(peer)))

    def _end(self) -> None:
        with self._lock:
            self._over = True
            for sock in self._open:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
                sock.close()
            self._open.clear()

    def _pools(self) -> dict[str, type[HTTPConnectionPool]]:
        guard = self

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return guard.admit(self, super()._new_conn())

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return guard.admit(self, super()._new_conn())

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        return {"http": PlainPool, "https": SecurePool}


def _transfer(download: Download, target: Path, report: Progress, patience: Patience) -> None:
    deadline = time.monotonic() + patience.total
    publisher = _host(download.url)
    with _Session() as session:
        # A proxy cannot reach this machine's own loopback addresses.
        session.trust_env = not is_loopback(publisher)
        guard = _Guard(publisher, deadline)
        for scheme in ("http://", "https://"):
            session.mount(scheme, guard)
        _Transfer(download, target, report, patience, deadline, session).run()


@dataclass(frozen=True)
class _Transfer:
    """The bringing of one file to `target`, all tries together."""

    download: Download
    target: Path
    report: Progress
    patience: Patience
    deadline: float
    session: requests.Session

    @property
    def part(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part")

    def run(self) -> None:
        """Try until the file is whole and right, then put it under its name."""
        tries = 1 + len(self.patience.waits)
        problem = ""
        asked: float | None = None
        for number, pause in enumerate((0.0, *self.patience.waits), 1):
            left = self.deadline - time.monotonic()
            if asked is not None and asked > min(self.patience.longest, left):
                break
            self.patience.sleep(max(0.0, min(pause if asked is None else asked, left)))
            try:
                self.try_once()
            except _InterruptedError as error:
                if time.monotonic() >= self.deadline:
                    raise self.by_hand(self.overdue) from error
                problem, asked = f"{error} (try {number} of {tries})", error.wait
            except _RefusedError as error:
                raise self.by_hand(str(error)) from error
            else:
                put_new(self.part, self.target)
                fsync_folder(self.target.parent)
                return
        raise self.by_hand(problem)

    def by_hand(self, problem: str) -> UserError:
        wanted = self.download
        return UserError(
            f"{wanted.name}: {hide(problem)[:_TOLD]}, from {wanted.url}; put {wanted.name} "
            f"({wanted.size:,} bytes, sha256 {wanted.sha256}) into {self.target.parent} "
            "and run again"
        )

    def try_once(self) -> None:
        """Bring the part to its full length, starting from what it holds, and check it."""
        size = self.download.size
        start = self.part.stat().st_size if self.part.exists() else 0
        if start < size:
            with self.request(start) as response:
                start = self.accepted_start(response, start)
                self.receive(response, start)
        problem = _difference(self.download, self.part)
        if problem:
            remove_file(self.part)
            # Bytes of an earlier answer may be the wrong ones; those of a single one stay wrong.
            raise (_InterruptedError if start else _RefusedError)(problem)

    def request(self, start: int) -> requests.Response:
        """Ask for the bytes from `start` on; follow redirects to allowed addresses."""
        headers = {"User-Agent": f"dcgan-assets/{_version()}", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        url = previous = self.download.url
        for _ in range(_MAX_REDIRECTS + 1):
            _check_address(url, previous, plain_http=self.download.plain_http)
            self.check_time()
            try:
                response = self.session.get(
                    url,
                    headers=headers,
                    stream=True,
                    timeout=(self.patience.connect, self.patience.read),
                    allow_redirects=False,
                )
            # requests lets some of urllib3's complaints about odd addresses through.
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                raise _InterruptedError(f"no answer ({type(error).__name__})") from error
            if not response.is_redirect:
                return response
            response.close()
            previous, url = url, _joined(url, response.headers["Location"])
        raise _RefusedError(f"more than {_MAX_REDIRECTS} redirects")

    def accepted_start(self, response: requests.Response, start: int) -> int:
        """Where the answer's bytes begin: at `start`, or at 0 when the server ignores Range."""
        status, size = response.status_code, self.download.size
        if start and status in (206, 416):
            expected = f"bytes {start}-{size - 1}/{size}"
            found = response.headers.get("Content-Range", "no Content-Range")
            if status == 206 and found in (expected, f"bytes {start}-{size - 1}/*"):
                return start
            # The part may be of another file; the next try asks for the whole one.
            remove_file(self.part)
            raise _InterruptedError(f"HTTP {status} with {found!r}, {expected!r} expected")
        if status in _TRANSIENT_STATUS:
            asked = retry_after(response.headers.get("Retry-After"), time.time())
            told = "" if asked is None else f", told to wait {asked:.0f} s"
            raise _InterruptedError(f"HTTP {status}{told}", asked)
        if status != 200:
            raise _RefusedError(f"HTTP {status}")
        offered = response.headers.get("Content-Length", str(size))
        if offered != str(size):
            told = offered if offered.isdecimal() else repr(offered)
            raise _RefusedError(f"{told} bytes offered, {size} expected")
        return 0

    def receive(self, response: requests.Response, start: int) -> None:
        """Write the answer's bytes to the part from `start` on, and flush them to disk."""
        done, size = start, self.download.size
        with self.part.open("ab" if start else "wb") as stream:
            self.report(done, size)
            for block in _blocks(response):
                if done + len(block) > size:
                    remove_file(self.part)
                    raise _RefusedError(f"more than {size:,} bytes sent")
                stream.write(block)
                done += len(block)
                self.report(done, size)
                self.check_time()
            stream.flush()
            os.fsync(stream.fileno())
        if done < size:
            raise _InterruptedError(f"the answer ended after {done:,} of {size:,} bytes")

    @property
    def overdue(self) -> str:
        return f"not complete after {self.patience.total:g} s (running again resumes)"

    def check_time(self) -> None:
        if time.monotonic() >= self.deadline:
            raise _RefusedError(self.overdue)


def _version() -> str:
    try:
        return version("dcgan-assets")
    except PackageNotFoundError:
        # A checkout that runs without being installed.
        return "unknown"


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise _RefusedError(f"redirected to {location!r}, which is no address") from error


def _check_address(url: str, previous: str, *, plain_http: bool) -> None:
    """Refuse what others on the way could read or change, and a way from outside to inside."""
    host = _host(url)
    local = is_loopback(host) and is_loopback(_host(previous))
    outward = plain_http and not is_loopback(host)
    if urlsplit(url).scheme not in (("https", "http") if local or outward else ("https",)):
        raise _RefusedError(f"{url!r} is not https (http is for loopback addresses only)")
    address = literal(host)
    inside = is_loopback(host) if address is None else not is_public(address)
    if inside and not local and url != previous:
        raise _RefusedError(f"redirected to {url!r}, {_PRIVATE}")


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _blocks(response: requests.Response) -> Iterator[bytes]:
    """The answer's bytes as they arrive, undecoded."""
    try:
        # `read1` returns what is there. `iter_content` would wait for a full block, and so let
        # a server that trickles outlive the total time limit.
        while block := response.raw.read1(_BLOCK_BYTES, decode_content=False):
            yield block
    except urllib3.exceptions.HTTPError as error:
        raise _InterruptedError(f"the answer broke off ({type(error).__name__})") from error
