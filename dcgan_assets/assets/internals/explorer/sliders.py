"""The page's sliders: the turn vector and a direction for each factor, each with how true it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dcgan_assets.assets.internals.concept_figures import VECTOR_FILE
from dcgan_assets.assets.shares import share_row
from dcgan_assets.assets.training.judge import PICKS, REPORTS
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.results import Row
from dcgan_assets.params.internals import Explorer
from dcgan_models.errors import UserError
from dcgan_models.files import read_json
from dcgan_models.internals.expressions import asked_of

if TYPE_CHECKING:
    from torch import Tensor

    from dcgan_models.internals.directions import DirectionTruth
    from dcgan_models.metrics.judge import Factor, Judge

_FITTED, _NEW = 2000, 200


@dataclass(frozen=True)
class Slider:
    """A direction in the latent space with words for it.

    Attributes:
        label: What moves.
        ends: Words for its lower and its upper end.
        vector: (z_dim,), added at the upper end, subtracted at the lower.
        factor: What the judge reads of it; None where nothing measures it.
        truth: What the reporting judge sees of new samples.
        chance: The same along random directions.
    """

    label: str
    ends: tuple[str, str]
    vector: Tensor
    factor: Factor | None = None
    truth: DirectionTruth | None = None
    chance: DirectionTruth | None = None

    def payload(self) -> dict[str, Any]:
        """As the page's script reads it."""
        from dcgan_models.portable.payload import encoded

        told = None
        if self.truth is not None and self.chance is not None:
            told = {
                "share": self.truth.obeyed / self.truth.n,
                "chance": self.chance.obeyed / self.chance.n,
                "words": self._seen(self.truth),
            }
        return {
            "label": self.label,
            "ends": list(self.ends),
            "vector": encoded(self.vector.float()),
            "truth": told,
        }

    def _seen(self, truth: DirectionTruth) -> str:
        places = truth.low, truth.middle, truth.high
        if self.factor is not None and self.factor.kind == "flag":
            low, middle, high = (f"{100 * share:.0f} %" for share in places)
            return f"Seen in {low} at the left end, {middle} in the middle, {high} at the right."
        low, middle, high = (f"{mean:.3g}" for mean in places)
        return f"Mean {low} at the left end, {middle} in the middle, {high} at the right."

    def rows(self) -> list[Row]:
        """How true it is, for the result."""
        told = {"": self.truth, ", a random direction": self.chance}
        return [
            share_row(f"{self.label}: true of{words}", one.obeyed, one.n, measure="share")
            for words, one in told.items()
            if one is not None
        ]


def find_sliders(work: Work, generator: Any) -> list[Slider]:
    """The turn vector, then the factors' directions, the truest first; none without a judge."""
    from dcgan_models.internals.directions import fit_directions
    from dcgan_models.internals.picking import spoken_ends
    from dcgan_models.metrics.judge import load_judge

    judge, turn = work.sibling("judge"), work.sibling("turn_vector")
    section: Explorer = work.section
    found: list[Slider] = []
    measure: _Measure | None = None
    if judge in work.step.inputs:
        picking, reporting = (load_judge(work.input(judge) / half) for half in (PICKS, REPORTS))
        measure = _Measure(generator, reporting, section.seed)
        for one in fit_directions(generator, picking, samples=_FITTED, seed=section.seed):
            name = one.factor.name.replace("_", " ")
            found.append(measure.slider(name, spoken_ends(one.factor), one.vector, one.factor))
        found.sort(key=lambda slider: -slider.truth.obeyed if slider.truth else 0)
    if turn in work.step.inputs:
        file = read_json(work.input(turn) / VECTOR_FILE)
        found.insert(0, _turn(file, measure))
    return found


class _Measure:
    """Holds directions to new samples, and random ones beside them."""

    def __init__(self, generator: Any, reporting: Judge, seed: int) -> None:
        from dcgan_models.internals.directions import new_latents, random_directions, read_along

        self._generator, self._reporting = generator, reporting
        self._z = new_latents(generator.preset, _NEW, seed, _FITTED)
        self._middle = reporting.read(generator.draw(self._z))
        random = random_directions(generator.preset, _NEW, seed=seed)
        self._random = read_along(generator, reporting, self._z, random)

    @property
    def factors(self) -> tuple[Factor, ...]:
        """What the judge reads."""
        return self._reporting.factors

    def slider(self, label: str, ends: tuple[str, str], vector: Tensor, factor: Factor) -> Slider:
        from dcgan_models.internals.directions import read_along, truth_of

        along = read_along(self._generator, self._reporting, self._z, vector)
        truth, chance = (truth_of(factor, read, self._middle) for read in (along, self._random))
        return Slider(label, ends, vector, factor, truth, chance)


def _turn(file: dict[str, Any], measure: _Measure | None) -> Slider:
    """Figure 8's vector; measured where its concepts are the two ends of one factor."""
    import torch

    from dcgan_models.internals.picking import spoken_ends

    vector = torch.tensor(file["vector"])
    factor = None if measure is None else _turned(file, measure.factors)
    if measure is None or factor is None:
        ends = file["start"].replace("_", " "), file["end"].replace("_", " ")
        return Slider("turn vector", ends, vector)
    return measure.slider("turn vector", spoken_ends(factor), vector, factor)


def _turned(file: dict[str, Any], factors: tuple[Factor, ...]) -> Factor | None:
    flags, numbers = ([f.name for f in factors if f.kind == kind] for kind in ("flag", "number"))
    try:
        start, end = (asked_of(file[side], flags, numbers) for side in ("start", "end"))
    except UserError:  # a person's own words
        return None
    if len(end) != 1 or start.keys() != end.keys() or not all(end.values()):
        return None
    return next(factor for factor in factors if factor.name in end)
