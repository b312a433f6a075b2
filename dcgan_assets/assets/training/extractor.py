"""The feature space in which a group's generators are compared: trained once, and kept."""

from __future__ import annotations

from typing import Any

from dcgan_assets.assets.training.training_set import open_training_set
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import GPU, Check, Outcome, Step, StepMaker, Verdict
from dcgan_assets.params.training import ExtractorParams

EXTRACTOR_CHECKS = (
    Check("sees_damage", "Pictures laid over one another lie further from real ones than others."),
)


def make_extractor(work: Work) -> Outcome:
    """Train on the group's training pictures."""
    from dcgan_models.metrics.damage import damage_seen
    from dcgan_models.metrics.extractor import save_extractor

    store = open_training_set(work)
    extractor = _train(work.section, store)
    indexed = work.inputs[work.sibling("training_set")].data_version
    facts = {"pictures": len(store), "training_set": indexed}
    save_extractor(extractor, work.out(), **facts)
    seen = damage_seen(extractor, store)
    return Outcome(
        metadata={
            "name": extractor.name,
            "resizer": extractor.resizer,
            "pictures": len(store),
            "distance_of_real": seen.real,
            "distance_of_damaged": seen.damaged,
        },
        verdicts=(
            Verdict(
                "sees_damage",
                seen.damaged > seen.real,
                {"damaged": round(seen.damaged, 4), "real": round(seen.real, 4)},
            ),
        ),
    )


def extractor_step(step: StepMaker) -> Step:
    """A group's `extractor`."""
    return step(
        "extractor",
        inputs=(step.pictures, "training_set"),
        kind="models",
        compute=make_extractor,
        checks=EXTRACTOR_CHECKS,
        pool=GPU,
        kept=True,
        kinds=frozenset({"pytorch"}),
        description=(
            "The feature space in which generators of the group are compared: without labels, by "
            "the autoencoder of section 3.1. Trained once and kept: new pictures leave "
            "it as it is, another section of params.yaml or other code does not."
        ),
    )


def _train(section: ExtractorParams, store: Any) -> Any:
    from dcgan_models.dedup.autoencoder import AutoencoderConfig
    from dcgan_models.metrics.extractor import train_autoencoder_extractor

    config = AutoencoderConfig(
        epochs=section.epochs,
        max_updates=section.updates,
        batch=section.batch,
        learning_rate=section.learning_rate,
        seed=section.seed,
    )
    return train_autoencoder_extractor(store, config)
