"""How Dagster's own processes mark the runs that they execute, and see which have died.

`dcgan materialize` holds the lock of its runs itself (liveness.py). A run of the web UI, of a
schedule or of `dagster asset materialize` is marked by the executor; the daemon asks the launcher.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus

from dcgan_assets.engine.instance import close_dead_runs, process_tags
from dcgan_assets.engine.liveness import has_died, hold


class _LivingExecutor(dg.Executor):
    """Executes a run as another executor does, and holds its lock until the process ends."""

    def __init__(self, inner: dg.Executor) -> None:
        self._inner = inner

    @property
    def retries(self) -> Any:
        return self._inner.retries

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[Any]:
        hold(plan_context.instance, plan_context.run_id)
        plan_context.instance.add_run_tags(plan_context.run_id, process_tags())
        yield from self._inner.execute(plan_context, execution_plan)


_IN_PROCESS: Any = dg.in_process_executor


def _create(context: dg.InitExecutorContext) -> dg.Executor:
    return _LivingExecutor(_IN_PROCESS.executor_creation_fn(context))


# Dagster's in-process executor for runs whose death is to be seen.
living_executor = dg.ExecutorDefinition(
    name=_IN_PROCESS.name,
    config_schema=_IN_PROCESS.config_schema,
    executor_creation_fn=_create,
    description=_IN_PROCESS.description,
)


class WatchfulLauncher(dg.DefaultRunLauncher):
    """Dagster's own launcher, which can also tell its daemon that the process of a run died.

    That goes for runs of `dcgan materialize`, too, which it did not launch.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes: the daemon asks about every run that has started."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Dead only where the run's lock could be taken; what has none yet is believed to live.

        The daemon asks of started runs alone. One that was being stopped when it died may hold the
        place that a started one waits for, so it is closed here.
        """
        if has_died(self._instance, run.run_id):
            return CheckRunHealthResult(WorkerStatus.FAILED, "its process died")
        close_dead_runs(self._instance)
        return CheckRunHealthResult(WorkerStatus.RUNNING)
