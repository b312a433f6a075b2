"""Commits to DVC what Dagster made, and pushes it where that is switched on.

`dcgan materialize` does it once, at its end. A run of the web UI does it after each step, by a
success hook. Both also commit what an earlier process was killed before it could; the job
`dvc_publish` commits everything. When it fails, that call fails with one line: what was made stays
made, and the next call catches up.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import dagster as dg

from dcgan_assets.dvc.booked import unbooked
from dcgan_assets.dvc.dvc_commands import at_the_books, has_dvc, run_dvc, under_repro
from dcgan_assets.dvc.dvc_yaml import add_stages, known_stages, read_if_there, stage_name
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.fingerprint import place_order, standing
from dcgan_assets.engine.going_back import share_with_history
from dcgan_assets.engine.step import Step
from dcgan_assets.engine.terminal import say
from dcgan_assets.engine.workspace import Workspace
from dcgan_models.errors import UserError


def publish(catalogue: Catalogue, keys: Collection[str] | None = None) -> list[str]:
    """Commit to DVC, and push where params.yaml says `machine: {dvc: push}`.

    That is what was made, and whatever else stands and is not booked: a process that is killed
    books nothing of what it has made.

    Args:
        keys: Keys of the steps that were made; None takes all.

    Returns:
        The stages that were committed; none where DVC is off, absent, or itself at work.

    Raises:
        UserError: DVC failed, and what it said; or it did not, and does not hold all of it.
    """
    # As params.yaml is now. What was made of an older one must not be booked under this one.
    now = Catalogue(replace(catalogue.workspace), catalogue.steps)
    root, mode = now.workspace.root, now.workspace.params.machine.dvc
    if mode == "off" or under_repro() or not has_dvc(root):
        return []
    with at_the_books(root):
        stages = _to_commit(now, keys)
        if not stages:
            return []
        add_stages(now, stages)
        run_dvc(root, "commit", "--force", *stages)
        _require_booked(root, stages)
    for step in now.steps:
        if stage_name(step) in stages:
            share_with_history(now, step)
    if mode == "push":
        run_dvc(root, "push")
    return stages


def _to_commit(catalogue: Catalogue, keys: Collection[str] | None) -> list[str]:
    """Of what stands: the stages of what was made, and those that DVC does not have as it is."""
    root = catalogue.workspace.root
    known = known_stages(root)
    stages = {
        stage_name(step): step
        for step in catalogue.steps
        if step.has_stage
        and _stands(catalogue, step)
        and not _lacks_something(catalogue, step, known)
    }
    others = [name for name, step in stages.items() if keys is not None and step.key not in keys]
    booked = set(others).difference(unbooked(root, others))
    return [name for name in stages if name not in booked]


def _require_booked(root: Path, stages: Collection[str]) -> None:
    """Raise `UserError` where DVC does not have what it was to commit; it may say nothing then."""
    left = unbooked(root, stages)
    if left:
        words = ", ".join(f"{name} ({how})" for name, how in left.items())
        raise UserError(
            f"`dvc commit` ended well, but does not hold {len(left)} of {len(stages)}: {words}; is "
            "the disk full?"
        )


def require_books(workspace: Workspace, what: str) -> None:
    """Refuse a command that writes dvc.yaml and dvc.lock where DVC is absent or switched off.

    Args:
        what: Is made, for the line.

    Raises:
        UserError: There is no DVC, it is itself at work, or it is switched off.
    """
    if under_repro() or not has_dvc(workspace.root):
        raise UserError(f"{workspace.root}: {what} is made in a workspace under DVC, by hand")
    if workspace.params.machine.dvc == "off":
        raise UserError("params.yaml: machine.dvc: off keeps DVC's books shut; allowed: commit")


def _stands(catalogue: Catalogue, step: Step) -> bool:
    """Whether a step made what it would make now."""
    try:
        orders = [place_order(catalogue, step, shard) for shard in catalogue.shards(step)]
    except UserError:
        return False
    return all(standing(catalogue, order) for order in orders)


def _lacks_something(catalogue: Catalogue, step: Step, known: Collection[str]) -> bool:
    """Whether something is absent that the step itself does not miss: DVC would.

    Args:
        known: Names of the stages that DVC knows.
    """
    read = catalogue.read_by(step, None)
    keys = read_if_there(catalogue, step, known)
    return any(catalogue.store.meta(artefact) is None for key in keys for artefact in read[key])


def publish_made(catalogue: Catalogue, keys: Collection[str]) -> bool:
    """`publish` at the end of a command; False where it failed, which is said."""
    try:
        stages = publish(catalogue, keys)
    except UserError as error:
        say(f"FAILED dvc: {error}; what was made stands", wrong=True)
        return False
    if stages:
        say(f"dvc: {len(stages)} committed")
    return True


def publish_hook(catalogue: Catalogue, step: Step) -> dg.HookDefinition:
    """A hook that publishes a step after each of its successes."""

    @dg.success_hook(name=f"dvc__{step.key.replace('/', '__')}")
    def after(context: dg.HookContext) -> None:
        try:
            publish(catalogue, {step.key})
        except UserError as error:
            # The run has succeeded; its log says what is left to do.
            raise dg.Failure(f"dvc: {error}", allow_retries=False) from None

    return after


def publish_job(catalogue: Catalogue) -> dg.JobDefinition:
    """A job that publishes everything that is up to date."""

    @dg.op(name="dvc_publish_all", description="`dvc commit`, and `dvc push` where it is on.")
    def commit_and_push() -> None:
        try:
            stages = publish(catalogue)
        except UserError as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        say(f"dvc: committed {', '.join(stages) or 'nothing'}")

    @dg.job(
        name="dvc_publish",
        executor_def=dg.in_process_executor,
        description="Commit everything that is up to date to DVC, and push it where that is on.",
    )
    def job() -> None:
        commit_and_push()

    return job
