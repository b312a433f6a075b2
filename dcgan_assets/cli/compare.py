"""`dcgan compare`: two publications of a group's networks side by side."""

from __future__ import annotations

from pathlib import Path

import click

from dcgan_assets.cli.common import echo_json, echo_lines, find_catalogue, json_option, png_option


@click.command()
@click.argument("group")
@click.argument("ids", nargs=-1, type=click.IntRange(1), metavar="[ID ID]")
@json_option
@png_option("compare.png")
@click.pass_obj
def compare(root: Path | None, group: str, ids: tuple[int, ...], as_json: bool, out: Path) -> None:
    """Put two publications of GROUP's networks side by side: a picture, and a table of scores.

    IDs are those of `dcgan log GROUP`; without them it is the last networks and those before. Both
    draw the same latents, where they take such.
    """
    from dcgan_assets.assets.publishing.side_by_side import (
        choose_two,
        comparison_lines,
        describe,
        draw,
        look_at,
    )
    from dcgan_assets.cli.output_files import check_output, output_errors

    if len(ids) not in {0, 2}:
        raise click.UsageError("two IDs are compared, or none are named")
    catalogue = find_catalogue(root)
    check_output(catalogue.workspace.root, out, ".png")
    sides = [look_at(catalogue, one) for one in choose_two(catalogue, group, ids)]
    with output_errors(out):
        draw(sides, out)
    if as_json:
        echo_json({**describe(sides), "picture": str(out)})
        return
    echo_lines(comparison_lines(sides))
    click.echo(f"{out}: pictures and losses of both")
