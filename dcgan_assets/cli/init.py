"""`dcgan init`: a new workspace with params.yaml, workspace.yaml, dvc.yaml, git and DVC."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import click

from dcgan_assets.cli.common import FILE
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import PARAMS_FILE, profile_text
from dcgan_models.errors import UserError

TEMPLATES = {
    "workspace.yaml": "workspace.yaml",
    "pyproject.toml": "pyproject.toml",
    "definitions.py.txt": "definitions.py",
    "gitignore": ".gitignore",
    "dvcignore": ".dvcignore",
    "removals.csv": "removals.csv",
}


@click.command()
@click.argument("folder", type=FILE)
@click.option(
    "--profile", default="sample", show_default=True, help="sample, small, paper or gallery."
)
def init(folder: Path, profile: str) -> None:
    """Make a workspace in FOLDER: params.yaml, workspace.yaml, dvc.yaml, git and DVC."""
    workspace = create_workspace(folder, profile)
    click.echo(f"{workspace.root}: a workspace with the {profile} profile")
    click.echo(f"next: cd {folder} && dcgan materialize")


def create_workspace(folder: Path, profile: str) -> Workspace:
    """Make a workspace in a folder that is new or empty.

    Raises:
        UserError: The profile is unknown, the folder is not empty or cannot be written, its name
            is none that DVC or Dagster can keep, git is not installed, or git or DVC failed.
    """
    from dcgan_assets.assets.catalogue import open_catalogue
    from dcgan_assets.dvc.dvc_settings import CONFIG_FILE, keep_private, new_settings
    from dcgan_assets.dvc.dvc_yaml import write_dvc_yaml
    from dcgan_assets.engine.databases import require_addressable

    text = profile_text(profile)
    require_addressable(Workspace(folder.resolve()).dagster_home)
    # Written at once: every call of DVC costs a second.
    settings = new_settings(folder.resolve())
    if shutil.which("git") is None:
        raise UserError("git is not installed; a workspace is a git repository")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UserError(f"{folder}: not empty; a workspace needs a folder of its own")
        (folder / PARAMS_FILE).write_text(text, encoding="utf-8")
        for source, target in TEMPLATES.items():
            template = resources.files("dcgan_assets.cli") / "templates" / source
            (folder / target).write_text(template.read_text("utf-8"), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})") from None
    workspace = Workspace(folder.resolve())
    _run(folder, "git", "init", "--quiet")
    _run(folder, sys.executable, "-m", "dvc", "init", "--quiet")
    (folder / CONFIG_FILE).write_bytes(settings)
    keep_private(workspace.root)
    write_dvc_yaml(open_catalogue(workspace), ())
    _run(folder, "git", "add", "--all")
    if _git_knows_its_user(folder):
        _run(folder, "git", "commit", "--quiet", "--message", f"A workspace, profile {profile}")
    return workspace


def _git_knows_its_user(folder: Path) -> bool:
    """Whether git can commit; else everything waits for the user, staged."""
    asked = ["git", "var", "GIT_COMMITTER_IDENT"]
    return subprocess.run(asked, cwd=folder, capture_output=True, check=False).returncode == 0


def _run(folder: Path, *command: str) -> None:
    from dcgan_assets.dvc.dvc_settings import SITE_CACHE, SITE_CACHE_VARIABLE

    # The settings that say these two are not there yet when DVC is called first.
    private = os.environ.get(SITE_CACHE_VARIABLE) or str(folder.resolve() / SITE_CACHE)
    quiet = {**os.environ, "DVC_NO_ANALYTICS": "true", SITE_CACHE_VARIABLE: private}
    done = subprocess.run(
        command, cwd=folder, env=quiet, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise UserError(f"{folder}: `{' '.join(command[-3:])}` failed: {''.join(last)}")
