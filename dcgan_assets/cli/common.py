"""What the commands share. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dcgan_assets.engine.workspace import Workspace

if TYPE_CHECKING:
    from dcgan_assets.engine.catalogue import Catalogue

SEED = click.IntRange(0, 2**63 - 1)
names_argument = click.argument("names", nargs=-1, metavar="[KEY|GROUP]...")


def find_catalogue(root: Path | None) -> Catalogue:
    """The steps of the workspace that `--root` names, or that is found."""
    from dcgan_assets.assets.catalogue import open_catalogue

    return open_catalogue(Workspace.find(root))


def echo_lines(lines: Iterable[str]) -> None:
    """Print lines as they come."""
    for line in lines:
        click.echo(line)


def open_in_browser(address: str) -> None:
    """Show a page in the user's browser, which may take until it is closed."""
    import webbrowser

    webbrowser.open(address)
