"""The server of `dcgan annotate`, asked by others than its page."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from annotation_client import Client, cleared, serve, serve_new
from small_generator import publish_generator
from workbench import wait_for

from dcgan_assets.annotate.server import LARGEST_REQUEST
from dcgan_assets.annotate.workbench import Workbench
from dcgan_assets.params.file import profile_text


def kind_of(case: Any) -> str:
    """A case in few characters, for its name."""
    return ascii(case)[:60]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    yield from serve_new(tmp_path_factory.mktemp("annotate"))


@pytest.fixture
def client(served: Client) -> Client:
    return cleared(served)


OUTSIDERS = {
    "no token": {"x-annotate-token": ""},
    "a wrong token": {"x-annotate-token": "wrong"},
    "half a token": {"x-annotate-token": "{token:.16}"},
    "more than the token": {"x-annotate-token": "{token}x"},
    "a foreign origin": {"origin": "http://evil.example"},
    "a hidden origin": {"origin": "null"},
    "a file's origin": {"origin": "file://"},
    "an extension's origin": {"origin": "chrome-extension://abcdefghijklmnop"},
    "https": {"origin": "https://127.0.0.1:{port}"},
    "another port's origin": {"origin": "http://127.0.0.1:1"},
    "an origin without port": {"origin": "http://127.0.0.1"},
    "an origin with a tail": {"origin": "http://127.0.0.1:{port}.evil.example"},
    "an origin with a path": {"origin": "http://127.0.0.1:{port}/"},
    "two origins": {"origin": "http://127.0.0.1:{port} http://evil.example"},
    "an empty origin": {"origin": ""},
    "a foreign host": {"host": "evil.example"},
    "a foreign host, our port": {"host": "evil.example:{port}"},
    "a host without port": {"host": "127.0.0.1"},
    "another port": {"host": "127.0.0.1:1"},
    "our address and a tail": {"host": "127.0.0.1.evil.example:{port}"},
    "a rebound name": {"host": "rebound.example:{port}", "origin": "http://rebound.example:{port}"},
    "a name below localhost": {"host": "evil.localhost:{port}"},
    "a name with a dot": {"host": "localhost.:{port}"},
    "every address": {"host": "0.0.0.0:{port}"},
    "a short address": {"host": "127.1:{port}"},
    "an address as a number": {"host": "2130706433:{port}"},
    "another loopback": {"host": "127.0.0.2:{port}"},
    "IPv6": {"host": "[::1]:{port}"},
    "IPv4 in IPv6": {"host": "[::ffff:127.0.0.1]:{port}"},
    "a user before the host": {"host": "user@127.0.0.1:{port}"},
    "an empty host": {"host": ""},
    "a script elsewhere": {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"},
    "a script on another port": {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"},
    "an image elsewhere": {
        "sec-fetch-site": "cross-site",
        "sec-fetch-mode": "no-cors",
        "sec-fetch-dest": "image",
    },
    "a frame elsewhere": {
        "sec-fetch-site": "cross-site",
        "sec-fetch-mode": "navigate",
        "sec-fetch-dest": "iframe",
    },
    "a site of a kind to come": {"sec-fetch-site": "near-site", "sec-fetch-mode": "cors"},
}
CONCEPTS = {"revision": "", "content": {"x": [1]}}


def refused(answer: requests.Response, client: Client, *allowed: int) -> str:
    """The one line of a refusal, after which nothing is written."""
    line = json.loads(answer.text)["error"] if answer.text.startswith("{") else answer.text.strip()
    assert answer.status_code in allowed, line
    assert "\n" not in line
    assert "Traceback" not in line
    assert 0 < len(line) < 300
    assert "access-control-allow-origin" not in answer.headers
    assert client.files() == {}
    return str(line)


@pytest.mark.parametrize("request_", ["GET /api/start", "PUT /api/concepts"])
@pytest.mark.parametrize("headers", OUTSIDERS.values(), ids=OUTSIDERS)
def test_who_is_not_the_page(headers: dict[str, str], request_: str, client: Client) -> None:
    filled = {k: v.format(port=client.port, token=client.token) for k, v in headers.items()}
    method, path = request_.split()
    content = None if method == "GET" else CONCEPTS
    refused(client.ask(method, path, content, **filled), client, 403)
    if "x-annotate-token" not in headers:
        refused(client.ask("GET", "/", **filled), client, 403)


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain; application/json",
        "application/json, text/plain",
        "application/jsonp",
    ],
)
def test_what_a_form_can_send(kind: str, client: Client) -> None:
    for method, path in (("PUT", "/api/concepts"), ("POST", "/api/draw")):
        answer = client.ask(method, path, CONCEPTS, **{"content-type": kind})
        assert "application/json" in refused(answer, client, 400)


@pytest.mark.parametrize("path", ["/api/start", "/api/samples/0", "/api/alive", "/nothing"])
@pytest.mark.parametrize("query", ["", "?token={token}", "?x-annotate-token={token}"])
def test_without_the_header_there_is_nothing(path: str, query: str, client: Client) -> None:
    url = client.url + path + query.format(token=client.token)
    assert "dcgan annotate" in refused(requests.get(url, timeout=120), client, 403)


@pytest.mark.parametrize("method", ["OPTIONS", "DELETE", "PATCH", "TRACE", "POST", "GET", "BREW"])
def test_other_methods(method: str, client: Client) -> None:
    refused(client.ask(method, "/api/concepts", CONCEPTS), client, 403, 405)
    foreign = {"origin": "http://evil.example"}
    refused(client.ask(method, "/api/concepts", CONCEPTS, **foreign), client, 403)


@pytest.mark.parametrize(
    "lines",
    [
        ["GET http://evil.example/api/start HTTP/1.1", "Host: 127.0.0.1:{port}"],
        ["GET http://127.0.0.1:{port}/api/start HTTP/1.1", "Host: 127.0.0.1:{port}"],
        ["GET //evil.example/api/start HTTP/1.1", "Host: evil.example"],
        ["OPTIONS * HTTP/1.1", "Host: 127.0.0.1:{port}"],
        ["CONNECT evil.example:443 HTTP/1.1", "Host: 127.0.0.1:{port}"],
        ["GET /api/start HTTP/1.0"],
        ["GET /api/start HTTP/1.1"],
        ["GET /api/start HTTP/1.1", "Host: 127.0.0.1:{port}", "Host: evil.example"],
        [
            *("GET /api/start HTTP/1.1", "Host: 127.0.0.1:{port}"),
            *("Origin: http://127.0.0.1:{port}", "Origin: http://evil.example"),
        ],
        [
            *("GET /api/start HTTP/1.1", "Host: 127.0.0.1:{port}"),
            *("Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"),
        ],
        ["GET /api/%73tart HTTP/1.1", "Host: 127.0.0.1:{port}", "X-Annotate-Token: x"],
        ["GET /page.js/../api/start HTTP/1.1", "Host: 127.0.0.1:{port}", "X-Annotate-Token: x"],
        [
            *("GET /api/samples/99999999999999999999 HTTP/1.1", "Host: 127.0.0.1:{port}"),
        ],
        ["GET /api/samples/-1 HTTP/1.1", "Host: 127.0.0.1:{port}"],
        ["GET /page.html HTTP/1.1", "Host: 127.0.0.1:{port}"],
        ["GET /../../params.yaml HTTP/1.1", "Host: 127.0.0.1:{port}"],
        ["GET /%2e%2e/%2e%2e/params.yaml HTTP/1.1", "Host: 127.0.0.1:{port}"],
        ["GET /\x00 HTTP/1.1", "Host: 127.0.0.1:{port}"],
        ["PUT /api/concepts HTTP/1.1", "Host: 127.0.0.1:{port}", "Content-Length: -1"],
        [
            *("PUT /api/concepts HTTP/1.1", "Host: 127.0.0.1:{port}"),
            *("Content-Length: 5", "Content-Length: 6"),
        ],
        ["nonsense", ""],
        ["GET /api/start HTTP/1.1", "Host: 127.0.0.1:{port}", "X: " + "x" * 200_000],
    ],
    ids=lambda lines: repr(" | ".join(lines))[:70],
)
def test_requests_that_no_browser_writes(lines: list[str], client: Client) -> None:
    with_token = [line.format(port=client.port) for line in lines]
    if not any(line.startswith("X-Annotate-Token") for line in lines):
        with_token.append(f"X-Annotate-Token: {client.token}")
    with socket.create_connection(("127.0.0.1", client.port), timeout=120) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # it need not be heard to its end
            connection.sendall("\r\n".join([*with_token, "Connection: close", "", ""]).encode())
        with suppress(ConnectionResetError):
            status = connection.makefile("rb").readline()
            assert re.match(rb"HTTP/1\.1 4\d\d ", status), status
    assert client.files() == {}
    assert client.ask("GET", "/api/alive").status_code == 204


def test_a_websocket_is_not_opened(client: Client) -> None:
    upgrade = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    answer = client.ask("GET", "/api/start", **upgrade, origin="http://evil.example")
    refused(answer, client, 403)


def test_the_own_origin_may(client: Client) -> None:
    assert client.ask("GET", "/api/alive", origin=client.url).status_code == 204
    local = f"localhost:{client.port}"
    answer = client.ask("GET", "/api/alive", host=local, origin=f"http://{local}")
    assert answer.status_code == 204


def test_every_answer_is_locked_down(client: Client) -> None:
    answers = [
        client.ask("GET", path) for path in ("/", "/page.js", "/api/start", "/nothing", "/api/draw")
    ]
    answers.append(requests.get(f"{client.url}/api/start", timeout=120))
    assert [answer.status_code for answer in answers] == [200, 200, 200, 404, 405, 403]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"


def test_a_large_request_is_cut_off(client: Client) -> None:
    body = b" " * (LARGEST_REQUEST + 1)
    headers = {"x-annotate-token": client.token, "content-type": "application/json"}
    url = f"{client.url}/api/draw"
    whole = requests.post(url, data=body, headers=headers, timeout=120)
    chunked = requests.post(url, data=iter([body[:1000], body]), headers=headers, timeout=120)
    for answer in (whole, chunked):
        assert answer.status_code == 413
        assert str(LARGEST_REQUEST) in answer.json()["error"]


@pytest.mark.parametrize("request_", ["PUT /api/concepts", "PUT /api/boxes", "POST /api/draw"])
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"x"', b"null", b"\xff", b"[" * 10_000, b'{"a":' * 10_000, b"9" * 5_000],
    ids=["nothing", "half", "list", "text", "null", "no UTF-8", "deep", "deeper", "digits"],
)
def test_what_is_no_request(body: bytes, request_: str, client: Client) -> None:
    method, path = request_.split()
    headers = {"x-annotate-token": client.token, "content-type": "application/json"}
    answer = requests.request(method, client.url + path, data=body, headers=headers, timeout=120)
    refused(answer, client, 400)


# --- What is saved, and what is drawn -------------------------------------------------------


@pytest.mark.parametrize("revision", [None, 1, [], {}, "0" * 64, "x" * 100_000], ids=kind_of)
def test_revisions_of_nothing(revision: Any, client: Client) -> None:
    for part, content in (("concepts", {"x": [1]}), ("boxes", {"samples": [], "boxes": []})):
        request = {"revision": revision, "content": content}
        refused(client.ask("PUT", f"/api/{part}", request), client, 400, 409)


@pytest.mark.parametrize(
    "concepts",
    [
        {"../../outside": [1]},
        {"/etc/passwd": [1]},
        {"__proto__": [1]},
        {"a\x00": [1]},
        {"<script>": [1]},
        {"x" * 100_000: [1]},
        {"\u202e": [1]},
        {"x": [-1]},
        {"x": [10**9]},
        {"x": [10**400]},
        {"x": [1.5]},
        {"x": [float("nan")]},
        {"x": [True]},
        {"x": "1"},
        {"x": None},
        {"x": {"1": 1}},
        {f"c{number}": [] for number in range(201)},
        "x",
    ],
    ids=kind_of,
)
def test_concepts_that_are_none(concepts: Any, client: Client) -> None:
    refused(client.save("concepts", concepts), client, 400)
    wish = {"draw": "mean", "concept": "x"}
    refused(client.draw(wish, concepts), client, 400)


@pytest.mark.parametrize(
    "box",
    [
        {"width": 1e-300},
        {"height": 1e-300},
        {"width": 0.004},
        {"width": 0.99},
        {"width": 0},
        {"height": -0.0},
        {"height": -4},
        {"x": 63.5, "width": 0.51},
        {"x": 64, "width": 0.02},
        {"x": 1e308, "width": 1e308},
        {"x": -1e308, "width": 1e308},
        {"width": 1e308},
        {"width": float("inf")},
        {"y": float("nan")},
        {"x": -0.03},
        {"x": 10**400},
        {"x": "1"},
        {"x": None},
        {"x": True},
        {"sample": -1},
        {"sample": 10**400},
        {"sample": 1.5},
        {"name": ""},
        {"name": "a\nb"},
        {"name": "\x7f"},
        {"name": "x" * 61},
        {"name": 7},
    ],
    ids=kind_of,
)
def test_boxes_that_are_none(box: dict[str, Any], client: Client) -> None:
    whole = {"sample": 4, "name": "window", "x": 1, "y": 2, "width": 30, "height": 40, **box}
    refused(client.save("boxes", {"samples": [4], "boxes": [whole]}), client, 400)


@pytest.mark.parametrize(
    "wish",
    [
        {"draw": "arithmetic", "expression": "(" * 2_000},
        {"draw": "arithmetic", "expression": "__import__('os')"},
        {"draw": "arithmetic", "expression": "dark" + " - dark" * 500},
        {"draw": "arithmetic", "expression": ""},
        {"draw": "walk", "start": 10**400, "end": 1},
        {"draw": "walk", "start": True, "end": 1},
        {"draw": "mean", "concept": "x" * 100_000},
        {"draw": "mean", "concept": "dark\nlight"},
        {"draw": "turn", "left": "dark", "right": "../light", "sample": 1},
        {"draw": "mean", "concept": "dark", "path": "/etc/passwd"},
        {"draw": ["mean"]},
        [],
    ],
    ids=kind_of,
)
def test_wishes_of_no_sense(wish: Any, client: Client) -> None:
    refused(client.draw(wish), client, 400)


# --- Beside the page ------------------------------------------------------------------------


def test_one_of_two_servers_saves_a_revision(client: Client) -> None:
    """Both at once, again and again: exactly one is first, and the other is told."""
    rival = Workbench(client.bench.root, client.bench.subject, client.bench.drawing)
    path = client.bench.root / "annotations/lsun/concepts.json"
    with contextmanager(serve)(rival) as other:
        pair = (client, other)
        for turn in range(30):
            known = client.start()["revisions"]["concepts"]
            contents = [{"mine": [turn]}, {"theirs": [turn]}]
            with ThreadPoolExecutor(2) as pool:
                answers = list(pool.map(partial(_save, known), pair, contents))
            assert sorted(answer.status_code for answer in answers) == [200, 409]
            first = [answer.status_code for answer in answers].index(200)
            assert json.loads(path.read_text("utf-8"))["concepts"] == contents[first]
            line = answers[1 - first].json()["error"]
            assert line == "concepts.json was changed by something else; reload this page"


def _save(known: str, client: Client, content: Any) -> requests.Response:
    return client.ask("PUT", "/api/concepts", {"revision": known, "content": content})


@pytest.mark.slow
def test_ps_does_not_show_the_token(tmp_path: Path) -> None:
    """A browser gets its words on its command line, which every user of the machine can read."""
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "params.yaml").write_text(profile_text("sample"), encoding="utf-8")
    publish_generator(root, "lsun")
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(f'#!/bin/sh\necho "$@" >{seen}.part && mv {seen}.part {seen}\n')
    browser.chmod(0o755)
    with subprocess.Popen(
        [sys.executable, "-m", "dcgan_assets.cli", "--root", str(root), "annotate", "lsun"],
        env={**os.environ, "BROWSER": str(browser)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        wait_for(seen.exists, "the browser")
        way_in = root / "runs/annotate-lsun.html"
        assert seen.read_text("utf-8").strip() == way_in.as_uri()
        assert address in way_in.read_text("utf-8")
        assert stat.S_IMODE(way_in.stat().st_mode) == 0o600
        words = Path(f"/proc/{process.pid}/cmdline")
        assert not words.exists() or address.partition("#")[2] not in words.read_text("utf-8")
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
    assert not way_in.exists(), "it leads nowhere now"
