"""Servers in the place of the APIs that are asked: broken, silent, endless, leading elsewhere."""

from __future__ import annotations

import asyncio
import gzip
import logging
import ssl
from typing import Any

import pytest
import trustme
from aiohttp import web
from api_servers import FakeTime, failure, get, in_turn, manners, page, reply, serving
from fixture_types import Refused
from picture_servers import Names

from dcgan_assets.sources.web.search.answers import (
    MalformedError,
    RefusedError,
    TooLargeError,
    TruncatedError,
    UnavailableError,
)
from dcgan_assets.sources.web.search.client import Manners, Patience


@pytest.mark.parametrize(
    "inside", ["127.0.0.1", "10.0.0.8", "169.254.169.254", "192.0.0.8", "::1", "64:ff9b::7f00:1"]
)
def test_names_that_lead_inside_are_refused_and_not_tried_again(inside: str) -> None:
    names = Names({"api.test": [inside]})
    time = FakeTime()
    how = manners(time, allow_private=False, resolver=lambda: names)
    with pytest.raises(RefusedError, match=f"private address: api.test is {inside}"):
        get("https://api.test/w/api.php", how=how)
    assert names.asked == ["api.test"]
    assert time.slept == []


def test_private_host_is_refused_before_a_request(refused: Refused) -> None:
    with serving(in_turn(reply({}))) as server, refused("endpoint: ", server.url):
        get(server.url, how=manners(allow_private=False))
    assert not server.seen


def test_storm_without_end_is_one_line() -> None:
    line, requests = failure(in_turn(page(503)), UnavailableError)
    assert line == "127.0.0.1: HTTP 503"
    assert requests == 4


@pytest.mark.parametrize(
    "value", ["Mon, 01 Jan 2026 00:00:00 +99999999999999999", "9" * 400, "soon", ""]
)
def test_retry_after_that_nobody_can_read_is_none(value: str) -> None:
    time = FakeTime()
    with serving(in_turn(page(503, Retry_After=value), reply({"fine": 1}))) as server:
        assert get(server.url, time).json == {"fine": 1}
    assert time.slept == [1.0]


def test_retry_after_beyond_the_deadline_is_not_waited_for() -> None:
    time = FakeTime()
    line, requests = failure(in_turn(page(429, Retry_After="86400")), UnavailableError, time=time)
    assert line == "127.0.0.1: HTTP 429, told to wait 86400 s"
    assert requests == 1
    assert time.slept == []


def test_error_page_with_status_200() -> None:
    line, requests = failure(in_turn(page(200)), MalformedError)
    assert "no JSON (text/html, 18 bytes, begins '<html>Sorry</html>')" in line
    assert requests == 4


def test_json_that_ends_too_early() -> None:
    cut = in_turn(lambda: web.Response(text='{"a": [1, 2', content_type="application/json"))
    line, requests = failure(cut, TruncatedError)
    assert "JSON cut off" in line
    assert requests == 4


def test_body_shorter_than_announced_is_asked_for_again() -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        if len(server.seen) > 1:
            return web.json_response({"whole": True})
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"whole": fal')
        assert request.transport is not None
        request.transport.close()
        return response

    with serving(broken) as server:
        assert get(server.url).json == {"whole": True}
    assert len(server.seen) == 2


def test_deep_json_is_no_crash() -> None:
    deep = in_turn(lambda: web.Response(text="[" * 200_000, content_type="application/json"))
    failure(deep, TruncatedError)


def limited(**changes: Any) -> Manners:
    return manners(patience=Patience(connect=60.0, read=60.0, waits=(), **changes))


def test_size_is_capped() -> None:
    def large() -> web.StreamResponse:
        return web.json_response(["x" * 200_000])

    line, requests = failure(in_turn(large), TooLargeError, how=limited(max_bytes=100_000))
    assert "more than 100,000 bytes" in line
    assert requests == 1


def test_size_is_capped_after_unpacking() -> None:
    body = gzip.compress(b"[" + b" " * 50_000_000 + b"]")
    assert len(body) < 100_000

    def bomb() -> web.StreamResponse:
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    failure(in_turn(bomb), TooLargeError, how=limited(max_bytes=1_000_000))


def test_server_that_never_answers() -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(3600)
        raise AssertionError

    how = manners(patience=Patience(connect=60.0, read=0.5, waits=(1.0,)))
    line, requests = failure(silent, UnavailableError, how=how)
    assert line == "127.0.0.1: no whole answer (TimeoutError)"
    assert requests == 2


def test_server_whose_certificate_nobody_has_signed() -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    with serving(in_turn(reply({})), tls) as server:
        assert server.url.startswith("https:")
        with pytest.raises(UnavailableError, match="ClientConnectorCertificateError"):
            get(server.url)
    assert not server.seen


def test_redirects_stay_with_the_host_and_its_friends() -> None:
    async def moved(request: web.Request) -> web.StreamResponse:
        if request.path == "/":
            raise web.HTTPTemporaryRedirect("/there")
        return web.json_response({"path": request.path})

    with serving(moved) as server:
        assert get(server.url, headers={"X-Key": "k"}).json == {"path": "/there"}
    foreign = in_turn(
        lambda: web.Response(status=302, headers={"Location": "http://169.254.169.254/"})
    )
    line, requests = failure(foreign, RefusedError)
    assert "redirected to 'http://169.254.169.254/', not a host of this API" in line
    assert requests == 1
    loop = in_turn(lambda: web.Response(status=302, headers={"Location": "/"}))
    line, requests = failure(loop, RefusedError)
    assert line == "127.0.0.1: more than 3 redirects"


def test_environment_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with serving(in_turn(reply({"fine": 1}))) as server:
        assert get(server.url).json == {"fine": 1}


def test_headers_of_a_request_are_in_no_log_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        line, _ = failure(in_turn(page(500)), UnavailableError, headers={"X-Key": "s3cret-key"})
    assert "s3cret-key" not in caplog.text + line
    assert "HTTP 500 (try 1 of 4)" in caplog.text
