"""Factors of variation: what a drawn picture depends on, each with its distribution.

A kind of picture is a frozen dataclass whose fields are annotated with `Between`, `Chance` or
`OneOf`; `draw_factors` fills it. A picture has the same factors wherever and in whatever order it
is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Protocol, TypeVar, get_args, get_origin, get_type_hints

import numpy as np


class Distribution(Protocol):
    """What a factor's values are, and how often each is met."""

    def at(self, quantile: float) -> Any:
        """The value at a quantile in [0, 1) of the distribution."""
        ...


@dataclass(frozen=True)
class Between:
    """A number, evenly distributed in [low, high)."""

    low: float
    high: float

    def at(self, quantile: float) -> float:
        """As `Distribution.at`."""
        return self.low + quantile * (self.high - self.low)


@dataclass(frozen=True)
class Chance:
    """Whether something is there: true in this share of the pictures."""

    share: float

    def at(self, quantile: float) -> bool:
        """As `Distribution.at`."""
        return quantile < self.share


@dataclass(frozen=True)
class OneOf:
    """One of several values, each as often as the others."""

    values: tuple[Any, ...]

    def at(self, quantile: float) -> Any:
        """As `Distribution.at`."""
        return self.values[int(quantile * len(self.values))]


_Scene = TypeVar("_Scene")


def draw_factors(kind: type[_Scene], stream: tuple[int, ...], index: int) -> _Scene:
    """The factors of one picture.

    Args:
        kind: A dataclass of which every field is `Annotated[TYPE, DISTRIBUTION]`.
        stream: Seed, and what else tells one sequence of pictures from another; at least 0.
        index: Of the picture in it; at least 0.
    """
    table = distributions(kind)  # type: ignore[arg-type]  # a class is hashable
    quantiles = np.random.default_rng((*stream, index)).random(len(table)).tolist()
    values = (factor.at(at) for factor, at in zip(table.values(), quantiles, strict=True))
    return kind(*values)


@cache
def distributions(kind: type[Any]) -> dict[str, Distribution]:
    """Every factor of a kind of picture and its distribution, in the order of the fields."""
    found = {}
    for name, annotation in get_type_hints(kind, include_extras=True).items():
        if get_origin(annotation) is Annotated:
            found[name] = get_args(annotation)[1]
    return found
