"""The `dcgan` command: everything that a user does outside the web UI."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dcgan_assets.cli import (
    books,
    compare,
    doctor,
    engine,
    explore,
    export,
    init,
    invert,
    join,
    materialize,
    new_group,
    pages,
    presets,
    sample,
)
from dcgan_assets.engine.terminal import INTERRUPTED
from dcgan_models.errors import UserError


class _Commands(click.Group):
    """Prints a `UserError` as one line and exits with 1."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except UserError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(1)
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted", err=True)
            sys.exit(INTERRUPTED)


_COMPLETION = """\b
Completion of commands and options, for this shell or in its start-up file:
  bash, zsh   eval "$(_DCGAN_COMPLETE=bash_source dcgan)" (or zsh_source)
  fish        _DCGAN_COMPLETE=fish_source dcgan | source
"""


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_COMPLETION,
)
@click.option("--root", type=click.Path(path_type=Path), help="The workspace; found by default.")
@click.version_option(package_name="dcgan-assets")
@click.pass_context
def main(ctx: click.Context, root: Path | None) -> None:
    """Reproduce the DCGAN paper: every table and figure as a Dagster asset, stored with DVC."""
    ctx.obj = root


_COMMANDS = (
    *(init.init, new_group.new_group, engine.engine, doctor.doctor, books.dvc_sync),
    *(books.register, books.status, books.release, books.log),
    compare.compare,
    *(books.rollback, books.reproduce, books.collect_garbage, books.clean),
    *(materialize.materialize, join.join, materialize.report),
    *(sample.sample, invert.invert, explore.explore, export.export, presets.presets),
    *(pages.annotate, pages.ui),
)
for _command in _COMMANDS:
    main.add_command(_command)
