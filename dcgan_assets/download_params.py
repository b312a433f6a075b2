"""The section of params.yaml that says how pictures are fetched from the web."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from dcgan_assets.scraping.wanted import Limits
from dcgan_assets.sections import Count, Positive, Section

Delay = Annotated[float, Field(ge=0, strict=True)]


class Photos(Section):
    """How politely, and how patiently, pictures are fetched. Times are in seconds.

    The defaults keep to the strictest published limits that we know, Wikimedia's of April 2025:
    two requests at a time and 25 Mbit/s.

    Attributes:
        shards: Parts that are made one by one, each in a run of its own.
        concurrency: Requests under way, to all sites together.
        per_site: Requests under way to one site.
        delay: Between the starts of two requests to one site; a longer Crawl-delay wins.
        site_megabits: Mbit/s that one site is asked to send, on average.
        connect, deadline: For a connection; for one try of a picture, with its redirects.
        max_megabytes: Longest answer, in millions of bytes.
        tries: Requests for one picture whose failures another try may mend.
    """

    shards: Annotated[int, Field(ge=1, le=99, strict=True)]
    concurrency: Annotated[int, Field(ge=1, le=256, strict=True)] = 32
    per_site: Annotated[int, Field(ge=1, le=16, strict=True)] = 2
    delay: Delay = 0.2
    site_megabits: Positive = 20.0
    connect: Positive = 5.0
    deadline: Positive = 30.0
    max_megabytes: Positive = 20.0
    tries: Count = 4

    def identity(self) -> dict[str, Any]:
        """What decides which pictures there are: not who asks, how fast, and how patiently."""
        return {"shards": self.shards, "max_megabytes": self.max_megabytes}

    def limits(self, contact: str) -> Limits:
        """What the downloader takes; `contact` is the operator's own, sent with every request."""
        return Limits(
            contact=contact,
            concurrency=self.concurrency,
            per_site=self.per_site,
            delay=self.delay,
            site_megabits=self.site_megabits,
            connect=self.connect,
            deadline=self.deadline,
            max_bytes=int(self.max_megabytes * 1e6),
            tries=self.tries,
        )
