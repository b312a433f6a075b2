"""Time, in one place, so that tests of an hour's patience take milliseconds; and Retry-After."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime


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


def retry_after(value: str | None, wall: float) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or a date seen from `wall`.

    None where there is none, or nobody can read it.
    """
    if value is None:
        return None
    if re.fullmatch(r"\s*\d{1,9}(\.\d{1,9})?\s*", value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - wall)
    except (ValueError, OverflowError, OSError):  # what the C library says of far times
        return None
