"""The feature space in which a group's generators are compared: trained once, and kept."""

from __future__ import annotations

from typing import Any

from dcgan_assets.assets.training.training_set import TRAIN, require_current
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import Check, Outcome, Step, StepMaker, Verdict
from dcgan_assets.params.quality import ExtractorParams

EXTRACTOR_CHECKS = (
    Check("sees_damage", "Pictures laid over one another lie further from real ones than others."),
)


def make_extractor(work: Work) -> Outcome:
    """Train on the group's training pictures."""
    from dcgan_models.data import PixelStore
    from dcgan_models.metrics.damage import damage_seen
    from dcgan_models.metrics.extractor import save_extractor

    require_current(work)
    key = work.sibling("training_set")
    store = PixelStore.open(work.input(key), TRAIN)
    extractor = _train(work.section, store)
    facts = {"pictures": len(store), "training_set": work.inputs[key].data_version}
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
        pool="gpu",
        kept=True,
        kinds=frozenset({"pytorch"}),
        description=(
            "The feature space in which generators of the group are compared, for want of "
            "labels the autoencoder of section 3.1. Trained once and kept: new pictures leave "
            "it as it is, another section of params.yaml or other code does not."
        ),
    )


def _train(section: ExtractorParams, store: Any) -> Any:
    from dcgan_models.dedup.autoencoder import AutoencoderConfig
    from dcgan_models.metrics.extractor import (
        ClassifierConfig,
        train_autoencoder_extractor,
        train_classifier_extractor,
    )

    batch, rate, seed = section.batch, section.learning_rate, section.seed
    if section.kind == "classifier":
        assert section.updates is not None  # noqa: S101  (the section's validator saw to it)
        classifier = ClassifierConfig(section.updates, batch, rate, seed)
        return train_classifier_extractor(store, store.labels, classifier)
    config = AutoencoderConfig(
        epochs=section.epochs,
        max_updates=section.updates,
        batch=batch,
        learning_rate=rate,
        seed=seed,
    )
    return train_autoencoder_extractor(store, config)
