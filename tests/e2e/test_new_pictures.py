"""New pictures in a folder, under a real daemon: through two sensors to new samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from web_ui import Server, served
from workbench import Bench, shrink, without_dvc

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

_INBOX, _AUTOMATION = "inbox_cats", "results_follow_networks"
_START = """
mutation Start($selector: SensorSelector!) {
  startSensor(sensorSelector: $selector) {
    __typename ... on Sensor { name } ... on PythonError { message }
  }
}
"""
_STATE = """
query Ticks($selector: InstigationSelector!) {
  instigationStateOrError(instigationSelector: $selector) {
    ... on InstigationState { status ticks(limit: 50) { status skipReason } }
  }
}
"""
_IN = {"repositoryLocationName": "dcgan", "repositoryName": "__repository__"}


def _draw_pictures(folder: Path, first: int, count: int) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(first, first + count):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number:03d}.png"), cv2.blur(pixels, (5, 5)))


def _ten_are_enough(params: dict[str, Any]) -> None:
    params["retraining"]["inbox"] = {"pictures": 10, "share": 1.0}


def _publish_by_health(params: dict[str, Any]) -> None:
    """Candidates that were hardly trained cannot show that they are no worse than one another."""
    params["groups"]["cats"]["training_set"] = {"held_out": 0.05, "held_out_least": 1}
    params["groups"]["cats"]["quality"]["publish_unmeasured"] = True


def _switch_on(server: Server, sensor: str) -> None:
    selector = {**_IN, "sensorName": sensor}
    started = server.query(_START, selector=selector)["startSensor"]
    assert started == {"__typename": "Sensor", "name": sensor}


def _state(server: Server, sensor: str) -> dict[str, Any]:
    selector = {**_IN, "name": sensor}
    found: dict[str, Any] = server.query(_STATE, selector=selector)["instigationStateOrError"]
    return found


def _skipped(server: Server, words: str) -> bool:
    """Whether a look at the folder came to nothing for this reason."""
    ticks = _state(server, _INBOX)["ticks"]
    return any(words in (tick["skipReason"] or "") for tick in ticks)


def test_new_pictures_become_new_samples_across_a_restart(make_bench: Any) -> None:
    bench: Bench = make_bench("inbox", without_dvc)
    _draw_pictures(bench.root / "pictures", 0, 60)
    bench.dcgan("new-group", "cats", "--from", "pictures")
    for change in (shrink, _ten_are_enough, _publish_by_health):
        bench.edit_params(change)
    bench.dcgan("materialize", "cats/samples")
    before = bench.meta("models/cats/generator"), bench.meta("results/cats/samples")

    _draw_pictures(bench.root / "pictures", 60, 3)
    with served(bench) as server:
        for sensor in (_INBOX, _AUTOMATION):
            assert _state(server, sensor)["status"] == "STOPPED"
            _switch_on(server, sensor)
        server.running.until(
            lambda: _skipped(server, "3 new pictures are too few"), "a look at three pictures"
        )
    _draw_pictures(bench.root / "pictures", 63, 8)
    with served(bench) as server:
        assert _state(server, _INBOX)["status"] == "RUNNING"
        server.running.until(
            lambda: bench.meta("models/cats/generator") != before[0], "a generator"
        )
        server.running.until(lambda: bench.meta("results/cats/samples") != before[1], "its samples")
        server.running.until(
            lambda: {status for _, status in bench.recorded_runs()} == {"SUCCESS"}, "a good end"
        )
    index = pq.read_table(bench.root / "data/cats/training_set/index.parquet")
    assert index.num_rows == 60 + 3 + 8
    assert len(set(index["key"].to_pylist())) == index.num_rows
