"""Fixtures of the end-to-end tests: small workspaces, one uninterrupted training, a browser."""

from __future__ import annotations

import http.server
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pages import PATIENCE_MS
from workbench import Bench, clean_environment, lengthen, make_workspace, shrink, without_dvc

if TYPE_CHECKING:
    from playwright.sync_api import Page

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # which containers make small
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

MakeBench = Callable[..., Bench]


@pytest.fixture(scope="session")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `dcgan init` makes: git's, DVC's and Dagster's folders, to be copied."""
    return make_workspace(tmp_path_factory.mktemp("initialised") / "ws", clean_environment()).root


@pytest.fixture(scope="session")
def make_bench(tmp_path_factory: pytest.TempPathFactory, initialised: Path) -> MakeBench:
    """`make_bench("name", change, ..., VARIABLE="value")`: a new workspace of seconds.

    With variables of its own it is initialised under them, else it is a copy.
    """

    def make(name: str, *changes: Callable[[dict[str, Any]], None], **environment: str) -> Bench:
        root = tmp_path_factory.mktemp(name) / "workspace"
        if environment:
            return make_workspace(root, clean_environment(**environment), shrink, *changes)
        shutil.copytree(initialised, root, symlinks=True)
        bench = Bench(root, clean_environment())
        for change in (shrink, *changes):
            bench.edit_params(change)
        return bench

    return make


@pytest.fixture(scope="session")
def uninterrupted(make_bench: MakeBench) -> Bench:
    """A workspace whose training ran to its end in one go."""
    bench = make_bench("uninterrupted", lengthen, without_dvc)
    bench.dcgan("materialize", "mnist/candidate")
    return bench


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the pages go: the folder DCGAN_SCREENSHOTS, else a temporary one."""
    named = os.environ.get("DCGAN_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of a real Chromium, which CI must have and a user may lack."""
    found = [path for path in map(shutil.which, _BROWSERS) if path]
    if not found and "CI" not in os.environ:
        pytest.skip("no Chromium is installed (on Debian: apt install chromium)")
    assert found, "CI runs the browser tests; install chromium"
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found[0], args=list(_FLAGS), timeout=PATIENCE_MS
        )
        page = browser.new_page(viewport={"width": 1800, "height": 1500})
        page.set_default_timeout(PATIENCE_MS)
        yield page
        browser.close()


@pytest.fixture(autouse=True)
def _page_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """A page that stays open draws and asks on, also through tests that do without it."""
    page = request.getfixturevalue("page") if "page" in request.fixturenames else None
    yield
    if page is not None:
        page.goto("about:blank")


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """Another site, on this machine too."""
    handler = http.server.SimpleHTTPRequestHandler
    handler.log_message = lambda *_: None  # type: ignore[method-assign]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
