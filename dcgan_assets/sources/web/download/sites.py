"""Whose turn it is: how many requests a site gets, how often, and when it is left alone.

Pure bookkeeping, without network or clock. Pictures wait in the ledger; here are a few of each
site, so that 100,000 of one site take no room and hold up no other. A site that another shard asks
waits for its turn (turns.py).
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from dcgan_assets.sources.web.download.ledger import Job
from dcgan_assets.sources.web.download.turns import Turns
from dcgan_assets.sources.web.wanted import Limits

# Pictures that are here and not in the ledger alone, over all sites, while these are few.
_IN_HAND = 4096
_BLOCK = 32
# A site may be ahead of its average rate by so many seconds.
_BURST_SECONDS = 2.0
# How often it is looked whether another shard is done with a site.
_TURN_SECONDS = 1.0


@dataclass
class _Site:
    """A site.

    Attributes:
        waiting: Pictures in the ledger.
        hand: Pictures taken from it.
        active: Requests under way.
        ready_at: When the next request may start.
        paid_until: When what it has sent so far would have come at its allowed rate.
        delay: Seconds between starts.
        most: Requests under way at a time; one until its robots.txt is known.
        failures: In a row.
        rounds: Pauses in a row; while there are any, one request at a time.
        closed_until: When the last of these ends.
        gone: Why it was given up.
        queued: Whether it stands in the line.
        ours: Whether no other shard may ask it.
    """

    name: str
    delay: float
    waiting: int = 0
    hand: deque[Job] = field(default_factory=deque)
    active: int = 0
    ready_at: float = 0.0
    paid_until: float = 0.0
    most: int = 1
    failures: int = 0
    rounds: int = 0
    closed_until: float = 0.0
    gone: str | None = None
    queued: bool = False
    ours: bool = False

    @property
    def may_start(self) -> bool:
        """Whether there is something to ask for, and a request free for it."""
        most = 1 if self.rounds else self.most
        return (self.waiting > 0 or bool(self.hand)) and self.active < most and self.gone is None


class Sites:
    """The sites of a shard.

    Args:
        limits: How politely they are asked.
        load: Takes the next so many pictures of a site from the ledger.
        turns: With other shards.
    """

    def __init__(self, limits: Limits, load: Callable[[str, int], list[Job]], turns: Turns) -> None:
        self._limits = limits
        self._load = load
        self._turns = turns
        self._sites: dict[str, _Site] = {}
        self._line: list[tuple[float, int, _Site]] = []
        self._later: list[tuple[float, int, Job]] = []
        self._numbers = itertools.count()

    def add(self, name: str, count: int = 1) -> None:
        """More pictures of a site wait in the ledger."""
        site = self._sites.get(name)
        if site is None:
            site = self._sites[name] = _Site(name, self._limits.delay)
        site.waiting += count
        self._queue(site)

    def take(self, now: float) -> Job | None:
        """The next picture to ask for at this moment, of the site that has waited longest."""
        while self._later and self._later[0][0] <= now:
            job = heapq.heappop(self._later)[2]
            site = self._sites[job.site]
            if site.gone is None:  # else it was given up with the others
                site.hand.append(job)
                self._queue(site)
        while self._line and self._line[0][0] <= now:
            site = heapq.heappop(self._line)[2]
            site.queued = False
            if not site.may_start:
                continue  # it comes back when a request ends
            if not site.ours:
                self._ask_for_turn(site, now)
            if site.ready_at > now:
                self._queue(site)  # it was asked to pause while it stood in the line
                continue
            if not site.hand:
                block = max(1, min(_BLOCK, _IN_HAND // len(self._sites), site.waiting))
                site.hand.extend(self._load(site.name, block))
                site.waiting -= block
            site.active += 1
            site.ready_at = now + site.delay
            job = site.hand.popleft()
            self._queue(site)
            return job
        return None

    def _ask_for_turn(self, site: _Site, now: float) -> None:
        left = self._turns.take(site.name)
        site.ours = left is not None
        site.ready_at = max(site.ready_at, now + (_TURN_SECONDS if left is None else left))
        if site.ours:
            self._turns.leave_alone(site.name, site.delay)

    def _give_back_turn(self, site: _Site, now: float) -> None:
        # The next one knows nothing of what a site has sent, and may not be ahead of its rate.
        self._turns.leave_alone(site.name, max(site.ready_at, site.paid_until, now) - now)
        self._turns.give_back(site.name)
        site.ours = False

    def next_time(self) -> float | None:
        """When `take` may have something, unless a request ends before; None for never."""
        times = [line[0][0] for line in (self._line, self._later) if line]
        return min(times, default=None)

    def learn(self, name: str, crawl_delay: float | None, now: float) -> None:
        """Robots.txt is known: it may have asked for one request in so many seconds."""
        site = self._sites[name]
        if crawl_delay is None:
            site.most = self._limits.per_site
            return
        site.most = 1
        if site.delay != max(self._limits.delay, crawl_delay):
            site.delay = max(self._limits.delay, crawl_delay)
            self._turns.leave_alone(name, site.delay)
        site.ready_at = max(site.ready_at, now + site.delay)

    def pause(self, name: str, until: float) -> None:
        """Start no request to a site before `until`."""
        site = self._sites[name]
        site.ready_at = max(site.ready_at, until)

    def retry(self, job: Job, at: float) -> None:
        """Ask for a picture again at `at`, or later."""
        heapq.heappush(self._later, (at, next(self._numbers), job))

    def ended(self, name: str, size: int, now: float) -> None:
        """A request ended, and brought `size` bytes."""
        site = self._sites[name]
        site.active -= 1
        rate = self._limits.site_megabits
        if rate is not None:
            site.paid_until = max(now, site.paid_until) + size * 8 / (rate * 1e6)
            site.ready_at = max(site.ready_at, site.paid_until - _BURST_SECONDS)
        self._queue(site)
        if not site.active:
            self._give_back_turn(site, now)

    def succeeded(self, name: str) -> None:
        """A site answered, be it with a refusal: it is there."""
        site = self._sites[name]
        site.failures = site.rounds = 0

    def failed(self, name: str, now: float) -> bool:
        """A request failed in a way that says something of the site; whether that was the end.

        After `gone_after` failures in a row a site is left alone for a while, then asked one at
        a time; after `gone_rounds` such pauses it counts as gone for good.
        """
        site = self._sites[name]
        if now < site.closed_until:
            return False  # begun before the pause, it says nothing new
        site.failures += 1
        if not site.rounds and site.failures < self._limits.gone_after:
            return False
        if site.rounds == self._limits.gone_rounds:
            return True
        site.rounds += 1
        site.closed_until = now + self._limits.gone_pause
        site.ready_at = max(site.ready_at, site.closed_until)
        return False

    def give_up(self, name: str, why: str) -> None:
        """Ask a site for nothing any more."""
        site = self._sites[name]
        site.gone = why
        site.waiting = 0
        site.hand.clear()

    def gone(self, name: str) -> str | None:
        """Why a site was given up, or None."""
        site = self._sites.get(name)
        return None if site is None else site.gone

    def _queue(self, site: _Site) -> None:
        if not site.queued and site.may_start:
            site.queued = True
            heapq.heappush(self._line, (site.ready_at, next(self._numbers), site))
