"""Commands killed at random moments among somebody else's files, and at every stage of a run."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from dying_process import counted, forked
from PIL import Image
from small_graph import SmallGraph

from dcgan_assets.engine.publications import History

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

COMMANDS = 10
_PLACES = ("data/cats", "data/cats/images", "data/cats/images/00", "models/cats", "results", "runs")
_MORE = ("runs/cats", "runs/locks", "runs/reproduce", ".dagster_home", ".dagster_home/history/runs")
_ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "DVC_NO_ANALYTICS": "true",
}
DCGAN = (sys.executable, "-m", "dcgan_assets.cli")
DVC = (sys.executable, "-m", "dvc")
_IMAGES = (*DCGAN, "materialize", "cats/images")
_CYCLE = (
    _IMAGES,
    (*_IMAGES, "--force"),
    (*DVC, "repro", "--force", "--single-item", "cats-images"),
    (*DCGAN, "gc"),
    (*DCGAN, "clean"),
)


def run(root: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=root, env=_ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with a group of a user's own pictures."""
    root = tmp_path / "ws"
    run(tmp_path, *DCGAN, "init", str(root))
    (root / "pictures/cats").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for number in range(60):
        pixels = generator.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"pictures/cats/{number:02d}.png")
    run(root, *DCGAN, "new-group", "cats", "--from", "pictures/cats", "--size", "32")
    run(root, *DCGAN, "dvc-sync")
    return root


def put(root: Path) -> dict[Path, bytes]:
    """Litter in the places that are made, which stops nothing; notes in all others."""
    found = {}
    for place in (*_PLACES, *_MORE):
        litter_alone = place.startswith("data/cats/images")
        for name in ("Thumbs.db", ".hidden/cat.jpg") + (() if litter_alone else ("note.txt",)):
            path = root / place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f"mine: {place} {name}".encode())
            found[path] = path.read_bytes()
    return found


def killed(root: Path, command: tuple[str, ...], seconds: float) -> bool:
    """Run a command and kill it and its children then; whether it was still at work."""
    process = subprocess.Popen(
        command,
        cwd=root,
        env=_ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    at_work = process.poll() is None
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return at_work


def test_commands_killed_at_random_moments_lose_nothing(root: Path) -> None:
    foreign = put(root)
    pictures = {path: path.read_bytes() for path in (root / "pictures").rglob("*.png")}
    began = time.monotonic()
    run(root, *_IMAGES)
    whole = time.monotonic() - began
    chance = random.Random(0)  # noqa: S311
    deaths = 0
    for command in itertools.islice(itertools.cycle(_CYCLE), COMMANDS):
        deaths += killed(root, command, chance.uniform(0, whole))
        everywhere = {path.read_bytes() for path in root.rglob("*") if path.is_file()}
        assert set(foreign.values()) <= everywhere, command
    assert deaths, "none was killed at work"
    run(root, *_IMAGES, "--force")
    assert {path: path.read_bytes() for path in (*foreign, *pictures)} == foreign | pictures


# --- At every stage of a run ----------------------------------------------------------------

NAMES = ("images", "mean", "candidate", "generator", "samples", "constant")
STAGES = 20


@pytest.fixture(scope="module")
def before() -> Iterator[tuple[SmallGraph, int, dict[str, str]]]:
    """A workspace in which nothing is made, the steps of making all, and the versions of it."""
    memory = "/dev/shm"  # noqa: S108
    with (
        tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name in ("DCGAN_ROOT", "DAGSTER_HOME"):  # `prepare_home` sets them
            patch.setenv(name, "unset")
        graph = SmallGraph(Path(folder) / "before").only(*NAMES)
        graph.root.mkdir()
        graph.change(images={"shards": 2}, machine={"dvc": "off"})
        for number, shard in enumerate(("00", "01")):
            graph.write_source(shard, number + 1.0)
        assert graph.run("toy/constant").code == 0  # makes the home; and imports what it needs
        whole = copied(graph, "whole")
        steps = whole.root / "steps"
        assert forked(partial(counted, partial(whole.run), float("inf"), steps)) == 0
        yield graph, int(steps.read_text(encoding="utf-8")), versions(whole)


def copied(graph: SmallGraph, name: str) -> SmallGraph:
    root = graph.root.with_name(name)
    shutil.copytree(graph.root, root)
    return SmallGraph(root, graph.names, dict(graph.sections))


def versions(graph: SmallGraph) -> dict[str, str]:
    """The data version of all that is published, each hashed again."""
    catalogue = graph.catalogue()
    found = {}
    for step in catalogue.steps:
        for artefact in [
            catalogue.artefact(k, s) for k in step.outputs for s in catalogue.shards(step)
        ]:
            assert catalogue.store.verify(artefact) is None
            found[artefact.label] = graph.meta(artefact.key, artefact.shard).data_version
    return found


@pytest.mark.parametrize("stage", range(STAGES))
def test_what_a_run_was_killed_at_is_made_as_if_it_had_not_been(
    before: tuple[SmallGraph, int, dict[str, str]], stage: int
) -> None:
    graph, steps, expected = before
    killed = copied(graph, f"killed-{stage}")
    at = 1 + steps * stage / STAGES
    assert os.WIFSIGNALED(forked(partial(counted, partial(killed.run), at, killed.root / "steps")))
    assert killed.run().code == 0
    assert versions(killed) == expected
    found, wrong = History(killed.root).publications("toy")
    assert wrong == []
    assert found[-1].version == expected["toy/generator"]
    left = [
        path
        for top in ("data", "models", "results")
        for path in (killed.root / top).rglob("*.part")
    ]
    assert left == []
