"""Sections of params.yaml on what trained networks draw and hold: samples, Figures 4 to 8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from dcgan_assets.params.base import Count, Positive, Section, Seed
from dcgan_assets.params.training import Ablations, JudgeParams
from dcgan_models.errors import UserError
from dcgan_models.internals.expressions import expected_flags, parse_expression

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


class Samples(Section):
    """Grids of samples from fixed latents (Figures 2, 3, 10 and 11).

    Attributes:
        rows, columns: How many rows and columns of pictures the grid has.
        epochs: Snapshots to draw beside the final network.
    """

    rows: Count
    columns: Count
    epochs: tuple[Count, ...] = ()


class SortedSamples(Samples):
    """Grids of samples that may be sorted by D's score.

    Attributes:
        order: `drawn`, or `score`: the most real to D first, as the authors' script for Figure 11
            sorts them.
    """

    order: Literal["drawn", "score"]


class LatentWalk(Section):
    """Figure 4: walks from point to point in the latent space.

    Attributes:
        segments: Walks between two random points, a row each.
        steps: Pictures of a segment.
        pixel_rows: Rows of training pictures faded into one another, for comparison.
        seed: Seed of the points.
    """

    segments: Count
    steps: Annotated[int, Field(ge=2, strict=True)]
    pixel_rows: Count
    seed: Seed = 4


class NearestTrainingImages(Section):
    """What the authors' README did with a web search: generated pictures and their neighbours.

    Attributes:
        pictures: Generated ones that are looked up.
        neighbours: Training pictures found for each.
        shown: Rows of the figure, the first of them.
    """

    pictures: Count
    neighbours: Count
    shown: Count


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
        category: What the boxes to use were drawn around; the paper's is `window`. Where no person
            has drawn any, a judge draws them around what it reads a box of.
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

    A concept is a name that a person gave with `dcgan annotate`. Where no person has picked, its
    words are what the group's judge reads: `smile_nolonghair`, flags without underscores and with
    `no` before what must be absent, `lowyaw` and `highyaw` of numbers. Without a judge they are
    what a rule can measure: `warm_dark`.

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


class Claims(Section):
    """What the paper claims of its figures, counted in what the judges see.

    Attributes:
        samples: New samples that are counted.
        epochs: After which they are counted, too, as in Figures 2 and 3: of `samples.epochs`.
        walks: Between two random points each, as a row of Figure 4.
        filters: Of D, named by what fires them, as in Figure 5.
        forget: The flag that is forgotten as in Figure 6, which has a box: `window`.
        beside: Flags that should stay when it is.
        c: As for Figure 6.
        expressions: As in Figure 7, of flags: `smile_longhair - nosmile_longhair +
            nosmile_nolonghair`. A flag's name is written without underscores, and with `no` before
            it where it must be absent.
        repeats: Of each expression, with exemplars of its own.
        turn: The number that turns as in Figure 8: `yaw`.
        seed: Seed of the latents and exemplars.
    """

    samples: Annotated[int, Field(ge=50, strict=True)] = 500
    epochs: tuple[Count, ...] = ()
    walks: Annotated[int, Field(ge=2, strict=True)] | None = None
    filters: Annotated[tuple[Filter, ...], AfterValidator(_once)] = ()
    forget: str | None = None
    beside: tuple[str, ...] = ()
    c: Positive = 1.0
    expressions: tuple[Expression, ...] = ()
    repeats: Annotated[int, Field(ge=10, strict=True)] = 200
    turn: str | None = None
    seed: Seed = 10


class Explorer(Section):
    """The generator in a web page.

    Attributes:
        samples: Fixed samples to begin with.
        expressions: Examples of arithmetic, of concepts as `vector_arithmetic` has them; those of
            which a person has picked no concept are left out.
        seed: Seed of the samples that directions are fitted to, and of new ones.
    """

    samples: Count = 40
    expressions: tuple[Expression, ...] = ()
    seed: Seed = 11


class LookingInside(Section):
    """What a group may have beside its networks and samples: what has a section is made."""

    guided_backprop: GuidedBackprop | None = None
    window_dropout: WindowDropout | None = None
    vector_arithmetic: VectorArithmetic | None = None
    turn_vector: TurnVector | None = None
    judge: JudgeParams | None = None
    claims: Claims | None = None
    ablations: Ablations | None = None
    explorer: Explorer | None = None

    @model_validator(mode="after")
    def _claims_need_a_judge(self) -> Self:
        if self.claims is None:
            return self
        if self.judge is None:
            raise ValueError("`claims` are what judges see; a section `judge` is needed beside it")
        for name in (self.claims.forget, self.claims.turn, *self.claims.beside):
            if name is not None and name not in self.judge.factors:
                judged = ", ".join(self.judge.factors)
                raise ValueError(f"claims: {name!r:.40} is not judged; judged are {judged}")
        self._claimed_words_add_up(self.claims.expressions, self.judge.factors)
        if self.claims.forget and f"{self.claims.forget}_box" not in self.judge.factors:
            raise ValueError(f"claims.forget: {self.claims.forget}_box must be judged as well")
        return self

    @staticmethod
    def _claimed_words_add_up(expressions: Sequence[str], factors: Sequence[str]) -> None:
        for expression in expressions:
            try:
                expected_flags(parse_expression(expression), factors)
            except UserError as error:
                raise ValueError(f"claims.expressions: {error} ({expression!r:.200})") from None

    def figures(self) -> tuple[str, ...]:
        """The names of the figures that have a section."""
        return tuple(name for name in LookingInside.model_fields if getattr(self, name) is not None)
