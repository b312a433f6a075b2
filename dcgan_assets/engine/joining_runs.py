"""The other hosts of a training, called through the engine's queue: nobody types `dcgan join`.

Whoever leads enqueues a run for each host that is to join; the engine gives them machines. A run of
the leader's that is tried again calls anew.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.gpu_runs import CELERY_TAG, RAY_TAG
from dcgan_assets.engine.instance import has_engine
from dcgan_assets.engine.living_runs import living_executor
from dcgan_models.errors import UserError

JOB = "join_training"
# What the leader asks an engine for, the others need, too.
_ASKED = (RAY_TAG, CELERY_TAG)
_NOT_BEGUN = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING)


def joining_job(catalogue: Catalogue) -> dg.JobDefinition:
    """The job that is `dcgan join ASSET` on whatever machine it runs."""

    @dg.op(
        name="join",
        description="Trains together with the host that leads, until that ends.",
        config_schema={"asset": str},
    )
    def join(context: dg.OpExecutionContext) -> None:
        # As heavy as Dagster itself.
        from dcgan_assets.engine import hosts

        try:
            finished = hosts.join(catalogue, context.op_config["asset"])
        except UserError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        if not finished:
            raise dg.DagsterExecutionInterruptedError()

    @dg.job(
        name=JOB,
        executor_def=living_executor,
        description="Another host of a training over several (machine.hosts); it is called.",
    )
    def job() -> None:
        join()

    return job


@contextmanager
def called(context: dg.AssetExecutionContext, asset: str, hosts: int) -> Iterator[bool]:
    """Have so many other hosts join the training of a run, while the block lasts.

    Returns:
        Whether an engine was asked for them. Those that have not begun at the end never do; the
        others end with the training.
    """
    instance, run = context.instance, context.run
    if not has_engine(instance) or run.remote_job_origin is None:
        yield False
        return
    ids = [_enqueue(instance, run, asset) for _ in range(hosts)]
    try:
        yield True
    finally:
        for each in instance.get_runs(dg.RunsFilter(run_ids=ids, statuses=list(_NOT_BEGUN))):
            instance.run_coordinator.cancel_run(each.run_id)


def _enqueue(instance: dg.DagsterInstance, run: dg.DagsterRun, asset: str) -> str:
    """Put a run of the job, from where a run itself came, into the queue; its id."""
    from dagster._core.events import DagsterEvent
    from dagster._core.origin import JobPythonOrigin
    from dagster._core.remote_origin import RemoteJobOrigin
    from dagster._core.utils import make_new_run_id

    place, code = run.remote_job_origin, run.job_code_origin
    joining = instance.add_run(
        dg.DagsterRun(
            job_name=JOB,
            run_id=make_new_run_id(),
            run_config={"ops": {"join": {"config": {"asset": asset}}}},
            tags={name: run.tags[name] for name in _ASKED if name in run.tags},
            remote_job_origin=place and RemoteJobOrigin(place.repository_origin, JOB),
            job_code_origin=code and JobPythonOrigin(JOB, code.repository_origin),
        )
    )
    instance.report_dagster_event(DagsterEvent.job_enqueue(joining), run_id=joining.run_id)
    return joining.run_id
