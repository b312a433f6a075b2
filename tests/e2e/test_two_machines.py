"""Two machines at work on one workspace, by Ray: the same content, and what a lost one costs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from two_machines import (
    BIN,
    LACKING,
    PASSWORD,
    SHARDS,
    Cluster,
    Machine,
    database_on,
    look_often,
    three_shards,
    two_machines,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(LACKING is not None, reason=f"two machines need {LACKING}"),
]
# Ray gives its own processes 15 seconds to start, whatever else the machine does: they go first.
_FIRST = 'echo -15 > /proc/self/autogroup; exec "$@"'
_TRIES = 10


def start_ray(machine: Machine, *options: str) -> None:
    """`ray start`; again where the machine was too busy all the same, and at last not at all."""
    asked = [f"--node-ip-address={machine.address}", "--num-cpus=1", *options]
    for _ in range(_TRIES):
        words = (BIN / "ray", "start", "--object-store-memory=80000000", *asked)
        done = machine.call("sh", "-c", _FIRST, "sh", *words)
        machine.be_even()
        if done.returncode == 0:
            return
        machine.end("/ray/")  # `ray stop` would end every Ray of this host
    said = done.stdout + done.stderr
    assert "timed out" in said.lower() or "failed to start" in said.lower(), said
    pytest.skip(f"Ray gives its processes 15 seconds to start, too few here, {_TRIES} times")


@pytest.fixture(scope="module")
def cluster(make_bench: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Both machines at work, as docs/how-to/machines.md starts them."""
    bench = make_bench("two", three_shards)
    bench.dcgan("engine", "ray")
    look_often(bench)
    with two_machines() as (first, second), database_on(first):
        found = Cluster(bench, first, second)
        found.read_env()
        start_ray(first, "--head", "--dashboard-host=0.0.0.0")
        start_ray(second, f"--address={first.address}:6379")
        found.start_ui(tmp_path_factory.mktemp("ui") / "log")
        yield found


def test_both_make_shards_which_are_equal_to_those_of_one_machine(
    cluster: Cluster, make_bench: Any
) -> None:
    alone = make_bench("alone", three_shards)
    alone.dcgan("materialize", "lsun/training_set")
    lines = cluster.dcgan("materialize", "lsun/training_set", on=cluster.second)
    assert cluster.hosts(lines, "lsun/images[") == {"ada", "bert"}
    cluster.assert_as_made_by(alone, "lsun/images", "lsun/hashes", "lsun/training_set")
    assert "up to date" in cluster.dcgan("materialize", "lsun/training_set")


def test_a_machine_that_is_lost_costs_its_shard_alone(cluster: Cluster) -> None:
    """Killed in the middle of it; the other machine makes it again."""
    cluster.bench.edit_params(lambda params: params["lsun"]["images"].update(planted=0.2))
    log = cluster.bench.root.with_name("lost.log")
    process = cluster.first.start(BIN / "dcgan", "materialize", "lsun/images", log=log)
    lines = cluster.lose_second(process, log)
    made = [
        line for line in lines.splitlines() if line.startswith("lsun/images[") and " on " in line
    ]
    assert len({line.partition(":")[0] for line in made if "made in" in line}) == SHARDS


def test_no_secret_is_told(cluster: Cluster) -> None:
    """Neither in Dagster's settings nor on a command line that `ps` shows everybody."""
    settings = (cluster.bench.root / ".dagster_home/dagster.yaml").read_text()
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert PASSWORD not in settings + shown.stdout
