"""Figures 7 and 8: arithmetic on concepts, and samples turned from one concept to another.

The paper's concepts are faces that somebody picked by eye. Any group has these figures that has
sections for them; where nobody has picked, the concepts are those that the group's judge reads, or
that a rule can measure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dcgan_assets.annotate.files import Concepts
from dcgan_assets.assets.internals.picks import (
    PERSON,
    by_whom,
    concepts_file,
    concepts_version,
    notes,
    open_picker,
    open_samples,
    pick_concepts,
)
from dcgan_assets.assets.pictures.shards import stand_in
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.results import Row
from dcgan_assets.engine.step import Outcome, Step, StepMaker
from dcgan_assets.params.internals import TurnVector, VectorArithmetic
from dcgan_models.files import write_json
from dcgan_models.grids import above, tile, write_png
from dcgan_models.internals.expressions import concepts_of, expected_concept, parse_expression
from dcgan_models.pixels import Pixels

if TYPE_CHECKING:
    from dcgan_models.internals.picking import Picker

VECTOR_FILE = "vector.json"
# "A turn vector was created from four averaged samples of faces looking left vs looking right."
_TURNED = 4
_GAP = 8
_COLUMNS = 16


# --- Figure 7 ---------------------------------------------------------------------------------


def draw_arithmetic(work: Work) -> Outcome:
    """Draw each expression, its neighbours, the same on pixels, and how far exemplars matter."""
    from dcgan_models.internals import arithmetic

    section: VectorArithmetic = work.section
    generator, subject = open_samples(work)
    z = generator.fixed_z
    names = [name for e in section.expressions for name in concepts_of(parse_expression(e))]
    least = arithmetic.EXEMPLARS
    needed = [*dict.fromkeys(names)]
    concepts = pick_concepts(work, generator, subject, needed, count=least, least=least)
    by = by_whom(concepts.picked_by)
    agree = _agreement(work, generator, concepts)
    rows: list[Row] = []
    sheets, spreads = [], []
    for expression in section.expressions:
        of = (generator, z, concepts.picks, expression)
        found = arithmetic.vector_arithmetic(*of, seed=section.seed, reach=section.reach)
        one, three = (
            arithmetic.exemplar_spread(*of, count, draws=section.draws, seed=section.seed)
            for count in (1, least)
        )
        rows += _spread_rows(expression, (one, three))
        if agree is not None:
            rows += _agreement_rows(expression, found, agree)
        sheets.append(_captioned(found.sheet(), f"{expression}, {by}"))
        spreads += [_spread_sheet(f"{expression}, {by}", spread) for spread in (one, three)]
    figure = above(sheets, _GAP)
    write_png(work.out() / "figure.png", figure)
    write_png(work.out() / "spread.png", above(spreads, _GAP))
    _write_result(work, "Figure 7 and section 6.3.2", rows, concepts, _ARITHMETIC_NOTE)
    return Outcome(
        metadata={
            "picked_by": concepts.picked_by,
            **{row.name: row.value for row in rows},
        },
        figures={
            "figure.png": "expressions of concepts, and the same on pixels",
            "spread.png": "one exemplar against three",
        },
    )


def vector_arithmetic_step(step: StepMaker, *, judge: bool) -> Step:
    """Figure 7 of a group; `judge` where it has one, which picks where no person has."""
    return _concepts_step(
        step,
        "vector_arithmetic",
        judge=judge,
        compute=draw_arithmetic,
        about=(
            "Figure 7: expressions of concepts with eight neighbours, the same on pixels, and one "
            "exemplar against three (section 6.3.2)."
        ),
    )


_ARITHMETIC_NOTE = (
    "A column a concept: exemplars, G of their mean z, below their mean in pixels; right the "
    "result among its neighbours, below it the same arithmetic on pixels. Spread: root mean square "
    "about their mean of results whose exemplars were drawn from the picks with replacement. "
    "Scale: z against the z that G was trained on, which has 1."
)


def _spread_rows(expression: str, spreads: tuple[Any, Any]) -> list[Row]:
    rows = []
    for spread in spreads:
        many = f"{spread.exemplars} exemplar{'s' if spread.exemplars > 1 else ''} a concept"
        draws = len(spread.pictures)
        levels, scale = round(spread.levels, 3), round(spread.scale, 4)
        rows += [
            Row(
                name=f"{expression}: spread, {many}",
                measure="spread",
                value=levels,
                unit="grey levels",
                n=draws,
            ),
            Row(name=f"{expression}: scale, {many}", measure="scale", value=scale, n=draws),
        ]
    return rows


def _agreement_rows(expression: str, found: Any, agree: _Agreement) -> list[Row]:
    """How much the results are what the words add up to, where they do."""
    expected = expected_concept(parse_expression(expression))
    if expected is None:
        return []
    results = np.stack([found.result[4], found.pixel_result])
    values = agree.of(results, expected)
    return [
        Row(
            name=f"{expression}: {name}, agreement with {expected}",
            measure="agreement",
            value=round(float(value), 4),
            n=len(agree.samples),
            source=agree.picker.agreement_is,
        )
        for name, value in zip(("result", "pixel arithmetic"), values, strict=True)
    ]


def _spread_sheet(words: str, spread: Any) -> Pixels:
    many = "exemplar" if spread.exemplars == 1 else "exemplars"
    line = f"{words}: results of {spread.exemplars} {many} a concept, drawn from the picks"
    return _captioned(tile(spread.pictures[:_COLUMNS], _COLUMNS), line)


# --- Figure 8 ---------------------------------------------------------------------------------


def turn_samples(work: Work) -> Outcome:
    """Turn samples along the vector from one concept to the other, and back."""
    from dcgan_models.internals.turn_vector import turn

    section: TurnVector = work.section
    generator, subject = open_samples(work)
    z = generator.fixed_z
    sides = (section.start, section.end)
    concepts = pick_concepts(work, generator, subject, sides, count=_TURNED, least=1)
    exemplars = {row for side in sides for row in concepts.picks[side]}
    others = [row for row in range(len(z)) if row not in exemplars]
    found = turn(
        generator,
        z,
        concepts.picks,
        sides,
        others[: section.rows],
        steps=section.steps,
        reach=section.reach,
    )
    rows = [
        Row(
            name="scale at the ends",
            measure="scale",
            value=round(found.scale, 4),
            n=2 * len(found.rows),
        )
    ]
    agree = _agreement(work, generator, concepts)
    if agree is not None:
        rows += _turned_rows(section, found, agree)
    content = {"start": section.start, "end": section.end, "vector": found.vector.tolist()}
    write_json(work.out() / VECTOR_FILE, content)
    figure = _captioned(
        found.sheet(), f"{section.start} to {section.end}, {by_whom(concepts.picked_by)}"
    )
    write_png(work.out() / "figure.png", figure)
    _write_result(work, "Figure 8 and section 6.3.2", rows, concepts, _TURN_NOTE)
    return Outcome(
        metadata={
            "picked_by": concepts.picked_by,
            **{row.name: row.value for row in rows},
        },
        figures={"figure.png": "samples turned from one concept to the other"},
    )


def turn_vector_step(step: StepMaker, *, judge: bool) -> Step:
    """Figure 8 of a group; `judge` as for Figure 7."""
    return _concepts_step(
        step,
        "turn_vector",
        judge=judge,
        compute=turn_samples,
        about="Figure 8: samples turned from one concept to another (section 6.3.2).",
    )


_TURN_NOTE = (
    "Above, G of the mean z of either side. Each row is a sample that is no exemplar, itself "
    "between the black lines, with even steps along the vector. Scale: z against the z that G was "
    "trained on, which has 1."
)


def _turned_rows(section: TurnVector, found: Any, agree: _Agreement) -> list[Row]:
    """How much the outermost pictures of the rows are what the concept's own words say."""
    ends = {section.start: found.rows[:, 0], section.end: found.rows[:, -1]}
    rows = []
    for side, pictures in ends.items():
        shares = agree.of(pictures, section.end)
        rows.append(
            Row(
                name=f"end of {side}: agreement with {section.end}",
                measure="agreement",
                value=round(float(shares.mean()), 4),
                n=len(shares),
                low=round(float(shares.min()), 4),
                high=round(float(shares.max()), 4),
                interval="lowest and highest row",
                source=agree.picker.agreement_is,
            )
        )
    return rows


# --- Both -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Agreement:
    """How far pictures are what concepts ask for, as what picked them sees it."""

    picker: Picker
    samples: Pixels

    def of(self, pictures: Pixels, concept: str) -> npt.NDArray[np.float64]:
        return self.picker.agreement(pictures, concept, self.samples)


def _agreement(work: Work, generator: Any, concepts: Concepts) -> _Agreement | None:
    """None where a person picked: nothing else knows what their concepts mean."""
    if concepts.picked_by == PERSON:
        return None
    return _Agreement(open_picker(work), generator.draw(generator.fixed_z))


def _captioned(picture: Pixels, words: str) -> Pixels:
    from dcgan_models.internals.captions import captioned

    return captioned(picture, words)


def _write_result(work: Work, ref: str, rows: list[Row], concepts: Concepts, note: str) -> None:
    work.result(
        paper_ref=ref,
        stand_in=stand_in(work),
        rows=rows,
        notes=notes(concepts.picked_by, note),
    ).write(work.out())


def _concepts_step(step: StepMaker, name: str, *, judge: bool, about: str, **facts: Any) -> Step:
    """A figure drawn from the concepts that were picked among the samples of a group."""
    return step(
        name,
        inputs=("training_set", "generator", *(("judge",) if judge else ())),
        kind="results",
        source_version=concepts_version,
        files=concepts_file,
        kinds=frozenset({"pytorch"}),
        shows=("result.json", "figure.png"),
        description=(
            f"{about} Exemplars: annotations/{step.group}/concepts.json, picked with `dcgan "
            f"annotate {step.group}`; without the file "
            f"{'a judge picks, marked `judge`' if judge else 'a rule picks, marked `auto`'}."
        ),
        **facts,
    )
