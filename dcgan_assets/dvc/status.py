"""`dcgan status`: one table of what is stale, not booked in DVC, not pushed, unknown to Dagster.

In a clone the pictures are not there, because no remote keeps them. What was made of them is not
stale for that: where the record of the release says that a picture asset would come out as it
was, the record stands for it, as it does in the web UI.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tabulate import tabulate

from dcgan_assets.dvc.dvc_commands import has_dvc, read_status
from dcgan_assets.dvc.dvc_settings import dvc_top
from dcgan_assets.dvc.dvc_yaml import is_kept, known_stages, stage_name
from dcgan_assets.dvc.records import read_records
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.instance import open_instance
from dcgan_assets.engine.planning import UNRECORDED, Plan, choose_steps, make_plan
from dcgan_assets.engine.records import Record
from dcgan_assets.engine.step import Step
from dcgan_assets.engine.store import Artefact, Meta, Store
from dcgan_models.errors import UserError

_HEADER = ("asset", "DVC", "remote", "Dagster", "to make")


@dataclass(frozen=True)
class State:
    """What is out of order with an asset; everything empty where nothing is.

    Attributes:
        stale: Why it would be made again.
        uncommitted: It is not what dvc.lock says.
        unpushed: dvc.lock says something that the remote lacks.
        unregistered: Dagster does not know what is on disk, or was released.
        away: It is not here and not kept by DVC; what was released stands for it. That is in
            order.
    """

    key: str
    stale: str = ""
    uncommitted: bool = False
    unpushed: bool = False
    unregistered: bool = False
    away: bool = False

    @property
    def in_order(self) -> bool:
        """Whether there is nothing to do."""
        return not any(self.cells[1:])

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


@dataclass(frozen=True)
class Standing:
    """Where a workspace stands: every asset, and what could not be asked."""

    states: tuple[State, ...]
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """The table, of what is not in order alone, and a line on the rest."""
        odd = [state for state in self.states if not state.in_order]
        rows = [state.cells for state in odd]
        table = tabulate(rows, _HEADER, tablefmt="plain", disable_numparse=True)
        lines = table.splitlines() if odd else []
        lines.append(f"{len(self.states) - len(odd)} of {len(self.states)} assets in order")
        away = [state.key for state in self.states if state.away]
        if away:
            lines.append(
                f"{len(away)} not here, as DVC does not keep them; rebuild with "
                f"`dcgan materialize KEY`: {', '.join(away)}"
            )
        return [*lines, *(f"note: {note}" for note in self.notes)]

    def document(self) -> dict[str, Any]:
        """The same for programs, of all assets."""
        assets = [{**asdict(state), "in_order": state.in_order} for state in self.states]
        return {"assets": assets, "notes": list(self.notes)}


def read_standing(catalogue: Catalogue) -> Standing:
    """Ask Dagster, DVC and the records where every asset stands."""
    records: dict[str, Record] = {}
    notes = []
    # DVC answers in a process of its own, and meanwhile the plan is made here.
    with ThreadPoolExecutor(1) as beside:
        asked = beside.submit(_read_books, catalogue)
        try:
            records = read_records(catalogue)
        except UserError as error:
            notes.append(f"what was released is not known: {error}")
        seen = _look(catalogue, records)
        books = asked.result()
    if books.complaint:
        notes.insert(0, books.complaint)
    states = _states(catalogue, seen, books.changed, books.unpushed)
    return Standing(tuple(states), tuple(notes))


class _ReleasedStore(Store):
    """The artefacts of a workspace; of those that no remote keeps, and are absent, the records."""

    def __init__(self, catalogue: Catalogue, records: Mapping[str, Record]) -> None:
        super().__init__(catalogue.store.root, catalogue.store.exchange)
        self._records = {
            key: record
            for key, record in records.items()
            if not (catalogue.by_key[key].transient or is_kept(catalogue, catalogue.by_key[key]))
        }

    def meta(self, artefact: Artefact) -> Meta | None:
        """What is published, or was released where there is nothing."""
        return self.stand_in(artefact) or super().meta(artefact)

    def stand_in(self, artefact: Artefact) -> Meta | None:
        """What the records say of something that is not here."""
        record = self._records.get(artefact.key)
        entry = record.entry(artefact.shard) if record is not None else None
        if entry is None or self.folder(artefact).exists():
            return None
        return entry.meta(artefact.key)


def survey(
    catalogue: Catalogue,
    records: Mapping[str, Record],
    changed: Mapping[str, Any],
    unpushed: Collection[str],
) -> Iterator[State]:
    """Where every asset stands, optional ones left out.

    Args:
        records: What was released.
        changed: From `dvc status --json`.
        unpushed: Outputs that the remote lacks.
    """
    return _states(catalogue, _look(catalogue, records), changed, unpushed)


@dataclass(frozen=True)
class _Seen:
    """What is there, or was released, and what of it would be made again."""

    steps: list[Step]
    store: _ReleasedStore
    plan: Plan


def _look(catalogue: Catalogue, records: Mapping[str, Record]) -> _Seen:
    steps = choose_steps(catalogue, ())
    seen = Catalogue(catalogue.workspace, catalogue.steps)
    seen.store = store = _ReleasedStore(catalogue, records)
    with open_instance(catalogue.workspace) as instance:
        return _Seen(steps, store, make_plan(seen, instance, steps))


def _states(
    catalogue: Catalogue, seen: _Seen, changed: Mapping[str, Any], unpushed: Collection[str]
) -> Iterator[State]:
    store, plan = seen.store, seen.plan
    for step in seen.steps:
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
                away=not stale
                and any(store.stand_in(catalogue.artefact(key, s)) for s in catalogue.shards(step)),
            )


def _why(catalogue: Catalogue, step: Step, plan: Plan) -> str:
    """Why a step would be made, by its first shard that would."""
    shards = catalogue.shards(step)
    found = [plan.items[step.key, s] for s in shards if (step.key, s) in plan.items]
    reason = next(reason for reason in found if reason != UNRECORDED)
    return reason if len(shards) == 1 else f"{len(found)} of {len(shards)} shards: {reason}"


def _is_uncommitted(changes: list[Any], place: str, stale: str) -> bool:
    """Whether an output is not as booked, or was made of inputs that are not as booked."""
    outs = {path: how for change in changes for path, how in _changed_outs(change)}
    if place in outs:
        return bool(outs[place] != "deleted")
    # Of something stale the inputs have changed, of course.
    return not (all(map(_is_absence, changes)) or outs or stale)


def _is_absence(change: Any) -> bool:
    """Whether files are only not here: what was made of them is as booked."""
    if not isinstance(change, dict):
        return False
    return all(how == "deleted" for paths in change.values() for how in paths.values())


def _changed_outs(change: Any) -> list[tuple[str, str]]:
    return list(change.get("changed outs", {}).items()) if isinstance(change, dict) else []


def _without_stage(catalogue: Catalogue) -> dict[str, Any]:
    """What was made and has no stage, as `dvc status` would say it if there was one."""
    known = known_stages(catalogue.workspace.root)
    steps = [s for s in catalogue.steps if s.has_stage and stage_name(s) not in known]
    found = {}
    for step in steps:
        places = [catalogue.artefact(key).path for key in step.outputs]
        new = [place for place in places if (catalogue.workspace.root / place).exists()]
        if new:
            changes = {place.as_posix(): "new" for place in new}
            found[stage_name(step)] = [{"changed outs": changes}]
    return found


def _of_ours(root: Path, places: Collection[str]) -> Iterator[str]:
    """Of outputs, as seen from the top of the DVC repository, a workspace's own as it sees them."""
    below = root.resolve().relative_to(dvc_top(root).resolve())
    for place in map(PurePosixPath, places):
        if place.is_relative_to(below):
            yield place.relative_to(below).as_posix()


def _read_books(catalogue: Catalogue) -> _Books:
    """Ask DVC; where it cannot tell, the rest of the table stands."""
    root = catalogue.workspace.root
    if not has_dvc(root):
        return _Books({}, set(), f"{root} is not under DVC")
    try:
        without = _without_stage(catalogue)  # first: it says best what of the files is broken
        changed, missing = read_status(root)
        return _Books(without | changed, set(_of_ours(root, missing)))
    except UserError as error:
        return _Books({}, set(), f"DVC's columns are missing: {error}")
