"""Time, in one place, so that tests of an hour's patience take milliseconds."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress


class Clock:
    """The machine's own time."""

    def now(self) -> float:
        """Seconds since some moment, never going back."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since 1970, UTC."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait so long."""
        await asyncio.sleep(seconds)

    async def pause(self, event: asyncio.Event, seconds: float, *, idle: bool) -> None:
        """Wait for `event`, at most so long; `idle` says that no request is under way."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
