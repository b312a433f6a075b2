"""A picture group's published networks: the candidate, or the champion that is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dcgan_assets.assets.publishing.champion import Choice, choose_by, publish_champion
from dcgan_assets.assets.publishing.contest import Contest, same_network
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.results import LOSSES_FILE
from dcgan_assets.engine.step import Outcome, Step, StepMaker
from dcgan_assets.engine.store import Meta
from dcgan_models.errors import UserError


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
            "not memorised its training set and is with 95% confidence not worse than the best "
            "on record by more than the margin; else those that were published before."
        ),
    )


def _publish(work: Work, *, snapshots: bool) -> Outcome:
    quality, candidate = work.sibling("quality"), work.sibling("candidate")
    contest = Contest.read(work.input(quality))

    def choose(failed: tuple[str, ...], champion: Path | None) -> Choice:
        if champion is not None and not same_network(work.input(candidate) / "generator", champion):
            _require_measured(work, contest, champion)
        return choose_by(work, candidate, contest, failed, champion)

    outcome = publish_champion(work, candidate, choose, snapshots=snapshots)
    # `quality` is not kept under DVC: what it found goes with the networks.
    measured = shown.decode(work.input_meta(quality).metadata)
    table = {"comparison": measured["comparison"]} if "comparison" in measured else {}
    return replace(outcome, metadata={**outcome.metadata, **table})


def _require_measured(work: Work, contest: Contest, champion: Path) -> None:
    """Stop where another champion stands than the one that was measured.

    Raises:
        UserError: Naming what to do.
    """
    standing = Meta.read(champion)
    assert standing is not None  # noqa: S101  (only a whole artefact counts as published)
    if standing.data_version != contest.champion_version:
        quality = work.sibling("quality")
        raise UserError(
            f"{work.step.key}: not the champion that {quality} measured; run "
            f"`dcgan materialize {quality} --force`"
        )
