"""A schedule under a real daemon: ticks, a training that is killed between them, retries."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest
from web_ui import Server, served
from workbench import Bench, without_dvc

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

_SELECTOR = {
    "repositoryLocationName": "dcgan",
    "repositoryName": "__repository__",
    "scheduleName": "retrain_mnist_schedule",
}
_START = """
mutation Start($selector: ScheduleSelector!) {
  startSchedule(scheduleSelector: $selector) {
    __typename ... on ScheduleStateResult { scheduleState { id } } ... on PythonError { message }
  }
}
"""
_STOP = """
mutation Stop($id: String!) { stopRunningSchedule(id: $id) { __typename } }
"""
_RUNS = """
{ runsOrError(filter: {tags: [{key: "dagster/schedule_name", value: "retrain_mnist_schedule"}]}) {
    ... on Runs { results { runId status parentRunId runConfigYaml } } } }
"""


def _every_minute(params: dict[str, Any]) -> None:
    params["retraining"]["cron"] = "* * * * *"
    params["mnist"]["candidate"].update(epochs=30, decay_epochs=10)


def _runs(server: Server) -> list[dict[str, Any]]:
    """The schedule's runs and their retries, oldest first."""
    found: list[dict[str, Any]] = server.query(_RUNS)["runsOrError"]["results"]
    return found[::-1]


def _finished(server: Server) -> bool:
    return all(run["status"] in {"SUCCESS", "FAILURE", "CANCELED"} for run in _runs(server))


def test_two_ticks_with_a_kill_between_are_two_candidates(make_bench: Any) -> None:
    bench: Bench = make_bench("ticks", _every_minute, without_dvc)
    bench.dcgan("materialize", "mnist/images")
    with served(bench) as server:
        running = server.running
        (started,) = [server.query(_START, selector=_SELECTOR)["startSchedule"]]
        assert started["__typename"] == "ScheduleStateResult", started
        running.until(lambda: bench.steps("mnist28"), "the first tick's training")
        first = _runs(server)[0]
        server.worker(first["runId"]).send_signal(signal.SIGKILL)
        running.until(
            lambda: [r for r in _runs(server) if r["parentRunId"] is None][1:], "the second tick"
        )
        server.query(_STOP, id=started["scheduleState"]["id"])
        running.until(
            lambda: any(run["parentRunId"] == first["runId"] for run in _runs(server)), "the retry"
        )
        running.until(lambda: _finished(server), "the end of all runs", 1200)
        runs = _runs(server)

    # Ticks go on until the stop: on a slow machine there are more than two.
    roots = [run for run in runs if run["parentRunId"] is None]
    (retry,) = [run for run in runs if run["parentRunId"] == first["runId"]]
    status = {run["runId"]: run["status"] for run in runs}
    assert status[first["runId"]] == "FAILURE"
    assert {status[run["runId"]] for run in (retry, *roots[1:])} == {"SUCCESS"}
    assert retry["runConfigYaml"] == first["runConfigYaml"]
    count = len({run["runConfigYaml"] for run in roots})
    assert count == len(roots) >= 2

    # Of each of the two trainings of a tick (of the DCGAN and the fully connected GAN) one folder.
    configs = sorted((bench.root / "runs/mnist").glob("*/config.json"))
    trained = [json.loads(path.read_text(encoding="utf-8")) for path in configs]
    assert sorted(c["preset"]["name"] for c in trained) == (
        ["mnist28"] * count + ["mnist28_fc"] * count
    )
    assert len({config["seed"] for config in trained}) == count
    assert all((path.parent / "result/generator").is_dir() for path in configs)
