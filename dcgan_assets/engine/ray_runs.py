"""Dagster's runs as jobs of Ray: dagster-ray's launcher, whose trainings ask for their GPUs."""

from __future__ import annotations

from dagster._core.launcher import LaunchRunContext
from dagster_ray import RayRunLauncher

from dcgan_assets.engine.gpu_runs import asking_for_gpus


class GpuLauncher(RayRunLauncher):
    """dagster-ray's launcher, which sees that a run asks for the GPUs that its assets need."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """Hand a run to Ray."""
        super().launch_run(asking_for_gpus(self._instance, context))
