"""The guidelines of section 3, each broken and tried on a group's pictures: `GROUP/ablations`."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from dcgan_assets.assets.training.ablations import Score, Trial, try_changes
from dcgan_assets.assets.training.training_set import TRAIN, open_training_set
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import Outcome, Step, StepMaker
from dcgan_assets.params.training import Ablations
from dcgan_assets.sources.reading.items import HELD_OUT
from dcgan_models.pixels import Pixels, averaged

if TYPE_CHECKING:
    from dcgan_models.networks import Generator
    from dcgan_models.presets import Preset

_SCORES = (Score("Fréchet distance", "frechet_distance"), Score("diversity", "diversity"))
_SEED = 1_000_003


def try_guidelines(work: Work) -> Outcome:
    """Train with each guideline broken, and hold samples to the held-out pictures."""
    from dcgan_models import load_generator
    from dcgan_models.data import write_smaller
    from dcgan_models.networks import untrained_generator
    from dcgan_models.training.ablations import GUIDELINES

    section: Ablations = work.section
    side, device = section.resolved().image[1], work.params.machine.device
    held_out = open_training_set(work, HELD_OUT)
    ruler = _Ruler(work, averaged(held_out.gather(np.arange(len(held_out))), side))

    def diverged(preset: Preset, seed: int) -> tuple[float, ...]:
        return ruler.measure(untrained_generator(preset, seed, device))

    with TemporaryDirectory() as folder:
        write_smaller(open_training_set(work), side, Path(folder), TRAIN)
        trial = Trial(
            data=Path(folder),
            data_version=work.inputs[work.sibling("training_set")].data_version,
            split="held_out",
            scores=_SCORES,
            measure=lambda trained: ruler.measure(load_generator(trained, device=device)),
            diverged=diverged,
        )
        return try_changes(
            work,
            GUIDELINES,
            trial,
            paper_ref="section 3, the guidelines",
            notes=(
                f"Fréchet distance of {section.samples} samples from {len(held_out)} held-out "
                f"pictures, {side} pixels wide, in the features of {ruler.extractor.name}; a "
                "training that diverged counts as the untrained generator does."
            ),
        )


def ablations_step(step: StepMaker) -> Step:
    """A group's `ablations`."""
    return step(
        "ablations",
        inputs=(step.pictures, "training_set", "extractor"),
        kind="results",
        compute=try_guidelines,
        kinds=frozenset({"pytorch", "table"}),
        pool="gpu",
        optional=True,
        description=(
            "The guidelines of section 3, each broken and trained beside networks that keep them, "
            "with several seeds: Fréchet distance, diversity, a verdict in words."
        ),
    )


class _Ruler:
    """What trained generators are held to: held-out pictures, uint8 (n, side, side, 3)."""

    def __init__(self, work: Work, real: Pixels) -> None:
        from dcgan_models.metrics.extractor import load_extractor
        from dcgan_models.metrics.frechet import moments

        self.samples = work.section.samples
        self.extractor = load_extractor(work.input(work.sibling("extractor")))
        self.moments = moments(self.extractor.features(real))
        self.spread = _spread(real)

    def measure(self, generator: Generator) -> tuple[float, ...]:
        """The numbers of `_SCORES`."""
        from dcgan_models.metrics.frechet import frechet_distance, moments

        drawn = generator.sample(self.samples, _SEED)
        distance = frechet_distance(self.moments, moments(self.extractor.features(drawn)))
        return distance, _spread(drawn) / self.spread


def _spread(pictures: Pixels) -> float:
    """How much pictures vary, whatever they show."""
    from dcgan_models.metrics import class_spread

    return float(class_spread(pictures, np.zeros(len(pictures), np.int64), 1)[0])
