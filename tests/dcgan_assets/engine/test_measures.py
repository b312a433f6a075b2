"""One vocabulary for all rows of all results: measures, directions, units, splits, trials."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

import dcgan_assets
from dcgan_assets.assets.publishing.quality_report import Measured, result_rows
from dcgan_assets.engine.measures import MEASURES
from dcgan_assets.engine.results import Row
from dcgan_models.metrics.table import Setting, feature_scores, pixel_scores

_MAKERS = {"Row", "share_row"}
_HOMES = {"dcgan_assets.engine.results", "dcgan_assets.assets.shares"}


def rows_made() -> Iterator[tuple[str, ast.Call]]:
    """Every place where a row of a result is made, by module and line."""
    package = Path(dcgan_assets.__file__).parent
    for path in sorted(package.rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
        imports = [n for n in nodes if isinstance(n, ast.ImportFrom) and n.module in _HOMES]
        known = _MAKERS & {alias.name for node in imports for alias in node.names}
        for node in nodes:
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Name) and called.id in known:
                assert isinstance(node, ast.Call)
                yield f"{path.relative_to(package)}:{node.lineno}", node


def measure_of(call: ast.Call) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == "measure"), None)


def test_every_row_says_what_it_measures() -> None:
    made = list(rows_made())
    assert len(made) > 40
    assert [place for place, call in made if measure_of(call) is None] == []


def test_every_word_is_in_the_vocabulary() -> None:
    words = {
        node.value for _, call in rows_made() if isinstance(node := measure_of(call), ast.Constant)
    }
    assert words <= set(MEASURES)
    assert {"test error", "accuracy", "share"} <= words


def test_scores_of_generators_are_in_the_vocabulary() -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8) for _ in range(2)]
    features = [rng.normal(size=(20, 4)).astype(np.float32) for _ in range(2)]
    setting = Setting("held_out", "none", "pixels", 1)
    scores = [
        *pixel_scores(pictures[0], pictures[1], setting),
        *feature_scores(features[0], features[1], setting, kid_subsets=2, kid_size=10),
    ]
    facts = {"section": {"category": "bedroom"}, "size": 64}
    rows = result_rows([Measured("candidate", score) for score in scores], facts)
    by_name = {row.name.split(": ")[1].split(",")[0]: row for row in rows}
    assert by_name["swd_32"].measure == by_name["swd"].measure == "swd"
    assert by_name["recall"].better == "higher"
    expected = "frechet_distance, on held-out pictures, lower is better"
    assert by_name["frechet_distance"].about == expected
    # Others' numbers are told in words, and never stand in the paper's column.
    assert "mmgeneration publishes" in by_name["swd"].source
    assert [row.name for row in rows if row.paper is not None] == []


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"measure": "goodness"}, "measure 'goodness'; allowed: test error"),
        ({"measure": "accuracy"}, "accuracy in ''; allowed: '%'"),
        (
            {"measure": "test error", "unit": "%", "split": "validation"},
            "test error on 'validation'; it is of the test pictures",
        ),
        (
            {"measure": "validation error", "unit": "%", "split": "test"},
            "validation error on 'test'; it is of the validation pictures",
        ),
        (
            {"measure": "accuracy", "unit": "%", "split": "test", "trials": 8},
            "best of 8 trials on the test pictures",
        ),
        ({"measure": "count", "low": 1.0}, "bounds, and no words"),
        ({"measure": "count", "split": "tset"}, "split"),
    ],
    ids=["measure", "unit", "test error", "validation error", "trials", "bounds", "split"],
)
def test_what_the_vocabulary_does_not_know_is_refused(row: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Row(name="a row", **row)


def test_a_row_in_words() -> None:
    row = Row(name="CNN", measure="validation error", unit="%", split="validation", trials=8)
    assert row.about == "validation error, lower is better, best of 8 trials"
    row = Row(name="D", measure="accuracy", unit="%", split="test")
    assert row.about == "accuracy, on test pictures, higher is better"
    assert Row(name="made before", value=1.0, unit="furlongs").about == ""
