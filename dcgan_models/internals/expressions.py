"""Expressions of concepts, such as `smiling_woman - neutral_woman + neutral_man` (section 6.3.2).

Loads nothing: params.yaml is checked with it in every process.
"""

from __future__ import annotations

import re
from collections import Counter
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


def expected_concept(terms: Sequence[Term]) -> str | None:
    """What an expression of concepts should come to, word by word.

    In `warm_bright - cool_bright + cool_dark`, bright and cool cancel, and `warm_dark` is left.

    Returns:
        The words that are left with a plus, joined; None where there are none.
    """
    left: Counter[str] = Counter()
    for term in terms:
        for word in term.concept.split("_"):
            left[word] += term.sign
    return "_".join(word for word, count in left.items() if count > 0) or None


def asked_of(concept: str, flags: Sequence[str], numbers: Sequence[str] = ()) -> dict[str, bool]:
    """The factors that a concept asks for: `smile_noglasses` for smiling without glasses.

    Args:
        concept: Words joined by underscores: a flag's name, `no` before one that must be absent,
            `low` or `high` before the name of a number.
        flags, numbers: The factors that there are; underscores in their names are left out in a
            concept.

    Returns:
        For each factor whether it must be there, or high.

    Raises:
        UserError: A word that is none of them, or two that ask for the opposite.
    """
    known = {}
    for there, absent, names in (("", "no", flags), ("high", "low", numbers)):
        for name in names:
            plain = name.replace("_", "")
            known[f"{absent}{plain}"], known[f"{there}{plain}"] = (name, False), (name, True)
    asked: dict[str, bool] = {}
    for word in concept.split("_"):
        if word not in known:
            words = ", ".join(name.replace("_", "") for name in (*flags, *numbers))
            raise UserError(
                f"concept {concept!r:.80}: nothing is judged as {word!r:.40}; words are {words}, "
                "with `no` before what must be absent, `low` or `high` before a number"
            )
        name, set_or_high = known[word]
        if asked.setdefault(name, set_or_high) != set_or_high:
            raise UserError(f"concept {concept!r:.80}: it asks for {name} and for its opposite")
    return asked


def expected_flags(terms: Sequence[Term], flags: Sequence[str]) -> dict[str, bool]:
    """What an expression of concepts should come to, flag by flag.

    In `smile_longhair - nosmile_longhair + nosmile_nolonghair` the two that do not smile cancel,
    and so does the long hair: what is left is `smile_nolonghair`.

    Raises:
        UserError: As `asked_of`; a flag that the expression does not leave once, or leaves both
            ways, as `smile + nosmile` does; or none that it leaves.
    """
    balance: Counter[tuple[str, bool]] = Counter()
    for term in terms:
        for flag in asked_of(term.concept, flags).items():
            balance[flag] += term.sign
    left = {flag: count for flag, count in balance.items() if count}
    if not left:
        raise UserError("the expression does not add up: nothing is left of it")
    for (name, there), count in left.items():
        if (name, not there) in left:
            raise UserError(f"the expression does not add up: {name} and its opposite are left")
        if count != 1:
            raise UserError(
                f"the expression does not add up: {'' if there else 'no '}{name} is left {count} "
                "times; once is needed"
            )
    return dict(left.keys())
