"""The server of `dcgan annotate`, asked by others than its page."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

import pytest
import requests
from annotation_client import Client, cleared, serve_new

from dcgan_assets.annotate.server import LARGEST_REQUEST


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    yield from serve_new(tmp_path_factory.mktemp("annotate"))


@pytest.fixture
def client(served: Client) -> Client:
    return cleared(served)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-annotate-token": ""},
        {"x-annotate-token": "wrong"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "https://127.0.0.1:{port}"},
        {"origin": "http://127.0.0.1:1"},
        {"host": "evil.example"},
        {"host": "evil.example:{port}"},
        {"host": "127.0.0.1"},
        {"host": "127.0.0.1.evil.example:{port}"},
        {"host": "rebound.example:{port}", "origin": "http://rebound.example:{port}"},
    ],
    ids=repr,
)
def test_what_does_not_come_from_the_page(headers: dict[str, str], client: Client) -> None:
    filled = {name: value.format(port=client.port) for name, value in headers.items()}
    for method, path in (("GET", "/api/start"), ("PUT", "/api/concepts"), ("POST", "/api/draw")):
        content = None if method == "GET" else {"revision": "", "content": {"x": [1]}}
        answer = client.ask(method, path, content, **filled)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
    assert client.files() == {}
    if "host" in headers:
        assert client.ask("GET", "/", **filled).status_code == 403


def test_without_the_header_there_is_nothing(client: Client) -> None:
    for path in ("/api/start", "/api/samples/0", "/api/alive", "/nothing"):
        assert requests.get(client.url + path, timeout=120).status_code == 403
        token_in_query = f"{client.url}{path}?token={client.token}"
        assert requests.get(token_in_query, timeout=120).status_code == 403
    preflight = requests.options(
        f"{client.url}/api/concepts", headers={"origin": "http://evil.example"}, timeout=30
    )
    assert preflight.status_code == 403


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
    headers = {"x-annotate-token": client.token}
    url = f"{client.url}/api/draw"
    whole = requests.post(url, data=body, headers=headers, timeout=120)
    chunked = requests.post(url, data=iter([body[:1000], body]), headers=headers, timeout=120)
    for answer in (whole, chunked):
        assert answer.status_code == 413
        assert str(LARGEST_REQUEST) in answer.json()["error"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 10_000],
    ids=["nothing", "half", "list", "text", "no UTF-8", "deep"],
)
def test_what_is_no_request(body: bytes, client: Client) -> None:
    for method, path in (("PUT", "/api/concepts"), ("PUT", "/api/boxes"), ("POST", "/api/draw")):
        connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=120)
        connection.request(method, path, body, {"x-annotate-token": client.token})
        answer = connection.getresponse()
        error = json.loads(answer.read())["error"]
        connection.close()
        assert answer.status == 400
        assert "Traceback" not in error
