"""What a web API answers, and the kinds of ways in which it can fail."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dcgan_assets.sources.redaction import hide_deep
from dcgan_assets.sources.retry_after import retry_after
from dcgan_models.errors import UserError


class ApiError(Exception):
    """A request was not answered with what was asked for; the text is one line that says why."""


class UnavailableError(ApiError):
    """Every try failed in a way that a later one may not."""


class RefusedError(ApiError):
    """The server understood and refused; the same request will be refused again.

    Attributes:
        status: Of the HTTP answer, where it was that.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class MalformedError(ApiError):
    """The answer is not of the documented shape: an error page, cut JSON, a missing field."""


class TruncatedError(MalformedError):
    """JSON that was cut off; a smaller answer may come whole."""


class TooLargeError(RefusedError):
    """The answer is larger than the client reads."""


class TransientError(Exception):
    """Raised by a judge: this answer means 'try again', after `wait` seconds where it says so."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Answer:
    """A server's answer, read to its end.

    Attributes:
        url: The address that answered, without its query.
        headers: Case-insensitive.
        body: Decompressed, at most the client's limit.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def json(self) -> Any:
        """The body as JSON.

        Raises:
            TruncatedError: It was cut off.
            MalformedError: It is something else.
        """
        kind = self.headers.get("Content-Type", "").split(";")[0].strip().lower()
        try:
            return hide_deep(json.loads(self.body))
        except (ValueError, RecursionError):
            begin = " ".join(self.body[:80].decode("utf-8", "replace").split())
            about = f"{kind or 'no content type'}, {len(self.body):,} bytes, begins {begin!r}"
            if "json" in kind and begin.startswith(("{", "[")):
                raise TruncatedError(f"JSON cut off ({about})") from None
            raise MalformedError(f"no JSON ({about})") from None

    @property
    def retry_after(self) -> float | None:
        """The seconds that `Retry-After` asks for, as a number or a date; None without any."""
        return retry_after(self.headers.get("Retry-After"), time.time())


Judge = Callable[[Answer], None]


def trust(answer: Answer) -> None:
    """The judge that has nothing to say."""


class Breaker:
    """Ends a long run of failures: counts those in a row, and gives up in one clear line.

    Args:
        most: Failures in a row that are taken for the service being gone.
        advice: What the user can do, the end of the line.
    """

    def __init__(self, most: int, advice: str) -> None:
        self._most = most
        self._advice = advice
        self._row = 0

    def worked(self) -> None:
        """Start to count anew."""
        self._row = 0

    def failed(self, error: ApiError) -> None:
        """Count one failure.

        Raises:
            UserError: It was one too many.
        """
        self._row += 1
        if self._row >= self._most:
            raise UserError(
                f"{self._row} requests in a row failed, the last one: {error}; {self._advice}"
            ) from error
