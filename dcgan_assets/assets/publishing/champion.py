"""Publishing a candidate, or keeping the champion: for any group."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dcgan_assets.assets.publishing.contest import Contest, same_network
from dcgan_assets.assets.training.candidate import NOT_MEASURED
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.publications import KEPT, PUBLISHED
from dcgan_assets.engine.results import LOSSES_FILE
from dcgan_assets.engine.step import Outcome
from dcgan_models.errors import UserError

_POINTS = 500


@dataclass(frozen=True)
class Choice:
    """Whether the candidate is published, the sentence that says why, and what else is shown."""

    publish: bool
    reason: str
    facts: Mapping[str, Any] = field(default_factory=dict)


Choose = Callable[[tuple[str, ...], Path | None], Choice]
"""From the checks that the candidate failed and the champion's folder, None where there is none."""


def publish_champion(
    work: Work, candidate: str, choose: Choose, *, snapshots: bool = True
) -> Outcome:
    """Publish the candidate's networks, or keep what is published, and say why.

    Args:
        work: Of the step whose outputs are the published networks.
        candidate: Its key.
        choose: Decides; may not choose a candidate that failed a check.
        snapshots: Whether a figure shows G as it was early in its training. A published network
            goes to everybody who clones the project, a snapshot is as large as the network.

    Raises:
        UserError: The candidate is not to be published and there is no champion to keep.
    """
    checks = work.input_meta(candidate).checks
    failed = tuple(check["check"] for check in checks if not check["passed"])
    unmeasured = [check["check"] for check in checks if NOT_MEASURED in check["facts"]]
    champion = work.published(work.step.key)
    choice = choose(failed, champion)
    if choice.publish:
        unwanted = None if snapshots else shutil.ignore_patterns("snapshots")
        for key in work.step.outputs:
            role = "discriminator" if key.endswith("discriminator") else "generator"
            source = work.input(candidate) / role
            shutil.copytree(source, work.out(key), ignore=unwanted, dirs_exist_ok=True)
        _write_losses(work.input(candidate), work.out())
    elif champion is None:
        raise UserError(
            f"{work.step.key}: {choice.reason}, and nothing is published yet; look at "
            f"{candidate}, then change params.yaml or the seed"
        )
    else:
        work.keep_published()
    decision = PUBLISHED if choice.publish else KEPT
    short = f"; not measured, for so short a training: {', '.join(unmeasured)}"
    reason = choice.reason + (short if unmeasured else "")
    return Outcome(
        metadata={
            "decision": decision,
            "reason": reason,
            "samples": shown.thumbnail(fixed_samples(work.out()), "samples of the fixed latents"),
            **choice.facts,
        },
        summary=f"{decision}: {reason}",
    )


def _write_losses(candidate: Path, out: Path) -> None:
    """The losses of the training, for `dvc plots`, which reads no Parquet and draws every row."""
    import pyarrow.csv
    import pyarrow.parquet as pq

    log = pq.read_table(candidate / "log.parquet", columns=["epoch", "d_loss", "g_loss"])
    last = len(log) - 1
    kept = sorted({round(place) for place in np.linspace(0, last, min(len(log), _POINTS))})
    pyarrow.csv.write_csv(log.take(kept), out / LOSSES_FILE)


def choose_by(
    work: Work,
    candidate: str,
    contest: Contest,
    failed: tuple[str, ...],
    champion: Path | None,
) -> Choice:
    """Let the gate choose, and keep the best recorded champion where the candidate is published.

    Args:
        work: Of the publishing step.
        candidate: The candidate's key.
        contest: How it and its references were measured.
        failed, champion: As `Choose` takes them.
    """
    folder = work.input(candidate) / "generator"
    same = champion is not None and same_network(folder, champion)
    decision = contest.decide(failed, champion=champion is not None, same=same)
    if decision.publish and champion is not None:
        contest.keep_best(champion, work.out(), same=same)
    return Choice(decision.publish, decision.reason, contest.facts(decision))


def fixed_samples(folder: Path) -> npt.NDArray[np.uint8]:
    """A published generator's first fixed latents as one picture."""
    from dcgan_models import load_generator

    return load_generator(folder).fixed_grid()
