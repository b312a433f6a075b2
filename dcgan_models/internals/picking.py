"""Who picks exemplars and boxes where no person has: a judge, or a rule on what can be measured.

The paper's were chosen by eye (section 6.3). Where it is known what is to be seen on a group's
pictures, a judge has learned to read it and picks smiles, glasses and windows by their names. Where
it is not, a rule picks by brightness, side, colour and texture, and names what it measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from dcgan_models.errors import UserError
from dcgan_models.internals import auto_picks
from dcgan_models.internals.boxes import Box
from dcgan_models.internals.judged import boxes_of, exemplar_order, likelihoods
from dcgan_models.metrics.judge import Factor, Judge
from dcgan_models.pixels import Pixels

Kind = Literal["auto", "judge"]

# Numbers of drawn pictures whose low and high end have words of their own.
_ENDS = {
    "yaw": ("turned left", "turned right"),
    "skin": ("light skin", "dark skin"),
    "light": ("lit from the left", "lit from the right"),
}


def spoken_ends(factor: Factor) -> tuple[str, str]:
    """A factor's absence and presence, or its low and its high end, in words."""
    name = factor.name.replace("_", " ")
    if factor.kind == "flag":
        return f"no {name}", name
    return _ENDS.get(factor.name, (f"low {name}", f"high {name}"))


class Picker(Protocol):
    """Picks among a generator's samples, and says how far a picture is what a concept asks for.

    Attributes:
        name: Of its kind, as files of picks have it.
        agreement_is: What `agreement` gives, in words for a table.
    """

    name: Kind
    agreement_is: str

    def words(self, channels: int) -> dict[str, str]:
        """Concepts of one word that it knows of pictures of so many channels, as they are said."""

    def concepts(self, samples: Pixels, names: Sequence[str], count: int) -> dict[str, list[int]]:
        """For each concept the numbers of `count` exemplars among uint8 (n, h, w, c).

        Raises:
            UserError: A word of a concept that it does not know, or too few samples.
        """

    def boxes(self, samples: Pixels, category: str, most: int) -> tuple[str, list[Box]]:
        """What the boxes are around, and at most one on each of the first samples that have it.

        Raises:
            UserError: It finds no such thing.
        """

    def agreement(self, pictures: Pixels, concept: str, samples: Pixels) -> npt.NDArray[np.float64]:
        """How far each of uint8 (n, h, w, c) is what a concept asks for, beside G's samples: (n,).

        Raises:
            UserError: As `concepts`.
        """


class Rule:
    """Picks by what can be measured of any picture, `auto_picks`."""

    name: Kind = "auto"
    agreement_is = "share of G's samples that are less so; 0.5 is any picture"

    def words(self, channels: int) -> dict[str, str]:
        """As `Picker.words`; grey pictures are neither warm nor cool."""
        known = auto_picks.WORDS
        return {word: word for word in known if channels > 1 or word not in auto_picks.COLOURS}

    def concepts(self, samples: Pixels, names: Sequence[str], count: int) -> dict[str, list[int]]:
        """As `Picker.concepts`."""
        return auto_picks.auto_concepts(samples, names, count)

    def boxes(self, samples: Pixels, category: str, most: int) -> tuple[str, list[Box]]:
        """Around bright spots, whatever is asked for: the rule knows no windows."""
        found = auto_picks.auto_boxes(samples, most)
        if not found:
            raise UserError("no sample has a bright spot that the rule could take")
        return auto_picks.SPOT, found

    def agreement(self, pictures: Pixels, concept: str, samples: Pixels) -> npt.NDArray[np.float64]:
        """As `Picker.agreement`."""
        return auto_picks.agreement(pictures, concept, samples)


class JudgePicker:
    """Picks by what one judge sees; the other, which saw no picture that it learned from, reports.

    Args:
        picking, reporting: The two.
    """

    name: Kind = "judge"
    agreement_is = "likelihood by the judge that did not pick, the mean over the words"

    def __init__(self, picking: Judge, reporting: Judge) -> None:
        self._picking, self._reporting = picking, reporting

    def words(self, channels: int) -> dict[str, str]:
        """As `Picker.words`: each flag and its absence, both ends of each number."""
        prefixes = {"flag": ("no", ""), "number": ("low", "high"), "box": ()}
        return {
            f"{prefix}{factor.name.replace('_', '')}": spoken
            for factor in self._picking.factors
            for prefix, spoken in zip(prefixes[factor.kind], spoken_ends(factor), strict=False)
        }

    def concepts(self, samples: Pixels, names: Sequence[str], count: int) -> dict[str, list[int]]:
        """The first samples that plainly are so; where there are too few, the likeliest."""
        if not 1 <= count <= len(samples):
            raise UserError(f"{count} exemplars a concept; allowed are 1 to {len(samples)} samples")
        read, factors = self._picking.read(samples), self._picking.factors
        return {name: exemplar_order(factors, name, read)[:count].tolist() for name in names}

    def boxes(self, samples: Pixels, category: str, most: int) -> tuple[str, list[Box]]:
        """As `Picker.boxes`, of a flag whose box is judged, too."""
        return category, boxes_of(self._picking, samples, category)[:most]

    def agreement(self, pictures: Pixels, concept: str, samples: Pixels) -> npt.NDArray[np.float64]:
        """As `Picker.agreement`; of numbers it is the share of G's samples that are less so."""
        read, others = self._reporting.read(pictures), self._reporting.read(samples)
        found = likelihoods(self._reporting.factors, concept, read, others)
        mean: npt.NDArray[np.float64] = np.mean(list(found.values()), axis=0)
        return mean
