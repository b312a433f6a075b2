"""The web UI shows work as it is done: a training by its step, a group by one click, params.yaml.

One workspace and one web UI; the tests come in the order of a session.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pages import (
    open_asset,
    open_group,
    open_launchpad,
    open_training,
    shown_figure,
    wait_for_state,
)
from web_ui import Server, served
from workbench import LENGTH, Bench, lengthen, without_dvc

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

KEY, PRESET = "mnist/candidate", "mnist28"


def long_with_snapshots(params: dict[str, Any]) -> None:
    lengthen(params)
    params["mnist"]["candidate"]["snapshots"] = [1, 30, 50]


@pytest.fixture(scope="module")
def bench(make_bench: Any) -> Bench:
    made: Bench = make_bench("live", long_with_snapshots, without_dvc)
    return made


@pytest.fixture(scope="module")
def server(bench: Bench) -> Iterator[Server]:
    with served(bench) as server:
        yield server


@pytest.fixture(scope="module")
def begun(bench: Bench, server: Server) -> str:
    """The run of the job `make_mnist`, whose first training has begun."""
    run = server.launch_job("make_mnist")
    server.running.until(lambda: len(bench.steps(PRESET)) >= 3, "three lines of the log")
    return run


def test_the_launchpad_shows_seed_and_force_with_their_meaning(server: Server, page: Page) -> None:
    shown = open_launchpad(page, server, KEY)
    assert re.search(r"seed: -1\b", shown)
    assert "Make it anew, also where it is up to date" in shown
    assert "Where the random numbers start" in shown


def test_a_group_with_one_shard_asks_for_no_choice(server: Server, page: Page) -> None:
    assert not server.asset("albums/images")["isPartitioned"]
    open_group(page, server, "albums", ["images", "training_set"])
    page.get_by_text(re.compile("^Materialize all$")).first.wait_for()
    assert not page.get_by_text("Materialize all…").count()


def test_a_training_is_followed_by_its_step(
    bench: Bench, server: Server, page: Page, begun: str, screenshots: Path
) -> None:
    """It is stopped with the job that began it, and goes on where it was."""
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    run = server.runs_of(KEY)[0]
    with bench.paused(server.family(begun)):
        open_training(page, server, KEY)
        said = wait_for_state(page, "Training: ")
        steps = bench.steps(PRESET)
        assert re.fullmatch(rf"Training: step {steps[-1]:,} of {LENGTH}, .+ left", said)
        assert page.locator("#to-run").get_attribute("href") == f"/runs/{run}"
        assert f"at step {steps[-1]:,}." in str(page.locator("#losses").get_attribute("aria-label"))
        assert drawn(page) == [len(steps)] * 2
        assert page.locator("#grid").evaluate("image => image.decode().then(() => true)")
        shoot(page, screenshots, "training")
    server.terminate(begun)
    assert server.wait_for_end(begun) == "CANCELED"
    assert server.status(run) == "CANCELED"
    saved = bench.saved_step(PRESET)
    assert saved is not None
    wait_for_state(page, "Stopped at ")

    again = server.launch(KEY)
    page.locator("#continued", has_text=f"continues at step {saved:,} of {LENGTH}").wait_for()
    # Another params.yaml while it trains: the graph follows, and the training goes on.
    bench.edit_params(lambda params: params["albums"]["images"].update(shards=2))
    server.running.until(lambda: server.asset("albums/images")["isPartitioned"], "another graph")
    assert server.wait_for_end(again) == "SUCCESS"
    wait_for_state(page, f"Finished: {LENGTH} steps")
    options = page.locator("#epoch option")
    assert options.all_inner_texts() == [f"after epoch {epoch}" for epoch in (1, 30, 50)]
    assert drawn(page) == [LENGTH // 50] * 2
    shoot(page, screenshots, "trained")
    assert wrong == []


def drawn(page: Page) -> list[int]:
    """The points of the curves of D's and G's loss."""
    paths = page.locator("#losses path").all()
    return [len(re.findall("[ML]", str(path.get_attribute("d")))) for path in paths]


def shoot(page: Page, folder: Path, name: str) -> None:
    """Look at it in the light, in the dark, and in a narrow window, where nothing is cut off."""
    size = page.viewport_size
    assert size is not None
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.screenshot(path=folder / f"{name}_{scheme}.png", full_page=True)
    page.set_viewport_size({"width": 400, "height": 800})
    page.screenshot(path=folder / f"{name}_narrow.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(size)


def test_one_click_makes_what_the_command_makes_and_its_figures_say_where_they_are_shown(
    server: Server, page: Page
) -> None:
    assert server.wait_for_end(server.launch_job("make_report")) == "SUCCESS"
    assert server.asset("report/architecture")["staleStatus"] == "FRESH"
    open_asset(page, server, "report/architecture")
    assert min(shown_figure(page)) > 200
    # As where another server shows the same metadata.
    page.route("**/results/**", lambda route: route.fulfill(status=404))
    page.reload()
    page.get_by_alt_text("lsun64.png: dcgan ui shows it here").first.wait_for()
    page.unroute("**/results/**")


def test_what_params_yaml_changed_is_unsynced_until_it_is_made(
    bench: Bench, server: Server, page: Page, begun: str
) -> None:
    del begun  # it has made the pictures
    key = "mnist/images"
    assert server.asset(key)["staleStatus"] == "FRESH"
    page.goto(f"{server.url}/assets/{key}")
    page.get_by_text("Latest materialization").first.wait_for()
    bench.edit_params(lambda params: params["mnist"]["images"].update(test=120))
    server.running.until(lambda: server.asset(key)["staleStatus"] == "STALE", "another graph")
    page.get_by_text("Unsynced").first.wait_for()  # without a reload of the page
    assert server.wait_for_end(server.launch(key)) == "SUCCESS"
    assert server.asset(key)["staleStatus"] == "FRESH"
    page.get_by_text("Unsynced").first.wait_for(state="detached")


def test_a_params_yaml_that_is_none_is_a_line_and_the_graph_stays(
    bench: Bench, server: Server
) -> None:
    (bench.root / "params.yaml").write_text("seed: [1", encoding="utf-8")
    server.running.until(
        lambda: "goes on with what was there before" in server.running.output(), "the line"
    )
    assert server.asset("mnist/images")["staleStatus"] == "FRESH"
