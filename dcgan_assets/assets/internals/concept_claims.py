"""Figures 6 to 8 counted: what comes of forgetting, of vector arithmetic and of turning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dcgan_assets.assets.internals.looking import (
    Counted,
    Looking,
    Nearness,
    distance_row,
    mean_row,
)
from dcgan_assets.assets.shares import share_row
from dcgan_assets.engine.results import Row
from dcgan_assets.engine.step import Verdict
from dcgan_models.grids import above, tile, write_png
from dcgan_models.metrics.intervals import next_interval, wilson_interval

if TYPE_CHECKING:
    from dcgan_models.internals.judged import JudgedArithmetic, JudgedForgetting, JudgedTurn
    from dcgan_models.pixels import Pixels

_COLUMNS = 10
_TURNING = 0.9  # Spearman's rank correlation, the median over rows


# --- Figure 6 ---------------------------------------------------------------------------------


def count_forgotten(looking: Looking) -> Counted:
    """How many new samples have an object without the maps that draw it."""
    from dcgan_models.internals.captions import captioned
    from dcgan_models.internals.judged import judge_forgetting

    section = looking.section
    flag = str(section.forget)
    found = judge_forgetting(
        looking.generator,
        looking.judges,
        flag,
        section.beside,
        samples=section.samples,
        C=section.c,
        seed=section.seed,
    )
    with_it = np.flatnonzero(looking.reporting.read(found.pictures[0])[flag] > 0.5)[:_COLUMNS]
    lines = (
        f"new samples with {flag}",
        f"without the maps of {flag}",
        "without as many random maps",
    )
    rows = zip(lines, found.pictures, strict=True)
    sheet = above([captioned(tile(one[with_it], _COLUMNS), line) for line, one in rows], 4)
    write_png(looking.work.out() / "forgetting.png", sheet)
    near = looking.nearness(found.pictures[1])
    words = f"samples, without the maps of {flag}, and without random ones"
    return Counted(
        _forgetting_rows(looking, flag, found),
        (judge_forgotten(found.before, found.after, found.control, near),),
        {"forgetting.png": words},
    )


def judge_forgotten(before: int, after: int, control: Sequence[int], near: Nearness) -> Verdict:
    """Judge `object_is_forgotten`: one more draw of random maps passes once in 40 times.

    Args:
        before, after: So many samples have it with and without its maps.
        control: And without each draw of random maps.
        near: The samples without its maps.
    """
    fewer = after < min(before, next_interval(control)[0])
    facts = {"before": before, "after": after, "random": str(list(control)), **near.facts}
    return Verdict("object_is_forgotten", near.enough and fewer, facts)


def _forgetting_rows(looking: Looking, flag: str, found: JudgedForgetting) -> list[Row]:
    realism, n = looking.realism, found.n
    random = f"{flag}: without as many random maps"
    return [
        Row(
            name=f"{flag}: boxes by the picking judge",
            measure="count",
            value=found.boxes,
            n=150,
            paper=52,
        ),
        Row(name=f"{flag}: maps dropped", measure="count", value=found.maps, n=found.of, paper=200),
        *looking.shares(f"{flag}: of new samples", {flag: True}, found.before, n),
        *looking.shares(f"{flag}: without its maps", {flag: True}, found.after, n),
        mean_row(random, "share", np.array(found.control) / n, "draws of maps"),
        realism.row(f"{flag}: new samples", found.pictures[0]),
        realism.row(f"{flag}: without its maps", found.pictures[1]),
        realism.row(random, found.pictures[2]),
        *_beside_rows(looking, flag, found),
    ]


def _beside_rows(looking: Looking, flag: str, found: JudgedForgetting) -> list[Row]:
    """What stays of other flags, and what stands where the object was."""
    n, rows = found.n, []
    for name, (before, after, control) in found.kept.items():
        asked = {name: True}
        rows += [
            *looking.shares(f"{name}, beside: of new samples", asked, before, n),
            *looking.shares(f"{name}, beside: without {flag}'s maps", asked, after, n),
            Row(
                name=f"{name}, beside: without random maps",
                measure="share",
                value=round(100 * control / n, 3),
                unit="%",
                n=n,
            ),
        ]
    lost = found.lost
    return rows + [
        share_row(
            f"{flag}: of those that lost it, {name} stands there now", count, lost, measure="share"
        )
        for name, count in found.instead.items()
        if lost
    ]


# --- Figure 7 ---------------------------------------------------------------------------------


def count_arithmetic(looking: Looking) -> Counted:
    """How many results of expressions are what the words add up to."""
    from dcgan_models.internals.captions import captioned
    from dcgan_models.internals.expressions import parse_expression
    from dcgan_models.internals.judged import judge_arithmetic, judge_three

    section = looking.section
    repeats, seed = section.repeats, section.seed
    rows: list[Row] = []
    sheets, right, results = [], {}, []
    for expression in section.expressions:
        terms = parse_expression(expression)
        trained, untrained = (
            (looking.generator, looking.candidates, looking.reporting, terms),
            (looking.untrained, looking.noise, looking.reporting, terms),
        )
        found = judge_arithmetic(*trained, repeats=repeats, seed=seed)
        never = judge_three(*untrained, repeats=repeats, seed=seed)
        rows += _arithmetic_rows(looking, expression, found, never)
        sheets.append(captioned(tile(found.pictures["three"][:_COLUMNS], _COLUMNS), expression))
        right[expression] = found.three, found.chance
        results.append(found.pictures["three"])
    sheet = above(sheets, 4)
    write_png(looking.work.out() / "arithmetic.png", sheet)
    return Counted(
        rows,
        (judge_sums(right, repeats, looking.nearness(np.concatenate(results))),),
        {"arithmetic.png": "results, an expression a row"},
    )


def judge_sums(right: Mapping[str, tuple[int, int]], n: int, near: Nearness) -> Verdict:
    """Judge `arithmetic_adds_up` by the intervals of all expressions together.

    Args:
        right: Of each expression, of its results and of any samples, so many of n are right.
        near: The results of all expressions.
    """
    every = n * len(right)
    results, chance = (
        wilson_interval(sum(one), every) for one in zip(*right.values(), strict=True)
    )
    facts = {name: f"{ours} of {n}, by chance {others}" for name, (ours, others) in right.items()}
    more = results[0] > chance[1]
    return Verdict("arithmetic_adds_up", near.enough and more, {**facts, **near.facts})


def _arithmetic_rows(
    looking: Looking, expression: str, found: JudgedArithmetic, never: tuple[int, Pixels]
) -> list[Row]:
    right = {
        "three exemplars": (found.three, found.pictures["three"]),
        "one exemplar": (found.one, found.pictures["one"]),
        "pixels of three": (found.pixels, found.pictures["pixels"]),
        "any sample": (found.chance, found.pictures["samples"]),
        "three exemplars, an untrained generator": never,
    }
    rows = []
    for name, (count, pictures) in right.items():
        rows += looking.shares(f"{expression}: {name}, right", found.expected, count, found.n)
        rows.append(looking.realism.row(f"{expression}: {name}", pictures))
    fewest = min(found.pool, key=lambda name: found.pool[name])
    rows.append(
        Row(
            name=f"{expression}: samples that exemplars are picked from, fewest",
            measure="count",
            value=found.pool[fewest],
            source=fewest,
        )
    )
    return rows


# --- Figure 8 ---------------------------------------------------------------------------------


def count_turned(looking: Looking) -> Counted:
    """How a number follows the place along the turn vector, and what else stays as it was."""
    from dcgan_models.internals.judged import judge_turn

    name = str(looking.section.turn)
    found = judge_turn(looking.generator, looking.candidates, looking.reporting, name)
    never = judge_turn(looking.untrained, looking.noise, looking.reporting, name)
    rows = [
        *_turn_rows(looking, name, found),
        *_turn_rows(looking, f"{name}, an untrained generator", never),
    ]
    sheet = tile(found.pictures[:5].reshape(-1, *found.pictures.shape[2:]), len(found.places))
    write_png(looking.work.out() / "turn.png", sheet)
    near = looking.nearness(found.pictures.reshape(-1, *found.pictures.shape[2:]))
    return Counted(
        rows,
        (judge_turning(found.correlation, near),),
        {"turn.png": f"samples turned by {name}"},
    )


def judge_turning(correlation: npt.NDArray[np.float64], near: Nearness) -> Verdict:
    """Judge `samples_turn` by the median of the rows, (n,), whose pictures are near real ones."""
    middle = float(np.median(correlation))
    facts = {"median correlation": round(middle, 4), "bound": _TURNING, **near.facts}
    return Verdict("samples_turn", near.enough and middle >= _TURNING, facts)


def _turn_rows(looking: Looking, name: str, found: JudgedTurn) -> list[Row]:
    n, side = len(found.values), found.pictures.shape[2:]
    slope = float(np.polyfit(found.places, found.values.mean(axis=0), 1)[0])
    low, middle, high = (float(np.quantile(found.correlation, q)) for q in (0.1, 0.5, 0.9))
    ends = looking.realism.distances(found.pictures[:, [0, -1]].reshape(-1, *side))
    return [
        Row(
            name=f"{name}: rank correlation with the place along the turn vector, median",
            measure="correlation",
            value=round(middle, 4),
            n=n,
            low=round(low, 4),
            high=round(high, 4),
            interval="a tenth of the rows lies below, a tenth above",
        ),
        Row(
            name=f"{name}: change from one end to the other",
            measure="change",
            value=round(2 * slope, 3),
            n=n,
        ),
        *(
            Row(
                name=f"{name}: {flag} as in the sample itself, when turned",
                measure="share",
                value=round(100 * share, 2),
                unit="%",
                n=n,
            )
            for flag, share in found.kept.items()
        ),
        distance_row(f"{name}: ends of the turn", ends.reshape(n, 2).mean(axis=1), "rows"),
    ]
