"""A batch as a run of Dagster: how it is asked for, and what came of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import dagster as dg

from dcgan_assets.engine.schedule import Batch, Outcome
from dcgan_assets.engine.step import Step


def asset_keys(steps: Iterable[Step]) -> list[dg.AssetKey]:
    """Dagster's keys of all that the steps make."""
    return [dg.AssetKey.from_user_string(key) for step in steps for key in step.outputs]


def launch_config(
    steps: Iterable[Step], seed: int | None, forced: Collection[str]
) -> dict[str, Any]:
    """What the Launchpad would be filled with: whether each step is forced, and its seed."""
    config: dict[str, Any] = {}
    for step in steps:
        launch: dict[str, Any] = {"force": step.key in forced}
        if step.seeded and seed is not None:
            launch["seed"] = seed
        config[step.op_name] = {"config": launch}
    return config


def read_outcome(
    events: Iterable[dg.DagsterEvent], status: dg.DagsterRunStatus, batch: Batch
) -> Outcome:
    """Sort a finished run's steps into made, failed and neither.

    Args:
        events: Of the run; those by which steps succeed and fail, or the run itself, and those of
            the engine, are enough.
    """
    told = list(events)
    succeeded = {event.step_key for event in told if event.is_step_success}
    failures = {event.step_key: event for event in told if event.is_step_failure}
    failed: dict[str, str] = {}
    interrupted = status == dg.DagsterRunStatus.CANCELED
    for step in batch.steps:
        if step.op_name in failures:
            data = failures[step.op_name].step_failure_data
            if _was_interrupted(data.error):
                interrupted = True
            else:
                failed[step.key] = _failure_line(data)
    made = tuple(step.key for step in batch.steps if step.op_name in succeeded)
    left = [step.key for step in batch.steps if step.key not in made]
    if status == dg.DagsterRunStatus.FAILURE and left and not failures:
        failed[left[0]] = _end_line(told)  # no step has said why
    return Outcome(made, failed, interrupted)


def _was_interrupted(error: Any) -> bool:
    while error is not None:
        if error.cls_name == "DagsterExecutionInterruptedError":
            return True
        error = error.cause
    return False


def _failure_line(data: Any) -> str:
    """The message of a `UserError`; the whole traceback of anything else, which is our bug."""
    if data.user_failure_data is not None and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    return str(data.error_display_string)


def _end_line(events: Iterable[dg.DagsterEvent]) -> str:
    """Why a run failed as a whole: the message of a `UserError`, else Dagster's first line."""
    told = list(events)
    ends = [event for event in told if event.is_failure and not event.is_step_failure]
    # Where a worker could not load what it was to run, an event of the engine alone says why.
    for event in [*ends, *(event for event in told if event.is_engine_event)]:
        error: Any = getattr(event.event_specific_data, "error", None)
        while error is not None:
            if error.cls_name == "UserError":
                return " ".join(str(error.message).split()).removeprefix("UserError: ")
            error = error.cause
    words = " ".join((event.message or "").strip().partition("\n")[0] for event in ends[:1])
    return words or "its run failed"
