"""How good a generator of labelled digits is, by real digits: health, error, diversity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dcgan_assets.assets.publishing.contest import CANDIDATE, Contest, folders_to_compare
from dcgan_assets.assets.training.candidate import Judged
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import Check, Verdict
from dcgan_assets.params.digits import DigitHealth, Publish

DIGIT_CHECKS = (
    Check("sample_diversity", "Samples of each class vary as the profile asks."),
    Check("label_agreement", "Samples of each class read as that class, by 1-NN on real digits."),
)
_JUDGED_SAMPLES = 2_000
_JUDGE_SEED = 1_000_003


def judge_digits(work: Work, generator: Any) -> Judged:
    """Judge `DIGIT_CHECKS` on samples against the real training digits."""
    import torch

    from dcgan_models.metrics import share_by_class
    from dcgan_models.neighbours.nearest import flat_pixels, nearest_neighbours

    bounds: DigitHealth = work.section.health
    real, classes_of = _digits(work, "train")
    samples, labels = _judged_samples(generator)
    blocks = [(flat_pixels(real), torch.from_numpy(classes_of))]
    read_as = nearest_neighbours(flat_pixels(samples), blocks).label.numpy()
    agreement = share_by_class(read_as == labels, labels, generator.preset.classes)
    diversity = _diversity(generator, real, classes_of)
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


def digit_contest(work: Work, candidate: Path, champion: Path | None) -> Contest:
    """Measure a candidate and the champions on the validation digits, copies of digits too.

    A generator that learned the training digits by heart would have the error of real digits. Its
    samples are compared with them, in pixels, by what validation digits are like.

    Args:
        work: Of the publishing step.
        candidate: The folder of its generator.
        champion: That of the published one; None where there is none.

    Raises:
        UserError: Fewer than 20 validation digits, or nearly all of them are training digits.
    """
    from dcgan_models.metrics.gate import Contender, score_sets

    section: Publish = work.section
    folders = folders_to_compare(candidate, champion)
    rule = section.rule("validation error")

    def score(name: str, number: int) -> float:
        if work.stop():
            work.stop.stop_now()
        return validation_error(work, folders[name], section.samples, section.seed + number)

    scores = score_sets(folders, score, rule)
    copied = {CANDIDATE: _share_of_copies(work, candidate)}
    contenders = {n: Contender(n, scores[n], copied=copied.get(n, 0.0)) for n in folders}
    return Contest(rule, contenders, None)


def validation_error(work: Work, folder: Path, samples: int, seed: int = _JUDGE_SEED) -> float:
    """1-NN error on the validation digits, with so many samples of a generator as references."""
    import torch

    from dcgan_models import load_generator
    from dcgan_models.machine import choose_device
    from dcgan_models.neighbours.generated import labelled_blocks
    from dcgan_models.neighbours.nearest import flat_pixels, nearest_neighbour_errors

    digits, labels = _digits(work, "validation")
    device = work.params.machine.device
    blocks = labelled_blocks(load_generator(folder, device=device), samples, seed)
    queries = flat_pixels(digits).to(choose_device(device)), torch.from_numpy(labels)
    return nearest_neighbour_errors(*queries, blocks)[-1].error


def _share_of_copies(work: Work, folder: Path) -> float:
    """Lower bound of the share of a generator's samples that copy training digits."""
    from dcgan_models import load_generator
    from dcgan_models.metrics.memorisation import memorisation
    from dcgan_models.neighbours.nearest import flat_pixels

    samples, _ = _judged_samples(load_generator(folder, device=work.params.machine.device))
    sets = (_digits(work, "train")[0], _digits(work, "validation")[0], samples)
    return memorisation(*(flat_pixels(pictures).numpy() for pictures in sets)).low


def _digits(work: Work, split: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    from dcgan_models.data import PixelStore

    store = PixelStore.open(work.input("mnist/images"), split)
    return store.gather(np.arange(len(store))), store.labels


def least_diversity(work: Work, folder: Path) -> float:
    """Least spread of samples within a class, as a share of that of the validation digits."""
    from dcgan_models import load_generator

    generator = load_generator(folder, device=work.params.machine.device)
    return float(_diversity(generator, *_digits(work, "validation")).min())


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
