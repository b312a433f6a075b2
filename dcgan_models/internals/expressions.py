"""Expressions of concepts, such as `smiling_woman - neutral_woman + neutral_man` (section 6.3.2).

Loads nothing: params.yaml is checked with it in every process.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from dcgan_models.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

Summand = TypeVar("Summand", "Tensor", "npt.NDArray[np.float64]")

_WORD = re.compile(r"\s*([+-]|\w+)")


@dataclass(frozen=True)
class Term:
    """A concept of an expression, and its sign: 1 or -1."""

    sign: int
    concept: str


def parse_expression(text: str) -> tuple[Term, ...]:
    """Read names joined by + and -, such as `glasses_man - plain_man + plain_woman`.

    A name has letters, digits and underscores; the first may have a sign.

    Raises:
        UserError: Another operator, or a name or operator where the other is needed; the line
            quotes what is left to read.
    """
    terms: list[Term] = []
    sign, rest = 1, text.strip()
    signed = False
    while rest:
        match = _WORD.match(rest)
        word = match[1] if match else ""
        operator = word in {"+", "-"}
        # A name follows the start or an operator; an operator follows the start or a name.
        if not match or (signed if operator else bool(terms) and not signed):
            raise UserError(
                f"expression {text!r:.80}: cannot read {rest.split()[0]!r:.40} here; allowed are "
                "names of concepts joined by + and -"
            )
        if operator:
            sign = 1 if word == "+" else -1
        else:
            terms.append(Term(sign, word))
        signed, rest = operator, rest[match.end() :].strip()
    if not terms or signed:
        raise UserError(f"expression {text!r:.80}: it must end in the name of a concept")
    return tuple(terms)


def evaluate(terms: Sequence[Term], means: Mapping[str, Summand]) -> Summand:
    """Add and subtract what the concepts stand for, one vector or picture each."""
    first, *others = terms
    total = first.sign * means[first.concept]
    for term in others:
        total = total + term.sign * means[term.concept]
    return total


def concepts_of(terms: Sequence[Term]) -> list[str]:
    """The concepts of an expression in their order, each once."""
    return list(dict.fromkeys(term.concept for term in terms))
