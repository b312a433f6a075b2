"""`dcgan gc`: removes work folders, run records, logs, publications beyond the retention settings.

Nothing that stands is looked at. Of the folders in which trainings worked, those stay that are at
work, that the candidate of today came from, or that are unfinished and could go on: with the code
and the pictures of today. Of Dagster's records those stay that show the latest state of
an asset, and those of a run that could go on. All else goes when it has rested for the days that
`retention` in params.yaml names. Answers of the web are never removed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from dcgan_assets.automation.schedules import trained_groups
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.cleaning import database_files, log_files, work_files
from dcgan_assets.engine.publications import HISTORY, History
from dcgan_assets.engine.run_folders import training_folders
from dcgan_models.errors import UserError
from dcgan_models.files import remove_file, remove_listed

_DAY = 86_400.0
_ROLES = ("generator", "discriminator")
KINDS = ("work folders", "run records", "run logs", "publications", "files of publications")


@dataclass(frozen=True)
class Waste:
    """A work folder, run record, log or publication that `dcgan gc` may remove.

    Attributes:
        kind: Of `KINDS`.
        name: For the user: a path, or the id of a run.
        size: Bytes on disk.
        remove: Removes it.
    """

    kind: str
    name: str
    size: int
    remove: Callable[[], None]


def find_waste(catalogue: Catalogue, instance: dg.DagsterInstance, now: float) -> list[Waste]:
    """The work folders, run records and logs that nobody needs and that are old enough to go.

    Args:
        now: Unix seconds.
    """
    retention = catalogue.workspace.params.retention
    folders = list(work_folders(catalogue))
    waste = [
        Waste("work folders", folder.label(catalogue), _size(folder.path), folder.remove)
        for folder in folders
        if not folder.needed and now - folder.touched > retention.work_days * _DAY
    ]
    seeds = {folder.seed for folder in folders if folder.unfinished and folder.needed}
    needed = _runs_on_show(catalogue, instance)
    for record in instance.get_run_records():
        run = record.dagster_run
        rested = now - (record.end_time or record.update_timestamp.timestamp())
        if not run.is_finished:
            continue
        spare = run.run_id not in needed and not (seeds & _seeds(run.run_config))
        if spare and rested > retention.run_days * _DAY:
            waste.append(_record(catalogue, instance, run.run_id))
        elif rested > retention.log_days * _DAY:
            waste += _logs(catalogue, run.run_id)
    return waste


# --- Work folders ---------------------------------------------------------------------------


@dataclass(frozen=True)
class WorkFolder:
    """A folder below `runs/` in which a training works.

    Attributes:
        seed: Of the training.
        unfinished: Whether it has not come to its end.
        needed: Whether something published or resumable hangs on it.
        touched: Unix seconds of the last change in it.
    """

    path: Path
    seed: int
    unfinished: bool
    needed: bool
    touched: float

    def label(self, catalogue: Catalogue) -> str:
        """Its path in the workspace, and how far it came."""
        place = self.path.relative_to(catalogue.workspace.root).as_posix()
        return f"{place} ({'unfinished' if self.unfinished else 'finished'}, seed {self.seed})"

    def remove(self) -> None:
        """Remove what the training wrote; raise `UserError` where one is at work in it.

        What else lies there stays.
        """
        from dcgan_models.training.checkpoint import run_lock

        with run_lock(self.path):
            remove_listed(self.path, work_files(self.path))


def work_folders(catalogue: Catalogue) -> Iterator[WorkFolder]:
    """The folders below `runs/` that hold a training; others are none of our business."""
    data, candidates = _data_versions(catalogue), _candidate_seeds(catalogue)
    for group in sorted((catalogue.workspace.root / "runs").glob("*")):
        for run in training_folders(group):
            path, config = run.run_dir, run.config
            done = all((path / "result" / role).is_dir() for role in _ROLES)
            of_today = run.same_code and config.data_version in data
            yield WorkFolder(
                path,
                config.seed,
                unfinished=not done,
                needed=of_today and (not done or (group.name, config.seed) in candidates),
                touched=max(file.lstat().st_mtime for file in path.rglob("*")),
            )


def _data_versions(catalogue: Catalogue) -> set[str]:
    """Versions of all data sets that are published."""
    artefacts = [
        catalogue.artefact(key, shard)
        for key, step in catalogue.by_key.items()
        if step.kind == "data"
        for shard in catalogue.shards(step)
    ]
    metas = [catalogue.store.meta(artefact) for artefact in artefacts]
    return {meta.data_version for meta in metas if meta}


def _candidate_seeds(catalogue: Catalogue) -> set[tuple[str, int | None]]:
    """Group and seed of the candidates of today: judged by other bounds, they are read again."""
    found = set()
    for group in trained_groups(catalogue):
        for step in group.trainings:
            meta = catalogue.store.meta(catalogue.artefact(step.key))
            if meta:
                found.add((group.name, meta.seed))
    return found


# --- Dagster's records and logs -------------------------------------------------------------


def _runs_on_show(catalogue: Catalogue, instance: dg.DagsterInstance) -> set[str]:
    """Runs whose records are the latest of an asset, of a shard of it, or of a check."""
    needed: set[str] = set()
    for key, step in catalogue.by_key.items():
        asset = dg.AssetKey.from_user_string(key)
        for shard in catalogue.shards(step):
            partition = catalogue.partition(step, shard)
            partitions = [partition] if partition is not None else None
            found = instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=asset, asset_partitions=partitions), limit=1
            ).records
            needed.update(record.event_log_entry.run_id for record in found)
        for check in step.checks if key == step.key else ():
            latest = instance.get_latest_asset_check_evaluation_record(
                dg.AssetCheckKey(asset, check.name)
            )
            if latest is not None:
                needed.add(latest.run_id)
    return needed


def _seeds(run_config: Any) -> set[int]:
    """The seeds that a run was given."""
    ops = run_config.get("ops") or {}
    configs = [op.get("config") or {} for op in ops.values()]
    return {config["seed"] for config in configs if config.get("seed") is not None}


def _record(catalogue: Catalogue, instance: dg.DagsterInstance, run_id: str) -> Waste:
    """A run's record, events and logs."""
    home = catalogue.workspace.dagster_home
    history, logs = home / "history" / "runs", home / "storage" / run_id
    events = database_files(history, run_id)

    def remove() -> None:
        instance.delete_run(run_id)
        remove_listed(logs, log_files(logs))
        for name in events:
            remove_file(history / name)

    size = sum((history / name).stat().st_size for name in events) + _size(logs)
    return Waste("run records", run_id, size, remove)


def _logs(catalogue: Catalogue, run_id: str) -> list[Waste]:
    """What a run printed, if it is still there."""
    folder = catalogue.workspace.dagster_home / "storage" / run_id

    def remove() -> None:
        # Dagster itself would remove the folder with all that is in it.
        remove_listed(folder, log_files(folder))

    return [Waste("run logs", run_id, _size(folder), remove)] if log_files(folder) else []


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# --- The history of published networks ------------------------------------------------------


def history_waste(catalogue: Catalogue) -> list[Waste]:
    """Publications beyond the last ones, and the files that no other one names.

    Raises:
        UserError: A publication cannot be read; nobody knows then which files it needs.
    """
    history = History(catalogue.store.root)
    outlived = history.outlived(catalogue.workspace.params.retention.publications)
    waste = [Waste("publications", one.label, 0, partial(history.remove, one)) for one in outlived]
    objects = history.unnamed(outlived)
    if objects:
        name = f"{len(objects)} files in {HISTORY} that no publication names"
        waste.append(Waste("files of publications", name, sum(objects.values()), history.sweep))
    return waste


# --- The command ----------------------------------------------------------------------------


def clear(catalogue: Catalogue, instance: dg.DagsterInstance, *, dry_run: bool) -> Iterator[str]:
    """Remove what `find_waste` found; what was removed, a line each.

    Args:
        dry_run: Remove nothing, only say what would go.
    """
    waste = find_waste(catalogue, instance, time.time())
    try:
        waste += history_waste(catalogue)
    except UserError as error:
        yield f"kept {HISTORY}: {error}"
    freed: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for one in waste:
        try:
            if not dry_run:
                one.remove()
        except (UserError, OSError) as error:
            yield f"kept {one.name}: {error}"
            continue
        freed[one.kind].append(one.size)
        yield f"{'would remove' if dry_run else 'removed'} {one.name}, {_human(one.size)}"
    words = [
        f"{len(sizes)} {kind} ({_human(sum(sizes))})" for kind, sizes in freed.items() if sizes
    ]
    yield f"{'would free' if dry_run else 'freed'}: {', '.join(words) or 'nothing'}"


def _human(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
