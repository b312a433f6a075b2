"""DVC's remotes: a clone has what was pushed, by folder and by HTTP; some things never are."""

from __future__ import annotations

import functools
import hashlib
import http.server
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from small_graph import SmallGraph

from dcgan_assets.engine.catalogue import Catalogue

pytestmark = pytest.mark.slow

NAMES = ("images", "mean", "constant", "candidate", "generator", "samples")
TABLE = "data/toy/constant"
GIVEN = ("models/toy/generator", "models/toy/discriminator", "results/toy/samples")
PICTURES = ("data/toy/images", "data/toy/mean")


@dataclass
class WithTable(SmallGraph):
    """The small graph, `toy/constant` being a table that may be passed on."""

    def catalogue(self) -> Catalogue:
        found = super().catalogue()
        steps = [
            replace(step, passes_on=True) if step.key == "toy/constant" else step
            for step in found.steps
        ]
        return Catalogue(found.workspace, tuple(steps))


def contents(*folders: Path) -> set[str]:
    """The SHA-256 of every file, whatever it is called."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def pushed(module_root: Path) -> WithTable:
    """A workspace that pushes what it makes, committed to git."""
    graph = WithTable(module_root / "pushed", NAMES)
    graph.root.mkdir()
    graph.change(images={"shards": 2}, machine={"dvc": "push"})
    graph.write_source("00", 1.0)
    graph.write_source("01", 2.0)
    graph.under_dvc()
    assert graph.run().code == 0
    graph.commit_all("made and pushed")
    return graph


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """A plain HTTP server of a folder on loopback: its address, and the paths it is asked for."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            asked.append(self.path)

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def test_each_thing_in_its_remote_and_pictures_in_none(pushed: WithTable) -> None:
    root = pushed.root
    results, bulk = root / "dvc-remote", root.with_name(f"{root.name}-bulk")
    assert contents(*(root / place for place in GIVEN)) <= contents(results)
    assert contents(root / TABLE) <= contents(bulk)
    assert not contents(root / TABLE) & contents(results)
    everywhere = contents(results, bulk, root / ".dvc")
    assert not contents(*(root / place for place in PICTURES)) & everywhere
    # Not even when asked for.
    pushed.dvc("push", "--run-cache")
    assert not contents(*(root / place for place in PICTURES)) & contents(results, bulk)


def test_a_clone_pulls_from_a_folder_and_over_http(pushed: WithTable) -> None:
    clone = WithTable(pushed.root.with_name("clone"), NAMES)
    pushed.call("git", "clone", "--quiet", str(pushed.root), str(clone.root))
    bulk = pushed.root.with_name(f"{pushed.root.name}-bulk")
    clone.dvc("pull")
    kept = (TABLE, *GIVEN)
    expected = {place: contents(pushed.root / place) for place in kept}
    assert {place: contents(clone.root / place) for place in kept} == expected
    assert not any((clone.root / place).exists() for place in PICTURES)

    for place in (*kept, ".dvc/cache"):
        shutil.rmtree(clone.root / place)
    with served(bulk) as (address, asked):
        clone.dvc("remote", "modify", "--local", "bulk", "url", address)
        clone.dvc("pull")
    assert {place: contents(clone.root / place) for place in kept} == expected
    held = [path.relative_to(bulk).as_posix() for path in bulk.rglob("*") if path.is_file()]
    assert {f"/{name}" for name in held} <= set(asked)


def test_a_remote_that_is_gone_is_one_line(pushed: WithTable, fast_disk: Path) -> None:
    graph = WithTable(fast_disk / "pushed", NAMES, dict(pushed.sections))
    shutil.copytree(pushed.root, graph.root)
    with served(fast_disk) as (address, _):
        pass  # the port is free again, and nobody listens
    graph.dvc("remote", "modify", "--local", "bulk", "url", address)
    graph.change(constant={"value": 8})
    ran = graph.run("toy/constant")
    assert ran.code == 1
    assert ran.made == ["toy/constant"]
    (line,) = ran.starting("FAILED")
    assert line.startswith("FAILED dvc: `dvc push` failed: ")
    assert line.endswith("; what was made stands")
    assert graph.meta("toy/constant").data_version != pushed.meta("toy/constant").data_version


@contextmanager
def s3_server() -> Iterator[str]:
    """Somebody else's S3 on loopback: its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def test_a_clone_pulls_from_s3(
    pushed: WithTable, fast_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "tester")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with s3_server() as address:
        import boto3

        client = boto3.client("s3", endpoint_url=address)
        client.create_bucket(Bucket="tables")
        graph = WithTable(fast_disk / "pushed", NAMES, dict(pushed.sections))
        shutil.copytree(pushed.root, graph.root)
        graph.dvc("remote", "modify", "bulk", "url", "s3://tables/place")
        graph.dvc("remote", "modify", "bulk", "endpointurl", address)
        graph.dvc("push")
        held = client.list_objects_v2(Bucket="tables")["Contents"]
        sizes = sorted(entry["Size"] for entry in held if not entry["Key"].endswith(".dir"))
        files = [path for path in (graph.root / TABLE).iterdir() if path.is_file()]
        assert sizes == sorted(path.stat().st_size for path in files)

        expected = contents(graph.root / TABLE)
        for place in (TABLE, ".dvc/cache"):
            shutil.rmtree(graph.root / place)
        graph.dvc("pull", "toy-constant")
        assert contents(graph.root / TABLE) == expected
