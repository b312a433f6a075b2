"""Mutants: what is changed, one place at a time, and that what they are tested by is there."""

from __future__ import annotations

import ast

import pytest
from checkout import CHECKOUT

from benchmarks.mutants import PACKAGE, TESTS, mutants


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a <= b", ["a < b"]),
        ("a != b < c", ["a == b < c"]),
        ("a + b * c", ["a - b * c", "a + b / c"]),
        ("a and b", ["a or b"]),
        ("not a", ["not not a"]),
        ("-a", ["+a"]),
        ("f(0, 1.0, True)", ["f(1, 1.0, True)", "f(0, 2.0, True)"]),
        ("f(4, 0.5)", ["f(6, 0.5)", "f(4, 0.75)"]),
        ("max(a, b.min())", ["min(a, b.min())"]),
        ("'a docstring'", []),
    ],
)
def test_one_place_is_changed_at_a_time(source: str, expected: list[str]) -> None:
    found = [ast.unparse(changed) for _, _, changed in mutants(ast.parse(source))]
    assert found == expected


def test_a_mutant_says_where_it_is() -> None:
    ((line, words, _),) = mutants(ast.parse("a = b\nc = a < b\n"))
    assert (line, words) == (2, "a < b: LtE")


@pytest.mark.parametrize("name", TESTS)
def test_modules_and_their_tests_are_there(name: str) -> None:
    assert (CHECKOUT / PACKAGE / f"{name.replace('.', '/')}.py").is_file()
    assert all((CHECKOUT / "tests" / test).is_file() for test in TESTS[name])
