"""The annotation server over real HTTP on the loopback: what it does, and what it refuses."""

from __future__ import annotations

import http.client
import io
import json
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from checkout import CHECKOUT
from fixture_types import Refused
from PIL import Image
from small_generator import SAMPLES, publish_generator

from dcgan_assets.annotate.files import read_boxes, read_concepts
from dcgan_assets.annotate.server import LARGEST_REQUEST, listen, make_server
from dcgan_assets.annotate.workbench import SAMPLES_PER_PAGE, ConflictError, Workbench

CONCEPTS = {"dark": [3, 1], "light": [2], "empty": []}
BOX = {"sample": 4, "name": "window", "x": 1, "y": 2, "width": 30, "height": 40}


@dataclass
class Client:
    """Asks as the page does."""

    bench: Workbench
    port: int
    token: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, content: Any = None, **headers: str) -> requests.Response:
        body = None if content is None else json.dumps(content)
        given = {"x-annotate-token": self.token, **headers}
        return requests.request(method, self.url + path, data=body, headers=given, timeout=120)

    def start(self) -> dict[str, Any]:
        answer = self.ask("GET", "/api/start")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def save(self, part: str, content: Any) -> requests.Response:
        revision = self.start()["revisions"][part]
        return self.ask("PUT", f"/api/{part}", {"revision": revision, "content": content})

    def draw(self, wish: Any, concepts: Any = CONCEPTS) -> requests.Response:
        return self.ask("POST", "/api/draw", {"wish": wish, "concepts": concepts})

    def files(self) -> dict[str, bytes]:
        """Every file in and beside the workspace, but those of the published generator."""
        root = self.bench.root
        return {
            path.relative_to(root.parent).as_posix(): path.read_bytes()
            for path in root.parent.rglob("*")
            if path.is_file()
            and not path.is_relative_to(root / "models")
            and not path.is_relative_to(root / "runs")
        }


def serve(bench: Workbench) -> Iterator[Client]:
    with listen(None) as sock:
        server, address = make_server(bench, sock)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        place, _, token = address.partition("/#")
        yield Client(bench, int(place.rpartition(":")[2]), token)
        server.should_exit = True
        thread.join(120)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    root = tmp_path_factory.mktemp("annotate") / "workspace"
    root.mkdir()
    publish_generator(root, "lsun")
    yield from serve(Workbench.open(root, "lsun"))


@pytest.fixture
def client(served: Client) -> Client:
    """The server of this module, with nothing annotated yet."""
    for path in (served.bench.root / "annotations").rglob("*.json"):
        path.unlink()
    return served


def pictures(answer: requests.Response) -> Any:
    """The pictures of an answer, uint8 (n, height, width, channels)."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    row = np.asarray(Image.open(io.BytesIO(answer.content)))
    return np.stack(np.split(row, row.shape[1] // 64, axis=1))


# --- What it does ---------------------------------------------------------------------------


def test_the_page_and_its_two_files(client: Client) -> None:
    for path, kind in (("/", "html"), ("/page.css", "css"), ("/page.js", "javascript")):
        answer = requests.get(client.url + path, timeout=120)
        assert answer.status_code == 200
        assert kind in answer.headers["content-type"]
        assert client.token not in answer.text
    page = requests.get(client.url, timeout=120).text
    assert "http://" not in page
    assert "https://" not in page
    assert "<style" not in page
    assert "style=" not in page
    assert page.count("<script") == page.count('<script type="module" src=')


def test_the_pages_files_are_installed() -> None:
    project = CHECKOUT
    settings = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["dcgan_assets"]
    package = project / "dcgan_assets"
    installed = {path for pattern in patterns for path in package.glob(pattern)}
    assert installed >= {package / "annotate" / f"page.{kind}" for kind in ("html", "css", "js")}


def test_the_start_says_what_there_is(client: Client) -> None:
    start = client.start()
    assert start["group"] == "lsun"
    assert (start["samples"], start["width"], start["height"]) == (SAMPLES, 64, 64)
    assert start["concepts"] == {}
    assert start["revisions"] == {"concepts": "", "boxes": ""}


def test_samples_come_a_page_at_a_time(client: Client) -> None:
    pages = [pictures(client.ask("GET", f"/api/samples/{n}")) for n in range(3)]
    assert [len(page) for page in pages] == [SAMPLES_PER_PAGE, SAMPLES_PER_PAGE, 6]
    np.testing.assert_array_equal(np.concatenate(pages), client.bench.drawing.samples(0, SAMPLES))
    answer = client.ask("GET", "/api/samples/3")
    assert (answer.status_code, answer.json()) == (400, {"error": "page 3 does not exist"})


def test_concepts_are_saved_and_found_again(client: Client) -> None:
    answer = client.save("concepts", CONCEPTS)
    assert answer.status_code == 200, answer.text
    path = client.bench.root / "annotations/lsun/concepts.json"
    found = read_concepts(path, client.bench.subject)
    assert dict(found.picks) == {"dark": (1, 3), "empty": (), "light": (2,)}
    assert found.picked_by == "person"
    start = client.start()
    assert start["concepts"] == {"dark": [1, 3], "empty": [], "light": [2]}
    assert start["revisions"]["concepts"] == answer.json()["revision"]


def test_boxes_are_saved_and_found_again(client: Client) -> None:
    assert client.save("boxes", {"samples": [7], "boxes": [BOX]}).status_code == 200
    path = client.bench.root / "annotations/lsun/boxes.coco.json"
    found = read_boxes(path, client.bench.subject)
    assert found.samples == (4, 7)
    assert vars(found.boxes[0]) == BOX
    assert client.start()["boxes"] == [BOX]
    assert client.start()["looked_at"] == [4, 7]


def test_pictures_are_drawn_from_the_picks_on_the_page(client: Client) -> None:
    drawing = client.bench.drawing
    picks = {"dark": [1, 3], "light": [2]}
    turn = {"left": "dark", "right": "light", "sample": 9}
    wishes = {
        "mean": ({"concept": "dark"}, drawing.mean("dark", picks)),
        "arithmetic": ({"expression": "dark - light"}, drawing.arithmetic("dark - light", picks)),
        "walk": ({"start": 5, "end": 6}, drawing.walk(5, 6)),
        "turn": (turn, drawing.turn("dark", "light", picks, 9)),
    }
    for name, (wish, expected) in wishes.items():
        drawn = pictures(client.draw({"draw": name, **wish}))
        np.testing.assert_array_equal(drawn, expected)
    assert client.files() == {}, "drawing writes nothing"


# --- What it refuses ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"draw": "mean", "concept": "drak"}, ("unknown concept 'drak'", "dark, empty, light")),
        ({"draw": "mean", "concept": "empty"}, ("'empty' has 0 picks", "dark, empty")),
        (
            {"draw": "arithmetic", "expression": "dark * 2"},
            ("cannot read '*'", "+ and -"),
        ),
        ({"draw": "arithmetic", "expression": "d" * 3000}, ("2000",)),
        ({"draw": "walk", "start": 1, "end": SAMPLES}, (f"sample {SAMPLES}", "0 to 69")),
        ({"draw": "walk", "start": 1, "end": -1}, ("sample -1",)),
        ({"draw": "walk", "start": 1, "end": "2"}, ("walk.end", "integer")),
        ({"draw": "turn", "left": "dark", "right": "dark"}, ("turn.sample", "required")),
        ({"draw": "cat"}, ("cat",)),
        (None, ("draw",)),
    ],
    ids=repr,
)
def test_wishes_that_cannot_be_drawn(wish: Any, words: tuple[str, ...], client: Client) -> None:
    answer = client.draw(wish)
    assert answer.status_code == 400
    line = answer.json()["error"]
    assert "\n" not in line
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ("concepts", {"../../outside": [1]}),
        ("concepts", {"/outside": [1]}),
        ("concepts", {"dark": [SAMPLES]}),
        ("concepts", ["dark"]),
        ("concepts", None),
        ("boxes", {"samples": [], "boxes": [{**BOX, "x": 40}]}),
        ("boxes", {"samples": [], "boxes": [{**BOX, "name": "\n"}]}),
        ("boxes", {"samples": [SAMPLES], "boxes": []}),
        ("boxes", []),
    ],
    ids=repr,
)
def test_bad_annotations_are_not_saved(part: str, content: Any, client: Client) -> None:
    answer = client.save(part, content)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(part)
    assert client.files() == {}


def test_a_change_behind_the_pages_back_is_not_lost(client: Client) -> None:
    assert client.save("concepts", CONCEPTS).status_code == 200
    old = client.start()["revisions"]["concepts"]
    path = client.bench.root / "annotations/lsun/concepts.json"
    theirs = path.read_text("utf-8").replace("dark", "gloomy")
    path.write_text(theirs, encoding="utf-8")
    answer = client.ask("PUT", "/api/concepts", {"revision": old, "content": {}})
    assert answer.status_code == 409
    assert "changed by something else" in answer.json()["error"]
    assert path.read_text("utf-8") == theirs


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


def test_a_bug_of_ours_is_not_told_to_the_page(client: Client) -> None:
    class Broken(Workbench):
        def page(self, number: int) -> Any:
            raise ZeroDivisionError("a secret of ours")

    bench = client.bench
    for other in serve(Broken(bench.root, bench.subject, bench.drawing)):
        answer = other.ask("GET", "/api/samples/0")
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text
        assert other.token != client.token


def test_a_full_disk_is_said(client: Client) -> None:
    place = client.bench.root / "annotations"
    for path in sorted(place.rglob("*"), reverse=True):
        path.rmdir()
    place.rmdir()
    place.touch()
    answer = client.ask("PUT", "/api/concepts", {"revision": "", "content": {}})
    place.unlink()
    assert answer.status_code == 500
    assert "cannot be read or written" in answer.json()["error"]


# --- Opening --------------------------------------------------------------------------------


def test_only_for_a_published_generator(tmp_path: Path, refused: Refused) -> None:
    with refused("cats: no generator is published", "dcgan materialize cats/generator"):
        Workbench.open(tmp_path, "cats")


def test_picks_for_another_generator_are_refused(tmp_path: Path, refused: Refused) -> None:
    old = publish_generator(tmp_path, "lsun", seed=1)
    bench = Workbench.open(tmp_path, "lsun")
    assert bench.save_concepts(CONCEPTS, "")
    assert bench.save_boxes({"samples": [1], "boxes": []}, "")
    new = publish_generator(tmp_path, "lsun", seed=2)
    assert new != old
    with refused("concepts.json", old[:12], new[:12], "move the file away"):
        Workbench.open(tmp_path, "lsun")
    (tmp_path / "annotations/lsun/concepts.json").unlink()
    with refused("boxes.coco.json", old[:12], new[:12]):
        Workbench.open(tmp_path, "lsun")
    with pytest.raises(ConflictError, match="another generator of lsun was published"):
        bench.save_concepts(CONCEPTS, "")
