from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest

from dcgan_assets.sources.drawn.factors import (
    Between,
    Chance,
    OneOf,
    distributions,
    draw_factors,
)


@dataclass(frozen=True)
class _Thing:
    size: Annotated[float, Between(2.0, 4.0)]
    there: Annotated[bool, Chance(0.25)]
    colour: Annotated[str, OneOf(("red", "green"))]


@pytest.mark.parametrize(
    ("factor", "quantile", "value"),
    [
        (Between(2.0, 4.0), 0.0, 2.0),
        (Between(2.0, 4.0), 0.75, 3.5),
        (Chance(0.25), 0.2499, True),
        (Chance(0.25), 0.25, False),
        (OneOf(("a", "b", "c")), 0.0, "a"),
        (OneOf(("a", "b", "c")), 0.999, "c"),
    ],
)
def test_value_at_a_quantile(factor: Chance, quantile: float, value: object) -> None:
    assert factor.at(quantile) == value


def test_factors_are_those_of_the_fields_in_their_order() -> None:
    assert distributions(_Thing) == {
        "size": Between(2.0, 4.0),
        "there": Chance(0.25),
        "colour": OneOf(("red", "green")),
    }


def test_a_picture_has_its_factors_whichever_are_drawn_before() -> None:
    forwards = [draw_factors(_Thing, (7,), number) for number in range(20)]
    backwards = [draw_factors(_Thing, (7,), number) for number in reversed(range(20))]
    assert forwards == backwards[::-1]
    assert len(set(forwards)) == 20


def test_streams_differ() -> None:
    first, second, third = (draw_factors(_Thing, stream, 0) for stream in ((1,), (2,), (1, 1)))
    assert len({first, second, third}) == 3


def test_shares_are_as_said() -> None:
    things = [draw_factors(_Thing, (0,), number) for number in range(4000)]
    assert sum(thing.there for thing in things) / 4000 == pytest.approx(0.25, abs=0.02)
    assert sum(thing.colour == "red" for thing in things) / 4000 == pytest.approx(0.5, abs=0.025)
    assert sum(thing.size for thing in things) / 4000 == pytest.approx(3.0, abs=0.03)
