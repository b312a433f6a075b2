"""All automation of a workspace together: schedules, sensors, conditions, freshness of networks.

Everything here is off until somebody switches it on in the web UI, but for the alerts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import dagster as dg

from dcgan_assets.automation.alerts import failure_sensor
from dcgan_assets.automation.inbox import find_inboxes, inbox_jobs, inbox_sensor
from dcgan_assets.automation.schedules import (
    TrainedGroup,
    retraining_job,
    retraining_schedule,
    trained_groups,
)
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.step import Step

RESULTS_SENSOR = "results_follow_networks"
_SECONDS = 60


@dataclass(frozen=True)
class Automation:
    """The jobs, schedules and sensors of a workspace."""

    jobs: tuple[Any, ...]
    schedules: tuple[Any, ...]
    sensors: tuple[Any, ...]


def build_automation(catalogue: Catalogue) -> Automation:
    """The jobs, schedules and sensors of a catalogue.

    Raises:
        UserError: A schedule's time in params.yaml is none.
    """
    groups = trained_groups(catalogue)
    jobs = {group.name: retraining_job(group) for group in groups}
    schedules = [retraining_schedule(catalogue, group, jobs[group.name]) for group in groups]
    preparing, inboxes = [], []
    for inbox in find_inboxes(catalogue, groups):
        own = list(inbox_jobs(catalogue, inbox).values())
        preparing += own
        inboxes.append(inbox_sensor(catalogue, inbox, [*own, jobs[inbox.group.name]]))
    return Automation(
        jobs=(*jobs.values(), *preparing),
        schedules=tuple(schedules),
        sensors=(*_results_sensor(catalogue), *inboxes, failure_sensor(catalogue)),
    )


# --- Results that follow --------------------------------------------------------------------


def is_cheap(step: Step) -> bool:
    """Whether a step may run without being asked for: a figure, a table, samples.

    Nothing that needs its turn on the GPU, asks the web, or is measured of a candidate.
    """
    return step.kind == "results" and step.has_stage and not step.pool


def _results_sensor(catalogue: Catalogue) -> tuple[Any, ...]:
    keys = [dg.AssetKey.from_user_string(s.key) for s in catalogue.steps if is_cheap(s)]
    if not keys:
        return ()
    return (
        dg.AutomationConditionSensorDefinition(
            RESULTS_SENSOR,
            target=dg.AssetSelection.assets(*keys),
            default_status=dg.DefaultSensorStatus.STOPPED,
            minimum_interval_seconds=_SECONDS,
            description="Makes figures, tables and samples when what they show has changed.",
        ),
    )


def _when_inputs_changed(pictures: Iterable[dg.AssetKey]) -> Any:
    """As Dagster's `eager`, for inputs whose content changed, and none that failed its checks.

    A champion that was kept is materialised as well, with the data version that it had.

    Args:
        pictures: Inputs that are not followed. New pictures come before the training set that they
            belong to, and long before networks: what shows both waits for the last.
    """
    condition = dg.AutomationCondition
    changed = condition.any_deps_match(
        (condition.data_version_changed() & ~condition.executed_with_root_target())
        | condition.will_be_requested()
    )
    changed = changed.ignore(dg.AssetSelection.assets(*pictures)).with_label("any_deps_changed")
    eager = condition.eager().replace("any_deps_updated", changed)
    return (eager & condition.all_deps_blocking_checks_passed()).with_label("inputs_changed")


# --- What single assets have ----------------------------------------------------------------


def automated(
    catalogue: Catalogue, assets: Iterable[dg.AssetsDefinition]
) -> list[dg.AssetsDefinition]:
    """Assets with their automation: a condition on cheap ones, freshness of published networks."""
    days = _fresh_days(trained_groups(catalogue))

    def automate(spec: dg.AssetSpec) -> dg.AssetSpec:
        key = spec.key.to_user_string()
        if is_cheap(step := catalogue.by_key[key]):
            condition = _when_inputs_changed(_pictures_beside_networks(catalogue, step))
            return spec.replace_attributes(automation_condition=condition)
        if key in days:
            policy = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=days[key]))
            return spec.replace_attributes(freshness_policy=policy)
        return spec

    return [asset.map_asset_specs(automate) for asset in assets]


def _pictures_beside_networks(catalogue: Catalogue, step: Step) -> list[dg.AssetKey]:
    """The inputs of a step that are data, where it reads a network as well."""
    kinds = {key: catalogue.by_key[key].kind for key in step.inputs}
    if "models" not in kinds.values():
        return []
    return [dg.AssetKey.from_user_string(key) for key, kind in kinds.items() if kind == "data"]


def _fresh_days(groups: Iterable[TrainedGroup]) -> dict[str, int]:
    """For how long published networks are fresh, by key, where every tick is to make new ones."""
    return {
        key: group.rules.fresh_days
        for group in groups
        if group.rules.retrain == "always"
        for step in group.published
        for key in step.outputs
    }
