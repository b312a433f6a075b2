"""The API client against real servers on 127.0.0.1 that behave well, badly and not at all."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import logging
from email.utils import format_datetime

import pytest
from aiohttp import web
from api_servers import CONTACT, FakeTime, failure, get, in_turn, manners, page, reply, serving
from fixture_types import Refused

import dcgan_assets.sources.web.search.client as client_module
from dcgan_assets.sources.web.contact import user_agent
from dcgan_assets.sources.web.search.answers import (
    Answer,
    Breaker,
    RefusedError,
    TransientError,
    UnavailableError,
)
from dcgan_assets.sources.web.search.client import ApiClient, Manners


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


def test_storm_of_errors_then_recovery() -> None:
    time = FakeTime()
    answers = [page(500), page(503), page(502), reply({"fine": 1})]
    with serving(in_turn(*answers)) as server:
        assert get(server.url, time).json == {"fine": 1}
    assert time.slept == [1.0, 2.0, 4.0]
    assert len(server.seen) == 4


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


def test_nobody_listens() -> None:
    with serving(in_turn(reply({}))) as server:
        url = server.url
    with pytest.raises(UnavailableError, match="no whole answer"):
        get(url)


def test_judge_decides() -> None:
    def busy(answer: Answer) -> None:
        if answer.json.get("busy"):
            raise TransientError("busy", wait=7.0)

    time = FakeTime()
    with serving(in_turn(reply({"busy": 1}), reply({"busy": 0}))) as server:
        assert get(server.url, time, judge=busy).json == {"busy": 0}
    assert time.slept == [7.0]


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
