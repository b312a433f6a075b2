"""Stopping long work at a step boundary instead of in the middle of one.

Dagster raises its interruption at any byte code of the main thread. While a `StopFlag` is held,
SIGINT and SIGTERM only raise a flag; the work looks at it, saves, and calls `stop_now`.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, NoReturn

import dagster as dg

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopFlag:
    """A context in which the first interruption raises a flag; a second one stops at once."""

    def __init__(self) -> None:
        self._requested = False
        self._previous: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """Whether the work was asked to stop."""
        return self._requested

    def stop_now(self) -> NoReturn:
        """End the run as interrupted, after the work has been saved."""
        raise dg.DagsterExecutionInterruptedError()

    def __enter__(self) -> StopFlag:
        # Signals reach the main thread only; elsewhere the flag is never raised.
        if threading.current_thread() is threading.main_thread():
            self._previous = {s: signal.signal(s, self._request) for s in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if self._requested and kind is None:
            self.stop_now()

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self._requested:
            self.stop_now()
        self._requested = True
