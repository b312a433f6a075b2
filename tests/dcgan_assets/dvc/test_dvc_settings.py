"""Where DVC keeps what it remembers of files: a folder of the workspace's own, and no other's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dcgan_assets.cli.init import create_workspace
from dcgan_assets.dvc.dvc_settings import (
    CONFIG_FILE,
    LOCAL_CONFIG_FILE,
    SITE_CACHE,
    SITE_CACHE_VARIABLE,
    keep_private,
    new_settings,
)

# Python runs it at its start; it writes down what a process opens or makes in DVC's usual places.
_WATCH = """
import os, sys
def look(event, arguments):
    if event in ("open", "os.mkdir", "sqlite3.connect"):
        path = os.fsdecode(arguments[0]) if isinstance(arguments[0], (str, bytes)) else ""
        if "/var/tmp/dvc" in path or "site_cache" in path:
            log = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(log, (path + "\\n").encode())
            os.close(log)
sys.addaudithook(look)
"""


def dvc_reads(root: Path) -> str | None:
    """The place that DVC itself goes by, in its own environment."""
    from dvc.config import Config

    named: str | None = Config(str(root / ".dvc"))["core"].get("site_cache_dir")
    return named


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What a clone has: settings that are in git."""
    root = tmp_path / "clone"
    (root / ".dvc").mkdir(parents=True)
    (root / CONFIG_FILE).write_bytes(new_settings(root))
    return root


def test_a_clone_gets_a_place_of_its_own(root: Path) -> None:
    keep_private(root)
    assert dvc_reads(root) == str(root / SITE_CACHE)
    assert (root / SITE_CACHE).stat().st_mode & 0o777 == 0o700
    before = (root / LOCAL_CONFIG_FILE).stat()
    keep_private(root)
    assert (root / LOCAL_CONFIG_FILE).stat().st_mtime_ns == before.st_mtime_ns


def test_one_that_became_everybodys_is_closed_again(root: Path) -> None:
    (root / SITE_CACHE).mkdir(parents=True)
    (root / SITE_CACHE).chmod(0o777)  # as DVC makes one that is missing
    keep_private(root)
    assert (root / SITE_CACHE).stat().st_mode & 0o777 == 0o700


def test_a_workspace_that_moved_takes_its_place_along(root: Path) -> None:
    keep_private(root)
    moved = root.rename(root.with_name("moved"))
    keep_private(moved)
    assert dvc_reads(moved) == str(moved / SITE_CACHE)
    assert not root.exists()


def test_other_settings_of_the_users_stay(root: Path) -> None:
    local = (
        "# mine\n['remote \"bulk\"']\n    url = /elsewhere    # a disk\n[core]\n    remote = bulk\n"
    )
    (root / LOCAL_CONFIG_FILE).write_text(local, encoding="utf-8")
    keep_private(root)
    written = (root / LOCAL_CONFIG_FILE).read_text("utf-8")
    assert written.startswith(local)
    assert written.removeprefix(local).split() == ["site_cache_dir", "=", str(root / SITE_CACHE)]


@pytest.mark.parametrize("level", [CONFIG_FILE, LOCAL_CONFIG_FILE], ids=str)
def test_a_place_that_the_user_named_stays(root: Path, level: Path) -> None:
    chosen = "[core]\n    site_cache_dir = /disk/dvc\n"
    (root / level).write_text(chosen, encoding="utf-8")
    keep_private(root)
    assert (root / level).read_text("utf-8") == chosen
    assert dvc_reads(root) == "/disk/dvc"
    assert not (root / SITE_CACHE).exists()


def test_the_variable_goes_first(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SITE_CACHE_VARIABLE, "/disk/dvc")
    keep_private(root)
    assert not (root / LOCAL_CONFIG_FILE).exists()


@pytest.mark.parametrize(
    "content",
    [b"[core\n", b"\xff\n", b"core = 1\n", b"[[[[\n" * 3],
    ids=["cut", "latin", "flat", "deep"],
)
def test_what_dvc_cannot_read_is_left_for_it_to_say(root: Path, content: bytes) -> None:
    (root / LOCAL_CONFIG_FILE).write_bytes(content)
    keep_private(root)
    assert (root / LOCAL_CONFIG_FILE).read_bytes() == content


def test_a_pipe_is_not_waited_for(root: Path) -> None:
    os.mkfifo(root / LOCAL_CONFIG_FILE)
    keep_private(root)


def test_a_folder_behind_a_link_keeps_its_mode(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine").chmod(0o755)
    (root / SITE_CACHE).parent.mkdir()
    (root / SITE_CACHE).symlink_to(tmp_path / "mine")
    keep_private(root)
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o755


def test_a_folder_without_dvc_gets_nothing(tmp_path: Path) -> None:
    keep_private(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("made", ["by dcgan init", "as a clone"])
def test_no_command_opens_anything_in_the_place_of_all(
    tmp_path: Path, dagster_home: Path, made: str
) -> None:
    """The real commands and their children, ours first: `dvc` alone cannot know in a clone."""
    log = tmp_path / "opened"
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch/sitecustomize.py").write_text(_WATCH.format(log=str(log)), "utf-8")
    paths = (str(tmp_path / "watch"), os.environ.get("PYTHONPATH", ""))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    environment.pop(SITE_CACHE_VARIABLE, None)
    root = tmp_path / "workspace"

    def run(*words: str, cwd: Path = root) -> None:
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=cwd, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    if made == "by dcgan init":
        run("dcgan_assets", "init", str(root), cwd=tmp_path)
        run("dvc", "status")
    else:
        create_workspace(root, "sample")
        (root / LOCAL_CONFIG_FILE).unlink()
        shutil.rmtree(root / SITE_CACHE)
    shutil.copytree(dagster_home, root / ".dagster_home")
    run("dcgan_assets", "materialize", "svhn/images")
    run("dcgan_assets", "status")
    run("dvc", "status")
    opened = set(log.read_text("utf-8").splitlines())
    assert any(path.startswith(str(root / SITE_CACHE)) for path in opened)
    assert not [path for path in opened if path.startswith("/var/tmp/dvc")]  # noqa: S108
    assert (root / SITE_CACHE).stat().st_mode & 0o777 == 0o700
