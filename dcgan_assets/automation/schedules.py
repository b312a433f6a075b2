"""Schedules that train a group's networks anew and publish them where they are good enough.

A tick's seed hangs on the tick alone. So it stands in the configuration of the tick's run, and a
retry or a resume, which take that configuration over, go on with the training that was begun;
the next tick begins another one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import dagster as dg

from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.fingerprint import place_order
from dcgan_assets.engine.step import Step
from dcgan_assets.params.automation import RetrainingRules
from dcgan_models.errors import UserError

# One run of a group at a time (engine/dagster.yaml): another candidate must not come between a
# candidate and its measurement.
GROUP_TAG = "dcgan/retrains"
_WAITING = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)


@dataclass(frozen=True)
class TrainedGroup:
    """A group that trains networks, and the steps from its candidates to what is published.

    Attributes:
        trainings: The steps that train a candidate.
        steps: These, those that measure, and those that publish.
    """

    name: str
    trainings: tuple[Step, ...]
    steps: tuple[Step, ...]
    rules: RetrainingRules

    @property
    def published(self) -> tuple[Step, ...]:
        """The steps that publish the group's networks."""
        return tuple(step for step in self.steps if not step.transient)

    @property
    def job_name(self) -> str:
        """The name of the job that trains the group anew."""
        return f"retrain_{self.name}"

    @property
    def schedule_name(self) -> str:
        """The name of the schedule of that job."""
        return f"{self.job_name}_schedule"


def trained_groups(catalogue: Catalogue) -> tuple[TrainedGroup, ...]:
    """The groups that train networks, in the order of the catalogue."""
    retraining = catalogue.workspace.params.retraining
    names = dict.fromkeys(step.group for step in catalogue.steps if step.trains)
    groups = []
    for name in names:
        own = [step for step in catalogue.steps if step.group == name]
        judged = {key for step in own if step.transient for key in step.outputs}
        steps = tuple(step for step in own if step.transient or judged & set(step.inputs))
        trainings = tuple(step for step in steps if step.trains)
        groups.append(TrainedGroup(name, trainings, steps, retraining.of(name)))
    return tuple(groups)


# --- Jobs and schedules ---------------------------------------------------------------------


def retraining_job(group: TrainedGroup) -> Any:
    """The job that trains a group anew, with what every run of it is held to."""
    keys = [key for step in group.steps for key in step.outputs]
    return dg.define_asset_job(
        group.job_name,
        selection=dg.AssetSelection.assets(*map(dg.AssetKey.from_user_string, keys)),
        description=f"Train {group.name} anew, measure it, publish it if it is good enough.",
        tags={
            GROUP_TAG: group.name,
            "dagster/max_runtime": str(group.rules.max_hours * 3600),
            "dagster/max_retries": str(group.rules.retries),
        },
    )


def retraining_schedule(catalogue: Catalogue, group: TrainedGroup, job: Any) -> Any:
    """The schedule of a group, off until somebody switches it on.

    Raises:
        UserError: Dagster does not know such a cron expression.
    """

    def evaluate(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        moment = context.scheduled_execution_time
        reason = reason_to_skip(catalogue, group, context.instance)
        if reason:
            return dg.SkipReason(reason)
        tick = moment.astimezone(UTC).isoformat(timespec="seconds")
        return retraining_request(catalogue, group, tick)

    try:
        return dg.ScheduleDefinition(
            name=group.schedule_name,
            job=job,
            cron_schedule=group.rules.cron,
            execution_timezone=group.rules.time_zone,
            execution_fn=evaluate,
            default_status=dg.DefaultScheduleStatus.STOPPED,
            description=f"Trains {group.name} anew, by `retraining` in params.yaml.",
        )
    except dg.DagsterInvalidDefinitionError:
        raise UserError(
            f"params.yaml: retraining: no such time as {group.rules.cron!r}; a cron expression is "
            "minute, hour, day of the month, month, day of the week, as in '0 3 * * 0'"
        ) from None


def retraining_request(catalogue: Catalogue, group: TrainedGroup, occasion: str) -> dg.RunRequest:
    """A run that trains a group anew, with the seed of this occasion and no other."""
    seed = occasion_seed(catalogue.workspace.params.seed, group.name, occasion)
    ops = {step.op_name: {"config": {"seed": seed}} for step in group.steps if step.seeded}
    return dg.RunRequest(
        run_key=f"{group.name}/{occasion}", run_config={"ops": ops}, job_name=group.job_name
    )


def occasion_seed(params_seed: int, group: str, occasion: str) -> int:
    """A seed of 32 bits that follows from the workspace's seed, the group and the occasion."""
    digest = hashlib.sha256(f"{params_seed}\0{group}\0{occasion}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


# --- Whether there is anything to do --------------------------------------------------------


def reason_to_skip(
    catalogue: Catalogue, group: TrainedGroup, instance: dg.DagsterInstance
) -> str | None:
    """Why a group is not to be trained now, if it is not."""
    waiting = instance.get_runs(
        dg.RunsFilter(tags={GROUP_TAG: group.name}, statuses=list(_WAITING))
    )
    # A retry that waits is an earlier occasion's; this one comes after it.
    if any(run.parent_run_id is None for run in waiting):
        return f"a run that trains {group.name} waits already"
    try:
        _require_pictures(catalogue, group)
    except UserError as error:
        return f"{group.name} cannot be trained yet: {error}"
    if group.rules.retrain == "when_changed" and not changed(catalogue, group):
        return f"the training pictures of {group.name} are those that its last candidate saw"
    return None


def _require_pictures(catalogue: Catalogue, group: TrainedGroup) -> None:
    """Raise `UserError` where something is missing that a retraining does not make itself."""
    made = {key for step in group.steps for key in step.outputs}
    for step in group.steps:
        read = catalogue.read_by(step, None)
        outside = [key for key in step.inputs if key not in made]
        catalogue.store.require([artefact for key in outside for artefact in read[key]])


def changed(catalogue: Catalogue, group: TrainedGroup) -> bool:
    """Whether a group's training pictures differ from those of its last finished candidate."""
    return any(_sees_others(catalogue, group, step) for step in group.trainings)


def _sees_others(catalogue: Catalogue, group: TrainedGroup, training: Step) -> bool:
    store = catalogue.store
    candidate = store.meta(catalogue.artefact(training.key))
    if candidate is not None:
        read = [a for artefacts in catalogue.read_by(training, None).values() for a in artefacts]
        now = {label: meta.data_version for label, meta in store.require(read).items()}
        if now == {label: made.data_version for label, made in candidate.inputs.items()}:
            return False
    # It is not there, or is that of another commit.
    return not _is_on_record(catalogue, group, training)


def _is_on_record(catalogue: Catalogue, group: TrainedGroup, training: Step) -> bool:
    """Whether what was published names a candidate that would come out the same today."""
    for step in group.published:
        meta = catalogue.store.meta(catalogue.artefact(step.key))
        recorded = meta.inputs.get(training.key) if meta else None
        if recorded is not None:
            order = place_order(catalogue, training, seed=recorded.seed)
            return order.fingerprint == recorded.fingerprint
    return False
