"""`dcgan new-group`: a section of params.yaml for a folder of somebody's own pictures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from dcgan_assets.cli.common import FILE
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.editing import add_group_section
from dcgan_assets.params.file import PARAMS_FILE, name_problem
from dcgan_assets.params.training import FEWEST_HELD_OUT
from dcgan_assets.params.user_places import require_apart
from dcgan_models.errors import UserError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
# Fewer cannot be dealt into minibatches whose statistics mean anything.
_FEWEST = 50
_UPDATES = 3_000
_EXTRACTOR_UPDATES = 200  # of minibatches of 128 pictures


@click.command("new-group")
@click.argument("name")
@click.option(
    "--from", "folder", required=True, type=FILE, help="Folder of pictures, at any depth."
)
@click.option("--size", default=64, show_default=True, type=int, help="Side in pixels.")
@click.pass_obj
def new_group(root: Path | None, name: str, folder: Path, size: int) -> None:
    """Add NAME, a group of your own pictures, to params.yaml."""
    section = add_group(Workspace.find(root), name, folder, size)
    candidate = section["candidate"]
    click.echo(f"params.yaml: groups.{name}, pictures from {section['images']['path']}")
    click.echo(f"training: {candidate['epochs']} epochs of minibatches of {candidate['batch']}")
    click.echo(f"next: dcgan materialize {name}")


def add_group(workspace: Workspace, name: str, folder: Path, size: int) -> dict[str, Any]:
    """Add the section `groups.NAME` to params.yaml, comments and all else as they were.

    Args:
        folder: Of pictures, at any depth; inside the workspace it is named relative to it.
        size: Side of the training pictures.

    Returns:
        The section.

    Raises:
        UserError: The name is taken or not allowed, the folder lies where we write or holds too
            few files, or params.yaml cannot be written.
    """
    from dcgan_assets.sources.folder import Folder

    if not _NAME.fullmatch(name):
        raise UserError(f"group name {name!r}: small letters, digits and _ are allowed")
    if problem := name_problem(name):
        raise UserError(problem)
    if name in workspace.params.groups:
        raise UserError(f"groups.{name} is in {PARAMS_FILE} already; choose another name")
    folder = folder.resolve()
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    groups = (*workspace.params.group_names(), name)
    require_apart(workspace.root.resolve(), groups, folder, f"groups.{name}")
    n = len(Folder(folder))
    if n < _FEWEST:
        raise UserError(f"{folder}: {n} files; at least {_FEWEST} pictures are needed")
    section = _section(workspace, folder, size, n)
    add_group_section(workspace.root, name, section)
    return section


def _section(workspace: Workspace, folder: Path, size: int, n: int) -> dict[str, Any]:
    """Settings for so many pictures: a small network on a small machine, the paper's else."""
    small = workspace.params.profile == "sample"
    batch = 16 if small else min(128, n // 8)
    held_out = max(FEWEST_HELD_OUT, n - n * 9 // 10)
    trained = n - held_out
    minibatches = max(1, trained // batch)
    measured = min(10_000, held_out)
    inside = folder.is_relative_to(workspace.root)
    return {
        "images": {
            "source": "folder",
            "path": str(folder.relative_to(workspace.root) if inside else folder),
            "size": size,
            "shards": min(64, 1 + n // 50_000),
        },
        "training_set": {"held_out": 0.1},
        "extractor": {
            "epochs": max(5, -(-_EXTRACTOR_UPDATES * (1 if small else 10) * 128 // trained)),
        },
        "candidate": {
            "preset": "lsun64",
            "size": size,
            "width": 0.125 if small else 1.0,
            "batch": batch,
            "learning_rate": 0.001 if small else 0.0002,
            "epochs": max(5, -(-_UPDATES * (1 if small else 10) // minibatches)),
            "decay_epochs": 0,
            "snapshots": [1, 5],
            "health": {"diversity": 0.3},
        },
        "quality": {
            "samples": measured,
            "kid_size": min(1_000, 2 * measured // 3),
            "snapshot_samples": min(measured, 1_000),
        },
        "samples": {"rows": 5, "columns": 10, "epochs": [1, 5]},
        "latent_walk": {"segments": 10, "steps": 10, "pixel_rows": 2},
        "explorer": {"samples": 40},
    }
