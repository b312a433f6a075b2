"""How good a group's generators are: candidate, champions and real pictures, measured alike.

All are held against the same held-out pictures, with samples of the same seeds, in the same run:
numbers of two runs may differ in the pictures, the number of them or the feature space, and are
never compared. What comes out is a table, pictures, and the contest that publishing decides by.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dcgan_assets.assets.pictures.shards import shard_facts, stand_in
from dcgan_assets.assets.publishing.contest import (
    CANDIDATE,
    CHAMPION,
    Contest,
    folders_to_compare,
    same_network,
)
from dcgan_assets.assets.publishing.quality_report import (
    FLOOR,
    Measured,
    comparison,
    draw_course,
    draw_side_by_side,
    result_rows,
    write_scores,
)
from dcgan_assets.assets.training.training_set import TRAIN, open_training_set, require_current
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import GPU, Check, Outcome, Step, StepMaker, Verdict
from dcgan_assets.engine.store import Meta
from dcgan_assets.params.publishing import Quality
from dcgan_assets.params.training import FEWEST_HELD_OUT
from dcgan_assets.sources.reading.items import HELD_OUT
from dcgan_models.data import DATASET_FILE
from dcgan_models.errors import UserError
from dcgan_models.files import read_json
from dcgan_models.pixels import Pixels

if TYPE_CHECKING:
    from dcgan_models.metrics.gate import Contender, Rule
    from dcgan_models.metrics.memorisation import CopyBounds

QUALITY_CHECKS = (
    Check("not_memorised", "No more of the candidate's samples copy training pictures than may."),
    Check(
        "copies_found",
        "Training pictures with a little noise, cropped a little, or mirrored count as copies, and "
        "a candidate that made every tenth of its samples so would not be published.",
    ),
    Check("floor_below_candidate", "Real pictures come out better than generated ones."),
    Check("margin_resolved", "Noise leaves room to tell a loss of the gate's margin from none."),
)
# The share of planted copies that must be found, all kinds together.
_FOUND = 0.75
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
        pool=GPU,
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
    section: Quality = work.section
    if section.inception is not None:
        from dcgan_models.metrics.inception import check_inception_file

        check_inception_file(work.root / section.inception)
    ground = _Ground(work, n)
    contest, copies_found = _compare(work, ground)
    contest.write(work.out())
    course = ground.measure_course(work.input(work.sibling("candidate")) / "generator")
    _write_and_draw(work, ground, course)
    floor = ground.value(FLOOR, section.measure)
    candidate = contest.contenders[CANDIDATE]
    return Outcome(
        metadata={
            "comparison": shown.table(comparison(ground.table)),
            "notes": " ".join(ground.notes),
            **{f"{one.name}: {section.measure}": one.mean for one in contest.contenders.values()},
            f"{FLOOR}: {section.measure}": floor,
            "sets": len(candidate.scores),
        },
        verdicts=(
            ground.not_memorised(CANDIDATE),
            copies_found,
            _floor_below_candidate(floor, candidate, section.measure),
            _margin_resolved(contest),
        ),
        summary=_summary(contest, floor, ground.notes),
        figures={"figure.png": "real and generated", "course.png": "while it was trained"},
    )


def _compare(work: Work, ground: _Ground) -> tuple[Contest, Verdict]:
    """Measure all that draw such pictures, and say whether copies of training pictures are seen."""
    section: Quality = work.section
    entrants = _entrants(work, ground.real.shape[1:], ground.notes)
    with work.progress(None, "sets") as bar:

        def tick() -> None:
            bar.update()
            if work.stop():
                work.stop.stop_now()

        ground.measure_all(entrants, tick)
        copies_found = ground.copies_found(CANDIDATE)
        rule = section.rule(section.measure, max(0.0, ground.value(FLOOR, section.measure)))
        contest = Contest(
            rule,
            ground.contend(entrants, rule, tick),
            _champion_version(work),
            "" if copies_found.passed else "copies of training pictures cannot be told",
            section.publish_unmeasured,
        )
    return contest, copies_found


def _write_and_draw(work: Work, ground: _Ground, course: list[Measured]) -> None:
    """The table, the course of training, and pictures of each side by side."""
    # Neighbours among real pictures may be alike: those of one photograph, of one person.
    some = _spread(ground.n, _SHOWN)
    sets = {"held out": ground.real, **ground.drawn}
    draw_side_by_side(work.out(), {name: pictures[some] for name, pictures in sets.items()})
    draw_course(work.out(), course)
    write_scores(work.out(), [*ground.table, *course])
    work.result(
        paper_ref="section 4, which judges by eye; Heusel et al. (2017) and those after them",
        stand_in=stand_in(work),
        rows=result_rows(ground.table, shard_facts(work)),
        notes=" ".join(ground.notes),
    ).write(work.out())


def _floor_below_candidate(floor: float, candidate: Contender, measure: str) -> Verdict:
    """Whether real pictures come out better than the candidate's."""
    score = candidate.mean
    facts = {"real": round(floor, 4), "candidate": round(score, 4), "by": measure}
    return Verdict("floor_below_candidate", floor < score, facts)


def _margin_resolved(contest: Contest) -> Verdict:
    """Whether as many sets of samples were scored as the gate's margin takes."""
    losses = contest.losses()
    if not losses:
        return Verdict("margin_resolved", True, {"compared with": "nothing"})
    worst = max(losses, key=lambda loss: loss.noise - loss.allowed / 2)
    facts = {
        "noise": float(f"{worst.noise:.3g}"),
        "half of the margin": float(f"{worst.allowed / 2:.3g}"),
        "sets": len(worst.reference.scores),
    }
    return Verdict("margin_resolved", worst.resolved, facts)


def _summary(contest: Contest, floor: float, notes: list[str]) -> str:
    """The deciding measure of each, and what was not measured."""
    assert contest.rule is not None  # noqa: S101  (something was measured)
    scores = {one.name: one.mean for one in contest.contenders.values()} | {FLOOR: floor}
    words = ", ".join(f"{name} {score:.4g}" for name, score in scores.items())
    return " ".join([f"{contest.rule.measure}: {words}.", *notes])


def _leave_unmeasured(work: Work, n: int) -> Outcome:
    """A champion then stays, but `publish_unmeasured` is true; pictures are shown all the same."""
    from dcgan_models import load_generator

    section: Quality = work.section
    words = f"{n} held-out pictures, {FEWEST_HELD_OUT} are needed"
    contest = Contest(None, {}, _champion_version(work), words, section.publish_unmeasured)
    contest.write(work.out())
    store = open_training_set(work)
    rows = np.linspace(0, len(store) - 1, min(len(store), _SHOWN)).astype(np.int64)
    generator = load_generator(
        work.input(work.sibling("candidate")) / "generator", device=work.params.machine.device
    )
    drawn = generator.sample(len(rows), section.seed)
    draw_side_by_side(work.out(), {FLOOR: store.gather(rows), CANDIDATE: drawn})
    work.result(
        paper_ref="section 4",
        stand_in=stand_in(work),
        rows=[],
        notes=f"Not measured: {words}.",
    ).write(work.out())
    unknown = {"by": "nothing: too few are held out", "held out": n, "needed": FEWEST_HELD_OUT}
    return Outcome(
        metadata={
            "notes": f"Not measured: {words}.",
        },
        verdicts=tuple(Verdict(check.name, False, unknown) for check in QUALITY_CHECKS),
        summary=f"not measured: {words}",
        figures={"figure.png": "real and generated"},
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

    candidate = work.input(work.sibling("candidate")) / "generator"
    champion = _champion(work)
    if champion is not None and same_network(candidate, champion):
        notes.append(f"{CANDIDATE} and {CHAMPION} are the same network.")
    entrants = {}
    for name, folder in folders_to_compare(candidate, champion).items():
        generator = load_generator(folder, device=work.params.machine.device)
        channels, height, width = generator.preset.image
        if (height, width, channels) == shape:
            entrants[name] = generator
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
        copied: Lower bound of the share of copies, by name.
    """

    work: Work
    n: int
    table: list[Measured] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    drawn: dict[str, Pixels] = field(default_factory=dict)
    copied: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the real pictures and their features."""
        from dcgan_models.metrics.extractor import load_extractor, random_extractor

        self.section: Quality = self.work.section
        self.extractor = load_extractor(self.work.input(self.work.sibling("extractor")))
        self.control = random_extractor()
        held, train = (open_training_set(self.work, split) for split in (HELD_OUT, TRAIN))
        self.real = held.gather(_spread(len(held), self.n))
        self.floor = train.gather(_spread(len(train), self.n))
        self.features = {x.name: x.features(self.real) for x in (self.extractor, self.control)}
        self.train = train
        self.bounds = self._copy_bounds()
        if self.section.inception is None:
            self.notes.append(
                "FID, KID and Inception Score were left out: quality.inception names no file."
            )

    def _copy_bounds(self) -> CopyBounds | None:
        """What counts as a copy; None, and a note, where too few held-out pictures can tell."""
        from dcgan_models.metrics.memorisation import CopyBounds
        from dcgan_models.metrics.planted_copies import views

        held = views(self.extractor, self.real)
        try:
            bounds = CopyBounds.of(self.extractor.features(self.train), *held)
        except UserError as error:
            self.notes.append(f"Copies of training pictures cannot be told: {error}.")
            return None
        alike = int(bounds.near_copies.sum())
        if alike:
            self.notes.append(
                f"Of {alike} of {self.n} held-out pictures a near-copy was trained on; they do "
                "not count in what a copy is."
            )
        return bounds

    def copies_found(self, name: str) -> Verdict:
        """Plant copies among a generator's pictures, and say how many of them are found."""
        from dcgan_models.metrics.planted_copies import copy_power

        if self.bounds is None:
            unknown = {"found": "not measured, see the notes"}
            return Verdict("copies_found", False, unknown)
        fake, seed = self.drawn[name], self.section.seed
        power = copy_power(self.bounds, self.extractor, self.train, fake, seed)
        return Verdict(
            "copies_found",
            1 - power.missed >= _FOUND and power.tenth.low > self.section.copied,
            {
                **{f"found, {edit}": round(share, 3) for edit, share in power.found.items()},
                "missed": round(power.missed, 3),
                "missed at most": 1 - _FOUND,
                "every tenth a copy: copied, at least": round(power.tenth.low, 4),
                "more than": self.section.copied,
            },
        )

    def not_memorised(self, name: str) -> Verdict:
        """Whether no more of a generator's samples are copies than may be."""
        copied, bound = self.copied[name], self.section.copied
        if self.bounds is None:
            unknown = {"copied": "not measured, see the notes", "bound": bound}
            return Verdict("not_memorised", False, unknown)
        facts = {"copied, at least": round(copied, 4), "bound": bound}
        return Verdict("not_memorised", copied <= bound, facts)

    def measure_all(self, entrants: dict[str, Any], tick: Callable[[], None]) -> None:
        """Every measure for the first set of samples of each; `tick` is called after each."""
        self._fill(FLOOR, self.floor)
        tick()
        for name, generator in entrants.items():
            self.drawn[name] = generator.sample(self.n, self.section.seed)
            self._fill(name, self.drawn[name])
            tick()

    def contend(
        self, entrants: dict[str, Any], rule: Rule, tick: Callable[[], None]
    ) -> dict[str, Contender]:
        """The generators as the gate sees them, by the deciding measure of as many sets."""
        from dcgan_models.metrics.gate import Contender, score_sets

        def score(name: str, number: int) -> float:
            if number == 0:
                return self.value(name, self.section.measure)
            tick()
            seed = self.section.seed + number
            try:
                return self._decisive(entrants[name].sample(self.n, seed), seed)
            except UserError as error:
                if name != CANDIDATE:
                    raise
                self.notes.append(f"{name}: {error}.")
                return math.nan

        scores = score_sets(entrants, score, rule)
        return {name: Contender(name, scores[name], copied=self.copied[name]) for name in entrants}

    def _fill(self, name: str, pictures: Pixels) -> None:
        """All rows of one set of pictures."""
        from dcgan_models.metrics.planted_copies import views
        from dcgan_models.metrics.table import feature_scores, memorisation_scores, pixel_scores

        kid, seed = self._kid(self.n), self.section.seed
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
            seen = views(self.extractor, pictures)
            self._try(name, lambda: memorisation_scores(bounds, seen, setting))
        lows = [m.score.low for m in self.table if (m.who, m.score.name) == (name, "copied")]
        self.copied[name] = lows[0] if lows and lows[0] is not None else 0.0

    def _decisive(self, pictures: Pixels, seed: int) -> float:
        """The deciding measure alone: of its first set, that of the table."""
        from dcgan_models.metrics.frechet import frechet_distance, moments
        from dcgan_models.metrics.kernel import kernel_distance
        from dcgan_models.metrics.wasserstein import sliced_wasserstein

        if self.section.measure == "swd":
            return sliced_wasserstein(self.real, pictures, seed=seed).average
        real, found = self.features[self.extractor.name], self.extractor.features(pictures)
        if self.section.measure == "frechet_distance":
            return frechet_distance(moments(real), moments(found))
        kid = self._kid(self.n)
        subsets, size = kid["kid_subsets"], kid["kid_size"]
        return kernel_distance(real, found, subsets=subsets, size=size, seed=seed).value

    def _inception(self, pictures: Pixels) -> list[Any]:
        from dcgan_models.machine import choose_device
        from dcgan_models.metrics.inception import inception_rows

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

        n, seed = min(self.section.snapshot_samples, self.n), self.section.seed
        files = sorted(path.name for path in folder.glob("snapshots/*.safetensors"))
        found = self._point(FLOOR, self.floor[_spread(self.n, n)], None)
        for name in (*(f"snapshots/{name}" for name in files), "weights.safetensors"):
            generator = load_generator(folder, weights=name, device=self.work.params.machine.device)
            last = generator.preset.epochs + generator.preset.decay_epochs
            epoch = int(Path(name).stem.split("_")[1]) if "/" in name else last
            found += self._point(CANDIDATE, generator.sample(n, seed), epoch)
        return found

    def _point(self, who: str, pictures: Pixels, epoch: int | None) -> list[Measured]:
        """The feature space's rows of as many pictures as a point of the series has."""
        from dcgan_models.metrics.table import feature_scores

        n = len(pictures)
        real = self.features[self.extractor.name][_spread(self.n, n)]
        setting = self._setting(self.extractor, self.section.seed)
        features = self.extractor.features(pictures)
        scores = feature_scores(real, features, setting, **self._kid(n))
        return [Measured(who, score, epoch) for score in scores]

    def value(self, who: str, measure: str) -> float:
        """A number of the table; NaN where it could not be computed."""
        space = "pixels" if measure == "swd" else self.extractor.name
        wanted = (who, measure, space)
        found = [
            m.score.value for m in self.table if (m.who, m.score.name, m.score.extractor) == wanted
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
