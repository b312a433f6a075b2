"""How soon a click in the web UI is a run at work, and what an idle UI costs.

    python -m benchmarks.web_ui                # needs Chromium
    python -m benchmarks.web_ui --runs 0       # the idle load alone

The real `dcgan ui` on a new workspace of the sample profile. First nothing is asked of it for
`--idle` seconds after one minute of settling, and the processor time of each of its processes is
taken; then the asset page of `--asset` is open in headless Chromium, and each run is timed from
the click on Materialize to the time that Dagster has for its start (STARTED). An asset without
inputs, so that a run is short. Targets: a click at most 8 s (median), daemon and code servers
together at most 5 % of a core.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests

from benchmarks.harness import options, report

_SETTLING = 60.0
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# What a process is for, by words of its command line; the first that fits.
_ROLES = {
    "dagster._daemon": "daemon",
    "web_ui webserver": "web server",
    "api grpc": "code server",
    "code-server start": "code server's keeper",
    "web_ui dev": "dg dev",
}
_RUNS = """
{ runsOrError(limit: 1) { ... on Runs { results { runId status startTime } } } }
"""


@contextmanager
def open_ui(root: Path, port: int) -> Iterator[psutil.Process]:
    """`dcgan ui` of a new workspace, once its pages and its code location are there."""
    dcgan = [sys.executable, "-m", "dcgan_assets.cli"]
    environment = {k: v for k, v in os.environ.items() if k not in {"DAGSTER_HOME", "DCGAN_ROOT"}}
    subprocess.run([*dcgan, "init", str(root)], check=True, stdout=subprocess.DEVNULL)
    with subprocess.Popen(
        [*dcgan, "--root", str(root), "ui", "--no-browser", "--port", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            while not _is_up(port):
                assert process.poll() is None, "the web UI ended"
                time.sleep(0.2)
            yield psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGINT)


def _is_up(port: int) -> bool:
    question = "{ repositoriesOrError { ... on RepositoryConnection { nodes { id } } } }"
    try:
        return bool(_ask(port, question)["repositoriesOrError"].get("nodes"))
    except requests.ConnectionError:
        return False


def _ask(port: int, query: str) -> dict[str, Any]:
    url = f"http://127.0.0.1:{port}/graphql"
    data: dict[str, Any] = requests.post(url, json={"query": query}, timeout=60).json()["data"]
    return data


def idle_load(process: psutil.Process, seconds: float) -> dict[str, list[float]]:
    """Processor time of the UI's processes while nothing is asked of it, in % of a core."""
    time.sleep(_SETTLING)
    before, start = _spent(process), time.perf_counter()
    time.sleep(seconds)
    elapsed, after = time.perf_counter() - start, _spent(process)
    shares = {role: 100 * (after[role] - before[role]) / elapsed for role in after}
    watched = sum(shares[role] for role in shares if role not in {"web server", "dg dev"})
    rows = {"daemon and code servers": watched, **dict(sorted(shares.items()))}
    return {f"idle: {role} (% of a core)": [share] for role, share in rows.items()}


def _spent(process: psutil.Process) -> dict[str, float]:
    """Seconds of processor time by role."""
    found = dict.fromkeys(_ROLES.values(), 0.0)
    for one in [process, *process.children(recursive=True)]:
        line = " ".join(one.cmdline())
        role = next((role for words, role in _ROLES.items() if words in line), "dg dev")
        times = one.cpu_times()
        found[role] += times.user + times.system
    return found


def clicks(port: int, asset: str, runs: int) -> list[float]:
    """Seconds from a click on Materialize to the start of its run, one run after the other."""
    from playwright.sync_api import sync_playwright

    browser_path = next(path for path in map(shutil.which, _BROWSERS) if path)
    seconds = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browser_path, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        known: set[str] = set()
        for _ in range(runs):
            page.goto(f"http://127.0.0.1:{port}/assets/{asset}")
            button = page.get_by_text("Materialize", exact=True).first
            button.wait_for(timeout=60_000)
            clicked = time.time()
            button.click()
            run = _wait_for_run(port, known)
            known.add(run["runId"])
            seconds.append(run["startTime"] - clicked)
        browser.close()
    return seconds


def _wait_for_run(port: int, known: set[str]) -> dict[str, Any]:
    """The next run, once it has ended well."""
    while True:
        runs = _ask(port, _RUNS)["runsOrError"]["results"]
        if runs and runs[0]["runId"] not in known and runs[0]["status"] == "SUCCESS":
            run: dict[str, Any] = runs[0]
            return run
        assert not runs or runs[0]["status"] != "FAILURE", "the run failed"
        time.sleep(0.2)


def main() -> None:
    parser = options("A click in the web UI, and its idle load.", runs=5)
    parser.add_argument("--idle", type=float, default=300.0, metavar="SECONDS")
    parser.add_argument("--asset", default="report/architecture")
    arguments = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    figures: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        open_ui(Path(folder) / "workspace", port) as process,
    ):
        if arguments.idle:
            figures |= idle_load(process, arguments.idle)
        if arguments.runs:
            figures["click to STARTED (s)"] = clicks(port, arguments.asset, arguments.runs)
    setting = {"profile": "sample", "idle (s)": arguments.idle, "asset": arguments.asset}
    report(setting, figures, arguments.json)


if __name__ == "__main__":
    main()
