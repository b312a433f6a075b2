"""No picture both decides something of a measure and measures it: the table, the graph, the code.

The table says it of every result. The graph says which results there are and what they can have
seen; the code of each step says which splits it opens; the sections say which splits are the same.
"""

from __future__ import annotations

import ast
import inspect
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from checkout import CHECKOUT

from dcgan_assets.assets.catalogue import open_catalogue
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.step import Step
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import PROFILES, profile_text
from docs.writers.leaks import DOCUMENT, Measure, document, measures

SPLITS = {"train", "held_out", "validation", "test"}
# What opens pictures of a split, and the split that it opens where none is named.
OPENERS = {"open_training_set": "train", "PixelStore.open": None}


@pytest.fixture(params=PROFILES)
def catalogue(request: Any, tmp_path: Path) -> Catalogue:
    (tmp_path / "params.yaml").write_text(profile_text(request.param), encoding="utf-8")
    return open_catalogue(Workspace(tmp_path))


def measured(catalogue: Catalogue) -> list[Step]:
    """Steps with numbers in a result."""
    return [
        step
        for step in catalogue.steps
        if any("work.result(" in ast.unparse(part) for part in reached(step))
    ]


@cache
def source(module: str) -> str:
    return inspect.getsource(__import__(module, fromlist=["_"]))


def ancestors(step: Step, catalogue: Catalogue) -> set[str]:
    """Keys of all that a step was made from."""
    found: set[str] = set()
    waiting = list(step.inputs)
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting += catalogue.by_key[key].inputs
    return found


def rows_of(key: str) -> list[Measure]:
    return [one for one in measures() if one.of(key)]


def sides(measure: Measure, key: str, catalogue: Catalogue) -> tuple[set[str], set[str]]:
    """What decides and what measures, as whole keys, equal pictures under one name."""

    def whole(name: str) -> str:
        asset, colon, split = name.partition(": ")
        if not colon:
            return name
        asset = asset if "/" in asset else f"{key.split('/', maxsplit=1)[0]}/{asset}"
        return f"{one_name(asset, catalogue)[split]}" if split in SPLITS else f"{asset}: {split}"

    def one_name(asset: str, catalogue: Catalogue) -> dict[str, str]:
        names = {split: f"{asset}: {split}" for split in SPLITS}
        # Where nothing is dealt, what is held out is the source's own test split.
        dealt = asset.endswith("/training_set") and catalogue.section(catalogue.by_key[asset])
        if dealt and dealt.held_out == 0:
            names["held_out"] = f"{asset.replace('training_set', 'images')}: test"
        return names

    deciding = {whole(name) for name in (*measure.tuned_on, *measure.chosen_on)}
    return deciding, {whole(name) for name in measure.measured_on}


def test_every_result_with_numbers_is_in_the_table(catalogue: Catalogue) -> None:
    missing = [step.key for step in measured(catalogue) if not rows_of(step.key)]
    assert not missing


def test_no_split_decides_and_measures(catalogue: Catalogue) -> None:
    twice = {
        (measure.measure, key): shared
        for step in measured(catalogue)
        for key in step.outputs
        for measure in rows_of(key)
        for deciding, measuring in [sides(measure, key, catalogue)]
        if (shared := deciding & measuring) and not measure.because
    }
    assert not twice


def test_what_the_table_names_leads_up_to_the_result(catalogue: Catalogue) -> None:
    for step in measured(catalogue):
        seen = ancestors(step, catalogue)
        for measure in rows_of(step.key):
            for name in (*measure.tuned_on, *measure.chosen_on, *measure.measured_on):
                asset, colon, _ = name.partition(": ")
                whole = asset if "/" in asset else f"{step.key.split('/')[0]}/{asset}"
                assert not colon or whole in seen, (step.key, name)


def reached(step: Step) -> list[ast.AST]:
    """A step's function, and what it reaches in its module."""
    tree = ast.parse(source(step.compute.__module__))
    kinds = ast.FunctionDef | ast.ClassDef
    defined = {node.name: node for node in tree.body if isinstance(node, kinds)}
    names, found = [step.compute.__name__], {}
    while names:
        name = names.pop()
        if name in defined and name not in found:
            found[name] = defined[name]
            names += [node.id for node in ast.walk(defined[name]) if isinstance(node, ast.Name)]
    return list(found.values())


def opened(step: Step) -> set[str]:
    """The splits whose pictures a step opens, by the calls in its text."""
    found: set[str] = set()
    calls = (node for part in reached(step) for node in ast.walk(part))
    for call in calls:
        if not isinstance(call, ast.Call) or ast.unparse(call.func) not in OPENERS:
            continue
        arguments = call.args[1:] or [ast.Constant(OPENERS[ast.unparse(call.func)])]
        words = {"HELD_OUT": "held_out", "TRAIN": "train"}
        for node in ast.walk(arguments[0]):
            name = node.id if isinstance(node, ast.Name) else getattr(node, "value", None)
            found |= {words.get(str(name), str(name))} & SPLITS
    return found


def test_what_a_result_opens_is_in_its_row(catalogue: Catalogue) -> None:
    for step in measured(catalogue):
        rows = rows_of(step.key)
        named = {
            name.partition(": ")[2].partition(",")[0]
            for measure in rows
            for name in (*measure.tuned_on, *measure.chosen_on, *measure.measured_on)
        }
        assert opened(step) <= named, step.key


def test_what_is_trained_is_trained_on_training_pictures(catalogue: Catalogue) -> None:
    """`judge` is none of them: it holds its networks to held-out pictures."""
    for step in catalogue.steps:
        if step.key.endswith(("/candidate", "/extractor", "/dedup_autoencoder")):
            assert opened(step) <= {"train"}, step.key


def test_the_page_has_the_table() -> None:
    text = (CHECKOUT / DOCUMENT).read_text(encoding="utf-8")
    assert text == document(text), "run `python -m docs.writers`"
