"""Fixtures of the end-to-end tests: small workspaces, one uninterrupted training, a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pages import PATIENCE_MS
from workbench import Bench, clean_environment, lengthen, make_workspace, shrink

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
def make_bench(tmp_path_factory: pytest.TempPathFactory) -> MakeBench:
    """`make_bench("name", change, ..., VARIABLE="value")`: a new workspace of seconds."""

    def make(name: str, *changes: Callable[[dict[str, Any]], None], **environment: str) -> Bench:
        root = tmp_path_factory.mktemp(name) / "workspace"
        return make_workspace(root, clean_environment(**environment), shrink, *changes)

    return make


@pytest.fixture(scope="session")
def uninterrupted(make_bench: MakeBench) -> Bench:
    """A workspace whose two trainings ran to their end in one go."""
    bench = make_bench("uninterrupted", lengthen)
    bench.dcgan("materialize", "mnist/candidate", "mnist/fc_candidate")
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
