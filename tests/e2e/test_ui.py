"""The web UI: Dagster's own pages over our assets, in a real browser and through GraphQL."""

from __future__ import annotations

import math
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import requests
from pages import (
    PATIENCE_MS,
    click_materialize,
    click_materialize_shards,
    click_terminate,
    is_green,
    open_asset,
    open_group,
    open_plots,
    plotted,
    show_picture,
    shown_figure,
    wait_without_page,
)
from web_ui import Server, served
from workbench import Bench, lengthen, wait_for, without_dvc

from dcgan_assets.assets.catalogue import open_catalogue
from dcgan_assets.engine.step import Step
from dcgan_assets.engine.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def bench(make_bench: Any) -> Bench:
    """A workspace with trainings long enough to be stopped, nothing made yet."""
    made: Bench = make_bench("ui", lengthen, without_dvc)
    return made


@pytest.fixture(scope="module")
def server(bench: Bench) -> Iterator[Server]:
    with served(bench) as server:
        yield server


@pytest.fixture
def digits(bench: Bench, server: Server) -> None:
    """The input of the trainings, for a test that runs alone."""
    if not (bench.root / "data/mnist/images").exists():
        assert server.wait_for_end(server.launch("mnist/images")) == "SUCCESS"


def test_only_this_machine_can_reach_it(server: Server) -> None:
    listening = server.running.listening()
    assert ("127.0.0.1", server.port) in listening
    assert {address for address, _ in listening} == {"127.0.0.1"}
    addresses = {
        entry.address
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family == socket.AF_INET and not entry.address.startswith("127.")
    }
    for address in addresses:
        with socket.socket() as client:
            client.settimeout(5)
            assert client.connect_ex((address, server.port)) != 0


def test_its_home_is_in_the_workspace_and_telemetry_is_off(bench: Bench, server: Server) -> None:
    info = server.query("{ instance { info } }")["instance"]["info"]
    assert f"base_dir: {bench.root / '.dagster_home'}\n" in info
    assert re.search(r"telemetry:\n\s+enabled: false", info)
    assert re.search(r'"telemetryEnabled": false', requests.get(server.url, timeout=120).text)
    assert not server.query("{ shouldShowNux }")["shouldShowNux"]
    assert (bench.root / ".dagster_home" / "history").is_dir()


_ATTACKS = """
async ([url, query]) => {
  const asked = `${url}/graphql?query=${encodeURIComponent(query)}`;
  const body = JSON.stringify({ query });
  const outcome = (answer) => answer.then((found) => found.status, (error) => error.name);
  const event = (thing, yes, no) => new Promise((done) => {
    thing[yes] = () => done(yes);
    thing[no] = () => done(no);
  });
  const image = new Image();
  const seen = event(image, "onload", "onerror");
  image.src = asked;
  const frame = document.createElement("iframe");
  const framed = event(frame, "onload", "onerror");
  frame.name = "frame";
  frame.src = url;
  document.body.append(frame);
  await framed;
  const form = document.createElement("form");
  Object.assign(form, { action: `${url}/graphql`, method: "post", target: "frame" });
  const input = document.createElement("input");
  Object.assign(input, { name: "query", value: query });
  form.append(input);
  document.body.append(form);
  const sent = event(frame, "onload", "onerror");
  form.submit();
  await sent;
  const json = { method: "POST", headers: { "content-type": "application/json" }, body };
  return {
    read: await outcome(fetch(asked)),
    blind: await outcome(fetch(asked, { mode: "no-cors" })),
    text: await outcome(fetch(`${url}/graphql`, { method: "POST", mode: "no-cors", body })),
    json: await outcome(fetch(`${url}/graphql`, json)),
    image: await seen,
    socket: await event(
      new WebSocket(`${url.replace("http", "ws")}/graphql`, "graphql-ws"), "onopen", "onerror"),
  };
}
"""
_PAUSE = "mutation { setAutoMaterializePaused(paused: %s) }"


def test_a_page_of_another_origin_gets_nowhere(
    bench: Bench, server: Server, page: Page, elsewhere: str
) -> None:
    """On this machine, too; and a name of this very machine is another site to a browser."""
    paused = "{ instance { autoMaterializePaused } }"
    before = server.query(paused)["instance"]["autoMaterializePaused"]
    change = _PAUSE % str(not before).lower()
    answers = []
    page.on("response", lambda answer: answers.append((answer.status, answer.url)))
    for target in (server.url, server.url.replace("127.0.0.1", "localhost")):
        page.goto(elsewhere)
        # What could be sent without asking was (blind, text): the door's answer is below.
        assert page.evaluate(_ATTACKS, [target, change]) == {
            **{"read": "TypeError", "blind": 0, "text": 0, "json": "TypeError"},
            **{"image": "onerror", "socket": "onerror"},
        }
        asked = [status for status, url in answers if url.startswith(target)]
        assert asked
        assert set(asked) <= {400, 403}
    assert server.query(paused)["instance"]["autoMaterializePaused"] == before
    open_group(page, server, "mnist", _names(bench, "mnist"))
    own = "([url, query]) => fetch(url, {method: 'POST', body: JSON.stringify({query}),"
    own += " headers: {'content-type': 'application/json'}}).then(answer => answer.status)"
    assert page.evaluate(own, ["/graphql", change]) == 200, "the page itself may"
    assert server.query(paused)["instance"]["autoMaterializePaused"] != before
    server.query(_PAUSE % str(before).lower())


def test_the_pages_socket_is_open(bench: Bench, server: Server, page: Page) -> None:
    """The live pages are told over it what happens."""
    with page.expect_websocket(timeout=PATIENCE_MS) as opened:
        open_group(page, server, "mnist", _names(bench, "mnist"))
        page.goto(f"{server.url}/runs")
    assert opened.value.url.startswith(f"ws://127.0.0.1:{server.port}/graphql")


def test_a_click_makes_an_asset_and_shows_its_picture(
    bench: Bench, server: Server, page: Page, screenshots: Path
) -> None:
    open_group(page, server, "mnist", _names(bench, "mnist"))
    assert page.get_by_role("dialog").count() == 0
    assert not is_green(page, "images")

    open_asset(page, server, "mnist/images")
    never = page.get_by_text("Never materialized")
    never.wait_for(timeout=PATIENCE_MS)
    assert server.wait_for_end(click_materialize(page, server)) == "SUCCESS"
    # The status follows the run by itself; the metadata come with the next visit.
    never.wait_for(state="detached", timeout=PATIENCE_MS)
    page.reload()
    assert min(show_picture(page, "pictures")) > 28
    page.screenshot(path=screenshots / "asset_page.png")

    open_group(page, server, "mnist", _names(bench, "mnist"))
    assert is_green(page, "images")
    assert not is_green(page, "candidate")


# --- Trainings ------------------------------------------------------------------------------


@pytest.mark.usefixtures("digits")
def test_a_training_is_watched_terminated_and_goes_on_where_it_stopped(
    bench: Bench, server: Server, page: Page, screenshots: Path
) -> None:
    open_asset(page, server, "mnist/candidate")
    first = click_materialize(page, server)
    page.goto("about:blank")
    with _after_ticks(bench, server, first, 2):
        earlier = _losses(server, page)
        page.goto("about:blank")
    with _after_ticks(bench, server, first, bench.steps("mnist28")[-1] // 50 + 1):
        later = _losses(server, page)
        page.screenshot(path=screenshots / "loss_plot.png")
        click_terminate(page, server, first)
    assert len(later) > len(earlier)
    assert later[: len(earlier)] == earlier
    assert all(math.isfinite(loss) and loss > 0 for loss in later)
    assert server.wait_for_end(first) == "CANCELED"
    page.get_by_text("Canceled", exact=True).first.wait_for(timeout=PATIENCE_MS)
    saved, before = bench.saved_step("mnist28"), bench.steps("mnist28")
    assert saved is not None
    assert before[-1] <= saved
    assert not (bench.root / "models/mnist/candidate").exists()

    open_asset(page, server, "mnist/candidate")
    second = click_materialize(page, server)
    assert wait_without_page(page, server, second) == "SUCCESS"
    steps = bench.steps("mnist28")
    assert steps == list(range(50, steps[-1] + 1, 50)), "every line once"
    told = [int(o["step"]) for o in server.observations("mnist/candidate", second)]
    assert told == [step for step in steps if step > saved]


@contextmanager
def _after_ticks(bench: Bench, server: Server, run_id: str, ticks: int) -> Iterator[None]:
    """Wait for so many ticks of the training, and let it stand still: a browser takes its time."""
    server.running.until(lambda: len(bench.steps("mnist28")) >= ticks, f"{ticks} ticks")
    with bench.paused(server.family(run_id)):
        yield


def _losses(server: Server, page: Page) -> list[float]:
    """What the plot of D's loss shows."""
    open_plots(page, server, "mnist/candidate")
    return wait_for(lambda: plotted(page, "d_loss"), "points in the plot")


@pytest.mark.usefixtures("digits")
def test_a_killed_worker_is_retried_and_goes_on(bench: Bench, server: Server) -> None:
    first = server.launch("mnist/fc_candidate")
    server.running.until(lambda: bench.steps("mnist28_fc"), "the first line of the log")
    server.terminate(first)
    assert server.wait_for_end(first) == "CANCELED"
    saved = bench.saved_step("mnist28_fc")
    assert saved is not None

    killed = server.launch("mnist/fc_candidate", max_retries="1")
    server.running.until(lambda: bench.steps("mnist28_fc")[-1] > saved, "a line after the resume")
    family = server.family(killed)
    family[0].kill()
    assert server.wait_for_end(killed) == "FAILURE"
    _, orphans = psutil.wait_procs(family, timeout=240)
    assert not orphans
    kept = bench.saved_step("mnist28_fc")
    assert kept is not None
    assert kept >= saved  # more, where so little work took longer than the time between two saves

    # Queued at first: the daemon has to see that the dead run's place in the pool is free.
    (retry,) = server.running.until(lambda: server.retries(killed), "the retry")
    server.running.until(lambda: server.pool_holders("gpu") == {retry}, "the retry in the pool")
    assert server.wait_for_end(retry) == "SUCCESS"
    assert not server.pool_holders("gpu")
    assert server.retries(first) == [], "nobody asked to go on with what was terminated"
    steps = bench.steps("mnist28_fc")
    assert steps == list(range(50, steps[-1] + 1, 50)), "every line once"
    told = [int(o["step"]) for o in server.observations("mnist/fc_candidate", retry)]
    assert told == [step for step in steps if step > kept]


# --- Shards ---------------------------------------------------------------------------------


def test_a_bad_shard_fails_alone_and_is_made_again_alone(
    bench: Bench, server: Server, page: Page, screenshots: Path
) -> None:
    images = bench.root / "data/imagenet/images"
    # A folder where the shard's lock is to lie: this shard cannot be made, the other can.
    lock = bench.root / "runs/locks/imagenet__images[01].lock"
    lock.unlink(missing_ok=True)
    lock.mkdir(parents=True)
    open_asset(page, server, "imagenet/images")
    backfill = click_materialize_shards(page, server, "All")
    page.goto("about:blank")
    ended = server.wait_for_backfill(backfill)
    assert ended == ("COMPLETED_FAILED", {"00": "SUCCESS", "01": "FAILURE"})
    assert sorted(path.name for path in images.iterdir() if path.name.isdigit()) == ["00"]
    lock.rmdir()
    page.goto(f"{server.url}/runs/b/{backfill}")
    page.get_by_text("Failed", exact=True).last.wait_for(timeout=PATIENCE_MS)
    page.screenshot(path=screenshots / "bad_shard.png")
    kept = bench.meta("data/imagenet/images/00")

    open_asset(page, server, "imagenet/images")
    again = click_materialize_shards(page, server, "Failed", alone=True)
    assert wait_without_page(page, server, again) == "SUCCESS"
    assert server.shard(again) == "01"
    assert bench.meta("data/imagenet/images/00") == kept
    assert bench.meta("data/imagenet/images/01")["shard"] == "01"


def test_materialize_all_over_shards_and_what_has_none_ends_green(
    bench: Bench, server: Server, page: Page, screenshots: Path
) -> None:
    names = _names(bench, "imagenet")
    open_group(page, server, "imagenet", names)
    backfill = click_materialize_shards(page, server, "All")
    page.goto("about:blank")
    status, runs = server.wait_for_backfill(backfill)
    assert (status, set(runs.values())) == ("COMPLETED_SUCCESS", {"SUCCESS"})
    assert set(runs) == {"00", "01", ""}
    open_group(page, server, "imagenet", names)
    page.screenshot(path=screenshots / "shards.png")
    assert _fresh(server, "imagenet") == {f"imagenet/{name}" for name in names}


def test_a_click_makes_a_whole_group_and_its_figure_is_there(
    bench: Bench, server: Server, page: Page, screenshots: Path
) -> None:
    if not (bench.root / "models/imagenet/discriminator").exists():  # where it runs alone
        bench.dcgan("materialize", "imagenet/discriminator")
    names = _names(bench, "cifar10")
    open_group(page, server, "cifar10", names)
    made = click_materialize(page, server)
    assert wait_without_page(page, server, made) == "SUCCESS"
    open_group(page, server, "cifar10", names)
    # Not all boxes are green: a check may fail that asks so little training for better features.
    assert _fresh(server, "cifar10") == {f"cifar10/{name}" for name in names}
    open_asset(page, server, "cifar10/svm_scores")
    assert min(shown_figure(page)) > 200
    page.screenshot(path=screenshots / "figure.png")


def test_what_the_command_line_makes_is_green_in_the_graph(
    bench: Bench, server: Server, page: Page, screenshots: Path
) -> None:
    bench.dcgan("materialize", "mnist")
    open_group(page, server, "mnist", _names(bench, "mnist"))
    page.screenshot(path=screenshots / "asset_graph.png")
    made = [step for step in _steps(bench, "mnist") if not step.optional]
    for step in made:
        checks = bench.meta(f"{step.kind}/{step.key}")["checks"]
        for key in step.outputs:
            assert is_green(page, key.split("/")[1]) == all(c["passed"] for c in checks), key
    assert _fresh(server, "mnist") >= {key for step in made for key in step.outputs}


def _steps(bench: Bench, group: str) -> list[Step]:
    catalogue = open_catalogue(Workspace(bench.root))
    return [step for step in catalogue.steps if step.group == group]


def _names(bench: Bench, group: str) -> list[str]:
    """A group's assets, without the group."""
    return [key.split("/")[1] for step in _steps(bench, group) for key in step.outputs]


def _fresh(server: Server, group: str) -> set[str]:
    """The assets of a group that are made, and of what stands now."""
    nodes = server.query("{ assetNodes { assetKey { path } staleStatus } }")["assetNodes"]
    keys = {"/".join(n["assetKey"]["path"]) for n in nodes if n["staleStatus"] == "FRESH"}
    return {key for key in keys if key.startswith(f"{group}/")}
