"""Picks and boxes for figures: a person's where there are any, else a judge's or a stated rule's.

A person's lie in annotations/GROUP/ and always win: where the file is there, nothing is added to
it. Where it is not, the group's judge picks what it sees; a group without one has a rule on what
can be measured of the generator's pictures. Whatever is made of that says `judge` or `auto`. The
picks that a figure was made from are published beside it, in the files' own form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from dcgan_assets.assets.training.judge import PICKS, REPORTS
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import Reading, where_there
from dcgan_models.errors import UserError

if TYPE_CHECKING:
    from dcgan_models.internals.picking import Picker

PERSON, AUTO = "person", "auto"
# The paper drew 52 window boxes on 150 samples (section 6.3.1).
_SAMPLES, _BOXES = 150, 52

_BY = {
    PERSON: "picked by a person",
    "judge": "picked by a judge",
    AUTO: "picked by rule (auto)",
}
_NOTES = {
    PERSON: "",
    "judge": (
        " Nobody has picked here: a judge did, that learned from drawn pictures what is to be seen "
        "on them; another one reports. `dcgan annotate GROUP` is for picking by eye."
    ),
    AUTO: (
        " Nobody has picked here: exemplars and boxes follow a rule on what can be measured of the "
        "generated pictures (brightness, side, colour, texture; bright spots). `dcgan annotate "
        "GROUP` is for picking by eye, as the paper did."
    ),
}


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


def by_whom(picked_by: str) -> str:
    """Who picked, in words for a caption."""
    return _BY[picked_by]


def notes(picked_by: str, text: str) -> str:
    """Notes of a result, which say where the picks are not a person's."""
    return text + _NOTES[picked_by]


def open_picker(work: Work) -> Picker:
    """Who picks where no person has: the judge of this step's group, else the rule."""
    from dcgan_models.internals.picking import JudgePicker, Rule
    from dcgan_models.metrics.judge import load_judge

    judge = work.sibling("judge")
    if judge not in work.step.inputs:
        return Rule()
    folder = work.input(judge)
    return JudgePicker(load_judge(folder / PICKS), load_judge(folder / REPORTS))


def open_samples(work: Work) -> tuple[Any, Subject]:
    """The generator of this step's group, and what annotations say of its fixed samples.

    Raises:
        UserError: It has none, so that there is nothing to pick from.
    """
    from dcgan_models import load_generator

    key = work.sibling("generator")
    generator = load_generator(work.input(key), device=work.params.machine.device)
    return generator, Subject.of(work.step.group, work.input_meta(key).data_version, generator)


def pick_concepts(
    work: Work, generator: Any, subject: Subject, names: Sequence[str], *, count: int, least: int
) -> Concepts:
    """The exemplars of some concepts, published as `concepts.json` beside the figure.

    Args:
        work: Of a step that reads its group's generator.
        generator, subject: As `open_samples` gives them.
        names: Concepts that are needed.
        count: Exemplars a concept where no person has picked.
        least: Exemplars that each concept must have.

    Raises:
        UserError: The file is not of the format or for another generator; a concept is unknown
            or has too few picks; or there is no file, and nothing that picks knows a concept.
    """
    from dcgan_models.internals.exemplars import exemplar_rows

    path = concepts_path(work.root, subject.group)
    try:
        concepts = read_concepts(path, subject)
        exemplar_rows(concepts.picks, names, subject.samples, least=least)
    except FileNotFoundError:
        concepts = _picked_concepts(work, generator, names, count, subject, path)
    except UserError as error:
        raise UserError(_about(path, error)) from None
    write_concepts(work.out() / path.name, concepts, subject.group)
    return concepts


def pick_boxes(work: Work, generator: Any, subject: Subject, category: str) -> Boxes:
    """The boxes of one category, published as `boxes.coco.json` beside the figure.

    The rule knows no windows: where it draws them, boxes have a category of its own.

    Raises:
        UserError: The file is not COCO, for another generator, or has no box of the category; or
            there is no file, and nothing is found in its place.
    """
    path = boxes_path(work.root, subject.group)
    try:
        found = read_boxes(path, subject)
    except FileNotFoundError:
        boxes = _picked_boxes(work, generator, category, subject, path)
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


def _about(path: Path, error: UserError) -> str:
    line = str(error)
    return line if line.startswith(str(path)) else f"{path}: {line}"


def _picked_concepts(
    work: Work, generator: Any, names: Sequence[str], count: int, subject: Subject, path: Path
) -> Concepts:
    picker = open_picker(work)
    try:
        found = picker.concepts(generator.draw(generator.fixed_z), names, count)
    except UserError as error:
        raise _missing(path, subject, error) from None
    picks = {name: tuple(sorted(found[name])) for name in sorted(found)}
    return Concepts(subject.generator, picker.name, picks)


def _picked_boxes(work: Work, generator: Any, category: str, subject: Subject, path: Path) -> Boxes:
    picker = open_picker(work)
    pictures = generator.draw(generator.fixed_z[:_SAMPLES])
    try:
        name, found = picker.boxes(pictures, category, _BOXES)
    except UserError as error:
        raise _missing(path, subject, error) from None
    boxes = tuple(Box(b.picture, name, b.x, b.y, b.width, b.height) for b in found)
    return Boxes(subject.generator, picker.name, tuple(range(len(pictures))), boxes)


def _missing(path: Path, subject: Subject, error: UserError) -> UserError:
    return UserError(
        f"{path} is missing, and nothing picks in its place: {error}; pick with "
        f"`dcgan annotate {subject.group}`"
    )
