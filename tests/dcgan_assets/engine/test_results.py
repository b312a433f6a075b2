"""The result file: what it holds, and what of it makes a version."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dcgan_assets.engine.results import (
    METRICS_FILE,
    RESULT_FILE,
    Result,
    Row,
    hardware,
    stable_digest,
)
from dcgan_models.files import read_json, write_json


def result(**changes: Any) -> Result:
    content = {
        "asset": "mnist/nearest_neighbour_scores",
        "paper_ref": "section 8.1",
        "profile": "sample",
        "stand_in": True,
        "rows": [
            Row(name="DCGAN @50,000", value=3.5, n=1000, low=2.5, high=4.8, paper=2.98),
            Row(name="InfiMNIST @10,000,000", paper=2.6, source="the paper alone"),
        ],
    }
    return Result(**{**content, **changes})


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written = result(hardware="a fast one", duration_s=1.5, notes="É")
    written.write(tmp_path)
    assert Result.read(tmp_path) == written


def test_the_file_has_the_fields_of_the_design(tmp_path: Path) -> None:
    result().write(tmp_path)
    content = read_json(tmp_path / RESULT_FILE)
    assert set(content) == {
        *("schema_version", "asset", "paper_ref", "profile", "data_version", "code_version"),
        *("hardware", "duration_s", "stand_in", "rows", "notes"),
    }
    assert set(content["rows"][0]) == {
        *("name", "measure", "value", "unit", "split", "protocol", "trials", "n"),
        *("low", "high", "interval", "paper", "source"),
    }
    assert content["rows"][1]["value"] is None


def test_the_headline_is_a_number_that_the_paper_has_too(tmp_path: Path) -> None:
    rows = [
        Row(name="real", value=1.5, unit="%"),
        Row(name="GAN", value=2.5, paper=6.28, unit="%"),
        Row(name="DCGAN", measure="test error", split="test", value=3.5, paper=2.98, unit="%"),
        Row(name="KNN", paper=77.93),
    ]
    result(rows=rows).write(tmp_path)
    kind = "test error, lower is better"
    expected = {"what": "DCGAN", "kind": kind, "ours": 3.5, "paper": 2.98, "unit": "%"}
    assert read_json(tmp_path / METRICS_FILE) == expected
    result(rows=[Row(name="steps", value=0.0), Row(name="more", value=9.0)]).write(tmp_path)
    assert read_json(tmp_path / METRICS_FILE) == {"what": "steps", "ours": 0.0}
    result(rows=[]).write(tmp_path)  # too few pictures to measure anything
    assert read_json(tmp_path / METRICS_FILE) == {}


@pytest.mark.parametrize("change", [{"rowz": []}, {"schema_version": 2}, {"rows": [{"valu": 1}]}])
def test_another_form_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    result().write(tmp_path)
    write_json(tmp_path / RESULT_FILE, {**read_json(tmp_path / RESULT_FILE), **change})
    with pytest.raises(ValidationError):
        Result.read(tmp_path)


def digest(folder: Path, **changes: Any) -> str:
    result(**changes).write(folder)
    return stable_digest(folder / RESULT_FILE)


@pytest.mark.parametrize(
    "change",
    [
        {"hardware": "another machine"},
        {"duration_s": 99.0},
        {"data_version": "ab" * 16},
        {"code_version": "cd" * 8},
    ],
    ids=lambda change: next(iter(change)),
)
def test_circumstances_do_not_change_the_digest(tmp_path: Path, change: dict[str, Any]) -> None:
    assert digest(tmp_path) == digest(tmp_path, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": [Row(name="DCGAN @50,000", value=3.6, n=1000)]},
        {"rows": [Row(name="DCGAN @50,000", value=3.5, n=1001)]},
        {"stand_in": False},
        {"notes": "other"},
        {"profile": "paper"},
        {"paper_ref": "Figure 9"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_findings_do(tmp_path: Path, change: dict[str, Any]) -> None:
    assert digest(tmp_path) != digest(tmp_path, **change)


def test_the_machine_in_words() -> None:
    assert f"{os.cpu_count()} cores" in hardware()
    assert "\n" not in hardware()
