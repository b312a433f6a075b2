"""`dcgan reproduce`: make a release again from its networks, and say how far it comes out the same.

Networks, and what else took a training, are pulled and compared with their records; so is what the
web once gave, where it is here. The rest, from the pictures to the last figure, is made anew in
`runs/reproduce`, with a Dagster home of its own: what is published, and what Dagster and DVC know
of it, stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock, Timeout

from dcgan_assets.dvc.agreement import Difference, compare_folders, grey_levels
from dcgan_assets.dvc.dvc_commands import has_dvc, run_dvc
from dcgan_assets.dvc.dvc_yaml import is_kept
from dcgan_assets.dvc.records import read_records
from dcgan_assets.dvc.register import is_whole, register_here
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.cleaning import remove_made
from dcgan_assets.engine.instance import open_instance
from dcgan_assets.engine.planning import choose_steps, in_order, make_plan
from dcgan_assets.engine.records import RECORDS, Entry, Record, split_label
from dcgan_assets.engine.results import CIRCUMSTANCES
from dcgan_assets.engine.running import run_plan
from dcgan_assets.engine.schedule import Report
from dcgan_assets.engine.step import PHOTOS, WEB, Step
from dcgan_assets.engine.store import META_FILE, Artefact, Meta
from dcgan_assets.engine.terminal import say
from dcgan_models.errors import UserError

_PLACE = Path("runs") / "reproduce"

Agreement = Literal["as released", "byte-equal", "close", "DIFFERENT", "DAMAGED", "NOT MADE"]
_BAD = ("DIFFERENT", "DAMAGED", "NOT MADE")


@dataclass(frozen=True)
class Reproduced:
    """How an artefact that was made again compares with the released one.

    Attributes:
        outcome: `as released` is pulled, and not made again. `close` is within the tolerance.
        detail: By how much it differs, or why it is not there.
        pictures: By how many grey levels each picture differs at most, where it was compared.
    """

    label: str
    outcome: Agreement
    detail: str = ""
    pictures: Mapping[str, float] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """All but the outcome, as the table has it."""
        unequal = {name: levels for name, levels in self.pictures.items() if levels}
        levels = [f"{name} by {most:g} grey levels" for name, most in unequal.items()]
        words = "; ".join(filter(None, (self.detail, ", ".join(levels))))
        return f"{self.label}{': ' if words else ''}{words}"

    def document(self) -> dict[str, Any]:
        """The same for programs; a difference that is no number is null."""
        pictures = {
            name: levels if math.isfinite(levels) else None
            for name, levels in self.pictures.items()
        }
        return {
            "asset": self.label,
            "outcome": self.outcome,
            "detail": self.detail,
            "grey_levels": pictures,
        }


def reproduce(catalogue: Catalogue, names: Sequence[str], tolerance: float) -> Iterator[str]:
    """`compare_again`, a line each; raises in the end as `require_reproduced` does."""
    found = compare_again(catalogue, names, tolerance)
    yield from _table(found)
    yield f"tolerance {tolerance:g}; made in {_PLACE.as_posix()}"
    require_reproduced(found)


def require_reproduced(found: Sequence[Reproduced]) -> None:
    """Raise `UserError` where something did not come out as it was released."""
    bad = [one for one in found if one.outcome in _BAD]
    if bad:
        raise UserError(f"{len(bad)} of {len(found)} are not as released")


def compare_again(catalogue: Catalogue, names: Sequence[str], tolerance: float) -> list[Reproduced]:
    """Pull a release, make it again and compare.

    Args:
        names: Keys or groups; everything without any.
        tolerance: By how much a number may differ, relative to itself or to 1, whichever is
            larger; and a pixel, as a share of 255 levels.

    Raises:
        UserError: There is no release, DVC failed, or another call is at work.
    """
    records = read_records(catalogue)
    chosen = [step for step in choose_steps(catalogue, names) if step.key in records]
    wanted = _cover(catalogue, chosen)
    if not wanted:
        about = f"{', '.join(names)}: " if names else ""
        raise UserError(f"{about}no records in {catalogue.workspace.root / RECORDS}; not released")
    place = catalogue.workspace.root / _PLACE
    _pull(catalogue, [step for step in wanted if step.key in records])
    say(register_here(catalogue, records).summary)
    with _held_alone(place):
        taken = [step for step in wanted if _is_taken(catalogue, step)]
        again = [step for step in wanted if step not in taken]
        found = [*_check_taken(catalogue, taken, records)]
        copy = Catalogue(catalogue.workspace, catalogue.steps, place)
        _link(catalogue, copy, [one.label for one in found if one.outcome == "as released"])
        report = _make_again(copy, again)
        found += _compare_all(catalogue, copy, again, records, report, tolerance)
    return found


def _table(found: Sequence[Reproduced]) -> Iterator[str]:
    """A line an artefact, and how many there are of each."""
    width = max(len(one.outcome) for one in found)
    for one in found:
        yield f"{one.outcome:{width}}  {one.line}"
    count = {outcome: sum(o.outcome == outcome for o in found) for outcome in get_args(Agreement)}
    yield ", ".join(f"{n} {outcome}" for outcome, n in count.items() if n)


def _is_taken(catalogue: Catalogue, step: Step) -> bool:
    """Whether a step's output is taken as it is: it took a training, or the web gave it."""
    if step.kind == "models" or step.seeded:
        return True
    shards = catalogue.shards(step)
    here = [catalogue.store.meta(catalogue.artefact(step.key, shard)) for shard in shards]
    return step.pool in {WEB, PHOTOS} and None not in here


def _cover(catalogue: Catalogue, chosen: Sequence[Step]) -> list[Step]:
    """The chosen steps and what they are made from, back to what is pulled."""
    wanted: dict[str, Step] = {}
    waiting = [step for step in chosen if not step.transient]
    while waiting:
        step = waiting.pop()
        if step.key not in wanted:
            wanted[step.key] = step
            if not _is_taken(catalogue, step):
                waiting += [catalogue.by_key[key] for key in step.inputs]
    return in_order(catalogue, wanted.values())


def _pull(catalogue: Catalogue, steps: Sequence[Step]) -> None:
    """Bring what a release gives away; pictures and tables are made again."""
    if not has_dvc(catalogue.workspace.root):
        return
    given = [step for step in steps if is_kept(catalogue, step) and step.kind != "data"]
    places = [catalogue.artefact(key).path.as_posix() for step in given for key in step.outputs]
    if places:
        # DVC would clear the way for what it brings.
        for step in given:
            for key in step.outputs:
                catalogue.store.require_ours(key, step.kind)
        say(f"dvc pull: {len(places)} assets")
        run_dvc(catalogue.workspace.root, "pull", *places)


@contextmanager
def _held_alone(place: Path) -> Iterator[None]:
    """Clear the place of what was made there before, and keep other calls from it."""
    locks = place.parent / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(locks / "reproduce.lock", timeout=0):
            remove_made(place)
            place.mkdir(exist_ok=True)
            yield
    except Timeout:
        raise UserError(f"{place}: another `dcgan reproduce` is at work") from None


def _check_taken(
    catalogue: Catalogue, steps: Sequence[Step], records: dict[str, Record]
) -> Iterator[Reproduced]:
    """Whether what is not made again is what was released, byte for byte."""
    for step in steps:
        for key in step.outputs:
            for entry in records[key].entries if key in records else ():
                artefact = catalogue.artefact(key, entry.shard)
                if not catalogue.store.folder(artefact).exists():
                    yield Reproduced(artefact.label, "NOT MADE", "it was not pulled")
                elif not _lies_here(catalogue, artefact, entry):
                    yield Reproduced(artefact.label, "DIFFERENT", "made here since the release")
                elif not is_whole(catalogue, artefact, entry):
                    yield Reproduced(artefact.label, "DAMAGED", "other bytes than were released")
                else:
                    yield Reproduced(artefact.label, "as released")


def _link(catalogue: Catalogue, copy: Catalogue, labels: Sequence[str]) -> None:
    """Give the copy what is taken as it is; what is damaged is not made use of."""
    for label in labels:
        artefact = catalogue.artefact(*split_label(label))
        with copy.store.writing(artefact) as staging:
            catalogue.store.keep(artefact, staging)
            meta = catalogue.store.require([artefact])[label]
            copy.store.publish(staging, artefact, meta)


def _make_again(copy: Catalogue, steps: Sequence[Step]) -> Report:
    with open_instance(copy.workspace, copy.store.root) as instance:
        plan = make_plan(copy, instance, steps)
        report = run_plan(copy, instance, plan, say)
    if report.interrupted:
        raise KeyboardInterrupt
    return report


def _compare_all(
    catalogue: Catalogue,
    copy: Catalogue,
    steps: Sequence[Step],
    records: dict[str, Record],
    report: Report,
    tolerance: float,
) -> Iterator[Reproduced]:
    for step in steps:
        for key in step.outputs:
            for entry in records[key].entries if key in records else ():
                artefact = catalogue.artefact(key, entry.shard)
                failed = report.failed.get(catalogue.artefact(step.key, entry.shard).label)
                if copy.store.meta(artefact) is None:
                    why = failed or "something that it needs is not there"
                    yield Reproduced(artefact.label, "NOT MADE", why)
                else:
                    yield _compare(catalogue, copy, artefact, entry, tolerance)


def _compare(
    catalogue: Catalogue, copy: Catalogue, artefact: Artefact, entry: Entry, tolerance: float
) -> Reproduced:
    """Hold what was made again against the record, and against what was pulled."""
    made = copy.store.require([artefact])[artefact.label]
    is_released = _lies_here(catalogue, artefact, entry)
    difference = None
    if is_released:
        difference = compare_folders(
            catalogue.store.folder(artefact),
            copy.store.folder(artefact),
            apart_from={META_FILE},
            ignored=CIRCUMSTANCES,
        )
    words = "" if difference is None else _words(difference)
    if made.data_version == entry.data_version:
        if difference is None:
            names = [name for name in made.files if name.endswith(".png")]
            return Reproduced(artefact.label, "byte-equal", pictures=dict.fromkeys(names, 0.0))
        return Reproduced(artefact.label, "DAMAGED", f"what is here is not its record's: {words}")
    changed = made.code_version != entry.code_version
    reason = "; its code or parameters changed since the release" if changed else ""
    if not is_released:
        words = "the released one is not here to compare with"
        return Reproduced(artefact.label, "DIFFERENT", words + reason)
    pictures = grey_levels(catalogue.store.folder(artefact), copy.store.folder(artefact))
    if difference is None or difference.size <= tolerance:
        words = words or "equal values in other bytes"
        return Reproduced(artefact.label, "close", words + reason, pictures)
    return Reproduced(artefact.label, "DIFFERENT", words + reason, pictures)


def _lies_here(catalogue: Catalogue, artefact: Artefact, entry: Entry) -> bool:
    """Whether what is published is what was released, be it whole or damaged."""
    folder = catalogue.store.folder(artefact)
    here = Meta.read(folder)
    return folder.exists() and (here is None or here.fingerprint == entry.fingerprint)


def _words(difference: Difference) -> str:
    """As `result.json: rows[0] (error): value: 0.31 and 0.29 (0.02)`."""
    size = "" if math.isinf(difference.size) else f" ({difference.size:.2g})"
    return f"{difference.place}: {difference.words}{size}"
