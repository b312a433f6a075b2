"""A picture group's candidate and its published networks."""

from __future__ import annotations

from typing import Any

import numpy as np

from dcgan_assets.assets.candidate import Judged, train_candidate
from dcgan_assets.assets.champion import publish_champion
from dcgan_assets.assets.training_set import TRAIN, require_current
from dcgan_assets.steps import Check, Outcome, Verdict, Work

GROUP_CHECKS = (Check("sample_diversity", "Samples vary as the profile asks."),)
_JUDGED_SAMPLES = 1_000
_JUDGE_SEED = 1_000_003


def make_candidate(work: Work) -> Outcome:
    """Train on the group's training set."""
    require_current(work)
    return train_candidate(work, work.sibling("training_set"), _judge_samples)


def _judge_samples(work: Work, generator: Any) -> Judged:
    """Judge `GROUP_CHECKS` against as many training pictures."""
    from dcgan_models.data import PixelStore
    from dcgan_models.metrics import class_spread

    store = PixelStore.open(work.input(work.sibling("training_set")), TRAIN)
    real = store.gather(np.linspace(0, len(store) - 1, _JUDGED_SAMPLES).astype(np.int64))
    samples = generator.sample(_JUDGED_SAMPLES, _JUDGE_SEED)
    one_class = np.zeros(_JUDGED_SAMPLES, np.int64)
    spreads = [float(class_spread(p, one_class, 1)[0]) for p in (samples, real)]
    diversity, bound = spreads[0] / spreads[1], work.section.health.diversity
    verdict = Verdict(
        "sample_diversity", diversity >= bound, {"share": round(diversity, 3), "bound": bound}
    )
    return (verdict,), {"diversity": diversity}


def publish(work: Work) -> Outcome:
    """Publish a healthy candidate."""
    return publish_champion(work, work.sibling("candidate"))
