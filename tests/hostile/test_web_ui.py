"""`dcgan ui`, asked by pages and under names that are not its own: as it is, and to look only."""

from __future__ import annotations

import http.client
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest
from web_ui import Server, served
from workbench import Bench, clean_environment, make_workspace, shrink

from dcgan_assets.engine.live_training import Session
from dcgan_models.files import write_json

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PROXY = "ui.example.org"
WIPE = """
mutation {
  wipeAssets(assetPartitionRanges: [{assetKey: {path: ["mnist", "images"]}}]) { __typename }
}
"""
LAUNCH = """
mutation {
  launchRun(executionParams: {
    selector: {
      repositoryLocationName: "dcgan", repositoryName: "__repository__",
      pipelineName: "__ASSET_JOB", assetSelection: [{path: ["mnist", "images"]}]
    }
    runConfigData: {ops: {mnist__images: {config: {force: true}}}}
  }) { __typename }
}
"""
LOOK = "{ version }"
STATE = """
{
  runsOrError { ... on Runs { results { runId } } }
  assetOrError(assetKey: {path: ["mnist", "images"]}) {
    ... on Asset { assetMaterializations { runId timestamp } }
  }
}
"""


@dataclass(frozen=True)
class Asked:
    """A request as it goes over the wire; `{port}` is the server's."""

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""

    def answer(self, port: int) -> tuple[int, str]:
        """Status and text."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        connection.putrequest(self.method, self.target.format(port=port), skip_host=True)
        given = {"Host": "127.0.0.1:{port}", "Content-Length": str(len(self.body)), **self.headers}
        for name, value in given.items():
            for one in value.split(" & "):
                connection.putheader(name, one.format(port=port))
        # In one piece: a server that refuses by the headers closes, and what comes then resets all.
        pieces: list[bytes] = []
        connection.connect()
        connection.send = pieces.append  # type: ignore[method-assign,assignment]
        connection.endheaders(self.body.encode())
        connection.sock.sendall(b"".join(pieces))
        answer = connection.getresponse()
        text = "" if answer.status == 101 else answer.read().decode()
        connection.close()
        return answer.status, text


def got(query: str, **headers: str) -> Asked:
    return Asked("GET", f"/graphql?{urlencode({'query': query})}", _named(headers))


def posted(query: str, kind: str = "application/json", **headers: str) -> Asked:
    body = json.dumps({"query": query})
    return Asked("POST", "/graphql", {"Content-Type": kind, **_named(headers)}, body)


def opened(**headers: str) -> Asked:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "graphql-ws",
    }
    return Asked("GET", "/graphql", {**upgrade, **_named(headers)})


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def fetch(site: str, mode: str, dest: str) -> dict[str, str]:
    return {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": mode, "Sec_Fetch_Dest": dest}


SCRIPT = fetch("cross-site", "cors", "empty")
PORT = fetch("same-site", "cors", "empty")
IMAGE = fetch("cross-site", "no-cors", "image")
FRAME = fetch("cross-site", "navigate", "iframe")
LINK = fetch("cross-site", "navigate", "document")
OWN = fetch("same-origin", "cors", "empty")
EVIL = "http://evil.example"
FORM = "application/x-www-form-urlencoded"
FIGURE, TRAINING = "/results/cats/samples/figure.png", "/training/cats/candidate/news"
REPORT = "/report_asset_materialization/mnist/images?data_version=x"

ATTACKS = {
    "wipe by GET": got(WIPE),
    "launch by GET": got(LAUNCH),
    "a question by GET": got(LOOK),
    "wipe by HEAD": Asked("HEAD", got(WIPE).target),
    "an image tag": got(WIPE, **IMAGE),
    "a link to a mutation": got(WIPE, **LINK),
    "a script of another site": got(LAUNCH, Referer=f"{EVIL}/", **SCRIPT),
    "GET under another spelling": Asked("GET", got(WIPE).target.replace("graphql", "%67raphql", 1)),
    "a foreign referer": got(WIPE, Referer=f"{EVIL}/"),
    "JSON of a foreign origin": posted(WIPE, Origin=EVIL),
    "JSON of a hidden origin": posted(WIPE, Origin="null"),
    "JSON of another port": posted(WIPE, Origin="http://127.0.0.1:1"),
    "JSON of https": posted(WIPE, Origin="https://127.0.0.1:{port}"),
    "JSON of two origins": posted(WIPE, Origin=f"http://127.0.0.1:{{port}} & {EVIL}"),
    "JSON of a script elsewhere": posted(WIPE, **SCRIPT),
    "JSON of a script on another port": posted(WIPE, **PORT),
    "JSON of a navigation": posted(WIPE, **LINK),
    "a form": Asked("POST", "/graphql", {"Content-Type": FORM}, urlencode({"query": WIPE})),
    "a form, the query in the address": Asked(
        "POST", got(WIPE).target, {"Content-Type": FORM, "Origin": EVIL}
    ),
    "no kind of body": Asked("POST", got(WIPE).target),
    "text": posted(WIPE, "text/plain"),
    "text that says JSON": posted(WIPE, "text/plain; application/json"),
    "several parts": posted(WIPE, "multipart/form-data; boundary=application/json"),
    "bare GraphQL": Asked("POST", "/graphql", {"Content-Type": "application/graphql"}, WIPE),
    "two kinds of body": posted(WIPE, "text/plain & application/json"),
    "a rebound name": posted(WIPE, Host="evil.example:{port}", Origin="http://evil.example:{port}"),
    "a page under a rebound name": Asked("GET", "/", {"Host": "evil.example:{port}"}),
    "a log under a rebound name": Asked("GET", "/logs/x/y.out", {"Host": "evil.example"}),
    "a host without port": posted(LOOK, Host="127.0.0.1"),
    "a host of another port": posted(LOOK, Host="localhost:1"),
    "a host with a tail": posted(LOOK, Host="127.0.0.1.evil.example:{port}"),
    "a name with a tail": posted(LOOK, Host=f"{PROXY}.evil.example"),
    "a name before a name": posted(LOOK, Host=f"evil.{PROXY}"),
    "a name with another port": posted(LOOK, Host=f"{PROXY}:8080"),
    "an empty host": posted(LOOK, Host=""),
    "two hosts": posted(LOOK, Host="127.0.0.1:{port} & evil.example"),
    "a whole address": Asked("GET", f"{EVIL}/", {}),
    "a whole address, ours": Asked("GET", "http://127.0.0.1:{port}/server_info", {}),
    "a frame": Asked("GET", "/", _named(FRAME)),
    "a script file for a page elsewhere": Asked("GET", "/robots.txt", _named(IMAGE)),
    "an event of an asset by form": Asked("POST", REPORT, {"Content-Type": FORM, "Origin": EVIL}),
    "an event of an asset from nowhere": Asked("POST", REPORT),
    "a question before": Asked("OPTIONS", "/graphql", {"Origin": EVIL}),
    "a figure under a rebound name": Asked("GET", FIGURE, {"Host": "evil.example:{port}"}),
    "a figure for a page elsewhere": Asked("GET", FIGURE, _named(IMAGE)),
    "a training under a rebound name": Asked("GET", TRAINING, {"Host": "evil.example:{port}"}),
    "a training for a script elsewhere": Asked("GET", TRAINING, _named(SCRIPT)),
}
SOCKETS = {
    "of a foreign origin": opened(Origin=EVIL),
    "of a hidden origin": opened(Origin="null"),
    "of another port": opened(Origin="http://127.0.0.1:1"),
    "under a rebound name": opened(Host="evil.example:{port}", Origin="http://evil.example:{port}"),
    "of a script elsewhere": opened(**fetch("cross-site", "websocket", "empty")),
    "of two origins": opened(Origin=f"http://127.0.0.1:{{port}} & {EVIL}"),
}
ALLOWED = {
    "a page": (Asked("GET", "/"), 200),
    "a page by a link from elsewhere": (Asked("GET", "/runs", _named(LINK)), 200),
    "a page by its other name": (Asked("GET", "/", {"Host": "localhost:{port}"}), 200),
    "a page through the proxy": (Asked("GET", "/", {"Host": PROXY}), 200),
    "a question": (posted(LOOK), 200),
    "a question of the page": (posted(LOOK, Origin="http://127.0.0.1:{port}", **OWN), 200),
    "a question through the proxy": (posted(LOOK, Host=PROXY, Origin=f"https://{PROXY}"), 200),
    "a kind with its letters": (posted(LOOK, "application/json; charset=utf-8"), 200),
    "a figure": (Asked("GET", FIGURE), 200),
    "a figure through the proxy": (Asked("GET", FIGURE, {"Host": PROXY}), 200),
    "a training": (Asked("GET", TRAINING), 200),
    "a training through the proxy": (Asked("GET", TRAINING, {"Host": PROXY}), 200),
    "a socket": (opened(), 101),
    "a socket of the page": (opened(Origin="http://127.0.0.1:{port}"), 101),
    "a socket through the proxy": (opened(Host=PROXY, Origin=f"https://{PROXY}"), 101),
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A workspace with the one asset that every attack is after."""
    root = tmp_path_factory.mktemp("door") / "workspace"
    bench = make_workspace(root, clean_environment(), shrink)
    bench.dcgan("materialize", "mnist/images")
    folder = root / FIGURE.lstrip("/")
    folder.parent.mkdir(parents=True)
    folder.write_text("a figure")
    record = {"key": "cats/samples", "shard": None, "files": {folder.name: {}}}
    write_json(folder.parent / "_meta.json", record)
    training = root / "runs/cats/0123456789ab"
    training.mkdir(parents=True)
    Session("cats/candidate", str(uuid.uuid4()), began=0, steps=9, batch=8).write(training)
    return bench


@pytest.fixture(scope="module", params=["as it is", "--read-only"])
def server(bench: Bench, request: pytest.FixtureRequest) -> Iterator[Server]:
    more = [option for option in [request.param] if option.startswith("--")]
    with served(bench, "--allow-host", PROXY, *more) as server:
        yield server


@pytest.fixture(scope="module")
def before(server: Server) -> dict[str, Any]:
    """What there is, before anybody attacks it."""
    found = server.query(STATE)
    assert found["runsOrError"]["results"]
    return found


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_what_is_not_answered(attack: Asked, server: Server, before: dict[str, Any]) -> None:
    status, text = attack.answer(server.port)
    assert status in {400, 403}, text
    assert len(text.splitlines()) == (attack.method != "HEAD")
    assert server.query(STATE) == before


@pytest.mark.parametrize("attack", SOCKETS.values(), ids=SOCKETS)
def test_sockets_that_are_not_opened(attack: Asked, server: Server) -> None:
    status, _ = attack.answer(server.port)
    assert status in {400, 403}


@pytest.mark.parametrize(("asked", "status"), ALLOWED.values(), ids=ALLOWED)
def test_what_is_answered(asked: Asked, status: int, server: Server) -> None:
    found, text = asked.answer(server.port)
    assert found == status, text


def test_refusing_is_quiet(server: Server) -> None:
    for attack in [ATTACKS["a form"], *SOCKETS.values()]:
        attack.answer(server.port)
    said = server.running.output()
    assert "Traceback" not in said
    assert "ASGI" not in said


def test_the_attacks_would_succeed_from_the_page(server: Server) -> None:
    """What was refused above is right GraphQL: the page may ask it, if it may do more than look."""
    own = {"Origin": "http://127.0.0.1:{port}", **OWN}
    named = {LAUNCH: ("launchRun", "LaunchRunSuccess"), WIPE: ("wipeAssets", "AssetWipeSuccess")}
    may = "--read-only" not in server.running.commands()[server.running.descendants()[0]]
    for query, (name, success) in named.items():
        status, text = posted(query, **own).answer(server.port)
        assert status == 200
        found = json.loads(text)["data"][name]["__typename"]
        assert found == (success if may else "UnauthorizedError")
        if may and query == LAUNCH:
            assert server.wait_for_end(server.latest_run()) == "SUCCESS"


@pytest.mark.parametrize(
    "name", ["", "*", "http://ui.example.org", "ui.example.org/", "a b", "*.example.org", "x:y"]
)
def test_names_that_are_none(name: str, bench: Bench) -> None:
    said = bench.dcgan("ui", "--allow-host", name, code=1)
    (line,) = said.splitlines()
    assert line.startswith(f"error: {name!r} is no name of a host")
