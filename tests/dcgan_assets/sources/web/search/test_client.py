"""The API client against real servers on 127.0.0.1 that behave well, badly and not at all."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import logging
import ssl
from email.utils import format_datetime
from typing import Any

import pytest
import trustme
from aiohttp import web
from api_servers import CONTACT, FakeTime, Handler, in_turn, manners, page, reply, serving
from fixture_types import Refused
from picture_servers import Names

import dcgan_assets.sources.web.search.client as client_module
from dcgan_assets.sources.web.contact import user_agent
from dcgan_assets.sources.web.search.answers import (
    Answer,
    ApiError,
    Breaker,
    MalformedError,
    RefusedError,
    TooLargeError,
    TransientError,
    TruncatedError,
    UnavailableError,
)
from dcgan_assets.sources.web.search.client import ApiClient, Manners, Patience


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


def test_says_who_asks_and_takes_gzip() -> None:
    async def packed(request: web.Request) -> web.Response:
        body = gzip.compress('{"a": "Ünïcode"}'.encode())
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    with serving(packed) as server:
        assert get(f"{server.url}/w/api.php").json == {"a": "Ünïcode"}
    (seen,) = server.seen
    assert seen.path == "/w/api.php"
    assert seen.query == {"q": "x"}
    assert f"(mailto:{CONTACT})" in seen.headers["User-Agent"]
    assert seen.headers["User-Agent"].startswith("dcgan-assets/")
    assert "Cookie" not in seen.headers


@pytest.mark.parametrize(
    ("contact", "words"),
    [
        ("", "missing"),
        ("me", "neither an e-mail nor a web address"),
        ("a@b", "neither"),
        ("x@y.z\r\nHost: evil", "neither"),
        ("(a@b.org)", "neither"),
        ("x@example.com", "placeholder"),
    ],
)
def test_no_client_without_a_contact(contact: str, words: str, refused: Refused) -> None:
    with refused("`contact` is ", words, "nothing is fetched"):
        ApiClient(manners(contact=contact))


@pytest.mark.parametrize("contact", ["a@b.org", "mailto:a.b@c.example", "https://lab.example/bot"])
def test_both_clients_call_themselves_the_same(contact: str) -> None:
    assert contact in manners(contact=contact).user_agent()
    assert manners(contact=contact).user_agent() == user_agent(contact)


@pytest.mark.parametrize(
    "url",
    [
        "http://dbpedia.org/sparql",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://localhost/",
        "https://10.0.0.8/sparql",
        "https://169.254.169.254/",
        "https://intranet/",
        "https://user@dbpedia.org/",
        "file:///etc/passwd",
        "",
    ],
)
def test_endpoints_are_https_on_public_hosts(url: str, refused: Refused) -> None:
    with refused("dbpedia_endpoint: ", repr(url), "https on a public host"):
        Manners(CONTACT).endpoint(url, "dbpedia_endpoint")


def test_public_endpoint_is_returned() -> None:
    assert (
        Manners(CONTACT).endpoint("https://dbpedia.org/sparql", "e") == "https://dbpedia.org/sparql"
    )


def test_private_hosts_are_said_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        ApiClient(Manners(CONTACT))
        assert not caplog.records
        ApiClient(Manners(CONTACT, allow_private=True))
    assert "allow_private is on" in caplog.text


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


def test_storm_of_errors_then_recovery() -> None:
    time = FakeTime()
    answers = [page(500), page(503), page(502), reply({"fine": 1})]
    with serving(in_turn(*answers)) as server:
        assert get(server.url, time).json == {"fine": 1}
    assert time.slept == [1.0, 2.0, 4.0]
    assert len(server.seen) == 4


def test_storm_without_end_is_one_line() -> None:
    line, requests = failure(in_turn(page(503)), UnavailableError)
    assert line == "127.0.0.1: HTTP 503"
    assert requests == 4


def test_retry_after_goes_before_our_own_pauses() -> None:
    time = FakeTime()
    began = dt.datetime.now(dt.UTC)
    soon = began + dt.timedelta(seconds=120)
    answers = [
        page(429, Retry_After="33"),
        page(503, Retry_After=format_datetime(soon, usegmt=True)),
        page(429),
        reply({}),
    ]
    with serving(in_turn(*answers)) as server:
        get(server.url, time)
    assert time.slept[0] == 33.0
    # A date of whole seconds, of which some have passed when it is read.
    passed = (dt.datetime.now(dt.UTC) - began).total_seconds()
    assert 118.9 - passed < time.slept[1] <= 120
    assert time.slept[2:] == [4.0]


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


def test_host_that_asked_for_time_gets_it_from_the_next_request_too() -> None:
    time = FakeTime()

    async def run(url: str) -> None:
        async with ApiClient(manners(time)) as client:
            with pytest.raises(RefusedError):
                await client.get_json(url, {})
            await client.get_json(url, {})

    with serving(in_turn(page(404, Retry_After="20"), reply({}))) as server:
        asyncio.run(run(server.url))
    assert time.slept == [20.0]


def test_pause_between_requests() -> None:
    time = FakeTime()

    async def run(url: str) -> None:
        async with ApiClient(manners(time, pause=1.5)) as client:
            for _ in range(3):
                await client.get_json(url, {})

    with serving(in_turn(reply({}))) as server:
        asyncio.run(run(server.url))
    assert time.slept == [1.5, 1.5]


def test_hosts_with_rules_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """MusicBrainz asks for a second between requests, whatever the setting."""
    seconds = client_module._LEAST_PAUSES["musicbrainz.org"]
    monkeypatch.setitem(client_module._LEAST_PAUSES, "127.0.0.1", seconds)
    time = FakeTime()

    async def run(url: str) -> None:
        async with ApiClient(manners(time, pause=0.1)) as client:
            for _ in range(3):
                await client.get_json(url, {})

    with serving(in_turn(reply({}))) as server:
        asyncio.run(run(server.url))
    assert time.slept == [1.0, 1.0]


@pytest.mark.parametrize("status", [400, 403, 404, 410, 501])
def test_refusals_are_not_asked_again(status: int) -> None:
    line, requests = failure(in_turn(page(status)), RefusedError)
    assert line == f"127.0.0.1: HTTP {status} ('<html>Sorry</html>')"
    assert requests == 1


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


def test_nobody_listens() -> None:
    with serving(in_turn(reply({}))) as server:
        url = server.url
    with pytest.raises(UnavailableError, match="no whole answer"):
        get(url)


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


def test_judge_decides() -> None:
    def busy(answer: Answer) -> None:
        if answer.json.get("busy"):
            raise TransientError("busy", wait=7.0)

    time = FakeTime()
    with serving(in_turn(reply({"busy": 1}), reply({"busy": 0}))) as server:
        assert get(server.url, time, judge=busy).json == {"busy": 0}
    assert time.slept == [7.0]


def test_headers_of_a_request_are_in_no_log_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        line, _ = failure(in_turn(page(500)), UnavailableError, headers={"X-Key": "s3cret-key"})
    assert "s3cret-key" not in caplog.text + line
    assert "HTTP 500 (try 1 of 4)" in caplog.text


def test_breaker_counts_failures_in_a_row(refused: Refused) -> None:
    breaker = Breaker(3, "run again")
    error = UnavailableError("host: HTTP 503")
    breaker.failed(error)
    breaker.failed(error)
    breaker.worked()
    breaker.failed(error)
    breaker.failed(error)
    with refused("3 requests in a row failed", "host: HTTP 503", "run again"):
        breaker.failed(error)
