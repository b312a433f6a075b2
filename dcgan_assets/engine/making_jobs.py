"""Jobs that bring a group up to date with one click: `dcgan materialize GROUP` in the web UI.

A job of assets would not do: it takes one set of partitions, where a group has sharded assets and
others; it trains a candidate that a clone can do without; and it skips a report of what there is
when anything before it fails. So one op plans and runs what the command would, in the same waves,
each a run of its own.
"""

from collections.abc import Callable, Collection, Iterator

import dagster as dg

from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.living_runs import living_executor
from dcgan_assets.engine.planning import choose_steps, make_plan, with_ancestors
from dcgan_assets.engine.running import run_plan
from dcgan_assets.engine.schedule import Report
from dcgan_models.errors import UserError

ALL = "all"
# Of runs that, with an engine, submit others and wait for them: one at a time has a place.
DRIVES_TAG = "dcgan/drives"
# Books what was made, by keys; False where it could not, which it has said.
Book = Callable[[Collection[str]], bool]


def making_jobs(catalogue: Catalogue, book: Book) -> Iterator[dg.JobDefinition]:
    """`make_GROUP` for every group, and `make_all`; optional assets are in none of them.

    Args:
        book: Called with the keys of what was made, when a job has come to its end.
    """
    groups = dict.fromkeys(step.group for step in catalogue.steps)
    for group in groups:
        yield _making_job(catalogue, group, (group,), book)
    if ALL not in groups:  # a group of that name comes first, as it does in `dcgan materialize`
        yield _making_job(catalogue, ALL, (), book)


def _making_job(
    catalogue: Catalogue, name: str, names: tuple[str, ...], book: Book
) -> dg.JobDefinition:
    what = " ".join(("dcgan materialize", *names))
    description = f"Brings {name} up to date, with what it is made from: `{what}`."

    @dg.op(name=f"bring_{name}_up_to_date", description=description)
    def bring_up_to_date(context: dg.OpExecutionContext) -> None:
        say, instance = context.log.info, context.instance
        steps = with_ancestors(catalogue, choose_steps(catalogue, names))
        try:
            plan = make_plan(catalogue, instance, steps, named=names)
            say(f"{len(plan.items)} to make, {len(plan.current)} up to date")
            report = run_plan(catalogue, instance, plan, say)
        except UserError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        if report.interrupted:
            raise dg.DagsterExecutionInterruptedError()
        booked = book({label.split("[")[0] for label in report.made})
        if report.failed or not booked:
            raise dg.Failure(_failure_words(report), allow_retries=False)

    @dg.job(
        name=f"make_{name}",
        executor_def=living_executor,
        description=description,
        tags={DRIVES_TAG: "runs"},
    )
    def job() -> None:
        bring_up_to_date()

    return job


def _failure_words(report: Report) -> str:
    lines = [f"{label}: {line}" for label, line in report.failed.items()]
    blocked = [f"{label}: something that it needs failed" for label in report.blocked]
    return "\n".join((*lines, *blocked)) or "what was made stands; DVC could not book it"
