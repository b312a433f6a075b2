"""Dagster's own tools, called without a word about where the definitions are."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from checkout import CHECKOUT
from workbench import clean_environment

from dcgan_assets.cli.init import create_workspace

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["checkout", "workspace"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "checkout":
        return CHECKOUT
    return create_workspace(tmp_path_factory.mktemp("dg") / "workspace", "sample").root


def _run(place: Path, home: Path, *words: str) -> str:
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    done = subprocess.run(
        words,
        cwd=place,
        env=clean_environment(DAGSTER_HOME=str(home), HOME=str(home)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_dg_checks_the_definitions(place: Path, tmp_path: Path) -> None:
    said = _run(place, tmp_path, "dg", "check", "defs")
    assert "All definitions loaded successfully." in said


def test_dg_lists_them(place: Path, tmp_path: Path) -> None:
    listed = json.loads(_run(place, tmp_path, "dg", "list", "defs", "--json"))
    keys = {asset["asset_key"] for asset in listed["assets"]}
    assert {"mnist/images", "lsun/generator", "report/paper"} <= keys


def test_dagster_lists_assets_of_a_file_or_module(place: Path, tmp_path: Path) -> None:
    target = ("-m", "dcgan_assets.definitions")
    if place != CHECKOUT:
        target = ("-f", "definitions.py")
    assert "mnist/images" in _run(place, tmp_path, "dagster", "asset", "list", *target).split()
