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
    for name in ("metrics", "plots"):
        content[name] = [place for place in content[name] if place.split("/")[1] in _GROUPS]
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


@pytest.fixture(scope="module")
def bench(make_bench: Any) -> Bench:
    """A workspace that `dvc repro` made from nothing."""
    bench: Bench = make_bench("dvc")
    _keep_some_groups(bench)
    assert _ran(bench.run("dvc", "repro")) == set(_stages(bench))
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
    assert _CLEAN in bench.run("dvc", "status")


def test_what_dagster_made_is_committed_with_it(bench: Bench) -> None:
    def fewer_references(params: dict[str, Any]) -> None:
        params["mnist"]["nearest_neighbour_scores"]["references"] = [150]

    bench.edit_params(fewer_references)
    assert "dvc: 1 committed" in bench.dcgan("materialize", "mnist")
    assert _CLEAN in bench.run("dvc", "status")
    assert _ran(bench.run("dvc", "repro")) == set()


def test_a_clone_of_a_release_pulls_the_same_bytes_and_trains_nothing(bench: Bench) -> None:
    bench.dcgan("release")
    bench.run("dvc", "push")  # the tables, to the folder beside the workspace
    bench.run("git", "add", "--all")
    bench.run("git", "commit", "--quiet", "--message", "everything")
    bench.run("git", "clone", "--quiet", str(bench.root), str(bench.root.parent / "clone"))
    clone = Bench(bench.root.parent / "clone", bench.environment)
    clone.run("dvc", "pull")
    at_home = {
        name: content
        for name, content in bench.files(*_TREES).items()
        if not re.match(_TRANSIENT, name)
    }
    pulled = clone.files(*_TREES)
    assert pulled.items() < at_home.items()
    restricted = [path for path in set(at_home) - set(pulled) if not path.startswith("data/")]
    assert not restricted

    assert "rebuild with `dcgan materialize mnist/images`" in clone.dcgan("register")
    said = clone.dcgan("materialize")
    made = {line.split(":")[0].split("[")[0] for line in said.splitlines() if ": making" in line}
    assert made
    assert all(f"data/{key}" not in {name.rpartition("/")[0] for name in pulled} for key in made)
    assert not list((clone.root / "runs").glob("*/*/states/*"))
    assert clone.files(*_TREES) == at_home
    assert _CLEAN in clone.run("dvc", "status")
    assert _ran(clone.run("dvc", "repro")) == set()
    assert "up to date: " in clone.dcgan("materialize", *_GROUPS)
    assert clone.run("git", "status", "--short") == ""
