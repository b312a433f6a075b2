"""`cifar10/svm_scores` (Table 1) and `svhn/svm_scores` (section 5.2 of v2): an L2-SVM on features.

Beside D's features stand two controls that never learned: a D with random weights, and the
pixels themselves.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dcgan_assets import metadata as shown
from dcgan_assets.assets.features import FACTS_FILE
from dcgan_assets.assets.group_images import SHARD_FILE, image_versions
from dcgan_assets.assets.labelled_images import labelled_store, read_labelled
from dcgan_assets.assets.svm_figure import Panels, draw_panels
from dcgan_assets.evaluation_params import SvmScores
from dcgan_assets.results import Row
from dcgan_assets.steps import Check, Outcome, Verdict, Work
from dcgan_models.errors import UserError
from dcgan_models.files import read_json

SVM_CHECKS = (
    Check("beats_random_weights", "Features of the trained D err less than of a random one."),
    Check("beats_pixels", "Features of the trained D err less than the pixels themselves."),
)
TRAINED, RANDOM, PIXELS = "trained D", "random D", "pixels"

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
    with _opened(work) as data:
        few = data.few_labels()
        for name, paper in ((TRAINED, _DCGAN_TABLE_1), (RANDOM, None), (PIXELS, None)):
            every = data.all_labels(name)
            rows.append(_all_labels_row(f"{name}, all labels", every, paper and paper[0]))
            rows.append(
                _drawn_row(
                    f"{name}, {section.per_class} a class",
                    100 * (1 - few[name].errors),
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


def make_svhn_table(work: Work) -> Outcome:
    """SVHN: test error with a few labels, the mean over the draws and 1.96 deviations."""
    section: SvmScores = work.section
    with _opened(work) as data:
        few = data.few_labels()
        rows = [
            _drawn_row(
                f"{name}, {section.per_class} a class",
                100 * few[name].errors,
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


def _all_labels_row(name: str, scores: Any, paper: float | None) -> Row:
    """One network's accuracy with the interval of a share, or the mean of several networks."""
    from dcgan_models.metrics import wilson_interval

    if len(scores.errors) > 1:
        deviation = "mean, one standard deviation over the networks"
        return _drawn_row(name, 100 * (1 - scores.errors), deviation, 1.0, paper)
    n = scores.predictions.shape[1]
    right = round(n * (1 - float(scores.errors[0])))
    low, high = wilson_interval(right, n)
    return Row(
        name=name,
        value=round(100 * right / n, 2),
        unit="%",
        n=n,
        low=round(100 * low, 2),
        high=round(100 * high, 2),
        interval="95% Wilson",
        paper=paper,
        source=f"L2-SVM, C = {scores.cost:g}",
    )


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


# --- What is measured -----------------------------------------------------------------------


class _Data:
    """Three kinds of features of the same pictures.

    Attributes:
        features: By kind; several networks with random weights.
        labels: int64 (n,).
        split: The rows to draw from, to choose C on, to test on.
        layers: Columns of each of D's layers.
    """

    def __init__(self, work: Work, features: Mapping[str, Sequence[Any]]) -> None:
        from dcgan_models.feature_table import layer_columns
        from dcgan_models.protocols import split_rows

        self.work, self.features = work, features
        self.section: SvmScores = work.section
        (table,) = features[TRAINED]
        self.labels = table.labels
        self.split = split_rows(table.splits, self.section.validation, self.section.seed)
        self.layers = layer_columns(table.columns)

    def measured(self, name: str, measure: Callable[[Any], Any]) -> Any:
        """What is measured on a kind's features; several networks are pooled."""
        from dcgan_models.protocols import pooled

        return pooled([measure(features) for features in self.features[name]])

    def all_labels(self, name: str) -> Any:
        """The protocol with all labels, on all columns of a kind."""
        from dcgan_models.protocols import measure_all_labels

        costs, device = self.section.costs, self.work.params.machine.device
        fits = (len(costs) + 1) * len(self.features[name])
        with self.work.progress(fits, f"fits, {name}, all labels") as bar:

            def fitted(cost: float) -> None:
                self._look_for_stop()
                bar.update()

            return self.measured(
                name,
                lambda x: measure_all_labels(
                    x, self.labels, self.split, costs, device=device, on_fit=fitted
                ),
            )

    def few_labels(self) -> dict[str, Any]:
        """The protocol with a few labels, on all columns of each kind."""
        section = self.section
        few = self._protocol(
            section.per_class, section.costs, section.choosing_draws, section.draws
        )
        return {
            name: self._with_bar(few, name, section.choosing_draws + section.draws)
            for name in self.features
        }

    def _with_bar(self, protocol: Any, name: str, draws: int) -> Any:
        with self.work.progress(draws * len(self.features[name]), f"draws, {name}") as bar:

            def drawn() -> None:
                self._look_for_stop()
                bar.update()

            return self.measured(
                name, lambda x: protocol.measure(x, self.labels, self.split, on_draw=drawn)
            )

    def curves(self, few: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float64]]:
        """Errors by number of labels a class, by kind: (points, draws), at the C chosen before."""
        section = self.section
        found = {}
        for name in self.features:
            points = []
            for count in section.curve:
                few_or_many = self._protocol(count, [few[name].cost], 0, section.curve_draws)
                points.append(self._errors(name, few_or_many))
            found[name] = np.stack(points)
        return found

    def by_layer(self) -> dict[str, dict[int, float]]:
        """The mean error with the columns of each layer alone, for both discriminators."""
        section = self.section
        few = self._protocol(
            section.per_class, section.costs, section.curve_draws, section.curve_draws
        )
        return {
            name: {
                layer: float(self._errors(name, few, columns).mean())
                for layer, columns in self.layers.items()
            }
            for name in (TRAINED, RANDOM)
        }

    def _errors(self, name: str, protocol: Any, columns: slice = slice(None)) -> Any:
        self._look_for_stop()
        return self.measured(
            name, lambda x: protocol.measure(x, self.labels, self.split, columns)
        ).errors

    def _protocol(self, per_class: int, costs: Sequence[float], choosing: int, draws: int) -> Any:
        from dcgan_models.protocols import FewLabels

        device = self.work.params.machine.device
        return FewLabels(per_class, costs, choosing, draws, self.section.seed, device)

    def _look_for_stop(self) -> None:
        if self.work.stop():
            self.work.stop.stop_now()


@contextmanager
def _opened(work: Work) -> Iterator[_Data]:
    """Open the features, and compute the controls; those of the random D go when it is done."""
    from dcgan_models.feature_table import FeatureTable

    folder = work.input(work.sibling("features"))
    facts = read_json(folder / FACTS_FILE)
    if facts["images"] != image_versions(work):
        key = work.sibling("features")
        raise UserError(f"{key}: made from other pictures; run `dcgan materialize {key}`")
    trained = FeatureTable.open(folder)
    pictures = labelled_store(work, read_labelled(work))
    with tempfile.TemporaryDirectory(dir=work.out()) as place:
        seeds = range(work.section.random_networks)
        random = [
            _random_features(work, facts["preset"], seed, pictures, trained, Path(place, str(seed)))
            for seed in seeds
        ]
        yield _Data(work, {TRAINED: [trained], RANDOM: random, PIXELS: [_pixels(pictures)]})


def _random_features(
    work: Work, preset: Any, seed: int, pictures: Any, like: Any, place: Path
) -> Any:
    """The same features of a D as it is before training."""
    import torch

    from dcgan_models.feature_table import FeatureTable, write_feature_table
    from dcgan_models.features import feature_blocks
    from dcgan_models.networks import Discriminator, fix_statistics, initialise
    from dcgan_models.presets import Preset
    from dcgan_models.training.config import choose_device

    discriminator = Discriminator(Preset.from_dict(preset))
    initialise(discriminator, torch.Generator().manual_seed(seed))
    discriminator.to(choose_device(work.params.machine.device))
    fix_statistics(discriminator, pictures.subset(like.rows("train")))
    place.mkdir()
    write_feature_table(
        place,
        like.columns,
        feature_blocks(discriminator, pictures),
        keys=pictures.keys,
        labels=like.labels,
        splits=like.splits.tolist(),
    )
    return FeatureTable.open(place)


def _pixels(pictures: Any) -> npt.NDArray[np.float16]:
    """Pixels as the networks see them, [-1, 1]: float16 (n, 3072)."""
    pixels = pictures.gather(np.arange(len(pictures))).reshape(len(pictures), -1)
    values: npt.NDArray[np.float16] = (pixels / np.float32(127.5) - 1).astype(np.float16)
    return values


# --- What is shown ----------------------------------------------------------------------------


def _finish(
    work: Work, data: _Data, few: Mapping[str, Any], rows: list[Row], ref: str, measure: str
) -> Outcome:
    """The parts that both tables have in common: figure, classes, verdicts."""
    from dcgan_models.protocols import confusion

    (images,) = work.input_shards(work.sibling("images"))
    facts = read_json(images / SHARD_FILE)
    classes = facts["classes"]
    labels = data.labels[data.split.test]
    table = confusion(few[TRAINED].predictions, labels, len(classes))
    layers = data.by_layer()
    panels = Panels(
        classes=classes,
        confusion=table,
        counts=data.section.curve,
        curves=data.curves(few),
        layers=layers,
        costs=data.section.costs,
        validation={name: scores.validation_errors for name, scores in few.items()},
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
            "chosen_C": few[TRAINED].cost,
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
    errors = {name: round(float(scores.errors.mean()), 4) for name, scores in few.items()}
    names = {"beats_random_weights": RANDOM, "beats_pixels": PIXELS}
    return tuple(
        Verdict(
            check, errors[TRAINED] < errors[name], {TRAINED: errors[TRAINED], name: errors[name]}
        )
        for check, name in names.items()
    )
