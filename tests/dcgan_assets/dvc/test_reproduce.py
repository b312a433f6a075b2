"""A release made again: equal where nothing was touched, and every damage seen and named."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from small_graph import SmallGraph

from dcgan_assets.dvc.reproduce import (
    Reproduced,
    compare_again,
    reproduce,
    require_reproduced,
)
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.records import RECORDS
from dcgan_assets.engine.step import WEB
from dcgan_models.errors import UserError
from dcgan_models.files import read_json, write_json

MADE_AGAIN = {
    "toy/boxes[00]",
    "toy/boxes[01]",
    "toy/constant",
    "toy/images[00]",
    "toy/images[01]",
    "toy/mean",
    "toy/samples",
    "toy/summary",
}
NETWORKS = {"toy/generator", "toy/discriminator"}


def call(
    graph: SmallGraph, *names: str, tolerance: float = 0.005
) -> tuple[dict[str, tuple[str, str]], str]:
    """Outcome and detail by label, and the line of the error, or nothing."""
    lines, complaint = [], ""
    try:
        lines += reproduce(graph.catalogue(), names, tolerance)  # keeps what came before an error
    except UserError as error:
        complaint = str(error)
    found = {}
    for line in lines:
        outcome, _, rest = line.partition("  ")
        if rest.strip().startswith("toy/"):
            label, _, detail = rest.strip().partition(": ")
            found[label] = (outcome, detail)
    return found, complaint


def overwrite(path: Path, change: Callable[[Any], Any]) -> None:
    path.chmod(0o644)
    write_json(path, change(read_json(path)))


def everything(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for top in ("data", "models", "results", RECORDS)
        for path in (root / top).rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_an_untouched_release_comes_out_byte_for_byte(clone: SmallGraph) -> None:
    before = everything(clone.root)
    found, complaint = call(clone)
    assert complaint == ""
    assert found == {
        **dict.fromkeys(MADE_AGAIN, ("byte-equal", "")),
        **dict.fromkeys(NETWORKS, ("as released", "")),
    }
    assert everything(clone.root) == before
    assert clone.recorded("toy/samples")  # registered on the way
    assert call(clone)[0] == found  # in the same place once more


@pytest.mark.slow
def test_a_key_alone_takes_what_it_is_made_from(clone: SmallGraph) -> None:
    found, complaint = call(clone, "toy/samples")
    assert complaint == ""
    assert found == {
        "toy/samples": ("byte-equal", ""),
        **dict.fromkeys(NETWORKS, ("as released", "")),
    }


@pytest.mark.parametrize("value", [0.25, pytest.param(0.1234567890123456, marks=pytest.mark.slow)])
def test_one_number_damaged_on_its_way_is_named(clone: SmallGraph, value: float) -> None:
    def damage(content: Any) -> Any:
        content["rows"][2]["value"] = value
        return content

    overwrite(clone.root / "results" / "toy" / "samples" / "result.json", damage)
    found, complaint = call(clone, "toy/samples")
    outcome, detail = found["toy/samples"]
    assert outcome == "DAMAGED"
    assert "result.json: rows[2] (2): value: " in detail
    assert complaint == "1 of 3 are not as released"


def forge(graph: SmallGraph, by: float) -> None:
    """A release that says another number, in all its books."""
    catalogue = graph.catalogue()
    folder = graph.root / "results" / "toy" / "samples"

    def change(content: Any) -> Any:
        content["rows"][2]["value"] += by
        return content

    overwrite(folder / "result.json", change)
    version = catalogue.store.content_version(folder)
    overwrite(folder / "_meta.json", lambda meta: meta | {"data_version": version})
    path = graph.root / RECORDS / "toy" / "samples.json"
    record = read_json(path)
    record["entries"][0]["data_version"] = version
    write_json(path, record)


@pytest.mark.parametrize(
    ("by", "outcome"),
    [
        (0.02, "DIFFERENT"),
        pytest.param(0.004, "close", marks=pytest.mark.slow),
        pytest.param(0.0, "byte-equal", marks=pytest.mark.slow),
    ],
)
def test_a_number_that_does_not_come_out_is_within_the_tolerance_or_not(
    clone: SmallGraph, by: float, outcome: str
) -> None:
    forge(clone, by)
    found, complaint = call(clone, "toy/samples")
    assert found["toy/samples"][0] == outcome
    assert bool(complaint) == (outcome == "DIFFERENT")
    if by:
        assert "result.json: rows[2] (2): value: " in found["toy/samples"][1]


@pytest.mark.slow
def test_changed_parameters_are_the_reason(clone: SmallGraph) -> None:
    clone.change(samples={"count": 2})
    outcome, detail = call(clone, "toy/samples")[0]["toy/samples"]
    assert outcome == "DIFFERENT"
    assert detail.endswith("; its code or parameters changed since the release")


@pytest.mark.slow
def test_what_failed_and_what_needed_it_are_not_made(clone: SmallGraph) -> None:
    (clone.root / "fail-01").touch()
    found, complaint = call(clone, "toy/summary")
    assert found["toy/images[00]"] == ("byte-equal", "")
    assert found["toy/images[01]"] == ("NOT MADE", "shard 01 is told to fail")
    assert found["toy/summary"] == ("NOT MADE", "something that it needs is not there")
    assert complaint == "4 of 6 are not as released"


@pytest.mark.slow
def test_what_came_out_is_told_to_programs_too(clone: SmallGraph) -> None:
    forge(clone, 0.02)
    found = compare_again(clone.catalogue(), ("toy/samples",), 0.005)
    told = json.loads(json.dumps([one.document() for one in found], allow_nan=False))
    assert {one["asset"]: one["outcome"] for one in told} == {
        "toy/samples": "DIFFERENT",
        **dict.fromkeys(NETWORKS, "as released"),
    }
    with pytest.raises(UserError, match=r"^1 of 3 are not as released$"):
        require_reproduced(found)


def test_a_picture_is_told_by_its_grey_levels() -> None:
    one = Reproduced("a/b", "close", "x", {"figure.png": 0.0, "walk.png": 1.0, "odd.png": math.inf})
    assert one.line == "a/b: x; walk.png by 1 grey levels, odd.png by inf grey levels"
    levels = one.document()["grey_levels"]
    assert levels == {"figure.png": 0.0, "walk.png": 1.0, "odd.png": None}
    assert Reproduced("a/b", "byte-equal", pictures={"figure.png": 0.0}).line == "a/b"


def test_a_damaged_network_is_named_and_not_used(clone: SmallGraph) -> None:
    path = clone.root / "models" / "toy" / "generator" / "weights.json"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"0.", b"1.", 1))
    found, complaint = call(clone, "toy/samples")
    assert found["toy/generator"] == ("DAMAGED", "other bytes than were released")
    assert found["toy/discriminator"] == ("as released", "")
    assert found["toy/samples"][0] == "NOT MADE"
    assert "toy/generator" in found["toy/samples"][1]
    assert complaint == "2 of 3 are not as released"


@pytest.mark.slow
def test_the_web_is_not_asked_again_for_what_is_here(released: SmallGraph) -> None:
    """Of a sharded asset too; where a part of it is not here, all of it is made."""
    catalogue = released.catalogue()
    steps = tuple(
        replace(step, pool=WEB) if step.key == "toy/images" else step for step in catalogue.steps
    )
    asking = Catalogue(catalogue.workspace, steps)
    lines = list(reproduce(asking, ("toy/summary",), 0.0))
    assert [line for line in lines if "toy/images" in line] == [
        "as released  toy/images[00]",
        "as released  toy/images[01]",
    ]
    assert "byte-equal   toy/summary" in lines
    shutil.rmtree(released.root / "data" / "toy" / "images" / "01")
    lines = list(reproduce(asking, ("toy/summary",), 0.0))
    assert len([line for line in lines if line.startswith("byte-equal")]) == 6


def test_refusals_are_one_line(clone: SmallGraph, small: SmallGraph) -> None:
    with pytest.raises(UserError, match=r"^no records in .*/records; not released$"):
        list(reproduce(small.catalogue(), (), 0.0))
    with pytest.raises(UserError, match=r"^toy/candidate: no records in .*; not released$"):
        list(reproduce(clone.catalogue(), ("toy/candidate",), 0.0))
    locks = clone.root / "runs" / "locks"
    locks.mkdir(parents=True)
    with (
        FileLock(locks / "reproduce.lock"),
        pytest.raises(UserError, match="another `dcgan reproduce` is at work"),
    ):
        list(reproduce(clone.catalogue(), ("toy/samples",), 0.0))
