"""`dcgan invert`: the picture of a group's generator that is nearest a photograph.

What comes of it is a z like those of the fixed samples, and arithmetic goes on from there: with an
expression, the photograph is drawn again with the concepts added.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcgan_assets.annotate.files import Subject, concepts_path, read_concepts
from dcgan_assets.cli.output_files import check_output, output_errors
from dcgan_assets.cli.sample import open_generator
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.sources.reading.decode import Refused, decode, thumbnails
from dcgan_models.errors import UserError
from dcgan_models.internals.expressions import concepts_of, evaluate, parse_expression

if TYPE_CHECKING:  # torch, which bad input can do without
    from dcgan_models.pixels import Pixels

# Photographs have some 20 MB at most.
_LARGEST_FILE = 256 * 2**20
_GAP = 4


def invert_photograph(
    workspace: Workspace,
    group: str,
    photograph: Path,
    out: Path,
    *,
    restarts: int,
    steps: int,
    seed: int,
    add: str | None = None,
    save: Path | None = None,
) -> Iterator[str]:
    """Find the z nearest a photograph; writes it beside its picture and yields lines that tell.

    Args:
        group: Whose generator draws.
        photograph: Its central square is looked for, at the generator's size.
        out: PNG: the photograph, the nearest picture, and that picture with `add`.
        restarts, steps, seed: As for `dcgan_models.internals.inversion.invert`.
        add: Expression of the group's picked concepts that is added to the z.
        save: Where to write the z as a plain array, float32 (z_dim,).

    Raises:
        UserError: The photograph cannot be read, there is no such generator or it is
            conditional, a concept is unknown or has no picks, or a file cannot be written.
    """
    check_output(workspace.root, out, ".png", reads=photograph)
    if save is not None:
        check_output(workspace.root, save, ".npy", reads=photograph)
    square = read_square(photograph)
    generator, whose = open_generator(workspace, group)
    if generator.preset.classes:
        raise UserError(f"{whose}: a conditional generator, which has no z without a label")
    direction = None if add is None else _direction(workspace.root, whose, generator, add)
    (picture,) = thumbnails(square, (generator.preset.image[1],))

    from dcgan_models.internals.inversion import invert

    found = invert(generator, picture, restarts=restarts, steps=steps, seed=seed)
    for number, error in enumerate(found.errors, 1):
        yield f"start {number} of {restarts}: {error:.2f} grey levels (RMSE)"
    pictures = [picture, found.pictures[0]]
    if direction is not None:
        pictures += list(generator.draw((found.z[0] + direction)[None]))
    _write(out, pictures, save, found.z[0])
    added = "" if add is None else f" | {add} added"
    yield f"{out}: photograph | nearest picture by {whose}{added}"
    if save is not None:
        yield f"{save}: its z"


def read_square(path: Path) -> Pixels:
    """The pixels of a photograph; its header is looked at before anything is allocated.

    Returns:
        uint8 (height, width, 3), RGB, upright.

    Raises:
        UserError: The file is missing, too large, or no picture that can be read.
    """
    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            raise UserError(f"{path}: larger than {_LARGEST_FILE >> 20} MiB")
        found = decode(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if isinstance(found, Refused):
        raise UserError(f"{path}: {found.reason}")
    return found.pixels


def _direction(root: Path, whose: str, generator: Any, expression: str) -> Any:
    """What an expression of picked concepts comes to, (z_dim,)."""
    from dcgan_assets.annotate.workbench import require_generator
    from dcgan_models.internals.exemplars import mean_latents

    terms = parse_expression(expression)
    group, z = whose.partition("/")[0], generator.fixed_z
    if z is None:
        raise UserError(f"{whose}: it has no fixed samples, so no concepts can be picked")
    _, height, width = generator.preset.image
    subject = Subject(group, require_generator(root, group), len(z), height, width)
    path = concepts_path(root, group)
    try:
        concepts = read_concepts(path, subject)
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: pick concepts with `dcgan annotate {group}` first"
        ) from None
    return evaluate(terms, mean_latents(z, concepts.picks, concepts_of(terms)))


def _write(out: Path, pictures: list[Pixels], save: Path | None, z: Any) -> None:
    import numpy as np

    from dcgan_models.files import open_atomic
    from dcgan_models.grids import beside, write_png

    with output_errors(out):
        write_png(out, beside(pictures, _GAP))
    if save is not None:
        with output_errors(save), open_atomic(save) as stream:
            np.save(stream, z.numpy())
