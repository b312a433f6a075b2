"""A candidate trained by two hosts, as a user calls it: each with an address, a home of its own."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from workbench import Bench, Running, without_dvc

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

_KEY = "mnist/candidate"
# Ranks go by addresses, so the host that leads is not the first.
_LEADS, _JOINS = "127.0.0.3", "127.0.0.2"
_STEPS = 90


def _train(machine: dict[str, Any]) -> Any:
    def change(params: dict[str, Any]) -> None:
        params["mnist"]["candidate"].update(epochs=4, decay_epochs=1)
        params["machine"].update(device="cpu", **machine)

    return change


def _host(bench: Bench, address: str) -> Bench:
    """The same workspace, as another machine has it."""
    own = bench.root.parent / address
    own.mkdir(exist_ok=True)
    changes = {"DCGAN_ADDRESS": address, "HOME": str(own), "TMPDIR": str(own)}
    return replace(bench, environment={**bench.environment, **changes})


def _leading(bench: Bench) -> AbstractContextManager[Running]:
    return _host(bench, _LEADS).running("dcgan", "materialize", _KEY)


def _joining(bench: Bench) -> AbstractContextManager[Running]:
    return _host(bench, _JOINS).running("dcgan", "join", _KEY)


def _failure(running: Running) -> str:
    assert "Traceback" not in running.output()
    (line,) = [line for line in running.output().splitlines() if line.startswith("FAILED")]
    return line


def test_two_hosts_train_to_the_bits_of_one_through_a_loss(make_bench: Any) -> None:
    alone: Bench = make_bench("one_host", _train({"processes": 2}), without_dvc)
    alone.dcgan("materialize", _KEY)
    bench: Bench = make_bench("two_hosts", _train({"hosts": 2}), without_dvc)

    with _leading(bench) as first, _joining(bench) as second:
        first.until(lambda: bench.steps("mnist28")[-1:] >= [30], "a line of the log")
        second.kill_session()  # kill -9 of all that the second host has
        assert first.process.wait(240) == 1, first.output()
    command = re.escape(f"dcgan --root {bench.root} join {_KEY}")
    assert re.search(rf"waits for 1 more of 2 hosts; run on each: {command}", first.output())
    assert "process was lost" in _failure(first)
    saved = bench.saved_step("mnist28")
    assert saved is not None
    assert 0 < saved < _STEPS
    assert not _invitations(bench)

    with _leading(bench) as first, _joining(bench) as second:
        assert first.process.wait(600) == 0, first.output()
        assert second.process.wait(240) == 0, second.output()
    assert "goes on from epoch" in first.output()
    assert "trained; the host that leads judges and publishes it" in second.output()
    assert bench.steps("mnist28")[-1] == _STEPS
    place = "models/mnist/candidate"
    ours, expected = bench.files(place), alone.files(place)
    record = f"{place}/_meta.json"
    assert {name for name in ours if ours[name] != expected.get(name)} == {record}
    assert set(ours) == set(expected)
    assert bench.meta(place)["data_version"] == alone.meta(place)["data_version"]
    assert bench.meta(place)["fingerprint"] == alone.meta(place)["fingerprint"]


def test_a_host_that_never_comes_is_one_line(make_bench: Any) -> None:
    bench: Bench = make_bench("nobody", _train({"hosts": 2, "join_seconds": 2}), without_dvc)
    with _leading(bench) as first:
        assert first.process.wait(240) == 1, first.output()
    assert "1 more of 2 hosts were to join, and did not all come within 2 s" in _failure(first)
    assert not _invitations(bench)


def _invitations(bench: Bench) -> list[Path]:
    return list(bench.root.glob("runs/*/*/invitation.json"))
