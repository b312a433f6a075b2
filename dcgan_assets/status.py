"""`dcgan status`: one table of what is stale, not booked in DVC, not pushed, unknown to Dagster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg

from dcgan_assets.dvc_bridge import is_kept, stage_name
from dcgan_assets.dvc_commands import has_dvc, read_dvc
from dcgan_assets.instance import prepare_home
from dcgan_assets.materialize import ABSENT, UNRECORDED, Plan, choose_steps, make_plan
from dcgan_assets.records import RECORDS
from dcgan_assets.register import rebuild_hint
from dcgan_assets.steps import Catalogue, Step
from dcgan_assets.text_tables import aligned
from dcgan_models.errors import UserError

_HEADER = ("asset", "DVC", "remote", "Dagster", "to make")


@dataclass(frozen=True)
class State:
    """Where an asset stands; everything empty where it is in order.

    Attributes:
        stale: Why it would be made again.
        uncommitted: It is not what dvc.lock says.
        unpushed: dvc.lock says something that the remote lacks.
        unregistered: Dagster does not know what is on disk.
    """

    key: str
    stale: str = ""
    uncommitted: bool = False
    unpushed: bool = False
    unregistered: bool = False

    @property
    def cells(self) -> tuple[str, ...]:
        """The asset's row in the table."""
        return (
            self.key,
            "uncommitted" if self.uncommitted else "",
            "unpushed" if self.unpushed else "",
            "unregistered" if self.unregistered else "",
            self.stale,
        )


@dataclass(frozen=True)
class _Books:
    """What DVC says: changes by stage, outputs that the remote lacks, and what it could not say."""

    changed: dict[str, Any]
    unpushed: set[str]
    complaint: str = ""


def status_lines(catalogue: Catalogue) -> list[str]:
    """The table, of what is not in order alone, and a line on the rest."""
    books = _read_books(catalogue)
    states = list(survey(catalogue, books.changed, books.unpushed))
    odd = [state for state in states if state != State(state.key)]
    lines = aligned([_HEADER, *(state.cells for state in odd)]) if odd else []
    lines.append(f"{len(states) - len(odd)} of {len(states)} assets in order")
    return [*lines, f"note: {books.complaint}"] if books.complaint else lines


def survey(catalogue: Catalogue, changed: dict[str, Any], unpushed: set[str]) -> Iterator[State]:
    """Where every asset stands, optional ones left out.

    Args:
        changed: From `dvc status --json`.
        unpushed: Outputs that the remote lacks.
    """
    steps = choose_steps(catalogue, ())
    prepare_home(catalogue.workspace)
    with dg.DagsterInstance.get() as instance:
        plan = make_plan(catalogue, instance, steps)
    for step in steps:
        reasons = {reason for (key, _), reason in plan.items.items() if key == step.key}
        stale = _why(catalogue, step, plan) if reasons - {UNRECORDED} else ""
        for key in step.outputs:
            place = catalogue.artefact(key).path.as_posix()
            yield State(
                key,
                stale=stale,
                uncommitted=_is_uncommitted(changed.get(stage_name(step), []), place, stale),
                unpushed=place in unpushed,
                unregistered=UNRECORDED in reasons,
            )


def _why(catalogue: Catalogue, step: Step, plan: Plan) -> str:
    """Why a step would be made, by its first shard that would."""
    shards = catalogue.shards(step)
    found = [plan.items[step.key, s] for s in shards if (step.key, s) in plan.items]
    reason = next(reason for reason in found if reason != UNRECORDED)
    released = (catalogue.workspace.root / RECORDS / f"{step.key}.json").exists()
    if reason == ABSENT and released and not is_kept(catalogue, step):
        reason = f"not kept by DVC; rebuild with {rebuild_hint(step.key)}"
    return reason if len(shards) == 1 else f"{len(found)} of {len(shards)} shards: {reason}"


def _is_uncommitted(changes: list[Any], place: str, stale: str) -> bool:
    """Whether an output is not as booked, or was made of inputs that are not as booked."""
    outs = {path: how for change in changes for path, how in _changed_outs(change)}
    if place in outs:
        return bool(outs[place] != "deleted")
    # Of something stale the inputs have changed, of course.
    return bool(changes) and not outs and not stale


def _changed_outs(change: Any) -> list[tuple[str, str]]:
    return list(change.get("changed outs", {}).items()) if isinstance(change, dict) else []


def _read_books(catalogue: Catalogue) -> _Books:
    """Ask DVC; where it cannot tell, the rest of the table stands."""
    root = catalogue.workspace.root
    if not has_dvc(root):
        return _Books({}, set(), f"{root} is not under DVC")
    try:
        changed = read_dvc(root, "status")
        missing = read_dvc(root, "data", "status", "--not-in-remote").get("not_in_remote", [])
        return _Books(changed, {str(path).rstrip("/") for path in missing})
    except UserError as error:
        return _Books({}, set(), f"DVC's columns are missing: {error}")
