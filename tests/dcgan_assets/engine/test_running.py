"""`dcgan materialize` on the small graph: what runs, what does not, and what Dagster records."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import small_graph
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest
from filelock import FileLock
from small_graph import GATED_NAMES, Ran, SmallGraph

from dcgan_assets.definitions import build_definitions
from dcgan_assets.dvc.status import survey
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.planning import in_order, make_plan, with_ancestors
from dcgan_assets.engine.records import RECORDS
from dcgan_assets.engine.schedule import batches
from dcgan_models.errors import UserError


def checks_recorded(graph: SmallGraph, key: str) -> dict[str, str]:
    """Dagster's latest result of each check of an asset: SUCCEEDED, FAILED or PLANNED."""
    asset = dg.AssetKey.from_user_string(key)
    found = {}
    with graph.instance() as instance:
        for check in graph.catalogue().by_key[key].checks:
            check_key = dg.AssetCheckKey(asset, check.name)
            record = instance.get_latest_asset_check_evaluation_record(check_key)
            assert record is not None
            found[check.name] = record.status.value
    return found


PASSED = {"bounded": "SUCCEEDED", "positive": "SUCCEEDED"}


def statuses(graph: SmallGraph) -> list[dg.DagsterRunStatus]:
    """How the workspace's runs ended, the oldest first."""
    with graph.instance() as instance:
        return [run.status for run in reversed(instance.get_runs())]


def staleness(graph: SmallGraph) -> dict[str, StaleStatus]:
    """What Dagster itself thinks of every asset and shard."""
    catalogue = graph.catalogue()
    assets = build_definitions(catalogue).resolve_asset_graph()
    with graph.instance() as instance:
        resolver = CachingStaleStatusResolver(instance, assets, LoadingContextForTest(instance))
        return {
            catalogue.artefact(key, shard).label: resolver.get_status(
                dg.AssetKey.from_user_string(key), catalogue.partition(step, shard)
            )
            for step in catalogue.steps
            for key in step.outputs
            for shard in catalogue.shards(step)
        }


def stale(graph: SmallGraph) -> set[str]:
    return {label for label, status in staleness(graph).items() if status == StaleStatus.STALE}


def run_well(graph: SmallGraph, *keys: str, **request: Any) -> Ran:
    ran = graph.run(*keys, **request)
    assert ran.code == 0, ran.lines
    return ran


@pytest.fixture
def made_all(released: SmallGraph) -> SmallGraph:
    """The small graph with two shards, all of it made."""
    shutil.rmtree(released.root / RECORDS)
    return released


# --- Once, and again ------------------------------------------------------------------------


def test_everything_is_made_recorded_and_then_up_to_date(small: SmallGraph) -> None:
    small.only(
        *("images", "boxes", "mean", "summary", "candidate", "generator", "samples", "constant")
    )
    first = run_well(small)
    labels = {
        *("toy/images[00]", "toy/images[01]", "toy/boxes[00]", "toy/boxes[01]", "toy/mean"),
        *("toy/summary", "toy/candidate", "toy/generator", "toy/samples", "toy/constant"),
    }
    assert set(first.made) == set(first.planned) == labels
    assert first.lines[0] == "plan: 10 to make, 0 up to date"

    # Runs, versions, checks, metadata and observations are where the web UI looks for them.
    assert set(statuses(small)) == {dg.DagsterRunStatus.SUCCESS}
    for key, shard in (("toy/images", "01"), ("toy/mean", None), ("toy/discriminator", None)):
        assert small.recorded(key)[shard] == small.meta(key, shard).data_version
    assert checks_recorded(small, "toy/mean") == PASSED
    with small.instance() as instance:
        (run, *_) = instance.get_runs()
        assert run.tags["dcgan/pid"] == str(os.getpid())
        mean = instance.fetch_materializations(dg.AssetKey(["toy", "mean"]), limit=1).records[0]
        assert mean.asset_materialization is not None
        metadata = {k: v.value for k, v in mean.asset_materialization.metadata.items()}
        assert metadata["mean"] == 1.5
        assert metadata["made"] == "in this run"
        assert metadata["files"] == 1
        observed = instance.fetch_observations(dg.AssetKey(["toy", "candidate"]), limit=1)
        (observation,) = observed.records
        assert observation.asset_observation is not None
        assert observation.asset_observation.metadata["d_loss"].value == 0.5
        runs = instance.get_runs_count()
    assert stale(small) == set()

    second = run_well(small)
    assert second.lines == ["up to date: 10"]
    with small.instance() as instance:
        assert instance.get_runs_count() == runs


# --- What changes, and how far it reaches ---------------------------------------------------


def test_a_parameter_stales_its_own_asset_and_what_follows(made_all: SmallGraph) -> None:
    made_all.only("images", "boxes", "mean", "summary", "constant")

    # The mean is made again and is the same: what follows is looked at, and not made.
    made_all.change(mean={"limit": 99.0})
    ran = run_well(made_all)
    assert ran.planned == ["toy/mean", "toy/summary"]
    assert ran.made == ["toy/mean"]
    assert stale(made_all) == set()

    made_all.change(boxes={"factor": 20})
    ran = run_well(made_all)
    assert ran.planned == ["toy/boxes[00]", "toy/boxes[01]", "toy/summary"]
    assert ran.made == ran.planned


def test_one_shard_that_changes_is_the_only_one_that_does(made_all: SmallGraph) -> None:
    made_all.only("images", "boxes", "mean", "summary")
    before = made_all.recorded("toy/images")
    made_all.write_source("01", 8.0)
    run_well(made_all, "toy/images")
    after = made_all.recorded("toy/images")
    assert after["00"] == before["00"]
    assert after["01"] != before["01"]
    # Dagster looks one step down; the summary follows once its inputs are made.
    assert stale(made_all) == {"toy/boxes[01]", "toy/mean"}

    ran = run_well(made_all)
    assert ran.made == ["toy/boxes[01]", "toy/mean", "toy/summary"]
    assert stale(made_all) == set()
    assert made_all.meta("toy/mean").metadata["mean"] != ""


def test_force_makes_what_is_named_and_nothing_before_it(made_all: SmallGraph) -> None:
    made_all.only("images", "mean")
    assert run_well(made_all, "toy/mean", force=True).made == ["toy/mean"]
    # Ancestors that only Dagster has forgotten are shown again, not made again.
    shutil.rmtree(made_all.root / ".dagster_home")
    ran = run_well(made_all, "toy/mean", force=True)
    assert ran.planned == ["toy/images[00]", "toy/images[01]", "toy/mean"]
    assert ran.made == ["toy/mean"]


def test_another_shard_count_clears_what_the_old_one_left(made_all: SmallGraph) -> None:
    made_all.only("images", "mean")
    made_all.change(images={"shards": 1})
    ran = run_well(made_all)
    assert ran.made == ["toy/images[00]", "toy/mean"]
    assert [path.name for path in (made_all.root / "data/toy/images").iterdir()] == ["00"]
    assert set(made_all.meta("toy/mean").inputs) == {"toy/images[00]"}


def test_a_sole_shard_is_a_partition_to_nobody_and_a_folder_as_ever(small: SmallGraph) -> None:
    small.change(images={"shards": 1}, boxes={"shards": 1})
    small.only("images", "boxes", "mean")
    ran = run_well(small)
    assert ran.made == ["toy/images[00]", "toy/boxes[00]", "toy/mean"]
    assert small.meta("toy/images", "00").shard == "00"
    assert set(small.recorded("toy/images")) == set(small.recorded("toy/boxes")) == {None}
    assets = build_definitions(small.catalogue()).resolve_asset_graph()
    assert not any(assets.get(key).is_partitioned for key in assets.get_all_asset_keys())
    assert stale(small) == set()
    assert run_well(small).lines == ["up to date: 3"]


@pytest.mark.slow
def test_an_asset_may_gain_and_lose_its_partitions(small: SmallGraph) -> None:
    small.only("images", "boxes", "mean", "summary")
    for shards in (1, 2, 1, 2):
        small.change(images={"shards": shards}, boxes={"shards": shards})
        run_well(small)
        assert stale(small) == set()
        names = {f"{number:02d}" for number in range(shards)}
        assert {path.name for path in (small.root / "data/toy/images").iterdir()} == names
        latest = small.recorded("toy/images")
        told = {None: small.meta("toy/images", "00").data_version} if shards == 1 else {}
        assert latest.items() >= told.items()
        assert run_well(small).made == []


def test_what_was_made_as_a_partition_is_up_to_date_and_told_again(
    small: SmallGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.change(images={"shards": 1}, boxes={"shards": 1})
    small.only("images", "boxes", "mean", "summary")
    with monkeypatch.context() as before:  # as it was up to version 0.5
        before.setattr(Catalogue, "partition", lambda self, step, shard: shard)
        run_well(small)
        assert set(small.recorded("toy/images")) == {"00"}
    made = [small.meta(key, s) for key, s in (("toy/images", "00"), ("toy/mean", None))]

    assert {state.stale for state in survey(small.catalogue(), {}, {}, ())} == {""}
    told = run_well(small)
    assert told.made == []
    assert told.planned == ["toy/images[00]", "toy/boxes[00]", "toy/mean", "toy/summary"]
    assert [small.meta(key, s) for key, s in (("toy/images", "00"), ("toy/mean", None))] == made
    assert stale(small) == set()
    assert run_well(small).lines == ["up to date: 4"]


# --- Choosing -------------------------------------------------------------------------------


def test_missing_ancestors_come_along(small: SmallGraph) -> None:
    ran = small.run("toy/mean", dry_run=True)
    assert ran.code == 0
    assert ran.planned == ["toy/images[00]", "toy/images[01]", "toy/mean"]
    assert ran.lines[1] == "  toy/images[00]: not there yet"
    with small.instance() as instance:
        assert instance.get_runs_count() == 0
    assert not (small.root / "data").exists()


def test_a_second_output_names_its_step(small: SmallGraph) -> None:
    assert small.run("toy/discriminator", dry_run=True).planned[-1] == "toy/generator"


def test_only_leaves_ancestors_out(small: SmallGraph) -> None:
    small.only("images", "mean", "candidate")
    ran = small.run("toy/mean", "toy/candidate", only=True)
    assert ran.code == 1
    assert ran.made == []
    assert ran.starting("FAILED") == [
        "FAILED toy/mean: missing: toy/images[00], toy/images[01]; "
        "run `dcgan materialize toy/images`"
    ]
    assert ran.starting("blocked") == ["blocked toy/candidate: something that it needs failed"]


def test_one_partition(small: SmallGraph) -> None:
    small.only("images", "boxes")
    assert run_well(small, "toy/boxes", partition="01").made == ["toy/images[01]", "toy/boxes[01]"]
    assert run_well(small, "toy/images", only=True).made == ["toy/images[00]"]


def test_a_consumer_alone_is_stopped_by_a_missing_shard(small: SmallGraph) -> None:
    """As in the web UI, where Dagster itself lets it run."""
    small.only("images", "mean")
    run_well(small, "toy/images", partition="00")
    job = build_definitions(small.catalogue()).resolve_implicit_global_asset_job_def()
    with small.instance() as instance:
        result = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(["toy", "mean"])],
            raise_on_error=False,
        )
    (event,) = [event for event in result.all_events if event.is_step_failure]
    failure = event.step_failure_data.user_failure_data
    assert failure is not None
    assert failure.description == "missing: toy/images[01]; run `dcgan materialize toy/images`"


@pytest.mark.parametrize(
    ("keys", "request_", "words"),
    [
        (
            ("toy/imags",),
            {},
            ["group 'toy/imags' (did you mean toy/images", "; groups: toy;"],
        ),
        (("toy/images",), {"partition": "07"}, ["unknown partition '07'", "allowed: 00, 01"]),
        (("toy/mean",), {"partition": "00"}, ["unknown partition '00'", "allowed: none"]),
        (("toy/mean",), {"seed": 7}, ["--seed: nothing", "allowed with: toy/candidate"]),
    ],
)
def test_an_unknown_name_is_one_line(
    small: SmallGraph, keys: tuple[str, ...], request_: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        small.run(*keys, **request_)
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert word in line


def test_steps_are_in_order_and_come_once(small: SmallGraph) -> None:
    catalogue = small.catalogue()
    summary = catalogue.by_key["toy/summary"]
    keys = [step.key for step in with_ancestors(catalogue, [summary, summary])]
    assert sorted(keys) == ["toy/boxes", "toy/images", "toy/mean", "toy/summary"]
    assert (keys[0], keys[-1]) == ("toy/images", "toy/summary")
    assert [step.key for step in in_order(catalogue, [summary, catalogue.by_key[keys[0]]])] == [
        "toy/images",
        "toy/summary",
    ]


# --- Failures -------------------------------------------------------------------------------


def test_a_shard_that_fails_blocks_what_needs_it_and_nothing_else(small: SmallGraph) -> None:
    small.only("images", "boxes", "mean", "constant")
    (small.root / "fail-01").touch()
    ran = small.run()
    assert ran.code == 1
    assert set(ran.made) == {"toy/images[00]", "toy/images[01]", "toy/boxes[00]", "toy/constant"}
    assert ran.starting("FAILED") == ["FAILED toy/images[01]: shard 01 is told to fail"]
    assert ran.starting("blocked") == [
        "blocked toy/boxes[01]: something that it needs failed",
        "blocked toy/mean: something that it needs failed",
    ]
    assert set(small.recorded("toy/images")) == {"00"}

    (small.root / "fail-01").unlink()
    again = run_well(small)
    assert again.made == ["toy/images[01]", "toy/boxes[01]", "toy/mean"]


def test_what_is_read_if_there_neither_blocks_nor_comes_along(small: SmallGraph) -> None:
    small.only("images", "mean", "constant", "page")
    assert run_well(small, "toy/page").made == ["toy/page"]

    small.change(mean={"limit": 1.0})
    ran = small.run()
    assert ran.code == 1
    assert [line.split(":")[0] for line in ran.starting("FAILED")] == ["FAILED toy/mean"]
    assert ran.starting("blocked") == []
    assert ran.made[-1] == "toy/page", "it comes last, in a run of its own"
    assert set(small.meta("toy/page").inputs) == {"toy/constant"}

    small.change(mean={"limit": 100.0})
    assert run_well(small).made == ["toy/mean", "toy/page"]
    assert run_well(small).made == []
    assert staleness(small)["toy/page"] is StaleStatus.FRESH


def test_a_required_check_stops_what_follows_now_and_later(made_all: SmallGraph) -> None:
    made_all.only("images", "mean", "candidate")
    before = made_all.meta("toy/mean")
    made_all.change(mean={"limit": 1.0})
    for _ in range(2):
        ran = made_all.run()
        assert ran.code == 1
        (failed,) = ran.starting("FAILED")
        assert failed.endswith("not published, check failed: bounded (mean: 1.5, limit: 1.0)")
        assert ran.starting("blocked") == ["blocked toy/candidate: something that it needs failed"]
    assert made_all.meta("toy/mean") == before
    assert made_all.recorded("toy/mean") == {None: before.data_version}
    assert checks_recorded(made_all, "toy/mean")["bounded"] == "FAILED"

    # The old limit again: what stands is right, and its check is shown as passed again.
    made_all.change(mean={"limit": 100.0})
    assert run_well(made_all).made == []
    assert checks_recorded(made_all, "toy/mean") == PASSED
    assert run_well(made_all).lines == ["up to date: 4"]


# --- Candidate and champion -----------------------------------------------------------------


def test_a_clone_with_the_champion_alone_trains_nothing(made_all: SmallGraph) -> None:
    made_all.only("images", "mean", "candidate", "generator")
    assert made_all.meta("toy/candidate").seed == 42
    assert run_well(made_all, "toy/candidate", seed=7).made == ["toy/candidate"]
    assert run_well(made_all).made == ["toy/generator"]
    champion = made_all.meta("toy/generator")
    assert champion.inputs["toy/candidate"].seed == 7, "the seed that was asked for is kept"
    shutil.rmtree(made_all.root / "models/toy/candidate")
    assert run_well(made_all).lines == ["up to date: 5"]

    # Dagster has never seen it either: what is there is shown, nothing is made.
    shutil.rmtree(made_all.root / ".dagster_home")
    clone = run_well(made_all)
    assert clone.made == []
    assert len([line for line in clone.lines if ": up to date: " in line]) == 4
    assert made_all.recorded("toy/generator") == {None: champion.data_version}
    assert checks_recorded(made_all, "toy/mean") == PASSED
    assert run_well(made_all).lines == ["up to date: 5"]
    assert not (made_all.root / "models/toy/candidate").exists()

    # Named, it is made; with the same seed it is the one that the champion was made from.
    assert run_well(made_all, "toy/candidate").made == ["toy/candidate"]
    assert run_well(made_all, "toy/candidate", seed=7).made == ["toy/candidate"]
    recorded = champion.inputs["toy/candidate"].data_version
    assert made_all.meta("toy/candidate").data_version == recorded


GATED = ("images", "mean", "extractor", "candidate", "quality", "generator")


@pytest.fixture
def measured(gated: SmallGraph) -> SmallGraph:
    """The graph in which a candidate is measured before it is published, all of it made."""
    return gated.only(*GATED)


def test_a_clone_without_candidate_and_quality_makes_neither(measured: SmallGraph) -> None:
    champion = measured.meta("toy/generator")
    shutil.rmtree(measured.root / "results/toy/quality")
    assert run_well(measured).lines == ["up to date: 6"]
    shutil.rmtree(measured.root / "models/toy/candidate")
    assert run_well(measured).lines == ["up to date: 6"]
    shutil.rmtree(measured.root / ".dagster_home")
    assert run_well(measured).made == []
    assert measured.meta("toy/generator") == champion

    # Named, it is made, and what it needs.
    assert run_well(measured, "toy/quality").made == ["toy/candidate", "toy/quality"]
    assert run_well(measured).lines == ["up to date: 6"]


def test_another_way_to_measure_needs_the_absent_candidate(measured: SmallGraph) -> None:
    for folder in ("results/toy/quality", "models/toy/candidate"):
        shutil.rmtree(measured.root / folder)
    measured.change(summary={"digits": 1})
    made = run_well(measured).made
    assert made == ["toy/candidate", "toy/quality", "toy/generator"]


def test_new_pictures_leave_what_is_kept_as_it_is(measured: SmallGraph) -> None:
    before = measured.meta("toy/extractor")
    measured.write_source("00", 9.0)
    made = run_well(measured).made
    assert made == [
        "toy/images[00]",
        "toy/mean",
        "toy/candidate",
        "toy/quality",
        "toy/generator",
    ]
    assert measured.meta("toy/extractor") == before
    assert run_well(measured).lines == ["up to date: 6"]
    assert run_well(measured, "toy/extractor", force=True).made == ["toy/extractor"]
    assert measured.meta("toy/extractor").data_version != before.data_version
    assert run_well(measured).made == ["toy/quality", "toy/generator"]


def test_what_publishes_changes_and_needs_the_absent_candidate(made_all: SmallGraph) -> None:
    made_all.only("images", "mean", "candidate", "generator")
    champion = made_all.meta("toy/generator")
    shutil.rmtree(made_all.root / "models/toy/candidate")
    made_all.change(publish={"margin": 0.1})
    assert run_well(made_all).made == ["toy/candidate", "toy/generator"]
    assert made_all.meta("toy/generator").data_version == champion.data_version


def test_an_unhealthy_candidate_never_replaces_a_champion(small: SmallGraph) -> None:
    small.only("images", "mean", "candidate", "generator", "samples")
    small.change(images={"shards": 1}, candidate={"healthy": False})
    ran = small.run()
    assert ran.code == 1
    assert "toy/candidate" in ran.made
    assert ran.starting("FAILED") == [
        "FAILED toy/generator: toy/generator: the candidate is unhealthy and nothing is "
        "published yet"
    ]
    assert ran.starting("blocked") == ["blocked toy/samples: something that it needs failed"]
    assert not (small.root / "models/toy/generator").exists()

    small.change(candidate={"healthy": True})
    assert run_well(small).made == ["toy/candidate", "toy/generator", "toy/samples"]
    champion, samples = small.meta("toy/generator"), small.meta("toy/samples")

    small.change(candidate={"healthy": False}, seed=43)
    ran = run_well(small)
    assert ran.made == ["toy/candidate", "toy/generator"]
    assert small.meta("toy/candidate").seed == 43
    assert checks_recorded(small, "toy/candidate") == {"healthy": "FAILED"}
    assert small.meta("toy/generator").data_version == champion.data_version
    assert small.meta("toy/samples") == samples
    assert run_well(small).lines == [
        "up to date: 5",
        "toy/candidate: check failed: healthy (seed: 43)",
    ]

    # Judged by other bounds the very same candidate may win.
    small.change(candidate={"healthy": True})
    assert run_well(small).made == ["toy/candidate", "toy/generator", "toy/samples"]
    assert small.meta("toy/generator").data_version != champion.data_version


def test_what_came_out_is_told_when_made_and_when_found_again(small: SmallGraph) -> None:
    small.only("images", "mean").write_source("00", -4.0)
    told = run_well(small).lines
    summary, failed = "the mean of 2 is -1", "toy/mean: check failed: positive (mean: -1.0)"
    made = told.index("toy/mean: making")
    assert told[made + 1] == "toy/mean: warning: the mean is not positive"
    assert told[made + 2].startswith("toy/mean: made in ")
    assert told[made + 2].endswith(f" s; {summary}")
    assert told[made + 3] == failed
    assert ["3 made, 1 of them with a failed check" in line for line in told[-2:]] == [True, False]
    assert small.run().lines == ["up to date: 3", failed]
    # Another home of Dagster's knows of none: what stands is recorded, and told of, again.
    shutil.rmtree(small.root / ".dagster_home")
    told = run_well(small).lines
    how = "up to date: nothing that it depends on has changed"
    found = told.index(f"toy/mean: {how}; {summary}")
    assert told[found + 1] == failed
    assert f"toy/images[00]: {how}" in told


# --- Back at an older commit ----------------------------------------------------------------

PUBLISHED = ("models/toy/generator", "models/toy/discriminator")


@pytest.fixture(scope="module")
def older_commit(memory: str | None, gated_made: Path) -> Iterator[Path]:
    """As after `git checkout` and `dvc checkout`: of the later commit lies what is in no commit."""
    with tempfile.TemporaryDirectory(dir=memory) as folder, pytest.MonkeyPatch.context() as patch:
        for name in ("DCGAN_ROOT", "DAGSTER_HOME"):
            patch.setenv(name, folder)
        root = Path(folder) / "older"
        shutil.copytree(gated_made, root)
        small = SmallGraph(root, GATED_NAMES, {"images": {"shards": 1}})
        small.change(seed=43)
        run_well(small, "toy/generator")
        small.change(seed=42)
        for place in PUBLISHED:
            shutil.rmtree(root / place)
            shutil.copytree(gated_made / place, root / place)
        yield root


@pytest.fixture
def back(fast_disk: Path, older_commit: Path) -> SmallGraph:
    """A copy of a workspace that is back at an older commit."""
    shutil.copytree(older_commit, fast_disk / "back")
    return SmallGraph(fast_disk / "back", GATED_NAMES, {"images": {"shards": 1}, "seed": 42})


def test_networks_that_came_back_are_up_to_date(back: SmallGraph) -> None:
    champion, candidate = back.meta("toy/generator"), back.meta("toy/candidate")
    ran = run_well(back)
    assert ran.planned == ["toy/generator"]
    assert ran.lines[1] == "  toy/generator: Dagster has no record of it"
    assert ran.made == []
    assert run_well(back).lines == ["up to date: 7"]
    assert back.recorded("toy/generator") == {None: champion.data_version}
    assert back.meta("toy/generator") == champion
    assert back.meta("toy/candidate") == candidate, "of the later commit, left as it was"
    assert stale(back) == set()
    states = survey(back.catalogue(), {}, {}, ())
    assert [state.key for state in states if not state.in_order] == []


def test_a_plan_hands_on_the_records_of_what_is_up_to_date(back: SmallGraph) -> None:
    catalogue = back.catalogue()
    with back.instance() as instance:
        plan = make_plan(catalogue, instance, catalogue.steps)
    # The candidate that lies there is a later commit's: what stands in for it tells of itself.
    later = {"toy/candidate", "toy/quality"}
    assert {key for (key, _), meta in plan.current.items() if meta is None} == later
    standing = {item: meta for item, meta in plan.current.items() if meta is not None}
    assert standing == {item: back.meta(*item) for item in standing}
    assert ("toy/images", "00") in standing
    assert ("toy/mean", None) in standing


def test_so_they_are_where_the_pictures_have_to_be_made_again(back: SmallGraph) -> None:
    """They are in no commit either; they come out the same."""
    shutil.rmtree(back.root / "data")
    ran = run_well(back)
    assert ran.made == ["toy/images[00]", "toy/mean"]
    assert ran.starting("toy/candidate: not needed") != []
    assert run_well(back).lines == ["up to date: 7"]


def test_parameters_that_change_train_whatever_lies_there(back: SmallGraph) -> None:
    back.change(seed=44)
    made = ["toy/candidate", "toy/quality", "toy/generator"]
    assert back.run("toy/generator", dry_run=True).planned == made
    # Those of the later commit: its candidate is one of today again, and is to be published.
    back.change(seed=43)
    assert back.run("toy/generator", dry_run=True).planned == ["toy/generator"]


@pytest.mark.slow
def test_what_is_made_of_the_networks_may_change_and_trains_nothing(back: SmallGraph) -> None:
    back.change(samples={"count": 5})
    assert run_well(back).made == ["toy/samples"]


@pytest.mark.slow
def test_a_candidate_that_is_named_is_trained(back: SmallGraph) -> None:
    assert run_well(back, "toy/candidate").made == ["toy/candidate"]
    assert back.meta("toy/candidate").seed == 42
    assert run_well(back).made == []


@pytest.mark.slow
def test_by_force_all_that_leads_there_is_made_and_alone_it_is_one_line(back: SmallGraph) -> None:
    ran = back.run("toy/generator", force=True, only=True)
    assert ran.code == 1
    assert ran.starting("FAILED") == [
        "FAILED toy/generator: toy/generator: toy/candidate that lies there is of other "
        "parameters, code or inputs than today's; run `dcgan materialize toy/candidate`"
    ]
    made = run_well(back, "toy/generator", force=True).made
    assert made == ["toy/candidate", "toy/quality", "toy/generator"]


@pytest.mark.slow
def test_a_candidate_of_another_seed_is_published_there_too(back: SmallGraph) -> None:
    assert run_well(back, "toy/candidate", seed=7).made == ["toy/candidate"]
    assert run_well(back, "toy/generator").made == ["toy/quality", "toy/generator"]
    assert back.meta("toy/generator").inputs["toy/candidate"].seed == 7


# --- Runs and pools -------------------------------------------------------------------------


def test_a_step_that_needs_a_place_begins_its_run(small: SmallGraph) -> None:
    """So that no run waits for one in the middle, where nobody would say so."""
    small.only(*GATED)
    catalogue = small.catalogue()
    with small.instance() as instance:
        plan = make_plan(catalogue, instance, in_order(catalogue, catalogue.steps))
    runs = [[step.op_name for step in batch.steps] for batch in batches(catalogue, plan)]
    pooled = {step.op_name for step in catalogue.steps if step.pool}
    assert pooled
    assert not any(name in pooled for names in runs for name in names[1:])
    assert [name for names in runs for name in names][-1] == "toy__generator"


# --- Interruptions --------------------------------------------------------------------------


def interrupt_when_started() -> threading.Thread:
    def interrupt() -> None:
        small_graph.STARTED.wait(120)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    return thread


def test_ctrl_c_stops_the_whole_and_the_next_call_goes_on(small: SmallGraph) -> None:
    small.only("images", "boxes", "patient")
    small.change(images={"shards": 1}, boxes={"shards": 1})
    thread = interrupt_when_started()
    ran = small.run()
    thread.join()
    assert ran.code == 130
    assert ran.lines[-1].startswith("interrupted; ")
    assert ran.made == ["toy/images[00]", "toy/patient"]
    assert statuses(small) == [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED]
    small_graph.RELEASED.set()
    assert run_well(small).made == ["toy/patient", "toy/boxes[00]"]


# --- Order of batches -----------------------------------------------------------------------


def test_shards_of_two_counts_are_not_mixed_in_one_run(small: SmallGraph) -> None:
    """One box for two images: a run has one set of shards, and the box reads both images."""
    small.only("images", "boxes")
    small.change(boxes={"shards": 1})
    ran = small.run("toy/boxes", partition="00")
    assert ran.made == ["toy/images[00]"]
    assert ran.starting("FAILED") == [
        "FAILED toy/boxes[00]: missing: toy/images[01]; run `dcgan materialize toy/images`"
    ]
    assert run_well(small).made == ["toy/images[01]", "toy/boxes[00]"]


def test_this_process_and_its_children_use_the_workspaces_home(small: SmallGraph) -> None:
    small.only("constant").run(dry_run=True)
    assert os.environ["DAGSTER_HOME"] == str(small.root / ".dagster_home")
    assert os.environ["DCGAN_ROOT"] == str(small.root)


# --- Two commands at once -------------------------------------------------------------------


@pytest.mark.slow
def test_a_second_command_waits_and_does_not_make_it_again(small: SmallGraph) -> None:
    """What it waits for is published meanwhile."""
    first = SmallGraph(small.root.with_name("first")).only("constant")
    shutil.copytree(small.root, first.root)
    assert first.run().code == 0
    (small.root / "runs/locks").mkdir(parents=True)
    lock = FileLock(small.root / "runs/locks/toy__constant.lock")
    lock.acquire()
    command = [sys.executable, str(small_graph.__file__), str(small.root), "toy/constant"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as second:
        assert second.stdout is not None
        waits = "toy/constant: waiting for another process, which is making it\n"
        assert waits in iter(second.stdout.readline, "")
        shutil.copytree(first.root / "data/toy/constant", small.root / "data/toy/constant")
        lock.release()
        said = second.stdout.read()
    assert second.returncode == 0, said
    assert "toy/constant: up to date: nothing that it depends on has changed" in said
    assert small.meta("toy/constant") == first.meta("toy/constant")
