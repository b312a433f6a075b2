"""Servers of one file that are silent, slow, endless, or send elsewhere."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from file_servers import (
    CONTENT,
    PATIENT,
    SWIFT,
    Answer,
    Handler,
    download,
    failure,
    moved,
    names,
    ranged,
    serving,
    status,
    whole,
)
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import parse_url

from dcgan_assets.sources.fetch import _Guard, _RefusedError, fetch


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


def first_line(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 ")


def one_header(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")


def many_headers(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")


def size_of_a_chunk(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;")


def informational(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 100 Continue\r\nX: ")


@pytest.mark.parametrize(
    ("begin", "drop"),
    [
        (first_line, b"x"),
        (one_header, b"x"),
        (many_headers, b"X: 1\r\n"),
        (size_of_a_chunk, b"x"),
        (informational, b"x"),
    ],
)
def test_what_trickles_before_the_body_is_left_after_the_total_limit(
    tmp_path: Path, begin: Answer, drop: bytes
) -> None:
    left = threading.Event()

    def trickle(handler: Handler) -> None:
        begin(handler)
        while not left.wait(0.02):  # until the client hangs up
            handler.wfile.write(drop)

    with serving(trickle) as server:
        try:
            message = failure(download(server.url), tmp_path, replace(SWIFT, total=0.5))
        finally:
            left.set()
    assert "not complete after 0.5 s" in message


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


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.1",
        "[::ffff:10.0.0.1]", "[::ffff:0:10.0.0.1]", "[64:ff9b::a00:1]", "[2002:a00:1::]",
        "[fd00::1]", "[fe80::1]", "[::]",
    ],
)  # fmt: skip
def test_redirect_to_a_private_address_is_refused(tmp_path: Path, host: str) -> None:
    location = f"https://{host}/digits.bin"
    with serving(moved(location)) as server:
        message = failure(download(server.url), tmp_path)
        assert f"redirected to {location!r}, a private address" in message
        assert len(server.seen) == 1


@pytest.mark.parametrize("inside", ["10.0.0.1", "127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_redirect_to_a_name_that_leads_inside_gets_no_request(inside: str) -> None:
    ours, theirs = socket.socketpair()
    guard = _Guard("publisher.test", time.monotonic() + 60)
    with ours, theirs:
        peer = Peer.of(ours, inside)
        with pytest.raises(_RefusedError, match=f"sly.test is {inside}, a private address"):
            guard.admit(HTTPSConnection("sly.test"), peer)
        assert theirs.recv(1) == b""  # closed before a byte was sent
    guard.close()


def test_publisher_and_proxy_may_be_inside_and_strangers_outside() -> None:
    guard = _Guard("publisher.test", time.monotonic() + 60)
    proxy = parse_url("http://10.0.0.9:3128")
    for connection, peer in (
        (HTTPSConnection("publisher.test"), "10.0.0.1"),
        (HTTPSConnection("elsewhere.test"), "8.8.8.8"),
        (HTTPConnection("10.0.0.9", proxy=proxy), "10.0.0.9"),
    ):
        ours, theirs = socket.socketpair()
        with theirs:
            sock = Peer.of(ours, peer)
            assert guard.admit(connection, sock) is sock
    guard.close()


class Peer(socket.socket):
    """A socket whose other end says that it is elsewhere: no test can connect there."""

    peer = ""

    @classmethod
    def of(cls, sock: socket.socket, peer: str) -> Peer:
        found = cls(fileno=sock.detach())
        found.peer = peer
        return found

    def getpeername(self) -> tuple[str, int]:
        return self.peer, 443


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


# --- Heads and bodies that no honest server sends ---------------------------------------------


def raw(answer: bytes) -> Answer:
    def send(handler: Handler) -> None:
        handler.wfile.write(answer)

    return send


# The server hangs up after each answer; where it does not say so, a whole answer's connection may
# be taken for the next try, which then fails unseen.
OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH = b"Content-Length: 300000\r\n"
ODD_STATUS = b"HTTP/1.1 %d Odd\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
ODD = {
    "nothing": (b"", "no answer ("),
    "a line end": (b"\r\n", "no answer ("),
    "another protocol": (b"SSH-2.0-OpenSSH_9.9\r\n", "no answer ("),
    "HTTP 0.9": (b"<html>hello", "no answer ("),
    "a status of four figures": (b"HTTP/1.1 2000 OK\r\n\r\n", "no answer ("),
    "a status that is no number": (b"HTTP/1.1 abc OK\r\n\r\n", "no answer ("),
    "a negative status": (b"HTTP/1.1 -200 OK\r\n\r\n", "no answer ("),
    "status 100 again and again": (b"HTTP/1.1 100 Continue\r\n\r\n" * 500, "no answer ("),
    "a status line of 100 KB": (b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\n\r\n", "no answer ("),
    "a header of 100 KB": (OK + b"X: " + b"x" * 100_000 + b"\r\n\r\n", "no answer ("),
    "a thousand headers": (OK + b"X: 1\r\n" * 1000 + b"\r\n", "no answer ("),
    "a header without end": (OK + LENGTH, "the answer broke off ("),
    "a negative length": (OK + b"Content-Length: -1\r\n\r\n", "'-1' bytes offered"),
    "a length that is no number": (OK + b"Content-Length: many\r\n\r\n", "'many' bytes offered"),
    "a length of 300 figures": (OK + b"Content-Length: " + b"9" * 300 + b"\r\n\r\n", "offered"),
    "two lengths": (OK + b"Content-Length: 5\r\n" + LENGTH + b"\r\n", "no answer ("),
    "a body that ends early": (OK + LENGTH + b"\r\n" + b"x" * 99, "the answer broke off ("),
    "a chunk of negative size": (CHUNKED + b"-5\r\nxxxxx\r\n", "the answer broke off ("),
    "a chunk of no size": (CHUNKED + b"zz\r\n", "the answer broke off ("),
    "a chunk larger than all": (CHUNKED + b"f" * 40 + b"\r\nxx", "the answer broke off ("),
    "a length that colours the terminal": (
        OK + b"Content-Length: \x1b[31m5\r\n\r\n",
        "'\\x1b[31m5' bytes offered",
    ),
    "a redirect of 60 KB": (
        b"HTTP/1.1 302 Found\r\nLocation: http://" + b"x" * 60_000 + b".test/\r\n\r\n",
        "'http://xxx",
    ),
    "a redirect that colours the terminal": (
        b"HTTP/1.1 302 Found\r\nLocation: ftp://\x1b[31m.test/\r\n\r\n",
        "redirected to 'ftp://\\x1b[31m.test/'",
    ),
    "a part of 60 KB": (
        b"HTTP/1.1 302 Found\r\nLocation: http://[" + b"x" * 60_000 + b"\r\n\r\n",
        "redirected to",
    ),
    "no chunk": (CHUNKED + b"0\r\n\r\n", "the answer ended after 0 of 300,000"),
    "an unknown coding": (OK + b"Transfer-Encoding: odd\r\n\r\nx", "the answer ended after 1 of"),
    "a part that nobody asked for": (
        b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-9/10\r\n\r\n",
        "HTTP 206",
    ),
    **{
        f"status {code}": (ODD_STATUS % code, f"HTTP {code}")
        for code in (204, 205, 300, 301, 304, 307, 400, 401, 402, 403, 404, 407, 410, 416, 451, 501,
                     505, 600, 999)
    },
    **{
        f"status {code}, that may change": (
            ODD_STATUS % code,
            f"HTTP {code} (try 4 of 4)",
        )
        for code in (408, 425, 429, 500, 502, 503, 504)
    },
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_what_no_honest_server_sends_is_one_line(tmp_path: Path, case: str) -> None:
    answer, told = ODD[case]
    with serving(raw(answer)) as server:
        message = failure(download(server.url), tmp_path)
    assert told in message
    assert len(server.seen) in {1, 4}
    assert len(message) < 2000
    assert message.isprintable()
