"""The sample profile needs no network: nothing on the way to the results so much as tries."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from workbench import Bench

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

# Loaded by every Python process that has it on its path, before anything else.
_GUARD = """
import ipaddress
import os
import socket

LOCAL_NAMES = {None, "", "localhost", b"localhost"}


def refuse(what):
    with open(os.environ["DCGAN_TEST_CALLS"], "a") as stream:
        stream.write(f"{what}\\n")
    raise OSError(f"the guard refuses {what}")


def check_host(host, what):
    try:
        local = host in LOCAL_NAMES or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        refuse(f"{what} {host}")


def guard_method(name):
    real = getattr(socket.socket, name)

    def guarded(self, *arguments):
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            address = arguments[0] if name.startswith("connect") else arguments[-1]
            check_host(address[0], name)
        return real(self, *arguments)

    setattr(socket.socket, name, guarded)


def guard_lookup(name):
    real = getattr(socket, name)

    def guarded(host, *arguments, **options):
        check_host(host, name)
        return real(host, *arguments, **options)

    setattr(socket, name, guarded)


for name in ("connect", "connect_ex", "sendto"):
    guard_method(name)
for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
    guard_lookup(name)
"""


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file in which the guard writes down who called out; the guard lies beside it."""
    folder = tmp_path_factory.mktemp("guard")
    (folder / "sitecustomize.py").write_text(_GUARD, encoding="utf-8")
    record = folder / "calls.txt"
    record.touch()
    return record


@pytest.fixture(scope="module")
def guarded(make_bench: Any, calls: Path) -> Bench:
    """A workspace in which, and by which, only this machine can be spoken to."""
    path = os.pathsep.join([str(calls.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    bench: Bench = make_bench("offline", PYTHONPATH=path, DCGAN_TEST_CALLS=str(calls))
    return bench


def test_the_guard_refuses_the_network_and_lets_the_loopback_be(
    guarded: Bench, calls: Path
) -> None:
    before = calls.read_text(encoding="utf-8")
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
    said = guarded.run(sys.executable, "-c", program)
    assert said.splitlines() == [
        "the guard refuses getaddrinfo 192.0.2.1",
        "the guard refuses getaddrinfo example.org",
    ]
    added = calls.read_text(encoding="utf-8").removeprefix(before)
    assert added == "getaddrinfo 192.0.2.1\ngetaddrinfo example.org\n"
    calls.write_text(before, encoding="utf-8")


def test_the_whole_graph_is_made_without_a_call(guarded: Bench, calls: Path) -> None:
    said = guarded.dcgan("materialize")
    report = guarded.root / "results/report/paper"
    assert said.splitlines()[-1] == f"report: {report / 'report.html'}"
    (complete,) = (c for c in guarded.meta(str(report))["checks"] if c["check"] == "complete")
    assert complete["passed"], complete
    # Every row that the paper's items name was measured under that name, but for the table of
    # 50,000 generated digits: there are a hundred here.
    lines = (report / "report.md").read_text(encoding="utf-8").splitlines()
    assert all("MNIST digits" in line for line in lines if "nothing yet" in line)
    guarded.run("dvc", "commit", "--force")
    assert "Data and pipelines are up to date." in guarded.run("dvc", "status")
    assert "up to date: " in guarded.dcgan("materialize")
    assert calls.read_text(encoding="utf-8") == ""
