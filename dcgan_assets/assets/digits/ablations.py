"""The paper's claims about training, tried on digits: several seeds each, a verdict in words."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dcgan_assets.assets.digits.digit_quality import least_diversity, validation_error
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.results import Row
from dcgan_assets.engine.run_folders import open_run
from dcgan_assets.engine.step import Outcome, Step
from dcgan_assets.params.digits import Ablations
from dcgan_models.data import DATASET_FILE
from dcgan_models.files import read_json

_IMAGES = "mnist/images"
ORIGINAL = "the paper's settings"
_DIVERGED = (90.0, 0.0)  # chance on ten classes, no diversity


def _ablations(work: Work) -> Outcome:
    from dcgan_models.training.ablations import ABLATIONS

    section: Ablations = work.section
    original = section.resolved()
    presets = {ORIGINAL: original, **{a.name: a.change(original) for a in ABLATIONS}}
    runs = [(name, seed) for name in presets for seed in range(1, section.seeds + 1)]
    errors: dict[str, list[float]] = {name: [] for name in presets}
    diversity: dict[str, list[float]] = {name: [] for name in presets}
    with work.progress(len(runs), "trainings") as bar:
        for name, seed in runs:
            found = _train_and_measure(work, presets[name], seed)
            errors[name].append(found[0])
            diversity[name].append(found[1])
            bar.update()
    claims = {
        a.name: (a.claim, verdict(errors[ORIGINAL], errors[a.name], a.paper_prefers))
        for a in ABLATIONS
    }
    rows = _rows(errors, diversity, claims, section)
    work.result(
        paper_ref="sections 3, 4 and 8.1, claims about training",
        stand_in=read_json(work.input(_IMAGES) / DATASET_FILE)["stand_in"],
        rows=rows,
        notes=(
            f"1-NN error of {section.samples} samples on the validation digits, in percent; a "
            "training that diverged counts as 90. A difference counts where the seeds' ranges "
            "do not overlap."
        ),
    ).write(work.out())
    _draw(errors, work.out() / "figure.png")
    table = [
        {
            "change": name,
            "1-NN error %": _median_and_range(errors[name]),
            "diversity": _median_and_range(diversity[name]),
            "claim": claims.get(name, ("", ""))[0],
            "verdict": claims.get(name, ("", ""))[1],
        }
        for name in presets
    ]
    return Outcome(
        metadata={
            "table": shown.table(table),
            "figure": shown.picture_file(work.out() / "figure.png", "1-NN error of each change"),
        }
    )


STEPS = (
    Step(
        outputs=("mnist/ablations",),
        inputs=(_IMAGES,),
        kind="results",
        section="mnist.ablations",
        compute=_ablations,
        kinds=frozenset({"pytorch", "table"}),
        pool="gpu",
        optional=True,
        description=(
            "The paper's claims about training (sections 3, 4 and 8.1), each tried against the "
            "paper's own settings with several seeds: 1-NN error, diversity, a verdict in words."
        ),
    ),
)


def _train_and_measure(work: Work, preset: Any, seed: int) -> tuple[float, float]:
    """Error in percent and least diversity of one training; 90 and 0 where it diverged."""
    from dcgan_models.training import TrainConfig, train
    from dcgan_models.training.loop import DivergedError

    config = TrainConfig(
        preset=preset,
        data=str(work.input(_IMAGES)),
        data_version=work.inputs[_IMAGES].data_version,
        seed=seed,
        device=work.params.machine.device,
    )
    run_dir, _ = open_run(work, config)
    try:
        if not train(config, run_dir, should_stop=work.stop):
            work.stop.stop_now()
    except DivergedError as reason:
        work.log(str(reason))
        return _DIVERGED
    generator = run_dir / "result" / "generator"
    error = validation_error(work, generator, work.section.samples)
    return 100 * error, least_diversity(work, generator)


def verdict(original: list[float], changed: list[float], paper_prefers: str | None) -> str:
    """Compare two sets of errors: a difference counts where their ranges do not overlap."""
    if max(original) < min(changed):
        better = "original"
    elif max(changed) < min(original):
        better = "change"
    else:
        return "no difference beyond the seeds' spread"
    words = "the change is worse" if better == "original" else "the change is better"
    if paper_prefers is None:
        return words
    return f"{words}: {'as' if better == paper_prefers else 'not as'} the paper says"


def _rows(
    errors: Mapping[str, list[float]],
    diversity: Mapping[str, list[float]],
    claims: Mapping[str, tuple[str, str]],
    section: Ablations,
) -> list[Row]:
    rows = []
    for name in errors:
        claim, words = claims.get(name, ("", "reference"))
        for what, unit, values in (
            ("1-NN error", "%", errors[name]),
            ("least diversity", "", diversity[name]),
        ):
            rows.append(
                Row(
                    name=f"{name}: {what}",
                    value=round(statistics.median(values), 3),
                    unit=unit,
                    n=section.seeds,
                    low=round(min(values), 3),
                    high=round(max(values), 3),
                    interval="median and range of seeds",
                    source=f"{claim}: {words}" if claim else words,
                )
            )
    return rows


def _median_and_range(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _draw(errors: Mapping[str, list[float]], path: Path) -> None:
    """A dot a seed, a bar at the median, the original's range as a band."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.45 * len(errors) + 1), layout="constrained")
    axes = figure.subplots()
    reference = errors[ORIGINAL]
    axes.axvspan(min(reference), max(reference), color="0.9")
    for height, values in enumerate(errors.values()):
        axes.plot(values, np.full(len(values), height), "o", color="C0", alpha=0.7)
        axes.plot(statistics.median(values), height, "|", color="C1", markersize=16)
    axes.set_yticks(range(len(errors)), list(errors))
    axes.invert_yaxis()
    axes.set_xlabel("1-NN error on validation digits, %")
    figure.savefig(path, dpi=120)
