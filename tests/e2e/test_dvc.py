"""DVC over the same files: from nothing, after a change, and in another clone."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from workbench import Bench

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_TREES = ("data", "models", "results")
_GROUPS = ("mnist", "lsun", "report")
_TRANSIENT = r"models/\w+/\w*candidate/|results/\w+/quality/"
_SCORES = "mnist-nearest_neighbour_scores"
_REPORTS = ("report-tables", "report-paper")
_CLEAN = "Data and pipelines are up to date."


def _stages(bench: Bench) -> dict[str, Any]:
    content = yaml.safe_load((bench.root / "dvc.yaml").read_text(encoding="utf-8"))
    stages: dict[str, Any] = content["stages"]
    return stages


def _ran(output: str) -> set[str]:
    """The stages that `dvc repro` says it ran."""
    return set(re.findall(r"^Running stage '(.+)':", output, re.MULTILINE))


def _keep_some_groups(bench: Bench) -> None:
    """Leave three groups in dvc.yaml: a stage more is a process more, and they are all alike."""
    path = bench.root / "dvc.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["stages"] = {
        name: stage
        for name, stage in content["stages"].items()
        if name.startswith(tuple(f"{group}-" for group in _GROUPS))
    }
    # The report tells of the other groups where they are made, which they are not here.
    for name in _REPORTS:
        stage = content["stages"][name]
        stage["deps"] = [place for place in stage["deps"] if place.split("/")[1] in _GROUPS]
    for name in ("metrics", "plots"):
        content[name] = [place for place in content[name] if place.split("/")[1] in _GROUPS]
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


@pytest.fixture(scope="module")
def bench(make_bench: Any) -> Bench:
    """A workspace that `dvc repro` made from nothing, with a store to push to."""
    bench: Bench = make_bench("dvc")
    _keep_some_groups(bench)
    assert _ran(bench.run("dvc", "repro")) == set(_stages(bench))
    bench.run("dvc", "remote", "add", "--default", "store", str(bench.root.parent / "store"))
    return bench


def test_repro_makes_every_output_once(bench: Bench) -> None:
    outs = [out for stage in _stages(bench).values() for out in stage["outs"]]
    places = [next(iter(out)) if isinstance(out, dict) else out for out in outs]
    for place in places:  # one record, or one a shard
        records = sorted((bench.root / place).glob("**/_meta.json"))
        assert records, place
        assert all(json.loads(record.read_text("utf-8"))["data_version"] for record in records)
    assert _ran(again := bench.run("dvc", "repro")) == set()
    assert _CLEAN in again
    assert _CLEAN in bench.run("dvc", "status")


def test_metrics_show_reads_the_result_files(bench: Bench) -> None:
    shown = json.loads(bench.run("dvc", "metrics", "show", "--json"))[""]["data"]
    listed = yaml.safe_load((bench.root / "dvc.yaml").read_text(encoding="utf-8"))["metrics"]
    assert set(shown) == set(listed)
    for path, content in shown.items():
        place = path.rpartition("/")[0]
        assert content["data"]["data_version"] == bench.meta(place)["data_version"]


def test_one_parameter_reruns_one_stage_and_the_report(bench: Bench) -> None:
    before = bench.files("models", "data")

    def more_references(params: dict[str, Any]) -> None:
        params["mnist"]["nearest_neighbour_scores"]["references"] = [100, 200]

    bench.edit_params(more_references)
    assert _ran(bench.run("dvc", "repro")) == {_SCORES, *_REPORTS}
    assert bench.files("models", "data") == before
    assert _CLEAN in bench.run("dvc", "status")


def test_what_dagster_made_is_committed_afterwards(bench: Bench) -> None:
    def fewer_references(params: dict[str, Any]) -> None:
        params["mnist"]["nearest_neighbour_scores"]["references"] = [150]

    bench.edit_params(fewer_references)
    bench.dcgan("materialize", "mnist", "report")
    assert _SCORES in bench.run("dvc", "status")
    bench.run("dvc", "commit", "--force", _SCORES, *_REPORTS)
    assert _CLEAN in bench.run("dvc", "status")
    assert _ran(bench.run("dvc", "repro")) == set()


def test_a_clone_pulls_the_same_bytes_and_trains_nothing(bench: Bench) -> None:
    bench.run("git", "add", "--all")
    bench.run("git", "commit", "--quiet", "--message", "everything")
    bench.run("dvc", "push")
    bench.run("git", "clone", "--quiet", str(bench.root), str(bench.root.parent / "clone"))
    clone = Bench(bench.root.parent / "clone", bench.environment)
    clone.run("dvc", "pull")
    pulled = clone.files(*_TREES)
    kept = {
        name: content
        for name, content in bench.files(*_TREES).items()
        if not re.match(_TRANSIENT, name)
    }
    assert pulled == kept

    said = clone.dcgan("materialize", *_GROUPS)
    assert ": memoised" in said
    assert ": making" not in said
    assert clone.files(*_TREES) == kept
    assert not list((clone.root / "runs").glob("*/*/states/*"))
    assert _CLEAN in clone.run("dvc", "status")
    assert _ran(clone.run("dvc", "repro")) == set()
    assert "up to date: " in clone.dcgan("materialize", *_GROUPS)
    assert clone.run("git", "status", "--short") == ""
