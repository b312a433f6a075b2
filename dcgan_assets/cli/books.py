"""Commands on what was made: what is stale, booked and released, and what is to go.

Each is a few lines around a function of `dvc`, `automation` or `engine`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

import click

from dcgan_assets.cli.common import (
    echo_json,
    echo_lines,
    find_catalogue,
    json_option,
    names_argument,
)
from dcgan_assets.engine.workspace import Workspace
from dcgan_models.errors import UserError, printable


@click.command()
@click.pass_obj
def register(root: Path | None) -> None:
    """Tell Dagster what records/ says was released, after `dvc pull`: a green graph."""
    from dcgan_assets.dvc.register import register_released

    echo_lines(register_released(find_catalogue(root)))


@click.command()
@json_option
@click.pass_obj
def status(root: Path | None, as_json: bool) -> None:
    """Say what is stale, not in DVC's books, not pushed, or unknown to Dagster."""
    from dcgan_assets.dvc.status import read_standing

    standing = read_standing(find_catalogue(root))
    if as_json:
        echo_json(standing.document())
    else:
        echo_lines(standing.lines())


@click.command()
@names_argument
@click.pass_obj
def release(root: Path | None, names: tuple[str, ...]) -> None:
    """Fill the committed remote and write records/, so that a clone needs no credentials.

    Of what is named and all that it is made from, or of everything; it must be up to date. What
    may not be passed on stays here.
    """
    from dcgan_assets.dvc.release import make_release, remote_of
    from dcgan_assets.engine.records import RECORDS

    catalogue = find_catalogue(root)
    made = make_release(catalogue, names)
    place = catalogue.workspace.root
    remote = os.path.relpath(remote_of(place), place)
    click.echo(f"{remote}: {len(made.assets)} assets, {made.bytes / 1e6:.1f} MB")
    click.echo(f"{RECORDS}: {made.records} written")
    click.echo(f"next: git add {remote} {RECORDS} dvc.yaml dvc.lock && git commit")


@click.command()
@click.argument("name", metavar="GROUP|KEY")
@json_option
@click.pass_obj
def log(root: Path | None, name: str, as_json: bool) -> None:
    """Say what was published when, and why.

    Of a GROUP every publication of its networks that is kept here: id, date, seed, scores, and
    whether the candidate was published or the champion kept. Of an asset's KEY the versions that
    git and DVC have: commit, date, run, seed, scores.
    """
    from dcgan_assets.dvc.history import log_lines, log_rows
    from dcgan_assets.engine.publication_log import publication_lines, publication_rows

    catalogue = find_catalogue(root)
    of_asset = name in catalogue.by_key
    if not as_json:
        echo_lines(log_lines(catalogue, name) if of_asset else publication_lines(catalogue, name))
        return
    wrong: list[str] = []
    rows: list[dict[str, Any]]
    if of_asset:
        rows = [*log_rows(catalogue, name)]
    else:
        rows, wrong = publication_rows(catalogue, name)
    for line in wrong:
        click.echo(f"note: {printable(line)}", err=True)
    echo_json(rows)


@click.command()
@click.argument("name", metavar="GROUP|KEY")
@click.argument("to", metavar="[ID|VERSION]", required=False)
@click.pass_obj
def rollback(root: Path | None, name: str, to: str | None) -> None:
    """Bring back what was published before, which is a publication itself.

    Of a GROUP the networks of publication ID, as `dcgan log GROUP` names it. Of an asset's KEY a
    VERSION or commit that git and DVC have, as `dcgan log KEY` shows them; the one before what
    stands now without it.
    """
    from dcgan_assets.dvc.rollback import rollback as bring_back

    echo_lines(bring_back(find_catalogue(root), name, to))


@click.command()
@names_argument
@click.option(
    "--tolerance",
    default=0.005,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Of a number relative to itself or to 1, whichever is larger; of a pixel in 255 levels.",
)
@json_option
@click.pass_obj
def reproduce(root: Path | None, names: tuple[str, ...], tolerance: float, as_json: bool) -> None:
    """Make a release again from its pulled networks, and compare: exit with 1 if it differs.

    It pulls and registers first. What is published stays as it is: all is made in runs/reproduce.
    Of each picture it says by how many grey levels it differs at most.
    """
    from dcgan_assets.dvc.reproduce import compare_again, require_reproduced
    from dcgan_assets.dvc.reproduce import reproduce as make_again

    catalogue = find_catalogue(root)
    if not as_json:
        echo_lines(make_again(catalogue, names, tolerance))
        return
    with contextlib.redirect_stdout(sys.stderr):  # what is told on the way
        found = compare_again(catalogue, names, tolerance)
    echo_json({"tolerance": tolerance, "assets": [one.document() for one in found]})
    require_reproduced(found)


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
    """Remove work folders, records and logs of runs, and publications, that are old enough.

    What is old enough, `retention` in params.yaml says. What is published stays, and so does what a
    training needs that was stopped and could go on; of a group's networks the last ones.
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
    from dcgan_assets.dvc import dvc_yaml as bridge
    from dcgan_assets.dvc.dvc_commands import at_the_books

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
