"""Workspaces on a disk that is mounted for reading only: each command is one line."""

from __future__ import annotations

import json
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


# All of them in one process: what takes long is to load Dagster.
_CALLS = """
import json, os, sys
from click.testing import CliRunner
from dcgan_assets.cli import main
found = {}
for command in sys.argv[2:]:
    for name in ("DCGAN_ROOT", "DAGSTER_HOME"):
        os.environ.pop(name, None)
    done = CliRunner().invoke(main, ["--root", sys.argv[1], *command.split()])
    found[command] = done.exit_code, done.output
print(json.dumps(found))
"""


@pytest.mark.skipif(not _may_mount(), reason="nothing may be mounted here")
@pytest.mark.parametrize("home", ["with-a-home", "without-one"])
def test_each_command_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    for name in ("DCGAN_ROOT", "DAGSTER_HOME"):  # `prepare_home` sets them
        monkeypatch.setenv(name, "unset")
        monkeypatch.delenv(name)
    (tmp_path / PARAMS_FILE).write_text(profile_text("sample"), encoding="utf-8")
    (tmp_path / MARKER).write_text("stages: {}\n", encoding="utf-8")
    if home == "with-a-home":
        prepare_home(Workspace(tmp_path))
    before = ("unshare", "--mount", "sh", "-c", _READ_ONLY, "sh", str(tmp_path))
    calls = (sys.executable, "-c", _CALLS, str(tmp_path), *_COMMANDS)
    done = subprocess.run([*before, *calls], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    said = json.loads(done.stdout)
    assert list(said) == list(_COMMANDS)
    for command, (code, line) in said.items():
        assert code == 1, (command, line)
        assert line.startswith(f"error: {tmp_path / '.dagster_home'}: cannot be written"), command
        assert line.count("\n") == 1, command
