"""Two machines at work by Celery: what is lost, started again, asked for twice, or full."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from two_machines import (
    BIN,
    LACKING,
    PASSWORD,
    SHARDS,
    Cluster,
    Database,
    Machine,
    database_on,
    look_often,
    three_shards,
    two_machines,
)
from workbench import wait_for

_LACKING = LACKING or (None if shutil.which("redis-server") else "redis-server")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(_LACKING is not None, reason=f"two machines with Celery need {_LACKING}"),
]
_REDIS = 'echo "requirepass $DCGAN_DB_PASSWORD" | exec redis-server - "$@"'
_DISK_BYTES = 64 * 2**20


class Queue(Cluster):
    """Both machines, the servers that they need, and a disk of its own for what they publish."""

    database: Database
    folder: Path

    def start_redis(self) -> None:
        """Redis on the first machine; it keeps what it is told."""
        asked = ["--bind", self.first.address, "--appendonly", "yes", "--dir", str(self.folder)]
        self.first.start("sh", "-c", _REDIS, "sh", *asked, log=self.folder / "redis.log")

    def start_workers(self) -> None:
        """A worker on each machine with a place for one run, when both are ready."""
        app = ("-A", "dcgan_assets.engine.celery_runs")
        asked = ("worker", "--concurrency=1", "--loglevel=INFO")
        logs = []
        for machine in (self.first, self.second):
            logs.append(self.folder / f"{machine.name}.log")
            machine.start(BIN / "celery", *app, *asked, log=logs[-1])
        for log in logs:
            wait_for(lambda log=log: " ready." in log.read_text(), f"a worker, {log}")

    def ask(self, *words: str, on: Machine) -> tuple[subprocess.Popen[bytes], Path]:
        """Start `dcgan materialize`, and where it says what."""
        log = self.folder / f"asked-{on.name}.log"
        return on.start(
            BIN / "dcgan", "--root", self.bench.root, "materialize", *words, log=log
        ), log

    def change(self, share: float) -> None:
        """Have all shards made again."""
        self.bench.edit_params(lambda params: params["lsun"]["images"].update(planted=share))

    def runs(self, status: str, job: str = "__ASSET_JOB") -> int:
        """How many runs of a job are so far, as the database has them."""
        done = self.first.call("sh", "-c", _PSQL, "sh", status, job)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)


_PSQL = """
export PGPASSWORD=$DCGAN_DB_PASSWORD
asked="select count(*) from runs where status = '$1' and pipeline_name = '$2'"
exec psql -h $DCGAN_DB_HOST -U dagster -Atc "$asked"
"""


@contextmanager
def disk_at(place: Path) -> Iterator[None]:
    """A small disk of its own."""
    place.mkdir(exist_ok=True)
    mounted = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "shared", str(place)]
    if subprocess.run(mounted, capture_output=True).returncode:
        pytest.skip("nothing may be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture(scope="module")
def queue(make_bench: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queue]:
    """Both machines as docs/how-to/machines.md starts them; no worker is at work yet."""
    bench = make_bench("two", three_shards)
    bench.dcgan("engine", "celery")
    look_often(bench, patience_seconds=5)
    with disk_at(bench.root / "data"), two_machines() as both, database_on(both[0]) as database:
        found = Queue(bench, *both)
        found.database, found.folder = database, tmp_path_factory.mktemp("servers")
        found.read_env()
        found.start_redis()
        found.start_ui(found.folder / "ui.log")
        yield found


def test_two_ask_for_the_same_while_database_and_queue_are_started_again(
    queue: Queue, make_bench: Any
) -> None:
    """Runs that nobody is at yet wait. Each shard is made once, equal to one machine's."""
    asked = [queue.ask("lsun/images", on=machine) for machine in (queue.first, queue.second)]
    alone = make_bench("alone", three_shards)
    alone.dcgan("materialize", "lsun/images")
    for _, log in asked:
        wait_for(lambda log=log: log.read_text().count(": run ") == SHARDS, f"all runs, {log}")
    wait_for(lambda: queue.runs("STARTING") == SHARDS, "the runs in Redis")
    queue.database.stop()
    queue.first.end("redis-server")
    for _, log in asked:
        wait_for(lambda log=log: "waiting for Dagster's database" in log.read_text(), str(log))
    queue.database.start()
    queue.start_redis()
    queue.start_workers()
    lines = ""
    for process, log in asked:
        assert process.wait() == 0, log.read_text()
        lines += log.read_text()
    assert queue.hosts(lines, "lsun/images[") == {"ada", "bert"}
    made = [line for line in lines.splitlines() if " made in " in line]
    assert len({line.partition(":")[0] for line in made}) == SHARDS
    assert PASSWORD not in lines
    queue.assert_as_made_by(alone, "lsun/images")


def test_a_training_over_hosts_calls_the_others(queue: Queue) -> None:
    """Nobody types `dcgan join`; each worker has one place, so the two are on two machines."""
    queue.bench.edit_params(lambda params: params["machine"].update(hosts=2))
    lines = queue.dcgan("materialize", "mnist/candidate")
    assert len(queue.hosts(lines, "mnist/candidate")) == 1
    wait_for(lambda: queue.runs("SUCCESS", "join_training") == 1, "the end of the host that joined")
    queue.bench.edit_params(lambda params: params["machine"].update(hosts=1))


def test_a_machine_that_is_lost_costs_its_shard_alone(queue: Queue) -> None:
    """Killed in the middle of it; the other machine makes it again."""
    queue.change(0.2)
    process, log = queue.ask("lsun/images", on=queue.first)
    queue.lose_second(process, log)


def test_a_shared_folder_that_is_full_or_cannot_be_written_is_a_line_a_shard(queue: Queue) -> None:
    data = queue.bench.root / "data"
    before = queue.bench.files("data")
    queue.change(0.15)
    ballast = data / "ballast"
    with ballast.open("wb") as stream, suppress(OSError):
        while True:
            stream.write(bytes(2**16))
    full = queue.dcgan("materialize", "lsun/images", code=1)
    subprocess.run(["mount", "-o", "remount,ro", str(data)], check=True)
    closed = queue.dcgan("materialize", "lsun/images", code=1)
    subprocess.run(["mount", "-o", "remount,rw", str(data)], check=True)
    for said, why in ((full, "No space left on device"), (closed, "Read-only file system")):
        failed = [line for line in said.splitlines() if line.startswith("FAILED lsun/images[")]
        assert len(failed) == SHARDS, said
        assert all(why in line for line in failed), said
        assert "Traceback" not in said
    ballast.unlink()
    assert queue.bench.files("data") == before
    assert queue.dcgan("materialize", "lsun/images").count(" made in ") == SHARDS
