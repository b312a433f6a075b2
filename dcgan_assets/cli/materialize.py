"""`dcgan materialize` and `dcgan report`: the plan, what came of it, the exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dcgan_assets.cli.common import SEED, find_catalogue, names_argument, open_in_browser
from dcgan_assets.engine.terminal import say
from dcgan_assets.engine.workspace import Workspace
from dcgan_models.errors import UserError

if TYPE_CHECKING:
    import dagster as dg

    from dcgan_assets.engine.catalogue import Catalogue
    from dcgan_assets.engine.planning import Plan
    from dcgan_assets.engine.running import Report
    from dcgan_assets.engine.step import Step

_INTERRUPTED = 130


@dataclass(frozen=True)
class Request:
    """The arguments of `dcgan materialize`, under the names that click gives them."""

    names: tuple[str, ...] = ()
    partition: str | None = None
    only: bool = False
    force: bool = False
    seed: int | None = None
    dry_run: bool = False


@click.command()
@names_argument
@click.option("--partition", help="Only this shard of sharded assets.")
@click.option("--only", is_flag=True, help="No ancestors: fail where an input is missing.")
@click.option("--force", is_flag=True, help="Make again what is up to date (not its ancestors).")
@click.option("--seed", type=SEED, help="For a new training; else the stored seed is kept.")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@click.pass_obj
def materialize(root: Path | None, /, **request: Any) -> None:
    """Bring assets up to date, by key or group; everything without a name.

    Missing or stale ancestors come along. What failed blocks only what needs it, and the next
    call makes only that.
    """
    sys.exit(bring_up_to_date(find_catalogue(root), Request(**request)))


@click.command()
@click.option("--open", "opened", is_flag=True, help="Show it in the browser.")
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
    from dcgan_assets.engine.planning import choose_steps, with_ancestors
    from dcgan_assets.engine.running import run_plan

    chosen = choose_steps(catalogue, request.names)
    _check_partition(catalogue, chosen, request.partition)
    _check_seed(catalogue, chosen, request.seed)
    with open_instance(catalogue.workspace) as instance:
        for run_id in close_dead_runs(instance):
            say(f"closed run {run_id[:8]}: its process had died")
        steps = chosen if request.only else with_ancestors(catalogue, chosen)
        plan = _plan(catalogue, instance, steps, chosen, request)
        _print_plan(catalogue, plan)
        _tell_standing(catalogue, steps, plan)
        if request.dry_run:
            return 0
        if not plan.items:
            _name_report(catalogue, chosen)
            return 0
        report = run_plan(
            catalogue,
            instance,
            plan,
            say,
            seed=request.seed,
            forced={step.key for step in chosen if request.force},
        )
    code = _conclude(catalogue, report)
    if code == 0:
        _name_report(catalogue, chosen)
    return code


def _plan(
    catalogue: Catalogue,
    instance: dg.DagsterInstance,
    steps: Sequence[Step],
    chosen: Sequence[Step],
    request: Request,
) -> Plan:
    """What of the steps is missing or stale, and what of the chosen ones is to be made anyhow.

    Raises:
        UserError: Something that is not ours lies where one of them is to be made.
    """
    from dcgan_assets.engine.planning import make_plan

    seeded = request.seed is not None
    forced = {step.key for step in chosen if request.force or (seeded and step.seeded)}
    plan = make_plan(
        catalogue,
        instance,
        steps,
        named=request.names,
        shard=request.partition,
        forced=forced,
    )
    for step in (catalogue.by_key[key] for key in dict.fromkeys(key for key, _ in plan.items)):
        for key in step.outputs:
            catalogue.store.require_ours(key, step.kind)
    return plan


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
        say(f"plan: {len(plan.items)} to make, {plan.current} up to date")
        for (key, shard), reason in plan.items.items():
            say(f"  {catalogue.artefact(key, shard).label}: {reason}")
    else:
        say(f"up to date: {plan.current}")


def _tell_standing(catalogue: Catalogue, steps: Sequence[Step], plan: Plan) -> None:
    """Name the failed checks of what is up to date: nothing else would tell of them again."""
    from dcgan_assets.engine.dagster_assets import tell_failed

    for step in steps:
        for shard in catalogue.shards(step):
            if (step.key, shard) in plan.items:
                continue
            artefact = catalogue.artefact(step.key, shard)
            meta = catalogue.store.meta(artefact)
            if meta is not None:
                tell_failed(artefact.label, meta)


def _name_report(catalogue: Catalogue, chosen: Sequence[Step]) -> None:
    """Say where the page is, as the last line, where it was asked for."""
    from dcgan_assets.assets.report.making import PAGE

    if PAGE in {step.key for step in chosen}:
        say(f"report: {_page_path(catalogue.workspace)}")


def _page_path(workspace: Workspace) -> Path:
    """Where the report's page is, once it is made."""
    from dcgan_assets.assets.report.making import PAGE, PAGE_FILE

    return workspace.root / "results" / PAGE / PAGE_FILE


def _conclude(catalogue: Catalogue, report: Report) -> int:
    from dcgan_assets.releases.commit import publish_made

    made = {label.split("[")[0] for label in report.made}
    published = report.interrupted or publish_made(catalogue, made)
    for label, line in report.failed.items():
        say(f"FAILED {label}: {line}")
    if report.interrupted:
        say("interrupted; what was being trained is saved, the same command goes on")
        return _INTERRUPTED
    for label in report.blocked:
        say(f"blocked {label}: something that it needs failed")
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
