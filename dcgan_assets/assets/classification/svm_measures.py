"""What the two tables of section 5 are made of: features, controls, and errors by the protocols.

Beside D's features stand two controls that never learned: discriminators with random weights, and
the pixels themselves.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dcgan_assets.assets.classification.features import FACTS_FILE, counted, rows_for_statistics
from dcgan_assets.assets.pictures.labelled_images import labelled_store, read_labelled
from dcgan_assets.assets.pictures.shards import image_versions
from dcgan_assets.engine.making import Work
from dcgan_assets.params.classification import SvmScores
from dcgan_models.errors import UserError
from dcgan_models.files import read_json

TRAINED, RANDOM, PIXELS = "trained D", "random D", "pixels"


class Measures:
    """Three kinds of features of the same pictures, and what the protocols find with them.

    Attributes:
        features: By kind, of one network or of several with random weights.
        labels: int64 (n,).
        split: The rows to draw from, to choose C on, to test on.
        layers: Columns of each of D's layers.
    """

    def __init__(self, work: Work, features: Mapping[str, Sequence[Any]], split: Any) -> None:
        from dcgan_models.classification.feature_table import layer_columns

        self.work, self.features, self.split = work, features, split
        self.section: SvmScores = work.section
        (table,) = features[TRAINED]
        self.labels = table.labels
        self.layers = layer_columns(table.columns)

    def all_labels(self, name: str) -> list[Any]:
        """The protocol with all labels, on all columns: `Scores` of each network of a kind."""
        from dcgan_models.classification.protocols import measure_all_labels

        costs, device = self.section.costs, self.work.params.machine.device
        fits = (len(costs) + 1) * len(np.unique(self.labels)) * len(self.features[name])
        with self.work.progress(fits, f"fits, {name}, all labels") as bar:

            def fitted(cost: float) -> None:
                self._tick(bar)

            return [
                measure_all_labels(
                    features, self.labels, self.split, costs, device=device, on_fit=fitted
                )
                for features in self.features[name]
            ]

    def few_labels(self, name: str) -> list[Any]:
        """The protocol with a few labels, on all columns: `Scores` of each network of a kind."""
        section = self.section
        few = self._protocol(
            section.per_class, section.costs, section.choosing_draws, section.draws
        )
        draws = (section.choosing_draws + section.draws) * len(self.features[name])
        with self.work.progress(draws, f"draws, {name}") as bar:

            def drawn() -> None:
                self._tick(bar)

            return [
                few.measure(features, self.labels, self.split, on_draw=drawn)
                for features in self.features[name]
            ]

    def curve(self, name: str, few: Sequence[Any]) -> npt.NDArray[np.float64]:
        """Errors by number of labels a class, (points, draws), at the C that each network chose."""
        section = self.section
        points = []
        for count in section.curve:
            errors = [
                self._errors(self._protocol(count, [scores.cost], 0, section.curve_draws), features)
                for features, scores in zip(self.features[name], few, strict=True)
            ]
            points.append(np.concatenate(errors))
        return np.stack(points)

    def by_layer(self, name: str) -> dict[int, float]:
        """The mean error with the columns of each layer alone."""
        section = self.section
        few = self._protocol(
            section.per_class, section.costs, section.curve_draws, section.curve_draws
        )
        return {
            layer: float(
                np.mean([self._errors(few, features, part) for features in self.features[name]])
            )
            for layer, part in self.layers.items()
        }

    def _errors(self, protocol: Any, features: Any, columns: slice = slice(None)) -> Any:
        self._look_for_stop()
        return protocol.measure(features, self.labels, self.split, columns).errors

    def _protocol(self, per_class: int, costs: Sequence[float], choosing: int, draws: int) -> Any:
        from dcgan_models.classification.protocols import FewLabels

        device = self.work.params.machine.device
        return FewLabels(per_class, costs, choosing, draws, self.section.seed, device)

    def _tick(self, bar: Any) -> None:
        self._look_for_stop()
        bar.update()

    def _look_for_stop(self) -> None:
        if self.work.stop():
            self.work.stop.stop_now()


@contextmanager
def open_measures(work: Work) -> Iterator[Measures]:
    """Open the features and compute the controls; those of the random D go when it is done.

    Raises:
        UserError: The features were made from other pictures, or there are too few of a class.
    """
    from dcgan_models.classification.feature_table import FeatureTable

    folder = work.input(work.sibling("features"))
    facts = read_json(folder / FACTS_FILE)
    if facts["images"] != image_versions(work):
        key = work.sibling("features")
        raise UserError(f"{key}: made from other pictures; run `dcgan materialize {key}`")
    trained = FeatureTable.open(folder)
    split = _checked_split(work.section, trained)
    pictures = labelled_store(work, read_labelled(work))
    with tempfile.TemporaryDirectory(dir=work.out()) as place:
        random = [
            _random_features(work, facts, seed, pictures, trained, Path(place, str(seed)))
            for seed in range(work.section.random_networks)
        ]
        features = {TRAINED: [trained], RANDOM: random, PIXELS: [_pixels(pictures)]}
        yield Measures(work, features, split)


def _checked_split(section: SvmScores, table: Any) -> Any:
    """The split, once there are labels enough for every draw: before anything is computed."""
    from dcgan_models.classification.protocols import split_rows
    from dcgan_models.classification.svm import draw_labelled

    split = split_rows(table.splits, section.validation, section.seed)
    draw_labelled(table.labels[split.pool], max(section.per_class, *section.curve), section.seed)
    return split


def _random_features(
    work: Work, facts: Mapping[str, Any], seed: int, pictures: Any, like: Any, place: Path
) -> Any:
    """The same features of a D as it is before training."""
    from dcgan_models.classification.feature_table import FeatureTable, write_feature_table
    from dcgan_models.classification.features import feature_blocks
    from dcgan_models.machine import choose_device
    from dcgan_models.networks import untrained_discriminator
    from dcgan_models.presets import Preset

    device = choose_device(work.params.machine.device)
    chosen = rows_for_statistics(like.splits, facts["validation"], facts["seed"])
    preset = Preset.from_dict(facts["preset"])
    discriminator = untrained_discriminator(preset, pictures.subset(chosen), seed, device)
    place.mkdir()
    with work.progress(len(pictures), f"pictures, random D {seed}") as bar:
        write_feature_table(
            place,
            like.columns,
            counted(feature_blocks(discriminator, pictures), bar, work.stop),
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
