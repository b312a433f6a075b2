"""How good a group's generators are: candidate, champions and real pictures, measured alike.

All are held against the same held-out pictures, with samples of the same seeds, in the same run:
numbers of two runs may differ in the pictures, the number of them or the feature space, and are
never compared. What comes out is a table, pictures, and the contest that publishing decides by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dcgan_assets.assets.pictures.shards import shard_facts
from dcgan_assets.assets.training.contest import BEST, BEST_FOLDER, CANDIDATE, CHAMPION, Contest
from dcgan_assets.assets.training.quality_report import (
    FLOOR,
    Measured,
    comparison,
    draw_course,
    draw_side_by_side,
    result_rows,
    write_scores,
)
from dcgan_assets.assets.training.training_set import TRAIN, require_current
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import Check, Outcome, Step, StepMaker, Verdict
from dcgan_assets.engine.store import Meta
from dcgan_assets.params.quality import FEWEST_HELD_OUT, Quality
from dcgan_assets.sources.reading.items import HELD_OUT
from dcgan_models.data import DATASET_FILE
from dcgan_models.errors import UserError
from dcgan_models.files import read_json

if TYPE_CHECKING:
    from dcgan_models.metrics.memorisation import CopyBounds

Pixels = npt.NDArray[np.uint8]

QUALITY_CHECKS = (
    Check("not_memorised", "No more of the candidate's samples copy training pictures than may."),
    Check("copies_found", "Training pictures with a little noise count as copies."),
    Check("floor_below_candidate", "Real pictures come out better than generated ones."),
)
# Copies that are planted, the grey levels that they are off by, and the share that must be found.
_PLANTED, _OFF_BY, _MOST = 200, 8, 0.9
_SHOWN = 48


def measure_quality(work: Work) -> Outcome:
    """Measure candidate and champions, or say why nothing can be measured."""
    require_current(work)
    counts = read_json(work.input(work.sibling("training_set")) / DATASET_FILE)["splits"]
    n = min(work.section.samples, counts[HELD_OUT], counts[TRAIN])
    return _measure(work, n) if n >= FEWEST_HELD_OUT else _leave_unmeasured(work, n)


def quality_step(step: StepMaker) -> Step:
    """A group's `quality`."""
    return step(
        "quality",
        inputs=(step.pictures, "training_set", "extractor", "candidate"),
        kind="results",
        compute=measure_quality,
        checks=QUALITY_CHECKS,
        pool="gpu",
        transient=True,
        shows_pictures=True,
        kinds=frozenset({"pytorch", "table", "matplotlib"}),
        description=(
            "What section 4 judges by eye: candidate, champion and real pictures, measured on "
            "the same held-out pictures and seeds. Sliced Wasserstein distance, MS-SSIM; in "
            "the group's own feature space Fréchet and kernel distance, precision, recall, "
            "density, coverage, and copies of training pictures."
        ),
    )


def _measure(work: Work, n: int) -> Outcome:
    from dcgan_models.metrics.gate import Rule

    section: Quality = work.section
    if section.inception is not None:
        from dcgan_models.metrics.inception import check_inception_file

        check_inception_file(work.root / section.inception)
    ground = _Ground(work, n)
    entrants = _entrants(work, ground.real.shape[1:], ground.notes)
    with work.progress(None, "sets") as bar:
        for _ in ground.measure_all(entrants):
            bar.update()
            if work.stop():
                work.stop.stop_now()
    floor = ground.value(FLOOR, section.measure)
    contest = Contest(
        Rule(section.measure, section.margin, max(0.0, floor), section.copied),
        {name: ground.contender(name) for name in entrants},
        _champion_version(work),
    )
    contest.write(work.out())
    # Neighbours among real pictures may be alike: those of one photograph, of one person.
    sets = {"held out": ground.real, **ground.drawn}
    sets = {name: pictures[_spread(n, _SHOWN)] for name, pictures in sets.items()}
    draw_side_by_side(work.out(), sets)
    course = ground.measure_course(work.input(work.sibling("candidate")) / "generator")
    draw_course(work.out(), course)
    table = [*ground.table, *course]
    write_scores(work.out(), table)
    facts = shard_facts(work)
    work.result(
        paper_ref="section 4, which judges by eye; Heusel et al. (2017) and those after them",
        stand_in=facts["stand_in"],
        rows=result_rows(ground.table, facts),
        notes=" ".join(ground.notes),
    ).write(work.out())
    candidate = contest.contenders[CANDIDATE]
    score = candidate.mean
    return Outcome(
        metadata={
            "comparison": shown.table(comparison(ground.table)),
            "pictures": shown.picture_file(work.out() / "figure.png", "real and generated"),
            "course": shown.picture_file(work.out() / "course.png", "while it was trained"),
            "notes": " ".join(ground.notes),
            **{f"{one.name}: {section.measure}": one.mean for one in contest.contenders.values()},
            f"{FLOOR}: {section.measure}": floor,
        },
        verdicts=(
            ground.not_memorised(CANDIDATE),
            ground.copies_found(),
            Verdict(
                "floor_below_candidate",
                floor < score,
                {"real": round(floor, 4), "candidate": round(score, 4), "by": section.measure},
            ),
        ),
        summary=_summary(contest, floor, ground.notes),
    )


def _summary(contest: Contest, floor: float, notes: list[str]) -> str:
    """The deciding measure of each, and what was not measured."""
    assert contest.rule is not None  # noqa: S101  (something was measured)
    scores = {one.name: one.mean for one in contest.contenders.values()} | {FLOOR: floor}
    words = ", ".join(f"{name} {score:.4g}" for name, score in scores.items())
    return " ".join([f"{contest.rule.measure}: {words}.", *notes])


def _leave_unmeasured(work: Work, n: int) -> Outcome:
    """Publishing then goes by health alone; pictures are shown all the same."""
    from dcgan_models import load_generator
    from dcgan_models.data import PixelStore

    words = (
        f"{n} held-out pictures, {FEWEST_HELD_OUT} are needed: nothing was measured, and the "
        "candidate is judged by its health alone."
    )
    Contest(None, {}, _champion_version(work)).write(work.out())
    store = PixelStore.open(work.input(work.sibling("training_set")), TRAIN)
    rows = np.linspace(0, len(store) - 1, min(len(store), _SHOWN)).astype(np.int64)
    generator = load_generator(work.input(work.sibling("candidate")) / "generator")
    drawn = generator.sample(len(rows), work.section.seeds[0])
    draw_side_by_side(work.out(), {FLOOR: store.gather(rows), CANDIDATE: drawn})
    work.result(
        paper_ref="section 4",
        stand_in=shard_facts(work)["stand_in"],
        rows=[],
        notes=words,
    ).write(work.out())
    unknown = {"by": "nothing: too few are held out", "held out": n, "needed": FEWEST_HELD_OUT}
    return Outcome(
        metadata={
            "notes": words,
            "pictures": shown.picture_file(work.out() / "figure.png", "real and generated"),
        },
        verdicts=tuple(Verdict(check.name, False, unknown) for check in QUALITY_CHECKS),
        summary=words,
    )


def _champion(work: Work) -> Path | None:
    return work.published(work.sibling("generator"))


def _champion_version(work: Work) -> str | None:
    folder = _champion(work)
    meta = Meta.read(folder) if folder else None
    return meta.data_version if meta else None


def _entrants(work: Work, shape: tuple[int, ...], notes: list[str]) -> dict[str, Any]:
    """The generators by name: the candidate, and the champions that draw pictures of its size."""
    from dcgan_models import load_generator
    from dcgan_models.training.config import choose_device

    device = choose_device(work.params.machine.device)
    folders = {CANDIDATE: work.input(work.sibling("candidate")) / "generator"}
    champion = _champion(work)
    if champion is not None:
        folders[CHAMPION] = champion
        if (champion / BEST_FOLDER).is_dir():
            folders[BEST] = champion / BEST_FOLDER
    entrants = {}
    for name, folder in folders.items():
        generator = load_generator(folder)
        channels, height, width = generator.preset.image
        if (height, width, channels) == shape:
            entrants[name] = generator.to(device)
        else:
            notes.append(f"{name}: draws {height}x{width}, not comparable, left out.")
    return entrants


@dataclass
class _Ground:
    """What every generator is measured on, and what was found.

    Attributes:
        n: Real pictures, and generated ones for each seed.
        real: Held-out pictures, uint8 (n, height, width, channels).
        drawn: Pictures of the first seed, by the generator's name.
        scores: The deciding measure for each seed, by name.
        copied: Lower bound of the share of copies, by name.
    """

    work: Work
    n: int
    table: list[Measured] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    drawn: dict[str, Pixels] = field(default_factory=dict)
    scores: dict[str, list[float]] = field(default_factory=dict)
    copied: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the real pictures and their features."""
        from dcgan_models.data import PixelStore
        from dcgan_models.metrics.extractor import load_extractor, random_extractor

        self.section: Quality = self.work.section
        folder = self.work.input(self.work.sibling("training_set"))
        self.extractor = load_extractor(self.work.input(self.work.sibling("extractor")))
        self.control = random_extractor()
        held, train = (PixelStore.open(folder, split) for split in (HELD_OUT, TRAIN))
        self.real = held.gather(_spread(len(held), self.n))
        self.floor = train.gather(_spread(len(train), self.n))
        self.features = {x.name: x.features(self.real) for x in (self.extractor, self.control)}
        known = _spread(len(train), self.section.train_samples)
        self.known = train.subset(known)
        self.bounds = self._copy_bounds()
        if self.section.inception is None:
            self.notes.append(
                "FID, KID and Inception Score were left out: quality.inception names no file."
            )

    def _copy_bounds(self) -> CopyBounds | None:
        """What counts as a copy; None, and a note, where too few held-out pictures can tell."""
        from dcgan_models.metrics.memorisation import CopyBounds

        held = self.features[self.extractor.name]
        try:
            bounds = CopyBounds.of(self.extractor.features(self.known), held)
        except UserError as error:
            self.notes.append(f"Copies of training pictures cannot be told: {error}.")
            return None
        alike = int(bounds.near_copies.sum())
        if alike:
            self.notes.append(
                f"Of {alike} of {len(held)} held-out pictures a near-copy was trained on; they do "
                "not count in what a copy is."
            )
        return bounds

    def copies_found(self) -> Verdict:
        """Plant copies of training pictures, and say how many of them are found."""
        if self.bounds is None:
            return Verdict("copies_found", False, {"found": "not measured, see the notes"})
        rng = np.random.default_rng(self.section.seeds[0])
        copies = self.known.gather(_spread(len(self.known), _PLANTED)).astype(np.int16)
        copies += rng.integers(-_OFF_BY, _OFF_BY + 1, copies.shape, np.int16)
        features = self.extractor.features(np.clip(copies, 0, 255).astype(np.uint8))
        found = self.bounds.judge(features).share
        return Verdict(
            "copies_found",
            found >= _MOST,
            {"found": round(found, 3), "planted": len(copies), "bound": _MOST},
        )

    def not_memorised(self, name: str) -> Verdict:
        """Whether no more of a generator's samples are copies than may be."""
        copied, bound = self.copied[name], self.section.copied
        known = "not measured, see the notes" if self.bounds is None else round(copied, 4)
        facts = {"copied, at least": known, "bound": bound}
        return Verdict("not_memorised", copied <= bound, facts)

    def measure_all(self, entrants: dict[str, Any]) -> Iterator[None]:
        """Every measure for the first seed, the deciding one for all; yields after each set."""
        first, *others = self.section.seeds
        self._fill(FLOOR, self.floor, first)
        yield
        for name, generator in entrants.items():
            self.drawn[name] = generator.sample(self.n, first)
            self._fill(name, self.drawn[name], first)
            self.scores[name] = [self.value(name, self.section.measure)]
            yield
            for seed in others:
                pictures = generator.sample(self.n, seed)
                self._try(name, lambda p=pictures, s=seed: [self._one(p, s)])  # type: ignore[misc]
                self.scores[name].append(self.value(name, self.section.measure, seed))
                yield

    def _fill(self, name: str, pictures: Pixels, seed: int) -> None:
        """All rows of one set of pictures."""
        from dcgan_models.metrics.table import feature_scores, memorisation_scores, pixel_scores

        kid = self._kid(self.n)
        self._try(name, lambda: pixel_scores(self.real, pictures, self._setting(None, seed)))
        for extractor in (self.extractor, self.control):
            found, real = extractor.features(pictures), self.features[extractor.name]
            setting = self._setting(extractor, seed)
            self._try(name, lambda: feature_scores(real, found, setting, **kid))  # noqa: B023
        if name == FLOOR:
            return
        if self.section.inception is not None:
            self._try(name, lambda: self._inception(pictures))
        bounds, setting = self.bounds, self._setting(self.extractor, seed)
        if bounds is not None:
            fake = self.extractor.features(pictures)
            self._try(name, lambda: memorisation_scores(bounds, fake, setting))
        lows = [m.score.low for m in self.table if (m.who, m.score.name) == (name, "copied")]
        self.copied[name] = lows[0] if lows and lows[0] is not None else 0.0

    def _one(self, pictures: Pixels, seed: int) -> Any:
        """The deciding measure alone."""
        from dcgan_models.metrics.table import distance_score, swd_score

        measure = self.section.measure
        if measure == "swd":
            return swd_score(self.real, pictures, self._setting(None, seed))
        real, found = self.features[self.extractor.name], self.extractor.features(pictures)
        setting = self._setting(self.extractor, seed)
        return distance_score(measure, real, found, setting, **self._kid(self.n))

    def _inception(self, pictures: Pixels) -> list[Any]:
        from dcgan_models.metrics.inception import inception_rows
        from dcgan_models.training.config import choose_device

        return inception_rows(
            self.real,
            pictures,
            self.work.root / str(self.section.inception),
            split=HELD_OUT,
            kid_size=min(1000, self.n),
            device=choose_device(self.work.params.machine.device).type,
        )

    def measure_course(self, folder: Path) -> list[Measured]:
        """The cheap measures for each of the candidate's snapshots, at the end, and the floor's."""
        from dcgan_models import load_generator

        n, seed = min(self.section.snapshot_samples, self.n), self.section.seeds[0]
        files = sorted(path.name for path in folder.glob("snapshots/*.safetensors"))
        found = self._point(FLOOR, self.floor[_spread(self.n, n)], None)
        for name in (*(f"snapshots/{name}" for name in files), "weights.safetensors"):
            generator = load_generator(folder, weights=name)
            last = generator.preset.epochs + generator.preset.decay_epochs
            epoch = int(Path(name).stem.split("_")[1]) if "/" in name else last
            found += self._point(CANDIDATE, generator.sample(n, seed), epoch)
        return found

    def _point(self, who: str, pictures: Pixels, epoch: int | None) -> list[Measured]:
        """The feature space's rows of as many pictures as a point of the series has."""
        from dcgan_models.metrics.table import feature_scores

        n = len(pictures)
        real = self.features[self.extractor.name][_spread(self.n, n)]
        setting = self._setting(self.extractor, self.section.seeds[0])
        features = self.extractor.features(pictures)
        scores = feature_scores(real, features, setting, **self._kid(n))
        return [Measured(who, score, epoch) for score in scores]

    def contender(self, name: str) -> Any:
        """A generator as the gate sees it."""
        from dcgan_models.metrics.gate import Contender

        return Contender(name, tuple(self.scores[name]), copied=self.copied[name])

    def value(self, who: str, measure: str, seed: int | None = None) -> float:
        """A number of the table; NaN where it could not be computed."""
        seed = self.section.seeds[0] if seed is None else seed
        space = "pixels" if measure == "swd" else self.extractor.name
        wanted = (who, measure, space, seed)
        found = [
            m.score.value
            for m in self.table
            if (m.who, m.score.name, m.score.extractor, m.score.seed) == wanted
        ]
        return found[0] if found else math.nan

    def _try(self, name: str, make: Callable[[], list[Any]]) -> None:
        """Add rows; what cannot be computed of a candidate is a note: it may be bad."""
        try:
            self.table += [Measured(name, score) for score in make()]
        except UserError as error:
            if name != CANDIDATE:
                raise
            self.notes.append(f"{name}: {error}.")

    def _setting(self, extractor: Any, seed: int) -> Any:
        from dcgan_models.metrics.table import Setting

        if extractor is None:
            return Setting(HELD_OUT, "none", "pixels", seed)
        return Setting(HELD_OUT, extractor.resizer, extractor.name, seed)

    def _kid(self, n: int) -> dict[str, int]:
        """Of the kernel distance, for so many pictures; two thirds leave a standard error."""
        return {
            "kid_subsets": self.section.kid_subsets,
            "kid_size": min(self.section.kid_size, 2 * n // 3),
        }


def _spread(count: int, n: int) -> npt.NDArray[np.int64]:
    """Rows of `n` pictures, or of all, spread evenly."""
    return np.linspace(0, count - 1, min(count, n)).astype(np.int64)
