"""What the paper asks for, changed one thing at a time: several seeds each, a verdict in words."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dcgan_assets.assets.pictures.shards import stand_in
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.measures import Split
from dcgan_assets.engine.results import Row
from dcgan_assets.engine.run_folders import open_run
from dcgan_assets.engine.step import Outcome
from dcgan_assets.params.training import Ablations
from dcgan_models.metrics.intervals import STUDENT, mean_interval

if TYPE_CHECKING:
    from dcgan_models.presets import Preset
    from dcgan_models.training.ablations import Ablation, Comparison

ORIGINAL = "the paper's settings"
NOTES = (
    "Seeds are paired, and p is corrected for all changes together (Holm): where none matters, one "
    "is told to in 5 of 100 experiments. Intervals of differences are each for itself."
)


@dataclass(frozen=True)
class Score:
    """A number that every training gets.

    Attributes:
        name: What it is called in rows and figures.
        measure, unit: As of `Row`.
    """

    name: str
    measure: str
    unit: str = ""


@dataclass(frozen=True)
class Trial:
    """What is trained on, and how what comes of it is measured.

    Attributes:
        data: Folder of the data set.
        data_version: Of what it was made from.
        split: Whose pictures it is measured on.
        scores: The first decides, and the lower the better; the others are told.
        measure: From the folder of a trained generator, a number for each score.
        diverged: The same for a training that diverged, from its preset and seed.
    """

    data: Path
    data_version: str
    split: Split
    scores: tuple[Score, ...]
    measure: Callable[[Path], tuple[float, ...]]
    diverged: Callable[[Preset, int], tuple[float, ...]]


# Of each change, the numbers of its trainings: a row a seed, a column a score.
Found = Mapping[str, list[tuple[float, ...]]]


def try_changes(
    work: Work, changes: Sequence[Ablation], trial: Trial, *, paper_ref: str, notes: str
) -> Outcome:
    """Train the section's preset and each change of it, and tell what the change does.

    Args:
        work: Of a step whose section is `Ablations`.
        changes: What is tried.
        trial: On what, and how it is measured.
        paper_ref, notes: Of the result.
    """
    from dcgan_models.training.ablations import compare

    found = _train_all(work, changes, trial)
    deciding = {name: [numbers[0] for numbers in seeds] for name, seeds in found.items()}
    reference = deciding[ORIGINAL]
    comparisons = compare(reference, {one.name: deciding[one.name] for one in changes})
    told = {
        one.name: (one.claim, verdict(comparisons[one.name], one.paper_prefers)) for one in changes
    }
    work.result(
        paper_ref=paper_ref,
        stand_in=stand_in(work),
        rows=_rows(found, comparisons, told, trial),
        notes=f"{notes} {NOTES}",
    ).write(work.out())
    score = trial.scores[0]
    _draw(deciding, " ".join(filter(None, (score.name, score.unit))), work.out() / "figure.png")
    table = [
        {
            "change": name,
            **{one.name: _mean_and_range(column) for one, column in _columns(trial, seeds)},
            "claim": told.get(name, ("", ""))[0],
            "verdict": told.get(name, ("", ""))[1],
        }
        for name, seeds in found.items()
    ]
    return Outcome(
        metadata={"table": shown.table(table)},
        figures={"figure.png": f"{score.name} of each change"},
    )


def _train_all(work: Work, changes: Sequence[Ablation], trial: Trial) -> Found:
    """Train every change with every seed; seed by seed, so that a stop leaves like beside like."""
    section: Ablations = work.section
    original = section.resolved()
    presets = {ORIGINAL: original, **{one.name: one.change(original) for one in changes}}
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in presets}
    with work.progress(len(presets) * section.seeds, "trainings") as bar:
        for seed in range(1, section.seeds + 1):
            for name, preset in presets.items():
                found[name].append(_train_one(work, preset, seed, trial))
                bar.update()
    return found


def _train_one(work: Work, preset: Preset, seed: int, trial: Trial) -> tuple[float, ...]:
    from dcgan_models.training import TrainConfig, train
    from dcgan_models.training.loop import DivergedError

    config = TrainConfig(
        preset=preset,
        data=str(trial.data),
        data_version=trial.data_version,
        seed=seed,
        device=work.params.machine.device,
    )
    run_dir, _ = open_run(work, config)
    try:
        if not train(config, run_dir, should_stop=work.stop):
            work.stop.stop_now()
    except DivergedError as reason:
        work.log(str(reason))
        return trial.diverged(preset, seed)
    return trial.measure(run_dir / "result" / "generator")


def verdict(found: Comparison, paper_prefers: str | None) -> str:
    """What a comparison says of the paper's claim, in words."""
    told = f"{found.difference:+.4g}, {found.low:.4g} to {found.high:.4g}, p {found.p:.2g}"
    if not found.told:
        return f"cannot tell here ({told})"
    worse = found.difference > 0
    if paper_prefers is None:
        return f"the change is {'worse' if worse else 'better'} ({told})"
    as_told = (paper_prefers == "original") == worse
    return f"{'supports' if as_told else 'contradicts'} the paper ({told})"


def _columns(trial: Trial, seeds: list[tuple[float, ...]]) -> list[tuple[Score, list[float]]]:
    """Each score with its numbers, one a seed."""
    columns = zip(*seeds, strict=True)
    return [(score, list(own)) for score, own in zip(trial.scores, columns, strict=True)]


def _rows(
    found: Found,
    comparisons: Mapping[str, Comparison],
    told: Mapping[str, tuple[str, str]],
    trial: Trial,
) -> list[Row]:
    """Of each change its scores, and what it does to the first of them."""
    first = trial.scores[0]
    changed = Score(f"{first.name}, difference", "change", first.unit)
    rows = []
    for name, seeds in found.items():
        for score, values in _columns(trial, seeds):
            numbers = (statistics.fmean(values), *mean_interval(values))
            rows.append(_row(name, score, trial, len(seeds), numbers))
        if name in comparisons:
            one = comparisons[name]
            numbers, words = (one.difference, one.low, one.high), ": ".join(told[name])
            rows.append(_row(name, changed, trial, len(seeds), numbers, words))
    return rows


def _row(
    change: str,
    score: Score,
    trial: Trial,
    n: int,
    numbers: tuple[float, float, float],
    source: str = "",
) -> Row:
    """A number with its interval over seeds; `source` says what follows from it."""
    value, low, high = (round(number, 3) for number in numbers)
    return Row(
        name=f"{change}: {score.name}",
        measure=score.measure,
        split=trial.split,
        protocol="ours",
        value=value,
        unit=score.unit,
        n=n,
        low=low,
        high=high,
        interval=f"{STUDENT}, over seeds",
        source=source,
    )


def _mean_and_range(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.4g} ({min(values):.4g} to {max(values):.4g})"


def _draw(deciding: Mapping[str, list[float]], label: str, path: Path) -> None:
    """A dot a seed, a bar at the mean, the original's range as a band."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.45 * len(deciding) + 1), layout="constrained")
    axes: Any = figure.subplots()
    reference = deciding[ORIGINAL]
    axes.axvspan(min(reference), max(reference), color="0.9")
    for height, values in enumerate(deciding.values()):
        axes.plot(values, np.full(len(values), height), "o", color="C0", alpha=0.7)
        axes.plot(statistics.fmean(values), height, "|", color="C1", markersize=16)
    axes.set_yticks(range(len(deciding)), list(deciding))
    axes.invert_yaxis()
    axes.set_xlabel(label)
    figure.savefig(path, dpi=120)
