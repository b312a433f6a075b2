"""`dcgan status`: every way in which an asset can be out of order, with DVC's own answers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_graph import SmallGraph

from dcgan_assets.dvc.commit import publish
from dcgan_assets.dvc.records import read_records
from dcgan_assets.dvc.register import register, register_released
from dcgan_assets.dvc.status import State, read_standing, survey
from dcgan_assets.engine.records import RECORDS
from dcgan_models.errors import UserError

NAMES = ("images", "boxes", "mean", "summary", "constant")
SAMPLES = [{"changed outs": {"results/toy/summary": "modified"}}]


@pytest.fixture
def made(released: SmallGraph) -> SmallGraph:
    """A part of a workspace in which everything was made."""
    return released.only(*NAMES)


def states(graph: SmallGraph, *changes: object) -> dict[str, State]:
    catalogue = graph.catalogue()
    return {
        state.key: state
        for state in survey(
            catalogue, read_records(catalogue), {"toy-summary": list(changes)}, set()
        )
        if state != State(state.key)
    }


def test_nothing_to_say_of_what_is_in_order(made: SmallGraph) -> None:
    assert states(made) == {}
    assert read_standing(made.catalogue()).lines() == [
        "5 of 5 assets in order",
        f"note: {made.root} is not under DVC",
    ]


def test_every_column(made: SmallGraph) -> None:
    made.change(constant={"value": 8})
    made.write_source("01", 3.0)
    found = states(made, *SAMPLES)
    assert found["toy/constant"].stale == "code, parameters, seed or inputs changed"
    assert found["toy/images"].stale.startswith("2 of 2 shards: code, parameters")
    assert found["toy/summary"].uncommitted
    assert not found["toy/constant"].uncommitted


def test_changed_inputs_are_uncommitted_only_where_the_output_is_current(
    made: SmallGraph,
) -> None:
    inputs = {"changed deps": {"data/toy/mean": "modified"}}
    assert states(made, inputs)["toy/summary"].uncommitted
    made.change(summary={"digits": 1})
    assert not states(made, inputs)["toy/summary"].uncommitted


def test_what_dagster_does_not_know(made: SmallGraph, dagster_home: Path) -> None:
    shutil.rmtree(made.root / ".dagster_home")
    shutil.copytree(dagster_home, made.root / ".dagster_home")
    assert all(state.unregistered for state in states(made).values())
    assert len(states(made)) == 5


def test_records_of_dagster_that_are_broken_are_one_line(made: SmallGraph) -> None:
    database = made.root / ".dagster_home" / "history" / "runs.db"
    database.write_bytes(b"no database" * 1000)
    for look in (read_standing, lambda catalogue: list(register_released(catalogue))):
        with pytest.raises(UserError, match="Dagster's records cannot be read") as caught:
            look(made.catalogue())
        assert "\n" not in str(caught.value)


# --- A clone, in which there are no pictures --------------------------------------------------


@pytest.fixture
def registered(clone: SmallGraph) -> SmallGraph:
    """A clone after `dvc pull` and `dcgan register`."""
    catalogue = clone.catalogue()
    with clone.instance() as instance:
        register(catalogue, instance, read_records(catalogue))
    return clone


def test_a_registered_clone_is_in_order(registered: SmallGraph) -> None:
    """The web UI says the same of it: test_register.py."""
    away = [f"toy/{name}" for name in ("images", "constant", "boxes", "mean")]
    gone = {"changed deps": {"data/toy/boxes": "deleted", "data/toy/mean": "deleted"}}
    assert states(registered, gone) == {key: State(key, away=True) for key in away}
    found, advice, _ = read_standing(registered.catalogue()).lines()
    assert found == "9 of 9 assets in order"
    start = "4 not here, as DVC does not keep them; rebuild with `dcgan materialize KEY`: "
    assert advice.startswith(start)
    assert set(advice.removeprefix(start).split(", ")) == set(away)


def test_a_clone_that_was_not_registered_yet(clone: SmallGraph) -> None:
    found = states(clone)
    assert len(found) == 8  # the candidate is not needed
    assert all(state.unregistered and not state.stale for state in found.values())


def test_in_a_clone_a_changed_parameter_is_the_reason(registered: SmallGraph) -> None:
    registered.change(boxes={"factor": 11})
    found = {key: state.stale for key, state in states(registered).items() if not state.in_order}
    assert found == {
        "toy/boxes": "2 of 2 shards: code, parameters, seed or inputs changed",
        "toy/summary": "its inputs are made anew",
    }


def test_what_is_damaged_is_not_as_it_was_released(registered: SmallGraph) -> None:
    (registered.root / "data" / "toy" / "constant").mkdir(parents=True)
    assert states(registered)["toy/constant"] == State("toy/constant", stale="not there yet")


def test_records_that_are_not_whole_are_a_note(made: SmallGraph) -> None:
    (made.root / RECORDS / "toy" / "mean.json").write_text("{", encoding="utf-8")
    first, *notes = read_standing(made.catalogue()).lines()
    assert first == "5 of 5 assets in order"
    assert notes[-1].startswith("note: what was released is not known: records/toy/mean.json: not")


@pytest.mark.slow
def test_with_dvc(small: SmallGraph) -> None:
    graph = small.only(*NAMES).under_dvc()
    graph.change(machine={"dvc": "off"})
    graph.run()

    def rows() -> dict[str, list[str]]:
        lines = read_standing(graph.catalogue()).lines()
        return {line.split()[0]: line.split()[1:] for line in lines if line.startswith("toy/")}

    assert rows() == {f"toy/{name}": ["uncommitted"] for name in NAMES}
    graph.change(machine={"dvc": "commit"})
    publish(graph.catalogue())
    assert rows() == {"toy/summary": ["unpushed"]}
    graph.dvc("push")
    assert read_standing(graph.catalogue()).lines() == ["5 of 5 assets in order"]
    (graph.root / "dvc.lock").write_text("stages: [1\n", encoding="utf-8")
    *_, note = read_standing(graph.catalogue()).lines()
    assert note.startswith("note: DVC's columns are missing: ")
    assert "dvc.lock: not readable" in note


def test_what_was_made_and_never_booked_is_uncommitted(small: SmallGraph) -> None:
    """It has no stage yet, of which DVC could say so."""
    small.only("constant").under_dvc()
    small.change(machine={"dvc": "off"})
    assert small.run().code == 0
    row = next(
        line for line in read_standing(small.catalogue()).lines() if line.startswith("toy/constant")
    )
    assert row.split() == ["toy/constant", "uncommitted"]
