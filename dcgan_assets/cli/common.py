"""What the commands share. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dcgan_assets.engine.workspace import Workspace

if TYPE_CHECKING:
    from dcgan_assets.engine.catalogue import Catalogue

_F = TypeVar("_F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)
SEED = click.IntRange(0, 2**63 - 1)
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

    return open_catalogue(Workspace.find(root))


def echo_lines(lines: Iterable[str]) -> None:
    """Print lines as they come."""
    for line in lines:
        click.echo(line)


def open_in_browser(address: str) -> None:
    """Show a page in the user's browser, which may take until it is closed."""
    import webbrowser

    webbrowser.open(address)
