"""A schedule in the web UI: switched on by a click, still on when everything was started anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pages import PATIENCE_MS
from web_ui import Server, served
from workbench import Bench

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

_SCHEDULE = "retrain_mnist_schedule"
_TICKS = """
query Ticks($selector: InstigationSelector!) {
  instigationStateOrError(instigationSelector: $selector) {
    ... on InstigationState { status ticks(limit: 50) { tickId status skipReason } }
  }
}
"""


def _every_minute(params: dict[str, Any]) -> None:
    params["retraining"].update(cron="* * * * *", retrain="when_changed")


def test_a_schedule_stays_on_and_ticks_after_a_restart(
    make_bench: Any, page: Page, screenshots: Path
) -> None:
    bench: Bench = make_bench("schedule", _every_minute)
    # What is trained already: a tick looks, and has nothing to do.
    bench.dcgan("materialize", "mnist/candidate", "mnist/fc_candidate")
    with served(bench) as server:
        assert _state(server)["status"] == "STOPPED"
        switch = _switch(page, server)
        assert not switch.locator("input").is_checked()
        switch.click()
        server.running.until(lambda: _state(server)["status"] == "RUNNING", "the schedule")
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


def _switch(page: Page, server: Server) -> Locator:
    """The switch on the schedule's own page; what is clicked is the label around the box."""
    page.goto(f"{server.url}/locations/__repository__@dcgan/schedules/{_SCHEDULE}")
    found = page.locator("label[class*=formatSwitch]")
    found.wait_for(timeout=PATIENCE_MS)
    return found


def _state(server: Server) -> dict[str, Any]:
    """Whether the schedule is on, and its ticks."""
    selector = {
        "repositoryLocationName": "dcgan",
        "repositoryName": "__repository__",
        "name": _SCHEDULE,
    }
    state: dict[str, Any] = server.query(_TICKS, selector=selector)["instigationStateOrError"]
    return state
