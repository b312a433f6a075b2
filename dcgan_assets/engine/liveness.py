"""Which runs are at work: each has a lock that its process holds for as long as it lives.

A container that is started again has another host name, and a process number means another process
in another container. A lock on the shared disk is let go when its holder ends, however it ends, and
by nothing else: whoever can take it knows that the holder is dead.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg

from dcgan_models.errors import UserError
from dcgan_models.files import give_name, remove_file

_FOLDER, _ENDING = "alive", ".lock"
# The locks of this process. A forked child must not keep them from being let go with it.
_HELD: dict[Path, int] = {}


@contextmanager
def alive(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Hold the lock of a run that begins and ends in this block.

    Where the block raises, the file stays, with a lock that can be taken: nobody has said how the
    run ended.
    """
    path = hold(instance, run_id)
    try:
        yield
        remove_file(path)
    finally:
        os.close(_HELD.pop(path))


def hold(instance: dg.DagsterInstance, run_id: str) -> Path:
    """Take the lock of a run until this process ends; the lock file.

    Raises:
        UserError: The disk has no locks.
    """
    path = _lock_file(instance, run_id)
    # It gets its name once it is locked: under that name nobody ever finds it free before.
    fresh = path.with_name(f".{run_id}.{uuid.uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Python opens it so that no program which is started from here gets it.
        _HELD[path] = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        fcntl.flock(_HELD[path], fcntl.LOCK_EX | fcntl.LOCK_NB)
        give_name(fresh, path)
    except OSError as error:
        with suppress(OSError):
            remove_file(fresh)
        raise UserError(
            f"{path.parent}: no lock can be held there ({error.strerror}); Dagster's home needs a "
            "disk with file locks"
        ) from None
    return path


def has_died(instance: dg.DagsterInstance, run_id: str) -> bool | None:
    """Whether the process of a run is dead; None where the run never had a lock, or has ended."""
    return _is_free(_lock_file(instance, run_id))


def at_work(home: Path, run_id: str) -> bool:
    """Whether a process is at work on a run of the Dagster home in a folder."""
    return _is_free(home / _FOLDER / f"{uuid.UUID(run_id)}{_ENDING}") is False


def _is_free(lock: Path) -> bool | None:
    try:
        descriptor = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        # Shared, so that two who ask at once do not take each other for the holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def marked_runs(instance: dg.DagsterInstance) -> list[str]:
    """Ids of the runs that have a lock file, whether it is held or not."""
    folder = _lock_file(instance, "any").parent
    return [path.name.removesuffix(_ENDING) for path in folder.glob(f"[!.]*{_ENDING}")]


def forget(instance: dg.DagsterInstance, run_id: str) -> None:
    """Remove the lock file of a run that is over. No run has its id again."""
    remove_file(_lock_file(instance, run_id))


def _lock_file(instance: dg.DagsterInstance, run_id: str) -> Path:
    return Path(instance.root_directory) / _FOLDER / f"{run_id}{_ENDING}"


def _let_go() -> None:
    for descriptor in _HELD.values():
        os.close(descriptor)
    _HELD.clear()


os.register_at_fork(after_in_child=_let_go)
