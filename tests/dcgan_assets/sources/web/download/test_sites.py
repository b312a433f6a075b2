"""Whose turn it is: limits kept, nobody starved, sites left alone and given up."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan_assets.sources.web.download.ledger import Job
from dcgan_assets.sources.web.download.sites import Sites
from dcgan_assets.sources.web.download.turns import Turns
from dcgan_assets.sources.web.wanted import Limits

LIMITS = Limits("", per_site=2, delay=0.0, site_megabits=None, gone_after=3, gone_rounds=2)


class Ledger:
    """Pictures that wait, by site; and how many were ever taken and not yet asked for."""

    def __init__(self, **counts: int) -> None:
        self.left = dict(counts)
        self.in_hand = self.most_in_hand = 0

    def take(self, site: str, count: int) -> list[Job]:
        assert self.left[site] >= count > 0
        self.left[site] -= count
        self.in_hand += count
        self.most_in_hand = max(self.most_in_hand, self.in_hand)
        numbers = range(self.left[site], self.left[site] + count)
        return [Job(f"{site} {n}", "", "", site, 0, 0, 0.0, "", None, "") for n in numbers]


class Alone(Turns):
    """The turns of the only shard there is, without a file."""

    def __init__(self) -> None:
        super().__init__(Path())

    def take(self, site: str) -> float | None:
        return 0.0

    def leave_alone(self, site: str, seconds: float) -> None:
        pass

    def give_back(self, site: str) -> None:
        pass


def sites_of(ledger: Ledger, limits: Limits = LIMITS) -> Sites:
    sites = Sites(limits, ledger.take, Alone())
    for name, count in ledger.left.items():
        sites.add(name, count)
        sites.learn(name, None, 0.0)
    return sites


def test_one_request_until_robots_are_known_and_one_with_a_crawl_delay() -> None:
    ledger = Ledger(a=10)
    sites = Sites(LIMITS, ledger.take, Alone())
    sites.add("a", 10)
    assert sites.take(0.0) is not None
    assert sites.take(0.0) is None
    sites.learn("a", None, 0.0)
    sites.ended("a", 0, 0.0)
    assert [sites.take(0.0) is not None for _ in range(3)] == [True, True, False]
    sites.learn("a", 5.0, 0.0)
    for _ in range(2):
        sites.ended("a", 0, 1.0)
    assert sites.take(4.9) is None
    assert sites.next_time() == pytest.approx(5.0)
    assert sites.take(5.0) is not None
    sites.ended("a", 0, 6.0)
    assert sites.take(9.9) is None
    assert sites.take(10.0) is not None


def test_a_site_of_100_000_holds_up_no_other_and_takes_no_room() -> None:
    ledger = Ledger(big=100_000, **{f"small{n}": 20 for n in range(50)})
    sites = sites_of(ledger, replace(LIMITS, per_site=100))
    turns: Counter[str] = Counter()
    for _ in range(51 * 20):
        job = sites.take(1.0)
        assert job is not None
        ledger.in_hand -= 1
        turns[job.site] += 1
        sites.ended(job.site, 0, 1.0)
    assert turns == dict.fromkeys(ledger.left, 20), "everybody in turn"
    assert ledger.most_in_hand <= 4096


def test_thousands_of_sites_take_little_room() -> None:
    ledger = Ledger(**{f"s{n}": 40 for n in range(5_000)})
    sites = sites_of(ledger)
    for _ in range(10_000):
        assert sites.take(1.0) is not None
    assert ledger.most_in_hand <= 10_000, "one at a time of each"


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 2), st.floats(0, 3)), max_size=60),
    st.integers(1, 3),
    st.floats(0.1, 2),
)
def test_limits_hold_whatever_happens(
    script: list[tuple[str, float, float]], per_site: int, delay: float
) -> None:
    """Requests that take any time, sites that ask for pauses: never too many, never too soon."""
    ledger = Ledger(a=30, b=30, c=30)
    sites = sites_of(ledger, replace(LIMITS, per_site=per_site, delay=delay))
    now = 0.0
    active: Counter[str] = Counter()
    starts: dict[str, list[float]] = defaultdict(list)
    closed = dict.fromkeys("abc", 0.0)
    for name, step, pause in script:
        now += step
        while (job := sites.take(now)) is not None:
            assert now >= closed[job.site]
            active[job.site] += 1
            starts[job.site].append(now)
        for site, count in active.items():
            assert count <= per_site, site
        if active[name]:
            active[name] -= 1
            sites.pause(name, now + pause)
            closed[name] = max(closed[name], now + pause)
            sites.ended(name, 100, now)
    for times in starts.values():
        gaps = [later - sooner for sooner, later in pairwise(times)]
        assert min(gaps, default=delay) >= delay - 1e-9


def test_average_rate() -> None:
    ledger = Ledger(a=1000)
    sites = sites_of(ledger, replace(LIMITS, site_megabits=8.0))
    now, sent = 0.0, 0
    while now < 60:
        job = sites.take(now)
        if job is None:
            at = sites.next_time()
            assert at is not None
            now = max(at, now + 0.001)
            continue
        sent += 500_000
        sites.ended("a", 500_000, now)
    assert 60e6 <= sent <= 63e6, "a megabyte a second, and two seconds' worth ahead"


def test_left_alone_then_asked_one_at_a_time_then_given_up() -> None:
    sites = sites_of(Ledger(a=100))
    for _ in range(2):
        assert sites.take(0.0) is not None
        assert not sites.failed("a", 0.0)
    assert not sites.failed("a", 0.0)  # the third in a row: a pause
    for _ in range(2):
        sites.ended("a", 0, 0.0)
    assert not sites.failed("a", 1.0), "begun before the pause: no news"
    assert sites.take(59.0) is None
    assert sites.take(60.0) is not None
    assert sites.take(60.0) is None, "one at a time"
    assert not sites.failed("a", 60.0)
    sites.ended("a", 0, 60.0)
    assert sites.take(119.0) is None
    assert sites.take(120.0) is not None
    assert sites.failed("a", 120.0), "the end after two pauses"
    sites.give_up("a", "HTTP 503")
    sites.ended("a", 0, 120.0)
    assert sites.gone("a") == "HTTP 503"
    assert sites.take(1e9) is None
    assert sites.next_time() is None


def test_an_answer_makes_good_for_all_failures() -> None:
    sites = sites_of(Ledger(a=100))
    for _ in range(10):
        assert not sites.failed("a", 0.0)
        assert not sites.failed("a", 0.0)
        sites.succeeded("a")
    assert sites.take(0.0) is not None
    assert sites.take(0.0) is not None


def test_retries_come_when_due_and_never_for_a_site_that_is_gone() -> None:
    sites = sites_of(Ledger(a=1, b=1))
    first, second = sites.take(0.0), sites.take(0.0)
    assert first is not None
    assert second is not None
    for job in (first, second):
        sites.ended(job.site, 0, 0.0)
        sites.retry(job, 5.0)
    assert sites.take(4.9) is None
    sites.give_up(first.site, "gone")
    assert sites.take(5.0) is second
    sites.ended(second.site, 0, 5.0)
    assert sites.take(6.0) is None
    assert sites.next_time() is None
