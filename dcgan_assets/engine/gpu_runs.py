"""Which runs an engine gives GPUs, however they were started: those that make what needs them.

A click in the web UI and an automation start runs of which Dagster alone writes the tags. So what
an asset needs is a tag of the asset, and the launcher makes it one of the run.
"""

from __future__ import annotations

import json

import dagster as dg
from dagster._core.launcher import LaunchRunContext

from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.step import GPU, Step

# Of an asset: how many GPUs of one machine a run needs that makes it.
GPUS_TAG = "dcgan/gpus"
# Ray gives a run the GPUs that it asks for, and hides the others from it. Celery's workers say
# themselves that they have one, by the queue from which they take.
RAY_TAG, CELERY_TAG = "dagster-ray/config", "dagster-celery/queue"


def gpu_tags(catalogue: Catalogue, step: Step) -> dict[str, str]:
    """The tags of a step's assets where an engine must give it GPUs."""
    machine = catalogue.workspace.params.machine
    if machine.engine == "local" or machine.device != "cuda" or step.pool != GPU:
        return {}
    return {GPUS_TAG: str(machine.processes)}


def asking_for_gpus(instance: dg.DagsterInstance, context: LaunchRunContext) -> LaunchRunContext:
    """What a launcher is to launch: the same run, which asks for what its assets need.

    A run that says itself what it asks for is left as it is.
    """
    run, workspace = context.dagster_run, context.workspace
    if workspace is None:
        return context
    graph = workspace.asset_graph
    keys = run.asset_selection or graph.asset_keys_for_job(run.job_name)
    gpus = max((int(graph.get(key).tags.get(GPUS_TAG, 0)) for key in keys), default=0)
    if not gpus:
        return context
    asked = {RAY_TAG: json.dumps({"num_gpus": gpus}), CELERY_TAG: GPU}
    missing = {name: value for name, value in asked.items() if name not in run.tags}
    instance.add_run_tags(run.run_id, missing)
    return context._replace(dagster_run=run.with_tags({**run.tags, **missing}))
