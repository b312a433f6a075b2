"""`fetch` against real HTTP servers on 127.0.0.1 that behave well, badly and not at all."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from email.utils import format_datetime
from pathlib import Path

import filelock
import pytest
from checkout import CHECKOUT
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

from dcgan_assets.sources.fetch import fetch
from dcgan_models.errors import UserError


def cut_after(count: int) -> Answer:
    def answer(handler: Handler) -> None:
        handler.head(200, Content_Length=len(CONTENT))
        handler.wfile.write(CONTENT[:count])

    return answer


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


def test_whole_part_needs_no_request(tmp_path: Path) -> None:
    (tmp_path / "digits.bin.part").write_bytes(CONTENT)
    with serving(status(404)) as server:
        path = fetch(download(server.url), tmp_path, patience=SWIFT)
    assert path.read_bytes() == CONTENT
    assert not server.seen


def test_chunked_body_arrives_whole(tmp_path: Path) -> None:
    def chunked(handler: Handler) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.head(200, Transfer_Encoding="chunked")
        handler.wfile.write(b"%x\r\n" % len(CONTENT) + CONTENT + b"\r\n0\r\n\r\n")

    with serving(chunked) as server:
        assert fetch(download(server.url), tmp_path, patience=SWIFT).read_bytes() == CONTENT


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
