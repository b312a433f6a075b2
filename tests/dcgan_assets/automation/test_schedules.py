"""Schedules: a tick, a seed, a candidate; and when there is nothing to do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from small_graph import SmallGraph

from dcgan_assets.automation.schedules import GROUP_TAG, retraining_schedule, trained_groups
from dcgan_assets.definitions import build_definitions
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import profile_text
from dcgan_models.errors import UserError

SUNDAY = datetime(2026, 3, 1, 3, tzinfo=UTC)
WEEK = timedelta(weeks=1)


@dataclass
class Toy:
    """The small graph with everything made, an instance, and its one schedule."""

    graph: SmallGraph
    instance: dg.DagsterInstance

    def definitions(self) -> dg.Definitions:
        return build_definitions(self.graph.catalogue())

    def tick(self, moment: datetime) -> dg.RunRequest | str:
        """What the schedule answers to a tick: a run, or why there is none."""
        schedule = self.definitions().resolve_schedule_def("retrain_toy_schedule")
        with dg.build_schedule_context(
            instance=self.instance, scheduled_execution_time=moment
        ) as context:
            data = schedule.evaluate_tick(context)
        if data.skip_message is not None:
            assert not data.run_requests
            return data.skip_message
        (request,) = data.run_requests or ()
        return request

    def run(self, request: Any) -> dg.ExecuteInProcessResult:
        """Execute a tick's run, with its configuration and its tags."""
        job = self.definitions().resolve_job_def("retrain_toy")
        return job.execute_in_process(
            run_config=request.run_config, tags=request.tags, instance=self.instance
        )

    def candidate_seed(self) -> int:
        seed = self.graph.meta("toy/candidate").seed
        assert seed is not None
        return seed


@pytest.fixture
def toy(gated: SmallGraph) -> Iterator[Toy]:
    with gated.instance() as instance:
        yield Toy(gated, instance)


def seed_of(request: Any) -> int:
    seed = request.run_config["ops"]["toy__candidate"]["config"]["seed"]
    assert isinstance(seed, int)
    return seed


# --- Ticks and seeds --------------------------------------------------------------------------


def test_a_run_is_held_to_its_time_and_retried_when_it_dies(toy: Toy) -> None:
    tags = toy.definitions().resolve_job_def("retrain_toy").run_tags
    assert tags["dagster/max_runtime"] == str(24 * 3600)
    assert tags["dagster/max_retries"] == "2"
    assert tags[GROUP_TAG] == "toy"


def test_two_ticks_are_two_candidates_and_a_retry_is_none(toy: Toy) -> None:
    first, second = toy.tick(SUNDAY), toy.tick(SUNDAY + WEEK)
    assert seed_of(first) != seed_of(second)
    assert toy.run(first).success
    assert toy.candidate_seed() == seed_of(first)
    made = toy.graph.meta("toy/candidate")

    # What a retry runs: the same configuration.
    assert toy.run(first).success
    assert toy.graph.meta("toy/candidate") == made

    assert toy.run(second).success
    assert toy.candidate_seed() == seed_of(second)
    assert toy.graph.meta("toy/candidate").data_version != made.data_version
    published = toy.graph.meta("toy/generator")
    assert published.inputs["toy/candidate"].seed == seed_of(second)


def test_a_tick_asked_again_is_the_same_run(toy: Toy) -> None:
    here = SUNDAY.astimezone(timezone(timedelta(hours=9)))
    first, again = toy.tick(SUNDAY), toy.tick(here)
    assert isinstance(first, dg.RunRequest)
    assert isinstance(again, dg.RunRequest)
    assert first.run_key == again.run_key
    assert seed_of(first) == seed_of(again)


def test_another_workspace_seed_is_another_candidate(toy: Toy) -> None:
    before = seed_of(toy.tick(SUNDAY))
    toy.graph.change(seed=43)
    assert seed_of(toy.tick(SUNDAY)) != before


# --- Runs that end before their time ----------------------------------------------------------


def will_retry(toy: Toy, run_id: str) -> bool:
    """Whether the daemon is going to launch a run again, as Dagster marks it."""
    run = toy.instance.get_run_by_id(run_id)
    assert run is not None
    assert run.is_finished
    return run.tags.get("dagster/will_retry") == "true"


def test_who_dies_is_retried_and_who_is_terminated_is_not(toy: Toy) -> None:
    job = toy.definitions().resolve_job_def("retrain_toy")

    def begin(tags: dict[str, str]) -> dg.DagsterRun:
        return toy.instance.create_run_for_job(job, tags=tags)

    died = begin(dict(job.run_tags))
    toy.instance.report_run_failed(died)  # as where a process is gone, or its time is over
    assert will_retry(toy, died.run_id)

    terminated = begin(dict(job.run_tags))
    toy.instance.report_run_canceling(terminated)
    toy.instance.report_run_canceled(terminated)
    assert not will_retry(toy, terminated.run_id)

    by_hand = begin({})
    toy.instance.report_run_failed(by_hand)
    assert not will_retry(toy, by_hand.run_id)


@pytest.mark.slow
def test_a_step_that_fails_is_not_retried(toy: Toy) -> None:
    (toy.graph.root / "data/toy/mean/_meta.json").unlink()
    job = toy.definitions().resolve_job_def("retrain_toy")
    done = job.execute_in_process(instance=toy.instance, raise_on_error=False)
    assert not done.success
    assert not will_retry(toy, done.run_id)


# --- Nothing to do ----------------------------------------------------------------------------


def test_without_what_it_reads_a_group_waits(toy: Toy) -> None:
    (toy.graph.root / "models/toy/extractor").rename(toy.graph.root / "aside")
    # `quality` reads it, and a retraining does not make it.
    assert toy.tick(SUNDAY) == (
        "toy cannot be trained yet: missing: toy/extractor; run `dcgan materialize toy/extractor`"
    )


def test_when_changed_waits_for_other_pictures(toy: Toy) -> None:
    toy.graph.change(retraining={"retrain": "when_changed"})
    same = "the training pictures of toy are those that its last candidate saw"
    assert toy.tick(SUNDAY) == same

    toy.graph.write_source("00", 5.0)
    assert toy.graph.run("toy/mean").code == 0
    request = toy.tick(SUNDAY)
    assert isinstance(request, dg.RunRequest)
    assert toy.run(request).success
    assert toy.tick(SUNDAY + WEEK) == same


@pytest.mark.slow
def test_when_changed_believes_the_record_of_an_absent_candidate(toy: Toy) -> None:
    """As in a clone: DVC brings what was published, and no candidate."""
    toy.graph.change(retraining={"retrain": "when_changed"})
    (toy.graph.root / "models/toy/candidate").rename(toy.graph.root / "aside")
    assert isinstance(toy.tick(SUNDAY), str)
    toy.graph.write_source("00", 5.0)
    assert toy.graph.run("toy/mean").code == 0
    assert isinstance(toy.tick(SUNDAY), dg.RunRequest)


@pytest.mark.slow
def test_when_changed_is_not_misled_by_the_candidate_of_another_commit(toy: Toy) -> None:
    """Back at an older commit: what is published saw the pictures that are there."""
    toy.graph.change(retraining={"retrain": "when_changed"})
    aside = toy.graph.root / "older"
    for name in ("generator", "discriminator"):
        shutil.copytree(toy.graph.root / "models/toy" / name, aside / name)
    toy.graph.write_source("00", 5.0)
    assert toy.graph.run().code == 0
    toy.graph.write_source("00", 1.0)
    assert toy.graph.run("toy/mean").code == 0
    assert isinstance(toy.tick(SUNDAY), dg.RunRequest), "they are others than both saw last"
    for name in ("generator", "discriminator"):
        shutil.rmtree(toy.graph.root / "models/toy" / name)
        shutil.copytree(aside / name, toy.graph.root / "models/toy" / name)
    assert isinstance(toy.tick(SUNDAY), str)


@pytest.mark.slow
def test_a_candidate_that_was_refused_counts_as_finished(toy: Toy) -> None:
    toy.graph.change(retraining={"retrain": "when_changed"}, candidate={"healthy": False})
    toy.graph.write_source("00", 5.0)
    assert toy.graph.run("toy/mean").code == 0
    request = toy.tick(SUNDAY)
    champion = toy.graph.meta("toy/generator").data_version
    assert toy.run(request).success
    assert toy.graph.meta("toy/generator").data_version == champion
    assert isinstance(toy.tick(SUNDAY + WEEK), str)


@pytest.mark.parametrize("of_a_retry", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_ticks_do_not_pile_up(toy: Toy, of_a_retry: bool) -> None:
    """One may wait behind the one that trains; a retry that waits belongs to an earlier tick."""
    job = toy.definitions().resolve_job_def("retrain_toy")
    died = toy.run(toy.tick(SUNDAY)).dagster_run.run_id if of_a_retry else None
    toy.instance.create_run_for_job(
        job, tags={GROUP_TAG: "toy"}, parent_run_id=died, root_run_id=died
    )
    answer = toy.tick(SUNDAY)
    assert (answer == "a run that trains toy waits already") == (not of_a_retry)


# --- What params.yaml says --------------------------------------------------------------------


def test_a_group_has_its_own_rules_and_the_rest_from_above(tmp_path: Path) -> None:
    content = yaml.safe_load(profile_text("sample"))
    content["retraining"] |= {"max_hours": 5, "groups": {"lsun": {"cron": "0 4 1 * *"}}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    retraining = Workspace(tmp_path).params.retraining
    assert (retraining.of("lsun").cron, retraining.of("lsun").max_hours) == ("0 4 1 * *", 5)
    assert (retraining.of("mnist").cron, retraining.of("mnist").max_hours) == ("0 3 * * 0", 5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cron": "weekly"}, "retraining.cron: "),
        ({"time_zone": "Mars/North"}, "retraining.time_zone: unknown time zone 'Mars/North'"),
        ({"groups": {"cats": {}}}, "retraining.groups.cats: no such group with a generator"),
        ({"groups": {"lsun": {"corn": "x"}}}, "retraining.groups.lsun.corn: unknown key; allowed"),
        ({"groups": {"lsun": 7}}, "retraining.groups.lsun: "),
        ({"groups": 7}, "retraining.groups: "),
        ({"retries": 11}, "retraining.retries: "),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    content = yaml.safe_load(profile_text("sample"))
    content["retraining"] |= change
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        Workspace(tmp_path).params  # noqa: B018
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_time_that_is_none_is_one_line(gated: SmallGraph) -> None:
    gated.change(retraining={"cron": "61 3 * * 0"})
    catalogue = gated.catalogue()
    (group,) = trained_groups(catalogue)
    with pytest.raises(
        UserError, match=r"^params.yaml: retraining: no such time as '61 3 \* \* 0'"
    ):
        retraining_schedule(catalogue, group, "retrain_toy")
