"""Sections for looking inside: the paper's values by default, and mistakes in one line."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from dcgan_assets.params.base import Section
from dcgan_assets.params.internals import (
    GuidedBackprop,
    TurnVector,
    VectorArithmetic,
    WindowDropout,
)
from dcgan_models.internals.attribution import RULES
from dcgan_models.internals.expressions import parse_expression

WORDS = "glasses_man - plain_man + plain_woman"


def test_defaults_are_the_paper_s() -> None:
    assert GuidedBackprop().filters == tuple(range(6))
    assert (WindowDropout().category, WindowDropout().layer, WindowDropout().samples) == (
        "window",
        None,
        10,
    )
    assert VectorArithmetic(expressions=(WORDS,)).reach == 0.25
    turn = TurnVector(start="left", end="right")
    assert (turn.rows, 2 * turn.steps + 1) == (5, 11)


def test_every_rule_of_guided_backpropagation_can_be_chosen() -> None:
    assert [GuidedBackprop(rule=rule).rule for rule in RULES] == list(RULES)


def test_expressions_are_those_that_can_be_evaluated() -> None:
    (words,) = VectorArithmetic(expressions=(WORDS,)).expressions
    assert len(parse_expression(words)) == 3


@pytest.mark.parametrize(
    ("section", "content", "words"),
    [
        (GuidedBackprop, {"filters": (0, -1)}, "greater than or equal to 0"),
        (GuidedBackprop, {"filters": (3, 3)}, "each may be named once"),
        (GuidedBackprop, {"filters": ()}, "at least 1"),
        (GuidedBackprop, {"hits": 1}, "equal to 2"),
        (GuidedBackprop, {"rule": "deconv"}, "'relu' or 'leaky'"),
        (WindowDropout, {"layer": 0}, "greater than 0"),
        (WindowDropout, {"c": 0.0}, "greater than 0"),
        (WindowDropout, {"object": "bed"}, "Extra inputs"),
        (VectorArithmetic, {"expressions": ()}, "at least 1"),
        (VectorArithmetic, {"expressions": ("a * b",)}, "joined by + and -"),
        (VectorArithmetic, {"expressions": (WORDS,), "draws": 1}, "equal to 2"),
        (TurnVector, {"start": "left", "end": "a - b"}, "pattern"),
        (TurnVector, {"start": "left"}, "Field required"),
    ],
)
def test_mistakes_are_refused(section: type[Section], content: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        section.model_validate(content)
    assert words in str(caught.value)
