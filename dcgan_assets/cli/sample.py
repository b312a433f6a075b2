"""`dcgan sample`: pictures from a group's generator, in one PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dcgan_assets.cli.common import SEED, png_option
from dcgan_assets.engine.workspace import Workspace
from dcgan_models.errors import UserError


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
    """Draw pictures from GROUP's generator into one PNG."""
    from dcgan_assets.cli.output_files import check_output, output_errors

    workspace = Workspace.find(root)
    check_output(workspace.root, out, ".png")
    generator, whose = open_generator(workspace, group)

    from dcgan_models.grids import tile, write_png

    labels = None if label is None else [label] * count
    pictures = generator.sample(count, seed, labels)
    columns = generator.preset.classes or round(count**0.5)
    with output_errors(out):
        write_png(out, tile(pictures, min(columns, count)))
    click.echo(f"{out}: {count} pictures by {whose}, seed {seed}")


def open_generator(workspace: Workspace, group: str) -> tuple[Any, str]:
    """A generator that can sample, and its name; raise `UserError` where there is none.

    `svhn` is drawn by the networks that `svhn.features.discriminator` names.
    """
    workspace.params.require_trained(group)
    features = workspace.params.svhn.features if group == "svhn" else None
    if features is not None and features.released is not None:
        from dcgan_models.networks import estimate_sampling_statistics
        from dcgan_models.released import load_released_svhn

        generator, _ = load_released_svhn(workspace.root / features.released)
        estimate_sampling_statistics(generator, seed=0)
        return generator, "the authors' SVHN generator"
    if features is not None and features.discriminator == "imagenet":
        group = "imagenet"
    folder = workspace.root / "models" / group / "generator"
    if not folder.is_dir():
        raise UserError(f"{group}: no generator is published; run `dcgan materialize {group}`")

    from dcgan_models import load_generator

    return load_generator(folder), f"{group}/generator"
