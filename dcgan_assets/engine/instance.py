"""The Dagster instance of a workspace: its home, and what killed processes left in it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from importlib import resources
from pathlib import Path

import dagster as dg
import yaml  # noqa: TID251  (what Dagster reads its own settings with)

from dcgan_assets.engine.databases import make_whole, require_addressable
from dcgan_assets.engine.engines import (
    database_errors,
    database_words,
    laid_over,
    quiet_retries,
)
from dcgan_assets.engine.liveness import forget, has_died, marked_runs
from dcgan_assets.engine.workspace import ROOT_VARIABLE, Workspace
from dcgan_assets.params.yaml_files import read_yaml
from dcgan_models.errors import UserError
from dcgan_models.files import open_atomic

PID_TAG, HOST_TAG = "dcgan/pid", "dcgan/host"
SETTINGS = "dagster.yaml"
# The first line of our dagster.yaml ends in the SHA-256 of the others; that of versions before
# that line is known by the whole.
_SEAL = b"# Written by `dcgan`, which leaves it alone once you change it. SHA-256: "
_UNSEALED = {
    "0df9951642ade99885a2a8f33ee2b3baa28b07e9f4825a2a4855f918828b00af",
    "90936b2dfa1bf76df714b58d2acdf2a9ad8afaffff8a3977ccf151c66cf28b05",
    "03ad23d3dc0be7d54d8880f29228d39ba2216dc6e6146d415ee9f6e25ae892d2",
}
_CANNOT_USE = "Dagster cannot use it ({}); mend it, or remove it and have ours written"
# What a short run writes to Dagster's databases and logs, and some.
_ROOM_BYTES = 4 * 2**20


def prepare_home(workspace: Workspace, place: Path | None = None) -> Path:
    """Make `.dagster_home` whole, and point this process and its children to it.

    Our dagster.yaml is put there, and brought up to date. One that somebody else wrote, linked, or
    changed, is left alone. Databases are made where there are none, or only the beginning of one.

    Args:
        place: Where, if not in the root.

    Raises:
        UserError: The root cannot be written, or not addressed; the dagster.yaml is none; a
            database is broken.
    """
    home = workspace.dagster_home if place is None else place / workspace.dagster_home.name
    require_addressable(home)
    with _one_line(home):
        home.mkdir(exist_ok=True)
        if not os.access(home, os.W_OK):
            # SQLite writes beside a database even to read it.
            raise UserError(f"{home}: cannot be written, and Dagster writes there even to look")
        # A home elsewhere is for a copy that is made here.
        _write_settings(home / SETTINGS, workspace if place is None else None)
        _require_bounded(home / SETTINGS)
        make_whole(home)
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ[ROOT_VARIABLE] = str(workspace.root)
    return home


@contextmanager
def _one_line(home: Path) -> Iterator[None]:
    """Say what is wrong with a home as a `UserError`."""
    from dagster._check import CheckError

    try:
        with quiet_retries():
            yield
    except OSError as error:
        raise UserError(f"{home}: cannot be written ({error.strerror})") from None
    except sqlite3.Error as error:
        raise UserError(f"{home}: Dagster's records cannot be read ({error})") from None
    except (dg.DagsterError, CheckError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split()).removeprefix("Failure condition: ")
        raise UserError(f"{home / SETTINGS}: {_CANNOT_USE.format(reason)}") from None
    except Exception as error:
        if not isinstance(error, database_errors()):
            raise
        reason = database_words(error)
        raise UserError(f"{home}: Dagster's records cannot be read ({reason})") from None


def _require_bounded(path: Path) -> None:
    """Read a dagster.yaml within bounds, which Dagster has not."""
    try:
        read_yaml(path)
    except UserError as error:
        raise UserError(
            f"{path}: {_CANNOT_USE.format(str(error).removeprefix(f'{path}: '))}"
        ) from None


def _write_settings(path: Path, workspace: Workspace | None) -> None:
    text = (resources.files("dcgan_assets.engine") / SETTINGS).read_text("utf-8")
    settings = (laid_over(text, workspace) if workspace else text).encode()
    content = _SEAL + hashlib.sha256(settings).hexdigest().encode() + b"\n" + settings
    if path.is_symlink():
        if not path.exists():
            raise UserError(
                f"{path}: a symlink to nothing; mend it, or remove it and have ours written"
            )
        return
    found = path.read_bytes() if path.exists() else b""
    if found != content and is_ours(found):
        with open_atomic(path) as stream:
            stream.write(content)


def is_ours(settings: bytes) -> bool:
    """Whether a dagster.yaml is empty, or as a version of ours wrote it."""
    seal, _, rest = settings.partition(b"\n")
    sealed = seal == _SEAL + hashlib.sha256(rest).hexdigest().encode()
    return sealed or not settings.strip() or hashlib.sha256(settings).hexdigest() in _UNSEALED


@contextmanager
def open_instance(workspace: Workspace, place: Path | None = None) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of a workspace, which can be read and written.

    Args:
        place: As for `prepare_home`.

    Raises:
        UserError: The home or its disk cannot be written; its dagster.yaml is none; its records are
            broken, or of another version of Dagster. Nothing was changed then.
    """
    home = prepare_home(workspace, place)
    with ExitStack() as stack:
        with _one_line(home):
            with tempfile.TemporaryFile(dir=home) as probe:
                probe.write(bytes(_ROOM_BYTES))
            instance = stack.enter_context(dg.DagsterInstance.get())
            _require_version(home, instance)
        yield instance


def _require_version(home: Path, instance: dg.DagsterInstance) -> None:
    """Refuse databases whose tables another version of Dagster made."""
    for storage in (instance.run_storage, instance.event_log_storage, instance.schedule_storage):
        versions = storage.alembic_version() if storage else None
        found, expected = versions or (None, None)
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


# --- Runs that are at work, and those whose process died -------------------------------------


def process_tags() -> dict[str, str]:
    """Dagster tags with the process and host of a run, for people to read."""
    return {PID_TAG: str(os.getpid()), HOST_TAG: socket.gethostname()}


def has_engine(instance: dg.DagsterInstance) -> bool:
    """Whether runs of an instance are started elsewhere than where its daemon runs."""
    return not isinstance(instance.run_launcher, dg.DefaultRunLauncher)


def close_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """End runs whose process died, and free their pool slots; return their ids.

    A process that was killed cannot say so: its run would count as started, and the next one
    would wait for its slot for ever. Only a lock that can be taken says that a process is dead:
    clocks step, and names and numbers are given out twice. Of a run that never had one, as in
    versions before this, nobody can tell; whoever waits for it is told so. Whether a run of another
    host lives its engine says, where there is one: a shared disk may keep the locks of each host
    from the others.
    """
    closed = []
    for run_id in (one for one in marked_runs(instance) if has_died(instance, one)):
        # Asked after the lock: a run that ends writes so before it lets go.
        run = instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            if has_engine(instance) and run.tags.get(HOST_TAG) != socket.gethostname():
                continue
            _end(instance, run)
            closed.append(run_id)
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
        forget(instance, run_id)
    return closed


def _end(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Report a run as failed; as canceled where somebody had asked for that."""
    where = f"process {run.tags.get(PID_TAG, '?')} on {run.tags.get(HOST_TAG, '?')}"
    message = f"{where} died; closed by a later one"
    if run.status is dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, message)
    else:
        instance.report_run_failed(run, message)


# --- Pools ----------------------------------------------------------------------------------


def claim_place(instance: dg.DagsterInstance, pool: str, run_id: str, op: str) -> bool:
    """Take a free place in a concurrency pool for an op of a run that is about to begin.

    Where none is free nothing is queued either: to a process that is killed while it waits Dagster
    would give the place all the same.
    """
    # As heavy as a run itself, which follows.
    from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext

    with InstanceConcurrencyContext(instance, dg.DagsterRun("claim", run_id)) as context:
        return context.claim(pool, op)


def pool_holder(instance: dg.DagsterInstance, pool: str) -> tuple[str, str] | None:
    """The run, and its op, that has a place in a concurrency pool; None where nobody has."""
    info = instance.event_log_storage.get_concurrency_info(pool)
    holders = [(slot.run_id, slot.step_key) for slot in info.claimed_slots]
    # Also those to whom Dagster has given a place that they have not taken yet.
    holders += [(p.run_id, p.step_key) for p in info.pending_steps if p.assigned_timestamp]
    return holders[0] if holders else None


def describe_run(instance: dg.DagsterInstance, run_id: str, what: str) -> str:
    """A run that others wait for, in words: what it makes, since when, and where.

    Args:
        what: It makes.
    """
    record = instance.get_run_record_by_id(run_id)
    if record is None:
        return f"run {run_id[:8]} ({what}, just beginning)"
    began = datetime.fromtimestamp(record.start_time or record.create_timestamp.timestamp())
    today = began.date() == datetime.now().date()
    since = began.strftime("%H:%M" if today else "%Y-%m-%d %H:%M")
    tags = record.dagster_run.tags
    words = f"run {run_id[:8]} ({what}, since {since}, on host {tags.get(HOST_TAG, 'unknown')})"
    if has_died(instance, run_id) is None and not record.dagster_run.is_finished:
        words += (
            "; it holds no lock, so nobody can tell from here whether it lives: if it does not, "
            "terminate it on the page Runs of `dcgan ui`"
        )
    return words


def release_ended_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Free the places of a run that is over, which a killed run leaves taken."""
    run = instance.get_run_by_id(run_id)
    # One that has no record yet may be about to begin.
    over = run.is_finished if run is not None else has_died(instance, run_id) is not False
    if over:
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
