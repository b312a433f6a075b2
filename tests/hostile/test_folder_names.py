"""Workspaces in folders of names that file systems allow and formats of settings do not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from fixture_types import Refused

from dcgan_assets.cli import main
from dcgan_assets.cli.init import create_workspace
from dcgan_assets.dvc.dvc_settings import BULK, CONFIG_FILE, new_settings, read_settings
from dcgan_assets.engine.instance import open_instance, prepare_home
from dcgan_assets.engine.workspace import Workspace

# By what is odd about them.
GOOD = {
    "a comma": "a,b",
    "a comma and a space": "cats, dogs",
    "a hash": "x #2",
    "a hash at its start": "#1",
    "a percent": "100%",
    "two percents": "%%",
    "a newline": "a\nb",
    "a newline at its end": "a\n",
    "single quotes": "'cats'",
    "double quotes": '"cats"',
    "both quotes": 'it\'s "cats"',
    "three quotes": "'''cats",
    "brackets": "[core]",
    "a section of DVC's": "['remote \"results\"']",
    "braces": "{name}",
    "a parameter of DVC's": "${seed}",
    "a variable": "$HOME",
    "a semicolon": "a;b",
    "an equals sign": "url = x",
    "a colon": "s3:",
    "a space at either end": " cats ",
    "a tab": "a\tb",
    "a backslash": "a\\nb",
    "letters": "Kätzchen 猫",
    "a control character": "a\x01b",
}
BAD = {
    "an interpolation": "%(x)s",
    "both kinds of three quotes": "'''\"\"\"",
    "a carriage return": "a\rb",
    "no text": os.fsdecode(b"a\xff"),
    "a question mark": "what?x=1",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Dagster home, to be copied."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", "unset")
        patch.setenv("DCGAN_ROOT", "unset")
        return prepare_home(Workspace(tmp_path_factory.mktemp("home")))


@pytest.mark.parametrize("name", GOOD.values(), ids=GOOD)
def test_a_workspace_in_a_folder_of_this_name(place: Path, home: Path, name: str) -> None:
    """DVC reads of its settings what was meant, and Dagster's records lie in the workspace."""
    from dvc.config import Config

    root = place / name
    (root / ".dvc").mkdir(parents=True)
    (root / CONFIG_FILE).write_bytes(new_settings(root))
    found = Config(dvc_dir=str(root / ".dvc"))
    assert found["remote"]["results"]["url"] == str(root / "dvc-remote")
    assert found["remote"][BULK]["url"] == str(place / f"{name}-bulk")
    assert found["core"]["remote"] == "results"
    assert found["core"]["analytics"] is False
    assert BULK in read_settings(root)["remote"]
    shutil.copytree(home, root / ".dagster_home")
    with open_instance(Workspace(root)) as instance:
        instance.add_run(dg.DagsterRun("job", "00000000-0000-4000-8000-000000000000"))
    database = root / ".dagster_home/history/runs.db"
    assert b"00000000-0000-4000-8000-000000000000" in database.read_bytes()
    assert list(place.iterdir()) == [root]


@pytest.mark.parametrize("name", BAD.values(), ids=BAD)
def test_a_name_that_cannot_be_kept_is_refused(place: Path, refused: Refused, name: str) -> None:
    # As it can be printed; of a question mark, which would end an address, in a whole path.
    with refused(f"{name!a}"[1:-1], "cannot keep", "choose another name"):
        create_workspace(place / name, "sample")
    assert not list(place.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("what", ["a comma", "a hash", "a newline", "letters"])
def test_commands_in_such_a_workspace(place: Path, what: str) -> None:
    root = place / GOOD[what]
    done = CliRunner().invoke(main, ["init", str(root)])
    assert done.exit_code == 0, done.output
    for command in (["materialize", "svhn/images"], ["status"]):
        done = CliRunner().invoke(main, ["--root", str(root), *command])
        assert done.exit_code == 0, done.output
    push = [sys.executable, "-m", "dvc", "push"]
    pushed = subprocess.run(push, cwd=root, capture_output=True, text=True)
    assert pushed.returncode == 0, pushed.stderr
    assert {path.name for path in place.iterdir()} <= {root.name, f"{root.name}-bulk"}
