"""What the results here say of the paper's claims: supported, contradicted, or not to be told.

A claim holds one number against another: a row of a result against a row of a control, or against
a bound. The rule is one for all of them, `RULE`, and knows nothing but intervals.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dcgan_assets.assets.report.gather import Made
from dcgan_assets.assets.report.items import Claim, Item
from dcgan_assets.engine.results import Row

SUPPORTS, CONTRADICTS, UNTOLD = "supports", "contradicts", "cannot tell here"
RULE = (
    "Supports: the 95% interval of the one number lies wholly on the paper's side of the "
    "other's interval, or of the bound. Contradicts: it lies wholly on the other side. Cannot "
    "tell here: neither, or a number has no interval, or nothing was measured. Where a claim was "
    "measured several times, all have to agree. With a number of the paper's own only results on "
    "the paper's own data are compared."
)


@dataclass(frozen=True)
class Told:
    """A claim of the paper, and what the results here say of it.

    Attributes:
        ours, other: The rows that were compared, and what with, in words; empty without any.
        why: Why it cannot be told; empty where it can.
        stand_in: Whether the data are not the paper's; None where there are none.
    """

    item: Item
    claim: Claim
    verdict: str
    ours: tuple[Row, ...] = ()
    other: tuple[str, ...] = ()
    why: str = ""
    stand_in: bool | None = None


def told(item: Item, claim: Claim, made: Mapping[str, Made]) -> Told:
    """Judge one claim by what was made.

    Args:
        item: That the claim belongs to.
        claim: Of paper.yaml.
        made: What there is, by key.
    """
    found = made.get(claim.asset)
    if found is None or found.result is None:
        return Told(item, claim, UNTOLD, why=f"{claim.asset} is not made")
    pairs = list(_pairs(claim, found.result.rows, made))
    stand_in = found.stand_in
    if not pairs:
        return Told(item, claim, UNTOLD, why="not measured", stand_in=stand_in)
    ours = tuple(row for row, _ in pairs)
    other = tuple(_words(one) for _, one in pairs)
    if claim.papers_data and stand_in:
        why = "the bound is the paper's number, the data are not the paper's"
        return Told(item, claim, UNTOLD, ours, other, why, stand_in)
    verdict, why = _agreed([compare(row, one, claim.holds) for row, one in pairs])
    return Told(item, claim, verdict, ours, other, why, stand_in)


def _agreed(verdicts: Sequence[str]) -> tuple[str, str]:
    """The verdict of all, and why it cannot be told where it cannot."""
    counts = Counter(verdicts)
    if len(counts) > 1:
        words = {SUPPORTS: "support it", CONTRADICTS: "contradict it", UNTOLD: "cannot tell"}
        told_apart = ", ".join(f"{counts[v]} {words[v]}" for v in words if counts[v])
        return UNTOLD, f"of {len(verdicts)} measurements {told_apart}"
    (verdict,) = counts
    return verdict, "the intervals overlap, or there is none" if verdict == UNTOLD else ""


def _pairs(
    claim: Claim, rows: list[Row], made: Mapping[str, Made]
) -> Iterator[tuple[Row, Row | float]]:
    """The measured rows that a claim names, each with what it is held against."""
    for row in rows:
        match = re.fullmatch(claim.row, row.name)
        if match is None or row.value is None:
            continue
        if isinstance(claim.than, float):
            yield row, claim.than
            continue
        asset, pattern = claim.than.split(": ", maxsplit=1)
        beside = made.get(asset)
        name = _control(pattern, match)
        others = beside.result.rows if beside and beside.result else []
        for other in others:
            if name.fullmatch(other.name) and other.value is not None:
                yield row, other
                break


def _control(pattern: str, match: re.Match[str]) -> re.Pattern[str]:
    """The name of a control, with what the claim's group matched where backslash and 1 stand.

    To the letter: expressions of concepts have a + in them.
    """
    return re.compile(re.sub(r"\\1", lambda _: re.escape(match[1]), pattern))


def compare(one: Row, other: Row | float, holds: str) -> str:
    """The verdict on one number against another: `holds` says which way the paper has it."""
    bounds = (other.low, other.high) if isinstance(other, Row) else (other, other)
    if None in (one.low, one.high, *bounds) or not _confident(one, other):
        return UNTOLD
    (low, high), (least, most) = (one.low, one.high), bounds
    below, above = high < least, low > most  # type: ignore[operator]
    if not below and not above:
        return UNTOLD
    return SUPPORTS if below == (holds == "lower") else CONTRADICTS


def _confident(*rows: Row | float) -> bool:
    """Whether all bounds are intervals of confidence: ranges say nothing of the next sample."""
    from dcgan_models.metrics.intervals import KINDS

    return all(row.interval.startswith(KINDS) for row in rows if isinstance(row, Row))


def _words(one: Row | float) -> str:
    if isinstance(one, Row):
        span = "" if one.low is None else f" ({one.low:g} to {one.high:g})"
        return f"{one.value:g}{span}{' ' * bool(one.unit)}{one.unit}, {one.name}"
    return f"{one:g}"
