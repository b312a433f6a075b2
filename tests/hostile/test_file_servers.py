"""Servers of one file that are silent, slow, endless, or send elsewhere."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from file_servers import (
    CONTENT,
    PATIENT,
    SWIFT,
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

from dcgan_assets.sources.fetch import fetch


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
