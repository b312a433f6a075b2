"""Expressions of concepts: what is read, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from fixture_types import Refused

from dcgan_models.internals.expressions import (
    Term,
    asked_of,
    concepts_of,
    evaluate,
    expected_concept,
    expected_flags,
    parse_expression,
)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("a", [(1, "a")]),
        ("a-b", [(1, "a"), (-1, "b")]),
        ("  a +b  -  c_2 ", [(1, "a"), (1, "b"), (-1, "c_2")]),
        ("-a + a", [(-1, "a"), (1, "a")]),
        ("+Sonne - Fenêtre", [(1, "Sonne"), (-1, "Fenêtre")]),
    ],
)
def test_expressions_are_names_and_signs(text: str, terms: list[tuple[int, str]]) -> None:
    assert parse_expression(text) == tuple(Term(*term) for term in terms)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a * b", ("'*'",)),
        ("a b", ("'b'", "joined by + and -")),
        ("a - - b", ("'-'",)),
        ("(a - b) + c", ("'(a'",)),
        ("a -", ("must end in the name",)),
        ("", ("must end in the name",)),
        ("a / 2", ("'/'",)),
    ],
)
def test_what_cannot_be_read_is_quoted(text: str, words: tuple[str, ...], refused: Refused) -> None:
    with refused(f"expression {text!r}", *words):
        parse_expression(text)


def test_concepts_are_named_once_and_counted_each_time() -> None:
    terms = parse_expression("a - b + a")
    assert concepts_of(terms) == ["a", "b"]
    assert evaluate(
        terms, {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([5.0, 0.0])}
    ).tolist() == [-3, 4]


def test_expressions_are_checked_without_loading_torch() -> None:
    code = "import sys, dcgan_models.internals.expressions; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("expression", "left"),
    [
        ("warm_bright - cool_bright + cool_dark", "warm_dark"),
        ("textured_left - smooth_left + smooth_right", "textured_right"),
        ("bright - dark", "bright"),
        ("-dark + dark", None),
        ("warm - warm_left", None),
    ],
)
def test_words_of_an_expression_add_up(expression: str, left: str | None) -> None:
    assert expected_concept(parse_expression(expression)) == left


KNOWN = ["smile", "glasses", "long_hair"]


def test_a_concept_names_factors_and_their_absence() -> None:
    assert asked_of("smile_nolonghair", KNOWN) == {"smile": True, "long_hair": False}
    assert asked_of("noglasses", KNOWN) == {"glasses": False}
    assert asked_of("smile_lowyaw", KNOWN, ["yaw"]) == {"smile": True, "yaw": False}
    assert asked_of("highyaw", [], ["yaw"]) == {"yaw": True}


@pytest.mark.parametrize("concept", ["hat", "nohat", "smile_hat", "no", "smile__glasses", "yaw"])
def test_a_word_that_is_no_factor_is_refused(concept: str, refused: Refused) -> None:
    with refused("nothing is judged as", "smile, glasses, longhair"):
        asked_of(concept, KNOWN, ["yaw"])


@pytest.mark.parametrize("concept", ["smile_nosmile", "glasses_smile_noglasses", "lowyaw_highyaw"])
def test_a_concept_that_contradicts_itself_is_refused(concept: str, refused: Refused) -> None:
    with refused(f"concept '{concept}': it asks for", "and for its opposite"):
        asked_of(concept, KNOWN, ["yaw"])


def test_an_expression_leaves_what_does_not_cancel() -> None:
    terms = parse_expression("smile_longhair - nosmile_longhair + nosmile_nolonghair")
    assert expected_flags(terms, KNOWN) == {"smile": True, "long_hair": False}
    terms = parse_expression("glasses_nolonghair - noglasses_nolonghair + noglasses_longhair")
    assert expected_flags(terms, KNOWN) == {"glasses": True, "long_hair": True}


@pytest.mark.parametrize(
    "text",
    [
        *("smile - smile", "smile + smile", "smile - glasses", "-nosmile", "glasses - nosmile"),
        *("smile + nosmile", "smile_longhair - longhair + nosmile"),
    ],
)
def test_an_expression_that_does_not_add_up_is_refused(text: str, refused: Refused) -> None:
    with refused("does not add up"):
        expected_flags(parse_expression(text), KNOWN)


def test_what_is_left_of_an_expression_both_ways_is_named(refused: Refused) -> None:
    with refused("does not add up: smile and its opposite are left"):
        expected_flags(parse_expression("smile_glasses - glasses + nosmile"), KNOWN)
