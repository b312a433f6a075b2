"""A picture group's candidate and its published networks."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dcgan_assets.assets.training.candidate import TRAINING_CHECKS, Judged, train_candidate
from dcgan_assets.assets.training.champion import Choice, publish_champion
from dcgan_assets.assets.training.contest import BEST, BEST_FOLDER, CHAMPION, Contest
from dcgan_assets.assets.training.training_set import TRAIN, require_current
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.results import LOSSES_FILE
from dcgan_assets.engine.step import Check, Outcome, Step, StepMaker, Verdict
from dcgan_assets.engine.store import META_FILE, Meta
from dcgan_models.errors import UserError

GROUP_CHECKS = (Check("sample_diversity", "Samples vary as the profile asks."),)
_JUDGED_SAMPLES = 1_000
_JUDGE_SEED = 1_000_003


def make_candidate(work: Work) -> Outcome:
    """Train on the group's training set."""
    require_current(work)
    return train_candidate(work, work.sibling("training_set"), _judge_samples)


def candidate_step(step: StepMaker, about: str) -> Step:
    """A group's `candidate`; `about` says what the pictures are."""
    return step(
        "candidate",
        inputs=(step.pictures, "training_set"),
        kind="models",
        compute=make_candidate,
        checks=TRAINING_CHECKS + GROUP_CHECKS,
        pool="gpu",
        seeded=True,
        transient=True,
        kinds=frozenset({"pytorch"}),
        description=f"A DCGAN trained on {about} (sections 3 and 4). Not yet published.",
    )


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
    """Publish the candidate, or keep the champion, by what `quality` measured."""
    return _publish(work, snapshots=True)


def publish_without_snapshots(work: Work) -> Outcome:
    """As `publish`, for a group of which no figure shows samples early in training."""
    return _publish(work, snapshots=False)


def networks_step(step: StepMaker, *, early: bool) -> Step:
    """A group's published networks; `early` where a figure needs the snapshots."""
    return step(
        ("generator", "discriminator"),
        inputs=("candidate", "quality"),
        section="candidate",
        kind="models",
        compute=publish if early else publish_without_snapshots,
        kinds=frozenset({"pytorch"}),
        shows=(LOSSES_FILE,),
        description=(
            "The published networks (sections 3 and 4): the candidate if it is healthy, has "
            "not memorised its training set and is not worse than the best on record by more "
            "than the margin; else those that were published before."
        ),
    )


def _publish(work: Work, *, snapshots: bool) -> Outcome:
    quality, candidate = work.sibling("quality"), work.sibling("candidate")
    contest = Contest.read(work.input(quality))

    def choose(failed: tuple[str, ...], champion: Path | None) -> Choice:
        if champion is not None:
            _require_measured(work, contest, champion)
        decision = contest.decide(failed, champion=champion is not None)
        if decision.publish and champion is not None:
            _keep_best(work, contest, champion)
        facts = {"loss": decision.loss, "allowed": decision.allowed}
        return Choice(
            decision.publish,
            decision.reason,
            {name: value for name, value in facts.items() if value is not None},
        )

    outcome = publish_champion(work, candidate, choose, snapshots=snapshots)
    # `quality` is not kept under DVC: what it found goes with the networks.
    measured = shown.decode(work.input_meta(quality).metadata)
    table = {"comparison": measured["comparison"]} if "comparison" in measured else {}
    return replace(outcome, metadata={**outcome.metadata, **table})


def _require_measured(work: Work, contest: Contest, champion: Path) -> None:
    """Stop where another champion stands than the one that was measured.

    Where the very candidate was decided upon before, it may stand there itself.

    Raises:
        UserError: Naming what to do.
    """
    standing, candidate = Meta.read(champion), work.sibling("candidate")
    assert standing is not None  # noqa: S101  (only a whole artefact counts as published)
    decided = standing.inputs.get(candidate)
    same = decided is not None and decided.fingerprint == work.inputs[candidate].fingerprint
    if standing.data_version != contest.champion_version and not same:
        quality = work.sibling("quality")
        raise UserError(
            f"{work.step.key}: not the champion that {quality} measured; run "
            f"`dcgan materialize {quality} --force`"
        )


def _keep_best(work: Work, contest: Contest, champion: Path) -> None:
    """Put the best recorded champion beside the candidate, where it is not the candidate."""
    best = contest.best()
    if best in {CHAMPION, BEST}:
        source = champion if best == CHAMPION else champion / BEST_FOLDER
        target = work.out() / BEST_FOLDER
        target.mkdir()
        for path in source.iterdir():
            if path.is_file() and path.name != META_FILE:
                shutil.copyfile(path, target / path.name)
