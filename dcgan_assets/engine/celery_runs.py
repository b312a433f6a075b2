"""Dagster's runs as tasks of Celery: the launcher, and what workers load.

    celery -A dcgan_assets.engine.celery_runs worker

dagster-celery's own launcher believes what the last message of a worker said. A machine that is
lost sends none, so that its runs would count as at work for ever.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg
from celery import Celery, Task, bootsteps
from celery.signals import worker_init, worker_process_shutdown
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._utils.interrupts import capture_interrupts
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.make_app import make_app
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG
from dagster_celery.tasks import create_execute_job_task
from kombu.exceptions import OperationalError

from dcgan_assets.engine.gpu_runs import asking_for_gpus
from dcgan_assets.engine.liveness import has_died
from dcgan_assets.engine.workspace import Workspace
from dcgan_models.errors import UserError

# dagster-celery registers its task anew with each run that it launches, which Celery 5.7 tells.
warnings.filterwarnings("ignore", message="Task name 'execute_job' is already registered")

BROKER_VARIABLE = "DCGAN_BROKER"
_ANSWER_SECONDS = 5.0
# A busy worker answers late, and a broker that is started again loses questions.
_PATIENCE_SECONDS = 30
_REAPED_SECONDS = 0.25
_MONTH = 30 * 86400
# Of the launcher and of the workers.
_SETTINGS: Mapping[str, Any] = {
    # A run that waits in a worker's own hands waits while others are idle.
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    # A process of its own for each run: it reads params.yaml and the code that are there now.
    "worker_max_tasks_per_child": 1,
    "worker_redirect_stdouts": False,  # Dagster keeps what a run prints
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    # Dagster's daemon waits for the broker; else a run that cannot be handed over has failed.
    "broker_transport_options": {"max_retries": None, "interval_step": 0.5, "interval_max": 5},
    "task_publish_retry_policy": {"max_retries": None, "interval_step": 0.5, "interval_max": 5},
    "result_expires": _MONTH,  # longer than a training
    "task_default_queue": "dagster",
}


class AskingLauncher(CeleryRunLauncher):
    """dagster-celery's launcher, which asks the worker of a run whether it is at work on it."""

    def __init__(self, patience_seconds: int = _PATIENCE_SECONDS, **config: Any) -> None:
        super().__init__(**{**config, "config_source": dict(_SETTINGS)})
        self._patience = patience_seconds
        self._silent: dict[str, float] = {}

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """The settings of `run_launcher` in dagster.yaml."""
        patience = dg.Field(
            int,
            default_value=_PATIENCE_SECONDS,
            description="How long a run may be unknown to all workers before it counts as lost.",
        )
        theirs: Any = super().config_type()
        return {**theirs, "patience_seconds": patience}

    def launch_run(self, context: LaunchRunContext) -> None:
        """Hand a run to the broker; a training into the queue of the workers with a GPU."""
        super().launch_run(asking_for_gpus(self._instance, context))

    @property
    def supports_resume_run(self) -> bool:
        """No: a run that was lost is tried again, as another one."""
        return False

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Lost only where nobody holds the run's lock and no worker knows of it for a while."""
        if has_died(self._instance, run.run_id) is False or self._is_known(run):
            self._silent.pop(run.run_id, None)
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        since = self._silent.setdefault(run.run_id, time.monotonic())
        if time.monotonic() - since < self._patience:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "its worker does not answer")

    def complaint(self) -> str | None:
        """What is wrong with the broker, in one line without its address; None where it answers."""
        try:
            with self.celery.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, timeout=_ANSWER_SECONDS)
        except OperationalError as error:
            cause = type(error.__cause__ or error).__name__
            return f"the broker ({BROKER_VARIABLE}) does not answer ({cause})"
        return None

    def _is_known(self, run: dg.DagsterRun) -> bool:
        task = self.celery.AsyncResult(run.tags[DAGSTER_CELERY_TASK_ID_TAG])
        if task.state != "STARTED":
            return False
        worker = task.info["hostname"]
        asked = self.celery.control.inspect(destination=[worker], timeout=_ANSWER_SECONDS)
        return bool((asked.query_task(task.id) or {}).get(worker))

    def terminate(self, run_id: str) -> bool:
        """Ask a run to stop and save; one that has not begun never does."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        super().terminate(run_id)
        if has_died(self._instance, run_id) is None and run.status is dg.DagsterRunStatus.STARTING:
            self._instance.report_run_canceled(run)
        return True


class _StoppableTask(Task):  # type: ignore[misc]  # Celery has no types
    """A task that saves when it is stopped; Celery's processes would end at once."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with capture_interrupts():
            return super().__call__(*args, **kwargs)


class _PromptPool(bootsteps.StartStopStep):  # type: ignore[misc]
    """Replaces a process that has ended at once, where Celery's worker may take five seconds.

    It is told when the process closes its files, asks then whether it has ended, which it may not
    have by a hair, and asks again by a timer alone.
    """

    requires = ("celery.worker.components:Pool",)

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        """Have the worker look more often."""
        hub.call_repeatedly(_REAPED_SECONDS, worker.pool._pool.maintain_pool)


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _end_at_once(exitcode: int, **_: Any) -> None:
    """End a process whose result has been taken; Celery's would sleep for a second first."""
    os._exit(exitcode)


@worker_init.connect  # type: ignore[untyped-decorator]
def _require_workspace(**_: Any) -> None:
    """End a worker that could not carry out a single run, before it takes one from the others."""
    try:
        home = Workspace.find().dagster_home
        if not os.environ.get(BROKER_VARIABLE):
            raise UserError(f"{BROKER_VARIABLE} is not set: set -a; . cluster/env; set +a")
        named = os.environ.get("DAGSTER_HOME")
        if named != str(home):
            raise UserError(f"DAGSTER_HOME is {named}, and must be {home}")
        if not home.is_dir():
            raise UserError(f"{home} is missing; `dcgan ui` on the first machine makes it")
    except UserError as error:
        raise SystemExit(f"error: {error}") from None


def _app() -> Celery:
    """What `celery -A` looks for; without a broker it can be imported, and starts nothing."""
    broker = os.environ.get(BROKER_VARIABLE, "")
    settings = {"broker": broker, "backend": broker, "config_source": dict(_SETTINGS)}
    app: Celery = make_app(settings)  # type: ignore[no-untyped-call]
    app.steps["worker"].add(_PromptPool)
    create_execute_job_task(app, base=_StoppableTask)  # type: ignore[arg-type]
    return app


app = _app()
