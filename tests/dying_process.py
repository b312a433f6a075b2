"""A copy of this process that dies as by kill -9 at one chosen step of its work."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

_connect = sqlite3.connect
_WATCHED = {"open", "sqlite3.connect", "subprocess.Popen"} | {
    f"os.{name}" for name in ("chmod", "link", "mkdir", "remove", "rename", "rmdir", "truncate")
}


def forked(work: Callable[[], object]) -> int:
    """The status with which a copy of this process ends that does only this."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    return os.waitpid(child, 0)[1]


def counted(work: Callable[[], object], die_at: float, steps: Path) -> None:
    """Do something; die as by kill -9 before a step of it, or else write how many there were.

    A step is a statement of SQL, or a call that opens or changes a file.
    """
    count, active = 0, True

    def step(*_: object) -> None:
        nonlocal count
        count += 1
        if active and count >= die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = _connect(*arguments, **options)
        connection.set_trace_callback(step)
        return connection

    sqlite3.connect = sqlite3.dbapi2.connect = connect  # type: ignore[assignment]
    sys.addaudithook(lambda event, _: step() if event in _WATCHED else None)
    work()
    active = False
    steps.write_text(str(count), encoding="utf-8")
