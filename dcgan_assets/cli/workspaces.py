"""Commands that make and examine a workspace."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dcgan_assets.cli.common import find_catalogue
from dcgan_assets.engine.workspace import Workspace
from dcgan_models.errors import UserError


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--profile", default="sample", show_default=True, help="sample, small or paper.")
def init(folder: Path, profile: str) -> None:
    """Make a workspace in FOLDER: params.yaml, workspace.yaml, dvc.yaml, git and DVC."""
    from dcgan_assets.cli.init import create_workspace

    workspace = create_workspace(folder, profile)
    click.echo(f"{workspace.root}: a workspace with the {profile} profile")
    click.echo(f"next: cd {folder} && dcgan materialize")


@click.command("new-group")
@click.argument("name")
@click.option(
    "--from",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of pictures, at any depth.",
)
@click.option("--size", default=64, show_default=True, type=int, help="Side in pixels.")
@click.pass_obj
def new_group(root: Path | None, name: str, folder: Path, size: int) -> None:
    """Add NAME, a group of your own pictures, to params.yaml."""
    from dcgan_assets.cli.new_group import add_group

    workspace = Workspace.find(root)
    section = add_group(workspace, name, folder, size)
    candidate = section["candidate"]
    click.echo(f"params.yaml: groups.{name}, pictures from {section['images']['path']}")
    click.echo(f"training: {candidate['epochs']} epochs of minibatches of {candidate['batch']}")
    click.echo(f"next: dcgan materialize {name}")


@click.command()
@click.pass_obj
def doctor(root: Path | None) -> None:
    """Say whether this machine is ready: Python, torch, GPU, disk, data paths, DVC."""
    from dcgan_assets.cli.doctor import examine

    try:
        workspace = Workspace.find(root)
    except UserError as error:
        click.echo(f"note  workspace    {error}")
        workspace = None
    failed = False
    for finding in examine(workspace):
        failed |= finding.state == "FAIL"
        click.echo(f"{finding.state:5} {finding.what:12} {finding.detail}")
    sys.exit(1 if failed else 0)


@click.command("dvc-sync")
@click.option("--all", "everything", is_flag=True, help="Also what was never made, for dvc repro.")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if dvc.yaml is behind.")
@click.pass_obj
def dvc_sync(root: Path | None, everything: bool, check: bool) -> None:
    """Write dvc.yaml from the asset graph: the stages of what was made, as dvc.lock says."""
    from dcgan_assets.releases import dvc_yaml as bridge
    from dcgan_assets.releases.dvc_commands import at_the_books

    catalogue = find_catalogue(root)
    place = catalogue.workspace.root
    if check:
        if not bridge.is_current(catalogue):
            raise UserError(f"{bridge.DVC_FILE} is behind the asset graph; run `dcgan dvc-sync`")
        click.echo(f"{bridge.DVC_FILE} is up to date")
        return
    possible = bridge.stage_names(catalogue)
    names = possible if everything else possible & bridge.made_stages(place)
    with at_the_books(place):
        changed = bridge.write_dvc_yaml(catalogue, names)
    said = "written" if changed else "is up to date"
    click.echo(f"{bridge.DVC_FILE} {said}: {len(names)} of {len(possible)} stages")
    for line in bridge.unwatched(catalogue):
        click.echo(f"note: {line}")
