"""What the commands share. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dcgan_assets.engine.workspace import Workspace
from dcgan_models.errors import printable

if TYPE_CHECKING:
    from dcgan_assets.engine.catalogue import Catalogue

_F = TypeVar("_F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)
SEED = click.IntRange(0, 2**63 - 1)
json_option = click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
names_argument = click.argument("names", nargs=-1, metavar="[KEY|GROUP]...")


def png_option(default: str) -> Callable[[_F], _F]:
    """`-o`, where the picture goes."""
    return click.option(
        "-o",
        "out",
        default=default,
        show_default=True,
        type=FILE,
        help="The PNG; one that is there is replaced.",
    )


def find_catalogue(root: Path | None) -> Catalogue:
    """The steps of the workspace that `--root` names, or that is found."""
    from dcgan_assets.assets.catalogue import open_catalogue
    from dcgan_assets.dvc.dvc_settings import keep_private

    workspace = Workspace.find(root)
    keep_private(workspace.root)
    return open_catalogue(workspace)


def echo_lines(lines: Iterable[str]) -> None:
    """Print lines as they come; what records of others say does not command the terminal."""
    for line in lines:
        click.echo(printable(line))


def echo_json(document: Any) -> None:
    """Print what a program is to read: one JSON document, and nothing else."""
    click.echo(json.dumps(document, indent=2, allow_nan=False))


def open_in_browser(address: str) -> None:
    """Show a page in the user's browser, which may take until it is closed."""
    import webbrowser

    webbrowser.open(address)
