"""A schedule under a real daemon: its switch, ticks, a killed training, retries, a restart."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pages import PATIENCE_MS
from web_ui import Server, served
from workbench import Bench, without_dvc

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

_SCHEDULE = "retrain_mnist_schedule"
_SELECTOR = {
    "repositoryLocationName": "dcgan",
    "repositoryName": "__repository__",
    "name": _SCHEDULE,
}
_STATE = """
query Ticks($selector: InstigationSelector!) {
  instigationStateOrError(instigationSelector: $selector) {
    ... on InstigationState { id status ticks(limit: 50) { tickId status skipReason } }
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


def _when_changed(params: dict[str, Any]) -> None:
    """From here on a tick looks, and has nothing to do; a shard more shows that this was read."""
    params["retraining"]["retrain"] = "when_changed"
    params["albums"]["images"]["shards"] = 2


def _state(server: Server) -> dict[str, Any]:
    """Whether the schedule is on, and its ticks."""
    state: dict[str, Any] = server.query(_STATE, selector=_SELECTOR)["instigationStateOrError"]
    return state


def _switch(page: Page, server: Server) -> Locator:
    """The switch on the schedule's own page; what is clicked is the label around the box."""
    page.goto(f"{server.url}/locations/__repository__@dcgan/schedules/{_SCHEDULE}")
    found = page.locator("label[class*=formatSwitch]")
    found.wait_for(timeout=PATIENCE_MS)
    return found


def _switch_on(page: Page, server: Server) -> None:
    assert _state(server)["status"] == "STOPPED"
    switch = _switch(page, server)
    assert not switch.locator("input").is_checked()
    switch.click()
    server.running.until(lambda: _state(server)["status"] == "RUNNING", "the schedule")
    page.goto("about:blank")


def _runs(server: Server) -> list[dict[str, Any]]:
    """The schedule's runs and their retries, oldest first."""
    found: list[dict[str, Any]] = server.query(_RUNS)["runsOrError"]["results"]
    return found[::-1]


def _finished(server: Server) -> bool:
    return all(run["status"] in {"SUCCESS", "FAILURE", "CANCELED"} for run in _runs(server))


def test_two_ticks_with_a_kill_between_are_two_candidates_and_it_is_on_after_a_restart(
    make_bench: Any, page: Page, screenshots: Path
) -> None:
    bench: Bench = make_bench("ticks", _every_minute, without_dvc)
    bench.dcgan("materialize", "mnist/images")
    with served(bench) as server:
        running = server.running
        _switch_on(page, server)
        running.until(lambda: bench.steps("mnist28"), "the first tick's training")
        first = _runs(server)[0]
        server.worker(first["runId"]).send_signal(signal.SIGKILL)
        running.until(
            lambda: [r for r in _runs(server) if r["parentRunId"] is None][1:], "the second tick"
        )
        server.query(_STOP, id=_state(server)["id"])
        running.until(
            lambda: any(run["parentRunId"] == first["runId"] for run in _runs(server)), "the retry"
        )
        running.until(lambda: _finished(server), "the end of all runs", 1200)
        runs = _runs(server)

        bench.edit_params(_when_changed)
        running.until(lambda: server.asset("albums/images")["isPartitioned"], "another graph")
        _switch_on(page, server)
    _assert_it_is_on_and_ticks(bench, page, screenshots)

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


def _assert_it_is_on_and_ticks(bench: Bench, page: Page, screenshots: Path) -> None:
    with served(bench) as server:
        before = {tick["tickId"] for tick in _state(server)["ticks"]}
        assert _switch(page, server).locator("input").is_checked()
        page.screenshot(path=screenshots / "schedule.png")
        ticks = server.running.until(
            lambda: [
                tick
                for tick in _state(server)["ticks"]
                if tick["tickId"] not in before and tick["status"] != "STARTED"
            ],
            "a tick after the restart",
        )
        assert {tick["status"] for tick in ticks} == {"SKIPPED"}
        assert ticks[0]["skipReason"]
