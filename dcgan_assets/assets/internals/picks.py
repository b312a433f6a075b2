"""Picks and boxes for figures: a person's where there are any, else those of a stated rule.

A person's lie in annotations/GROUP/ and always win: where the file is there, nothing is added to
it by rule. Where it is not, `auto_picks` picks by what can be measured of the generator's pictures,
 and whatever is made of that says `auto`. The picks that a figure was made
from are published beside it, in the files' own form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from dcgan_assets.annotate.files import (
    Box,
    Boxes,
    Concepts,
    Subject,
    boxes_path,
    concepts_path,
    read_boxes,
    read_concepts,
    revision,
    write_boxes,
    write_concepts,
)
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import Reading, where_there
from dcgan_models.errors import UserError

AUTO: Literal["auto"] = "auto"
# The paper drew 52 window boxes on 150 samples (section 6.3.1).
_SAMPLES, _BOXES = 150, 52

AUTO_NOTE = (
    "Nobody has picked here: exemplars and boxes follow a rule on what can be measured of the "
    "generated pictures (brightness, side, colour, texture; bright spots). `dcgan annotate GROUP` "
    "is for picking by eye, as the paper did."
)


def concepts_version(reading: Reading) -> str:
    """A hash of the concepts.json of a step's group, or `auto` where there is none."""
    return _version(concepts_path(reading.root, reading.step.group))


def concepts_file(reading: Reading) -> tuple[str, ...]:
    """`Step.files` of a step that reads the concepts.json of its group, where there is one."""
    return where_there(reading, concepts_path(Path(), reading.step.group))


def boxes_version(reading: Reading) -> str:
    """A hash of the boxes.coco.json of a step's group, or `auto` where there is none."""
    return _version(boxes_path(reading.root, reading.step.group))


def boxes_file(reading: Reading) -> tuple[str, ...]:
    """`Step.files` of a step that reads the boxes.coco.json of its group, where there is one."""
    return where_there(reading, boxes_path(Path(), reading.step.group))


def _version(path: Path) -> str:
    try:
        return revision(path)[:32] or AUTO
    except OSError as error:
        raise UserError(f"{path}: not readable ({error.strerror})") from None


def picker(picked_by: str) -> str:
    """Who picked, in words for a caption."""
    return "picked by rule (auto)" if picked_by == AUTO else "picked by a person"


def notes(picked_by: str, text: str) -> str:
    """Notes of a result, which say where the picks are not a person's."""
    return f"{text} {AUTO_NOTE}" if picked_by == AUTO else text


def open_samples(work: Work) -> tuple[Any, Any]:
    """The generator of this step's group, and the latents of its fixed samples, (n, z_dim).

    Raises:
        UserError: It has none, so that there is nothing to pick from.
    """
    from dcgan_models import load_generator

    folder = work.input(work.sibling("generator"))
    generator = load_generator(folder)
    if generator.fixed_z is None:
        raise UserError(f"{folder}: no fixed_z.npy, so there are no samples to pick from")
    return generator, generator.fixed_z


def pick_concepts(
    work: Work, generator: Any, names: Sequence[str], *, count: int, least: int
) -> Concepts:
    """The exemplars of some concepts, published as `concepts.json` beside the figure.

    Args:
        work: Of a step that reads its group's generator.
        generator: That generator.
        names: Concepts that are needed.
        count: Exemplars a concept where the rule picks.
        least: Exemplars that each concept must have.

    Raises:
        UserError: The file is not of the format or for another generator; a concept is unknown
            or has too few picks; or there is no file and no rule for a concept.
    """
    from dcgan_models.internals.exemplars import exemplar_rows

    subject = _subject(work, generator)
    path = concepts_path(work.root, subject.group)
    try:
        concepts = read_concepts(path, subject)
        exemplar_rows(concepts.picks, names, subject.samples, least=least)
    except FileNotFoundError:
        concepts = _auto_concepts(generator, names, count, subject, path)
    except UserError as error:
        raise UserError(_about(path, error)) from None
    write_concepts(work.out() / path.name, concepts, subject.group)
    return concepts


def pick_boxes(work: Work, generator: Any, category: str) -> Boxes:
    """The boxes of one category, published as `boxes.coco.json` beside the figure.

    The rule knows no windows: where it draws the boxes, they have a category of its own.

    Raises:
        UserError: The file is not COCO, for another generator, or has no box of the category.
    """
    subject = _subject(work, generator)
    path = boxes_path(work.root, subject.group)
    try:
        found = read_boxes(path, subject)
    except FileNotFoundError:
        boxes = _auto_boxes(generator, subject, path)
    else:
        names = sorted({box.name for box in found.boxes})
        if category not in names:
            known = ", ".join(names) or "none"
            raise UserError(
                f"{path}: no box of category {category!r:.60}; categories with boxes: {known:.200}"
            )
        boxes = replace(found, boxes=tuple(b for b in found.boxes if b.name == category))
    write_boxes(work.out() / path.name, boxes, subject)
    return boxes


def _subject(work: Work, generator: Any) -> Subject:
    """What annotations of this step's group are about."""
    key = work.sibling("generator")
    _, height, width = generator.preset.image
    version = work.input_meta(key).data_version
    return Subject(work.step.group, version, len(generator.fixed_z), height, width)


def _about(path: Path, error: UserError) -> str:
    line = str(error)
    return line if line.startswith(str(path)) else f"{path}: {line}"


def _auto_concepts(
    generator: Any, names: Sequence[str], count: int, subject: Subject, path: Path
) -> Concepts:
    from dcgan_models.internals.auto_picks import auto_concepts

    pictures = generator.draw(generator.fixed_z)
    try:
        found = auto_concepts(pictures, names, count)
    except UserError as error:
        raise UserError(
            f"{path} is missing, and no rule picks in its place: {error}; pick with "
            f"`dcgan annotate {subject.group}`"
        ) from None
    picks = {name: tuple(sorted(found[name])) for name in sorted(found)}
    return Concepts(subject.generator, AUTO, picks)


def _auto_boxes(generator: Any, subject: Subject, path: Path) -> Boxes:
    from dcgan_models.internals.auto_picks import SPOT, auto_boxes

    pictures = generator.draw(generator.fixed_z[:_SAMPLES])
    spots = auto_boxes(pictures, _BOXES)
    if not spots:
        raise UserError(
            f"{path} is missing, and no sample has a bright spot that the rule could take in its "
            f"place; draw boxes with `dcgan annotate {subject.group}`"
        )
    boxes = tuple(Box(s.picture, SPOT, s.x, s.y, s.width, s.height) for s in spots)
    return Boxes(subject.generator, AUTO, tuple(range(len(pictures))), boxes)
