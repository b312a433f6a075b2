"""Workspaces on a disk that is mounted for reading only: each command is one line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dcgan_assets.engine.instance import prepare_home
from dcgan_assets.engine.workspace import MARKER, Workspace
from dcgan_assets.params.file import PARAMS_FILE, profile_text

pytestmark = pytest.mark.slow

_READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
_COMMANDS = (
    "status",
    "gc --dry-run",
    "ui --read-only --no-browser",
    "ui --no-browser",
    "materialize --dry-run",
    "report",
)


def _may_mount() -> bool:
    unshare = shutil.which("unshare")
    command = [unshare or "unshare", "--mount", "true"]
    return unshare is not None and subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.skipif(not _may_mount(), reason="nothing may be mounted here")
@pytest.mark.parametrize("home", ["with-a-home", "without-one"])
@pytest.mark.parametrize("command", _COMMANDS)
def test_a_command_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, home: str
) -> None:
    for name in ("DCGAN_ROOT", "DAGSTER_HOME"):  # `prepare_home` sets them
        monkeypatch.setenv(name, "unset")
        monkeypatch.delenv(name)
    (tmp_path / PARAMS_FILE).write_text(profile_text("sample"), encoding="utf-8")
    (tmp_path / MARKER).write_text("stages: {}\n", encoding="utf-8")
    if home == "with-a-home":
        prepare_home(Workspace(tmp_path))
    before = ("unshare", "--mount", "sh", "-c", _READ_ONLY, "sh", str(tmp_path))
    dcgan = (sys.executable, "-m", "dcgan_assets.cli", "--root", str(tmp_path), *command.split())
    done = subprocess.run([*before, *dcgan], capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert said.startswith(f"error: {tmp_path / '.dagster_home'}: cannot be written"), said
    assert said.count("\n") == 1
