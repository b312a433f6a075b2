"""`cifar10/svm_scores` (Table 1), `svhn/svm_scores` (section 5.2 of v2): an L2-SVM on features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dcgan_assets.assets.classification.svm_figure import Panels, draw_panels
from dcgan_assets.assets.classification.svm_measures import (
    PIXELS,
    RANDOM,
    TRAINED,
    Measures,
    open_measures,
)
from dcgan_assets.assets.pictures.shards import shard_facts
from dcgan_assets.assets.shares import share_row
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.results import Row
from dcgan_assets.engine.step import Check, Outcome, Step, StepMaker, Verdict
from dcgan_assets.params.classification import SvmScores

SVM_CHECKS = (
    Check("beats_random_weights", "Features of the trained D err less than of a random one."),
    Check("beats_pixels", "Features of the trained D err less than the pixels themselves."),
)

# Table 1 of the paper: accuracy in percent with all labels, and with 400 of each class.
_TABLE_1 = {
    "1-layer K-means": (80.6, 63.7),
    "3-layer K-means, learned receptive fields": (82.0, 70.7),
    "view-invariant K-means": (81.9, 72.6),
    "Exemplar CNN": (84.3, 77.4),
}
_DCGAN_TABLE_1 = (82.8, 73.8)
# Test error in percent with 1,000 labels: Table 2 of the paper's second version.
_SVHN_TABLE = {
    "KNN": 77.93,
    "TSVM": 66.55,
    "M1+KNN": 65.63,
    "M1+TSVM": 54.33,
    "M1+M2": 36.02,
    "SWWAE without dropout": 27.83,
    "SWWAE with dropout": 23.56,
}
_DCGAN_SVHN = 22.48


def make_table_1(work: Work) -> Outcome:
    """CIFAR-10: accuracy with all labels, and with a few of each class."""
    section: SvmScores = work.section
    rows = []
    with open_measures(work) as data:
        few = {name: data.few_labels(name) for name in data.features}
        for name, paper in ((TRAINED, _DCGAN_TABLE_1), (RANDOM, None), (PIXELS, None)):
            every = data.all_labels(name)
            rows.append(_all_labels_row(f"{name}, all labels", every, paper and paper[0]))
            rows.append(
                _drawn_row(
                    f"{name}, {section.per_class} a class",
                    100 * (1 - _errors(few[name])),
                    "mean, one standard deviation over the draws",
                    1.0,
                    paper and paper[1],
                )
            )
        rows += [
            Row(name=f"{name}, {labels}", unit="%", paper=value, source="Table 1")
            for name, values in _TABLE_1.items()
            for labels, value in zip(("all labels", "400 a class"), values, strict=True)
        ]
        return _finish(work, data, few, rows, "Table 1 and section 5.1", "accuracy")


def table_1_step(step: StepMaker) -> Step:
    """`cifar10/svm_scores`."""
    return _scores_step(step, make_table_1, "Table 1")


def make_svhn_table(work: Work) -> Outcome:
    """SVHN: test error with a few labels, the mean over the draws and 1.96 deviations."""
    section: SvmScores = work.section
    with open_measures(work) as data:
        few = {name: data.few_labels(name) for name in data.features}
        rows = [
            _drawn_row(
                f"{name}, {section.per_class} a class",
                100 * _errors(few[name]),
                "mean, 1.96 standard deviations over the draws",
                1.96,
                _DCGAN_SVHN if name == TRAINED else None,
            )
            for name in few
        ]
        rows += [
            Row(name=f"{name}, 100 a class", unit="%", paper=value, source="Table 2 of v2")
            for name, value in _SVHN_TABLE.items()
        ]
        return _finish(work, data, few, rows, "section 5.2 and Table 2 of v2", "test error")


def svhn_table_step(step: StepMaker) -> Step:
    """`svhn/svm_scores`."""
    return _scores_step(step, make_svhn_table, "Table 2 of the second version")


def _scores_step(step: StepMaker, compute: Callable[[Work], Outcome], table: str) -> Step:
    return step(
        "svm_scores",
        inputs=("images", "features"),
        kind="results",
        compute=compute,
        checks=SVM_CHECKS,
        pool="gpu",
        kinds=frozenset({"pytorch", "table", "matplotlib"}),
        shows=("result.json", "figure.png"),
        description=(
            f"{table} (section 5): a linear L2-SVM on D's features, with a D of random weights "
            "and the pixels as controls; by class, by number of labels, by layer."
        ),
    )


def _errors(scores: Sequence[Any]) -> npt.NDArray[np.float64]:
    """The test errors of all draws of all networks of a kind."""
    return np.concatenate([one.errors for one in scores])


def _all_labels_row(name: str, networks: Sequence[Any], paper: float | None) -> Row:
    """One network's accuracy with the interval of a share, or the mean of several networks."""
    if len(networks) > 1:
        deviation = "mean, one standard deviation over the networks"
        return _drawn_row(name, 100 * (1 - _errors(networks)), deviation, 1.0, paper)
    (scores,) = networks
    n = scores.predictions.shape[1]
    right = round(n * (1 - float(scores.errors[0])))
    source = f"L2-SVM, C = {scores.cost:g}"
    return share_row(name, right, n, digits=2, paper=paper, source=source)


def _drawn_row(
    name: str,
    values: npt.NDArray[np.float64],
    interval: str,
    deviations: float,
    paper: float | None,
) -> Row:
    mean, spread = float(values.mean()), deviations * float(values.std())
    return Row(
        name=name,
        value=round(mean, 2),
        unit="%",
        n=len(values),
        low=round(mean - spread, 2),
        high=round(mean + spread, 2),
        interval=interval,
        paper=paper,
        source="L2-SVM, C by validation",
    )


# --- What is shown ----------------------------------------------------------------------------


def _finish(
    work: Work, data: Measures, few: Mapping[str, Any], rows: list[Row], ref: str, measure: str
) -> Outcome:
    """The parts that both tables have in common: figure, classes, verdicts."""
    from dcgan_models.classification.protocols import confusion

    facts = shard_facts(work)
    classes = facts["classes"]
    labels = data.labels[data.split.test]
    (trained,) = few[TRAINED]
    table = confusion(trained.predictions, labels, len(classes))
    layers = {name: data.by_layer(name) for name in (TRAINED, RANDOM)}
    panels = Panels(
        classes=classes,
        confusion=table,
        counts=data.section.curve,
        curves={name: data.curve(name, scores) for name, scores in few.items()},
        layers=layers,
        costs=data.section.costs,
        validation={
            name: np.mean([one.validation_errors for one in scores], axis=0)
            for name, scores in few.items()
        },
    )
    draw_panels(panels, work.out() / "figure.png")
    class_rows = [
        {
            "class": name,
            "accuracy, %": round(100 * float(table[i, i]), 1),
            "most often taken for": classes[_other(table[i], i)],
        }
        for i, name in enumerate(classes)
    ]
    rows += [
        Row(
            name=f"{name}, layer {layer} alone, {data.section.per_class} a class",
            value=round(100 * error, 2),
            unit="%",
            n=data.section.curve_draws,
            source="test error, mean over the draws",
        )
        for name, errors in layers.items()
        for layer, error in errors.items()
    ]
    work.result(
        paper_ref=ref,
        stand_in=facts["stand_in"],
        rows=rows,
        notes=(
            f"The unit is {measure} on {len(labels):,} test pictures, but for the rows of single "
            "layers, which are test errors. Controls: D with random weights, and pixels."
        ),
    ).write(work.out())
    return Outcome(
        metadata={
            "figure": shown.picture_file(work.out() / "figure.png", "what D's features know"),
            "table": shown.table(
                [{"row": row.name, measure: row.value, "paper": row.paper} for row in rows]
            ),
            "classes": shown.table(class_rows),
            "chosen_C": trained.cost,
        },
        verdicts=_judge(few),
    )


def _other(row: npt.NDArray[np.float64], own: int) -> int:
    """The class that a class is most often taken for."""
    others = row.copy()
    others[own] = -1
    return int(others.argmax())


def _judge(few: Mapping[str, Any]) -> tuple[Verdict, ...]:
    """Judge `SVM_CHECKS` by the mean test errors with few labels."""
    errors = {name: round(float(_errors(scores).mean()), 4) for name, scores in few.items()}
    names = {"beats_random_weights": RANDOM, "beats_pixels": PIXELS}
    return tuple(
        Verdict(
            check, errors[TRAINED] < errors[name], {TRAINED: errors[TRAINED], name: errors[name]}
        )
        for check, name in names.items()
    )
