"""The Dagster instance of a workspace: its home, and what killed processes left in it."""

from __future__ import annotations

import fcntl
import os
import socket
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib import resources
from pathlib import Path

import dagster as dg
import psutil

from dcgan_assets.workspace import ROOT_VARIABLE, Workspace
from dcgan_models.errors import UserError

PID_TAG, HOST_TAG = "dcgan/pid", "dcgan/host"
# Seconds by which the system's two clocks may disagree about when a process began.
_CLOCK_SLACK = 2.0
# Of runs, of events, and of schedules and sensors.
_DATABASES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
# What a short run writes to Dagster's databases and logs, and some.
_ROOM_BYTES = 4 * 2**20


def prepare_home(workspace: Workspace, place: Path | None = None) -> Path:
    """Make `.dagster_home` with our dagster.yaml, and point this process and its children to it.

    Args:
        place: Where, if not in the root.

    Raises:
        UserError: The root cannot be written.
    """
    home = workspace.dagster_home if place is None else place / workspace.dagster_home.name
    settings = (resources.files("dcgan_assets") / "deploy" / "dagster.yaml").read_text("utf-8")
    try:
        home.mkdir(exist_ok=True)
        path = home / "dagster.yaml"
        if not path.exists() or path.read_text(encoding="utf-8") != settings:
            path.write_text(settings, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{home}: cannot be written ({error.strerror})") from None
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ[ROOT_VARIABLE] = str(workspace.root)
    return home


@contextmanager
def open_instance(workspace: Workspace, place: Path | None = None) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of a workspace, which can be read and written.

    Args:
        place: As for `prepare_home`.

    Raises:
        UserError: The home or its disk cannot be written; its records are broken, or of another
            version of Dagster. Nothing was changed then.
    """
    # As heavy as all of this project's modules; Dagster loads it with its storage.
    from sqlalchemy.exc import DBAPIError

    home = prepare_home(workspace, place)
    with ExitStack() as stack:
        try:
            with tempfile.TemporaryFile(dir=home) as probe:
                probe.write(bytes(_ROOM_BYTES))
            instance = stack.enter_context(dg.DagsterInstance.get())
            _require_version(home, instance)
        except OSError as error:
            raise UserError(f"{home}: cannot be written ({error.strerror})") from None
        except (DBAPIError, sqlite3.Error) as error:
            reason = getattr(error, "orig", error)
            raise UserError(f"{home}: Dagster's records cannot be read ({reason})") from None
        yield instance


def _require_version(home: Path, instance: dg.DagsterInstance) -> None:
    """Refuse databases whose tables another version of Dagster made."""
    # Each store can tell both versions, but all have one history, which takes long to read.
    version = instance.run_storage.alembic_version()
    expected = version[1] if version else None
    for database in _DATABASES:
        with closing(sqlite3.connect(home / database)) as connection:
            (found,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        if found != expected:
            raise UserError(
                f"{home}: Dagster's records are of another version of Dagster ({found}, here "
                f"{expected}); copy the folder, then `DAGSTER_HOME={home} dagster instance migrate`"
            )


def claim_home(workspace: Workspace, address: str) -> int:
    """Keep other web UIs, whose daemons would do everything twice, off a workspace.

    Args:
        address: Where this one is, to tell the others.

    Returns:
        The open file that is the claim. It outlives `exec`, and ends with the process.

    Raises:
        UserError: A web UI is open; the line says where.
    """
    path = workspace.dagster_home / "ui.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UserError(
            f"{workspace.root}: its web UI is open already at {path.read_text(encoding='utf-8')}; "
            "a second one can only look: --read-only"
        ) from None
    os.set_inheritable(descriptor, True)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, address.encode())
    return descriptor


def process_tags() -> dict[str, str]:
    """Tags by which a later process sees whether the one that began a run is still alive."""
    return {PID_TAG: str(os.getpid()), HOST_TAG: socket.gethostname()}


def close_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """End runs whose process died, and free their pool slots; return their ids.

    A process that was killed cannot say so: its run would count as started, and the next one
    would wait for its slot for ever.
    """
    filters = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING],
        tags={HOST_TAG: socket.gethostname()},
    )
    closed = []
    for record in instance.get_run_records(filters):
        run = record.dagster_run
        pid = int(run.tags.get(PID_TAG, "0"))
        if pid and not _is_alive(pid, record.start_time or time.time()):
            instance.report_run_failed(run, f"process {pid} died; closed by a later one")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            closed.append(run.run_id)
    return closed


def _is_alive(pid: int, began: float) -> bool:
    """Whether the process that began a run at that time (Unix seconds) still works on it.

    A younger process has got the number of the dead one, as in a restarted container.
    """
    try:
        process = psutil.Process(pid)
        older = process.create_time() <= began + _CLOCK_SLACK
        return older and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pool_holder(instance: dg.DagsterInstance, pool: str) -> str | None:
    """The run that holds the last free slot of a pool, or None while one is free."""
    info = instance.event_log_storage.get_concurrency_info(pool)
    claimed = list(info.claimed_slots)
    if not claimed or len(claimed) < (info.slot_count or 1):
        return None
    return claimed[0].run_id


def release_ended_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Free the slots of a run that is over, which a killed run leaves taken."""
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
