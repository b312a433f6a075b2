"""`dvc exp`: a setting of params.yaml on the command line, and a table of what came of it."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
import yaml
from workbench import Bench

pytestmark = pytest.mark.slow

_SETTING = "mnist.candidate.epochs"
_GENERATOR = "models/mnist/generator"


@pytest.fixture(scope="module")
def bench(make_bench: Any) -> Bench:
    """A workspace with a stage for everything, of which nothing was made, committed."""
    bench: Bench = make_bench("experiments")
    bench.dcgan("dvc-sync", "--all")
    bench.run("git", "add", "--all")
    bench.run("git", "commit", "--quiet", "--message", "a workspace")
    return bench


def _table(bench: Bench) -> list[dict[str, str]]:
    said = bench.run("dvc", "exp", "show", "--only-changed", "--csv", "--hide-workspace")
    return list(csv.DictReader(io.StringIO(said)))


def test_an_experiment_trains_with_its_setting_and_is_shown(bench: Bench) -> None:
    said = bench.run("dvc", "exp", "run", "-S", f"{_SETTING}=2", "mnist-generator")
    assert "Ran experiment" in said
    params = yaml.safe_load((bench.root / "params.yaml").read_text("utf-8"))
    assert params["mnist"]["candidate"]["epochs"] == 2
    assert (bench.root / _GENERATOR / "weights.safetensors").is_file()
    (config,) = bench.root.glob("runs/mnist/*/config.json")
    assert json.loads(config.read_text("utf-8"))["preset"]["epochs"] == 2
    committed, experiment = _table(bench)
    assert (committed[_SETTING], experiment[_SETTING]) == ("1", "2")
    assert experiment["Experiment"] in said
