"""Pictures that a search found, fetched politely, checked, and packed into a shard.

A server is never waited for inside a request: a retry and a redirect are entries in the queue of
the site that comes next, so that no slow site holds up another. Everything that is settled is on
disk at once (`ledger`), and whoever starts again goes on from there.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
from yarl import URL

from dcgan_assets.sources.web.addresses import canonical, parse_address, site_of
from dcgan_assets.sources.web.clock import Clock
from dcgan_assets.sources.web.contact import user_agent
from dcgan_assets.sources.web.content import Arrival, Content
from dcgan_assets.sources.web.download.fetching import (
    MAX_REDIRECTS,
    Fetcher,
    Redirect,
    Surroundings,
)
from dcgan_assets.sources.web.download.keeping import Keeper
from dcgan_assets.sources.web.download.ledger import IsRemoved, Job, Ledger, Locate, Place
from dcgan_assets.sources.web.download.packing import Packed, pack
from dcgan_assets.sources.web.download.sites import Sites
from dcgan_assets.sources.web.download.turns import Turns
from dcgan_assets.sources.web.download.work_folder import open_work
from dcgan_assets.sources.web.wanted import (
    Limits,
    Picture,
    Progress,
    Reason,
    RejectedError,
    TransientError,
    Wanted,
)

_LOGGER = logging.getLogger(__name__)
_NO_EXTRA = pa.schema([])
_AROUND = Surroundings()
# Beside the work folders of all shards of an asset.
_TURNS = ".turns"
# How often what is settled is committed and a stop looked for, and how often progress is told.
_LOOK_SECONDS = 0.1
_TELL_SECONDS = 1.0
_WINDOW_SECONDS = 10.0


def download(
    wanted: Iterable[Wanted],
    work: Path,
    folder: Path,
    limits: Limits,
    *,
    extra: pa.Schema = _NO_EXTRA,
    is_removed: IsRemoved = lambda wanted, sha256: False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    around: Surroundings = _AROUND,
) -> Packed | None:
    """Fetch a shard's pictures and write photos.tar, manifest.parquet and log.parquet.

    Killed at any moment and called again with the same `work`, it goes on where it was: what was
    fetched is not fetched again, and what was refused is not asked for again. A removal takes
    hold at once all the same. `work` may be deleted once the result is published. Shards whose
    work folders lie side by side may be fetched at once: at each site they take turns.

    Args:
        wanted: Unique keys; read once, in any order.
        work: For what is settled so far; on a local disk, made when missing.
        folder: Exists; gets the three files.
        limits: How politely and how patiently.
        extra: Types of the columns in `Wanted.extra`.
        is_removed: Whether somebody asked for a picture to be removed: called with None before it
            is fetched, and with the SHA-256 of its bytes after, then by another thread.
        on_progress: Called about once a second, and at the end.
        should_stop: Asked ten times a second; True ends the work, to be gone on with later.
        around: Time, names and TLS, for tests.

    Returns:
        The counts, or None when stopped.

    Raises:
        UserError: No contact, another process in `work`, or a folder that cannot be written.
        ValueError: Two pictures have one key.
    """
    user_agent(limits.contact)  # before anything else
    if limits.allow_private:
        _LOGGER.warning(
            "PRIVATE ADDRESSES ARE ALLOWED: %s. This is for tests alone.",
            ", ".join(limits.allow_private),
        )
    with (
        open_work(work, is_removed) as (ledger, content),
        Turns(work.parent / _TURNS) as turns,
    ):
        ledger.load(wanted, content, _on_the_web(frozenset(limits.allow_private)))
        shard = _Shard(work, ledger, content, turns, limits, around, on_progress, should_stop)
        if not asyncio.run(shard.fetch_all()):
            return None
        ledger.settle()
        shard.tell()
        return pack(ledger, content, folder, extra)


def _on_the_web(allowed: frozenset[str]) -> Locate:
    def locate(address: str) -> Place:
        url = parse_address(address, allowed)
        return Place(canonical(url), site_of(url), str(url))

    return locate


class _Shard:
    """The fetching of one shard."""

    def __init__(
        self,
        work: Path,
        ledger: Ledger,
        content: Content,
        turns: Turns,
        limits: Limits,
        around: Surroundings,
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._work = work
        self._ledger = ledger
        self._keeper = Keeper(ledger, content)
        self._limits = limits
        self._around = around
        self._clock = around.clock
        self._should_stop = should_stop
        self._sites = Sites(limits, ledger.take, turns)
        self._running: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._jitter = random.Random()  # noqa: S311  (spreads retries, guards nothing)
        self._live = _Live(ledger, self._clock, on_progress)

    def tell(self) -> None:
        """Tell the progress as the ledger has it."""
        self._live.tell_from_ledger()

    async def fetch_all(self) -> bool:
        """Fetch until nothing waits; False when asked to stop before."""
        self._wake = asyncio.Event()
        for site, count in self._ledger.waiting():
            self._sites.add(site, count)
        self._live.tell_from_ledger()
        fetcher = Fetcher(self._limits, self._ledger, self._around)
        async with fetcher as self._fetcher, self._keeper:
            try:
                return await self._dispatch()
            finally:
                for task in self._running:
                    task.cancel()
                await asyncio.gather(*self._running, return_exceptions=True)

    async def _dispatch(self) -> bool:
        looked = self._clock.now() - _LOOK_SECONDS
        while True:
            self._wake.clear()
            if self._failure is not None:
                raise self._failure
            now = self._clock.now()
            if now - looked >= _LOOK_SECONDS:
                looked = now
                self._ledger.commit()
                if self._should_stop():
                    return False
                self._live.tell_if_due()
            self._start_requests(now)
            at = self._sites.next_time()
            if at is None and not self._running:
                return True
            full = len(self._running) >= self._limits.concurrency
            seconds = _LOOK_SECONDS if at is None or full else min(_LOOK_SECONDS, at - now)
            await self._clock.pause(self._wake, max(0.0, seconds), idle=not self._running)

    def _start_requests(self, now: float) -> None:
        while len(self._running) < self._limits.concurrency:
            job = self._sites.take(now)
            if job is None:
                return
            task = asyncio.create_task(self._serve(job))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
        self._wake.set()

    async def _serve(self, job: Job) -> None:
        """Ask for a picture once, and settle it or let it wait again."""
        site, started = job.site, self._clock.now()
        with Arrival(self._work) as arrival:
            try:
                redirect = await self._ask(job, arrival)
                self._sites.succeeded(site)
                if redirect is None:
                    self._note(job, *await self._keeper.keep(job, arrival))
                else:
                    job.spent += self._clock.now() - started
                    self._follow(job, redirect)
            except RejectedError as error:
                self._sites.succeeded(site)
                self._reject(job, error.reason, error.detail)
            except TransientError as error:
                self._try_again(job, error)
            finally:
                self._sites.ended(site, arrival.size, self._clock.now())

    async def _ask(self, job: Job, arrival: Arrival) -> Redirect | None:
        url = URL(job.next, encoded=True)
        robots = await self._fetcher.robots(url)
        delay = robots.crawl_delay
        if delay is not None and delay > self._limits.max_wait:
            raise RejectedError(Reason.ROBOTS, f"Crawl-delay of {delay:g} s")
        self._sites.learn(job.site, delay, self._clock.now())
        if not robots.allows(url):
            raise RejectedError(Reason.ROBOTS, "not allowed")
        seconds = max(0.001, self._limits.deadline - job.spent)
        return await self._fetcher.picture(url, arrival, seconds)

    def _follow(self, job: Job, redirect: Redirect) -> None:
        if self._sites.gone(job.site) is not None:
            return  # rejected already, with all of its site
        if job.hops == MAX_REDIRECTS:
            raise RejectedError(Reason.REDIRECTS, f"more than {MAX_REDIRECTS}")
        job.hops += 1
        job.next, job.site = str(redirect.url), site_of(redirect.url)
        self._ledger.put_back(job)
        self._offer(job.site)

    def _note(self, job: Job, picture: Picture, place: int | None) -> None:
        if self._sites.gone(job.site) is not None:
            return
        self._ledger.keep(job, picture, place, self._now())
        self._live.count(Reason.REMOVED if place is None else None, picture.bytes)

    def _reject(self, job: Job, reason: str, detail: str) -> None:
        if self._sites.gone(job.site) is not None:
            return
        released = self._ledger.reject(job, reason, detail, self._now())
        self._live.count(reason, 0)
        self._offer(*released)

    def _try_again(self, job: Job, error: TransientError) -> None:
        """Let a picture wait for another try, its site too where that asks for it."""
        now = self._clock.now()
        if error.wait is not None:
            self._sites.pause(job.site, now + min(error.wait, self._limits.max_wait))
        if self._sites.failed(job.site, now):
            self._sites.give_up(job.site, f"{error.reason}: {error.detail}")
            self._offer(job.site)
            return
        job.tries += 1
        if job.tries >= self._limits.tries:
            job.tries -= 1  # counted when it is written down
            self._reject(job, error.reason, error.detail)
            return
        job.spent = 0.0
        backoff = self._limits.backoff * 2 ** (job.tries - 1)
        self._sites.retry(job, now + backoff * self._jitter.uniform(0.5, 1.5))

    def _offer(self, *sites: str) -> None:
        """Pictures wait for sites in the ledger; those for a site that is gone are rejected."""
        offered = deque(sites)
        while offered:
            site = offered.popleft()
            why = self._sites.gone(site)
            if why is None:
                self._sites.add(site)
                continue
            count, released = self._ledger.reject_site(site, why, self._now())
            self._live.count(Reason.GONE, 0, count)
            offered.extend(released)  # what is tried in their place may wait for it, too

    def _now(self) -> int:
        return int(self._clock.wall())


class _Live:
    """The line that says how far a shard is."""

    def __init__(
        self, ledger: Ledger, clock: Clock, on_progress: Callable[[Progress], None]
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._on_progress = on_progress
        self._counts: Counter[str | None] = Counter()
        self._total = 0
        self._bytes = self._pictures = 0
        self._told = deque([(clock.now(), 0, 0)])

    def tell_from_ledger(self) -> None:
        """Begin the counts anew from what is settled."""
        self._counts = Counter(self._ledger.counts())
        self._total = self._ledger.total()
        self._tell()

    def count(self, reason: str | None, size: int, pictures: int = 1) -> None:
        """So many pictures were settled alike."""
        self._counts[reason] += pictures
        self._bytes += size
        self._pictures += pictures

    def tell_if_due(self) -> None:
        """Tell, when the last time is long enough ago."""
        if self._clock.now() - self._told[-1][0] >= _TELL_SECONDS:
            self._tell()

    def _tell(self) -> None:
        now = self._clock.now()
        self._told.append((now, self._pictures, self._bytes))
        while len(self._told) > 2 and now - self._told[0][0] > _WINDOW_SECONDS:
            self._told.popleft()
        then, pictures, size = self._told[0]
        seconds = max(now - then, 1e-9)
        self._on_progress(
            Progress(
                done=self._counts.total(),
                total=self._total,
                kept=self._counts[None],
                rejected={name: n for name, n in self._counts.items() if name is not None and n},
                images_per_second=(self._pictures - pictures) / seconds,
                megabytes_per_second=(self._bytes - size) / 1e6 / seconds,
            )
        )
