"""Workspaces below tmp_path, and the small graph in one of them, with its own Dagster home."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import small_graph
import yaml
from small_graph import GATED_NAMES, SmallGraph

from dcgan_assets.dvc.records import write_records
from dcgan_assets.engine.instance import SETTINGS, prepare_home
from dcgan_assets.sources.reading.workers import close_workers


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the checkout's workspace: commands find a root only where a test made one."""
    for name in ("DCGAN_ROOT", "DAGSTER_HOME"):
        # Set first, so that what `prepare_home` sets is undone as well.
        monkeypatch.setenv(name, "unset")
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def memory() -> str | None:
    """A disk on which flushing costs nothing, where there is one: Dagster flushes every event.

    In containers it may be too small: the fast tests held 49 MB in it, the slow ones hold more.
    """
    place = "/dev/shm"  # noqa: S108
    roomy = os.access(place, os.W_OK) and shutil.disk_usage(place).free > 1 << 30
    return place if roomy else None


_NO_COPIES = {
    "module": "dagster._core.storage.noop_compute_log_manager",
    "class": "NoOpComputeLogManager",
}


@pytest.fixture(scope="session")
def dagster_home(memory: str | None) -> Iterator[Path]:
    """An empty Dagster home with its tables made, to be copied: making one takes seconds."""
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield _new_home(Path(folder))


def _new_home(root: Path) -> Path:
    names = ("DCGAN_ROOT", "DAGSTER_HOME")
    before = {name: os.environ.get(name) for name in names}
    home = prepare_home(small_graph.SmallWorkspace(root))
    # Dagster copies what a run prints to the terminal by eight processes a run.
    with (home / SETTINGS).open("a", encoding="utf-8") as settings:
        settings.write(yaml.safe_dump({"compute_logs": _NO_COPIES}))
    with dg.DagsterInstance.get() as instance:
        # Each of the three stores makes its tables at the first question.
        instance.get_runs(limit=1)
        instance.event_log_storage.get_concurrency_keys()
        instance.all_instigator_state()
    for name in names:
        os.environ.pop(name, None)
    os.environ.update({name: value for name, value in before.items() if value is not None})
    return home


@pytest.fixture(scope="module")
def module_root(memory: str | None, dagster_home: Path) -> Iterator[Path]:
    """A folder with a Dagster home, for a workspace that a module's tests share."""
    with tempfile.TemporaryDirectory(dir=memory) as folder, pytest.MonkeyPatch.context() as patch:
        root = Path(folder)
        # What `prepare_home` sets is undone with the module.
        for name in ("DCGAN_ROOT", "DAGSTER_HOME"):
            patch.setenv(name, str(root))
        shutil.copytree(dagster_home, root / ".dagster_home")
        yield root
    close_workers()


@pytest.fixture(scope="session")
def template(memory: str | None, dagster_home: Path) -> Iterator[SmallGraph]:
    """The small graph with everything made and records of it. To be copied: it takes seconds."""
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        graph = SmallGraph(Path(folder) / "template").only(*small_graph.MADE_AT_ONCE)
        graph.root.mkdir()
        shutil.copytree(dagster_home, graph.root / ".dagster_home")
        graph.change(images={"shards": 2}, boxes={"shards": 2}, machine={"dvc": "off"})
        graph.write_source("00", 1.0)
        graph.write_source("01", 2.0)
        with pytest.MonkeyPatch.context() as patch:
            for name in ("DCGAN_ROOT", "DAGSTER_HOME"):  # `prepare_home` sets them
                patch.setenv(name, "unset")
            assert graph.run().code == 0
            write_records(graph.catalogue(), graph.catalogue().steps)
        yield graph


@pytest.fixture
def released(template: SmallGraph, fast_disk: Path) -> SmallGraph:
    """The workspace of a release."""
    root = fast_disk / "released"
    shutil.copytree(template.root, root)
    return SmallGraph(root, template.names, dict(template.sections))


@pytest.fixture
def clone(released: SmallGraph, dagster_home: Path) -> SmallGraph:
    """What a clone has after `dvc pull`: networks and results, records, no history."""
    root = released.root.with_name("clone")
    root.mkdir()
    for name in ("models", "results", "records", "source"):
        shutil.copytree(released.root / name, root / name)
    shutil.rmtree(root / "models" / "toy" / "candidate")
    shutil.copytree(dagster_home, root / ".dagster_home")
    graph = SmallGraph(root).only(*small_graph.MADE_AT_ONCE)
    graph.change(**released.sections)
    return graph


@pytest.fixture
def fast_disk(memory: str | None) -> Iterator[Path]:
    """A folder in memory where the system has one."""
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
def small(fast_disk: Path, dagster_home: Path) -> SmallGraph:
    """The small graph with two shards, nothing made yet."""
    root = fast_disk / "small"
    root.mkdir()
    shutil.copytree(dagster_home, root / ".dagster_home")
    graph = SmallGraph(root)
    graph.change(images={"shards": 2}, boxes={"shards": 2})
    for number, shard in enumerate(("00", "01")):
        graph.write_source(shard, number + 1.0)
    small_graph.STARTED.clear()
    small_graph.RELEASED.clear()
    return graph


@pytest.fixture(scope="session")
def gated_made(memory: str | None, dagster_home: Path) -> Iterator[Path]:
    """The small graph with its gate, from pictures to networks, all made: to be copied."""
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        root = Path(folder)
        shutil.copytree(dagster_home, root / ".dagster_home")
        graph = SmallGraph(root, GATED_NAMES)
        graph.change(images={"shards": 1})
        graph.write_source("00", 1.0)
        with pytest.MonkeyPatch.context() as patch:
            for name in ("DCGAN_ROOT", "DAGSTER_HOME"):
                patch.setenv(name, folder)
            assert graph.run().code == 0
        yield root


@pytest.fixture
def gated(fast_disk: Path, gated_made: Path) -> SmallGraph:
    """A copy of the small graph with its gate, everything made."""
    root = fast_disk / "gated"
    shutil.copytree(gated_made, root)
    return SmallGraph(root, GATED_NAMES, {"images": {"shards": 1}})
