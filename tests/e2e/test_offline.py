"""The sample profile needs no network: nothing on the way to the results so much as tries.

CI makes its demo under the guard (`.ci/run`): every Python process of it writes down that it began,
and whom it called but this machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import CHECKOUT
from workbench import Bench, clean_environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

_GUARD = Path(__file__).parent / "guard"
_CALLS = CHECKOUT / ".ci/calls.txt"


def test_the_guard_refuses_the_network_and_lets_the_loopback_be(tmp_path: Path) -> None:
    program = (
        "import socket, subprocess, sys\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(server.getsockname()).close()\n"
        "for address in ('192.0.2.1', 'example.org'):\n"
        "    try:\n"
        "        socket.create_connection((address, 80))\n"
        "    except OSError as error:\n"
        "        print(error)\n"
    )
    calls = tmp_path / "calls.txt"
    environment = {**os.environ, "PYTHONPATH": str(_GUARD), "DCGAN_TEST_CALLS": str(calls)}
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "the guard refuses getaddrinfo 192.0.2.1",
        "the guard refuses getaddrinfo example.org",
    ]
    began, *refused = calls.read_text(encoding="utf-8").splitlines()
    assert began == f"began {' '.join(words)!r}"
    assert refused == ["getaddrinfo 192.0.2.1", "getaddrinfo example.org"]


@pytest.fixture(scope="module")
def demo() -> Bench:
    """The checkout, where the demo was made under the guard."""
    if not _CALLS.exists() and "CI" not in os.environ:
        pytest.skip("the demo was not made under the guard, as `.ci/run` makes it")
    return Bench(CHECKOUT, clean_environment())


def test_the_whole_graph_is_made_without_a_call(demo: Bench) -> None:
    lines = _CALLS.read_text(encoding="utf-8").splitlines()
    assert any("bin/dcgan materialize" in line for line in lines)
    assert [line for line in lines if not line.startswith("began ")] == []
    assert "up to date: " in demo.dcgan("materialize")


def test_the_report_is_complete(demo: Bench) -> None:
    report = demo.root / "results/report/paper"
    checks = json.loads((report / "_meta.json").read_text(encoding="utf-8"))["checks"]
    (complete,) = (check for check in checks if check["check"] == "complete")
    assert complete["passed"], complete
    # Every row that the paper's items name was measured under that name, but for the table of
    # 50,000 generated digits: there are fewer here.
    lines = (report / "report.md").read_text(encoding="utf-8").splitlines()
    assert all("MNIST digits" in line for line in lines if "nothing yet" in line)


def test_dvc_finds_all_of_it_committed(demo: Bench) -> None:
    assert "Data and pipelines are up to date." in demo.run("dvc", "status")
