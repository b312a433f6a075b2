"""What the web UI's server gives out of the folders in which trainings work: logs and grids."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from dcgan_assets.engine.live_training import LiveTraining, Session

PICTURE = b"\x89PNG and so on"
ID, OTHER = "0123456789ab", "ba9876543210"
RUN = str(uuid.UUID(int=7))
LINE = {"step": 50, "steps": 100, "epoch": 1.0, "d_loss": 1.0, "g_loss": 2.0}


def work_folder(root: Path, name: str, asset: str) -> Path:
    """A folder as a training leaves it."""
    folder = root / "runs" / asset.split("/", maxsplit=1)[0] / name
    (folder / "grids").mkdir(parents=True)
    Session(asset, RUN, began=0, steps=100, batch=8).write(folder)
    (folder / "log.jsonl").write_text(f"{json.dumps(LINE)}\n")
    (folder / "grids" / "epoch_0001.png").write_bytes(PICTURE)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with a training of cats, and much that is none beside it."""
    root = tmp_path / "workspace"
    folder = work_folder(root, ID, "cats/candidate")
    secret = tmp_path / "secret"
    secret.write_text('{"step": 1, "steps": 2}\n')
    (folder / "config.json").write_text('{"secret": 1}')
    (folder / "grids" / "epoch_0002.png").symlink_to(secret)
    os.mkfifo(folder / "grids" / "epoch_0003.png")
    (folder / "grids" / "mine.png").write_bytes(PICTURE)
    # A link to a folder, a folder whose log is a link, one without a session, one of another asset.
    (root / "runs" / "dogs").symlink_to(root / "runs" / "cats")
    linked = work_folder(root, OTHER, "birds/candidate")
    (linked / "log.jsonl").unlink()
    (linked / "log.jsonl").symlink_to(secret)
    (work_folder(root, ID, "mice/candidate") / "session.json").write_text("{}")
    apart = work_folder(tmp_path, ID, "fish/candidate")
    (root / "runs" / "fish").mkdir()
    (root / "runs" / "fish" / ID).symlink_to(apart)
    return root


Ask = Callable[..., tuple[int, dict[str, str], bytes]]


@pytest.fixture
def ask(root: Path) -> Iterator[Ask]:
    """A request to the server, its target as it goes over the wire: status, headers, body."""
    app = LiveTraining(PlainTextResponse("Dagster"), root, root / ".dagster_home")
    server = uvicorn.Server(uvicorn.Config(app, http="h11", lifespan="off", log_level="error"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()

        def asked(target: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
            connection = http.client.HTTPConnection(*listening.getsockname())
            connection.putrequest(method, target)
            connection.endheaders()
            got = connection.getresponse()
            headers = {name.lower(): value for name, value in got.getheaders()}
            answer = got.status, headers, got.read()
            connection.close()
            return answer

        yield asked
        server.should_exit = True
        thread.join()


def news(ask: Ask, target: str) -> dict[str, Any]:
    status, _, body = ask(target)
    assert status == 200
    found: dict[str, Any] = json.loads(body)
    return found


def test_a_training_is_shown_under_a_strict_policy(ask: Ask) -> None:
    found = news(ask, "/training/cats/candidate/news")
    assert found == news(ask, f"/training/cats/candidate/{ID}/news")
    assert found["grids"] == ["epoch_0001.png"]
    assert found["log"]["lines"] == [[50, 100, 1.0, 1.0, 2.0, None, None]]
    assert (found["at_work"], found["finished"]) == (False, False)
    for path in ("cats/candidate/", f"cats/candidate/{ID}/", "live.css", "live.js"):
        status, headers, body = ask(f"/training/{path}")
        assert status == 200
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert body
    assert ask(f"/training/cats/candidate/{ID}/epoch_0001.png")[2] == PICTURE


@pytest.mark.parametrize(
    "paths",
    [
        ("", "cats", "cats/candidate", "cats//news", "page.js", "live.html", "../runs/"),
        ("cats/candidate/config.json", f"cats/candidate/{ID}/log.jsonl", "cats/candidate/lock"),
        (f"cats/candidate/{ID}/epoch_0002.png", f"cats/candidate/{ID}/mine.png"),
        (f"cats/candidate/{ID}/epoch_0003.png", f"cats/candidate/{ID}/epoch_9999.png"),
        ("dogs/candidate/news", "fish/candidate/news", f"fish/candidate/{ID}/epoch_0001.png"),
        ("mice/candidate/news", "cats/extractor/news", f"cats/candidate/{OTHER}/news"),
        (f"cats/candidate/*/{ID}/news", "*/candidate/news", "cats/*/news", "[c]ats/candidate/news"),
        ("cats/../../news", "cats/%2e%2e/news", f"cats/candidate/..%2f{ID}/news", "%00/a/news"),
        (f"cats/candidate/{ID}%00/news", f"cats/candidate/{ID}/grids/epoch_0001.png"),
        ("a" * 5000 + "/b/news", "c%C3%A4ts/candidate/news", "cats%5ccandidate/news"),
    ],
    ids=lambda paths: paths[-1][-30:],
)
def test_nothing_else_is_given_out(ask: Ask, paths: tuple[str, ...]) -> None:
    for path in paths:
        status, _, body = ask(f"/training/{path}")
        assert status == 404, path
        assert body.count(b"\n") == 1
        assert b"secret" not in body


def test_a_log_that_is_a_link_is_not_read(ask: Ask) -> None:
    assert news(ask, "/training/birds/candidate/news")["log"]["lines"] == []


@pytest.mark.parametrize(
    "query",
    ["from=-1", "from=1e9", "from=" + "9" * 400, "from=%ff", "from=x&log=%00", "log=&from=&&=&%"],
)
def test_a_place_in_the_log_is_a_number_or_the_beginning(ask: Ask, query: str) -> None:
    found = news(ask, f"/training/cats/candidate/news?{query}")
    assert found["log"]["anew"]
    mark = found["log"]["log"]
    beyond = news(ask, f"/training/cats/candidate/news?log={mark}&from=99999999999999")
    assert beyond["log"]["anew"]


@pytest.mark.parametrize(
    "log",
    [
        b'\x00\xff\xfe\n[1]\n{}\n"x"\n1\n',
        b'{"step": NaN, "steps": 1e999, "d_loss": "<script>", "g_loss": [1], "epoch": true}\n',
        b"[" * 100_000 + b"\n",
        b"x" * 3_000_000,
        b'{"step": ' + b"9" * 5000 + b"}\n",
    ],
    ids=["no JSON", "no numbers", "deep", "one line", "a long number"],
)
def test_a_damaged_log_gives_numbers_or_nothing(ask: Ask, root: Path, log: bytes) -> None:
    (root / "runs" / "cats" / ID / "log.jsonl").write_bytes(log)
    found = news(ask, "/training/cats/candidate/news")["log"]
    flat = [value for line in found["lines"] for value in line]
    assert all(value is None for value in flat)


def test_it_is_only_read(ask: Ask) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert ask("/training/cats/candidate/news", method)[0] == 405
    assert ask("/training/cats/candidate/", "HEAD")[2] == b""


def test_all_else_is_handed_on(ask: Ask) -> None:
    for path in ("/", "/assets/training/", "/trainings/cats/candidate/", "/training"):
        assert ask(path)[2] == b"Dagster"
