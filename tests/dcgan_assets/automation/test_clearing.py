"""`dcgan gc`: what goes, what stays, and that a dry run touches nothing."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from small_graph import SmallGraph

from dcgan_assets.automation.clearing import clear, find_waste
from dcgan_assets.cli import main
from dcgan_assets.definitions import build_definitions
from dcgan_assets.engine.publications import History
from dcgan_assets.engine.store import Meta
from dcgan_assets.engine.versions.code import code_version
from dcgan_assets.params.file import profile_text
from dcgan_models.presets import preset
from dcgan_models.training import TrainConfig, train
from dcgan_models.training.checkpoint import run_lock

DAY = 86_400.0


@pytest.fixture
def toy(gated: SmallGraph) -> Iterator[tuple[SmallGraph, dg.DagsterInstance]]:
    with gated.instance() as instance:
        yield gated, instance


def work_folder(graph: SmallGraph, config: TrainConfig, *, done: bool, days: float) -> Path:
    """A training's folder as `train` leaves it, that many days ago."""
    version = code_version(train, config.identity())
    folder = graph.catalogue().store.run_dir("toy/candidate", version)
    config.write(folder)
    (folder / "states").mkdir()
    (folder / "states/step_000000010.safetensors").write_bytes(b"x" * 1000)
    for role in ("generator", "discriminator") if done else ():
        (folder / "result" / role).mkdir(parents=True)
    ago = time.time() - days * DAY
    for path in folder.rglob("*"):
        os.utime(path, (ago, ago))
    return folder


def config_of(graph: SmallGraph, seed: int) -> TrainConfig:
    """A training on the data of today."""
    version = graph.meta("toy/mean").data_version
    return TrainConfig(preset("mnist28"), data="elsewhere", seed=seed, data_version=version)


# --- Work folders -----------------------------------------------------------------------------


def test_of_work_folders_go_those_that_nothing_hangs_on(
    toy: tuple[SmallGraph, dg.DagsterInstance],
) -> None:
    graph, instance = toy
    seed = graph.meta("toy/candidate").seed
    assert seed is not None
    today = config_of(graph, seed)
    other_data = replace(today, data_version="other")
    stays = [
        work_folder(graph, today, done=True, days=400),  # the candidate's
        work_folder(graph, replace(today, seed=seed + 1), done=False, days=400),  # resumable
        work_folder(graph, replace(today, seed=seed + 2), done=True, days=29),
        work_folder(graph, other_data, done=False, days=29),
    ]
    goes = [
        work_folder(graph, replace(today, seed=seed + 3), done=True, days=31),
        work_folder(graph, replace(other_data, seed=seed + 4), done=False, days=31),
    ]
    # With other code it would begin anew, in a folder of another name.
    other_code = work_folder(graph, replace(today, seed=seed + 5), done=False, days=31)
    goes.append(other_code.rename(other_code.with_name("0" * 12)))
    answers = graph.root / "runs/toy/aaaaaaaaaaaa"
    answers.mkdir()
    (answers / "journal.jsonl").write_text("{}", encoding="utf-8")
    (graph.root / "runs/toy/bbbbbbbbbbbb").mkdir()
    (graph.root / "runs/toy/bbbbbbbbbbbb/config.json").write_text("{}", encoding="utf-8")

    said = list(clear(graph.catalogue(), instance, dry_run=True))
    assert said[-1].startswith("would free: 3 work folders (0.0 MB)")
    assert all(folder.exists() for folder in (*stays, *goes))

    with run_lock(goes[0]):
        ago = time.time() - 31 * DAY
        os.utime(goes[0] / "lock", (ago, ago))
        said = list(clear(graph.catalogue(), instance, dry_run=False))
    assert said[-1].startswith("freed: 2 work folders")
    assert any("another process is training in this folder" in line for line in said)
    assert goes[0].exists()
    assert not any(folder.exists() for folder in goes[1:])
    assert all(folder.exists() for folder in (*stays, answers, answers.with_name("b" * 12)))


# --- Publications ------------------------------------------------------------------------------


def test_of_publications_the_last_stay(toy: tuple[SmallGraph, dg.DagsterInstance]) -> None:
    graph, instance = toy
    history = History(graph.root)
    history.keep(*_as_published(graph, "toy/generator", b"another"))
    history.keep(*_as_published(graph, "toy/generator", b"yet another"))
    graph.change(retention={"publications": 2})
    before = sorted(path for path in (graph.root / "history").rglob("*"))
    expected = ["publication 1 of toy, 0.0 MB", "2 files in history that no publication names"]
    said = list(clear(graph.catalogue(), instance, dry_run=True))
    assert [line.removeprefix("would remove ") for line in said[:1]] == expected[:1]
    assert expected[1] in said[1]
    assert said[-1].startswith("would free: 1 publications (0.0 MB), 1 files of publications")
    assert sorted(path for path in (graph.root / "history").rglob("*")) == before

    said = list(clear(graph.catalogue(), instance, dry_run=False))
    assert said[0] == f"removed {expected[0]}"
    assert history.numbers("toy") == [2, 3]
    assert history.unnamed() == {}
    assert list(clear(graph.catalogue(), instance, dry_run=False)) == ["freed: nothing"]

    # Where one cannot be read, nobody knows what it names.
    (graph.root / "history/publications/toy/2.json").write_text("{")
    history.keep(*_as_published(graph, "toy/generator", b"the fourth"))
    graph.change(retention={"publications": 1})
    kept, freed = clear(graph.catalogue(), instance, dry_run=False)
    assert kept.startswith("kept history: history/publications/toy/2.json: not a publication")
    assert freed == "freed: nothing"
    assert history.numbers("toy") == [2, 3, 4]


def _as_published(
    graph: SmallGraph, key: str, content: bytes
) -> tuple[list[Meta], dict[str, Path]]:
    """What `History.keep` takes, of a network with another content."""
    folder = graph.root / content.decode().replace(" ", "-")
    folder.mkdir()
    (folder / "weights.json").write_bytes(content)
    facts = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    changes = {"data_version": content.decode(), "files": {"weights.json": facts}}
    return [graph.meta(key).model_copy(update=changes)], {key: folder}


# --- Records and logs -------------------------------------------------------------------------


@pytest.mark.slow
def test_of_records_stay_those_that_show_what_is_published(
    toy: tuple[SmallGraph, dg.DagsterInstance],
) -> None:
    graph, instance = toy
    first = {run.run_id for run in instance.get_runs()}
    assert graph.run("toy/candidate", seed=9).code == 0
    (superseded,) = {run.run_id for run in instance.get_runs()} - first
    assert graph.run("toy/candidate", seed=10).code == 0
    assert graph.run().code == 0
    before = {key: graph.recorded(key) for key in graph.catalogue().by_key}
    for run in instance.get_runs():
        folder = graph.root / ".dagster_home/storage" / run.run_id / "compute_logs"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "x.out").write_text("printed", encoding="utf-8")

    catalogue = graph.catalogue()
    assert find_waste(catalogue, instance, time.time() + 29 * DAY) == []
    month = find_waste(catalogue, instance, time.time() + 31 * DAY)
    assert {one.kind for one in month} == {"run logs"}
    assert {one.name for one in month} == {run.run_id for run in instance.get_runs()}

    year = find_waste(catalogue, instance, time.time() + 365 * DAY)
    records = {one.name for one in year if one.kind == "run records"}
    for one in year:
        one.remove()
    # Of the first runs those go, too, of which nothing is the latest any more.
    assert superseded in records
    assert records <= first | {superseded}
    assert {run.run_id for run in instance.get_runs()}.isdisjoint(records)
    assert not any((graph.root / ".dagster_home/storage").glob("*-*"))
    assert {key: graph.recorded(key) for key in catalogue.by_key} == before
    assert graph.run().planned == [], "all is recorded as before"


def test_the_record_of_a_run_that_can_go_on_stays(
    toy: tuple[SmallGraph, dg.DagsterInstance],
) -> None:
    graph, instance = toy
    work_folder(graph, config_of(graph, 77), done=False, days=400)
    job = build_definitions(graph.catalogue()).resolve_job_def("retrain_toy")
    runs = {}
    for seed in (77, 78):
        config = {"ops": {"toy__candidate": {"config": {"seed": seed}}}}
        runs[seed] = instance.create_run_for_job(job, run_config=config)
        instance.report_run_failed(runs[seed])
    running = instance.create_run_for_job(job)
    year = find_waste(graph.catalogue(), instance, time.time() + 365 * DAY)
    records = {one.name for one in year if one.kind == "run records"}
    assert runs[78].run_id in records
    assert runs[77].run_id not in records
    assert running.run_id not in {one.name for one in year}


@pytest.mark.slow
def test_the_command_says_that_there_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(profile_text("sample"), encoding="utf-8")
    result = CliRunner().invoke(main, ["--root", str(tmp_path), "gc", "--dry-run"])
    assert (result.exit_code, result.output) == (0, "would free: nothing\n")
