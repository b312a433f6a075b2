"""`dcgan engine`: the files by which runs are spread over machines."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import Engine


@click.command()
@click.argument("name", type=click.Choice(get_args(Engine)))
@click.pass_obj
def engine(root: Path | None, name: Engine) -> None:
    """Make everything on machines that NAME connects, or on this one alone (local).

    Sets machine.engine in params.yaml, and writes into the folder cluster what the engine needs;
    files that are there stay as they are.
    """
    from dcgan_assets.engine.engines import require_extra, write_cluster
    from dcgan_assets.params.editing import set_engine

    workspace = Workspace.find(root)
    workspace.params  # noqa: B018  (what is wrong in params.yaml is said first)
    if name != "local":
        require_extra(name)
        for written in write_cluster(workspace.root, name):
            click.echo(f"written: {written}")
    set_engine(workspace.root, name)
    click.echo(f"params.yaml: machine.engine: {name}")
    if name != "local":
        click.echo("next: fill in cluster/env, then docs/how-to/machines.md")
