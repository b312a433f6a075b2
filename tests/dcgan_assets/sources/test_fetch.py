"""`fetch` against real HTTP servers on 127.0.0.1 that behave well, badly and not at all."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import filelock
import numpy as np
import pytest
from checkout import CHECKOUT

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


def cut_after(count: int) -> Answer:
    def answer(handler: Handler) -> None:
        handler.head(200, Content_Length=len(CONTENT))
        handler.wfile.write(CONTENT[:count])

    return answer


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


def test_whole_file_with_progress_and_headers(tmp_path: Path) -> None:
    folder = tmp_path / "raw" / "mnist"
    calls: list[tuple[int, int]] = []
    with serving(ranged) as server:
        path = fetch(download(server.url), folder, lambda *call: calls.append(call), SWIFT)
    assert path == folder / "digits.bin"
    assert path.read_bytes() == CONTENT
    assert names(folder) == {"digits.bin"}
    assert calls[0] == (0, len(CONTENT))
    assert calls[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    (_, headers), *others = server.seen
    assert not others
    assert headers["Accept-Encoding"] == "identity"
    assert headers["User-Agent"].startswith("dcgan-assets/")
    assert "Range" not in headers


def test_right_file_is_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "digits.bin").write_bytes(CONTENT)
    calls: list[tuple[int, int]] = []
    with serving(whole) as server:
        fetch(download(server.url), tmp_path, lambda *call: calls.append(call), SWIFT)
    assert not server.seen
    assert calls == [(len(CONTENT), len(CONTENT))]
    assert {path.name for path in tmp_path.iterdir()} == {"digits.bin"}


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (CONTENT[:-1], "299,999 bytes found, 300,000 expected"),
        (CONTENT[::-1], f"sha256 {hashlib.sha256(CONTENT[::-1]).hexdigest()} found"),
    ],
)
def test_wrong_file_in_the_way_is_left_alone(tmp_path: Path, wrong: bytes, found: str) -> None:
    (tmp_path / "digits.bin").write_bytes(wrong)
    with serving(whole) as server, pytest.raises(UserError) as caught:
        fetch(download(server.url), tmp_path, patience=SWIFT)
    assert str(tmp_path / "digits.bin") in str(caught.value)
    assert found in str(caught.value)
    assert not server.seen
    assert (tmp_path / "digits.bin").read_bytes() == wrong


def test_part_of_an_earlier_run_is_resumed(tmp_path: Path) -> None:
    (tmp_path / "digits.bin.part").write_bytes(CONTENT[:100_000])
    calls: list[tuple[int, int]] = []
    with serving(ranged) as server:
        path = fetch(download(server.url), tmp_path, lambda *call: calls.append(call), SWIFT)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=100000-"]
    assert server.sent == 200_000
    assert calls[0] == (100_000, 300_000)
    assert names(tmp_path) == {"digits.bin"}


def test_range_ignored_restarts_cleanly(tmp_path: Path) -> None:
    (tmp_path / "digits.bin.part").write_bytes(b"x" * 100_000)
    with serving(whole) as server:
        path = fetch(download(server.url), tmp_path, patience=SWIFT)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=100000-"]


def test_cut_off_in_the_middle_then_resumed(tmp_path: Path) -> None:
    with serving(cut_after(123_456), ranged) as server:
        path = fetch(download(server.url), tmp_path, patience=SWIFT)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=123456-"]
    assert server.sent == len(CONTENT) - 123_456


def test_cut_off_every_time_keeps_the_part_for_the_next_run(tmp_path: Path) -> None:
    with serving(cut_after(50_000)) as server:
        message = failure(download(server.url), tmp_path)
        assert "broke off" in message
        assert "try 4 of 4" in message
        assert len(server.seen) == 4
    with serving(ranged) as server:
        fetch(download(server.url), tmp_path, patience=SWIFT)
    assert server.ranges == ["bytes=50000-"]


def test_silent_server_is_left_after_the_read_limit_and_resumed(tmp_path: Path) -> None:
    left = threading.Event()

    def silent(handler: Handler) -> None:
        handler.head(200, Content_Length=len(CONTENT))
        handler.wfile.write(CONTENT[:1000])
        assert left.wait(60)

    def after(handler: Handler) -> None:
        left.set()
        ranged(handler)

    with serving(silent, after) as server:
        path = fetch(download(server.url), tmp_path, patience=replace(SWIFT, read=1.0))
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-"]


def test_trickling_server_is_left_after_the_total_limit(tmp_path: Path) -> None:
    left = threading.Event()

    def trickle(handler: Handler) -> None:
        handler.head(200, Content_Length=len(CONTENT))
        for position in range(1000):
            handler.wfile.write(CONTENT[position : position + 1])
            if left.wait(0.05):
                return

    with serving(trickle) as server:
        try:
            message = failure(download(server.url), tmp_path, replace(SWIFT, total=1.0))
        finally:
            left.set()
    assert "not complete after 1 s" in message
    part = (tmp_path / "digits.bin.part").read_bytes()
    assert 0 < len(part) < 100
    assert CONTENT.startswith(part)


@pytest.mark.parametrize("first", [416, 206])
def test_server_that_cannot_resume_is_asked_for_the_whole(tmp_path: Path, first: int) -> None:
    (tmp_path / "digits.bin.part").write_bytes(CONTENT[:100_000])

    def unusable(handler: Handler) -> None:
        # 206 of a longer file: its bytes would not fit ours.
        span = "bytes */300000" if first == 416 else "bytes 100000-399999/400000"
        handler.head(first, Content_Range=span, Content_Length=0)

    with serving(unusable, ranged) as server:
        path = fetch(download(server.url), tmp_path, patience=SWIFT)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=100000-", None]


def test_206_that_starts_elsewhere_is_not_appended(tmp_path: Path) -> None:
    (tmp_path / "digits.bin.part").write_bytes(CONTENT[:100_000])

    def elsewhere(handler: Handler) -> None:
        handler.head(206, Content_Range="bytes 0-299999/300000", Content_Length=len(CONTENT))
        handler.wfile.write(CONTENT)

    with serving(elsewhere, ranged) as server:
        path = fetch(download(server.url), tmp_path, patience=SWIFT)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=100000-", None]


@pytest.mark.parametrize("length", [1000, len(CONTENT), len(CONTENT) + 5])
def test_foreign_part_is_dropped_and_the_file_fetched_afresh(tmp_path: Path, length: int) -> None:
    (tmp_path / "digits.bin.part").write_bytes(b"\1" * length)
    with serving(ranged) as server:
        path = fetch(download(server.url), tmp_path, patience=SWIFT)
    assert path.read_bytes() == CONTENT
    assert server.ranges == (["bytes=1000-", None] if length == 1000 else [None])


def test_whole_part_needs_no_request(tmp_path: Path) -> None:
    (tmp_path / "digits.bin.part").write_bytes(CONTENT)
    with serving(status(404)) as server:
        path = fetch(download(server.url), tmp_path, patience=SWIFT)
    assert path.read_bytes() == CONTENT
    assert not server.seen


def test_wrong_offered_length_is_refused_before_any_byte(tmp_path: Path) -> None:
    wanted = CONTENT + b"more"

    def longer(handler: Handler) -> None:
        handler.head(200, Content_Length=len(wanted))

    with serving(longer) as server:
        assert "300004 bytes offered, 300000 expected" in failure(download(server.url), tmp_path)
        assert len(server.seen) == 1
    assert names(tmp_path) == set()


@pytest.mark.parametrize("chunked", [False, True])
def test_endless_body_without_a_length_is_stopped(tmp_path: Path, chunked: bool) -> None:
    def endless(handler: Handler) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.head(200, **({"Transfer_Encoding": "chunked"} if chunked else {}))
        while handler.server.sent < 1 << 30:
            handler.wfile.write(b"4000\r\n" + bytes(0x4000) + b"\r\n" if chunked else bytes(0x4000))
            handler.server.sent += 0x4000

    with serving(endless) as server:
        assert "more than 300,000 bytes sent" in failure(download(server.url), tmp_path)
    # The socket buffers of both sides hold a few MB; the client hung up long before 1 GiB.
    assert server.sent < 1 << 26
    assert len(server.seen) == 1
    assert names(tmp_path) == set()


def test_chunked_body_arrives_whole(tmp_path: Path) -> None:
    def chunked(handler: Handler) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.head(200, Transfer_Encoding="chunked")
        handler.wfile.write(b"%x\r\n" % len(CONTENT) + CONTENT + b"\r\n0\r\n\r\n")

    with serving(chunked) as server:
        assert fetch(download(server.url), tmp_path, patience=SWIFT).read_bytes() == CONTENT


def test_content_encoding_is_not_decoded(tmp_path: Path) -> None:
    # Object stores label .gz files so; the file wanted is the .gz file.
    def labelled(handler: Handler) -> None:
        handler.head(200, Content_Length=len(CONTENT), Content_Encoding="gzip")
        handler.wfile.write(CONTENT)

    with serving(labelled) as server:
        assert fetch(download(server.url), tmp_path, patience=SWIFT).read_bytes() == CONTENT


def test_wrong_checksum_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with serving(ranged) as server:
        wanted = replace(download(server.url), sha256="0" * 64)
        message = failure(wanted, tmp_path)
        assert f"sha256 {hashlib.sha256(CONTENT).hexdigest()} found, {'0' * 64} expected" in message
        assert len(server.seen) == 1
    assert names(tmp_path) == set()


@pytest.mark.parametrize("code", [403, 404, 410])
def test_lasting_refusal_is_not_retried(tmp_path: Path, code: int) -> None:
    with serving(status(code)) as server:
        assert f"HTTP {code}" in failure(download(server.url), tmp_path)
        assert len(server.seen) == 1


@pytest.mark.parametrize("code", [429, 500, 503])
def test_passing_refusal_is_retried(tmp_path: Path, code: int) -> None:
    with serving(status(code), status(code), whole) as server:
        assert fetch(download(server.url), tmp_path, patience=SWIFT).read_bytes() == CONTENT
    assert len(server.seen) == 3


def test_retry_after_goes_before_our_own_pauses(tmp_path: Path) -> None:
    """Seconds, then a date, which is of whole seconds; then a pause of ours."""
    slept: list[float] = []
    began = dt.datetime.now(dt.UTC)
    date = format_datetime(began + dt.timedelta(seconds=120), usegmt=True)
    answers = (status(429, Retry_After="33"), status(503, Retry_After=date), status(500), whole)
    with serving(*answers) as server:
        fetch(download(server.url), tmp_path, patience=replace(PATIENT, sleep=slept.append))
    passed = (dt.datetime.now(dt.UTC) - began).total_seconds()
    assert slept[:2] == [0.0, 33.0]
    assert 118.9 - passed < slept[2] <= 120
    assert slept[3:] == [4.0]
    assert (tmp_path / "digits.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("value", ["soon", "", "-5", "9" * 400])
def test_retry_after_that_nobody_can_read_is_none(tmp_path: Path, value: str) -> None:
    slept: list[float] = []
    with serving(status(503, Retry_After=value), whole) as server:
        fetch(download(server.url), tmp_path, patience=replace(PATIENT, sleep=slept.append))
    assert slept == [0.0, 1.0]


def test_a_server_that_asks_for_hours_is_left(tmp_path: Path) -> None:
    slept: list[float] = []
    with serving(status(429, Retry_After="86400"), whole) as server:
        patience = replace(PATIENT, sleep=slept.append)
        message = failure(download(server.url), tmp_path, patience)
    assert "HTTP 429, told to wait 86400 s (try 1 of 4)" in message
    assert slept == [0.0]
    assert len(server.seen) == 1


def test_a_server_that_asks_for_time_again_and_again_is_left(tmp_path: Path) -> None:
    slept: list[float] = []
    with serving(status(429, Retry_After="60")) as server:
        patience = replace(PATIENT, sleep=slept.append)
        message = failure(download(server.url), tmp_path, patience)
    assert "HTTP 429, told to wait 60 s (try 4 of 4)" in message
    assert slept == [0.0, 60.0, 60.0, 60.0]
    assert len(server.seen) == 4


def test_dead_port(tmp_path: Path) -> None:
    with socket.socket() as taken:
        # Bound and not listening: nobody else can take the port, and it refuses.
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/digits.bin"
        assert "no answer (ConnectionError) (try 4 of 4)" in failure(download(url), tmp_path)


def test_proxy_of_the_environment_is_not_asked_for_loopback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with serving(whole) as server:
        assert fetch(download(server.url), tmp_path, patience=SWIFT).read_bytes() == CONTENT


def test_redirect_between_loopback_addresses_is_followed(tmp_path: Path) -> None:
    with serving(ranged) as end, serving(moved(end.url)) as start:
        (tmp_path / "digits.bin.part").write_bytes(CONTENT[:100_000])
        path = fetch(download(start.url), tmp_path, patience=SWIFT)
    assert path.read_bytes() == CONTENT
    assert end.ranges == ["bytes=100000-"]


@pytest.mark.parametrize(
    ("location", "named"),
    [
        ("http://192.0.2.1/digits.bin", "is not https"),
        ("ftp://127.0.0.1/digits.bin", "is not https"),
        ("file:///etc/hostname", "is not https"),
        ("http://[half/digits.bin", "no address"),
    ],
)
def test_redirect_elsewhere_is_refused(tmp_path: Path, location: str, named: str) -> None:
    with serving(moved(location)) as server:
        message = failure(download(server.url), tmp_path)
        assert named in message
        assert repr(location) in message
        assert len(server.seen) == 1


def test_body_of_a_redirect_is_not_read(tmp_path: Path) -> None:
    def talkative(handler: Handler) -> None:
        handler.head(302, Location="/elsewhere")
        while handler.server.sent < 1 << 30:
            handler.wfile.write(bytes(0x4000))
            handler.server.sent += 0x4000

    with serving(talkative, whole) as server:
        assert fetch(download(server.url), tmp_path, patience=SWIFT).read_bytes() == CONTENT
    assert server.sent < 1 << 26
    assert [path for path, _ in server.seen] == ["/digits.bin", "/elsewhere"]


def test_redirect_in_a_circle_ends(tmp_path: Path) -> None:
    with serving(moved("/digits.bin")) as server:
        assert "more than 5 redirects" in failure(download(server.url), tmp_path)
        assert len(server.seen) == 6


@pytest.mark.parametrize("location", [f"https://{'a' * 300}/", "http://127.0.0.1:99999/"])
def test_redirect_to_an_impossible_address(tmp_path: Path, location: str) -> None:
    with serving(moved(location)) as server:
        assert "no answer (" in failure(download(server.url), tmp_path)


@pytest.mark.parametrize("url", ["http://192.0.2.1/digits.bin", "ftp://127.0.0.1/digits.bin"])
def test_only_https_and_loopback_addresses_are_asked(tmp_path: Path, url: str) -> None:
    assert "is not https" in failure(download(url), tmp_path)


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(b"")
    with serving(whole) as server, pytest.raises(UserError, match=r"raw.*cannot be written"):
        fetch(download(server.url), tmp_path / "raw", patience=SWIFT)
    assert not server.seen


OTHER_PROCESS = """
import json, pathlib, sys
from dcgan_assets.sources.fetch import Download, fetch
fetch(Download(**json.loads(sys.argv[1])), pathlib.Path(sys.argv[2]))
"""


def test_two_processes_fetch_the_file_once(tmp_path: Path) -> None:
    arrived, go = threading.Event(), threading.Event()

    def held(handler: Handler) -> None:
        arrived.set()
        assert go.wait(120)
        whole(handler)

    with serving(held) as server:
        wanted = download(server.url)
        command = [sys.executable, "-c", OTHER_PROCESS, json.dumps(vars(wanted)), str(tmp_path)]
        with subprocess.Popen(command, cwd=CHECKOUT) as other:
            try:
                assert arrived.wait(120)
                # The other process is in the middle: this one has to wait, and says so.
                with pytest.raises(UserError, match="another process"):
                    fetch(wanted, tmp_path, patience=replace(SWIFT, total=0.05))
                lock = filelock.FileLock(tmp_path / ".digits.bin.lock", timeout=0)
                with pytest.raises(filelock.Timeout):
                    lock.acquire()
            finally:
                go.set()
            path = fetch(wanted, tmp_path, patience=SWIFT)
            assert other.wait(120) == 0
    assert path.read_bytes() == CONTENT
    assert len(server.seen) == 1
    assert names(tmp_path) == {"digits.bin"}
