"""What every claim is looked at with: judges, how far they err, and how near real pictures are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from dcgan_assets.assets.shares import share_row
from dcgan_assets.assets.training.judge import PICKS, REPORTS, read_factors
from dcgan_assets.assets.training.training_set import open_training_set
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.results import Row
from dcgan_assets.engine.step import Verdict
from dcgan_assets.params.internals import Claims
from dcgan_assets.sources.reading.items import HELD_OUT
from dcgan_models.metrics.intervals import CORRECTED, STUDENT, mean_interval
from dcgan_models.pixels import Pixels

if TYPE_CHECKING:
    from dcgan_models.internals.judged import Candidates
    from dcgan_models.machine import Device
    from dcgan_models.metrics.extractor import Extractor
    from dcgan_models.metrics.judge import Judge
    from dcgan_models.networks import Generator

NOISE = "an untrained generator"
_REAL, _CANDIDATES = 2000, 2000
_SOFTER = 2  # times as small as they are, and enlarged again: about as soft as samples
_CORRECTION = "for the judge's errors on held-out pictures made half as sharp"


class Counted(NamedTuple):
    """What a part has found: rows, how its checks came out, and what its pictures show, by file."""

    rows: list[Row]
    verdicts: tuple[Verdict, ...] = ()
    figures: Mapping[str, str] = {}


class Nearness(NamedTuple):
    """Mean distance of pictures from real ones, and the bound below which they show something.

    A judge takes pictures for something however far they lie: an untrained generator's too.
    """

    distance: float
    farthest: float

    @classmethod
    def of(cls, distances: npt.NDArray[np.float64], farthest: float) -> Self:
        """From each picture's distance, (n,), and `Realism.farthest`."""
        return cls(float(distances.mean()), farthest)

    @property
    def enough(self) -> bool:
        """Whether what is seen in the pictures means something."""
        return self.distance < self.farthest

    @property
    def facts(self) -> dict[str, float]:
        """For a verdict."""
        return {
            "distance from real pictures": round(self.distance, 4),
            "farthest that means something": round(self.farthest, 4),
        }


@dataclass(frozen=True)
class KnownPictures:
    """Held-out pictures of which it is known what is to be seen.

    Attributes:
        pictures: uint8 (n, height, width, channels).
        truth: By factor.
        read: What the reporting judge sees on them, made as soft as samples are.
    """

    pictures: Pixels
    truth: dict[str, npt.NDArray[Any]]
    read: dict[str, npt.NDArray[np.float32]]


class Looking:
    """A group's generator and one that never learned, under its two judges."""

    def __init__(self, work: Work) -> None:
        from dcgan_models import load_generator
        from dcgan_models.metrics.judge import load_judge

        self.work = work
        self.section: Claims = work.section
        self.device: Device = work.params.machine.device
        self.generator: Generator = load_generator(
            work.input(work.sibling("generator")), device=self.device
        )
        folder = work.input(work.sibling("judge"))
        self.picking: Judge = load_judge(folder / PICKS)
        self.reporting: Judge = load_judge(folder / REPORTS)
        self.realism = Realism.of(work)

    @property
    def judges(self) -> tuple[Judge, Judge]:
        """The one that picks, and the one that reports."""
        return self.picking, self.reporting

    @cached_property
    def flags(self) -> list[str]:
        """What is there or not."""
        from dcgan_models.internals.judged import names_of

        return names_of(self.reporting.factors, "flag")

    @cached_property
    def untrained(self) -> Generator:
        """A generator of the same kind before it has learned anything: noise has factors, too."""
        from dcgan_models.networks import untrained_generator

        return untrained_generator(self.generator.preset, self.section.seed, self.device)

    @cached_property
    def farthest(self) -> float:
        """How far pictures may lie from real ones for what is seen in them to mean something."""
        section = self.section
        return self.realism.farthest(self.untrained.sample(section.samples, seed=section.seed))

    def nearness(self, pictures: Pixels) -> Nearness:
        """How near pictures lie to real ones, and whether that is near enough."""
        return Nearness.of(self.realism.distances(pictures), self.farthest)

    @cached_property
    def candidates(self) -> Candidates:
        """The samples that are picked from."""
        return self._candidates_of(self.generator)

    @cached_property
    def noise(self) -> Candidates:
        """What would be picked from an untrained generator's."""
        return self._candidates_of(self.untrained)

    def _candidates_of(self, generator: Generator) -> Candidates:
        """Samples of a generator as the picking judge sees them."""
        from dcgan_models.internals.judged import Candidates

        return Candidates.draw(generator, self.picking, _CANDIDATES, self.section.seed)

    @cached_property
    def known(self) -> KnownPictures:
        """The held-out pictures of which all is known."""
        from dcgan_models.metrics.judge import softened

        store = open_training_set(self.work, HELD_OUT)
        factors = read_factors(self.work, [factor.name for factor in self.reporting.factors])
        rows = factors.rows(store.keys)
        pictures = store.gather(rows)
        read = self.reporting.read(softened(pictures, _SOFTER))
        return KnownPictures(pictures, factors.values([store.keys[row] for row in rows]), read)

    def shares(self, name: str, asked: Mapping[str, bool], found: int, n: int) -> list[Row]:
        """A share that was judged, and the same corrected for what the judge gets wrong.

        Args:
            name: Of the row.
            asked: What the pictures were asked for, flag by flag.
            found, n: So many of so many.
        """
        from dcgan_models.internals.judged import having
        from dcgan_models.metrics.calibration import Calibration

        known = self.known
        truth = np.logical_and.reduce([known.truth[flag] == there for flag, there in asked.items()])
        errors = Calibration.of(having(known.read, asked), truth)
        corrected = errors.corrected(found, n)
        row = Row(name=f"{name}, corrected", measure="share", unit="%", n=n, source=_CORRECTION)
        if corrected is not None:
            share, low, high = (round(100 * one, 3) for one in corrected)
            bounds = {"value": share, "low": low, "high": high, "interval": CORRECTED}
            row = row.model_copy(update=bounds)
        return [share_row(name, found, n, measure="share"), row]


class Realism:
    """How far pictures lie from a group's real ones.

    Args:
        extractor: In whose features.
        real: uint8 (n, height, width, channels), at least two.
    """

    def __init__(self, extractor: Extractor, real: Pixels) -> None:
        import torch

        self.count = len(real)
        self._extractor = extractor
        self._real = torch.from_numpy(extractor.features(real))

    @classmethod
    def of(cls, work: Work) -> Self:
        """From a group's training pictures, in the features of its extractor."""
        from dcgan_models.metrics.extractor import load_extractor

        store = open_training_set(work)
        some = np.linspace(0, len(store) - 1, min(len(store), _REAL)).astype(np.int64)
        return cls(load_extractor(work.input(work.sibling("extractor"))), store.gather(some))

    def farthest(self, noise: Pixels) -> float:
        """Halfway from where real pictures lie, each to the nearest other one, to where noise does.

        Args:
            noise: Of an untrained generator.
        """
        import torch

        apart = torch.cdist(self._real, self._real).fill_diagonal_(torch.inf)
        return float(apart.min(1).values.mean() + self.distances(noise).mean()) / 2

    def distances(self, pictures: Pixels) -> npt.NDArray[np.float64]:
        """The distance of each picture to its nearest real one: (n,)."""
        import torch

        found = torch.from_numpy(self._extractor.features(pictures))
        nearest: npt.NDArray[np.float64] = torch.cdist(found, self._real).min(1).values.numpy()
        return nearest.astype(np.float64)

    def row(self, name: str, pictures: Pixels) -> Row:
        """Their mean, as a row of the result."""
        return distance_row(name, self.distances(pictures))


def distance_row(name: str, distances: npt.NDArray[np.float64], over: str = "pictures") -> Row:
    """The mean of distances from real pictures, as `mean_row`."""
    return mean_row(f"{name}: distance from real pictures", "distance", distances, over)


def mean_row(name: str, measure: str, values: npt.NDArray[np.float64], over: str) -> Row:
    """The mean of independent values as a row, with its interval.

    Args:
        name, measure: As in `Row`.
        values: (k,), at least two; shares in [0, 1], which the row has in percent.
        over: What they are of. Pictures that are alike, such as those of one walk, are one value.
    """
    numbers: tuple[float, ...] = (float(values.mean()), *mean_interval(values))
    if measure == "share":
        numbers = tuple(100 * min(max(one, 0.0), 1.0) for one in numbers)
    value, low, high = (round(one, 4) for one in numbers)
    return Row(
        name=name,
        measure=measure,
        value=value,
        unit="%" if measure == "share" else "",
        n=len(values),
        low=low,
        high=high,
        interval=f"{STUDENT}, over {over}",
    )
