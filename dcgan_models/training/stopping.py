"""Ctrl-C and SIGTERM as a wish that the loop looks at between minibatches."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType


def stop_when_asked() -> Callable[[], bool]:
    """Take over SIGINT and SIGTERM for the rest of this process; True once one has come."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
    return lambda: asked
