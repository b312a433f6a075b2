"""`dcgan log` and `dcgan rollback`: what git and DVC hold of an asset, and having it back."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_graph import SmallGraph

from dcgan_assets.dvc.dvc_cache import AwayError, DvcCache, Place
from dcgan_assets.dvc.history import cache_of, log_lines, pinned_versions
from dcgan_assets.dvc.rollback import rollback
from dcgan_assets.engine.publications import History
from dcgan_models.errors import UserError

NAMES = ("images", "mean", "candidate", "generator", "samples")
NETWORKS = ("toy/generator", "toy/discriminator")


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every file, by name; the records apart."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def weights(graph: SmallGraph) -> list[bytes]:
    return [(graph.root / "models" / key / "weights.json").read_bytes() for key in NETWORKS]


def roll(graph: SmallGraph, key: str, to: str | None = None) -> list[str]:
    return list(rollback(graph.catalogue(), key, to))


def refused(graph: SmallGraph, key: str, expected: str, to: str | None = None) -> None:
    before = contents(graph.root / "models"), contents(graph.root / "results")
    with pytest.raises(UserError, match=expected) as caught:
        roll(graph, key, to)
    assert "\n" not in str(caught.value)
    assert (contents(graph.root / "models"), contents(graph.root / "results")) == before
    assert not [path for path in graph.root.glob("*/toy/.*") if path.suffix == ".part"]


# --- What needs no history --------------------------------------------------------------------


def test_what_has_no_versions_to_go_back_to(small: SmallGraph) -> None:
    small.only(*NAMES).change(images={"shards": 2})
    for key, expected in {
        "toy/images": "toy/images: not kept by DVC; rebuild with `dcgan materialize toy/images`",
        "toy/candidate": "toy/candidate: not in dvc.yaml",
        "toy/cats": "unknown asset or group 'toy/cats'",
        "toy/samples": "in a workspace under DVC",
    }.items():
        refused(small, key, expected)
    small.under_dvc()
    with pytest.raises(UserError, match=r"toy/samples: in no dvc\.lock yet; `dcgan mat"):
        log_lines(small.catalogue(), "toy/samples")
    refused(small, "toy/samples", "no version to go back to; there are: none before this one")
    small.change(machine={"dvc": "off"})
    refused(small, "toy/samples", "allowed: commit")


ONE_STAGE = "stages: {made: {cmd: x, outs: [out]}}\n"


@pytest.mark.parametrize("name", ["../outside", "/etc/outside"])
def test_a_list_that_names_another_place_is_refused(small: SmallGraph, name: str) -> None:
    small.only("constant").under_dvc()
    text = json.dumps([{"md5": "d41d8cd98f00b204e9800998ecf8427e", "relpath": name}])
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    place = small.root / ".dvc/cache/files/md5" / digest[:2] / f"{digest[2:]}.dir"
    place.parent.mkdir(parents=True)
    place.write_text(text)
    out = {"path": "out", "hash": "md5", "md5": f"{digest}.dir"}
    lock = {"schema": "2.0", "stages": {"made": {"cmd": "x", "outs": [out]}}}
    (small.root / "dvc.yaml").write_text(ONE_STAGE)
    (small.root / "dvc.lock").write_text(json.dumps(lock))
    with pytest.raises(AwayError, match=r"^out is not in DVC's cache") as caught:
        DvcCache(small.root, {f"{digest}.dir": Place(None, "out")}).files(f"{digest}.dir")
    assert "\n" not in str(caught.value)
    assert "has no list" not in str(caught.value)


@pytest.mark.slow
def test_a_workspace_below_the_top_and_a_remote_that_an_old_commit_knows_nothing_of(
    small: SmallGraph,
) -> None:
    workspace = SmallGraph(small.root / "ws")
    out = workspace.root / "out"
    (out / "sub").mkdir(parents=True)
    (workspace.root / "dvc.yaml").write_text(ONE_STAGE)
    small.call("git", "init", "--quiet")
    workspace.dvc("init", "--quiet", "--subdir")
    places = {}
    for number in (1, 2):
        (out / "sub" / "number.txt").write_text(str(number))
        workspace.dvc("commit", "--quiet", "--force")
        small.commit_all(f"number {number}")
        commit = small.call("git", "log", "-1", "--format=%h").strip()
        lock = yaml.safe_load((workspace.root / "dvc.lock").read_text())
        places[lock["stages"]["made"]["outs"][0]["md5"]] = Place(commit, "ws/out")
    (workspace.root / ".dvc/config").write_text(
        "[core]\n    remote = late\n['remote \"late\"']\n    url = ../../late\n"
    )
    (workspace.root / ".dvc/cache").rename(small.root / "late")
    cache = DvcCache(workspace.root, places)
    for number, pinned in enumerate(places, 1):
        assert list(cache.files(pinned)) == ["sub/number.txt"]
        assert cache.holds(pinned)
        assert cache.read(pinned, "sub/number.txt") == str(number).encode()
        cache.copy(pinned, small.root / str(number), ["sub/number.txt"])
        assert (small.root / str(number) / "sub" / "number.txt").read_text() == str(number)
    shutil.rmtree(small.root / "late")
    assert not any(DvcCache(workspace.root, places).holds(pinned) for pinned in places)


# --- With a history ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(module_root: Path) -> SmallGraph:
    """A workspace in which networks were published three times, each time committed to git."""
    graph = SmallGraph(module_root / "published").only(*NAMES)
    graph.root.mkdir()
    graph.change(images={"shards": 2}, machine={"dvc": "commit"})
    graph.write_source("00", 1.0)
    graph.write_source("01", 2.0)
    graph.under_dvc()
    for seed in (1, 2, 3):
        graph.change(seed=seed)
        assert graph.run().code == 0
        graph.commit_all(f"seed {seed}")
    return graph


@pytest.fixture
def graph(published: SmallGraph, fast_disk: Path) -> SmallGraph:
    """A copy of it, to go back in."""
    root = fast_disk / "published"
    shutil.copytree(published.root, root)
    return SmallGraph(root, published.names, dict(published.sections))


def seeds(graph: SmallGraph) -> list[bytes]:
    """The generator's weights in each version, the newest first."""
    catalogue = graph.catalogue()
    versions = pinned_versions(catalogue, catalogue.by_key["toy/generator"])
    cache = cache_of(catalogue, versions)
    read = [cache.read(version.hashes["toy/generator"], "weights.json") for version in versions]
    return [text for text in read if text is not None]


def changed(graph: SmallGraph) -> dict[str, Any]:
    return graph.dvc_status()


@pytest.mark.slow
def test_the_log_is_what_git_dvc_and_dagster_say(graph: SmallGraph) -> None:
    head, *rows = [line.split() for line in log_lines(graph.catalogue(), "toy/samples")]
    assert head == ["version", "commit", "pinned", "made", "run", "seed", "kept", "scores"]
    commits = graph.call("git", "log", "--format=%h %cs", "--", "dvc.lock").splitlines()
    assert [f"{row[1]} {row[2]}" for row in rows] == commits
    assert rows[0][0] == graph.meta("toy/samples").data_version[:8]
    assert len({row[0] for row in rows}) == 3
    found = json.loads((graph.root / "results/toy/samples/result.json").read_text())["rows"]
    words = [f"{row['name']} {row['value']:.4g}" for row in found[:3]]
    assert " ".join(rows[0][7:]) == f"{', '.join(words)}, and 1 more"
    with graph.instance() as instance:
        runs = {record.dagster_run.run_id[:8] for record in instance.get_run_records()}
    assert {row[5] for row in rows} <= runs
    assert all("here" in row for row in rows)

    shutil.rmtree(graph.root / ".dvc/cache")
    _, *bare = [line.split() for line in log_lines(graph.catalogue(), "toy/samples")]
    assert [row[1] for row in bare] == [row[1] for row in rows]
    assert all(row[0].startswith("dvc:") and row[-1] == "elsewhere" for row in bare)


@pytest.mark.slow
def test_networks_come_back_and_stand_until_there_is_another_candidate(graph: SmallGraph) -> None:
    third, second, first = seeds(graph)
    was = {key: graph.meta(key) for key in NETWORKS}
    others = contents(graph.root / "results"), contents(graph.root / "data")

    lines = roll(graph, "toy/discriminator")  # with what can only be made together with it
    assert lines[0].startswith("toy/generator, toy/discriminator: back to ")
    assert lines[1:] == [
        "next: git add dvc.lock && git commit",
        "made from it, see `dcgan status`: toy/samples",
    ]
    assert weights(graph)[0] == second
    assert (contents(graph.root / "results"), contents(graph.root / "data")) == others
    for key, meta in was.items():
        now = graph.meta(key)
        assert (now.fingerprint, now.inputs) == (meta.fingerprint, meta.inputs)
        assert now.data_version != meta.data_version
        assert graph.recorded(key) == {None: now.data_version}
        assert meta.data_version[:8] in now.metadata["rolled_back"]
    assert list(changed(graph)) == ["toy-samples"]

    # Not lost by what comes next: only what hangs on it is made.
    refused(graph, "toy/generator", "toy/generator: what stands now is in no commit")
    ran = graph.run()
    assert ran.made == ["toy/samples"]
    assert changed(graph) == {}
    graph.commit_all("rolled back")
    assert seeds(graph) == [second, third, second, first]

    # To one that is named, by its commit; a worse candidate does not replace it.
    commit = graph.call("git", "log", "--format=%h", "--grep=seed 1").strip()
    roll(graph, "toy/generator", commit)
    graph.run()
    graph.commit_all("rolled back again")
    graph.change(seed=5, candidate={"healthy": False})
    assert graph.run().code == 0
    assert weights(graph)[0] == first

    # A better one does, and both it and what it replaced can be had.
    graph.change(candidate={"healthy": True}, seed=6)
    assert graph.run().code == 0
    assert weights(graph)[0] not in {first, second, third}
    graph.commit_all("a better one")
    roll(graph, "toy/generator")
    assert weights(graph)[0] == first


@pytest.mark.slow
def test_the_history_has_what_dvc_has_thrown_away(graph: SmallGraph) -> None:
    history = History(graph.root)
    graph.dvc("gc", "--workspace", "--force")
    _, second, first = pinned_versions(graph.catalogue(), graph.catalogue().by_key[NETWORKS[0]])
    gone = cache_of(graph.catalogue(), [second, first])
    assert not any(gone.holds(pinned) for one in (second, first) for pinned in one.hashes.values())
    then = history.read("toy", 1)
    roll(graph, "toy", "1")
    assert [graph.meta(key).data_version for key in NETWORKS] == [
        meta.data_version for meta in then.records
    ]
    # It is booked as what stands: only what was made of it is stale.
    assert list(changed(graph)) == ["toy-samples"]
    # And its bytes are there once: in the place, in DVC's cache, in the history.
    weight = graph.root / "models/toy/generator/weights.json"
    digest = then.records[0].files["weights.json"]["sha256"]
    assert (graph.root / "history/objects" / digest[:2] / digest).samefile(weight)
    graph.dvc("gc", "--workspace", "--force")
    roll(graph, "toy", "3")
    assert history.read("toy", 3).version == graph.meta("toy/generator").data_version
    assert "history" not in graph.call("git", "status", "--short")


@pytest.mark.slow
def test_what_a_commit_pins_goes_through_the_history(graph: SmallGraph) -> None:
    _, second, _ = seeds(graph)
    shutil.rmtree(graph.root / "history")
    roll(graph, "toy/generator")
    assert weights(graph)[0] == second
    found, _ = History(graph.root).publications("toy")
    assert [one.decision for one in found] == [
        "published the candidate",
        "published the candidate",
        "rolled back to publication 1: published the candidate",
    ]
    assert found[0].version == found[2].version == graph.meta("toy/generator").data_version


@pytest.mark.slow
def test_a_result_comes_back_with_the_provenance_that_it_had(graph: SmallGraph) -> None:
    samples = graph.root / "results/toy/samples"
    before = contents(samples)
    graph.change(samples={"count": 2})
    graph.run()
    graph.commit_all("fewer")
    roll(graph, "toy/samples")
    assert contents(samples) == before
    # DVC's books say of which parameters it was made, and that these are others now.
    said = changed(graph)
    assert list(said) == ["toy-samples"]
    assert "deleted" not in str(said)
    assert said["toy-samples"][0]["changed deps"]["params.yaml"] == {"samples": "modified"}
    assert graph.run(dry_run=True).planned == ["toy/samples"]


@pytest.mark.slow
def test_what_the_cache_lacks_comes_from_the_remote_or_not_at_all(graph: SmallGraph) -> None:
    _, second, _ = seeds(graph)
    graph.call("git", "checkout", "--quiet", "HEAD~1", "dvc.lock")
    graph.dvc("push", "toy-generator")
    graph.call("git", "checkout", "--quiet", "HEAD", "dvc.lock")
    shutil.rmtree(graph.root / ".dvc/cache")
    graph.dvc("commit", "--force", "toy-generator")
    roll(graph, "toy/generator")
    assert weights(graph)[0] == second
    graph.run()
    graph.commit_all("back")

    place = graph.root.parent / "published-bulk"
    for folder in (graph.root / "dvc-remote", graph.root / ".dvc/cache", place):
        shutil.rmtree(folder, ignore_errors=True)
    graph.dvc("commit", "--force", "toy-generator", "toy-samples")
    commit = graph.call("git", "log", "--format=%h", "--grep=seed 1").strip()
    refused(graph, "toy/generator", f"of commit {commit} is not in DVC's cache, and cann", commit)


@pytest.mark.slow
def test_what_would_be_lost_or_is_damaged_or_unknown(graph: SmallGraph) -> None:
    refused(graph, "toy/generator", r"no version feed; there are: \w{8} \(\w{7,}\), \w{8}", "feed")
    catalogue = graph.catalogue()
    versions = pinned_versions(catalogue, catalogue.by_key["toy/generator"])
    listed = cache_of(catalogue, versions).files(versions[1].hashes["toy/generator"])
    spoilt = listed["weights.json"]
    path = graph.root / ".dvc/cache/files/md5" / spoilt[:2] / spoilt[2:]
    path.chmod(0o644)
    path.write_text("{}")
    refused(graph, "toy/generator", f"{spoilt}: damaged; remove it, and `dvc fetch`")

    graph.change(machine={"dvc": "off"}, seed=9)
    graph.run()
    graph.change(machine={"dvc": "commit"})
    refused(graph, "toy/generator", "not in DVC's books and would be lost; `dvc commit toy-gen")


@pytest.mark.slow
def test_records_of_dagster_that_are_broken_are_seen_before_anything_changes(
    graph: SmallGraph,
) -> None:
    (graph.root / ".dagster_home" / "history" / "runs.db").write_bytes(b"no database" * 1000)
    refused(graph, "toy/generator", "Dagster's records cannot be read")
    with pytest.raises(UserError, match="Dagster's records cannot be read"):
        log_lines(graph.catalogue(), "toy/generator")
