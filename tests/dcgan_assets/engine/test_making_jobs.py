"""The jobs `make_GROUP` and `make_all`: one click does what `dcgan materialize` does."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import dagster as dg
import pytest
import small_graph
from small_graph import SmallGraph

from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.making_jobs import making_jobs

NAMES = ("images", "boxes", "mean", "candidate", "generator", "samples", "constant", "page")


@pytest.fixture
def toy(small: SmallGraph) -> SmallGraph:
    """Sharded assets, networks, a page of what is there."""
    return small.only(*NAMES)


def click(
    catalogue: Catalogue, instance: dg.DagsterInstance, name: str
) -> tuple[dg.ExecuteInProcessResult, list[set[str]]]:
    """Run a job as its page does; how it ended, and what was to be booked."""
    booked: list[set[str]] = []

    def book(keys: Collection[str]) -> bool:
        booked.append(set(keys))
        return True

    jobs = {job.name: job for job in making_jobs(catalogue, book)}
    done = jobs[name].execute_in_process(instance=instance, raise_on_error=False)
    return done, booked


def failure_of(done: dg.ExecuteInProcessResult) -> str:
    (event,) = [event for event in done.all_events if event.is_step_failure]
    failure = event.step_failure_data.user_failure_data
    assert failure is not None
    return str(failure.description)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["make_toy", "make_all"])
def test_one_click_makes_shards_networks_and_what_reads_them(toy: SmallGraph, name: str) -> None:
    with toy.instance() as instance:
        done, booked = click(toy.catalogue(), instance, name)
        assert done.success
        runs = instance.get_runs()
        assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
        made = {key.to_user_string() for run in runs for key in run.asset_selection or ()}
        assert made == set(toy.catalogue().by_key)
        again, nothing = click(toy.catalogue(), instance, name)
        assert again.success
        assert nothing == [set()]
        assert instance.get_runs_count() == len(runs) + 1, "the job's own"
    assert booked == [{step.key for step in toy.catalogue().steps}]
    assert set(toy.recorded("toy/images")) == {"00", "01"}
    assert toy.run().lines == [f"up to date: {len(NAMES) + 2}"]


def test_what_is_optional_is_not_made(toy: SmallGraph) -> None:
    catalogue = toy.only("images", "mean", "constant").catalogue()
    steps = [replace(step, optional=step.key == "toy/constant") for step in catalogue.steps]
    with toy.instance() as instance:
        done, booked = click(Catalogue(catalogue.workspace, tuple(steps)), instance, "make_all")
    assert done.success
    assert booked == [{"toy/images", "toy/mean"}]


def test_what_failed_is_named_and_stops_only_what_needs_it(toy: SmallGraph) -> None:
    (toy.root / "fail-01").touch()
    with toy.instance() as instance:
        done, booked = click(toy.catalogue(), instance, "make_toy")
    assert not done.success
    lines = failure_of(done).splitlines()
    assert lines[0] == "toy/images[01]: shard 01 is told to fail"
    assert "toy/mean: something that it needs failed" in lines
    assert booked == [{"toy/images", "toy/boxes", "toy/constant", "toy/page"}]


def test_a_folder_that_is_not_ours_is_one_line(toy: SmallGraph) -> None:
    place = toy.root / "data" / "toy" / "constant"
    place.mkdir(parents=True)
    (place / "mine.txt").write_text("mine")
    with toy.instance() as instance:
        done, _ = click(toy.only("constant").catalogue(), instance, "make_toy")
    assert "not ours" in failure_of(done)
    assert (place / "mine.txt").read_text() == "mine"


def test_a_job_for_each_group_and_one_for_all(toy: SmallGraph) -> None:
    steps = (*toy.catalogue().steps, replace(small_graph.STEPS[0], outputs=("cats/images",)))
    found = making_jobs(Catalogue(toy.catalogue().workspace, steps), lambda keys: True)
    assert [job.name for job in found] == ["make_toy", "make_cats", "make_all"]
