"""`dcgan ui` of a workspace, asked in GraphQL as its pages ask it."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psutil
import requests
from workbench import Bench, Running

_LOCATION = {
    "repositoryLocationName": "dcgan",
    "repositoryName": "__repository__",
    "pipelineName": "__ASSET_JOB",
}


class Server:
    """A web UI that answers, asked in GraphQL as its pages ask it."""

    def __init__(self, running: Running, port: int) -> None:
        self.running = running
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def query(self, text: str, **variables: Any) -> dict[str, Any]:
        """The data of an answer without errors."""
        request = {"query": text, "variables": variables}
        answer = requests.post(f"{self.url}/graphql", json=request, timeout=120).json()
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

    def try_to_launch(
        self, keys: Sequence[str], *, job: str | None = None, **tags: str
    ) -> dict[str, Any]:
        """What the server answers to a materialisation, or to a job; tags are Dagster's own."""
        what: dict[str, Any] = {"assetSelection": [{"path": key.split("/")} for key in keys]}
        parameters = {
            "selector": {**_LOCATION, **({"pipelineName": job} if job else what)},
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
        return self._launched(self.try_to_launch(keys, **tags))

    def launch_job(self, name: str) -> str:
        """Launch a job, as the button of its page does; the run's id."""
        return self._launched(self.try_to_launch((), job=name))

    def _launched(self, answer: dict[str, Any]) -> str:
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def asset(self, key: str) -> dict[str, Any]:
        """Whether an asset has partitions, and what Dagster thinks of it: FRESH, STALE, MISSING."""
        found = self.query(_ASSET, key={"path": key.split("/")})["assetNodeOrError"]
        assert isinstance(found, dict)
        return found

    def runs_of(self, key: str) -> list[str]:
        """The ids of the runs that made an asset or were to, the newest first."""
        found = self.query(_RUNS)["runsOrError"]["results"]
        path = key.split("/")
        return [
            run["runId"]
            for run in found
            if any(asset["path"] == path for asset in run["assetSelection"] or ())
        ]

    def latest_run(self) -> str:
        """The id of the run that was launched last; empty where none was."""
        runs = self.query("{ runsOrError(limit: 1) { ... on Runs { results { runId } } } }")
        return next((str(run["runId"]) for run in runs["runsOrError"]["results"]), "")

    def latest_backfill(self) -> str:
        """The id of the backfill that was launched last; empty where none was."""
        found = self.query(_BACKFILLS)["partitionBackfillsOrError"]["results"]
        return next((str(backfill["id"]) for backfill in found), "")

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

    def wait_for_end(self, run_id: str, seconds: float = 600) -> str:
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

    def family(self, run_id: str) -> list[psutil.Process]:
        """The process that works on a run, and those below it."""
        worker = self.worker(run_id)
        return [worker, *worker.children(recursive=True)]


def _shard(run: dict[str, Any]) -> str:
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    return str(tags.get("dagster/partition", ""))


@contextmanager
def served(bench: Bench, *options: str) -> Iterator[Server]:
    """`dcgan ui` of a workspace until the block ends; Ctrl-C must end it and all below it."""
    port = free_port()
    with bench.running("dcgan", "ui", "--no-browser", "--port", str(port), *options) as running:
        server = Server(running, port)
        running.until(server.is_up, "the web UI")
        yield server
        family = running.descendants()
        running.interrupt()
        _, left = psutil.wait_procs(family, timeout=240)
        assert not left, f"still there after Ctrl-C: {left}"


def free_port() -> int:
    """A port of the loopback that nobody listens on, and that the system gives to nobody."""
    while True:
        # Below those for port 0 and for clients: another test would get one of these meanwhile.
        port = random.randrange(12_000, 32_000)  # noqa: S311
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
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
_ASSET = """
query Asset($key: AssetKeyInput!) {
  assetNodeOrError(assetKey: $key) { ... on AssetNode { isPartitioned staleStatus } }
}
"""
_RUNS = """
{ runsOrError(limit: 50) { ... on Runs { results { runId assetSelection { path } } } } }
"""
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
