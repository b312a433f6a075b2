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
from dcgan_assets.assets.pictures.shards import shard_facts, stand_in
from dcgan_assets.assets.shares import share_row
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.results import Row
from dcgan_assets.engine.step import GPU, Check, Outcome, Step, StepMaker, Verdict
from dcgan_assets.params.classification import SvmScores
from dcgan_models.metrics.intervals import STUDENT, mean_interval, next_interval

SVM_CHECKS = (
    Check(
        "beats_random_weights",
        "Features of the trained D err less than another D of random weights may be expected to.",
    ),
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
                    "accuracy",
                    [100 * (1 - one.errors) for one in few[name]],
                    paper and paper[1],
                )
            )
        rows += [
            _paper_row(f"{name}, {labels}", "accuracy", value, "Table 1")
            for name, values in _TABLE_1.items()
            for labels, value in zip(("all labels", "400 a class"), values, strict=True)
        ]
        return _finish(work, data, few, rows, "Table 1 and section 5.1", "accuracy")


def table_1_step(step: StepMaker) -> Step:
    """`cifar10/svm_scores`."""
    return _scores_step(step, make_table_1, "Table 1")


def make_svhn_table(work: Work) -> Outcome:
    """SVHN: test error with a few labels, the mean over the draws."""
    section: SvmScores = work.section
    with open_measures(work) as data:
        few = {name: data.few_labels(name) for name in data.features}
        rows = [
            _drawn_row(
                f"{name}, {section.per_class} a class",
                "test error",
                [100 * one.errors for one in few[name]],
                _DCGAN_SVHN if name == TRAINED else None,
            )
            for name in few
        ]
        rows += [
            _paper_row(f"{name}, 100 a class", "test error", value, "Table 2 of v2")
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
        pool=GPU,
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
        right_shares = [100 * (1 - one.errors) for one in networks]
        return _drawn_row(name, "accuracy", right_shares, paper)
    (scores,) = networks
    n = scores.predictions.shape[1]
    right = round(n * (1 - float(scores.errors[0])))
    source = f"L2-SVM, C = {scores.cost:g}"
    return share_row(
        name,
        right,
        n,
        measure="accuracy",
        split="test",
        protocol="the paper's",
        digits=2,
        paper=paper,
        source=source,
    )


def _drawn_row(
    name: str, measure: str, networks: Sequence[npt.NDArray[np.float64]], paper: float | None
) -> Row:
    """The mean over draws of labels, and over networks where there are several.

    Args:
        name, measure, paper: As in `Row`.
        networks: Percentages of each network, (draws,).
    """
    values = np.concatenate(networks)
    # Draws by one network are alike: where there are several, these are the independent ones.
    several = len(networks) > 1
    independent = [float(one.mean()) for one in networks] if several else values
    over = f"{len(independent)} {'networks' if several else 'draws of labels'}"
    low, high = mean_interval(independent) if len(independent) > 1 else (None, None)
    return Row(
        name=name,
        measure=measure,
        split="test",
        protocol="the paper's",
        value=round(float(values.mean()), 2),
        unit="%",
        n=len(values),
        low=None if low is None else round(low, 2),
        high=None if high is None else round(high, 2),
        interval="" if low is None else f"{STUDENT}, of the mean over {over}",
        paper=paper,
        source=f"L2-SVM, C by validation; standard deviation of single fits {values.std():.2f}",
    )


def _paper_row(name: str, measure: str, value: float, source: str) -> Row:
    """What only the paper has."""
    return Row(
        name=name,
        measure=measure,
        split="test",
        protocol="the paper's",
        unit="%",
        paper=value,
        source=source,
    )


# --- What is shown ----------------------------------------------------------------------------


def _finish(
    work: Work, data: Measures, few: Mapping[str, Any], rows: list[Row], ref: str, measure: str
) -> Outcome:
    """The parts that both tables have in common: figure, classes, verdicts."""
    from dcgan_models.classification.protocols import confusion

    classes = shard_facts(work)["classes"]
    labels = data.labels[data.split.test]
    (trained,) = few[TRAINED]
    table = confusion(trained.predictions, labels, len(classes))
    layers = {name: data.by_layer(name) for name in (TRAINED, RANDOM)}
    draw_panels(_panels(data, few, classes, table, layers), work.out() / "figure.png")
    rows = [*rows, *_layer_rows(data, layers, measure)]
    work.result(
        paper_ref=ref,
        stand_in=stand_in(work),
        rows=rows,
        notes=(
            f"All rows are {measure} on {len(labels):,} test pictures. Controls: D with random "
            "weights, and pixels."
        ),
    ).write(work.out())
    return Outcome(
        metadata={
            "table": shown.table(
                [{"row": row.name, measure: row.value, "paper": row.paper} for row in rows]
            ),
            "classes": shown.table(_class_rows(classes, table)),
            "chosen_C": trained.cost,
        },
        verdicts=_judge(few),
        figures={"figure.png": "what D's features know"},
    )


def _panels(
    data: Measures,
    few: Mapping[str, Any],
    classes: Sequence[str],
    table: npt.NDArray[np.float64],
    layers: Mapping[str, Mapping[int, float]],
) -> Panels:
    """What the figure shows: confusion, learning curves, layers, the choice of C."""
    return Panels(
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


def _layer_rows(
    data: Measures, layers: Mapping[str, Mapping[int, float]], measure: str
) -> list[Row]:
    """What each layer of a D tells alone."""
    return [
        Row(
            name=f"{name}, layer {layer} alone, {data.section.per_class} a class",
            measure=measure,
            split="test",
            protocol="ours",
            value=round(100 * (error if measure == "test error" else 1 - error), 2),
            unit="%",
            n=data.section.curve_draws * len(data.features[name]),
            source="mean over the draws",
        )
        for name, errors in layers.items()
        for layer, error in errors.items()
    ]


def _class_rows(
    classes: Sequence[str], table: npt.NDArray[np.float64]
) -> list[dict[str, str | float]]:
    """Of each class how often it is told, and what it is taken for."""
    return [
        {
            "class": name,
            "accuracy, %": round(100 * float(table[i, i]), 1),
            "most often taken for": classes[_other(table[i], i)],
        }
        for i, name in enumerate(classes)
    ]


def _other(row: npt.NDArray[np.float64], own: int) -> int:
    """The class that a class is most often taken for."""
    others = row.copy()
    others[own] = -1
    return int(others.argmax())


def _judge(few: Mapping[str, Any]) -> tuple[Verdict, ...]:
    """Judge `SVM_CHECKS` by the mean test errors with few labels.

    One more network with random weights passes in 5 of 200: its error lies below the 95% interval
    that those here give for the next. What an untrained network does as well, such as to beat the
    pixels, is no check.
    """
    (trained,) = (100 * float(one.errors.mean()) for one in few[TRAINED])
    random = [100 * float(one.errors.mean()) for one in few[RANDOM]]
    facts = {TRAINED: round(trained, 2), RANDOM: str([round(one, 2) for one in random])}
    if len(random) < 2:
        return (
            Verdict(
                "beats_random_weights",
                False,
                {**facts, "not measured": "one random network tells nothing of the next"},
            ),
        )
    below = trained < next_interval(random)[0]
    return (Verdict("beats_random_weights", below, facts),)
