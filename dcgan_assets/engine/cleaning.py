"""`dcgan clean`: remove what was made in a workspace, and nothing else.

Published folders go by their records, the folders in which trainings worked and Dagster's home by
the names that only these give. What is left is named: downloads and answers of the web, which
others' servers would be asked for again, and whatever is not ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dcgan_assets.engine.publications import HISTORY, History
from dcgan_assets.engine.store import is_litter, recorded
from dcgan_models.files import (
    finished_name,
    is_building,
    is_folder,
    remove_built,
    remove_listed,
    tree_files,
)

TOPS = ("data", "models", "results")
_HOME = ".dagster_home"
HOME_LOCK = "home.lock"
_SHOWN = 5
# What the engine writes into a training's folder, beside what the training itself does.
_SESSION = re.compile(r"(session|invitation)\.json")
# What a run printed, below `storage/RUN`; what SQLite and we keep beside it.
_LOGS = re.compile(r"compute_logs/\w+\.(out|err|complete)(\.partial)?")
_RUN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DATABASE = re.compile(rf"(runs|index|schedules|{_RUN.pattern})\.db(-wal|-shm|-journal)?")


def work_files(folder: Path) -> list[str]:
    """The files of a training's folder that are its own, its configuration last; else none."""
    from dcgan_models.errors import UserError
    from dcgan_models.training import TrainConfig
    from dcgan_models.training.checkpoint import run_files

    try:
        TrainConfig.read(folder)
    except UserError:
        return []
    ours = [name for name in tree_files(folder) if _SESSION.fullmatch(finished_name(name))]
    return [*ours, *run_files(folder)]


def log_files(folder: Path) -> list[str]:
    """The files in which Dagster keeps what a run printed, of the run's folder."""
    return [name for name in tree_files(folder) if _LOGS.fullmatch(name)]


def database_files(folder: Path, stem: str | None = None) -> list[str]:
    """SQLite's files in a folder: all, or those of one database."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    found = sorted(name for name in names if _DATABASE.fullmatch(name))
    return [name for name in found if stem in (None, name.partition(".db")[0])]


def home_files(home: Path) -> list[str]:
    """The files of a Dagster home that Dagster and we write."""
    databases = [
        f"{place}/{name}"
        for place in ("history", "history/runs", "schedules")
        for name in database_files(home / place)
    ]
    logs = [
        f"storage/{run.name}/{name}"
        for run in sorted((home / "storage").glob("*-*"))
        if _RUN.fullmatch(run.name) and is_folder(run)
        for name in log_files(run)
    ]
    return [*databases, *logs, HOME_LOCK, "ui.lock", "dagster.yaml"]


def remove_made(root: Path) -> None:
    """Remove what was made below a root: artefacts, work in progress, locks, Dagster's records."""
    for place, key in _places(root):
        remove_listed(place, recorded(place, key))
    for top in (*TOPS, _HOME):
        for left in (root / top).glob("**/.*.part"):
            if is_building(left):
                remove_built(left)
    for folder in _folders(root / "runs", "*/*"):
        remove_listed(folder, work_files(folder))
    locks = root / "runs" / "locks"
    remove_listed(locks, [name for name in tree_files(locks) if name.endswith(".lock")])
    remove_listed(root / _HOME, home_files(root / _HOME))
    remove_listed((root / HISTORY).resolve(), History(root).files())
    for folder in (*_folders(root, "*/*"), *(root / name for name in (*TOPS, "runs"))):
        remove_listed(folder, ())


def _places(root: Path) -> Iterator[tuple[Path, str]]:
    """The folders in which an artefact or its shards can lie, with the asset's key."""
    for top in TOPS:
        for place in _folders(root / top, "*/*"):
            yield place.resolve(), f"{place.parent.name}/{place.name}"


def _folders(root: Path, pattern: str) -> list[Path]:
    return sorted(path for path in root.glob(pattern) if path.is_dir())


def clean(root: Path) -> Iterator[str]:
    """`remove_made`; what is left in its places, a line each."""
    remove_made(root)
    for top in (*TOPS, "runs", HISTORY, _HOME):
        left = [name for name in tree_files(root / top) if not is_litter(name)]
        if left:
            rest = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
            named = ", ".join(f"{top}/{name}" for name in left[:_SHOWN])
            yield f"left, not known as made here: {named}{rest}"
    yield "removed what was made here"
