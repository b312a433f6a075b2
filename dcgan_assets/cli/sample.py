"""`dcgan sample`: pictures from a group's generator, in one PNG."""

from __future__ import annotations

from pathlib import Path

import click

from dcgan_assets.cli.common import SEED, png_option
from dcgan_assets.engine.published import PublishedGenerator
from dcgan_assets.engine.workspace import Workspace


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
@png_option("samples.png")
@click.pass_obj
def sample(
    root: Path | None, group: str, count: int, seed: int, label: int | None, out: Path
) -> None:
    """Draw pictures from GROUP's generator into one PNG.

    `svhn` is drawn by the networks that `svhn.features.discriminator` names.
    """
    from dcgan_assets.cli.output_files import check_output, output_errors

    workspace = Workspace.find(root)
    check_output(workspace.root, out, ".png")
    published = PublishedGenerator.drawing_for(workspace, group)
    generator = published.network

    from dcgan_models.grids import tile, write_png

    labels = None if label is None else [label] * count
    pictures = generator.sample(count, seed, labels)
    columns = generator.preset.classes or round(count**0.5)
    with output_errors(out):
        write_png(out, tile(pictures, min(columns, count)))
    click.echo(f"{out}: {count} pictures by {published.name}, seed {seed}")
