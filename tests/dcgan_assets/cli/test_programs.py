"""The command line as programs call it: one JSON document, silence, and a shell's completion."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from small_graph import SmallGraph

from dcgan_assets.cli import main
from dcgan_assets.dvc.status import read_standing
from dcgan_assets.engine.terminal import set_quiet
from dcgan_assets.params.file import profile_text

PLAN = [
    *("mnist/images", "mnist/candidate", "mnist/fc_candidate"),
    *("mnist/generator", "mnist/fc_generator", "mnist/sample_panels"),
]


@pytest.fixture
def root(tmp_path: Path, dagster_home: Path) -> Path:
    """A workspace in which nothing was made, without git and DVC."""
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "params.yaml").write_text(profile_text("sample"), encoding="utf-8")
    shutil.copytree(dagster_home, root / ".dagster_home")
    return root


@pytest.fixture
def quiet() -> Iterator[None]:
    set_quiet(True)
    yield
    set_quiet(False)


def dcgan(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def document(done: Result) -> Any:
    assert done.stderr == ""
    return json.loads(done.stdout)


# --- JSON -----------------------------------------------------------------------------------


def test_a_plan(root: Path) -> None:
    done = dcgan("--root", root, "materialize", "--dry-run", "--json", "mnist/sample_panels")
    assert done.exit_code == 0
    why = "not there yet"
    to_make = [{"asset": key, "shard": None, "why": why} for key in PLAN[:1]]
    plan = document(done)
    assert plan["to_make"][:1] == to_make
    assert [one["asset"] for one in plan["to_make"]] == PLAN
    assert plan["up_to_date"] == []
    assert sorted(path.name for path in root.iterdir()) == [".dagster_home", "params.yaml"]


def test_a_plan_names_shards_and_failed_checks_of_what_stands(small: SmallGraph) -> None:
    from dcgan_assets.cli.materialize import Request, _document, _plan

    small.write_source("01", -5.0)
    small.run("toy/mean")
    catalogue = small.catalogue()
    steps = [catalogue.by_key[key] for key in ("toy/images", "toy/mean", "toy/constant")]
    with small.instance() as instance:
        plan = _plan(catalogue, instance, steps, steps, Request())
    found = json.loads(json.dumps(_document(catalogue, plan)))
    assert [one["asset"] for one in found["to_make"]] == ["toy/constant"]
    assert found["up_to_date"] == [
        *({"asset": "toy/images", "shard": f"0{i}", "failed_checks": []} for i in range(2)),
        {"asset": "toy/mean", "shard": None, "failed_checks": ["positive"]},
    ]


def test_a_plan_alone_is_written(root: Path) -> None:
    done = dcgan("--root", root, "materialize", "--json")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "error: --json: it is the plan that is written; allowed with --dry-run alone\n"
    )


def test_where_assets_stand(root: Path) -> None:
    said = dcgan("--root", root, "status").stdout.splitlines()
    standing = document(dcgan("--root", root, "status", "--json"))
    odd = [one for one in standing["assets"] if not one["in_order"]]
    assert [line.split()[0] for line in said[1 : 1 + len(odd)]] == [one["key"] for one in odd]
    assert standing["notes"] == [f"{root} is not under DVC"]
    assert standing["assets"][0]["stale"]


def test_where_assets_stand_is_said_of_all(small: SmallGraph) -> None:
    small.run("toy/mean")
    standing = read_standing(small.catalogue())
    states = {one["key"]: one for one in standing.document()["assets"]}
    assert states["toy/mean"]["in_order"]
    assert states["toy/mean"]["stale"] == ""
    assert states["toy/constant"]["stale"] == "not there yet"
    assert set(states) == {state.key for state in standing.states}


@pytest.mark.parametrize("profile", [profile_text("sample"), "profile: other"], ids=["", "bad"])
def test_findings_and_the_exit_code(root: Path, profile: str) -> None:
    (root / "params.yaml").write_text(profile, encoding="utf-8")
    said = dcgan("--root", root, "doctor")
    done = dcgan("--root", root, "doctor", "--json")
    found = document(done)["findings"]
    lines = [f"{one['state']:5} {one['what']:12} {one['detail']}" for one in found]
    # How much of the disk is free may have changed.
    for line, expected in zip(lines, said.stdout.splitlines(), strict=True):
        assert line == expected or " disk " in line
    failed = any(one["state"] == "FAIL" for one in found)
    assert failed or profile != "profile: other"
    assert (done.exit_code, said.exit_code) == (failed, failed)


# --- Silence --------------------------------------------------------------------------------


def test_quietly_nothing_is_said_of_what_goes_well(root: Path) -> None:
    for command in (("materialize", "--dry-run", "mnist"), ("materialize", "--dry-run", "report")):
        done = dcgan("--root", root, *command, "--quiet")
        assert (done.exit_code, done.output) == (0, "")
        # The next call in this process is told everything again.
        assert dcgan("--root", root, *command).stdout.startswith("plan: ")


@pytest.mark.usefixtures("quiet")
def test_quietly_what_went_wrong_is_said(
    small: SmallGraph, capfd: pytest.CaptureFixture[str]
) -> None:
    small.write_source("01", -5.0)
    (small.root / "fail-01").touch()
    ran = small.run("toy/mean", "toy/constant")
    assert ran.code == 1
    assert ran.lines == [
        "FAILED toy/images[01]: shard 01 is told to fail",
        "blocked toy/mean: something that it needs failed",
    ]
    (small.root / "fail-01").unlink()
    again = small.run("toy/mean")
    assert again.code == 0
    assert again.lines == [
        "toy/mean: warning: the mean is not positive",
        "toy/mean: check failed: positive (mean: -2.0)",
    ]
    assert "it/s" not in capfd.readouterr().err


# --- Completion -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [("dcgan mat", "materialize"), ("dcgan materialize --dry", "--dry-run")],
)
def test_commands_and_options_are_completed(words: str, expected: str) -> None:
    command = Path(sys.executable).with_name("dcgan")
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    environment = {**os.environ, "_DCGAN_COMPLETE": "bash_complete", **asked}
    done = subprocess.run([command], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"plain,{expected}"]


def test_the_help_says_how() -> None:
    said = dcgan("--help").stdout
    line = '    bash, zsh   eval "$(_DCGAN_COMPLETE=bash_source dcgan)" (or zsh_source)'
    assert line in said.splitlines()
    with contextlib.suppress(FileNotFoundError):
        command = Path(sys.executable).with_name("dcgan")
        environment = {**os.environ, "_DCGAN_COMPLETE": "zsh_source"}
        done = subprocess.run(
            [command], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith("#compdef dcgan")
