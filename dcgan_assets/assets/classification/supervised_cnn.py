"""`svhn/supervised_cnn`, `cifar10/supervised_cnn`: D's architecture trained on the labels alone.

The control of section 5.2 of the paper's second version, and the same one for Table 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dcgan_assets.assets.pictures.labelled_images import labelled_store, read_labelled
from dcgan_assets.assets.pictures.shards import stand_in
from dcgan_assets.assets.shares import share_row
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.measures import Split
from dcgan_assets.engine.results import Row
from dcgan_assets.engine.step import GPU, Outcome, Step, StepMaker
from dcgan_assets.engine.terminal import say
from dcgan_assets.params.classification import SupervisedCnn
from dcgan_models.metrics.intervals import WILSON
from dcgan_models.pixels import Pixels

Measure = Literal["error", "accuracy"]
Labelled = tuple[Pixels, npt.NDArray[np.int64]]
# Validation error in percent, the best of 64 trials (section 5.2 of v2).
_PAPER = 28.87
TRIALS_FILE = "trials.parquet"


def search_svhn_cnn(work: Work) -> Outcome:
    """SVHN's control: the paper gives its validation error."""
    return _search(work, "section 5.2 of v2", "error", _PAPER)


def search_cifar10_cnn(work: Work) -> Outcome:
    """Table 1's control, which the paper does not have."""
    return _search(work, "Table 1 and section 5.1", "accuracy")


def svhn_cnn_step(step: StepMaker) -> Step:
    """`svhn/supervised_cnn`."""
    return _cnn_step(step, search_svhn_cnn, "The control of section 5.2 (v2)")


def cifar10_cnn_step(step: StepMaker) -> Step:
    """`cifar10/supervised_cnn`."""
    return _cnn_step(step, search_cifar10_cnn, "A control for Table 1")


def _cnn_step(step: StepMaker, compute: Callable[[Work], Outcome], control: str) -> Step:
    return step(
        "supervised_cnn",
        inputs=("images",),
        kind="results",
        compute=compute,
        pool=GPU,
        seeded=True,
        kinds=frozenset({"pytorch", "optuna", "table"}),
        shows=("result.json", "figure.png"),
        description=(
            f"{control}: D's architecture trained on the same few labels alone, the best of a "
            "random search, by its validation and its test error."
        ),
    )


def _search(work: Work, ref: str, measure: Measure, paper: float | None = None) -> Outcome:
    """Search at random for the best training of the classifier; a stopped search goes on.

    Args:
        ref: Where the table is that the control belongs to, which tells `measure`.
        paper: The best validation error that the paper found, in percent.
    """
    from dcgan_models.classification.protocols import FewLabels, split_rows
    from dcgan_models.classification.supervised import error_of_trial

    section: SupervisedCnn = work.section
    table = read_labelled(work)
    pictures = labelled_store(work, table)
    split = split_rows(np.array(table["split"].to_pylist()), section.validation, section.seed)
    labels = pictures.labels
    # The pictures of the first draw on which the SVM is tested.
    few = FewLabels(section.per_class, [1.0], choosing=0, draws=1, seed=section.seed)
    chosen = few.labelled(labels, split, few.test_seeds[0])
    labelled, validation = (
        (pictures.gather(rows), labels[rows]) for rows in (chosen, split.validation)
    )
    settings: dict[str, Any] = {
        "preset": section.resolved(),
        "seed": work.seed,
        "device": work.params.machine.device,
        "should_stop": work.stop,
    }
    found = _run_trials(work, labelled, validation, settings)
    test = pictures.gather(split.test), labels[split.test]
    error = error_of_trial(found.best, *labelled, *test, threads=found.threads, **settings)
    if error is None:
        work.stop.stop_now()
    sizes = {"validation": len(split.validation), "test": len(split.test)}
    return _report(work, found, ref, _rows(work, found, error, sizes, measure, paper))


def _run_trials(
    work: Work, labelled: Labelled, validation: Labelled, settings: dict[str, Any]
) -> Any:
    """The trials, those of an earlier call included; where it is stopped, the step ends."""
    from dcgan_models.classification.supervised import search

    section: SupervisedCnn = work.section
    folder = work.run_dir(search, _identity(work))
    folder.mkdir(parents=True, exist_ok=True)
    say(f"{work.step.key}: {_where_it_begins(work, folder)}")
    with work.progress(section.trials, "trials") as bar:

        def show(trial: Any) -> None:
            bar.update(trial.number + 1 - bar.n)
            work.observe({"trial": trial.number, "validation_error": trial.validation_error})

        found = search(
            *labelled,
            *validation,
            folder=folder,
            trials=section.trials,
            epochs=section.epochs,
            progress=show,
            **settings,
        )
    if not found.finished:
        work.log(f"stopped after {len(found.trials)} trials; materialise again to go on")
        work.stop.stop_now()
    return found


def _rows(
    work: Work,
    found: Any,
    error: float,
    sizes: Mapping[str, int],
    measure: Measure,
    paper: float | None,
) -> list[Row]:
    """The best trial's validation error, which chose it, and its test error."""
    name, trials = f"supervised CNN, {work.section.per_class} a class", len(found.trials)
    return [
        _row(
            f"{name}, best validation {measure}",
            found.best.validation_error,
            sizes["validation"],
            measure,
            split="validation",
            protocol="the paper's",
            trials=trials,
            interval=f"{WILSON}, of one network; the choice among trials is not in it",
            paper=paper,
            source=f"random search, {trials} trials",
        ),
        _row(
            f"{name}, test {measure}",
            error,
            sizes["test"],
            measure,
            split="test",
            interval=f"{WILSON}, of one network and one draw of labels",
            source=f"the best of {trials} trials by validation",
        ),
    ]


def _row(name: str, error: float, n: int, measure: Measure, *, split: Split, **more: Any) -> Row:
    """The share of wrong answers to n pictures of a split, or of right ones."""
    share = error if measure == "error" else 1 - error
    word = f"{split} error" if measure == "error" else measure
    return share_row(name, round(share * n), n, measure=word, split=split, digits=2, **more)


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


def _report(work: Work, found: Any, ref: str, rows: list[Row]) -> Outcome:
    import pyarrow as pa
    import pyarrow.parquet as pq

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
    paper = rows[0].paper
    work.result(
        paper_ref=ref,
        stand_in=stand_in(work),
        rows=rows,
        notes=(
            "The trial and the epoch were chosen on the validation pictures"
            f"{', whose error the paper gives' * (paper is not None)}. Only what is of the test "
            "pictures may be held to the SVM's rows."
        ),
    ).write(work.out())
    _draw(trials, paper, work.out() / "figure.png")
    ordered = sorted(trials, key=lambda trial: trial["validation_error"])
    return Outcome(
        metadata={
            "best_validation_error": found.best.validation_error,
            rows[-1].name: rows[-1].value,
            "best_trials": shown.table([_plain(trial) for trial in ordered[:10]]),
        },
        figures={"figure.png": "validation error of trials"},
    )


def _plain(trial: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value if isinstance(value, int) else f"{value:.4g}" for name, value in trial.items()
    }


def _draw(trials: list[dict[str, Any]], paper: float | None, path: Path) -> None:
    """Each setting of the search against the validation error, beside the paper's if it has one."""
    from matplotlib.figure import Figure

    names = ("learning_rate", "beta1", "l2", "batch", "dropout")
    figure = Figure(figsize=(13, 3), layout="constrained")
    errors = [100 * trial["validation_error"] for trial in trials]
    for axis, name in zip(figure.subplots(1, len(names), sharey=True), names, strict=True):
        axis.scatter([trial[name] for trial in trials], errors, s=14)
        if paper is not None:
            axis.axhline(paper, color="grey", linewidth=0.8, linestyle="--")
        axis.set(xlabel=name)
        if name in ("learning_rate", "l2"):
            axis.set_xscale("log")
    dashed = "\n(dashed: the paper's best)" * (paper is not None)
    figure.axes[0].set_ylabel(f"validation error, %{dashed}")
    figure.savefig(path, dpi=90)
