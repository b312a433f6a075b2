"""Machines that share no folder: two workspaces and an S3 server on loopback, nothing mocked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_graph import MADE_AT_ONCE, SmallGraph

from dcgan_assets.engine.exchange import Exchange
from dcgan_assets.engine.store import Artefact, Store
from dcgan_models.errors import UserError

SECRET = "wJalrXUtnFEMI-not-to-be-shown"  # noqa: S105
ROOMS = Artefact("toy/rooms", "data")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Somebody else's S3 on loopback: its address."""
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    try:
        host, port = running.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        running.stop()


@pytest.fixture
def s3(server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of an empty bucket `shared`; all that it takes is in the environment."""
    import boto3

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tester")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    client = boto3.client("s3")
    client.create_bucket(Bucket="shared")
    for one in held(client):
        client.delete_object(Bucket="shared", Key=one)
    return client


def held(client: Any) -> list[str]:
    """The keys in the bucket."""
    found = client.list_objects_v2(Bucket="shared").get("Contents", [])
    return [one["Key"] for one in found]


def machine(small: SmallGraph, name: str, exchange: str = "s3://shared/work") -> SmallGraph:
    """Another machine's workspace, with the same params.yaml and sources."""
    import shutil

    root = small.root.with_name(name)
    shutil.copytree(small.root, root)
    graph = SmallGraph(root, MADE_AT_ONCE, dict(small.sections))
    graph.change(machine={"dvc": "off", "exchange": exchange})
    return graph


def published(graph: SmallGraph) -> dict[str, tuple[str, str]]:
    """Data version and fingerprint of all that is published."""
    catalogue = graph.catalogue()
    metas = {
        artefact.label: catalogue.store.meta(artefact)
        for step in catalogue.steps
        for key in step.outputs
        for shard in catalogue.shards(step)
        for artefact in [catalogue.artefact(key, shard)]
    }
    assert all(metas.values()), metas
    return {label: (m.data_version, m.fingerprint) for label, m in metas.items() if m}


def contents(root: Path, *tops: str) -> dict[str, bytes]:
    """Files of artefacts but for what says when and where they were made."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for top in tops
        for path in sorted((root / top).rglob("*"))
        if path.is_file() and path.name not in ("_meta.json", "result.json")
    }


# --- Two machines ---------------------------------------------------------------------------


@pytest.mark.slow
def test_two_machines_make_a_graph_together(small: SmallGraph, s3: Any) -> None:
    """A shard each, the rest on the second: equal to what one machine makes, on both of them."""
    alone = machine(small, "alone", "folder")
    assert alone.run().code == 0
    first, second = machine(small, "first"), machine(small, "second")
    assert first.run("toy/images", partition="00").made == ["toy/images[00]"]
    assert second.run("toy/images", partition="01").made == ["toy/images[01]"]
    assert not (second.root / "data/toy/images/00").exists(), "nothing needed it there"

    ran = second.run()
    assert ran.code == 0, ran.lines
    assert (second.root / "data/toy/images/00/value.json").exists(), "toy/mean read it there"
    assert published(first) == published(second) == published(alone)
    assert contents(second.root, "data", "models", "results") == contents(
        alone.root, "data", "models", "results"
    )
    # What is looked at comes to the first as well, and nothing is made there.
    ran = first.run()
    assert ran.code == 0, ran.lines
    assert contents(first.root, "models", "results") == contents(alone.root, "models", "results")
    assert not (first.root / "data/toy/mean").exists()
    objects = {name.rpartition("/")[2] for name in held(s3) if "/objects/" in name}
    assert len(objects) == sum("/objects/" in name for name in held(s3))


@pytest.mark.slow
def test_what_another_machine_made_anew_is_brought_anew(small: SmallGraph, s3: Any) -> None:
    first, second = machine(small, "first"), machine(small, "second")
    assert first.run("toy/mean").code == 0
    assert second.run("toy/mean").code == 0
    for graph in (first, second):
        graph.write_source("01", 7.0)
    assert first.run("toy/images").code == 0
    assert second.run("toy/boxes").code == 0
    value = json.loads((second.root / "data/toy/images/01/value.json").read_text())
    assert value == 7.0
    assert second.run("toy/mean").code == 0
    assert json.loads((second.root / "data/toy/mean/mean.json").read_text()) == 4.0


@pytest.mark.slow
def test_what_was_made_before_the_exchange_is_given_to_it(small: SmallGraph, s3: Any) -> None:
    graph = machine(small, "graph", "folder")
    assert graph.run("toy/constant").code == 0
    made = graph.meta("toy/constant")
    graph.change(machine={"exchange": "s3://shared/work"})
    ran = graph.run("toy/constant")
    assert any("up to date" in line for line in ran.starting("toy/constant")), ran.lines
    assert graph.meta("toy/constant") == made
    assert machine(small, "other").meta("toy/constant") == made


# --- Whole or not at all --------------------------------------------------------------------


def store(root: Path) -> Store:
    root.mkdir(exist_ok=True)
    return Store(root, Exchange("s3://shared/work"))


def build(own: Store, graph: SmallGraph, **files: str) -> Any:
    """Publish `toy/rooms`, with files of these contents."""
    made = graph.catalogue().store.here(Artefact("toy/constant", "data"))
    assert made is not None
    with own.writing(ROOMS) as staging:
        for name, content in files.items():
            (staging / name).write_text(content)
        return own.publish(staging, ROOMS, made)


@pytest.fixture
def constant(small: SmallGraph) -> SmallGraph:
    """A graph with a record whose facts others may bear."""
    graph = machine(small, "constant", "folder")
    assert graph.run("toy/constant").code == 0
    return graph


_KILLED = """
import sys
from pathlib import Path
from dcgan_assets.engine.exchange import Exchange

folder = Path(sys.argv[1])
files = {name: folder / name for name in ("first", "second")}
Exchange("s3://shared/work").publish("data/toy/rooms", b"{}", files)
"""


@pytest.mark.slow
def test_of_an_upload_that_is_killed_nothing_is_seen(
    constant: SmallGraph, s3: Any, tmp_path: Path
) -> None:
    (tmp_path / "first").write_text("here")
    os.mkfifo(tmp_path / "second")  # is waited for, for ever
    process = subprocess.Popen([sys.executable, "-c", _KILLED, str(tmp_path)])
    try:
        until = time.monotonic() + 300
        while held(s3) != ["work/objects/first"]:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    other = store(tmp_path / "other")
    assert other.meta(ROOMS) is None
    other.bring([ROOMS])
    assert not other.folder(ROOMS).exists()
    made = build(other, constant, a="1")
    assert store(tmp_path / "third").meta(ROOMS) == made


def test_a_damaged_object_is_not_brought(constant: SmallGraph, s3: Any, tmp_path: Path) -> None:
    build(store(tmp_path / "one"), constant, a="1", b="2")
    (of_a, *_) = [name for name in held(s3) if "/objects/" in name]
    s3.put_object(Bucket="shared", Key=of_a, Body=b"other")
    other = store(tmp_path / "other")
    with pytest.raises(UserError, match=r"objects/\w{64}: its bytes are not those of its name"):
        other.bring([ROOMS])
    assert not other.folder(ROOMS).exists()


@pytest.mark.parametrize("name", ["../outside", "/outside", "_meta.json", "a/../../outside"])
def test_a_record_that_leads_outside_is_refused(
    constant: SmallGraph, s3: Any, tmp_path: Path, name: str
) -> None:
    made = build(store(tmp_path / "one"), constant, a="1")
    foreign = made.model_copy(update={"files": {name: made.files["a"]}})
    s3.put_object(
        Bucket="shared",
        Key="work/records/data/toy/rooms/_meta.json",
        Body=foreign.model_dump_json().encode(),
    )
    other = store(tmp_path / "other")
    with pytest.raises(UserError, match="toy/rooms lists"):
        other.bring([ROOMS])
    assert not list(tmp_path.rglob("outside*"))


def test_what_lies_here_already_is_not_fetched_again(
    constant: SmallGraph, s3: Any, tmp_path: Path
) -> None:
    build(store(tmp_path / "one"), constant, a="1")
    other = store(tmp_path / "other")
    other.bring([ROOMS])
    build(store(tmp_path / "one"), constant, a="1", b="2")
    (of_a,) = [
        name
        for name in held(s3)
        if "/objects/" in name and s3.get_object(Bucket="shared", Key=name)["Body"].read() == b"1"
    ]
    s3.delete_object(Bucket="shared", Key=of_a)
    store(tmp_path / "other").bring([ROOMS])
    assert contents(tmp_path / "other", "data") == {
        "data/toy/rooms/a": b"1",
        "data/toy/rooms/b": b"2",
    }


# --- What is wrong --------------------------------------------------------------------------


def test_a_bucket_that_is_not_there(s3: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"machine\.exchange: s3://nobodys/place: ") as caught:
        Exchange("s3://nobodys/place").publish("data/toy/rooms", b"{}", {})
    assert "\n" not in str(caught.value)


def test_a_server_that_does_not_answer_is_one_line_without_the_key(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dcgan_assets.engine.hosts import free_port

    address = f"http://127.0.0.1:{free_port('127.0.0.1')}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"{address}/{SECRET}")
    with pytest.raises(UserError, match=r"machine\.exchange: s3://shared/work: ") as caught:
        Exchange("s3://shared/work").record("data/toy/rooms")
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
