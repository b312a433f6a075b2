"""Expressions of concepts: what is read, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from fixture_types import Refused

from dcgan_models.internals.expressions import Term, concepts_of, evaluate, parse_expression


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
