"""Workspaces and commands for the end-to-end tests: real processes, ended by us alone.

Everything is waited for by looking at what it leaves behind, within a bound; nothing sleeps for
a time that it merely hopes is long enough.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import yaml
from dvc_in_process import dvc_status

T = TypeVar("T")

BIN = Path(sys.executable).parent
_POLL_SECONDS = 0.05, 0.5


def wait_for(look: Callable[[], T | None], about: str, seconds: float = 600) -> T:
    """Look again and again until there is something to see; fail after `seconds`."""
    shortest, longest = _POLL_SECONDS
    until = time.monotonic() + seconds
    while (began := time.monotonic()) < until:
        found = look()
        if found:
            return found
        # A question to the web UI is work for it, which is taken from what is waited for.
        time.sleep(min(max(shortest, 9 * (time.monotonic() - began)), longest))
    raise AssertionError(f"waited {seconds:.0f} s in vain for {about}")


def clean_environment(**more: str) -> dict[str, str]:
    """A user's environment: the tests' `dcgan`, no leftovers of Dagster, DVC or git settings."""
    dropped = ("DCGAN_ROOT", "DAGSTER_HOME", "DVC_ROOT", "DVC_STAGE", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    identity = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", "tester"), ("EMAIL", "tester@example.org"))
    }
    path = f"{BIN}{os.pathsep}{kept.get('PATH', '')}"
    return {
        **kept,
        **identity,
        "PATH": path,
        "OMP_NUM_THREADS": "1",  # sums of floats depend on it, and results are compared by bits
        "GIT_CONFIG_GLOBAL": os.devnull,
        **more,
    }


@dataclass(frozen=True)
class Bench:
    """A workspace in a folder of its own, and the environment in which its commands run."""

    root: Path
    environment: dict[str, str]

    def run(self, *command: str, code: int = 0, seconds: float = 1500) -> str:
        """Run a command to its end; its output, if it ends with the expected code."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == code, f"{command} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def dcgan(self, *arguments: str, code: int = 0) -> str:
        """Run `dcgan` to its end; its output."""
        return self.run("dcgan", *arguments, code=code)

    def dvc_status(self) -> dict[str, Any]:
        """What `dvc status --json` says."""
        return dvc_status(self.root)

    @contextmanager
    def running(self, *command: str) -> Iterator[Running]:
        """A command in a session of its own; whatever of it is left at the end is killed."""
        log = self.root.with_name(f"{self.root.name}-{time.monotonic_ns()}.log")
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command,
                cwd=self.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        running = Running(process, log)
        try:
            yield running
        finally:
            if process.poll() is None:
                running.kill_session()

    @contextmanager
    def paused(self, processes: Sequence[psutil.Process]) -> Iterator[None]:
        """Processes stand still: what they are at cannot end before others have looked."""

        def stand_still() -> bool:
            for process in processes:
                process.suspend()
            free = self._records_are_free()
            if not free:
                _resume(processes)
            return free

        wait_for(stand_still, "a moment in which no record is written")
        try:
            yield
        finally:
            _resume(processes)

    def _records_are_free(self) -> bool:
        """Whether nobody is in the middle of writing Dagster's records, which locks them."""
        try:
            for path in (self.root / ".dagster_home").rglob("*.db"):
                with closing(sqlite3.connect(path, timeout=0)) as connection:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.rollback()
        except sqlite3.OperationalError:
            return False
        return True

    def edit_params(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change params.yaml in place."""
        path = self.root / "params.yaml"
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        change(content)
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    def meta(self, place: str) -> dict[str, Any]:
        """The `_meta.json` of a published folder."""
        content: dict[str, Any] = json.loads((self.root / place / "_meta.json").read_text("utf-8"))
        return content

    def files(self, *places: str) -> dict[str, bytes]:
        """Every file below some folders, by its path: what must be equal byte for byte."""
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for place in places
            for path in sorted((self.root / place).rglob("*"))
            if path.is_file()
        }

    def run_folder(self, preset: str) -> Path | None:
        """The folder where a preset's training works, once it is there: the newest one."""
        configs = [
            config
            for config in (self.root / "runs" / "mnist").glob("*/config.json")
            if json.loads(config.read_text("utf-8"))["preset"]["name"] == preset
        ]
        newest = max(configs, key=lambda config: config.stat().st_mtime_ns, default=None)
        return newest.parent if newest else None

    def steps(self, preset: str) -> list[int]:
        """The steps that the log of a preset's training holds, in order; empty before the first."""
        folder = self.run_folder(preset)
        log = folder / "log.jsonl" if folder else None
        if log is None or not log.exists():
            return []
        lines = log.read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["step"] for line in lines if line.endswith("}")]

    def saved_step(self, preset: str) -> int | None:
        """The step of the newest saved state, None where none was saved."""
        from safetensors import safe_open

        folder = self.run_folder(preset)
        states = sorted(folder.glob("states/step_*.safetensors")) if folder else []
        if not states:
            return None
        with safe_open(states[-1], framework="np") as state:
            return int(json.loads(state.metadata()["facts"])["step"])

    def recorded_runs(self) -> list[tuple[str, str]]:
        """Dagster's runs in this workspace, oldest first: id and status."""
        import dagster as dg

        with dg.DagsterInstance.from_config(str(self.root / ".dagster_home")) as instance:
            runs = instance.get_runs()
        return [(run.run_id, run.status.value) for run in reversed(list(runs))]


def shrink(params: dict[str, Any]) -> None:
    """The smallest graph that still does everything, whatever groups there are."""
    small = {
        "width": 0.05,
        "discriminator_width": 0.05,
        "epochs": 1,
        "decay_epochs": 1,
        "snapshots": 1,
        "diversity": 0.0,
        "label_agreement": 0.0,
        "samples": 200,
        "kid_size": 20,
        "kid_subsets": 4,
        "snapshot_samples": 20,
        "updates": 10,
        "references": 200,
        "max_error": 1.0,
        "train": 600,
        "validation": 100,
        "test": 100,
        "pictures": 240,
        "count": 16,
        "names": 15,
        "faces": 6,
        "probes": 20,
        "per_class": 5,
        "choosing_draws": 1,
        "draws": 2,
        "curve": 2,
        "random_networks": 1,
        "hits": 2,
    }
    for key, value in params.items():
        if isinstance(value, dict):
            shrink(value)
        elif key in small:
            if isinstance(value, list):
                params[key] = [small[key]]
            elif type(value) is type(small[key]):  # some are counts here and shares there
                params[key] = small[key]
    if "batch" in params:
        params["batch"] = 32
    if "factors" in params:  # a judge
        params["updates"] = 10
    if {"forget", "turn"} & params.keys():  # claims
        params.update(samples=100, repeats=10)


# How many minibatches `lengthen` trains the DCGAN for: 18 an epoch.
LENGTH = 18 * (30 + 20)


def lengthen(params: dict[str, Any]) -> None:
    """Trainings long enough to be stopped in."""
    params["mnist"]["candidate"].update(epochs=30, decay_epochs=20)
    params["mnist"]["fc_candidate"].update(epochs=150, decay_epochs=100)


def without_dvc(params: dict[str, Any]) -> None:
    """For what is not about DVC: a process of its own after whatever is made."""
    params["machine"]["dvc"] = "off"


def make_workspace(
    root: Path, environment: dict[str, str], *changes: Callable[[dict[str, Any]], None]
) -> Bench:
    """`dcgan init`, and a params.yaml that takes seconds."""
    root.parent.mkdir(parents=True, exist_ok=True)
    bench = Bench(root, environment)
    Bench(root.parent, environment).dcgan("init", str(root))
    for change in changes:
        bench.edit_params(change)
    return bench


def _resume(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()


# --- Processes ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Running:
    """A process that we started, and the file that its output goes to."""

    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        """What it has said so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def until(self, look: Callable[[], T | None], about: str, seconds: float = 600) -> T:
        """Wait for something that the process brings about; fail at once when it ends first."""

        def look_while_alive() -> T | None:
            alive = self.process.poll() is None
            found = look()
            assert found or alive, f"ended before {about}:\n{self.output()}"
            return found

        return wait_for(look_while_alive, about, seconds)

    def interrupt(self, seconds: float = 240) -> int:
        """Ctrl-C, and wait; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """`kill -9`, and wait."""
        self.process.kill()
        assert self.process.wait(120) == -signal.SIGKILL

    def descendants(self) -> list[psutil.Process]:
        """The process and everything below it."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def commands(self) -> dict[psutil.Process, list[str]]:
        """Those of the descendants that still are, with their command lines."""
        found = {}
        for process in self.descendants():
            with suppress(psutil.NoSuchProcess):
                found[process] = process.cmdline()
        return found

    def listening(self) -> set[tuple[str, int]]:
        """The addresses and ports on which the process and everything below it listen."""
        found = set()
        for process in self.descendants():
            with suppress(psutil.NoSuchProcess):
                for connection in process.net_connections(kind="inet"):
                    if connection.status == psutil.CONN_LISTEN:
                        found.add((connection.laddr.ip, connection.laddr.port))
        return found

    def kill_session(self) -> None:
        """End the process and its descendants by force."""
        for process in self.descendants():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(120)
