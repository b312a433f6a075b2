"""Sections of params.yaml for looking inside trained networks: Figures 5 to 8."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from dcgan_assets.params.base import Count, Positive, Section, Seed
from dcgan_models.errors import UserError
from dcgan_models.internals.expressions import parse_expression

# Names of concepts go into expressions, where they are joined by + and -.
_NAME = r"^\w+$"


def _readable(expression: str) -> str:
    try:
        parse_expression(expression)
    except UserError as error:
        raise ValueError(str(error)) from None
    return expression


def _once(filters: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(filters)) < len(filters):
        raise ValueError("filters: each may be named once")
    return filters


Expression = Annotated[str, AfterValidator(_readable)]
Concept = Annotated[str, Field(pattern=_NAME)]
Filter = Annotated[int, Field(ge=0, strict=True)]
Filters = Annotated[tuple[Filter, ...], Field(min_length=1), AfterValidator(_once)]


class GuidedBackprop(Section):
    """Figure 5: what filters of D's last convolution respond to.

    Attributes:
        filters: Which of them, from 0; the paper shows the first six.
        hits: Pictures for each filter, those of its highest activations; they are compared.
        rule: Of guided backpropagation at LeakyReLU, where the forward input is not positive:
            `relu` stops the gradient, `leaky` lets it pass times the slope.
        seed: Seed that chooses the random filters beside them.
    """

    filters: Filters = (0, 1, 2, 3, 4, 5)
    hits: Annotated[int, Field(ge=2, strict=True)] = 10
    rule: Literal["relu", "leaky"] = "relu"
    seed: Seed = 5


class WindowDropout(Section):
    """Figure 6: samples without the maps that draw an object.

    Attributes:
        category: What the boxes to use were drawn around; the paper's is `window`.
        layer: Row of G's table, from 1; by default the second that has maps, counted from z.
        samples: New ones, drawn with and without the maps; the paper shows ten.
        c: Inverse weight of the regression's penalty.
        controls: How many times as many random maps are dropped.
        seed: Seed of the new samples, negatives and random maps.
    """

    category: str = "window"
    layer: Count | None = None
    samples: Count = 10
    c: Positive = 1.0
    controls: Count = 10
    seed: Seed = 6


class VectorArithmetic(Section):
    """Figure 7: expressions of concepts, such as `smiling_woman - neutral_woman + neutral_man`.

    Attributes:
        expressions: The paper has two.
        reach: Half width of the uniform noise on the eight neighbours.
        draws: Results of drawn exemplars, one and three a concept, for their spread.
        seed: Seed of the noise and the draws.
    """

    expressions: Annotated[tuple[Expression, ...], Field(min_length=1)]
    reach: Positive = 0.25
    draws: Annotated[int, Field(ge=2, strict=True)] = 32
    seed: Seed = 7


class TurnVector(Section):
    """Figure 8: samples turned from one concept to another.

    Attributes:
        start, end: The concepts; the paper's are faces that look left and right.
        rows: Samples that are turned.
        steps: To either side of a sample.
        reach: Where the last step is, in lengths of the vector.
    """

    start: Concept
    end: Concept
    rows: Count = 5
    steps: Count = 5
    reach: Positive = 1.0


class LookingInside(Section):
    """The figures on a network's insides that a group may have: those with a section are made."""

    guided_backprop: GuidedBackprop | None = None
    window_dropout: WindowDropout | None = None
    vector_arithmetic: VectorArithmetic | None = None
    turn_vector: TurnVector | None = None

    def figures(self) -> tuple[str, ...]:
        """The names of the figures that have a section."""
        return tuple(name for name in LookingInside.model_fields if getattr(self, name) is not None)
