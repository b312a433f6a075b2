"""`dcgan invert`: the picture of a group's generator that is nearest a photograph.

What comes of it is a z like those of the fixed samples, and arithmetic goes on from there: with an
expression, the photograph is drawn again with the concepts added.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dcgan_assets.cli.common import FILE, SEED, png_option
from dcgan_assets.engine.published import PublishedGenerator
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.sources.folder import FileBytes
from dcgan_assets.sources.reading.decode import Refused, thumbnails
from dcgan_assets.sources.reading.readers import decode_apart
from dcgan_models.errors import UserError
from dcgan_models.internals.expressions import concepts_of, evaluate, parse_expression

if TYPE_CHECKING:  # torch, which bad input can do without
    from dcgan_models.pixels import Pixels

_GAP = 4


@click.command()
@click.argument("group")
@click.argument("photograph", type=FILE)
@png_option("inverted.png")
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
@click.option("--save", type=FILE, help="Write the z here: a .npy.")
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
    from dcgan_assets.cli.output_files import check_output

    workspace = Workspace.find(root)
    check_output(workspace.root, out, ".png", reads=photograph)
    if save is not None:
        check_output(workspace.root, save, ".npy", reads=photograph)
    square = _read_square(photograph)
    published = PublishedGenerator.drawing_for(workspace, group)
    generator = published.network
    if generator.preset.classes:
        raise UserError(
            f"{published.name}: a conditional generator, which has no z without a label"
        )
    direction = None if add is None else _direction(workspace.root, published, add)
    (picture,) = thumbnails(square, (generator.preset.image[1],))

    from dcgan_models.internals.inversion import invert as find_nearest

    found = find_nearest(generator, picture, restarts=restarts, steps=steps, seed=seed)
    for number, error in enumerate(found.errors, 1):
        click.echo(f"start {number} of {restarts}: {error:.2f} grey levels (RMSE)")
    pictures = [picture, found.pictures[0]]
    if direction is not None:
        pictures += list(generator.draw((found.z[0] + direction)[None]))
    _write(out, pictures, save, found.z[0])
    added = "" if add is None else f" | {add} added"
    click.echo(f"{out}: photograph | nearest picture by {published.name}{added}")
    if save is not None:
        click.echo(f"{save}: its z")


def _read_square(path: Path) -> Pixels:
    """The pixels of a photograph, which is decoded in a process apart: it may be anybody's.

    Returns:
        uint8 (height, width, 3), RGB, upright.

    Raises:
        UserError: The file is missing, no plain file, too large, or no picture that can be read.
    """
    (found,) = decode_apart([FileBytes(os.fsencode(path))])
    if isinstance(found, Refused):
        raise UserError(f"{path}: {found.reason}")
    return found.pixels


def _direction(root: Path, published: PublishedGenerator, expression: str) -> Any:
    """What an expression of picked concepts comes to, (z_dim,)."""
    from dcgan_assets.annotate.files import Subject, concepts_path, read_concepts
    from dcgan_models.internals.exemplars import mean_latents

    terms = parse_expression(expression)
    generator: Any = published.network
    subject = Subject.of(published.group, published.version, generator)
    path = concepts_path(root, subject.group)
    try:
        concepts = read_concepts(path, subject)
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: pick concepts with `dcgan annotate {subject.group}` first"
        ) from None
    return evaluate(terms, mean_latents(generator.fixed_z, concepts.picks, concepts_of(terms)))


def _write(out: Path, pictures: list[Pixels], save: Path | None, z: Any) -> None:
    import numpy as np

    from dcgan_assets.cli.output_files import output_errors
    from dcgan_models.files import open_atomic
    from dcgan_models.grids import beside, write_png

    with output_errors(out):
        write_png(out, beside(pictures, _GAP))
    if save is not None:
        with output_errors(save), open_atomic(save) as stream:
            np.save(stream, z.numpy())
