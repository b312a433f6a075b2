"""What the web UI's server gives out of a workspace: published figures and pages, nothing else."""

from __future__ import annotations

import http.client
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from dcgan_assets.engine.served_results import ServedResults, shown_results
from dcgan_assets.engine.store import Artefact
from dcgan_models.files import write_json

PICTURE = b"\x89PNG and so on"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with one published result, and much beside it."""
    root = tmp_path / "workspace"
    folder = root / "results" / "cats" / "samples"
    folder.mkdir(parents=True)
    files = ("figure.png", "page.html", "result.json", "gone.png", "linked.png")
    record = {"key": "cats/samples", "shard": None, "files": {name: {} for name in files}}
    write_json(folder / "_meta.json", record)
    (folder / "figure.png").write_bytes(PICTURE)
    (folder / "page.html").write_text("<h1>cats</h1>")
    (folder / "result.json").write_text("{}")
    (folder / "unlisted.png").write_bytes(PICTURE)
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    (folder / "linked.png").symlink_to(secret)
    (root / "results" / "dogs").symlink_to(root / "results" / "cats")
    (root / "results" / "cats" / "loose.png").write_bytes(PICTURE)
    no_record = root / "results" / "cats" / "draft"
    no_record.mkdir()
    (no_record / "figure.png").write_bytes(PICTURE)
    os.mkfifo(folder / "pipe.png")
    (root / "params.yaml").write_text("secret")
    candidate = root / "models" / "cats" / "candidate"
    candidate.mkdir(parents=True)
    listed = {"key": "cats/candidate", "shard": None, "files": {"losses.png": {}}}
    write_json(candidate / "_meta.json", listed)
    (candidate / "losses.png").write_bytes(PICTURE)
    (candidate / "unlisted.png").write_bytes(PICTURE)
    return root


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


Ask = Callable[..., Answer]


@pytest.fixture
def ask(root: Path) -> Iterator[Ask]:
    """A request to the server, its target as it goes over the wire."""
    app = ServedResults(PlainTextResponse("Dagster"), root)
    server = uvicorn.Server(uvicorn.Config(app, http="h11", lifespan="off", log_level="error"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()

        def asked(target: str, method: str = "GET") -> Answer:
            connection = http.client.HTTPConnection(*listening.getsockname())
            connection.putrequest(method, target)
            connection.endheaders()
            got = connection.getresponse()
            answer = Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
            connection.close()
            return answer

        yield asked
        server.should_exit = True
        thread.join()


def test_a_figure_is_shown_and_a_page_in_a_sandbox(ask: Ask) -> None:
    figure = ask("/results/cats/samples/figure.png")
    assert figure.body == PICTURE
    assert figure.headers["content-type"] == "image/png"
    page = ask("/results/cats/samples/page.html?1")
    assert page.body == b"<h1>cats</h1>"
    for answer in (figure, page):
        assert answer.status == 200
        assert answer.headers["content-security-policy"].startswith("sandbox ")
        assert "allow-same-origin" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert ask("/results/cats/samples/figure.png", "HEAD").body == b""
    assert ask("/models/cats/candidate/losses.png").body == PICTURE


@pytest.mark.parametrize(
    "paths",
    [
        ("", "cats", "cats/", "cats/samples", "cats/samples/", "cats/loose.png", "//"),
        ("cats/samples/result.json", "cats/samples/_meta.json", "cats/samples/unlisted.png"),
        ("cats/samples/gone.png", "cats/samples/linked.png", "cats/samples/pipe.png"),
        ("dogs/samples/figure.png", "cats/draft/figure.png", "cats/samples/figure.png/"),
        ("%2e%2e/%2e%2e/secret.png", "cats/%2e%2e/%2e%2e/secret.png", "../../secret.png"),
        ("cats/samples/figure.png%00.png", "%00/a/b.png", "cats//samples/figure.png"),
        ("cats/samples/%ff.png", "cats/samples/..%2ffigure.png", "a" * 5000 + "/b/c.png"),
        ("/etc/x/passwd.png", "%2fetc%2fx/passwd.png", "cats%5csamples%5cfigure.png"),
    ],
    ids=lambda paths: paths[-1][:30],
)
def test_nothing_else_is_given_out(ask: Ask, paths: tuple[str, ...]) -> None:
    for path in paths:
        answer = ask(f"/results/{path}")
        assert (answer.status, answer.body) == (404, b"no figure or page of a published result\n")


def test_the_same_of_networks_and_data(ask: Ask) -> None:
    for path in ("models/cats/candidate/unlisted.png", "models/cats/candidate", "data", "models/"):
        assert ask(f"/{path}").body != PICTURE
    for path in ("models/cats/candidate/unlisted.png", "data/../params.yaml", "data/a/b/c.png"):
        assert ask(f"/{path}").status == 404


def test_it_is_only_read(ask: Ask, root: Path) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert ask("/results/cats/samples/figure.png", method).status == 405
    assert (root / "results/cats/samples/figure.png").read_bytes() == PICTURE


def test_all_else_is_handed_on(ask: Ask) -> None:
    for path in (
        "/",
        "/assets",
        "/params.yaml",
        "/runs/a/b/c.png",
        "/result",
        "/resultsx",
        "/assets/results/figure.png",
    ):
        assert ask(path).body == b"Dagster"


def test_pictures_are_shown_and_pages_linked() -> None:
    samples, shard = Artefact("cats/samples", "results"), Artefact("cats/images", "data", "00")
    files = ["b.html", "a.png", "figure.png", "in/c.png"]
    assert shown_results(samples, files, {"figure.png": "all of them"}) == (
        "figure.png: all of them\n\n"
        "![figure.png: `dcgan ui` shows it here](/results/cats/samples/figure.png)\n\n"
        "![a.png: `dcgan ui` shows it here](/results/cats/samples/a.png)\n\n"
        "[b.html](/results/cats/samples/b.html)"
    )
    candidate = Artefact("cats/candidate", "models")
    assert "](/models/cats/candidate/losses.png)" in shown_results(candidate, ["losses.png"], {})
    assert shown_results(samples, ["result.json"], {}) == ""
    assert shown_results(shard, ["a.png"], {}) == ""
