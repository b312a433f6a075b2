"""Folders of publications: damaged, foreign, or made so that a way back leads astray."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from small_graph import SmallGraph

from dcgan_assets.cli.common import echo_lines
from dcgan_assets.dvc.rollback import rollback
from dcgan_assets.engine.metadata import encode
from dcgan_assets.engine.publication_log import publication_lines
from dcgan_assets.engine.publications import History
from dcgan_models.errors import UserError

NAMES = ("images", "mean", "candidate", "generator")
Damage = Callable[[Path], Any]


@pytest.fixture(scope="module")
def template() -> Iterator[SmallGraph]:
    """A workspace in which networks were published twice."""
    memory = "/dev/shm"  # noqa: S108
    with (
        tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name in ("DCGAN_ROOT", "DAGSTER_HOME"):  # `prepare_home` sets them
            patch.setenv(name, "unset")
        graph = SmallGraph(Path(folder)).only(*NAMES)
        graph.change(images={"shards": 1}, machine={"dvc": "off"})
        graph.write_source("00", 1.0)
        for seed in (1, 2):
            graph.change(seed=seed)
            assert graph.run().code == 0
        yield graph


@pytest.fixture
def graph(place: Path, template: SmallGraph) -> SmallGraph:
    """A copy of it, and a secret beside it."""
    shutil.copytree(template.root, place / "ws")
    (place / "secret").write_text("a secret")
    return SmallGraph(place / "ws", NAMES, dict(template.sections))


def edited(change: Callable[[Any], Any]) -> Damage:
    """The publication's file with a change that keeps it JSON."""

    def apply(path: Path) -> None:
        content = json.loads(path.read_text())
        path.write_text(json.dumps(change(content) or content))

    return apply


def holding(content: bytes) -> Damage:
    return lambda path: path.write_bytes(content)


def linked(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to("real")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def naming(name: str) -> Damage:
    """A file of the first record under another name."""

    def change(content: Any) -> None:
        files = content["records"][0]["files"]
        files[name] = files.pop("weights.json")

    return edited(change)


def with_digest(digest: Any) -> Damage:
    def change(content: Any) -> None:
        content["records"][0]["files"]["weights.json"]["sha256"] = digest

    return edited(change)


MANIFESTS: dict[str, Damage] = {
    "empty": holding(b""),
    "no JSON": holding(b"{"),
    "a list": holding(b"[]"),
    "no UTF-8": holding(b"\xff\xfe"),
    "nested 100,000 deep": holding(b"[" * 100_000),
    "of another format": edited(lambda c: c.update(format=2)),
    "a field too many": edited(lambda c: c.update(extra=1)),
    "a field too few": edited(lambda c: c.pop("seed")),
    "of another number": edited(lambda c: c.update(number=2)),
    "of another group": edited(lambda c: c.update(group="dogs")),
    "no records": edited(lambda c: c.update(records=[])),
    "records are text": edited(lambda c: c.update(records="records")),
    "a record of another group": edited(lambda c: c["records"][0].update(key="dogs/generator")),
    "a record of a shard": edited(lambda c: c["records"][0].update(shard="00")),
    "a date that is none": edited(lambda c: c.update(published="yesterday")),
    "a seed too large": edited(lambda c: c.update(seed=2**64)),
    "a file above": naming("../../../escaped"),
    "an absolute file": naming("/tmp/escaped"),  # noqa: S108
    "a file named nothing": naming(""),
    "a file named by dots": naming("a/./b"),
    "a file with NUL": naming("a\0b"),
    "its own record": naming("_meta.json"),
    "the mark of building": naming(".dcgan-building"),
    "a digest that is a path": with_digest("../../../../secret"),
    "a digest too short": with_digest("ab"),
    "a digest of capitals": with_digest("A" * 64),
    "a digest that is a number": with_digest(7),
    "a symlink": linked,
    "a pipe": pipe,
    "a folder": folder,
}


def refused(graph: SmallGraph, number: str) -> str:
    """The one line by which a rollback is refused; nothing has changed."""
    before = {
        path: path.read_bytes() for path in (graph.root / "models").rglob("*") if path.is_file()
    }
    with pytest.raises(UserError) as caught:
        list(rollback(graph.catalogue(), "toy", number))
    after = {
        path: path.read_bytes() for path in (graph.root / "models").rglob("*") if path.is_file()
    }
    assert after == before
    line = str(caught.value)
    assert line.isprintable()
    return line


def test_a_publication_that_is_none_of_ours_is_refused_and_stops_nothing(
    graph: SmallGraph, place: Path
) -> None:
    path = graph.root / "history/publications/toy/1.json"
    whole = path.read_bytes()
    for name, damage in MANIFESTS.items():
        damage(path)
        line = refused(graph, "1")
        assert line.startswith("history/publications/toy/1.json: not a publication of ours ("), name
        said = list(publication_lines(graph.catalogue(), "toy"))
        assert any(one.startswith("2 *") for one in said), name
        assert said[-1] == f"note: {line}", name
        with pytest.raises(UserError, match="not a publication of ours"):
            History(graph.root).unnamed()
        path.rmdir() if path.is_dir() else path.unlink()
        path.write_bytes(whole)
    assert not list(place.rglob("escaped"))
    # What cannot be read neither stops a publication nor lends its number.
    holding(b"")(path)
    graph.change(seed=3)
    assert graph.run().code == 0
    assert History(graph.root).numbers("toy") == [1, 2, 3]


def test_what_a_record_says_does_not_command_the_terminal(
    graph: SmallGraph, capsys: pytest.CaptureFixture[str]
) -> None:
    path = graph.root / "history/publications/toy/1.json"
    said = encode({"decision": "\x1b]0;title\x07kept", "reason": "\x1b[2Jcleared\u202e"})
    edited(lambda c: c["records"][0].update(metadata=said, data_version="\x1b[31m"))(path)
    echo_lines(publication_lines(graph.catalogue(), "toy"))
    out = capsys.readouterr().out
    assert "\\x1b]0;title\\x07kept: \\x1b[2Jcleared\\u202e" in out
    assert out.replace("\n", "").isprintable()


OBJECTS: dict[str, tuple[Damage, str]] = {
    "missing": (Path.unlink, "cannot be had any more"),
    "of other bytes": (holding(b"something else"), "weights.json is damaged"),
    "a symlink to what is right": (linked, "cannot be had any more"),
    "a pipe": (pipe, "cannot be had any more"),
    "a folder": (folder, "cannot be had any more"),
}


def test_a_publication_of_what_nobody_publishes_is_refused(graph: SmallGraph) -> None:
    """Such as pictures, which the history would not keep before they are replaced."""
    path = graph.root / "history/publications/toy/1.json"
    content = json.loads(path.read_text())
    content["records"] = [graph.meta("toy/mean").model_dump()]
    path.write_text(json.dumps(content))
    before = graph.meta("toy/mean")
    assert "of assets that are none" in refused(graph, "1")
    assert graph.meta("toy/mean") == before


def test_a_file_that_is_gone_or_another_one_is_one_line(graph: SmallGraph) -> None:
    publication = History(graph.root).read("toy", 1)
    digest = publication.records[1].files["weights.json"]["sha256"]
    path = graph.root / "history/objects" / digest[:2] / digest
    whole = path.read_bytes()
    for name, (damage, expected) in OBJECTS.items():
        path.chmod(0o644)
        damage(path)
        line = refused(graph, "1")
        assert line.startswith("toy/discriminator: weights.json"), name
        assert expected in line, name
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(whole)
    said = list(rollback(graph.catalogue(), "toy", "1"))
    assert said[0].startswith("toy/generator, toy/discriminator: back to ")


@pytest.mark.parametrize("where", ["publications", "publications/toy", "objects"])
def test_nothing_is_kept_or_removed_behind_a_link(
    graph: SmallGraph, place: Path, where: str
) -> None:
    outside = place / "outside"
    folder = graph.root / "history" / where
    folder.rename(outside)
    folder.symlink_to(outside)
    before = sorted(path for path in outside.rglob("*"))
    line = refused(graph, "1")
    assert line == f"{folder}: no folder; publications are kept there, so move it away"
    graph.change(seed=3)
    assert graph.run().code == 1
    assert sorted(path for path in outside.rglob("*")) == before


@pytest.mark.parametrize(
    ("put", "expected"),
    [
        (partial(Path.write_text, data="a file"), "no folder; publications are kept there"),
        (lambda path: path.symlink_to("nowhere"), "a symlink to nothing; mend it, or remove it"),
        (lambda path: path.symlink_to("history"), "a symlink to nothing; mend it, or remove it"),
    ],
    ids=["a file", "a link to nothing", "a link to itself"],
)
def test_what_lies_in_the_place_of_the_folder_is_one_line(
    graph: SmallGraph, put: Damage, expected: str
) -> None:
    (graph.root / "history").rename(graph.root / "away")
    put(graph.root / "history")
    assert expected in refused(graph, "1")
    graph.change(seed=3)
    ran = graph.run()
    assert ran.code == 1
    (failed,) = ran.starting("FAILED")
    assert expected in failed


@pytest.mark.parametrize(
    "number", ["0", "-1", "3", "1.json", "../1", "1e3", "", "9" * 30, "\u0661"]
)
def test_a_number_of_no_publication_is_one_line(graph: SmallGraph, number: str) -> None:
    line = refused(graph, number)
    assert (
        "no publication 3; there are: 1, 2" in line
        or "by its number" in line
        or (number == "0" and "no publication 0" in line)
    )
