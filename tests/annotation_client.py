"""A client of the server of `dcgan annotate`, and the server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from small_generator import publish_generator

from dcgan_assets.annotate.server import listen, make_server
from dcgan_assets.annotate.workbench import Workbench

CONCEPTS = {"dark": [3, 1], "light": [2], "empty": []}


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
        kind = "application/json"
        given = {"x-annotate-token": self.token, "content-type": kind, **headers}
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
        try:
            yield Client(bench, int(place.rpartition(":")[2]), token)
        finally:
            server.should_exit = True
            thread.join(120)
        assert not thread.is_alive()


def serve_new(folder: Path) -> Iterator[Client]:
    """The server of a new workspace below `folder` that has a generator and nothing annotated."""
    root = folder / "workspace"
    root.mkdir()
    publish_generator(root, "lsun")
    yield from serve(Workbench.open(root, "lsun"))


def cleared(served: Client) -> Client:
    """The server, with nothing annotated yet."""
    for path in (served.bench.root / "annotations").rglob("*.json"):
        path.unlink()
    return served
