"""Commands that make assets, and pictures from published networks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from dcgan_assets.cli.common import SEED, echo_lines, names_argument, open_in_browser
from dcgan_assets.engine.workspace import Workspace
from dcgan_models.errors import UserError

_F = TypeVar("_F", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path)


def _png_option(default: str) -> Callable[[_F], _F]:
    """`-o`, where the picture goes."""
    return click.option(
        "-o",
        "out",
        default=default,
        show_default=True,
        type=_FILE,
        help="The PNG; one that is there is replaced.",
    )


@click.command()
@names_argument
@click.option("--partition", help="Only this shard of sharded assets.")
@click.option("--only", is_flag=True, help="No ancestors: fail where an input is missing.")
@click.option("--force", is_flag=True, help="Make again what is up to date (not its ancestors).")
@click.option("--seed", type=SEED, help="For a new training; else the stored seed is kept.")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@click.pass_obj
def materialize(
    root: Path | None,
    names: tuple[str, ...],
    partition: str | None,
    only: bool,
    force: bool,
    seed: int | None,
    dry_run: bool,
) -> None:
    """Bring assets up to date, by key or group; everything without a name.

    Missing or stale ancestors come along. What failed blocks only what needs it, and the next
    call makes only that.
    """
    from dcgan_assets.cli.materialize import Request, materialise

    request = Request(names, partition, only, force, seed, dry_run)
    sys.exit(materialise(Workspace.find(root), request))


@click.command()
@click.option("--open", "opened", is_flag=True, help="Show it in the browser.")
@click.pass_obj
def report(root: Path | None, opened: bool) -> None:
    """Write the page with every figure and table of the paper, from what has been made so far.

    Nothing else is made for it; what is not there is shown as missing.
    """
    from dcgan_assets.cli.materialize import Request, materialise, page_path

    workspace = Workspace.find(root)
    code = materialise(workspace, Request(("report",)))
    if code == 0 and opened:
        open_in_browser(page_path(workspace).as_uri())
    sys.exit(code)


@click.command()
@click.argument("group")
@click.option(
    "-n",
    "count",
    default=64,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="How many.",
)
@click.option("--seed", default=0, show_default=True, type=SEED, help="Of the latents.")
@click.option("--label", type=int, help="Only this class, for a conditional network.")
@_png_option("samples.png")
@click.pass_obj
def sample(
    root: Path | None, group: str, count: int, seed: int, label: int | None, out: Path
) -> None:
    """Draw pictures from GROUP's generator into one PNG."""
    from dcgan_assets.cli.sample import draw_sample

    click.echo(draw_sample(Workspace.find(root), group, count, seed, label, out))


@click.command()
@click.argument("group")
@click.argument("photograph", type=click.Path(path_type=Path))
@_png_option("inverted.png")
@click.option(
    "--restarts",
    default=8,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="Starts, all at once.",
)
@click.option(
    "--steps",
    default=300,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="Of each start.",
)
@click.option("--seed", default=0, show_default=True, type=SEED, help="Of the starts.")
@click.option(
    "--add",
    metavar="EXPRESSION",
    help='Picked concepts to add, as "smiling_woman - neutral_woman".',
)
@click.option("--save", type=_FILE, help="Write the z here: a .npy.")
@click.pass_obj
def invert(
    root: Path | None,
    group: str,
    photograph: Path,
    out: Path,
    restarts: int,
    steps: int,
    seed: int,
    add: str | None,
    save: Path | None,
) -> None:
    """Find what GROUP's generator draws most like PHOTOGRAPH, from several starts at once.

    The PNG shows the photograph's central square beside the nearest picture; each start's error
    is printed, because a generator draws few photographs well. With --add, arithmetic on concepts
    picked with `dcgan annotate` goes on from there.
    """
    from dcgan_assets.cli.invert import invert_photograph

    workspace = Workspace.find(root)
    budget = {"restarts": restarts, "steps": steps, "seed": seed}
    echo_lines(invert_photograph(workspace, group, photograph, out, **budget, add=add, save=save))


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME [OTHER]]")
def presets(names: tuple[str, ...]) -> None:
    """List the networks, print one's layer tables, or what differs between two, and why."""
    from dcgan_assets.cli.presets import compare_presets, list_presets, show_preset

    match names:
        case ():
            click.echo(list_presets())
        case (name,):
            click.echo(show_preset(name))
        case (name, other):
            click.echo(compare_presets(name, other))
        case _:
            raise UserError(f"presets: at most two names, not {len(names)}")
