"""The pictures of README and docs, taken from a workspace in which everything was made.

`python -m docs.writers.pictures [ROOT [FOLDER]]` writes all of them: figures as they lie in
results/, drawn things, and pages of the web UI and of the report as Chromium shows them. Of what
they show it makes nothing.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from dcgan_assets.sources.drawn.things import (
    KINDS,
    LABELLED,
    UNLABELLED,
    PlainScene,
    Scene,
    draw_scene,
    scene,
)
from dcgan_models.errors import UserError
from dcgan_models.grids import beside, tile, write_png
from dcgan_models.pixels import Pixels

if TYPE_CHECKING:
    from playwright.sync_api import Page

FOLDER = Path("docs/images")
FIGURES: Mapping[str, str] = MappingProxyType(
    {
        "rooms.png": "lsun/samples/figure.png",
        "faces.png": "faces/samples/figure.png",
        "forgotten_windows.png": "lsun/claims/forgetting.png",
        "mnist_panels.png": "mnist/sample_panels/figure.png",
        "turned_faces.png": "faces/claims/turn.png",
    }
)
THINGS = "things.png"
_SIDE, _COLUMNS, _GAP = 32, 6, 16
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
_PATIENCE_MS = 600_000
# What a page draws by itself, as the explorer its samples, has something on it.
_ALL_DRAWN = """() => [...document.querySelectorAll("#grid canvas")].every(
    (canvas) => canvas.getContext("2d").getImageData(0, 0, 1, 1).data[3])"""


@dataclass(frozen=True)
class Shot:
    """A page as it is photographed.

    Attributes:
        address: Below the web UI's, or a file of the workspace.
        seen: A selector of what must be there first, and is brought into sight.
        window: Its width and height.
        scale: Pixels of the picture for one of the window: a graph needs room.
    """

    address: str
    seen: str
    window: tuple[int, int]
    scale: float = 1.0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture, in pixels."""
        width, height = self.window
        return round(width * self.scale), round(height * self.scale)


SHOTS: Mapping[str, Shot] = MappingProxyType(
    {
        "ui_graph.png": Shot(
            "/locations/__repository__@dcgan/asset-groups/albums", "text=samples", (2000, 1000), 0.7
        ),
        "ui_figure.png": Shot(
            "/assets/mnist/sample_panels", "img[src^='/results/mnist/sample_panels/']", (1600, 1200)
        ),
        "ui_training.png": Shot("/training/mnist/candidate/", "svg", (1200, 660)),
        "explorer.png": Shot("results/faces/explorer/explorer.html", "canvas", (1280, 940)),
        "report.png": Shot("results/report/paper/report.html", "#verdicts", (1280, 900)),
    }
)
PICTURES = (*FIGURES, THINGS, *SHOTS)


def write_pictures(root: Path, folder: Path) -> None:
    """Write `PICTURES` into a folder; those that are there are replaced.

    Args:
        root: A workspace in which the `sample` profile was made.

    Raises:
        UserError: Something was not made, there is no Chromium, or the web UI does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in FIGURES.items():
        source = root / "results" / figure
        if not source.is_file():
            raise UserError(f"{source}: not there; `make demo` makes it")
        (folder / name).write_bytes(source.read_bytes())
    write_png(folder / THINGS, things())
    with _web_ui(root) as url, _browser() as open_page:
        for name, shot in SHOTS.items():
            page = open_page(shot)
            _show(
                page, url if shot.address.startswith("/") else f"{root.resolve().as_uri()}/", shot
            )
            (folder / name).write_bytes(page.screenshot())
            page.close()


def things() -> Pixels:
    """Kinds with labels on the left, those without on the right, a kind a row, twice as large."""
    halves = [
        tile(
            np.stack(
                [
                    draw_scene(scene(0, row * _COLUMNS + column, table), kind, _SIDE)
                    for row, kind in enumerate(sorted(kinds, key=list(KINDS).index))
                    for column in range(_COLUMNS)
                ]
            ),
            _COLUMNS,
        )
        for table, kinds in ((Scene, LABELLED), (PlainScene, UNLABELLED))
    ]
    return beside([half.repeat(2, axis=0).repeat(2, axis=1) for half in halves], _GAP)


def _show(page: Page, base: str, shot: Shot) -> None:
    """Open a page, and wait until what it is about can be seen."""
    page.goto(f"{base}{shot.address}")
    found = page.locator(shot.seen).first
    found.wait_for(timeout=_PATIENCE_MS)
    page.get_by_text("Loading").first.wait_for(state="detached", timeout=_PATIENCE_MS)
    page.wait_for_load_state("networkidle")
    found.scroll_into_view_if_needed()
    page.wait_for_function(_ALL_DRAWN)
    for picture in page.locator("img:visible").all():
        picture.evaluate("image => image.decode()")


@contextmanager
def _browser() -> Iterator[Callable[[Shot], Page]]:
    """A Chromium, which opens windows."""
    found = [path for path in map(shutil.which, _BROWSERS) if path]
    if not found:
        raise UserError("no Chromium is installed (on Debian: apt install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found[0], args=list(_FLAGS))

        def open_page(shot: Shot) -> Page:
            width, height = shot.window
            page = browser.new_page(
                viewport={"width": width, "height": height}, device_scale_factor=shot.scale
            )
            page.set_default_timeout(_PATIENCE_MS)
            return page

        yield open_page
        browser.close()


@contextmanager
def _web_ui(root: Path) -> Iterator[str]:
    """The web UI of a workspace, only to be looked at; its address once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = ("ui", "--read-only", "--no-browser", "--port", str(port))
    command = [sys.executable, "-m", "dcgan_assets.cli", "--root", str(root), *options]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            said: Any = process.stdout
            if not any(line.startswith(url) for line in said):
                raise UserError(f"the web UI of {root} did not start")
            yield url
        finally:
            process.send_signal(signal.SIGTERM)


if __name__ == "__main__":
    given = [Path(word) for word in sys.argv[1:]]
    root, folder, *_ = [*given, *(Path(), FOLDER)[len(given) :]]
    write_pictures(root, folder)
