"""A release: a clone without credentials, and nothing in it that is not ours to give away."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
from small_graph import MADE_AT_ONCE, SmallGraph

from dcgan_assets.dvc import release as release_module
from dcgan_assets.dvc.records import read_records
from dcgan_assets.dvc.register import register
from dcgan_assets.dvc.release import REMOTE, make_release
from dcgan_assets.engine.records import RECORDS
from dcgan_models.errors import UserError

GIVEN = ["toy/summary", "toy/generator", "toy/discriminator", "toy/samples"]


@pytest.fixture
def made(released: SmallGraph) -> SmallGraph:
    """A workspace under DVC in which everything was made, and not yet released."""
    shutil.rmtree(released.root / RECORDS)
    released.change(machine={"dvc": "commit"})
    return released.under_dvc()


def contents(folder: Path) -> set[str]:
    """The SHA-256 of every file below a folder, whatever it is called."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# --- Refusals: nothing is written -------------------------------------------------------------


def refused(graph: SmallGraph, expected: str) -> None:
    with pytest.raises(UserError, match=expected) as caught:
        make_release(graph.catalogue())
    assert "\n" not in str(caught.value)
    assert not (graph.root / REMOTE).exists()
    assert not (graph.root / RECORDS).exists()


def test_only_what_is_up_to_date_is_released(made: SmallGraph) -> None:
    made.change(samples={"count": 2})
    refused(made, r"toy/samples: code, parameters, .* changed; 1 to make; `dcgan materialize` f")


def test_no_more_than_git_can_carry(made: SmallGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_module, "MOST_BYTES", 1000)
    refused(made, r"0 MB to give away, allowed 0; the largest: toy/\w+ 0 MB, ")


def test_not_where_dvc_is_off_or_absent(small: SmallGraph) -> None:
    refused(small, "a release is made in a workspace under DVC")
    graph = small.only("constant").under_dvc()
    graph.change(machine={"dvc": "off"})
    refused(graph, "allowed: commit")


# --- With DVC ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_clone_of_a_release_is_green_and_has_no_pictures_of_others(
    made: SmallGraph, dagster_home: Path
) -> None:
    (made.root / f".{REMOTE}.0123abcd.part").mkdir()
    done = make_release(made.catalogue())
    assert sorted(done.assets) == sorted(GIVEN)
    assert done.records == len(read_records(made.catalogue())) == 9
    assert not list(made.root.glob(".dvc-remote.*"))

    # In the remote: every file of what is given away, DVC's lists of them, and nothing else.
    given = [made.root / made.catalogue().artefact(key).path for key in GIVEN]
    held = contents(made.root / REMOTE)
    expected = set().union(*map(contents, given))
    assert expected <= held
    lists = list((made.root / REMOTE).rglob("*.dir"))
    assert len(lists) == len(GIVEN)
    assert len(held) == len(expected) + len(lists)
    assert not held & (contents(made.root / "data") - expected)
    assert done.bytes == sum(
        p.stat().st_size for p in (made.root / REMOTE).rglob("*") if p.is_file()
    )

    made.commit_all("a release")
    clone = SmallGraph(made.root.with_name("clone")).only(*MADE_AT_ONCE)
    clone.sections = made.sections
    made.call("git", "clone", "--quiet", str(made.root), str(clone.root))
    for path in (made.root / "source").iterdir():  # its version is its listing, with the times
        shutil.copystat(path, clone.root / "source" / path.name)
    clone.dvc("pull")
    shutil.copytree(dagster_home, clone.root / ".dagster_home")
    catalogue = clone.catalogue()
    with clone.instance() as instance:
        registered = register(catalogue, instance, read_records(catalogue))
    assert len(registered.new) == 11
    rebuilt = sorted(registered.to_rebuild)
    assert rebuilt == ["toy/boxes", "toy/constant", "toy/images", "toy/mean"]

    ran = clone.run()
    assert ran.code == 0
    assert {label.split("[")[0] for label in ran.made} == set(rebuilt)
    assert clone.dvc_status() == {}
    assert clone.call("git", "status", "--short") == ""
    before = {path: path.read_bytes() for path in (clone.root / RECORDS).rglob("*.json")}
    make_release(clone.catalogue())  # from a clone, without the candidate
    assert {path: path.read_bytes() for path in (clone.root / RECORDS).rglob("*.json")} == before
    assert contents(clone.root / REMOTE) == held


@pytest.mark.slow
def test_the_next_release_leaves_nothing_of_the_last(made: SmallGraph) -> None:
    make_release(made.catalogue())
    old = contents(made.root / REMOTE)
    made.change(samples={"count": 2})
    assert made.run().code == 0
    make_release(made.catalogue())
    new = contents(made.root / REMOTE)
    samples = contents(made.root / "results" / "toy" / "samples")
    assert samples <= new
    assert not samples <= old
    assert len(new) == len(old)
