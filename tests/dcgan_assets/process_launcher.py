"""The smallest engine there is: a launcher that starts a process for every run on this machine."""

from __future__ import annotations

import signal
import subprocess
from typing import Any

import dagster as dg
from dagster._cli.api import ExecuteRunArgs
from dagster._core.launcher import (
    CheckRunHealthResult,
    LaunchRunContext,
    RunLauncher,
    WorkerStatus,
)
from dagster._serdes import ConfigurableClass, ConfigurableClassData


class ProcessLauncher(RunLauncher, ConfigurableClass):
    """Starts runs as Dagster's launchers for containers do, and knows which have died."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Any
    ) -> ProcessLauncher:
        return cls(inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        run = context.dagster_run
        assert run.job_code_origin is not None
        words = ExecuteRunArgs(
            job_origin=run.job_code_origin,
            run_id=run.run_id,
            instance_ref=self._instance.get_ref(),
            set_exit_code_on_failure=True,
        ).get_command_args()
        self._processes[run.run_id] = subprocess.Popen(words)

    def terminate(self, run_id: str) -> bool:
        # Another process than the one that launched it asks: by the mark that the run left.
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        subprocess.run(["kill", f"-{signal.SIGTERM.value}", run.tags["dcgan/pid"]], check=True)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        process = self._processes.get(run.run_id)
        dead = process is not None and process.poll() is not None
        return CheckRunHealthResult(WorkerStatus.FAILED if dead else WorkerStatus.RUNNING)
