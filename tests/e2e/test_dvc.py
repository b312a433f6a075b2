"""DVC over the same files: from nothing, after a change, and in another clone."""

from __future__ import annotations

import json
import os
import re
import signal
from typing import Any

import pytest
import yaml
from workbench import Bench

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

_TREES = ("data", "models", "results")
_GROUPS = ("mnist", "imagenet")
# What no remote holds: ways to what is published, and pages that are made of it.
_TRANSIENT = r"models/\w+/\w*candidate/|results/\w+/quality/"
_DERIVED = r"results/\w+/explorer/"
_SCORES = "mnist-nearest_neighbour_scores"
_FC, _FC_PRESET = "mnist-fc_generator", "mnist28_fc"


def _stages(bench: Bench) -> dict[str, Any]:
    content = yaml.safe_load((bench.root / "dvc.yaml").read_text(encoding="utf-8"))
    stages: dict[str, Any] = content["stages"]
    return stages


def _place(entry: Any) -> str:
    """The path of an entry of dvc.yaml, which may have settings."""
    return next(iter(entry)) if isinstance(entry, dict) else entry


def _ran(output: str) -> set[str]:
    """The stages that `dvc repro` says it ran."""
    return set(re.findall(r"^Running stage '(.+)':", output, re.MULTILINE))


def _keep_some_groups(bench: Bench) -> None:
    """Leave two groups in dvc.yaml: a stage more is a process more, and they are all alike."""
    bench.dcgan("dvc-sync", "--all")
    path = bench.root / "dvc.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["stages"] = {
        name: stage
        for name, stage in content["stages"].items()
        if name.startswith(tuple(f"{group}-" for group in _GROUPS))
    }
    for name in ("metrics", "plots"):
        content[name] = [entry for entry in content[name] if _place(entry).split("/")[1] in _GROUPS]
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


@pytest.fixture(scope="module")
def bench(make_bench: Any) -> Bench:
    """A workspace that `dvc repro` made from nothing."""
    bench: Bench = make_bench("dvc")
    _keep_some_groups(bench)
    assert _ran(bench.run("dvc", "repro", seconds=1500)) == set(_stages(bench))
    return bench


def test_repro_makes_every_output_once(bench: Bench) -> None:
    outs = [out for stage in _stages(bench).values() for out in stage["outs"]]
    for place in map(_place, outs):  # one record, or one a shard
        records = sorted((bench.root / place).glob("**/_meta.json"))
        assert records, place
        assert all(json.loads(record.read_text("utf-8"))["data_version"] for record in records)
    assert _ran(again := bench.run("dvc", "repro")) == set()
    assert "Data and pipelines are up to date." in again
    assert bench.dvc_status() == {}


def test_metrics_show_reads_the_result_files(bench: Bench) -> None:
    shown = json.loads(bench.run("dvc", "metrics", "show", "--json"))[""]["data"]
    listed = yaml.safe_load((bench.root / "dvc.yaml").read_text(encoding="utf-8"))["metrics"]
    assert set(shown) == set(listed)
    for path, content in shown.items():
        result = json.loads((bench.root / path).with_name("result.json").read_text("utf-8"))
        values = {row["name"]: row["value"] for row in result["rows"]}
        assert values[content["data"]["what"]] == content["data"]["ours"]


def test_one_parameter_reruns_one_stage(bench: Bench) -> None:
    before = bench.files("models", "data")

    def more_references(params: dict[str, Any]) -> None:
        params["mnist"]["nearest_neighbour_scores"]["references"] = [100, 200]

    bench.edit_params(more_references)
    assert _ran(bench.run("dvc", "repro")) == {_SCORES}
    assert bench.files("models", "data") == before
    assert bench.dvc_status() == {}


def test_an_interrupted_training_goes_on_and_costs_nothing_that_is_published(
    bench: Bench,
) -> None:
    """What is saved of it lies outside of the outputs, which DVC would delete."""
    published = bench.files("models")

    def train_longer(params: dict[str, Any]) -> None:
        params["mnist"]["fc_candidate"].update(epochs=240, decay_epochs=30)

    bench.edit_params(train_longer)
    with bench.running("dvc", "repro", _FC) as repro:
        repro.until(lambda: bench.steps(_FC_PRESET)[-1:] >= [200], "200 steps")
        os.killpg(repro.process.pid, signal.SIGINT)  # as a terminal does
        assert repro.process.wait(240)
    saved = bench.saved_step(_FC_PRESET)
    assert saved is not None
    assert saved >= 200
    assert bench.files("models") == published

    with bench.running("dvc", "repro", _FC) as repro:
        first = repro.until(lambda: _steps_after(bench, saved), "a step after the saved one")
        assert repro.process.wait(900) == 0
    steps = bench.steps(_FC_PRESET)
    assert first > saved
    assert len(steps) == len(set(steps))
    assert _FC not in bench.dvc_status()
    assert _ran(bench.run("dvc", "repro")) == {"mnist-sample_panels", _SCORES}


def _steps_after(bench: Bench, saved: int) -> int | None:
    return next((step for step in bench.steps(_FC_PRESET) if step > saved), None)


def test_what_dagster_made_is_committed_with_it(bench: Bench) -> None:
    def fewer_references(params: dict[str, Any]) -> None:
        params["mnist"]["nearest_neighbour_scores"]["references"] = [150]

    bench.edit_params(fewer_references)
    assert "dvc: 1 committed" in bench.dcgan("materialize", "mnist")
    assert bench.dvc_status() == {}
    assert _ran(bench.run("dvc", "repro")) == set()


@pytest.fixture(scope="module")
def clone(bench: Bench) -> Bench:
    """A clone of a release of two groups, before `dvc pull`."""
    assert "records: " in bench.dcgan("release", *_GROUPS)
    bench.run("dvc", "push")  # the tables, to the folder beside the workspace
    bench.run("git", "add", "--all")
    bench.run("git", "commit", "--quiet", "--message", "everything")
    clone = Bench(bench.root.with_name("clone"), bench.environment)
    bench.run("git", "clone", "--quiet", str(bench.root), str(clone.root))
    return clone


def test_a_clone_of_a_release_pulls_the_same_bytes_and_trains_nothing(
    bench: Bench, clone: Bench
) -> None:
    clone.run("dvc", "pull")
    at_home = {
        name: content
        for name, content in bench.files(*_TREES).items()
        if not re.match(_TRANSIENT, name)
    }
    pulled = clone.files(*_TREES)
    assert pulled.items() < at_home.items()
    left = [path for path in set(at_home) - set(pulled) if not path.startswith("data/")]
    assert left
    assert all(re.match(_DERIVED, path) for path in left)

    assert "rebuild with `dcgan materialize mnist/images`" in clone.dcgan("register")
    said = clone.dcgan("materialize", *_GROUPS)
    made = {line.split(":")[0].split("[")[0] for line in said.splitlines() if ": making" in line}
    assert made
    assert all(f"data/{key}" not in {name.rpartition("/")[0] for name in pulled} for key in made)
    assert not list((clone.root / "runs").glob("*/*/states/*"))
    assert clone.files(*_TREES) == at_home
    assert clone.dvc_status() == {}
    assert _ran(clone.run("dvc", "repro")) == set()
    assert "up to date: " in clone.dcgan("materialize", *_GROUPS)
    assert clone.run("git", "status", "--short") == ""


def test_a_clone_reproduces_the_release_and_sees_a_damaged_number(clone: Bench) -> None:
    published = clone.files(*_TREES)
    said = clone.dcgan("reproduce", "imagenet/samples").splitlines()
    assert "as released  imagenet/generator" in said
    assert "byte-equal   imagenet/samples" in said
    assert clone.files(*_TREES) == published

    path = clone.root / "results" / "mnist" / "nearest_neighbour_scores" / "result.json"
    content = json.loads(path.read_text("utf-8"))
    content["rows"][0]["value"] += 0.125
    path.unlink()  # a link into DVC's cache
    path.write_text(json.dumps(content), encoding="utf-8")
    clone.run("dvc", "commit", "--force", _SCORES)  # else DVC would not pull over it
    said = clone.dcgan("reproduce", "mnist/nearest_neighbour_scores", code=1).splitlines()
    (line,) = [line for line in said if line.startswith("DAMAGED")]
    assert line.split()[1] == "mnist/nearest_neighbour_scores:"
    assert "result.json: rows[0] " in line
    assert "byte-equal   mnist/images" in said
    assert said[-1] == "error: 1 of 5 are not as released"
