"""What the downloader is asked for, within which limits, and why a picture is not had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

Extra = str | int | float | bool | None


class Wanted(NamedTuple):
    """A picture that a search found.

    Attributes:
        key: Unique; of pictures that are the same, the one with the smallest key is kept.
        address: http or https, asked for exactly as it stands where it is plain ASCII.
        sha1: Hex digest by which the search tells its files apart, or None. It need not be that
            of the bytes at `address`, which may be a smaller version of the file.
        licence, author, attribution: As the search states them.
        person_uri, person_name: Whom the search was for.
        extra: Further columns, carried along untouched.
    """

    key: str
    address: str
    sha1: str | None
    licence: str
    author: str
    attribution: str
    person_uri: str
    person_name: str
    extra: Mapping[str, Extra] = {}


@dataclass(frozen=True)
class Limits:
    """How politely, and how patiently, pictures are fetched. Times are in seconds.

    The defaults keep to the strictest published limits that we know, Wikimedia's of April 2025:
    two requests at a time and 25 Mbit/s.

    Attributes:
        contact: The operator's own e-mail or web address, sent with every request.
        concurrency: Requests under way, to all sites together.
        per_site: Requests under way to one site (a host and its port).
        delay: Between the starts of two requests to one site; a longer Crawl-delay wins.
        site_megabits: Mbit/s that one site is asked to send, on average; None for no limit.
        connect: For a connection.
        deadline: For one try of a picture with its redirects, from the first packet to the last.
        min_rate: Bytes a second below which an answer is cut off, after `grace`.
        grace: In which an answer need not have brought anything yet.
        max_bytes: Longest answer.
        tries: Requests for one picture whose failures another try may mend.
        backoff: Before the second try; doubled before each further one, and jittered.
        max_wait: Longest Retry-After that is kept to in full, and longest Crawl-delay.
        gone_after: Failures in a row after which a site is left alone for `gone_pause`.
        gone_pause: Until it is asked again, one request at a time.
        gone_rounds: Such pauses in a row after which its pictures are given up.
        allow_private: `host:port` of servers on this machine that may be asked. For tests alone.
    """

    contact: str
    concurrency: int = 32
    per_site: int = 2
    delay: float = 0.2
    site_megabits: float | None = 20.0
    connect: float = 5.0
    deadline: float = 30.0
    min_rate: float = 2048.0
    grace: float = 5.0
    max_bytes: int = 20_000_000
    tries: int = 4
    backoff: float = 1.0
    max_wait: float = 300.0
    gone_after: int = 8
    gone_pause: float = 60.0
    gone_rounds: int = 5
    allow_private: tuple[str, ...] = ()


class Reason:
    """Why a picture was not had: the values of the manifest's column `reason`."""

    BAD_ADDRESS = "bad address"
    PRIVATE = "private address"
    REMOVED = "removed"
    SAME_ADDRESS = "duplicate address"
    SAME_SHA1 = "duplicate sha1"
    SAME_CONTENT = "duplicate content"
    ROBOTS = "robots.txt"
    NO_ROBOTS = "robots.txt unreachable"
    OPTED_OUT = "opted out"
    STATUS = "HTTP status"
    REDIRECTS = "redirects"
    SLOW = "too slow"
    LARGE = "too large"
    BROKEN_OFF = "broken off"
    ENCODED = "encoded"
    NO_PICTURE = "not a picture"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    PIXELS = "too many pixels"
    SCANS = "too many scans"
    TLS = "TLS"
    NO_ANSWER = "no answer"
    GONE = "site gone"
    UNREADABLE = "unreadable"


class Picture(NamedTuple):
    """A picture that was fetched.

    Attributes:
        final_address: Where it was, after redirects.
        sha256: Hex, of its bytes.
        bytes: How many.
        mime: By its first bytes, whatever the server calls it.
        width, height: In pixels, as shown.
    """

    final_address: str
    sha256: str
    bytes: int
    mime: str
    width: int
    height: int


class RejectedError(Exception):
    """This picture will not be had; asking again would not help."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class TransientError(Exception):
    """This try failed; another one may not.

    Attributes:
        wait: Seconds for which the site asks to be left alone (Retry-After), or None.
    """

    def __init__(self, reason: str, detail: str, wait: float | None = None) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.wait = wait


@dataclass
class Progress:
    """How far a shard is.

    Attributes:
        done, total: Pictures; duplicates and whatever an earlier run brought are done as well.
        kept: Of those done.
        rejected: By reason.
        images_per_second, megabytes_per_second: Of the last ten seconds or so.
    """

    done: int = 0
    total: int = 0
    kept: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    images_per_second: float = 0.0
    megabytes_per_second: float = 0.0

    def __str__(self) -> str:
        reasons = ", ".join(
            f"{count:,} {reason}" for reason, count in sorted(self.rejected.items())
        )
        return (
            f"{self.done:,} of {self.total:,} done, {self.kept:,} kept, rejected: "
            f"{reasons or 'none'}; {self.images_per_second:.1f} images/s, "
            f"{self.megabytes_per_second:.2f} MB/s"
        )
