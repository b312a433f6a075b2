"""What a worker must have in common with the command that planned a run; else one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import validate_run_config
from dagster._core.events import DagsterEvent, EngineEventData
from dagster._utils.error import SerializableErrorInfo
from fixture_types import Refused
from small_graph import SmallGraph, write_workspace

from dcgan_assets.definitions import build_definitions
from dcgan_assets.engine.batch_runs import read_outcome
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.expectations import (
    CODE_TAG,
    PACKAGES_TAG,
    ROOT_TAG,
    code_of,
    packages,
    require_expected,
)
from dcgan_assets.engine.joining_runs import JOB
from dcgan_assets.engine.schedule import Batch
from dcgan_models.errors import UserError


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    write_workspace(tmp_path)
    return SmallGraph(tmp_path).catalogue()


def test_what_is_equal_is_made(catalogue: Catalogue) -> None:
    step = catalogue.by_key["toy/images"]
    tags = {
        ROOT_TAG: str(catalogue.workspace.root),
        PACKAGES_TAG: json.dumps(packages()),
        CODE_TAG: json.dumps(code_of(catalogue, [step])),
    }
    require_expected(catalogue, step, tags)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({ROOT_TAG: "/elsewhere"}, ("/elsewhere where the run was planned", "at the same path")),
        (
            {PACKAGES_TAG: json.dumps({**packages(), "numpy": "0.1"})},
            ("numpy is", "and 0.1 where the run was planned; install the same"),
        ),
        (
            {PACKAGES_TAG: json.dumps({**packages(), "dcgan-assets": "0.0.1"})},
            ("dcgan-assets is", "and 0.0.1 where the run was planned"),
        ),
        ({CODE_TAG: json.dumps({"toy/images": "x"})}, ("toy/images: params.yaml or this",)),
    ],
)
def test_what_differs_is_one_line(
    catalogue: Catalogue, refused: Refused, tags: dict[str, str], words: tuple[str, ...]
) -> None:
    with refused(*words):
        require_expected(catalogue, catalogue.by_key["toy/images"], tags)


def test_a_run_that_could_not_be_loaded_says_why(catalogue: Catalogue) -> None:
    """Dagster writes that into an event of its engine, and of the run only that it failed."""
    step = catalogue.by_key["toy/images"]
    cause = SerializableErrorInfo(
        f"{UserError.__module__}.UserError: root /ws: no such folder\n", [], "UserError"
    )
    error = SerializableErrorInfo("dagster: cannot be loaded", [], "DagsterError", cause)

    def event(kind: dg.DagsterEventType, message: str, data: Any) -> DagsterEvent:
        return DagsterEvent(kind.value, "job", message=message, event_specific_data=data)

    told = [
        event(dg.DagsterEventType.ENGINE_EVENT, "framework", EngineEventData(error=error)),
        event(dg.DagsterEventType.RUN_FAILURE, "marked as failed from outside", None),
    ]
    outcome = read_outcome(told, dg.DagsterRunStatus.FAILURE, Batch((step,), "00"))
    assert list(outcome.failed) == ["toy/images"]
    assert outcome.failed["toy/images"].endswith("root /ws: no such folder")


def test_the_job_that_joins_is_there_where_hosts_train_together(tmp_path: Path) -> None:
    graph = SmallGraph(tmp_path)
    write_workspace(graph.root)
    names = {job.name for job in build_definitions(graph.catalogue()).jobs or ()}
    assert JOB not in names
    graph.change(machine={"hosts": 2})
    job = build_definitions(graph.catalogue()).resolve_job_def(JOB)
    assert validate_run_config(job, {"ops": {"join": {"config": {"asset": "toy/candidate"}}}})
