"""A run asks an engine for the GPUs that its assets need, whoever started it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.launcher import LaunchRunContext
from dagster._core.test_utils import in_process_test_workspace
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from dcgan_assets.assets.catalogue import open_catalogue
from dcgan_assets.engine.gpu_runs import asking_for_gpus, gpu_tags
from dcgan_assets.engine.step import GPU
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import profile_text

ASKED = {"dagster-ray/config": json.dumps({"num_gpus": 2}), "dagster-celery/queue": "gpu"}
# What starts a run: a click on assets in the web UI, and a job of a schedule or of the web UI.
STARTED: dict[str, dict[str, Any]] = {
    "a candidate": {"asset_selection": {"mnist/candidate"}},
    "a candidate among others": {"asset_selection": {"mnist/images", "mnist/candidate"}},
    "a schedule's tick": {"job_name": "retrain_mnist"},
    "a shard": {"asset_selection": {"lsun/images"}},
    "a group's button, whose runs ask themselves": {"job_name": "make_mnist"},
}
OF_GPUS = ("a candidate", "a candidate among others", "a schedule's tick")


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as found:
        yield found


def write_params(root: Path, machine: dict[str, Any]) -> None:
    """The sample profile, with a machine of its own."""
    params = yaml.safe_load(profile_text("sample"))
    params["machine"].update(machine)
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def tags(
    instance: dg.DagsterInstance, place: Any, started: dict[str, Any], **own: str
) -> dict[str, str]:
    """Of a run, once it is launched; the launcher and Dagster's records see the same."""
    keys = frozenset(map(dg.AssetKey.from_user_string, started.get("asset_selection", ())))
    run = instance.add_run(
        dg.DagsterRun(
            job_name=started.get("job_name", "__ASSET_JOB"), asset_selection=keys or None, tags=own
        )
    )
    launched = asking_for_gpus(instance, LaunchRunContext(run, place)).dagster_run
    kept = instance.get_run_by_id(run.run_id)
    assert kept is not None
    assert {name: kept.tags.get(name) for name in ASKED} == {
        name: launched.tags.get(name) for name in ASKED
    }
    return {name: value for name, value in launched.tags.items() if name in ASKED}


# Dagster reads a field of its schedules that it is about to drop.
@pytest.mark.filterwarnings("ignore:Property `ScheduleDefinition.environment_vars`")
def test_a_run_asks_for_what_its_assets_need(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCGAN_ROOT", str(tmp_path))
    write_params(tmp_path, {"engine": "ray", "device": "cuda", "processes": 2})
    origin = LoadableTargetOrigin(module_name="dcgan_assets.definitions")
    with in_process_test_workspace(instance, origin) as place:
        for name, started in STARTED.items():
            assert tags(instance, place, started) == (ASKED if name in OF_GPUS else {}), name
        of_a_person = {"dagster-celery/queue": "large"}
        found = tags(instance, place, STARTED["a candidate"], **of_a_person)
        assert found == {**ASKED, **of_a_person}


@pytest.mark.parametrize(
    "machine", [{"engine": "celery", "device": "auto"}, {"engine": "local", "device": "cuda"}]
)
def test_where_nobody_named_a_gpu_none_is_asked_for(
    tmp_path: Path, machine: dict[str, Any]
) -> None:
    write_params(tmp_path, machine)
    catalogue = open_catalogue(Workspace(tmp_path))
    assert {step.pool for step in catalogue.steps} >= {GPU}
    assert not any(gpu_tags(catalogue, step) for step in catalogue.steps)
