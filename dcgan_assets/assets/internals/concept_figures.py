"""Figures 7 and 8: arithmetic on concepts, and samples turned from one concept to another.

The paper's concepts are faces that somebody picked by eye. Any group has these figures that has
sections for them; where nobody has picked, the concepts are those that a rule can measure.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dcgan_assets.annotate.files import Concepts
from dcgan_assets.assets.internals.picks import (
    AUTO,
    concepts_file,
    concepts_version,
    notes,
    open_samples,
    pick_concepts,
    picker,
)
from dcgan_assets.assets.training.training_set import stand_in
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.results import Row
from dcgan_assets.engine.step import Check, Outcome, Step, StepMaker, Verdict
from dcgan_assets.params.internals import TurnVector, VectorArithmetic
from dcgan_models.grids import above, tile, write_png
from dcgan_models.internals.expressions import concepts_of, parse_expression
from dcgan_models.pixels import Pixels

ARITHMETIC_CHECKS = (
    Check(
        "three_steadier_than_one",
        "Results of three exemplars a concept vary less than those of single ones.",
    ),
)
TURN_CHECKS = (
    Check(
        "ends_within_reach",
        "The outermost latents are at most half as large again as what G was trained on.",
    ),
)
# "A turn vector was created from four averaged samples of faces looking left vs looking right."
_TURNED = 4
_FAR = 1.5
_GAP = 8
_COLUMNS = 16


# --- Figure 7 ---------------------------------------------------------------------------------


def draw_arithmetic(work: Work) -> Outcome:
    """Draw each expression, its neighbours, the same on pixels, and how far exemplars matter."""
    from dcgan_models.internals import arithmetic

    section: VectorArithmetic = work.section
    generator, z = open_samples(work)
    names = [name for e in section.expressions for name in concepts_of(parse_expression(e))]
    least = arithmetic.EXEMPLARS
    concepts = pick_concepts(work, generator, [*dict.fromkeys(names)], count=least, least=least)
    by = picker(concepts.picked_by)
    samples = generator.draw(z) if concepts.picked_by == AUTO else None
    rows: list[Row] = []
    sheets, spreads, steadier = [], [], []
    for expression in section.expressions:
        of = (generator, z, concepts.picks, expression)
        found = arithmetic.vector_arithmetic(*of, seed=section.seed, reach=section.reach)
        one, three = (
            arithmetic.exemplar_spread(*of, count, draws=section.draws, seed=section.seed)
            for count in (1, least)
        )
        rows += _spread_rows(expression, (one, three))
        if samples is not None:
            rows += _agreement_rows(expression, found, samples)
        sheets.append(_captioned(found.sheet(), f"{expression}, {by}"))
        spreads += [_spread_sheet(f"{expression}, {by}", spread) for spread in (one, three)]
        steadier.append((three.levels, one.levels))
    figure = above(sheets, _GAP)
    write_png(work.out() / "figure.png", figure)
    write_png(work.out() / "spread.png", above(spreads, _GAP))
    _write_result(work, "Figure 7 and section 6.3.2", rows, concepts, _ARITHMETIC_NOTE)
    return Outcome(
        metadata={
            "figure": shown.picture(figure, "expressions of concepts, and the same on pixels"),
            "spread": shown.picture(above(spreads, _GAP), "one exemplar against three"),
            "picked_by": concepts.picked_by,
            **{row.name: row.value for row in rows},
        },
        verdicts=(
            Verdict(
                "three_steadier_than_one",
                all(three < one for three, one in steadier),
                {"three and one, grey levels": str([[round(x, 2) for x in s] for s in steadier])},
            ),
        ),
    )


def vector_arithmetic_step(step: StepMaker) -> Step:
    """Figure 7 of a group."""
    return _concepts_step(
        step,
        "vector_arithmetic",
        compute=draw_arithmetic,
        checks=ARITHMETIC_CHECKS,
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
            Row(name=f"{expression}: spread, {many}", value=levels, unit="grey levels", n=draws),
            Row(name=f"{expression}: scale, {many}", value=scale, n=draws),
        ]
    return rows


def _agreement_rows(expression: str, found: Any, samples: Pixels) -> list[Row]:
    """How much the results are what the rule's own words add up to, where they do."""
    from dcgan_models.internals.auto_picks import agreement, expected_concept

    expected = expected_concept(parse_expression(expression))
    if expected is None:
        return []
    results = {"result": found.result[4], "pixel arithmetic": found.pixel_result}
    return [
        Row(
            name=f"{expression}: {name}, agreement with {expected}",
            value=round(agreement(picture, expected, samples), 4),
            n=len(samples),
            source="share of G's samples that are less so; 0.5 is any picture",
        )
        for name, picture in results.items()
    ]


def _spread_sheet(words: str, spread: Any) -> Pixels:
    many = "exemplar" if spread.exemplars == 1 else "exemplars"
    line = f"{words}: results of {spread.exemplars} {many} a concept, drawn from the picks"
    return _captioned(tile(spread.pictures, _COLUMNS), line)


# --- Figure 8 ---------------------------------------------------------------------------------


def turn_samples(work: Work) -> Outcome:
    """Turn samples along the vector from one concept to the other, and back."""
    from dcgan_models.internals.turn_vector import turn

    section: TurnVector = work.section
    generator, z = open_samples(work)
    sides = (section.start, section.end)
    concepts = pick_concepts(work, generator, sides, count=_TURNED, least=1)
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
    rows = [Row(name="scale at the ends", value=round(found.scale, 4), n=2 * len(found.rows))]
    if concepts.picked_by == AUTO:
        rows += _turned_rows(section, found, generator)
    figure = _captioned(
        found.sheet(), f"{section.start} to {section.end}, {picker(concepts.picked_by)}"
    )
    write_png(work.out() / "figure.png", figure)
    _write_result(work, "Figure 8 and section 6.3.2", rows, concepts, _TURN_NOTE)
    return Outcome(
        metadata={
            "figure": shown.picture(figure, "samples turned from one concept to the other"),
            "picked_by": concepts.picked_by,
            **{row.name: row.value for row in rows},
        },
        verdicts=(
            Verdict(
                "ends_within_reach",
                found.scale <= _FAR,
                {"scale": round(found.scale, 4), "bound": _FAR},
            ),
        ),
    )


def turn_vector_step(step: StepMaker) -> Step:
    """Figure 8 of a group."""
    return _concepts_step(
        step,
        "turn_vector",
        compute=turn_samples,
        checks=TURN_CHECKS,
        about="Figure 8: samples turned from one concept to another (section 6.3.2).",
    )


_TURN_NOTE = (
    "Above, G of the mean z of either side. Each row is a sample that is no exemplar, itself "
    "between the black lines, with even steps along the vector. Scale: z against the z that G was "
    "trained on, which has 1."
)


def _turned_rows(section: TurnVector, found: Any, generator: Any) -> list[Row]:
    """How much the outermost pictures of the rows are what the rule's own words say."""
    from dcgan_models.internals.auto_picks import agreement

    samples = generator.draw(generator.fixed_z)
    ends = {section.start: found.rows[:, 0], section.end: found.rows[:, -1]}
    rows = []
    for side, pictures in ends.items():
        shares = [agreement(picture, section.end, samples) for picture in pictures]
        rows.append(
            Row(
                name=f"end of {side}: agreement with {section.end}",
                value=round(float(np.mean(shares)), 4),
                n=len(shares),
                low=round(min(shares), 4),
                high=round(max(shares), 4),
                interval="lowest and highest row",
                source="share of G's samples that are less so; 0.5 is any picture",
            )
        )
    return rows


# --- Both -------------------------------------------------------------------------------------


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


def _concepts_step(step: StepMaker, name: str, *, about: str, **facts: Any) -> Step:
    """A figure drawn from the concepts that were picked among the samples of a group."""
    return step(
        name,
        inputs=("training_set", "generator"),
        kind="results",
        source_version=concepts_version,
        files=concepts_file,
        kinds=frozenset({"pytorch"}),
        shows=("result.json", "figure.png"),
        description=(
            f"{about} Exemplars: annotations/{step.group}/concepts.json, picked with `dcgan "
            f"annotate {step.group}`; without the file a rule picks, marked `auto`."
        ),
        **facts,
    )
