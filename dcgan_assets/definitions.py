"""The code location that workspace.yaml names: the assets of the workspace it is loaded in."""

from functools import partial

import dagster as dg

from dcgan_assets.assets.catalogue import open_catalogue
from dcgan_assets.automation.conditions import automated, build_automation
from dcgan_assets.dvc.commit import publish_hook, publish_job, publish_made
from dcgan_assets.dvc.dvc_settings import keep_private
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.dagster_assets import dagster_asset
from dcgan_assets.engine.joining_runs import joining_job
from dcgan_assets.engine.living_runs import living_executor
from dcgan_assets.engine.making_jobs import making_jobs
from dcgan_assets.engine.versions import memory
from dcgan_assets.engine.workspace import Workspace


def build_definitions(catalogue: Catalogue) -> dg.Definitions:
    """Bind a catalogue to Dagster. Steps run in the run's own process: most are short."""
    assets = [
        dagster_asset(catalogue, step, publish_hook(catalogue, step)) for step in catalogue.steps
    ]
    making = making_jobs(catalogue, partial(publish_made, catalogue))
    automation = build_automation(catalogue)
    memory.remember()
    # Listed where it is of use.
    joining = [joining_job(catalogue)] if catalogue.workspace.params.machine.hosts > 1 else []
    return dg.Definitions(
        assets=automated(catalogue, assets),
        jobs=[*making, *joining, publish_job(catalogue), *automation.jobs],
        schedules=automation.schedules,
        sensors=automation.sensors,
        executor=living_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads: the workspace is looked for then, and not when this is imported."""
    workspace = Workspace.find()
    keep_private(workspace.root)
    return build_definitions(open_catalogue(workspace))
