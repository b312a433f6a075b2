"""Workspaces, commands and a web UI for the end-to-end tests: real processes, ended by us alone.

Everything is waited for by looking at what it leaves behind, within a bound; nothing sleeps for
a time that it merely hopes is long enough.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import requests
import yaml

T = TypeVar("T")

BIN = Path(sys.executable).parent
_POLL_SECONDS = 0.05
_LOCATION = {
    "repositoryLocationName": "dcgan",
    "repositoryName": "__repository__",
    "pipelineName": "__ASSET_JOB",
}


def wait_for(look: Callable[[], T | None], about: str, seconds: float = 300) -> T:
    """Look again and again until there is something to see; fail after `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(_POLL_SECONDS)
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

    def run(self, *command: str, code: int = 0, seconds: float = 600) -> str:
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
        """The folder where a preset's training works, once it is there."""
        for config in (self.root / "runs" / "mnist").glob("*/config.json"):
            if json.loads(config.read_text("utf-8"))["preset"]["name"] == preset:
                return config.parent
        return None

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
        "faces": 4,
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


def lengthen(params: dict[str, Any]) -> None:
    """Trainings long enough to be stopped in: 18 minibatches an epoch."""
    params["mnist"]["candidate"].update(epochs=60, decay_epochs=40)
    params["mnist"]["fc_candidate"].update(epochs=150, decay_epochs=100)


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


# --- Processes ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Running:
    """A process that we started, and the file that its output goes to."""

    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        """What it has said so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def until(self, look: Callable[[], T | None], about: str, seconds: float = 300) -> T:
        """Wait for something that the process brings about; fail at once when it ends first."""

        def look_while_alive() -> T | None:
            alive = self.process.poll() is None
            found = look()
            assert found or alive, f"ended before {about}:\n{self.output()}"
            return found

        return wait_for(look_while_alive, about, seconds)

    def interrupt(self, seconds: float = 60) -> int:
        """Ctrl-C, and wait; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """`kill -9`, and wait."""
        self.process.kill()
        assert self.process.wait(30) == -signal.SIGKILL

    def descendants(self) -> list[psutil.Process]:
        """The process and everything below it."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def kill_session(self) -> None:
        """End the process and its descendants by force."""
        for process in self.descendants():
            process.kill()
        self.process.wait(30)


# --- The web UI -----------------------------------------------------------------------------


class Server:
    """A web UI that answers, asked in GraphQL as its pages ask it."""

    def __init__(self, running: Running, port: int) -> None:
        self.running = running
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def query(self, text: str, **variables: Any) -> dict[str, Any]:
        """The data of an answer without errors."""
        request = {"query": text, "variables": variables}
        answer = requests.post(f"{self.url}/graphql", json=request, timeout=60).json()
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def is_up(self) -> bool:
        """Whether pages are served and the code location is loaded."""
        try:
            found = self.query(
                "{ repositoriesOrError { ... on RepositoryConnection { nodes { id } } } }"
            )
        except (requests.ConnectionError, requests.Timeout):
            return False
        return bool(found["repositoriesOrError"].get("nodes"))

    def try_to_launch(self, keys: Sequence[str], **tags: str) -> dict[str, Any]:
        """What the server answers to a materialisation; tags are Dagster's own."""
        parameters = {
            "selector": {**_LOCATION, "assetSelection": [{"path": k.split("/")} for k in keys]},
            "runConfigData": {},
            "mode": "default",
            "executionMetadata": {
                "tags": [{"key": f"dagster/{k}", "value": v} for k, v in tags.items()]
            },
        }
        answer = self.query(_LAUNCH, parameters=parameters)["launchPipelineExecution"]
        assert isinstance(answer, dict)
        return answer

    def launch(self, *keys: str, **tags: str) -> str:
        """Materialise assets in one run, as the button does; its id."""
        answer = self.try_to_launch(keys, **tags)
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def latest_run(self) -> str:
        """The id of the run that was launched last."""
        runs = self.query("{ runsOrError(limit: 1) { ... on Runs { results { runId } } } }")
        return str(runs["runsOrError"]["results"][0]["runId"])

    def latest_backfill(self) -> str:
        """The id of the backfill that was launched last."""
        found = self.query(_BACKFILLS)["partitionBackfillsOrError"]["results"]
        return str(found[0]["id"])

    def retries(self, run_id: str) -> list[str]:
        """The ids of the runs that Dagster launched because this one failed."""
        found = self.query(_RETRIES, run=run_id)["runsOrError"]["results"]
        return [run["runId"] for run in found]

    def pool_holders(self, pool: str) -> set[str]:
        """The ids of the runs that hold a pool's slots."""
        found = self.query(_POOL, pool=pool)["instance"]["concurrencyLimit"]["claimedSlots"]
        return {slot["runId"] for slot in found}

    def status(self, run_id: str) -> str:
        """A run's status."""
        run = self.query(_STATUS, run=run_id)["runOrError"]
        return str(run["status"])

    def shard(self, run_id: str) -> str:
        """The shard that a run makes; empty where there is none."""
        return _shard(self.query(_TAGS, run=run_id)["runOrError"])

    def wait_for_end(self, run_id: str, seconds: float = 300) -> str:
        """Wait until a run has ended; its status."""

        def look() -> str | None:
            status = self.status(run_id)
            return status if status in {"SUCCESS", "FAILURE", "CANCELED"} else None

        return self.running.until(look, f"the end of run {run_id}", seconds)

    def wait_for_backfill(self, backfill: str, seconds: float = 600) -> tuple[str, dict[str, str]]:
        """Wait until a backfill has ended; its status, and that of the last run of each shard.

        Runs without a shard are under the empty name.
        """

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.query(_BACKFILL, id=backfill)["partitionBackfillOrError"]
            return found if found["status"].startswith(("COMPLETED", "FAILED")) else None

        ended = self.running.until(look, f"the end of backfill {backfill}", seconds)
        runs = {_shard(run): str(run["status"]) for run in reversed(ended["runs"])}
        return str(ended["status"]), runs

    def terminate(self, run_id: str) -> None:
        """What the Terminate button does."""
        answer = self.query(_TERMINATE, run=run_id)["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess", answer

    def observations(self, key: str, run_id: str) -> list[dict[str, float]]:
        """The numbers that a run has reported of an asset so far, oldest first."""
        node = self.query(_OBSERVATIONS, key={"path": key.split("/")})["assetOrError"]
        mine = [o for o in node["assetObservations"] if o["runId"] == run_id]
        return [
            {e["label"]: e.get("floatValue", e.get("intValue")) for e in o["metadataEntries"]}
            for o in reversed(mine)
        ]

    def worker(self, run_id: str) -> psutil.Process:
        """The process that works on a run: one of the server's own descendants."""
        events = self.query(_EVENTS, run=run_id)["runOrError"]["eventConnection"]["events"]
        entries = [entry for event in events for entry in event.get("metadataEntries", ())]
        numbers = {int(entry["text"]) for entry in entries if entry["label"] == "pid"}
        found = [process for process in self.running.descendants() if process.pid in numbers]
        assert len(found) == 1, (numbers, found)
        return found[0]


def _shard(run: dict[str, Any]) -> str:
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    return str(tags.get("dagster/partition", ""))


@contextmanager
def served(bench: Bench, *options: str) -> Iterator[Server]:
    """`dcgan ui` of a workspace until the block ends; Ctrl-C must end it and all below it."""
    port = free_port()
    with bench.running("dcgan", "ui", "--port", str(port), *options) as running:
        server = Server(running, port)
        running.until(server.is_up, "the web UI")
        yield server
        family = running.descendants()
        running.interrupt()
        _, left = psutil.wait_procs(family, timeout=90)
        assert not left, f"still there after Ctrl-C: {left}"


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


_LAUNCH = """
mutation Launch($parameters: ExecutionParams!) {
  launchPipelineExecution(executionParams: $parameters) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on UnauthorizedError { message }
  }
}
"""
_STATUS = "query Status($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"
_BACKFILLS = """
{ partitionBackfillsOrError(limit: 1) { ... on PartitionBackfills { results { id } } } }
"""
_BACKFILL = """
query Backfill($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status runs(limit: 50) { status tags { key value } } }
  }
}
"""
_RETRIES = """
query Retries($run: String!) {
  runsOrError(filter: { tags: [{ key: "dagster/parent_run_id", value: $run }] }) {
    ... on Runs { results { runId } }
  }
}
"""
_POOL = """
query Pool($pool: String!) {
  instance { concurrencyLimit(concurrencyKey: $pool) { claimedSlots { runId } } }
}
"""
_TAGS = "query Tags($run: ID!) { runOrError(runId: $run) { ... on Run { tags { key value } } } }"
_EVENTS = """
query Events($run: ID!) {
  runOrError(runId: $run) {
    ... on Run {
      eventConnection(limit: 1000) {
        events {
          ... on EngineEvent { metadataEntries { label ... on TextMetadataEntry { text } } }
        }
      }
    }
  }
}
"""
_TERMINATE = """
mutation Terminate($run: String!) {
  terminateRun(runId: $run) { __typename ... on TerminateRunFailure { message } }
}
"""
_OBSERVATIONS = """
query Observations($key: AssetKeyInput!) {
  assetOrError(assetKey: $key) {
    ... on Asset {
      assetObservations(limit: 200) {
        runId
        metadataEntries {
          label
          ... on FloatMetadataEntry { floatValue }
          ... on IntMetadataEntry { intValue }
        }
      }
    }
  }
}
"""
