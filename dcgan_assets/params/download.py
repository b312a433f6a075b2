"""The section of params.yaml that says how pictures are fetched from the web."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from dcgan_assets.params.base import Count, Positive, Section
from dcgan_assets.sources.web.wanted import Limits

Delay = Annotated[float, Field(ge=0, strict=True)]


class Photos(Section):
    """How politely, and how patiently, pictures are fetched: `Limits`, with its own defaults.

    Attributes:
        shards: Parts that are made one by one, each in a run of its own.
        max_megabytes: Longest answer, in millions of bytes.
        concurrency, per_site, delay, site_megabits, connect, deadline, tries: As `Limits` has
            them.
    """

    shards: Annotated[int, Field(ge=1, le=99, strict=True)]
    concurrency: Annotated[int, Field(ge=1, le=256, strict=True)] = Limits.concurrency
    per_site: Annotated[int, Field(ge=1, le=16, strict=True)] = Limits.per_site
    delay: Delay = Limits.delay
    site_megabits: Positive = 20.0  # tests of the downloader have none
    connect: Positive = Limits.connect
    deadline: Positive = Limits.deadline
    max_megabytes: Positive = Limits.max_bytes / 1e6
    tries: Count = Limits.tries

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
