"""Servers of one file on loopback, and what is asked of them."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from dcgan_assets.sources.fetch import Download, Patience, fetch
from dcgan_models.errors import UserError

CONTENT = np.random.default_rng(7).bytes(300_000)


PATIENT = Patience(waits=(1.0, 2.0, 4.0))


SWIFT = Patience(connect=60.0, read=60.0, total=120.0, waits=(0.0, 0.0, 0.0))


Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Gives the n-th request the n-th answer of its server; the last one repeats."""

    server: Server

    def do_GET(self) -> None:
        self.close_connection = True
        with self.server.lock:
            number = len(self.server.seen)
            self.server.seen.append((self.path, dict(self.headers.items())))
        answers = self.server.answers
        # The client hangs up when it has seen enough.
        with suppress(ConnectionError):
            answers[min(number, len(answers) - 1)](self)

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    # Closing then waits for every handler, so no thread outlives its test.
    daemon_threads = False

    def __init__(self, *answers: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.sent = 0
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}/digits.bin"

    @property
    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.seen]


@contextmanager
def serving(*answers: Answer) -> Iterator[Server]:
    server = Server(*answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def whole(handler: Handler) -> None:
    handler.head(200, Content_Length=len(CONTENT))
    handler.wfile.write(CONTENT)
    handler.server.sent += len(CONTENT)


def ranged(handler: Handler) -> None:
    """A server that honours Range."""
    match = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    if not match:
        return whole(handler)
    start, size = int(match[1]), len(CONTENT)
    rest = CONTENT[start:]
    handler.head(206, Content_Length=len(rest), Content_Range=f"bytes {start}-{size - 1}/{size}")
    handler.wfile.write(rest)
    handler.server.sent += len(rest)
    return None


def status(code: int, **headers: object) -> Answer:
    return lambda handler: handler.head(code, Content_Length=0, **headers)


def moved(location: str) -> Answer:
    return lambda handler: handler.head(302, Location=location, Content_Length=0)


def download(url: str, content: bytes = CONTENT) -> Download:
    digest = hashlib.sha256(content).hexdigest()
    return Download("digits.bin", url, len(content), digest, "CC0-1.0", "test bytes")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


def assert_by_hand(message: str, wanted: Download, folder: Path) -> None:
    assert "\n" not in message
    assert message.startswith("digits.bin: ")
    assert wanted.url in message
    assert (
        f"put digits.bin (300,000 bytes, sha256 {wanted.sha256}) into {folder} and run again"
        in message
    )


def failure(wanted: Download, folder: Path, patience: Patience = SWIFT) -> str:
    with pytest.raises(UserError) as caught:
        fetch(wanted, folder, patience=patience)
    assert not (folder / "digits.bin").exists()
    assert_by_hand(str(caught.value), wanted, folder)
    return str(caught.value)
