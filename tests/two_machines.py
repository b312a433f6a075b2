"""Two machines on one host: each has a network, a host name, HOME and TMPDIR of its own.

They share a disk, as a network folder would be, and one cable. Root alone can lay it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml
from workbench import Bench, wait_for

BIN = Path(sys.executable).parent
_DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
PASSWORD = "not-for-logs-4711"  # noqa: S105  (of a server that lives for a test)


def _has_namespaces() -> bool:
    """Whether a process here may have a network and a host name of its own."""
    words = ["unshare", "--net", "--uts", "hostname", "ada"]
    return shutil.which("unshare") is not None and not subprocess.run(words, check=False).returncode


LACKING = next(
    (
        what
        for what, there in (
            ("root", os.geteuid() == 0),
            ("iproute2", shutil.which("ip")),
            ("network namespaces", os.geteuid() == 0 and _has_namespaces()),
            ("postgresql", _DEBIAN or shutil.which("initdb")),
        )
        if not there
    ),
    None,
)


@dataclass
class Machine:
    """One of the two, with the environment of its shells."""

    name: str
    space: str
    address: str
    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def words(self, *command: str | Path) -> list[str]:
        """A command line that runs on this machine."""
        shell = f'hostname {self.name}; exec "$@"'
        inside = ["ip", "netns", "exec", self.space, "unshare", "--uts", "sh", "-c", shell, "sh"]
        return [*inside, *map(str, command)]

    def environment(self) -> dict[str, str]:
        """Of every process on this machine."""
        own = {"HOME": str(self.folder), "TMPDIR": str(self.folder / "tmp")}
        path = {"PATH": f"{BIN}:{os.environ['PATH']}"}
        return {**os.environ, **own, **path, **self.env}

    def call(self, *command: str | Path, **asked: object) -> subprocess.CompletedProcess[str]:
        """Run a command on this machine to its end."""
        return subprocess.run(
            self.words(*command),
            env=self.environment(),
            capture_output=True,
            text=True,
            start_new_session=True,
            **asked,
        )  # type: ignore[call-overload]

    def start(self, *command: str | Path, log: Path) -> subprocess.Popen[bytes]:
        """Start a command on this machine; what it says goes into a file."""
        with log.open("wb") as stream:
            return subprocess.Popen(
                self.words(*command),
                env=self.environment(),
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def processes(self) -> list[int]:
        """Ids of all that runs on this machine."""
        return [int(pid) for pid in _ip("netns", "pids", self.space).split()]

    def at_work(self) -> Iterator[psutil.Process]:
        """All that runs on this machine."""
        for pid in self.processes():
            with suppress(psutil.NoSuchProcess):
                yield psutil.Process(pid)

    def end(self, part: str) -> None:
        """End what runs on this machine and has this in its command line, and nothing elsewhere."""
        for process in self.at_work():
            with suppress(psutil.NoSuchProcess):
                if any(part in word for word in process.cmdline()):
                    process.kill()

    def be_even(self) -> None:
        """Let nothing here go before others any more."""
        for pid in self.processes():
            with suppress(OSError):
                Path(f"/proc/{pid}/autogroup").write_text("0")

    def kill(self) -> None:
        """End everything on this machine at once, as when its power fails."""
        while found := self.processes():
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@contextmanager
def two_machines() -> Iterator[tuple[Machine, Machine]]:
    """Two machines, and the end of all that runs on them.

    Their folders have short names: a socket's may have 107 characters, of which Ray takes 70.
    """
    with tempfile.TemporaryDirectory(
        dir="/tmp", prefix="dcgan-", ignore_cleanup_errors=True
    ) as top:
        machines = []
        for number, name in enumerate(("ada", "bert"), 1):
            home = Path(top) / name
            (home / "tmp").mkdir(parents=True)
            machines.append(Machine(name, f"dcgan-{os.getpid()}-{name}", f"10.77.0.{number}", home))
        try:
            _lay_cable(*machines)
            yield machines[0], machines[1]
        finally:
            for machine in machines:
                with suppress(subprocess.CalledProcessError):
                    machine.kill()
                    _ip("netns", "delete", machine.space)


def _lay_cable(first: Machine, second: Machine) -> None:
    for machine in (first, second):
        _ip("netns", "add", machine.space)
    ends = ("type", "veth", "peer", "cable", "netns", second.space)
    _ip("-n", first.space, "link", "add", "cable", *ends)
    for machine in (first, second):
        _ip("-n", machine.space, "address", "add", f"{machine.address}/24", "dev", "cable")
        for device in ("cable", "lo"):
            _ip("-n", machine.space, "link", "set", device, "up")


@dataclass
class Database:
    """A PostgreSQL server on a machine, run by nobody, in a folder of its own."""

    machine: Machine
    folder: Path

    def _as_nobody(self, *command: str | Path) -> list[str]:
        return [
            "setpriv",
            "--reuid=nobody",
            "--regid=nogroup",
            "--clear-groups",
            *map(str, command),
        ]

    def _call(self, *command: str | Path, **asked: object) -> None:
        done = self.machine.call(*self._as_nobody(*command), cwd=self.folder, **asked)
        assert done.returncode == 0, done.stdout + done.stderr

    def create(self) -> None:
        """Make the cluster of databases, and start it."""
        shutil.chown(self.folder, "nobody", "nogroup")
        word = self.folder / "word"
        word.write_text(PASSWORD)
        shutil.chown(word, "nobody")
        asked = ("--auth=scram-sha-256", "--username=dagster", f"--pwfile={word}", "--no-sync")
        self._call(_tool("initdb"), *asked, "-D", self.folder / "data")
        host = self.folder / "data" / "pg_hba.conf"
        host.write_text(f"{host.read_text()}\nhost all all 10.77.0.0/24 scram-sha-256\n")
        self.start()
        env = ["env", f"PGPASSWORD={PASSWORD}"]
        self._call(*env, _tool("createdb"), "-h", self.machine.address, "-U", "dagster", "dagster")

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = f"-h {self.machine.address} -k {self.folder} -c fsync=off"
        self._control("start", "-l", self.folder / "log", "-o", options)

    def stop(self) -> None:
        """Stop the server, and break off what it is asked."""
        self._control("stop", "-m", "fast")

    def _control(self, verb: str, *options: str | Path) -> None:
        self._call(_tool("pg_ctl"), verb, "-w", "-D", self.folder / "data", *options)


def _tool(name: str) -> Path | str:
    return _DEBIAN[-1] / name if _DEBIAN else name


@contextmanager
def database_on(machine: Machine) -> Iterator[Database]:
    """A running database on a machine, not below a test's folder, which root alone may enter."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="dcgan-db-") as folder:
        database = Database(machine, Path(folder))
        database.create()
        try:
            yield database
        finally:
            database.stop()


def read_env(path: Path, first: Machine) -> Mapping[str, str]:
    """What `set -a; . cluster/env` gives, once it is filled in."""
    text = path.read_text().replace("DCGAN_FIRST=", f"DCGAN_FIRST={first.address}", 1)
    path.write_text(text.replace("DCGAN_DB_PASSWORD=", f"DCGAN_DB_PASSWORD={PASSWORD}"))
    shell = f"set -a; . {path}; env -0"
    clean = subprocess.run(["env", "-i", "sh", "-c", shell], capture_output=True, text=True)
    pairs = (line.partition("=") for line in clean.stdout.split("\0") if line)
    return {name: value for name, _, value in pairs if name not in {"PWD", "OLDPWD", "_", "SHLVL"}}


@dataclass
class Cluster:
    """A workspace on two machines; the first one has the database, the queue and the web UI."""

    bench: Bench
    first: Machine
    second: Machine

    def dcgan(self, *words: str, on: Machine | None = None, code: int = 0) -> str:
        """A command on a machine, the first one by default; its output."""
        done = (on or self.first).call(BIN / "dcgan", *words, cwd=self.bench.root)
        assert done.returncode == code, done.stdout + done.stderr
        assert PASSWORD not in done.stdout + done.stderr
        return done.stdout

    def hosts(self, lines: str, start: str) -> set[str]:
        """Where that was made of which a line says so."""
        made = [line for line in lines.splitlines() if line.startswith(start) and " s on " in line]
        return {line.partition(" s on ")[2].partition(";")[0] for line in made}

    def read_env(self) -> None:
        """What `set -a; . cluster/env` gives to each machine's shells."""
        own = {"HOME", "TMPDIR", "PATH"}
        env = {**self.bench.environment, **read_env(self.bench.root / "cluster/env", self.first)}
        for machine in (self.first, self.second):
            machine.env = {k: v for k, v in env.items() if k not in own}
            machine.env["DCGAN_ADDRESS"] = machine.address  # its name does not resolve

    def start_ui(self, log: Path) -> None:
        """The web UI on the first machine, and the daemon that hands out runs, when ready."""
        words = (BIN / "dcgan", "--root", self.bench.root, "ui", "--no-browser")
        self.first.start(*words, log=log)
        wait_for(lambda: "Ctrl-C stops" in log.read_text(), f"the web UI, {log}")

    def assert_as_made_by(self, alone: Bench, *keys: str) -> None:
        """Some assets have the bytes and the data versions that one machine gave them."""
        places = [f"data/{key}" for key in keys]
        ours, theirs = (bench.files(*places) for bench in (alone, self.bench))
        records = {name for name in ours if name.endswith("_meta.json")}
        assert records
        assert set(ours) - records
        for name in ours:
            found = [ours[name], theirs[name]]
            if name in records:
                found = [json.loads(text)["data_version"] for text in found]
            assert found[0] == found[1], name

    def lose_second(self, asked: subprocess.Popen[bytes], log: Path) -> str:
        """Kill the second machine in the middle of a shard, which the first one makes again.

        Returns:
            What the command said that had asked for it.
        """
        alive = self.bench.root / ".dagster_home/alive"

        def at_work() -> bool:
            locks = {inode for path in alive.glob("[!.]*.lock") if (inode := _inode(path))}
            return any(_opens(pid, locks) for pid in self.second.processes())

        wait_for(at_work, f"a shard at work on {self.second.name}")
        self.second.kill()
        assert asked.wait() == 0, log.read_text()
        lines = log.read_text()
        (lost,) = [line for line in lines.splitlines() if "was lost; tried again" in line]
        assert self.hosts(lines, lost.partition(":")[0]) == {self.first.name}
        return lines


# As many as show that both machines made some, and no more.
SHARDS = 3


def three_shards(params: dict[str, Any]) -> None:
    """Rooms in shards, for `make_bench`."""
    params["lsun"]["images"]["shards"] = SHARDS
    params["machine"].update(device="cpu", dvc="off")


def look_often(bench: Bench, **launcher: object) -> None:
    """Have a lost run seen soon: the engine's own settings, with what its launcher has beside."""
    path = bench.root / "cluster/dagster.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["run_monitoring"]["poll_interval_seconds"] = 1
    settings["run_launcher"]["config"].update(launcher)
    path.write_text(yaml.safe_dump(settings))


def _inode(path: Path) -> int | None:
    """None where it is gone: a run that ends removes its lock."""
    with suppress(FileNotFoundError):
        return path.stat().st_ino
    return None


def _opens(pid: int, inodes: set[int]) -> bool:
    """Whether a process has one of some files open."""
    with suppress(OSError):
        return any(_inode(each) in inodes for each in Path(f"/proc/{pid}/fd").iterdir())
    return False
