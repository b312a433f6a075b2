"""Servers that send back what they were sent: no secret of the environment is kept or logged."""

from __future__ import annotations

import base64
import json
import logging
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web
from api_servers import failure, get, in_turn, manners, page, reply, serving
from file_servers import download, moved, status
from file_servers import failure as fetch_failure
from file_servers import serving as serving_files
from picture_servers import Bench, Server, jpeg, picture, wanted
from picture_servers import moved as picture_moved

from dcgan_assets.sources.redaction import hide, hide_bytes, hide_deep
from dcgan_assets.sources.web.removals import RemovalList
from dcgan_assets.sources.web.search.answers import ApiError, RefusedError
from dcgan_assets.sources.web.search.found import Subject
from dcgan_assets.sources.web.search.search import Searching, gather_addresses

SECRET = 's3cret/key&"ü"<+ %'  # noqa: S105
PROXY = "http://carol:pr0xy-p%40ss@proxy.test:3128"
SPELLINGS = {
    "plain": SECRET,
    "percent-encoded": quote(SECRET, safe=""),
    "of a form": quote(SECRET, safe="").replace("%20", "+"),
    "HTML": "s3cret/key&amp;&quot;ü&quot;&lt;+ %",
    "JSON": json.dumps(SECRET)[1:-1],
    "JSON of PHP": json.dumps(SECRET)[1:-1].replace("/", "\\/"),
    "JSON in UTF-8": json.dumps(SECRET, ensure_ascii=False)[1:-1],
    "the proxy's password": "pr0xy-p@ss",
    "the proxy's, as it stands": "pr0xy-p%40ss",
    "the proxy's header": base64.b64encode(b"carol:pr0xy-p@ss").decode(),
}
PARTS = ("s3cret", "pr0xy", base64.b64encode(b"carol:pr0xy-p@ss").decode())


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICTURE_SEARCH_API_KEY", SECRET)
    monkeypatch.setenv("https_proxy", PROXY)


def is_clean(text: str) -> bool:
    return not any(part in text for part in PARTS)


@pytest.mark.parametrize("way", SPELLINGS)
def test_every_spelling_is_found(way: str) -> None:
    text = f"you sent {SPELLINGS[way]}, which is wrong"
    assert hide(text) == "you sent ***, which is wrong"
    assert hide_bytes(text.encode()).decode() == "you sent ***, which is wrong"


@pytest.mark.parametrize(
    "name",
    ["API_KEY", "AWS_SECRET_ACCESS_KEY", "github_token", "DB_PASSWORD", "SMTP_PASSWD",
     "SSH_PASSPHRASE", "X_CREDENTIALS", "DCGAN_WEBHOOK"],
)  # fmt: skip
def test_variables_that_hold_secrets(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "correct horse")
    assert hide("a correct horse eats") == "a *** eats"


@pytest.mark.parametrize(
    ("name", "value"),
    [("API_KEY", "short"), ("API_KEY", ""), ("HOME", "/home/carol"), ("http_proxy", "http://p:1")],
)
def test_what_is_no_secret_stays(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    text = f"in {value} nothing is hidden, short or not: /home/carol"
    assert hide(text) == text


def test_one_secret_in_another_leaves_no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE_TOKEN", "abcdefgh")
    monkeypatch.setenv("TWO_TOKEN", "abcdefghijkl")
    assert hide("abcdefghijkl abcdefgh") == "*** ***"


def test_escapes_of_json_hide_nothing() -> None:
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in SECRET)
    content = json.loads(f'{{"a": ["{escaped}", 1, null], "{escaped}": {{"b": "x {escaped}"}}}}')
    assert hide_deep(content) == {"a": ["***", 1, None], "***": {"b": "x ***"}}


@pytest.mark.parametrize("way", SPELLINGS)
def test_an_answer_has_none(way: str) -> None:
    told = SPELLINGS[way]
    with serving(in_turn(reply({"error": told, told: [told]}))) as server:
        answer = get(server.url, headers={"X-Key": "k"})
    assert is_clean(json.dumps(answer.json, ensure_ascii=False))


@pytest.mark.parametrize("way", ["plain", "percent-encoded", "the proxy's header"])
@pytest.mark.parametrize("code", [200, 403, 503])
def test_an_error_page_has_none(way: str, code: int, caplog: pytest.LogCaptureFixture) -> None:
    text = f"<html>bad key {SPELLINGS[way]}"
    caplog.set_level(logging.DEBUG, "dcgan_assets")
    with serving(in_turn(page(code, text))) as server, pytest.raises(ApiError) as caught:
        get(server.url)
    assert is_clean(str(caught.value) + caplog.text)


def test_a_redirect_has_none() -> None:
    answer = lambda: web.Response(  # noqa: E731
        status=302, headers={"Location": f"https://elsewhere.test/?key={quote(SECRET, safe='')}"}
    )
    line, _ = failure(in_turn(answer), RefusedError)
    assert "elsewhere.test/?key=***" in line


@pytest.mark.parametrize("code", [200, 400, 500])
def test_what_a_search_keeps_has_none(tmp_path: Path, code: int) -> None:
    """The journal, both tables: a key stood in all three."""
    answer: Any = {"error": {"code": "bad", "info": f"no such key: {SECRET}"}}
    with serving(in_turn(reply(answer, code))) as server:
        searching = Searching(("commons",), manners(), commons_endpoint=server.url)
        (tmp_path / "out").mkdir()
        people = [Subject("http://w.test/Q1", "Ada", None)]
        gather_addresses(people, searching, RemovalList(), tmp_path / "w", tmp_path / "out", print)
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in kept} == {
        "searches.jsonl", "searches.parquet", "image_urls.parquet"
    }  # fmt: skip
    for path in kept:
        assert b"s3cret" not in path.read_bytes()


@pytest.mark.parametrize("way", ["percent-encoded", "the proxy's, as it stands"])
def test_a_public_files_server_is_quoted_without(tmp_path: Path, way: str) -> None:
    for answer in (
        moved(f"http://192.0.2.1/?{SPELLINGS[way]}"),
        status(206, Content_Range=SPELLINGS[way]),
    ):
        (tmp_path / "digits.bin.part").write_bytes(b"x")
        with serving_files(answer) as server:
            assert is_clean(fetch_failure(download(server.url), tmp_path))


def test_rows_of_pictures_have_none(tmp_path: Path) -> None:
    told = SPELLINGS["percent-encoded"]
    answers = {
        "/moved": picture_moved(f"/there?{told}"),
        "/encoded": picture(jpeg(), Content_Encoding=told),
    }
    with Server(answers, default=picture(jpeg())).running() as server:
        pictures = [wanted(server.url(path), path[1:]) for path in answers]
        rows = Bench(tmp_path).run(pictures, server)
    assert rows["moved"]["final_address"] == server.url("/there?***")
    assert rows["encoded"]["reason"] == "encoded"
    assert is_clean(str(rows))


def test_nothing_is_changed_where_nothing_is_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PICTURE_SEARCH_API_KEY", "https_proxy"):
        monkeypatch.delenv(name)
    content = {"deep": [SECRET]}
    assert hide_deep(content) == content
