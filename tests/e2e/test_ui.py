"""The web UI: Dagster's own pages over our assets, in a real browser and through GraphQL."""

from __future__ import annotations

import math
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import requests
from workbench import Bench, Server, free_port, lengthen, served

from dcgan_assets.catalogue import open_catalogue
from dcgan_assets.steps import Step
from dcgan_assets.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def bench(make_bench: Any) -> Bench:
    """A workspace with trainings long enough to be stopped, nothing made yet."""
    made: Bench = make_bench("ui", lengthen)
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
    listening = {
        connection.laddr
        for process in server.running.descendants()
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
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
    assert re.search(r'"telemetryEnabled": false', requests.get(server.url, timeout=60).text)
    assert not server.query("{ shouldShowNux }")["shouldShowNux"]
    assert (bench.root / ".dagster_home" / "history").is_dir()


def test_a_click_makes_an_asset_and_shows_its_picture(
    bench: Bench, server: Server, page: Page, screenshots: Path
) -> None:
    _open_graph(bench, server, page)
    assert page.get_by_role("dialog").count() == 0
    assert not _is_green(page, "images")

    page.goto(f"{server.url}/assets/mnist/images")
    never = page.get_by_text("Never materialized")
    never.wait_for(timeout=_PATIENCE_MS)
    page.get_by_text("Materialize", exact=True).click()
    page.get_by_text("Launched run").wait_for(timeout=_PATIENCE_MS)
    assert server.wait_for_end(server.latest_run()) == "SUCCESS"
    # The status follows the run by itself; the metadata come with the next visit.
    never.wait_for(state="detached", timeout=_PATIENCE_MS)
    page.reload()
    page.get_by_text("[Show Markdown]").first.click(timeout=_PATIENCE_MS)
    picture = page.get_by_role("dialog").get_by_role("img", name="training digits")
    picture.wait_for(timeout=_PATIENCE_MS)
    assert min(picture.evaluate("image => [image.naturalWidth, image.naturalHeight]")) > 28
    page.screenshot(path=screenshots / "asset_page.png")

    _open_graph(bench, server, page)
    assert _is_green(page, "images")
    assert not _is_green(page, "candidate")


@pytest.mark.usefixtures("digits")
def test_a_terminated_training_is_saved_and_goes_on_to_the_same_bits(
    bench: Bench, server: Server, uninterrupted: Bench
) -> None:
    first = server.launch("mnist/candidate")
    seen = server.running.until(
        lambda: server.observations("mnist/candidate", first)[1:], "the second report"
    )
    assert server.status(first) == "STARTED"
    assert all(math.isfinite(o["d_loss"]) and math.isfinite(o["g_loss"]) for o in seen)
    server.terminate(first)
    assert server.wait_for_end(first) == "CANCELED"
    saved = bench.saved_step("mnist28")
    before = bench.steps("mnist28")
    assert saved is not None
    assert before[-1] <= saved < uninterrupted.steps("mnist28")[-1]
    assert not (bench.root / "models/mnist/candidate").exists()

    second = server.launch("mnist/candidate")
    assert server.wait_for_end(second) == "SUCCESS"
    assert [o["step"] for o in server.observations("mnist/candidate", second)] == [
        step for step in uninterrupted.steps("mnist28") if step > saved
    ]
    _assert_same_training(bench, uninterrupted, "mnist28", "models/mnist/candidate")


@pytest.mark.usefixtures("digits")
def test_a_killed_worker_fails_its_run_and_the_next_one_goes_on(
    bench: Bench, server: Server, uninterrupted: Bench
) -> None:
    first = server.launch("mnist/fc_candidate")
    server.running.until(lambda: bench.steps("mnist28_fc"), "the first line of the log")
    server.terminate(first)
    assert server.wait_for_end(first) == "CANCELED"
    saved = bench.saved_step("mnist28_fc")
    assert saved is not None

    second = server.launch("mnist/fc_candidate")
    server.running.until(lambda: bench.steps("mnist28_fc")[-1] > saved, "a line after the resume")
    server.worker(second).send_signal(signal.SIGKILL)
    assert server.wait_for_end(second) == "FAILURE"
    assert bench.saved_step("mnist28_fc") == saved

    # Queued at first: the daemon has to see that the dead run's place in the pool is free.
    third = server.launch("mnist/fc_candidate")
    assert server.wait_for_end(third) == "SUCCESS"
    _assert_same_training(bench, uninterrupted, "mnist28_fc", "models/mnist/fc_candidate")


def test_what_the_command_line_makes_is_green_in_the_graph(
    bench: Bench, server: Server, page: Page, screenshots: Path
) -> None:
    bench.dcgan("materialize")
    _open_graph(bench, server, page)
    page.screenshot(path=screenshots / "asset_graph.png")
    made = [step for step in _steps(bench) if not step.optional]
    for step in made:
        checks = bench.meta(f"{step.kind}/{step.key}")["checks"]
        for key in step.outputs:
            assert _is_green(page, key.split("/")[1]) == all(c["passed"] for c in checks), key
    nodes = server.query("{ assetNodes { assetKey { path } staleStatus } }")["assetNodes"]
    fresh = {"/".join(n["assetKey"]["path"]) for n in nodes if n["staleStatus"] == "FRESH"}
    assert fresh >= {key for step in made for key in step.outputs}


# --- After a power cut ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def cut_short(make_bench: Any) -> tuple[Bench, str]:
    """A workspace whose UI and all its processes died while it trained, and that run's id."""
    bench: Bench = make_bench("cut_short", lengthen)
    bench.dcgan("materialize", "mnist/images")
    # Not `served`: that one insists on an orderly end.
    with bench.running("dcgan", "ui", "--port", str(port := free_port())) as running:
        server = Server(running, port)
        running.until(server.is_up, "the web UI")
        run_id = server.launch("mnist/candidate")
        running.until(lambda: bench.steps("mnist28"), "the first line of the log")
        running.kill_session()
    return bench, run_id


def test_the_command_line_goes_on_after_a_power_cut(cut_short: tuple[Bench, str]) -> None:
    bench, run_id = cut_short
    assert (run_id, "STARTED") in bench.recorded_runs()
    said = bench.dcgan("materialize", "mnist/candidate")
    assert f"closed run {run_id[:8]}: its process had died" in said
    assert (run_id, "FAILURE") in bench.recorded_runs()


def test_read_only_looks_and_does_not_touch(cut_short: tuple[Bench, str]) -> None:
    bench, run_id = cut_short
    before = bench.recorded_runs()
    with served(bench, "--read-only") as server:
        assert server.status(run_id) in {"STARTED", "FAILURE"}
        assert server.try_to_launch(["mnist/images"])["__typename"] == "UnauthorizedError"
    assert bench.recorded_runs() == before


# --- Looking --------------------------------------------------------------------------------


def _steps(bench: Bench) -> list[Step]:
    """The steps of the group that these tests look at."""
    catalogue = open_catalogue(Workspace(bench.root))
    return [step for step in catalogue.steps if step.group == "mnist"]


def _open_graph(bench: Bench, server: Server, page: Page) -> None:
    """Open the group's lineage, and wait until it shows every asset with its status."""
    page.goto(f"{server.url}/locations/__repository__@dcgan/asset-groups/mnist")
    for step in _steps(bench):
        for key in step.outputs:
            _box(page, key.split("/")[1]).wait_for(timeout=_PATIENCE_MS)
    page.get_by_text("Loading").first.wait_for(state="detached", timeout=_PATIENCE_MS)
    page.wait_for_load_state("networkidle")


def _box(page: Page, name: str) -> Locator:
    """An asset's box in the graph."""
    label = page.get_by_text(name, exact=True)
    return page.locator("[class*=assetNodeBox]").filter(has=label)


def _is_green(page: Page, name: str) -> bool:
    """Whether a box is made and says so on green, not on the red of a failed check."""
    status = _box(page, name).get_by_text(re.compile("^(Materialized|Never materialized)$"))
    red, green, blue = status.evaluate(_BACKGROUND)
    return bool(green > max(red, blue))


_BACKGROUND = r"""
element => {
  const own = at => getComputedStyle(at).backgroundColor;
  while (own(element) === 'rgba(0, 0, 0, 0)') element = element.parentElement;
  return own(element).match(/\d+/g).map(Number).slice(0, 3);
}
"""


def _assert_same_training(bench: Bench, reference: Bench, preset: str, place: str) -> None:
    """The log has every line once, and what came out is equal byte for byte."""
    assert bench.steps(preset) == reference.steps(preset)
    ours, theirs = bench.files(place), reference.files(place)
    meta = f"{place}/_meta.json"
    assert ours.pop(meta) != theirs.pop(meta)  # when and how fast
    assert ours == theirs
    assert bench.meta(place)["data_version"] == reference.meta(place)["data_version"]
