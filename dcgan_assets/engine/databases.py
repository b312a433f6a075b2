"""Dagster's databases, in SQLite: each is whole, or made anew where nothing was ever kept in it.

Dagster makes a database where it is to lie, in a dozen transactions. The half of one that a killed
process leaves, or two at once make, it then takes for one of an old version. So they are made here:
beside their place, by one process at a time, and they get their names once they are whole.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from dagster._core.instance.ref import InstanceRef
from filelock import FileLock

from dcgan_assets.engine.cleaning import HOME_LOCK, database_files
from dcgan_models.errors import UserError
from dcgan_models.files import flush_tree, give_name, no_record, remove_listed, staged

# What Dagster itself writes into a database that it makes; all else is somebody's record.
_BOOKKEEPING = {"alembic_version", "secondary_indexes", "instance_info"}


class _Database(NamedTuple):
    """Where one of Dagster's stores keeps its records.

    Attributes:
        make: Makes it in a folder, under its name.
        steps: What Dagster notes in it, one after the other, once its tables are there.
    """

    path: Path
    make: Callable[[str], Any]
    steps: frozenset[str]


def require_addressable(home: Path) -> None:
    """Refuse a path that ends elsewhere in the address that Dagster makes of it for SQLite.

    Raises:
        UserError: It has a question mark in it.
    """
    if "?" in str(home):
        raise UserError(
            f"{str(home.parent)!a}: Dagster cannot keep records below a folder with a question "
            "mark in its name; choose another name"
        )


def make_whole(home: Path) -> None:
    """Make the databases of a Dagster home that are absent, and empty ones that are not whole.

    One that holds a record is never touched. Where they lie is said by the home's dagster.yaml;
    what is not SQLite is left to Dagster.

    Raises:
        OSError, sqlite3.Error, sqlalchemy.exc.DBAPIError: One cannot be read or made.
        dagster.DagsterError: Dagster cannot use the dagster.yaml.
    """
    _read_revisions_once()
    _keep_engines()
    databases = list(_databases(home))
    if all(map(_stands, databases)):
        return
    # Others wait here, and then find what this process has made.
    with FileLock(home / HOME_LOCK):
        for database in databases:
            if not _stands(database):
                _make(database)


def _databases(home: Path) -> Iterator[_Database]:
    from dagster._core.storage.event_log import SqliteEventLogStorage
    from dagster._core.storage.event_log import migration as of_events
    from dagster._core.storage.runs import SqliteRunStorage
    from dagster._core.storage.runs import migration as of_runs
    from dagster._core.storage.schedules import SqliteScheduleStorage
    from dagster._core.storage.schedules import migration as of_schedules

    where = InstanceRef.from_dir(str(home))
    kinds: list[tuple[Any, str, Callable[[str], Any], Collection[str]]] = [
        (
            where.run_storage_data,
            "runs.db",
            SqliteRunStorage.from_local,
            {*of_runs.REQUIRED_DATA_MIGRATIONS, *of_runs.OPTIONAL_DATA_MIGRATIONS},
        ),
        (
            where.event_storage_data,
            "index.db",
            SqliteEventLogStorage,
            {*of_events.EVENT_LOG_DATA_MIGRATIONS, *of_events.ASSET_DATA_MIGRATIONS},
        ),
        (
            where.schedule_storage_data,
            "schedules.db",
            SqliteScheduleStorage.from_local,
            {
                *of_schedules.REQUIRED_SCHEDULE_DATA_MIGRATIONS,
                *of_schedules.OPTIONAL_SCHEDULE_DATA_MIGRATIONS,
            },
        ),
    ]
    for data, name, make, steps in kinds:
        folder = data.config_dict.get("base_dir") if data is not None else None
        if data is not None and data.class_name.startswith("Sqlite") and isinstance(folder, str):
            yield _Database(Path(folder) / name, make, frozenset(steps))


def _stands(database: _Database) -> bool:
    """Whether a database holds records, or was made to its end by this version of Dagster."""
    if not os.path.lexists(database.path):
        return False
    # Not made where it is absent after all; one that is in the middle of a change is rolled back.
    address = f"file:{quote(str(database.path))}?mode=rw"
    with closing(sqlite3.connect(address, uri=True)) as connection:

        def column(query: str) -> set[str]:
            return {row[0] for row in connection.execute(query)}

        tables = column("SELECT name FROM sqlite_master WHERE type = 'table'")
        kept = {name for name in tables - _BOOKKEEPING if not name.startswith("sqlite_")}
        if any(column(f'SELECT 1 FROM "{name}" LIMIT 1') for name in kept):  # noqa: S608
            return True
        if not tables >= {"alembic_version", "secondary_indexes"}:
            return False
        noted = column("SELECT name FROM secondary_indexes WHERE migration_completed IS NOT NULL")
        return noted >= database.steps and column("SELECT * FROM alembic_version") == {_version()}


def _version() -> str | None:
    """The version of the tables of the installed Dagster, the same for all of its databases."""
    from alembic.script import ScriptDirectory
    from dagster._core.storage.runs import sqlite
    from dagster._core.storage.sql import get_alembic_config

    return ScriptDirectory.from_config(get_alembic_config(sqlite.__file__)).get_current_head()


@cache
def _read_revisions_once() -> None:
    """Let alembic read the revisions of Dagster's tables once in a process.

    Dagster asks for the newest one whenever it opens a store, and for each run, and alembic runs
    ninety scripts to answer: a third of what a command takes that makes little.
    """
    from alembic.script import ScriptDirectory

    read = ScriptDirectory.from_config
    known: dict[tuple[str | None, ...], ScriptDirectory] = {}

    def read_once(config: Any) -> ScriptDirectory:
        place = config.config_file_name, config.get_main_option("script_location")
        if place not in known:
            known[place] = read(config)
        return known[place]

    ScriptDirectory.from_config = read_once  # type: ignore[method-assign]


@cache
def _keep_engines() -> None:
    """Let SQLAlchemy word a statement once for a database, not for each connection to it.

    Dagster makes an engine for each, and with it go the statements that it has worded. An engine
    holds no connection open here (NullPool), so one may serve all.
    """
    from dagster._core.storage.event_log.sqlite import sqlite_event_log
    from dagster._core.storage.runs.sqlite import sqlite_run_storage
    from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
    from sqlalchemy import NullPool, create_engine

    @lru_cache(maxsize=64)
    def known(address: str, settings: tuple[tuple[str, Any], ...]) -> Any:
        return create_engine(address, poolclass=NullPool, connect_args=dict(settings))

    def engine(address: str, *, poolclass: Any, connect_args: Any = None) -> Any:
        if poolclass is not NullPool:
            return create_engine(address, poolclass=poolclass, connect_args=connect_args or {})
        return known(address, tuple((connect_args or {}).items()))

    stores: list[Any] = [sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage]
    for store in stores:
        store.create_engine = engine


def _make(database: _Database) -> None:
    """Make a database beside its place, and put it there; what lies there holds no record."""
    folder, name = database.path.parent, database.path.name
    with staged(folder, no_record) as staging:
        database.make(str(staging)).dispose()
        flush_tree(staging)
        # With it goes what SQLite would replay into the new one.
        remove_listed(folder, database_files(folder, database.path.stem))
        folder.mkdir(parents=True, exist_ok=True)
        give_name(staging / name, database.path)
