"""`svhn/supervised_cnn`: D's architecture trained on the labels alone (section 5.2 of v2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dcgan_assets.assets.pictures.labelled_images import labelled_store, read_labelled
from dcgan_assets.assets.pictures.shards import shard_facts
from dcgan_assets.assets.shares import share_row
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import Outcome, Step, StepMaker
from dcgan_assets.engine.terminal import say
from dcgan_assets.params.classification import SupervisedCnn

# Validation error in percent, the best of 64 trials (section 5.2 of v2).
_PAPER = 28.87
TRIALS_FILE = "trials.parquet"


def search_cnn(work: Work) -> Outcome:
    """Search at random for the best training of the classifier; a stopped search goes on."""
    from dcgan_models.classification.protocols import FewLabels, split_rows
    from dcgan_models.classification.supervised import search

    section: SupervisedCnn = work.section
    table = read_labelled(work)
    pictures = labelled_store(work, table)
    split = split_rows(np.array(table["split"].to_pylist()), section.validation, section.seed)
    labels = pictures.labels
    # The pictures of the first draw on which the SVM is tested.
    few = FewLabels(section.per_class, [1.0], choosing=0, draws=1, seed=section.seed)
    chosen = few.labelled(labels, split, few.test_seeds[0])
    folder = work.run_dir(search, _identity(work))
    folder.mkdir(parents=True, exist_ok=True)
    say(f"{work.step.key}: {_where_it_begins(work, folder)}")
    with work.progress(section.trials, "trials") as bar:

        def show(trial: Any) -> None:
            bar.update(trial.number + 1 - bar.n)
            work.observe({"trial": trial.number, "validation_error": trial.validation_error})

        found = search(
            pictures.gather(chosen),
            labels[chosen],
            pictures.gather(split.validation),
            labels[split.validation],
            preset=section.resolved(),
            folder=folder,
            trials=section.trials,
            epochs=section.epochs,
            seed=work.seed,
            device=work.params.machine.device,
            progress=show,
            should_stop=work.stop,
        )
    if not found.finished:
        work.log(f"stopped after {len(found.trials)} trials; materialise again to go on")
        work.stop.stop_now()
    return _report(work, found, len(split.validation))


def supervised_cnn_step(step: StepMaker) -> Step:
    """`svhn/supervised_cnn`."""
    return step(
        "supervised_cnn",
        inputs=("images",),
        kind="results",
        compute=search_cnn,
        pool="gpu",
        seeded=True,
        kinds=frozenset({"pytorch", "optuna", "table"}),
        shows=("result.json", "figure.png"),
        description=(
            "The control of section 5.2 (v2): D's architecture trained on the same few labels "
            "alone, the best of a random search."
        ),
    )


def _where_it_begins(work: Work, folder: Path) -> str:
    """Whether a search goes on, and what keeps it from going on from an earlier one."""
    from dcgan_models.classification.trials import SEARCH_FILE

    if (folder / SEARCH_FILE).exists():
        return f"goes on with the search in {folder.relative_to(work.root).as_posix()}"
    others = sorted(folder.parent.glob(f"*/{SEARCH_FILE}"), key=lambda path: path.stat().st_mtime)
    if not others:
        return "begins; no earlier search is there"
    last = others[-1].parent.relative_to(work.root).as_posix()
    return f"begins anew: {last} is a search by other code or settings, or on other pictures"


def _identity(work: Work) -> dict[str, Any]:
    """What a search hangs on. More trials may be asked for later, so their number is no part."""
    content = work.section.identity()
    del content["trials"]
    images = work.input_meta(work.sibling("images")).data_version
    return {**content, "images": images, "seed": work.seed}


def _report(work: Work, found: Any, n: int) -> Outcome:
    import pyarrow as pa
    import pyarrow.parquet as pq

    section: SupervisedCnn = work.section
    best = found.best
    trials = [
        {
            "trial": trial.number,
            **trial.parameters,
            "validation_error": trial.validation_error,
            "best_epoch": trial.best_epoch,
            "epochs": trial.epochs,
            "training_loss": trial.training_loss,
        }
        for trial in found.trials
    ]
    pq.write_table(pa.Table.from_pylist(trials), work.out() / TRIALS_FILE)
    work.result(
        paper_ref="section 5.2 of v2",
        stand_in=shard_facts(work)["stand_in"],
        rows=[
            share_row(
                f"supervised CNN, {section.per_class} a class, best validation error",
                round(best.validation_error * n),
                n,
                digits=2,
                interval="95% Wilson, of one network; the choice among trials is not in it",
                paper=_PAPER,
                source=f"random search, {len(trials)} trials",
            )
        ],
        notes=(
            "A validation error, as in the paper: the trial and the epoch were chosen on these "
            "pictures. The SVM's errors are of the test set."
        ),
    ).write(work.out())
    _draw(trials, work.out() / "figure.png")
    ordered = sorted(trials, key=lambda trial: trial["validation_error"])
    return Outcome(
        metadata={
            "figure": shown.picture_file(work.out() / "figure.png", "validation error of trials"),
            "best_validation_error": best.validation_error,
            "best_trials": shown.table([_plain(trial) for trial in ordered[:10]]),
        }
    )


def _plain(trial: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value if isinstance(value, int) else f"{value:.4g}" for name, value in trial.items()
    }


def _draw(trials: list[dict[str, Any]], path: Path) -> None:
    """Each setting of the search against the validation error."""
    from matplotlib.figure import Figure

    names = ("learning_rate", "beta1", "l2", "batch", "dropout")
    figure = Figure(figsize=(13, 3), layout="constrained")
    errors = [100 * trial["validation_error"] for trial in trials]
    for axis, name in zip(figure.subplots(1, len(names), sharey=True), names, strict=True):
        axis.scatter([trial[name] for trial in trials], errors, s=14)
        axis.axhline(_PAPER, color="grey", linewidth=0.8, linestyle="--")
        axis.set(xlabel=name)
        if name in ("learning_rate", "l2"):
            axis.set_xscale("log")
    figure.axes[0].set_ylabel("validation error, %\n(dashed: the paper's best)")
    figure.savefig(path, dpi=90)
