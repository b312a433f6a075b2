"""Commands on what was made: what is stale, booked and released, and what is to go.

Each is a few lines around a function of `releases`, `automation` or `engine`.
"""

from __future__ import annotations

from pathlib import Path

import click

from dcgan_assets.cli.common import echo_lines, find_catalogue, names_argument
from dcgan_assets.engine.workspace import Workspace
from dcgan_models.errors import UserError


@click.command()
@click.pass_obj
def register(root: Path | None) -> None:
    """Tell Dagster what records/ says was released, after `dvc pull`: a green graph."""
    from dcgan_assets.releases.register import register_released

    echo_lines(register_released(find_catalogue(root)))


@click.command()
@click.pass_obj
def status(root: Path | None) -> None:
    """Say what is stale, not in DVC's books, not pushed, or unknown to Dagster."""
    from dcgan_assets.releases.status import status_lines

    echo_lines(status_lines(find_catalogue(root)))


@click.command()
@names_argument
@click.pass_obj
def release(root: Path | None, names: tuple[str, ...]) -> None:
    """Fill the committed remote and write records/, so that a clone needs no credentials.

    Of what is named and all that it is made from, or of everything; it must be up to date. What
    may not be passed on stays here.
    """
    from dcgan_assets.engine.records import RECORDS
    from dcgan_assets.releases.release import REMOTE, make_release

    made = make_release(find_catalogue(root), names)
    click.echo(f"{REMOTE}: {len(made.assets)} assets, {made.bytes / 1e6:.1f} MB")
    click.echo(f"{RECORDS}: {made.records} written")
    click.echo(f"next: git add {REMOTE} {RECORDS} dvc.yaml dvc.lock && git commit")


@click.command()
@click.argument("key")
@click.pass_obj
def log(root: Path | None, key: str) -> None:
    """Say which versions of KEY were published: commit, date, run, seed, scores."""
    from dcgan_assets.releases.history import log_lines

    echo_lines(log_lines(find_catalogue(root), key))


@click.command()
@click.argument("key")
@click.option("--to", metavar="VERSION", help="Or a commit, as `dcgan log` shows them.")
@click.pass_obj
def rollback(root: Path | None, key: str, to: str | None) -> None:
    """Bring back the version of KEY that was published before, or the one that is named."""
    from dcgan_assets.releases.rollback import rollback as bring_back

    echo_lines(bring_back(find_catalogue(root), key, to))


@click.command()
@names_argument
@click.option(
    "--tolerance",
    default=0.005,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Of a number relative to itself or to 1, whichever is larger; of a pixel in 255 levels.",
)
@click.pass_obj
def reproduce(root: Path | None, names: tuple[str, ...], tolerance: float) -> None:
    """Make a release again from its pulled networks, and compare: exit with 1 if it differs.

    It pulls and registers first. What is published stays as it is: all is made in runs/reproduce.
    """
    from dcgan_assets.releases.reproduce import reproduce as make_again

    echo_lines(make_again(find_catalogue(root), names, tolerance))


@click.command()
@click.pass_obj
def clean(root: Path | None) -> None:
    """Remove what was made here: artefacts, trainings' work, Dagster's records.

    Downloads, answers of the web and whatever else is not known as made here stay, and are named.
    """
    from dcgan_assets.engine.cleaning import clean as remove_all

    echo_lines(remove_all(Workspace.find(root).root))


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Remove nothing; say what would go.")
@click.pass_obj
def collect_garbage(root: Path | None, dry_run: bool) -> None:
    """Remove work folders, records and logs of runs that have rested long enough.

    The days are under `retention` in params.yaml. What is published stays, and so does what a
    training needs that was stopped and could go on.
    """
    import dagster as dg

    from dcgan_assets.automation.clearing import clear
    from dcgan_assets.engine.instance import prepare_home

    catalogue = find_catalogue(root)
    # Not `open_instance`, which asks for room: this is what makes room on a full disk.
    prepare_home(catalogue.workspace)
    with dg.DagsterInstance.get() as instance:
        echo_lines(clear(catalogue, instance, dry_run=dry_run))


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
