"""Retry-After: how long a server asks to be left alone (RFC 9110, 10.2.3)."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime


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
