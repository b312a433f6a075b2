"""The schedule of a plan: which steps are one run, what each waits for, and what came of them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.planning import PERHAPS, Plan, stood_in
from dcgan_assets.engine.step import Step

Say = Callable[[str], None]
_Item = tuple[str, str | None]


@dataclass(frozen=True)
class Batch:
    """Steps of one group that are made in one run, of one shard where they are sharded."""

    steps: tuple[Step, ...]
    shard: str | None

    @property
    def items(self) -> tuple[_Item, ...]:
        """Key and shard of each step."""
        return tuple((step.key, self.shard) for step in self.steps)

    @property
    def pool(self) -> str | None:
        """The pool in which the run needs a place; only its first step may (see `batches`)."""
        return self.steps[0].pool


@dataclass(frozen=True)
class Outcome:
    """What came of a batch's steps, by key; those that it does not name were not run.

    Attributes:
        made: Those that ran.
        failed: Those that did not, with the one line that says why.
        interrupted: Whether the run was ended by somebody.
    """

    made: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False


@dataclass
class Report:
    """What `dcgan materialize` made, what failed, and what was not run because of that.

    Attributes:
        made: Labels that ran.
        failed: Labels with the one line that says why.
        blocked: Labels that were not run because of them.
    """

    made: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: list[str] = field(default_factory=list)
    interrupted: bool = False


class Schedule:
    """The batches of a plan, given out as soon as all that they read has been tried.

    Of those that can be run, the one after which the longest way is left goes first: else a long
    group would be alone at work at the end. Of a pool one batch at a time is given out: another
    one would wait for its place.

    Args:
        roomy: Pools with a place for everybody.

    Attributes:
        report: What has come of them so far.
    """

    def __init__(
        self, catalogue: Catalogue, plan: Plan, say: Say, roomy: Collection[str] = ()
    ) -> None:
        self.report = Report()
        self._catalogue, self._plan, self._say = catalogue, plan, say
        self._roomy, self._taken = roomy, set[str | None]()
        ways = _ways(catalogue, plan)
        in_order = sorted(batches(catalogue, plan), key=lambda batch: -ways[batch.steps[0].key])
        self._waiting = [(batch, self._reads(batch)) for batch in in_order]
        self._open = set(plan.items)  # neither made nor given up
        self._stopped: set[_Item] = set()

    def next_batch(self) -> Batch | None:
        """The batch to be run now, with what of it still has a reason.

        None where there is none; while others are at work, ask again when one of them has ended.
        """
        at = 0
        while at < len(self._waiting):
            batch, read = self._waiting[at]
            if not self._open.isdisjoint(read) or batch.pool in self._taken:
                at += 1
                continue
            del self._waiting[at]
            if ready := self._ready(batch):
                self._taken |= {batch.pool} - {None, *self._roomy}
                return Batch(ready, batch.shard)
            at = 0  # what was not needed is no longer waited for
        return None

    def finish(self, batch: Batch, outcome: Outcome) -> None:
        """Book what came of a batch that was given out."""
        for step in batch.steps:
            label = self._label(step, batch)
            if step.key in outcome.made:
                self.report.made.append(label)
            elif step.key in outcome.failed:
                self.report.failed[label] = outcome.failed[step.key]
            elif not outcome.interrupted:
                self.report.blocked.append(label)
        self._stopped |= {item for item in batch.items if item[0] not in outcome.made}
        self._open -= set(batch.items)
        self._taken.discard(batch.pool)
        self.report.interrupted |= outcome.interrupted

    def _ready(self, batch: Batch) -> tuple[Step, ...]:
        """The steps of a batch that still have a reason and their inputs; the others are done."""
        ready = []
        for step in batch.steps:
            item = (step.key, batch.shard)
            # A clone has pulled the networks, and has just made the pictures again.
            if self._plan.items[item] == PERHAPS and stood_in(self._catalogue, step):
                self._say(f"{step.key}: not needed, its inputs came out the same")
                self._open.discard(item)
            elif _read_items(self._catalogue, step, batch.shard, step.inputs) & self._stopped:
                self._stopped.add(item)
                self._open.discard(item)
                self.report.blocked.append(self._label(step, batch))
            else:
                ready.append(step)
        return tuple(ready)

    def _reads(self, batch: Batch) -> set[_Item]:
        """What a batch reads that is not of its own making, of what is there or may be."""
        read: set[_Item] = set()
        for step in batch.steps:
            keys = (*step.inputs, *step.if_there)
            read |= _read_items(self._catalogue, step, batch.shard, keys)
        return read - set(batch.items)

    def _label(self, step: Step, batch: Batch) -> str:
        return self._catalogue.artefact(step.key, batch.shard).label


def batches(catalogue: Catalogue, plan: Plan) -> list[Batch]:
    """Steps of a group with the same shards, as one run each (one a shard).

    A step joins the run before it in its group where it does not have to wait for anything that
    the run would not wait for without it.
    """
    runs: list[tuple[list[Step], list[str | None]]] = []
    last: dict[str, int] = {}
    above = _above(catalogue, plan)
    for key in dict.fromkeys(key for key, _ in plan.items):
        step = catalogue.by_key[key]
        shards = [shard for other, shard in plan.items if other == key]
        # Whether it is needed is known when what is before it has run; and its place in a pool is
        # waited for before its run begins.
        waits = plan.items[key, shards[0]] == PERHAPS or step.pool is not None
        joined = runs[last[step.group]] if step.group in last else None
        if (
            joined
            and not waits
            and joined[1] == shards
            and _fits(catalogue, step, joined[0], above)
        ):
            joined[0].append(step)
        else:
            last[step.group] = len(runs)
            runs.append(([step], shards))
    return [Batch(tuple(steps), shard) for steps, shards in runs for shard in shards]


def _fits(
    catalogue: Catalogue, step: Step, run: list[Step], above: dict[str, frozenset[str]]
) -> bool:
    """Whether a step reads nothing later than a run's first step does, or what the run makes.

    What reads something if it is there has a run of its own: Dagster skips it where that fails in
    the same run. And the shards are those of the same number.
    """
    made = {other.key for other in run}
    return (
        catalogue.shards(run[0]) == catalogue.shards(step)
        and above[step.key] <= above[run[0].key] | made
        and not made & {catalogue.by_key[key].key for key in step.if_there}
    )


def _above(catalogue: Catalogue, plan: Plan) -> dict[str, frozenset[str]]:
    """All steps of a plan that each of them comes after."""
    planned = {key for key, _ in plan.items}
    above: dict[str, frozenset[str]] = {}
    for key in dict.fromkeys(key for key, _ in plan.items):
        direct = _read_steps(catalogue, catalogue.by_key[key]) & planned
        above[key] = frozenset(direct).union(*(above[other] for other in direct))
    return above


def _ways(catalogue: Catalogue, plan: Plan) -> dict[str, int]:
    """Of each step, how many of the plan there are on the longest way from it to the end."""
    keys = list(dict.fromkeys(key for key, _ in plan.items))
    ways = dict.fromkeys(keys, 1)
    for key in reversed(keys):  # what reads a step comes after it
        for read in _read_steps(catalogue, catalogue.by_key[key]) & ways.keys():
            ways[read] = max(ways[read], ways[key] + 1)
    return ways


def _read_steps(catalogue: Catalogue, step: Step) -> set[str]:
    """Keys of the steps that a step reads something of, if it is there."""
    return {catalogue.by_key[key].key for key in (*step.inputs, *step.if_there)}


def _read_items(
    catalogue: Catalogue, step: Step, shard: str | None, keys: tuple[str, ...]
) -> set[_Item]:
    """Key of the step, and shard, of what a step reads of some keys."""
    read = catalogue.read_by(step, shard)
    return {
        (catalogue.by_key[artefact.key].key, artefact.shard)
        for key in keys
        for artefact in read[key]
    }
