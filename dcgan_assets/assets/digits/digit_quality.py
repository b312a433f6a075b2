"""How good a generator of labelled digits is, by real digits: health, error, diversity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dcgan_assets.assets.training.candidate import Judged
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import Check, Verdict
from dcgan_assets.params.digits import DigitHealth

DIGIT_CHECKS = (
    Check("sample_diversity", "Samples of each class vary as the profile asks."),
    Check("label_agreement", "Samples of each class read as that class, by 1-NN on real digits."),
)
_JUDGED_SAMPLES = 2_000
_JUDGE_SEED = 1_000_003


def judge_digits(work: Work, generator: Any) -> Judged:
    """Judge `DIGIT_CHECKS` on samples against the real training digits."""
    import torch

    from dcgan_models.data import PixelStore
    from dcgan_models.metrics import share_by_class
    from dcgan_models.neighbours.nearest import flat_pixels, nearest_neighbours

    bounds: DigitHealth = work.section.health
    store = PixelStore.open(work.input("mnist/images"), "train")
    real = store.gather(np.arange(len(store)))
    samples, labels = _judged_samples(generator)
    blocks = [(flat_pixels(real), torch.from_numpy(store.labels))]
    read_as = nearest_neighbours(flat_pixels(samples), blocks).label.numpy()
    agreement = share_by_class(read_as == labels, labels, generator.preset.classes)
    diversity = _diversity(generator, real, store.labels)
    verdicts = tuple(
        Verdict(
            check.name,
            bool(values.min() >= bound),
            {"least": round(float(values.min()), 3), "bound": bound},
        )
        for check, values, bound in zip(
            DIGIT_CHECKS,
            (diversity, agreement),
            (bounds.diversity, bounds.label_agreement),
            strict=True,
        )
    )
    by_class = [
        {"label": i, "agreement": round(float(a), 3), "diversity": round(float(d), 3)}
        for i, (a, d) in enumerate(zip(agreement, diversity, strict=True))
    ]
    facts = {
        "label_agreement": float(agreement.mean()),
        "diversity": float(diversity.mean()),
        "by_class": shown.table(by_class),
    }
    return verdicts, facts


def validation_error(work: Work, folder: Path, samples: int) -> float:
    """1-NN error on the validation digits, with so many samples of a generator as references."""
    import torch

    from dcgan_models import load_generator
    from dcgan_models.data import PixelStore
    from dcgan_models.neighbours.generated import labelled_blocks
    from dcgan_models.neighbours.nearest import flat_pixels, nearest_neighbour_errors

    store = PixelStore.open(work.input("mnist/images"), "validation")
    blocks = labelled_blocks(load_generator(folder), samples, _JUDGE_SEED)
    queries = flat_pixels(store.gather(np.arange(len(store))))
    return nearest_neighbour_errors(queries, torch.from_numpy(store.labels), blocks)[-1].error


def least_diversity(work: Work, folder: Path) -> float:
    """Least spread of samples within a class, as a share of that of the validation digits."""
    from dcgan_models import load_generator
    from dcgan_models.data import PixelStore

    store = PixelStore.open(work.input("mnist/images"), "validation")
    real = store.gather(np.arange(len(store)))
    return float(_diversity(load_generator(folder), real, store.labels).min())


def _judged_samples(generator: Any) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    labels = np.arange(_JUDGED_SAMPLES, dtype=np.int64) % generator.preset.classes
    return generator.sample(_JUDGED_SAMPLES, _JUDGE_SEED, labels), labels


def _diversity(
    generator: Any, real: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """(classes,) spread of samples as a share of the real digits'."""
    from dcgan_models.metrics import class_spread

    classes = generator.preset.classes
    return class_spread(*_judged_samples(generator), classes) / class_spread(real, labels, classes)
