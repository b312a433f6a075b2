"""`dcgan materialize` and `dcgan report`: the plan, what came of it, the exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dcgan_assets.cli.common import (
    SEED,
    echo_json,
    find_catalogue,
    names_argument,
    open_in_browser,
)
from dcgan_assets.engine.terminal import INTERRUPTED, say, set_quiet
from dcgan_assets.engine.workspace import Workspace
from dcgan_models.errors import UserError

if TYPE_CHECKING:
    import dagster as dg

    from dcgan_assets.engine.catalogue import Catalogue
    from dcgan_assets.engine.planning import Plan
    from dcgan_assets.engine.schedule import Report
    from dcgan_assets.engine.step import Step


@dataclass(frozen=True)
class Request:
    """The arguments of `dcgan materialize`, under the names that click gives them."""

    names: tuple[str, ...] = ()
    partition: str | None = None
    only: bool = False
    force: bool = False
    seed: int | None = None
    dry_run: bool = False
    as_json: bool = False
    jobs: int | None = None
    here: bool = False


def _be_quiet(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    set_quiet(value)


quiet_option = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    expose_value=False,
    callback=_be_quiet,
    help="Say only what went wrong.",
)


@click.command()
@names_argument
@click.option("--partition", help="Only this shard of sharded assets.")
@click.option("--only", is_flag=True, help="No ancestors: fail where an input is missing.")
@click.option("--force", is_flag=True, help="Make again what is up to date (not its ancestors).")
@click.option("--seed", type=SEED, help="For a new training; else the stored seed is kept.")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    help="Runs beside each other, which share the cores; else one a core where several groups "
    "train, four at most.",
)
@click.option("--here", is_flag=True, help="On this machine, whatever machine.engine says.")
@click.option("--json", "as_json", is_flag=True, help="The plan as JSON, for programs.")
@quiet_option
@click.pass_obj
def materialize(root: Path | None, /, **request: Any) -> None:
    """Bring assets up to date, by key or group; everything without a name.

    Missing or stale ancestors come along. What failed blocks only what needs it, and the next
    call makes only that.
    """
    asked = Request(**request)
    if asked.as_json and not asked.dry_run:
        raise UserError("--json: it is the plan that is written; allowed with --dry-run alone")
    if asked.as_json:
        set_quiet(True)
    sys.exit(bring_up_to_date(find_catalogue(root), asked))


@click.command()
@click.option("--open", "opened", is_flag=True, help="Show it in the browser.")
@quiet_option
@click.pass_obj
def report(root: Path | None, opened: bool) -> None:
    """Write the page with every figure and table of the paper, from what has been made so far.

    Nothing else is made for it; what is not there is shown as missing.
    """
    catalogue = find_catalogue(root)
    code = bring_up_to_date(catalogue, Request(("report",)))
    if code == 0 and opened:
        open_in_browser(_page_path(catalogue.workspace).as_uri())
    sys.exit(code)


def bring_up_to_date(catalogue: Catalogue, request: Request) -> int:
    """Plan, run, report. Returns the exit code: 0, 1 on a failure, 130 when interrupted."""
    from dcgan_assets.engine.instance import close_dead_runs, open_instance
    from dcgan_assets.engine.lanes import usual_jobs
    from dcgan_assets.engine.planning import choose_steps, require_places, with_ancestors
    from dcgan_assets.engine.running import run_plan

    chosen = choose_steps(catalogue, request.names)
    _check_partition(catalogue, chosen, request.partition)
    _check_seed(catalogue, chosen, request.seed)
    with open_instance(catalogue.workspace) as instance:
        for run_id in close_dead_runs(instance):
            say(f"closed run {run_id[:8]}: its process had died")
        steps = chosen if request.only else with_ancestors(catalogue, chosen)
        plan = _plan(catalogue, instance, steps, chosen, request)
        if request.dry_run:  # as `run_plan` would
            require_places(catalogue, plan)
        if request.as_json:
            echo_json(_document(catalogue, plan))
            return 0
        _print_plan(catalogue, plan)
        _tell_standing(catalogue, plan)
        if request.dry_run:
            return 0
        if not plan.items:
            _bring_to_look_at(catalogue, chosen)
            return _conclude_standing(catalogue, chosen)
        report = run_plan(
            catalogue,
            instance,
            plan,
            say,
            seed=request.seed,
            forced={step.key for step in chosen if request.force},
            jobs=request.jobs or usual_jobs(catalogue, plan),
            here=request.here,
        )
    code = _conclude(catalogue, report)
    if code == 0:
        _bring_to_look_at(catalogue, chosen)
        _name_report(catalogue, chosen)
    return code


def _plan(
    catalogue: Catalogue,
    instance: dg.DagsterInstance,
    steps: Sequence[Step],
    chosen: Sequence[Step],
    request: Request,
) -> Plan:
    """What of the steps is missing or stale, and what of the chosen ones is to be made anyhow."""
    from dcgan_assets.engine.planning import make_plan

    seeded = request.seed is not None
    forced = {step.key for step in chosen if request.force or (seeded and step.seeded)}
    return make_plan(
        catalogue,
        instance,
        steps,
        named=request.names,
        shard=request.partition,
        forced=forced,
    )


def _check_partition(catalogue: Catalogue, steps: Sequence[Step], partition: str | None) -> None:
    if partition is None:
        return
    known = sorted({s for step in steps for s in catalogue.shards(step) if s is not None})
    if partition not in known:
        raise UserError(f"unknown partition {partition!r}; allowed: {', '.join(known) or 'none'}")


def _check_seed(catalogue: Catalogue, steps: Sequence[Step], seed: int | None) -> None:
    if seed is None or any(step.seeded for step in steps):
        return
    seeded = ", ".join(step.key for step in catalogue.steps if step.seeded)
    raise UserError(f"--seed: nothing of what is named takes one; allowed with: {seeded}")


def _print_plan(catalogue: Catalogue, plan: Plan) -> None:
    if plan.items:
        say(f"plan: {len(plan.items)} to make, {len(plan.current)} up to date")
        for (key, shard), reason in plan.items.items():
            say(f"  {catalogue.artefact(key, shard).label}: {reason}")
    else:
        say(f"up to date: {len(plan.current)}")


def _document(catalogue: Catalogue, plan: Plan) -> dict[str, Any]:
    """The plan for programs: what is to be made and why, what stands, and its failed checks."""

    def place(item: tuple[str, str | None]) -> dict[str, Any]:
        return {"asset": item[0], "shard": item[1]}

    to_make = [{**place(item), "why": reason} for item, reason in plan.items.items()]
    standing = []
    for item, meta in plan.current.items():
        checks = meta.checks if meta is not None else []
        failed = [one["check"] for one in checks if not one["passed"]]
        standing.append({**place(item), "failed_checks": failed})
    return {"to_make": to_make, "up_to_date": standing}


def _tell_standing(catalogue: Catalogue, plan: Plan) -> None:
    """Name the failed checks of what is up to date: nothing else would tell of them again."""
    from dcgan_assets.engine.dagster_assets import tell_failed

    for item, meta in plan.current.items():
        if meta is not None:
            tell_failed(catalogue.artefact(*item).label, meta)


def _bring_to_look_at(catalogue: Catalogue, chosen: Sequence[Step]) -> None:
    """Have networks and results here that other machines made; pictures come when read."""
    catalogue.store.bring(
        catalogue.artefact(key, shard)
        for step in chosen
        if step.kind != "data"
        for key in step.outputs
        for shard in catalogue.shards(step)
    )


def _name_report(catalogue: Catalogue, chosen: Sequence[Step]) -> None:
    """Say where the page is, as the last line, where it was asked for."""
    from dcgan_assets.assets.report.making import PAGE

    if PAGE in {step.key for step in chosen}:
        say(f"report: {_page_path(catalogue.workspace)}")


def _page_path(workspace: Workspace) -> Path:
    """Where the report's page is, once it is made."""
    from dcgan_assets.assets.report.making import PAGE, PAGE_FILE

    return workspace.root / "results" / PAGE / PAGE_FILE


def _conclude_standing(catalogue: Catalogue, chosen: Sequence[Step]) -> int:
    """Book what an earlier process made and was killed before it could book; the exit code."""
    from dcgan_assets.dvc.commit import publish_made

    if not publish_made(catalogue, ()):
        return 1
    _name_report(catalogue, chosen)
    return 0


def _conclude(catalogue: Catalogue, report: Report) -> int:
    from dcgan_assets.dvc.commit import publish_made

    made = {label.split("[")[0] for label in report.made}
    published = report.interrupted or publish_made(catalogue, made)
    for label, line in report.failed.items():
        say(f"FAILED {label}: {line}", wrong=True)
    if report.interrupted:
        say("interrupted; what was being trained is saved, the same command goes on", wrong=True)
        return INTERRUPTED
    for label in report.blocked:
        say(f"blocked {label}: something that it needs failed", wrong=True)
    if report.failed or report.blocked or not published:
        return 1
    results = catalogue.workspace.root / "results"
    say(f"done: {len(report.made)} made{_doubts(catalogue, report)}; look at {results}")
    say("open the graph with `dcgan ui` (in the checkout: `make ui`)")
    return 0


def _doubts(catalogue: Catalogue, report: Report) -> str:
    """How much of what was made has a failed check."""
    from dcgan_assets.engine.records import split_label

    failed = 0
    for label in report.made:
        meta = catalogue.store.meta(catalogue.artefact(*split_label(label)))
        failed += meta is not None and not all(one["passed"] for one in meta.checks)
    return f", {failed} of them with a failed check" if failed else ""
