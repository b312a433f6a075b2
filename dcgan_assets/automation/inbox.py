"""A sensor on a group's folder of pictures: enough new ones are read and trained on.

A sensor a group looks at the folder every minute. It acts when the folder has stood still for a
while, so that files which are still being written are left alone, and when enough pictures are
new, replaced or deleted. What is to be made next is found in the workspace itself, and the cursor
holds only what is not there; so a restart in between changes nothing. Names, sizes and times of
the pictures that `images` has read are no part of it: the sensor keeps them beside its cursor, in
Dagster's home, whenever it finds `images` up to date.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import numpy.typing as npt

from dcgan_assets.automation.schedules import (
    TrainedGroup,
    changed,
    reason_to_skip,
    retraining_request,
)
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.fingerprint import place_order, standing
from dcgan_assets.engine.planning import make_plan, with_ancestors
from dcgan_assets.engine.schedule import batches
from dcgan_assets.engine.step import Step
from dcgan_assets.params.pictures import GroupImages
from dcgan_assets.sources.folder import Folder
from dcgan_assets.sources.reading.items import forget_listings, key_hash
from dcgan_assets.sources.reading.manifest import MANIFEST_FILE
from dcgan_models.errors import UserError
from dcgan_models.files import open_atomic

States = npt.NDArray[np.int64]

INBOX_TAG = "dcgan/inbox"
STILL_SECONDS = 30.0
_LOOK_SECONDS = 60
_RUN_KEY_TAG = "dagster/run_key"
_UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


@dataclass(frozen=True)
class Seen:
    """What the sensor of an inbox remembers of the folder between two looks.

    Attributes:
        listing: Version of its names, sizes and times at the last look.
        since: Unix seconds of the first look that found it so.
        few: Which pictures were others, in words, where these were not enough.
        pending: Whether enough were, and are on their way to a candidate.
    """

    listing: str = ""
    since: float = 0.0
    few: str | None = None
    pending: bool = False

    @classmethod
    def read(cls, cursor: str | None) -> Seen:
        """What an earlier look wrote; nothing on the first one."""
        return cls(**json.loads(cursor)) if cursor else cls()

    def write(self) -> str:
        """The text that the sensor keeps, as its cursor, until the next look."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Look:
    """What the sensor found on one look at an inbox: runs to start, or why there are none."""

    seen: Seen
    reason: str = ""
    requests: tuple[dg.RunRequest, ...] = ()


@dataclass(frozen=True)
class Changes:
    """How many pictures of a folder are new, replaced or deleted since they were last read."""

    new: int = 0
    replaced: int = 0
    deleted: int = 0

    @property
    def total(self) -> int:
        """The number of all changes."""
        return self.new + self.replaced + self.deleted

    @property
    def words(self) -> str:
        """The changes in words: `3 new, 1 deleted pictures`."""
        counts = {name: count for name, count in vars(self).items() if count} or {"new": 0}
        return f"{', '.join(f'{count:,} {name}' for name, count in counts.items())} pictures"


@dataclass(frozen=True)
class Inbox:
    """The folder of a group, and the steps between it and the group's candidate.

    Attributes:
        images: The step that reads the folder.
        preparing: It and all that a retraining needs, in order.
    """

    group: TrainedGroup
    images: Step
    preparing: tuple[Step, ...]

    @property
    def name(self) -> str:
        """The name of the sensor."""
        return f"inbox_{self.group.name}"


def find_inboxes(catalogue: Catalogue, groups: Sequence[TrainedGroup]) -> list[Inbox]:
    """The inboxes of the groups whose pictures come from a folder."""
    found = []
    for group in groups:
        images = catalogue.by_key.get(f"{group.name}/images")
        section = catalogue.section(images) if images else None
        if images and isinstance(section, GroupImages) and section.source == "folder":
            retrained = {step.key for step in group.steps}
            steps = with_ancestors(catalogue, group.steps)
            preparing = tuple(step for step in steps if step.key not in retrained)
            found.append(Inbox(group, images, preparing))
    return found


# --- Jobs and sensors -----------------------------------------------------------------------


def inbox_jobs(catalogue: Catalogue, inbox: Inbox) -> dict[tuple[str | None, ...], Any]:
    """The jobs that read new pictures and deal the training set, by the shards that they run in."""
    jobs = {}
    for shards in dict.fromkeys(catalogue.shards(step) for step in inbox.preparing):
        keys = [
            dg.AssetKey.from_user_string(key)
            for step in inbox.preparing
            if catalogue.shards(step) == shards
            for key in step.outputs
        ]
        jobs[shards] = dg.define_asset_job(
            f"{inbox.name}_{'prepare' if shards == (None,) else 'read'}",
            selection=dg.AssetSelection.assets(*keys),
            description=f"What comes before a retraining of {inbox.group.name}.",
            tags={
                INBOX_TAG: inbox.group.name,
                "dagster/max_retries": str(inbox.group.rules.retries),
            },
        )
    return jobs


def inbox_sensor(catalogue: Catalogue, inbox: Inbox, jobs: Sequence[Any]) -> Any:
    """The sensor of an inbox, off until somebody switches it on."""

    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        found = look(catalogue, inbox, context.instance, Seen.read(context.cursor), time.time())
        return dg.SensorResult(
            run_requests=list(found.requests) or None,
            skip_reason=dg.SkipReason(found.reason) if found.reason else None,
            cursor=found.seen.write(),
        )

    return dg.SensorDefinition(
        name=inbox.name,
        jobs=list(jobs),
        evaluation_fn=evaluate,
        default_status=dg.DefaultSensorStatus.STOPPED,
        minimum_interval_seconds=_LOOK_SECONDS,
        description=f"Trains {inbox.group.name} anew when enough pictures in its folder changed.",
    )


# --- A look ---------------------------------------------------------------------------------


def look(
    catalogue: Catalogue, inbox: Inbox, instance: dg.DagsterInstance, seen: Seen, now: float
) -> Look:
    """Look at the folder and at the workspace, and say what is to be run next.

    Args:
        seen: From the last look.
        now: Unix seconds.
    """
    forget_listings()
    folder = _folder(catalogue, inbox)
    try:
        listing = folder.version(0, 1)
    except UserError as error:
        return Look(seen, str(error))
    if listing != seen.listing:
        seen = Seen(listing, now, pending=seen.pending)
    if now - seen.since < STILL_SECONDS:
        return Look(seen, "the folder has just changed; waiting until it stands still")
    if not seen.pending:
        if seen.few is None:
            known = _known_states(catalogue, inbox, folder)
            changes = compare_states(known, folder.states())
            enough = changes.total >= inbox.group.rules.inbox.enough(len(known))
            seen = replace(seen, pending=True) if enough else replace(seen, few=changes.words)
        if not seen.pending:
            return Look(seen, f"{seen.few} are too few to train anew")
    return _next(catalogue, inbox, instance, seen)


def _folder(catalogue: Catalogue, inbox: Inbox) -> Folder:
    section = catalogue.section(inbox.images)
    assert isinstance(section, GroupImages)  # noqa: S101  (as `find_inboxes` found it)
    root = catalogue.workspace.root
    return Folder(root / str(section.path), workspace=root)


def compare_states(known: States, now: States) -> Changes:
    """Count the pictures that are new, replaced or deleted between two looks at a folder.

    Args:
        known, now: int64 (n, 3), as `Folder.states` gives them; any order.
    """
    _, before, after = np.intersect1d(known[:, 0], now[:, 0], return_indices=True)
    replaced = (known[before, 1:] != now[after, 1:]).any(axis=1)
    return Changes(len(now) - len(after), int(replaced.sum()), len(known) - len(before))


def _known_states(catalogue: Catalogue, inbox: Inbox, folder: Folder) -> States:
    """The pictures that `images` has read, kept or rejected, as `Folder.states`."""
    if _is_read(catalogue, inbox):
        return _remember(catalogue, inbox, folder)
    path = _states_file(catalogue, inbox)
    if path.exists():
        remembered: States = np.load(path)
        return remembered
    return _states_on_record(catalogue, inbox, folder)


def _is_read(catalogue: Catalogue, inbox: Inbox) -> bool:
    """Whether all shards were made from the folder as it is now."""
    step = inbox.images
    orders = (place_order(catalogue, step, shard) for shard in catalogue.shards(step))
    return all(standing(catalogue, order) is not None for order in orders)


def _states_file(catalogue: Catalogue, inbox: Inbox) -> Path:
    return catalogue.workspace.dagster_home / "inbox" / f"{inbox.group.name}.npy"


def _remember(catalogue: Catalogue, inbox: Inbox, folder: Folder) -> States:
    states, path = folder.states(), _states_file(catalogue, inbox)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_atomic(path) as stream:
        np.save(stream, states)
    return states


def _states_on_record(catalogue: Catalogue, inbox: Inbox, folder: Folder) -> States:
    """What the manifests say was read, where the sensor has never found them up to date.

    They have no sizes and times: what was written since a shard was made counts as replaced.
    """
    import pyarrow.parquet as pq

    now = {int(state[0]): state for state in folder.states()}
    found = []
    for shard in catalogue.shards(inbox.images):
        artefact = catalogue.artefact(inbox.images.key, shard)
        meta = catalogue.store.meta(artefact)
        if meta is None:
            continue
        # The record has whole seconds.
        made = (datetime.fromisoformat(meta.created).timestamp() + 1) * 1e9
        path = catalogue.store.folder(artefact) / MANIFEST_FILE
        for key in pq.read_table(path, columns=["key"])["key"].to_pylist():
            number = int(np.uint64(key_hash(key)).view(np.int64))
            state = now.get(number)
            same = state is not None and state[2] <= made
            found.append(state if same else (number, -1, -1))
    return np.array(found, np.int64).reshape(-1, 3)


def _next(catalogue: Catalogue, inbox: Inbox, instance: dg.DagsterInstance, seen: Seen) -> Look:
    """The next runs on the way to a candidate, or that there is nothing left to do."""
    group = inbox.group
    at_work = instance.get_runs(
        dg.RunsFilter(tags={INBOX_TAG: group.name}, statuses=list(_UNFINISHED)), limit=1
    )
    if at_work:
        return Look(seen, f"run {at_work[0].run_id[:8]} is at work on them")
    if _is_read(catalogue, inbox):
        _remember(catalogue, inbox, _folder(catalogue, inbox))
    requests = tuple(_preparing_requests(catalogue, inbox, instance, seen))
    if requests:
        tried = _tried(instance, requests)
        if tried:
            return Look(seen, f"run {tried[:8]} has tried it; waiting for other pictures, or you")
        return Look(seen, requests=requests)
    done = replace(seen, pending=False, few=Changes().words)
    if not changed(catalogue, group):
        return Look(done, "the last candidate has seen them all")
    reason = reason_to_skip(catalogue, group, instance)
    if reason:
        return Look(seen, reason)
    return Look(done, requests=(retraining_request(catalogue, group, f"inbox {seen.listing}"),))


def _preparing_requests(
    catalogue: Catalogue, inbox: Inbox, instance: dg.DagsterInstance, seen: Seen
) -> Iterator[dg.RunRequest]:
    """The first of the runs that are still needed: one, or one a shard."""
    plan = make_plan(catalogue, instance, inbox.preparing)
    jobs = inbox_jobs(catalogue, inbox)
    first: tuple[Step, ...] | None = None
    for batch in batches(catalogue, plan):
        steps, shard = batch.steps, batch.shard
        first = first or steps
        if steps != first:
            return
        yield dg.RunRequest(
            run_key=f"{inbox.name}/{seen.listing}/{steps[0].key}/{shard}",
            job_name=jobs[catalogue.shards(steps[0])].name,
            asset_selection=[
                dg.AssetKey.from_user_string(key) for step in steps for key in step.outputs
            ],
            partition_key=catalogue.partition(steps[0], shard),
        )


def _tried(instance: dg.DagsterInstance, requests: Sequence[dg.RunRequest]) -> str | None:
    """The id of a run that was to do the same before: it failed, or it would not be needed."""
    for request in requests:
        runs = instance.get_runs(dg.RunsFilter(tags={_RUN_KEY_TAG: str(request.run_key)}), limit=1)
        if runs:
            return runs[0].run_id
    return None
