"""Dagster's own pages, as a person uses them: what is clicked, and what is read off the screen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from web_ui import Server
from workbench import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

PATIENCE_MS = 120_000

_BACKGROUND = r"""
element => {
  const own = at => getComputedStyle(at).backgroundColor;
  while (own(element) === 'rgba(0, 0, 0, 0)') element = element.parentElement;
  return own(element).match(/\d+/g).map(Number).slice(0, 3);
}
"""
# A canvas cannot be read, but the page still holds what it has drawn there.
_POINTS = """
canvas => {
  let at = canvas[Object.keys(canvas).find(key => key.startsWith('__reactFiber'))];
  while (!at.memoizedProps?.data?.datasets) at = at.return;
  return at.memoizedProps.data.datasets[0].data.map(point => point.y).filter(y => y !== null);
}
"""


def open_group(page: Page, server: Server, group: str, names: Iterable[str]) -> None:
    """Open a group's graph, and wait until it shows these assets with their status."""
    page.goto(f"{server.url}/locations/__repository__@dcgan/asset-groups/{group}")
    for name in names:
        _box(page, name).wait_for(timeout=PATIENCE_MS)
    page.get_by_text("Loading").first.wait_for(state="detached", timeout=PATIENCE_MS)
    page.wait_for_load_state("networkidle")


def open_asset(page: Page, server: Server, key: str) -> None:
    """Open an asset's page."""
    page.goto(f"{server.url}/assets/{key}")
    page.get_by_text(re.compile("^Materialize")).first.wait_for(timeout=PATIENCE_MS)


def is_green(page: Page, name: str) -> bool:
    """Whether an asset's box is made and says so on green, not on the red of a failed check."""
    status = _box(page, name).get_by_text(re.compile("^(Materialized|Never materialized)$"))
    red, green, blue = status.evaluate(_BACKGROUND)
    return bool(green > max(red, blue))


def _box(page: Page, name: str) -> Locator:
    label = page.get_by_text(name, exact=True)
    return page.locator("[class*=assetNodeBox]").filter(has=label)


def click_materialize(page: Page, server: Server) -> str:
    """Click Materialize, or Materialize all, where nothing is sharded; the run's id."""
    button = page.get_by_text(re.compile("^Materialize( all)?$")).first
    return _click_to_launch(button, server.latest_run)


def open_launchpad(page: Page, server: Server, key: str) -> str:
    """Open the Launchpad of an asset; the configuration that it begins with, and what it says."""
    open_asset(page, server, key)
    button = page.locator("button", has_text="Materialize").first
    button.locator("xpath=following::button[1]").click(timeout=PATIENCE_MS)
    page.get_by_text("Open launchpad").click(timeout=PATIENCE_MS)
    dialog = page.locator(".dagster-dialog")
    line = dialog.locator(".CodeMirror-line", has_text="force: false").first
    sure = page.get_by_role("button", name="Confirm")  # where an input is not made yet
    sure.or_(line).first.wait_for(timeout=PATIENCE_MS)
    if sure.is_visible():
        sure.click()
    line.click(timeout=PATIENCE_MS)  # it explains what is at hand
    dialog.get_by_text("Make it anew").wait_for(timeout=PATIENCE_MS)
    return dialog.inner_text()


def open_training(page: Page, server: Server, key: str) -> None:
    """Open the page that follows a training, by the link on its asset's page."""
    open_asset(page, server, key)
    link = page.locator(f"a[href='/training/{key}/']").first
    link.wait_for(timeout=PATIENCE_MS)
    page.goto(f"{server.url}{link.get_attribute('href')}")


def wait_for_state(page: Page, words: str) -> str:
    """Wait until the page of a training says something of it; all that it says."""
    page.locator("#state", has_text=re.compile(words)).wait_for(timeout=PATIENCE_MS)
    return page.locator("#state").inner_text()


def click_materialize_shards(
    page: Page, server: Server, choice: str, *, alone: bool = False
) -> str:
    """Click Materialize… (all), choose All, Failed or Missing shards; the id of what was launched.

    That is a run for a single shard of a single asset (`alone`), and a backfill for more.
    """
    page.get_by_text(re.compile("^Materialize( all)?…$")).first.click(timeout=PATIENCE_MS)
    dialog = page.get_by_role("dialog")
    launch = dialog.get_by_role("button", name="Launch 1 run" if alone else "Launch backfill")

    def chosen() -> bool:
        """What the dialog knows of the shards comes late, and it begins with another choice."""
        dialog.get_by_text(choice, exact=True).click(timeout=PATIENCE_MS)
        return launch.is_visible() and launch.is_enabled()

    wait_for(chosen, f"{choice} to be chosen")
    return _click_to_launch(launch, server.latest_run if alone else server.latest_backfill)


def _click_to_launch(button: Locator, latest: Callable[[], str]) -> str:
    """Click, and wait until the server knows of what was launched; its id."""
    before = latest()
    button.click(timeout=PATIENCE_MS)
    return wait_for(lambda: None if (found := latest()) == before else found, "what was launched")


def wait_without_page(page: Page, server: Server, run_id: str) -> str:
    """Wait until a run has ended; its status. A page that is open takes half a core meanwhile."""
    page.goto("about:blank")
    return server.wait_for_end(run_id)


def click_terminate(page: Page, server: Server, run_id: str) -> None:
    """Open a run's page, click Terminate, and confirm."""
    page.goto(f"{server.url}/runs/{run_id}")
    page.get_by_role("button", name="Terminate").click(timeout=PATIENCE_MS)
    page.get_by_role("dialog").get_by_role("button", name="Terminate 1 run").click()


def show_picture(page: Page, about: str) -> list[int]:
    """Open a picture in the metadata of an asset's page; its width and height in pixels."""
    shown = page.get_by_role("row").filter(has_text=about).get_by_text("[Show Markdown]")
    shown.first.click(timeout=PATIENCE_MS)
    picture = page.get_by_role("dialog").locator("img").first
    picture.wait_for(timeout=PATIENCE_MS)
    size: list[int] = picture.evaluate("image => [image.naturalWidth, image.naturalHeight]")
    return size


def shown_figure(page: Page) -> list[int]:
    """The size in pixels of the first figure that an asset's page shows without a click."""
    figure = page.locator("img[src^='/results/']").first
    figure.wait_for(timeout=PATIENCE_MS)
    figure.evaluate("image => image.decode()")
    size: list[int] = figure.evaluate("image => [image.naturalWidth, image.naturalHeight]")
    return size


def open_plots(page: Page, server: Server, key: str) -> None:
    """Open the plots on an asset's page."""
    open_asset(page, server, key)
    page.get_by_role("button", name="Plots").click(timeout=PATIENCE_MS)


def plotted(page: Page, label: str) -> list[float]:
    """What a plot shows, oldest first; empty before its first point."""
    canvas = page.locator(f"xpath=//span[text()='{label}']/following::canvas[1]")
    if not canvas.count():
        return []
    values: list[Any] = canvas.evaluate(_POINTS)
    return [float(value) for value in values]
