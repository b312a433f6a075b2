"""Steps: what is to be made, whether it is there already, and how it is made and published."""

from __future__ import annotations

import json
import logging
import os
import resource
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import pytest
import small_graph
from fixture_types import Refused
from small_graph import SmallGraph

from dcgan_assets.definitions import build_definitions
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.fingerprint import Order, place_order, standing
from dcgan_assets.engine.interrupts import StopFlag
from dcgan_assets.engine.making import Work, make
from dcgan_assets.engine.results import Result
from dcgan_assets.engine.step import Outcome, Step
from dcgan_assets.engine.store import Artefact, Meta
from dcgan_models.errors import UserError
from dcgan_models.files import read_json


def order_of(graph: SmallGraph, key: str, shard: str | None = None, **seed: int) -> Order:
    catalogue = graph.catalogue()
    return place_order(catalogue, catalogue.by_key[key], shard, **seed)


class Listener:
    """What making uses of Dagster's context, for steps made outside any run."""

    run = SimpleNamespace(run_id="the run")
    log = logging.getLogger(__name__)

    def __init__(self) -> None:
        self.events: list[Any] = []

    def log_event(self, event: Any) -> None:
        self.events.append(event)


def made(graph: SmallGraph, key: str, shard: str | None = None, **seed: int) -> Meta:
    """Make one step; the record of its first output."""
    order = order_of(graph, key, shard, **seed)
    return make(graph.catalogue(), order, cast(Any, Listener()), force=False)[0][0]


def made_up_to(graph: SmallGraph, *keys: str) -> None:
    for key in keys:
        for shard in graph.catalogue().shards(graph.catalogue().by_key[key]):
            made(graph, key, shard)


def stands(graph: SmallGraph, key: str, shard: str | None = None, **seed: int) -> bool:
    """Whether a step's outputs are published and current."""
    return standing(graph.catalogue(), order_of(graph, key, shard, **seed)) is not None


def remove(graph: SmallGraph, key: str) -> None:
    """Take an artefact away, as in a clone that pulled only what DVC keeps."""
    folder = graph.catalogue().store.folder(graph.catalogue().artefact(key))
    folder.rename(graph.root / f"removed-{key.replace('/', '-')}")


# --- The catalogue --------------------------------------------------------------------------


def test_a_sharded_step_reads_the_same_shard_and_others_read_all(small: SmallGraph) -> None:
    catalogue = small.catalogue()
    shard = Artefact("toy/images", "data", "01")
    boxes, mean = catalogue.by_key["toy/boxes"], catalogue.by_key["toy/mean"]
    assert catalogue.read_by(boxes, "01") == {"toy/images": [shard]}
    assert catalogue.read_by(mean, None) == {
        "toy/images": [Artefact("toy/images", "data", "00"), shard]
    }
    summary = catalogue.by_key["toy/summary"]
    assert [a.label for a in catalogue.read_by(summary, None)["toy/boxes"]] == [
        "toy/boxes[00]",
        "toy/boxes[01]",
    ]


def test_shards_of_another_count_are_read_in_full(small: SmallGraph) -> None:
    small.change(boxes={"shards": 1})
    catalogue = small.catalogue()
    read = catalogue.read_by(catalogue.by_key["toy/boxes"], "00")
    assert [artefact.shard for artefact in read["toy/images"]] == ["00", "01"]


def test_every_output_leads_to_its_step(small: SmallGraph) -> None:
    catalogue = small.catalogue()
    assert catalogue.by_key["toy/discriminator"] is catalogue.by_key["toy/generator"]
    assert catalogue.by_key["toy/discriminator"].key == "toy/generator"


# --- Orders and the memo --------------------------------------------------------------------


def test_missing_inputs_are_named(small: SmallGraph) -> None:
    made(small, "toy/images", "00")
    with pytest.raises(UserError) as caught:
        order_of(small, "toy/mean")
    assert str(caught.value) == "missing: toy/images[01]; run `dcgan materialize toy/images`"


def test_what_was_made_stands_until_something_changes(small: SmallGraph) -> None:
    made_up_to(small, "toy/images", "toy/mean")
    assert stands(small, "toy/mean")
    small.change(boxes={"factor": 11})
    assert stands(small, "toy/mean"), "another step's section is none of its business"
    small.change(mean={"limit": 99.0})
    assert not stands(small, "toy/mean")
    small.change(mean={"limit": 100.0})
    assert stands(small, "toy/mean"), "back to what it was made with"


def test_an_input_counts_by_its_content(small: SmallGraph) -> None:
    made_up_to(small, "toy/images", "toy/mean")
    fingerprint = order_of(small, "toy/mean").fingerprint
    made_up_to(small, "toy/images")
    assert order_of(small, "toy/mean").fingerprint == fingerprint, "made again, the same"
    small.write_source("01", 5.0)
    made_up_to(small, "toy/images")
    assert order_of(small, "toy/mean").fingerprint != fingerprint
    assert not stands(small, "toy/mean")


def test_the_source_outside_counts_by_its_listing(small: SmallGraph) -> None:
    made_up_to(small, "toy/images")
    assert stands(small, "toy/images", "00")
    source = small.root / "source" / "00.txt"
    facts = source.stat()
    os.utime(source, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    assert not stands(small, "toy/images", "00")


def test_all_outputs_must_stand(small: SmallGraph) -> None:
    made_up_to(small, "toy/images", "toy/mean", "toy/candidate", "toy/generator")
    assert stands(small, "toy/generator")
    remove(small, "toy/discriminator")
    assert not stands(small, "toy/generator")


def test_a_damaged_output_does_not_stand(small: SmallGraph) -> None:
    meta = made(small, "toy/constant")
    (name,) = meta.files
    (small.root / "data/toy/constant" / name).unlink()
    assert not stands(small, "toy/constant")


# --- Seeds ----------------------------------------------------------------------------------


def test_a_seed_belongs_to_seeded_steps_alone(small: SmallGraph) -> None:
    made_up_to(small, "toy/images", "toy/mean")
    assert order_of(small, "toy/mean").seed is None
    assert order_of(small, "toy/candidate").seed == 42
    small.change(seed=43)
    assert stands(small, "toy/mean")


def test_the_stored_seed_is_kept_until_the_one_in_params_changes(small: SmallGraph) -> None:
    made_up_to(small, "toy/images", "toy/mean")
    assert made(small, "toy/candidate").seed == 42
    asked = made(small, "toy/candidate", seed=7)
    assert (asked.seed, asked.params_seed) == (7, 42)
    assert order_of(small, "toy/candidate").seed == 7
    assert stands(small, "toy/candidate")
    small.change(seed=43)
    assert order_of(small, "toy/candidate").seed == 43
    assert not stands(small, "toy/candidate")
    assert made(small, "toy/candidate").seed == 43
    small.change(seed=42)
    assert order_of(small, "toy/candidate").seed == 42


def test_an_explicit_seed_is_part_of_the_fingerprint(small: SmallGraph) -> None:
    made_up_to(small, "toy/images", "toy/mean", "toy/candidate")
    assert stands(small, "toy/candidate", seed=42)
    assert not stands(small, "toy/candidate", seed=8)
    assert (
        made(small, "toy/candidate", seed=8).data_version
        != made(small, "toy/candidate", seed=42).data_version
    )


# --- Transient inputs -----------------------------------------------------------------------

TO_GENERATOR = ("toy/images", "toy/mean", "toy/candidate", "toy/generator")


def test_an_absent_candidate_is_stood_in_for_by_the_champions_record(small: SmallGraph) -> None:
    made_up_to(small, *TO_GENERATOR)
    candidate = small.meta("toy/candidate")
    remove(small, "toy/candidate")
    order = order_of(small, "toy/generator")
    assert order.inputs["toy/candidate"].data_version == candidate.data_version
    assert stands(small, "toy/generator")


def change_the_mean(graph: SmallGraph) -> None:
    graph.write_source("00", 9.0)
    made_up_to(graph, "toy/images", "toy/mean")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda g: g.change(candidate={"healthy": False}), id="its section"),
        pytest.param(lambda g: g.change(seed=43), id="the seed"),
        pytest.param(change_the_mean, id="its input"),
    ],
)
def test_it_is_not_where_it_would_come_out_otherwise(
    small: SmallGraph, change: Callable[[SmallGraph], object]
) -> None:
    made_up_to(small, *TO_GENERATOR)
    remove(small, "toy/candidate")
    change(small)
    with pytest.raises(UserError, match=r"^missing: toy/candidate; "):
        order_of(small, "toy/generator")


def test_the_seed_that_the_champion_had_is_the_one_that_counts(small: SmallGraph) -> None:
    made_up_to(small, "toy/images", "toy/mean")
    made(small, "toy/candidate", seed=7)
    made(small, "toy/generator")
    remove(small, "toy/candidate")
    assert stands(small, "toy/generator")


def test_any_other_input_must_be_there(small: SmallGraph) -> None:
    made_up_to(small, "toy/images", "toy/mean")
    remove(small, "toy/mean")
    with pytest.raises(UserError, match=r"^missing: toy/mean; "):
        order_of(small, "toy/candidate")


# --- Steps that are kept --------------------------------------------------------------------

GATED = ("images", "mean", "extractor", "candidate", "quality", "generator")


def test_what_is_kept_stands_when_its_inputs_change(small: SmallGraph) -> None:
    small.only(*GATED)
    made_up_to(small, "toy/images", "toy/mean", "toy/extractor")
    before = small.meta("toy/extractor")
    change_the_mean(small)
    assert stands(small, "toy/extractor")
    assert order_of(small, "toy/extractor").inputs == before.inputs, "it was made from the old one"
    remove(small, "toy/mean")
    assert stands(small, "toy/extractor")


def test_what_is_kept_is_made_anew_for_another_section(small: SmallGraph) -> None:
    small.only(*GATED)
    made_up_to(small, "toy/images", "toy/mean", "toy/extractor")
    small.change(constant={"value": 8})
    assert not stands(small, "toy/extractor")
    small.change(constant={"value": 7})
    assert stands(small, "toy/extractor")


def test_by_force_it_is_made_from_its_inputs_as_they_are_now(small: SmallGraph) -> None:
    small.only(*GATED)
    made_up_to(small, "toy/images", "toy/mean", "toy/extractor")
    change_the_mean(small)
    mean = small.meta("toy/mean")
    catalogue = small.catalogue()
    order = place_order(catalogue, catalogue.by_key["toy/extractor"], afresh=True)
    assert order.inputs["toy/mean"].data_version == mean.data_version
    make(catalogue, order, cast(Any, Listener()), force=False)
    assert small.meta("toy/extractor").inputs["toy/mean"].data_version == mean.data_version


def test_a_chain_of_absent_transient_inputs_is_stood_in_for(small: SmallGraph) -> None:
    """Candidate and quality are both gone after `dvc pull`; the champion's record knows both."""
    small.only(*GATED)
    made_up_to(small, *(f"toy/{name}" for name in GATED))
    for key in ("toy/candidate", "toy/quality"):
        remove(small, key)
        assert stands(small, "toy/generator"), key
    assert set(order_of(small, "toy/generator").inputs) == set(small.meta("toy/generator").inputs)


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"summary": {"digits": 1}}, "toy/quality"),
        ({"candidate": {"healthy": False}}, "toy/candidate, toy/quality"),
    ],
)
def test_not_where_one_of_the_chain_would_come_out_otherwise(
    small: SmallGraph, change: dict[str, Any], missing: str
) -> None:
    small.only(*GATED)
    made_up_to(small, *(f"toy/{name}" for name in GATED))
    for key in ("toy/candidate", "toy/quality"):
        remove(small, key)
    small.change(**change)
    with pytest.raises(UserError, match=f"^missing: {missing}; "):
        order_of(small, "toy/generator")


# --- Transient inputs of another commit -----------------------------------------------------


def gated_with(small: SmallGraph) -> SmallGraph:
    small.only(*GATED)
    made_up_to(small, *(f"toy/{name}" for name in GATED))
    return small


TO_QUALITY = ("toy/candidate", "toy/quality")
OTHERS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"seed": 43}, ("toy/candidate",)),
    ({"seed": 43}, TO_QUALITY),
    ({"candidate": {"healthy": False}}, TO_QUALITY),
    ({"summary": {"digits": 1}}, ("toy/quality",)),
    ({"seed": 43, "summary": {"digits": 1}}, TO_QUALITY),
]


@pytest.mark.parametrize(("other", "left"), OTHERS)
def test_what_another_commit_left_there_does_not_make_the_champion_stale(
    small: SmallGraph, other: dict[str, Any], left: tuple[str, ...]
) -> None:
    gated_with(small)
    small.change(**other)
    made_up_to(small, *left)
    assert not stands(small, "toy/generator"), "there it is to be published"
    small.change(seed=42, candidate={"healthy": True}, summary={"digits": 3})
    assert stands(small, "toy/generator")
    assert order_of(small, "toy/generator").inputs == small.meta("toy/generator").inputs
    for key in left:
        assert not stands(small, key)


@pytest.mark.parametrize("gone", TO_QUALITY)
def test_nor_does_half_of_it(small: SmallGraph, gone: str) -> None:
    gated_with(small)
    small.change(seed=43)
    made_up_to(small, *TO_QUALITY)
    small.change(seed=42)
    remove(small, gone)
    assert stands(small, "toy/generator")


def test_an_extractor_that_came_back_stands_for_a_measurement_by_another_one(
    small: SmallGraph,
) -> None:
    """It is kept, and under DVC: back at the older commit the older one lies there."""
    gated_with(small)
    small.write_source("00", 9.0)
    made_up_to(small, "toy/images", "toy/mean")
    aside = small.root / "models/toy/extractor"
    shutil.copytree(aside, small.root / "older")
    catalogue = small.catalogue()
    order = place_order(catalogue, catalogue.by_key["toy/extractor"], afresh=True)
    make(catalogue, order, cast(Any, Listener()), force=False)
    made_up_to(small, *TO_QUALITY)
    assert not stands(small, "toy/generator")

    small.write_source("00", 1.0)
    made_up_to(small, "toy/images", "toy/mean")
    remove(small, "toy/extractor")
    (small.root / "older").rename(aside)
    assert stands(small, "toy/generator")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"candidate": {"healthy": False}}, id="candidate"),
        pytest.param({"seed": 44}, id="seed"),
        pytest.param({"summary": {"digits": 1}}, id="quality"),
    ],
)
@pytest.mark.parametrize("left", [True, False])
def test_a_champion_of_other_parameters_is_stale_whatever_lies_there(
    small: SmallGraph, change: dict[str, Any], left: bool
) -> None:
    """Also where what lies there is what it was made from."""
    gated_with(small)
    if left:
        small.change(seed=43)
        made_up_to(small, *TO_QUALITY)
        small.change(seed=42)
    small.change(**change)
    assert not stands(small, "toy/generator")


def test_a_candidate_of_today_with_another_seed_is_to_be_published(small: SmallGraph) -> None:
    """As a schedule trains it: nothing but its seed is another one."""
    gated_with(small)
    made(small, "toy/candidate", seed=7)
    assert stands(small, "toy/candidate")
    assert not stands(small, "toy/quality")
    assert not stands(small, "toy/generator")
    made_up_to(small, "toy/quality")
    assert not stands(small, "toy/generator")
    made_up_to(small, "toy/generator")
    assert stands(small, "toy/generator")


def test_what_is_outdated_is_read_all_the_same_where_nothing_stands_in(small: SmallGraph) -> None:
    """Pictures that come while a training is at work do not keep it from being measured."""
    gated_with(small)
    made(small, "toy/candidate", seed=7)
    candidate = small.meta("toy/candidate")
    change_the_mean(small)
    quality = made(small, "toy/quality")
    assert quality.inputs["toy/candidate"].fingerprint == candidate.fingerprint
    generator = made(small, "toy/generator")
    assert generator.inputs["toy/candidate"].fingerprint == candidate.fingerprint
    assert not stands(small, "toy/generator"), "but it is not of today"


def test_nothing_is_made_of_another_candidate_than_its_record_will_say(
    small: SmallGraph, refused: Refused
) -> None:
    gated_with(small)
    small.change(seed=43)
    made_up_to(small, "toy/candidate")
    small.change(seed=42)
    before = small.meta("toy/generator")
    with refused(
        "toy/generator: toy/candidate that lies there is of other parameters, code or inputs than "
        "today's; run `dcgan materialize toy/candidate`"
    ):
        made(small, "toy/generator")
    remove(small, "toy/candidate")
    with refused("missing: toy/candidate"):
        made(small, "toy/generator")
    assert small.meta("toy/generator") == before


# --- Making ---------------------------------------------------------------------------------


def test_the_record_says_how_it_came_about(small: SmallGraph) -> None:
    made_up_to(small, "toy/images")
    meta = made(small, "toy/mean")
    order = order_of(small, "toy/mean")
    assert small.meta("toy/mean") == meta
    assert (meta.fingerprint, meta.code_version) == (order.fingerprint, order.code_version)
    assert meta.inputs["toy/images[01]"].data_version == small.meta("toy/images", "01").data_version
    assert [check["check"] for check in meta.checks] == ["bounded", "positive"]
    assert read_json(small.root / "data/toy/mean/mean.json") == 1.5


def test_the_same_making_gives_the_same_data_version(small: SmallGraph) -> None:
    made_up_to(small, "toy/images", "toy/mean", "toy/candidate")
    first = small.meta("toy/candidate")
    again = made(small, "toy/candidate")
    assert again.data_version == first.data_version
    assert again.data_version != made(small, "toy/candidate", seed=1).data_version


def test_a_result_is_completed_and_its_version_is_its_own(small: SmallGraph) -> None:
    made_up_to(small, "toy/images", "toy/boxes", "toy/mean", "toy/summary")
    result = Result.read(small.root / "results/toy/summary")
    meta = small.meta("toy/summary")
    assert result.asset == "toy/summary"
    assert result.data_version == meta.data_version
    assert result.code_version == meta.code_version
    assert (result.hardware, result.duration_s) == (meta.hardware, meta.duration_s)
    assert {row.name: row.value for row in result.rows} == {"boxes": 30.0, "mean": 1.5}
    store = small.catalogue().store
    assert store.verify(small.catalogue().artefact("toy/summary")) is None
    assert made(small, "toy/summary").data_version == meta.data_version


def test_a_required_check_that_fails_publishes_nothing(small: SmallGraph) -> None:
    made_up_to(small, "toy/images", "toy/mean")
    before = small.meta("toy/mean")
    small.change(mean={"limit": 1.0})
    listener = Listener()
    with pytest.raises(UserError) as caught:
        make(small.catalogue(), order_of(small, "toy/mean"), cast(Any, listener), force=False)
    assert str(caught.value) == (
        "toy/mean: not published, check failed: bounded (mean: 1.5, limit: 1.0)"
    )
    assert small.meta("toy/mean") == before
    (event,) = listener.events
    assert (event.asset_key.to_user_string(), event.check_name) == ("toy/mean", "bounded")
    assert not event.passed
    assert event.metadata["mean"].value == "1.5"


def test_any_other_check_that_fails_is_recorded(small: SmallGraph) -> None:
    small.write_source("00", -1.0)
    small.write_source("01", -1.0)
    made_up_to(small, "toy/images")
    passed = {check["check"]: check["passed"] for check in made(small, "toy/mean").checks}
    assert passed == {"bounded": True, "positive": False}


def test_all_outputs_are_published_and_kept_together(small: SmallGraph) -> None:
    made_up_to(small, *TO_GENERATOR)
    before = {key: small.meta(key) for key in ("toy/generator", "toy/discriminator")}
    small.change(candidate={"healthy": False})
    made(small, "toy/candidate", seed=9)
    made(small, "toy/generator")
    for key, old in before.items():
        new = small.meta(key)
        assert new.data_version == old.data_version
        assert new.fingerprint != old.fingerprint


def fill_the_disk(work: Work) -> Outcome:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        (work.out() / "large").write_bytes(bytes(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    return Outcome()


def run_step(graph: SmallGraph, compute: Callable[[Work], Outcome]) -> Any:
    """Run `toy/constant` with another function, in a run that is kept nowhere."""
    step = Step(("toy/constant",), "data", compute, "Figure 0", "constant")
    catalogue = Catalogue(graph.catalogue().workspace, (step,))
    job = build_definitions(catalogue).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(instance=instance, raise_on_error=False)


def failure_of(result: Any) -> Any:
    (event,) = [event for event in result.all_events if event.is_step_failure]
    return event.step_failure_data


def test_a_full_disk_is_one_line_and_leaves_what_was_published(small: SmallGraph) -> None:
    before = made(small, "toy/constant")
    failure = failure_of(run_step(small, fill_the_disk)).user_failure_data
    assert failure.description.endswith("data/toy/constant: [Errno 27] File too large")
    assert small.meta("toy/constant") == before
    assert [path.name for path in (small.root / "data/toy").iterdir()] == ["constant"]


def test_a_place_that_cannot_be_made_is_one_line(small: SmallGraph) -> None:
    (small.root / "data").touch()
    failure = failure_of(run_step(small, lambda work: Outcome())).user_failure_data
    assert "\n" not in failure.description
    assert str(small.root / "data") in failure.description


def divide(work: Work) -> Outcome:
    return Outcome({"share": 1 / 0})


def test_a_bug_of_ours_keeps_its_traceback(small: SmallGraph) -> None:
    data = failure_of(run_step(small, divide))
    assert data.user_failure_data is None
    assert "ZeroDivisionError" in data.error_display_string
    assert "in divide" in data.error_display_string


def test_unfinished_work_lies_apart_by_code_and_content(small: SmallGraph) -> None:
    places: list[Path] = []

    def look(work: Work) -> Outcome:
        places.extend(
            work.run_dir(function, content)
            for function in (divide, fill_the_disk)
            for content in ({"seed": 1}, {"seed": 2}, {"seed": 1})
        )
        return Outcome()

    assert run_step(small, look).success
    assert {path.parent for path in places} == {small.root / "runs" / "toy"}
    assert places[0] == places[2]
    assert len(set(places)) == 4


# --- What Dagster is told -------------------------------------------------------------------


def test_specs_carry_what_the_ui_shows(small: SmallGraph) -> None:
    catalogue = small.catalogue()
    graph = build_definitions(catalogue).resolve_asset_graph()
    mean = graph.get(dg.AssetKey(["toy", "mean"]))
    assert mean.group_name == "toy"
    assert mean.owners == ["team:dcgan"]
    assert mean.code_version == catalogue.code_version(catalogue.by_key["toy/mean"])
    assert {key.to_user_string() for key in mean.parent_keys} == {"toy/images"}
    assert mean.metadata["place"] == "data/toy/mean"
    images = graph.get(dg.AssetKey(["toy", "images"]))
    assert images.partitions_def == dg.StaticPartitionsDefinition(["00", "01"])
    # A policy of its own would let one run make several shards, with one data version for all.
    assert images.backfill_policy is None
    generator = graph.get(dg.AssetKey(["toy", "generator"]))
    assert {key.to_user_string() for key in generator.execution_set_asset_keys} == {
        "toy/generator",
        "toy/discriminator",
    }


@pytest.mark.parametrize(
    ("step", "config", "allowed"),
    [
        ("candidate", {"seed": 7, "force": True}, True),
        ("candidate", {}, True),
        ("mean", {"force": True}, True),
        ("mean", {"seed": 7}, False),
        ("candidate", {"epochs": 3}, False),
        ("candidate", {"seed": "seven"}, False),
    ],
)
def test_the_launchpad_takes_seed_and_force_alone(
    small: SmallGraph, step: str, config: dict[str, Any], allowed: bool
) -> None:
    job = build_definitions(small.catalogue()).resolve_implicit_global_asset_job_def()
    run_config = {"ops": {f"toy__{step}": {"config": config}}}
    if allowed:
        dg.validate_run_config(job, run_config)
    else:
        with pytest.raises(dg.DagsterInvalidConfigError):
            dg.validate_run_config(job, run_config)


# --- Interruptions --------------------------------------------------------------------------


def test_a_first_signal_raises_a_flag_and_a_second_one_stops() -> None:
    before = signal.getsignal(signal.SIGINT)
    flag = StopFlag()

    def work() -> None:
        with flag:
            assert not flag()
            signal.raise_signal(signal.SIGTERM)
            assert flag()
            signal.raise_signal(signal.SIGINT)
            pytest.fail("the second signal must stop at once")

    with pytest.raises(dg.DagsterExecutionInterruptedError):
        work()
    assert signal.getsignal(signal.SIGINT) is before


def test_work_that_never_looks_at_the_flag_is_stopped_after_it() -> None:
    done = []

    def work() -> None:
        with StopFlag():
            signal.raise_signal(signal.SIGINT)
            done.append("published")

    with pytest.raises(dg.DagsterExecutionInterruptedError):
        work()
    assert done == ["published"]


def test_an_error_after_a_signal_stays_an_error() -> None:
    def work() -> None:
        with StopFlag():
            signal.raise_signal(signal.SIGINT)
            raise UserError("disk full")

    with pytest.raises(UserError, match="disk full"):
        work()


def test_outside_the_main_thread_no_signal_is_caught() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with StopFlag() as flag:
            seen.append((flag(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, before)]


def test_the_small_graph_is_as_it_is_drawn() -> None:
    edges = {step.key.split("/")[1]: step.inputs for step in small_graph.STEPS}
    assert edges["summary"] == ("toy/boxes", "toy/mean")
    assert edges["generator"] == ("toy/candidate", "toy/mean")


# --- What is read if it is there ------------------------------------------------------------


def found_by_page(graph: SmallGraph) -> list[str]:
    """What the page saw when it was made last."""
    catalogue = graph.catalogue()
    folder = catalogue.store.folder(catalogue.artefact("toy/page"))
    seen: list[str] = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    return seen


def test_what_is_read_if_there_is_not_missed(small: SmallGraph) -> None:
    small.only("images", "mean", "constant", "page")
    assert made(small, "toy/page").inputs == {}
    assert found_by_page(small) == []
    assert stands(small, "toy/page")


def test_what_reads_others_if_there_follows_them(small: SmallGraph) -> None:
    """It is made anew when one comes, changes, is made otherwise with the same content, or goes."""
    small.only("images", "mean", "constant", "page")
    made(small, "toy/page")
    made_up_to(small, "toy/images", "toy/mean")
    assert not stands(small, "toy/page")
    meta = made(small, "toy/page")
    assert set(meta.inputs) == {"toy/mean"}
    assert meta.run == "the run"
    assert found_by_page(small) == ["toy/mean"]

    before = small.meta("toy/mean")
    small.change(mean={"limit": 99.0})
    assert made(small, "toy/mean").data_version == before.data_version
    assert not stands(small, "toy/page")
    made(small, "toy/page")
    small.write_source("00", 50.0)
    made_up_to(small, "toy/images", "toy/mean")
    assert not stands(small, "toy/page")
    made(small, "toy/page")
    assert stands(small, "toy/page")
    remove(small, "toy/mean")
    assert not stands(small, "toy/page")
