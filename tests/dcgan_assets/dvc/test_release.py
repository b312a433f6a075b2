"""A release: a clone without credentials, and nothing in it that is not ours to give away."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

import pytest
from small_graph import MADE_AT_ONCE, SmallGraph

from dcgan_assets.dvc import dvc_yaml
from dcgan_assets.dvc import release as release_module
from dcgan_assets.dvc.integrity import examine_books
from dcgan_assets.dvc.records import read_records
from dcgan_assets.dvc.register import register
from dcgan_assets.dvc.release import REMOTE, make_release, remote_of
from dcgan_assets.dvc.status import read_standing
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


# --- Two workspaces of one DVC repository -------------------------------------------------------


@pytest.fixture
def gallery(made: SmallGraph, template: SmallGraph, monkeypatch: pytest.MonkeyPatch) -> SmallGraph:
    """A workspace in a folder of another, in which other samples were made."""
    root = made.root / "gallery"
    shutil.copytree(template.root, root)
    shutil.rmtree(root / RECORDS)
    graph = SmallGraph(root, template.names, {**template.sections})
    graph.change(machine={"dvc": "commit"}, samples={"count": 2})
    (root / ".gitignore").write_text((made.root / ".gitignore").read_text(), encoding="utf-8")
    monkeypatch.setenv("DCGAN_ROOT", str(root))
    monkeypatch.setenv("DAGSTER_HOME", str(root / ".dagster_home"))
    dvc_yaml.write_dvc_yaml(graph.catalogue(), ())
    assert graph.run().code == 0
    monkeypatch.undo()
    return graph


def given_in(graph: SmallGraph) -> set[str]:
    """What a workspace gives away: the hashes of its files."""
    catalogue = graph.catalogue()
    return set().union(*(contents(graph.root / catalogue.artefact(key).path) for key in GIVEN))


@pytest.mark.slow
def test_two_workspaces_share_a_remote_and_neither_drops_what_the_other_released(
    made: SmallGraph, gallery: SmallGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = made.root / REMOTE
    assert remote_of(gallery.root) == remote == remote_of(made.root)
    first, second = given_in(made), given_in(gallery)
    assert first - second
    assert second - first
    make_release(made.catalogue())
    make_release(gallery.catalogue())
    assert not (gallery.root / REMOTE).exists()
    assert first | second <= contents(remote)
    make_release(made.catalogue())
    assert first | second <= contents(remote)
    assert not list(made.root.glob(f"{REMOTE}.*"))
    for graph in (made, gallery):
        standing = read_standing(graph.catalogue())
        assert standing.notes == ()
        assert not [s.key for s in standing.states if s.unpushed or s.uncommitted]
        assert not [f for f in examine_books(graph.catalogue()) if f.state == "FAIL"]

    # What neither names goes: the old samples of one, and not those of the other.
    made.change(samples={"count": 3})
    assert made.run().code == 0
    make_release(made.catalogue())
    held = contents(remote)
    assert given_in(made) | second <= held
    assert not held & contents_gone(first, made, gallery)

    # No more than git can carry, the other's release included; nothing is touched.
    size = sum(path.stat().st_size for path in remote.rglob("*") if path.is_file())
    monkeypatch.setattr(release_module, "MOST_BYTES", size - 1)
    with pytest.raises(UserError, match="with the releases of other workspaces"):
        make_release(gallery.catalogue())
    assert contents(remote) == held

    # A record that nobody can read: what it keeps is not known, and so nothing goes.
    (made.root / RECORDS / "toy" / "samples.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"records/toy/samples\.json: not readable"):
        make_release(gallery.catalogue())
    assert contents(remote) == held


def contents_gone(before: set[str], *graphs: SmallGraph) -> set[str]:
    """Of files that were given away, those that no workspace gives away any more."""
    return before - set().union(*map(given_in, graphs))


@pytest.mark.slow
def test_a_clone_pulls_both_workspaces_and_repro_makes_its_own_alone(
    made: SmallGraph, gallery: SmallGraph
) -> None:
    make_release(made.catalogue())
    make_release(gallery.catalogue())
    made.commit_all("two releases")
    clone = SmallGraph(made.root.with_name("clone"), made.names, made.sections)
    made.call("git", "clone", "--quiet", str(made.root), str(clone.root))
    clone.dvc("pull")
    below = SmallGraph(clone.root / "gallery", gallery.names, gallery.sections)
    assert given_in(clone) == given_in(made)
    assert given_in(below) == given_in(gallery)

    planned = clone.call(sys.executable, "-m", "dvc", "repro", "--dry", "--force")
    assert "toy-generator" in planned
    assert "gallery" not in planned


@pytest.mark.slow
def test_whoever_is_killed_between_two_swaps_leaves_both_releases_whole(
    made: SmallGraph, gallery: SmallGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_release(made.catalogue())
    first, second = given_in(made), given_in(gallery)

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    # Before the new remote is in its place; and after, before the records are.
    for name in ("swap_in", "write_records"):
        with monkeypatch.context() as patch:
            patch.setattr(release_module, name, die)
            with pytest.raises(Killed):
                make_release(gallery.catalogue())
        assert first <= contents(made.root / REMOTE)
    make_release(gallery.catalogue())
    assert first | second <= contents(made.root / REMOTE)
