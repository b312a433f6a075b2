"""Shards that are fetched at once: never two at one site, and what each leaves to the next one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from picture_servers import SWIFT, Request, Server, jpeg, wanted
from test_sites import LIMITS, Ledger

from dcgan_assets.sources.web.download.download import download
from dcgan_assets.sources.web.download.packing import Packed
from dcgan_assets.sources.web.download.sites import Sites
from dcgan_assets.sources.web.download.turns import Turns


def test_one_at_a_time_and_the_next_one_waits(tmp_path: Path) -> None:
    with Turns(tmp_path / "turns") as ours, Turns(tmp_path / "turns") as theirs:
        assert ours.take("a.org:443") == 0.0
        assert theirs.take("a.org:443") is None
        assert theirs.take("b.org") == 0.0
        ours.leave_alone("a.org:443", 7.5)
        ours.give_back("a.org:443")
        assert ours.take("a.org:443") == 0.0, "who has asked it knows that itself"
        ours.give_back("a.org:443")
        assert theirs.take("a.org:443") == 7.5
    with Turns(tmp_path / "turns") as others:
        assert others.take("b.org") == 0.0


def test_a_killed_shard_leaves_its_turn_and_its_word(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from dcgan_assets.sources.web.download.turns import Turns\n"
        "with Turns(Path(sys.argv[1])) as turns:\n"
        "    turns.take('a.org'); turns.leave_alone('a.org', 3.0)\n"
        "    print('held', flush=True); time.sleep(3600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with Turns(tmp_path) as ours:
        assert ours.take("a.org") is None
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert ours.take("a.org") == 3.0


def test_two_shards_keep_the_limits_of_one(tmp_path: Path) -> None:
    """Their starts and what they are sent, by one clock, as one shard's would be."""
    limits = replace(LIMITS, delay=0.5, site_megabits=8.0)
    with Turns(tmp_path) as first, Turns(tmp_path) as second:
        shards = [Sites(limits, Ledger(a=60, b=60).take, turns) for turns in (first, second)]
        for sites in shards:
            for name in "ab":
                sites.add(name, 60)
        now, starts, both = 0.0, {"a": list[float](), "b": list[float]()}, Counter[int]()
        while any(sites.next_time() is not None for sites in shards):
            asked = [(number, sites.take(now)) for number, sites in enumerate(shards)]
            at_work = [job.site for _, job in asked if job is not None]
            assert len(at_work) == len(set(at_work)), "never two at one site"
            for number, job in asked:
                if job is not None:
                    starts[job.site].append(now)
                    both[number] += 1
                    shards[number].learn(job.site, None, now)
                    shards[number].ended(job.site, 1_000_000, now + 0.1)
            now += 0.1
    assert both == {0: 120, 1: 120}
    for times in starts.values():
        assert min(later - sooner for sooner, later in pairwise(times)) >= 0.5 - 1e-6
        assert times[-1] >= len(times) - 4.0, "a megabyte a second, two seconds' worth ahead each"


def test_shards_of_different_sites_are_fetched_at_once(tmp_path: Path) -> None:
    """Neither server answers before both were asked; the third one has both shards' pictures."""
    met = threading.Barrier(2)

    async def meet(request: Request) -> None:
        await asyncio.to_thread(met.wait)
        await request.answer(200, jpeg(1))

    async def numbered(request: Request) -> None:
        await request.answer(200, jpeg(int(request.path.rpartition("/")[2])))

    packed: dict[str, Packed | None] = {}
    with (
        Server(default=meet).running() as first,
        Server(default=meet).running() as second,
        Server(default=numbered).running() as shared,
    ):
        limits = replace(SWIFT, allow_private=tuple(s.site for s in (first, second, shared)))

        def fetch(name: str, own: Server, numbers: range) -> None:
            pictures = [wanted(own.url("/1"), "own")]
            pictures += [wanted(shared.url(f"/{n}"), f"k{n}") for n in numbers]
            (tmp_path / name).mkdir()
            packed[name] = download(pictures, tmp_path / f"work-{name}", tmp_path / name, limits)

        shards = [
            threading.Thread(target=fetch, args=("first", first, range(10, 15))),
            threading.Thread(target=fetch, args=("second", second, range(20, 25))),
        ]
        for shard in shards:
            shard.start()
        for shard in shards:
            shard.join()
    assert [(each.kept, each.rejected) for each in packed.values() if each] == [(6, 0)] * 2
    assert len(list((tmp_path / ".turns").iterdir())) == 3
