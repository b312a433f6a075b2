"""Disks that are full, each a real one of a few pages below one folder of a workspace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import small_graph
from small_graph import SmallGraph

pytestmark = pytest.mark.slow

NAMES = ("images", "mean", "candidate", "generator", "samples", "constant")
# The folder that is a disk of its own, its pages of 4 KiB, and what is said.
DISKS = {
    "dagsters-records": (".dagster_home", 4, "error: {root}/.dagster_home: "),
    "networks": ("models", 3, "{root}/models/toy/"),
    "pictures": ("data", 2, "{root}/data/toy/"),
    "dvcs-cache": (".dvc/cache", 2, "FAILED dvc: `dvc commit` failed"),
    "the-remote": ("dvc-remote", 2, "FAILED dvc: `dvc push` failed"),
    "results": ("results", 2, "{root}/results/toy/"),
}
_FULL = 'mount -t tmpfs -o size="$1" full "$2" && shift 2 && exec "$@"'


def _may_mount() -> bool:
    unshare = shutil.which("unshare")
    command = [unshare or "unshare", "--mount", "true"]
    return unshare is not None and subprocess.run(command, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which nothing was made, to be copied."""
    graph = SmallGraph(tmp_path_factory.mktemp("clean") / "ws").only(*NAMES)
    graph.root.mkdir()
    graph.change(images={"shards": 2}, machine={"dvc": "push"})
    graph.write_source("00", 1.0)
    graph.write_source("01", 2.0)
    return graph.under_dvc().root


@pytest.fixture
def root(clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DCGAN_ROOT", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "unset")
        monkeypatch.delenv(name)
    return Path(shutil.copytree(clean, tmp_path / "ws", symlinks=True))


def materialize(root: Path, *before: str) -> tuple[int, str]:
    """`dcgan materialize` behind another command; its exit code, and all that it said."""
    command = [*before, sys.executable, str(small_graph.__file__), str(root), *_KEYS]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    return done.returncode, done.stdout + done.stderr


_KEYS = [
    f"toy/{name}" for name in ("constant", "images", "mean", "candidate", "generator", "samples")
]


@pytest.mark.skipif(not _may_mount(), reason="nothing may be mounted here")
@pytest.mark.parametrize("disk", DISKS)
def test_a_full_disk_is_a_line_and_harms_nothing(root: Path, disk: str) -> None:
    place, pages, line = DISKS[disk]
    (root / place).mkdir(parents=True, exist_ok=True)
    full = ("unshare", "--mount", "sh", "-c", _FULL, "sh", f"{4 * pages}k", str(root / place))
    code, said = materialize(root, *full)
    assert code == 1, said
    assert line.format(root=root) in said
    assert "Traceback" not in said
    code, said = materialize(root)
    assert code == 0, said
    assert SmallGraph(root).dvc_status() == {}
