"""Networks that come back out of the history: a publication like any other, whole at any moment."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path

import dagster as dg
import pytest
from dying_process import counted, forked
from small_graph import SmallGraph

from dcgan_assets.dvc.rollback import rollback
from dcgan_assets.engine.fingerprint import is_current
from dcgan_assets.engine.going_back import bring_back, finish, remember, standing_together
from dcgan_assets.engine.history_findings import examine_history
from dcgan_assets.engine.publication_log import publication_lines, publication_rows
from dcgan_assets.engine.publications import History
from dcgan_assets.engine.store import Artefact, Meta, Store
from dcgan_models.errors import UserError
from dcgan_models.files import sha256_file

NAMES = ("images", "mean", "candidate", "generator", "samples")
NETWORKS = ("toy/generator", "toy/discriminator")


@pytest.fixture(scope="module")
def twice(module_root: Path) -> SmallGraph:
    """A workspace without DVC in which networks were published twice."""
    graph = SmallGraph(module_root).only(*NAMES)
    graph.change(images={"shards": 1}, machine={"dvc": "off"})
    graph.write_source("00", 1.0)
    for seed in (1, 2):
        graph.change(seed=seed)
        assert graph.run().code == 0
    return graph


@pytest.fixture
def graph(twice: SmallGraph, fast_disk: Path) -> SmallGraph:
    return copied(twice, fast_disk / "twice")


def copied(graph: SmallGraph, root: Path, without: str = "") -> SmallGraph:
    shutil.copytree(graph.root, root, ignore=shutil.ignore_patterns(without))
    return SmallGraph(root, graph.names, dict(graph.sections))


def weights(graph: SmallGraph) -> list[str]:
    return [(graph.root / "models" / key / "weights.json").read_text() for key in NETWORKS]


def decisions(graph: SmallGraph) -> list[tuple[int, str, int | None, bool]]:
    rows, wrong = publication_rows(graph.catalogue(), "toy")
    assert wrong == []
    return [(row["id"], row["decision"], row["seed"], row["stands"]) for row in rows]


# --- As the user sees it --------------------------------------------------------------------


def test_networks_come_back_and_stand_until_there_is_another_candidate(graph: SmallGraph) -> None:
    second, stood = weights(graph), {key: graph.meta(key) for key in NETWORKS}
    published = [(2, "published the candidate", 2, True), (1, "published the candidate", 1, False)]
    assert decisions(graph) == published
    graph.change(seed=3, candidate={"healthy": False})
    graph.run()
    kept = (3, "kept the champion", 3, True)
    assert decisions(graph)[0] == kept

    lines = list(rollback(graph.catalogue(), "toy", "1"))
    assert lines[1:] == ["made from it, see `dcgan status`: toy/samples"]
    back = (4, "rolled back to publication 1: published the candidate", 1, True)
    assert decisions(graph) == [back, (*kept[:3], False), (*published[0][:3], False), published[1]]
    first, publication = weights(graph), History(graph.root).read("toy", 1)
    assert first != second
    # The graph shows it: the version of then, the place of now.
    for key, then in zip(NETWORKS, publication.records, strict=True):
        now = graph.meta(key)
        assert now.data_version == then.data_version != stood[key].data_version
        assert graph.recorded(key) == {None: now.data_version}
        with graph.instance() as instance:
            event = instance.get_latest_materialization_event(dg.AssetKey(key.split("/")))
        assert event is not None
        assert event.asset_materialization is not None
        facts = event.asset_materialization.metadata
        assert str(facts["decision"].value).startswith("rolled back to publication 1")
        assert stood[key].data_version[:8] in str(facts["rolled_back"].value)
    assert graph.run(dry_run=True).planned == ["toy/samples"]

    # An unhealthy candidate leaves it, and a healthy one takes its place.
    graph.change(seed=4)
    graph.run()
    assert weights(graph) == first
    graph.change(seed=5, candidate={"healthy": True})
    graph.run()
    assert weights(graph) not in (first, second)
    assert [row[0] for row in decisions(graph)] == [6, 5, 4, 3, 2, 1]
    # And so does what was left, each way.
    list(rollback(graph.catalogue(), "toy", "2"))
    assert weights(graph) == second
    with pytest.raises(UserError, match="publication 7 of toy: it stands already"):
        list(rollback(graph.catalogue(), "toy", "7"))


def test_the_table_of_publications(graph: SmallGraph) -> None:
    head, *rows, last = publication_lines(graph.catalogue(), "toy")
    assert head.split() == ["id", "published", "networks", "version", "seed", "scores", "decision"]
    assert [row.split()[0] for row in rows] == ["2", "1"]
    assert graph.meta("toy/generator").data_version[:8] in rows[0]
    assert last == "* stands; `dcgan rollback toy ID` brings another one back"


def test_what_publishes_nothing_is_one_line(graph: SmallGraph) -> None:
    with pytest.raises(UserError, match=r"unknown asset or group 'tou'.*groups that publish"):
        publication_rows(graph.catalogue(), "tou")
    shutil.rmtree(graph.root / "history")
    shutil.rmtree(graph.root / "models")
    with pytest.raises(UserError, match="toy: nothing is published; `dcgan materialize toy/gen"):
        publication_rows(graph.catalogue(), "toy")


def test_what_stood_before_there_was_a_history_is_kept_before_it_is_replaced(
    graph: SmallGraph,
) -> None:
    shutil.rmtree(graph.root / "history")
    stood = graph.meta("toy/generator")
    graph.change(seed=7)
    graph.run()
    first, second = History(graph.root).publications("toy")[0]
    assert (first.version, first.published) == (stood.data_version, stood.created)
    assert second.version == graph.meta("toy/generator").data_version
    # So does the log, of what was pulled.
    shutil.rmtree(graph.root / "history")
    assert decisions(graph) == [(1, "published the candidate", 7, True)]


def test_damaged_networks_are_not_kept_and_may_be_replaced(graph: SmallGraph) -> None:
    shutil.rmtree(graph.root / "history")
    path = graph.root / "models/toy/generator/weights.json"
    path.chmod(0o644)
    path.write_text(path.read_text()[::-1])
    rows, (note,) = publication_rows(graph.catalogue(), "toy")
    assert rows == []
    assert note.startswith("toy/generator: not kept in the history: ")
    assert "weights.json: damaged" in note
    graph.change(seed=9)
    assert graph.run().code == 0
    assert decisions(graph) == [(1, "published the candidate", 9, True)]


def test_a_pair_that_is_none_is_not_taken_for_one(graph: SmallGraph, twice: SmallGraph) -> None:
    graph.change(seed=8)
    graph.run()
    shutil.rmtree(graph.root / "models/toy/discriminator")
    shutil.copytree(
        twice.root / "models/toy/discriminator", graph.root / "models/toy/discriminator"
    )
    catalogue = graph.catalogue()
    step = catalogue.by_key["toy/generator"]
    assert standing_together(catalogue, step) is None
    remember(catalogue, step)
    assert History(graph.root).numbers("toy") == [1, 2, 3]


def test_what_was_cleared_meanwhile_does_not_come_back(graph: SmallGraph) -> None:
    catalogue, stood = graph.catalogue(), weights(graph)
    publication = History(graph.root).read("toy", 1)
    History(graph.root).remove(publication)
    with pytest.raises(UserError, match="toy: no publication 1; there are: 2"):
        bring_back(catalogue, catalogue.by_key["toy/generator"], publication)
    assert weights(graph) == stood
    assert standing_together(catalogue, catalogue.by_key["toy/generator"]) is not None


# --- What `dcgan doctor` says of it ---------------------------------------------------------


def found(graph: SmallGraph) -> list[tuple[str, str]]:
    findings = list(examine_history(graph.catalogue()))
    assert {finding.what for finding in findings} <= {"history"}
    return [(finding.state, finding.detail) for finding in findings]


WHOLE = "publications 1, 2 of toy: `dcgan rollback toy ID` brings one back, `dcgan log toy` tells"


def test_a_history_that_is_whole_says_what_can_come_back(graph: SmallGraph) -> None:
    ((state, line),) = found(graph)
    assert state == "ok"
    assert line.startswith(WHOLE)
    shutil.rmtree(graph.root / "history")
    assert found(graph) == []


def spoil(path: Path) -> None:
    """Other bytes, as many, in a file of its own."""
    content = path.read_bytes()[::-1]
    path.unlink()
    path.write_bytes(content)


def test_what_is_damaged_or_foreign_in_the_history_is_named(graph: SmallGraph) -> None:
    history = History(graph.root)
    first, second = (history.read("toy", number) for number in (1, 2))
    damaged = min(first.digests - second.digests)
    place = graph.root / "history/objects" / damaged[:2] / damaged
    spoil(place)
    (graph.root / "history/publications/toy/note.txt").write_text("mine")
    (bad, line), whole, foreign = found(graph)
    assert bad == "FAIL"
    assert line == (
        f"publication 1 of toy cannot come back: history/objects/{damaged[:2]}/{damaged} is "
        "damaged; remove history/publications/toy/1.json, then `dcgan gc`"
    )
    assert whole[1].startswith("publications 2 of toy: `dcgan rollback")
    assert foreign == ("note", "not ours, and left alone: history/publications/toy/note.txt")

    place.unlink()
    assert f"{damaged[:2]}/{damaged} is missing" in found(graph)[0][1]
    (graph.root / "history/publications/toy/1.json").write_text("{")
    assert "toy/1.json: not a publication of ours" in found(graph)[0][1]
    shutil.rmtree(graph.root / "history")
    (graph.root / "history").write_text("mine")
    ((state, line),) = found(graph)
    assert state == "FAIL"
    assert "history: no folder; publications are kept there" in line


@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_of_networks_that_do_not_stand_whole_a_rollback_is_offered(
    graph: SmallGraph, how: str
) -> None:
    expected = weights(graph)
    folder = graph.root / "models" / NETWORKS[1]
    if how == "gone":
        shutil.rmtree(folder)
    else:
        spoil(folder / "weights.json")
    _, (state, line) = found(graph)
    assert state == "note"
    assert line == (
        "toy/generator, toy/discriminator do not stand whole; `dcgan rollback toy 2` brings back "
        "what was published"
    )
    list(rollback(graph.catalogue(), "toy", "2"))
    assert weights(graph) == expected
    ((state, _),) = found(graph)
    assert state == "ok"


def test_a_rollback_that_was_stopped_is_named(graph: SmallGraph) -> None:
    assert os.WIFSIGNALED(forked(partial(die_between, graph)))
    _, half = found(graph)
    assert half == (
        "note",
        "the rollback to publication 1 of toy was stopped half way; `dcgan materialize "
        "toy/generator` finishes it",
    )


# --- Killed at any moment -------------------------------------------------------------------


def go_back(graph: SmallGraph) -> None:
    catalogue = graph.catalogue()
    publication = History(graph.root).read("toy", 1)
    bring_back(catalogue, catalogue.by_key["toy/generator"], publication)


def die_between(graph: SmallGraph) -> None:
    """Go back, and be killed when one network of the two is in."""
    publish = Store.publish

    def publish_first(store: Store, staging: Path, artefact: Artefact, meta: Meta) -> Meta:
        if artefact.key == NETWORKS[1]:
            os.kill(os.getpid(), signal.SIGKILL)
        return publish(store, staging, artefact, meta)

    Store.publish = publish_first  # type: ignore[method-assign]
    go_back(graph)


def test_what_is_on_its_way_back_stays_until_it_is_there(graph: SmallGraph) -> None:
    history, catalogue = History(graph.root), graph.catalogue()
    target = history.read("toy", 1)
    assert history.outlived(1) == [target]
    assert os.WIFSIGNALED(forked(partial(die_between, graph)))
    assert standing_together(catalogue, catalogue.by_key["toy/generator"]) is None
    # Whoever clears, with a list of now or of then, leaves what is needed.
    assert history.outlived(1) == []
    with pytest.raises(UserError, match=r"publication 1 of toy was stopped .* toy/generator` fini"):
        history.remove(target)
    collect(graph)
    assert require_whole(graph) == [1, 2]
    assert graph.run().code == 0
    assert [meta.data_version for meta in target.records] == [
        graph.meta(key).data_version for key in NETWORKS
    ]
    collect(graph)
    assert require_whole(graph) == [3]


def collect(graph: SmallGraph) -> None:
    """What `dcgan gc` does with a history of which the last networks alone are to stay."""
    history = History(graph.root)
    for publication in history.outlived(1):
        history.remove(publication)
    history.sweep()


def require_whole(graph: SmallGraph) -> list[int]:
    """Check that every publication can be had; their numbers."""
    found, wrong = History(graph.root).publications("toy")
    assert wrong == []
    for digest in {digest for one in found for digest in one.digests}:
        assert sha256_file(graph.root / "history/objects" / digest[:2] / digest) == digest
    return [one.number for one in found]


def steps_of(graph: SmallGraph, work: partial[None]) -> int:
    count = graph.root / "steps"
    assert forked(partial(counted, work, float("inf"), count)) == 0
    return int(count.read_text())


def killed(twice: SmallGraph, disk: Path, work: str) -> Iterator[SmallGraph]:
    """A copy for each step of some work, in which that was killed just before it."""
    bare = copied(twice, disk / "bare", ".dagster_home")
    do = {"go back": go_back, "collect": collect}[work]
    count = steps_of(copied(bare, disk / "counted"), partial(do, copied(bare, disk / "whole")))
    for number in range(1, count + 1):
        graph = copied(bare, disk / f"killed-{number}")
        dying = partial(counted, partial(do, graph), number, graph.root / "steps")
        assert os.WIFSIGNALED(forked(dying))
        yield graph
        shutil.rmtree(graph.root)


@pytest.mark.slow
def test_killed_at_any_step_of_a_rollback_either_pair_stands_or_it_is_finished(
    twice: SmallGraph, fast_disk: Path
) -> None:
    history = History(twice.root)
    first, second = ([meta.data_version for meta in history.read("toy", n).records] for n in (1, 2))
    seen = set()
    for graph in killed(twice, fast_disk, "go back"):
        catalogue = graph.catalogue()
        step = catalogue.by_key["toy/generator"]
        numbers = require_whole(graph)
        pair = standing_together(catalogue, step)
        versions = [meta.data_version for meta in pair] if pair is not None else None
        assert versions in (first, second, None)
        # Half a pair is never up to date; what is, is recorded last.
        assert is_current(catalogue, step) is (pair is not None)
        assert numbers == [1, 2] or (numbers == [1, 2, 3] and versions == first)
        # Clearing leaves what is needed to finish it, also where it goes by a list from before.
        unfinished = (
            pytest.raises(UserError, match="finishes it") if pair is None else nullcontext()
        )
        with unfinished:
            History(graph.root).remove(history.read("toy", 1))
        collect(graph)
        assert (1 in require_whole(graph)) is (pair is None)
        with ExitStack() as stack:
            folders = {
                key: stack.enter_context(catalogue.store.writing(catalogue.artefact(key)))
                for key in step.outputs
            }
            back = finish(catalogue, step, folders)
            remember(catalogue, step)
        assert (back is None) == (pair is not None)
        pair = standing_together(catalogue, step)
        assert pair is not None
        assert [meta.data_version for meta in pair] == (versions or first)
        assert all(catalogue.store.verify(catalogue.artefact(key)) is None for key in NETWORKS)
        assert History(graph.root).find(pair) is not None
        History(graph.root).sweep()
        require_whole(graph)
        assert not list(graph.root.rglob("*.part"))
        seen.add(str(versions))
    assert seen == {str(first), str(second), "None"}, "each of them came about"


@pytest.mark.slow
def test_what_a_killed_rollback_left_half_is_finished_by_the_next_run(
    graph: SmallGraph, twice: SmallGraph, fast_disk: Path
) -> None:
    expected = [meta.data_version for meta in History(graph.root).read("toy", 1).records]
    half = next(
        one
        for one in killed(twice, fast_disk, "go back")
        if standing_together(one.catalogue(), one.catalogue().by_key["toy/generator"]) is None
    )
    shutil.copytree(graph.root / ".dagster_home", half.root / ".dagster_home")
    ran = half.run()
    assert ran.code == 0
    assert ran.made == ["toy/generator", "toy/samples"]
    assert [half.meta(key).data_version for key in NETWORKS] == expected
    assert half.recorded("toy/generator") == {None: expected[0]}
    assert decisions(half)[0][1:] == (
        *("rolled back to publication 1: published the candidate", 1, True),
    )


@pytest.mark.slow
def test_killed_while_it_is_cleared_what_is_left_is_whole(
    twice: SmallGraph, fast_disk: Path
) -> None:
    for graph in killed(twice, fast_disk, "collect"):
        assert require_whole(graph) in ([1, 2], [2])
        collect(graph)
        assert require_whole(graph) == [2]
        assert History(graph.root).unnamed() == {}
        content = json.loads((graph.root / "history/publications/toy/2.json").read_text())
        assert content["number"] == 2
