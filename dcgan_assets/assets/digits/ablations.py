"""The paper's claims about training, tried on digits: `mnist/ablations`."""

from __future__ import annotations

from pathlib import Path

from dcgan_assets.assets.digits.digit_quality import least_diversity, validation_error
from dcgan_assets.assets.training.ablations import Score, Trial, try_changes
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import GPU, Outcome, Step
from dcgan_assets.params.digits import DigitAblations

_IMAGES = "mnist/images"
_DIVERGED = (90.0, 0.0)  # chance on ten classes, no diversity


def _ablations(work: Work) -> Outcome:
    from dcgan_models.training.ablations import ABLATIONS

    section: DigitAblations = work.section

    def measure(generator: Path) -> tuple[float, float]:
        error = validation_error(work, generator, section.samples)
        return 100 * error, least_diversity(work, generator)

    trial = Trial(
        data=work.input(_IMAGES),
        data_version=work.inputs[_IMAGES].data_version,
        split="validation",
        scores=(
            Score("1-NN error", "validation error", "%"),
            Score("least diversity", "diversity"),
        ),
        measure=measure,
        diverged=lambda preset, seed: _DIVERGED,
    )
    return try_changes(
        work,
        ABLATIONS,
        trial,
        paper_ref="sections 3, 4 and 8.1, claims about training",
        notes=(
            f"1-NN error of {section.samples} samples on the validation digits, in percent; a "
            "training that diverged counts as 90."
        ),
    )


STEPS = (
    Step(
        outputs=("mnist/ablations",),
        inputs=(_IMAGES,),
        kind="results",
        section="mnist.ablations",
        compute=_ablations,
        kinds=frozenset({"pytorch", "table"}),
        pool=GPU,
        optional=True,
        description=(
            "The paper's claims about training (sections 3, 4 and 8.1), each tried against the "
            "paper's own settings with several seeds: 1-NN error, diversity, a verdict in words."
        ),
    ),
)
