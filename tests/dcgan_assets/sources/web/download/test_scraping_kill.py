"""Processes that are killed in the middle of a search, and go on where they were."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from aiohttp import web
from api_servers import serving
from checkout import CHECKOUT

SEARCH = """
import sys
from pathlib import Path
from dcgan_assets.sources.web.search.client import Manners
from dcgan_assets.sources.web.search.found import Subject
from dcgan_assets.sources.web.removals import RemovalList
from dcgan_assets.sources.web.search.search import Searching, gather_addresses
url, folder = sys.argv[1], Path(sys.argv[2])
manners = Manners("ada@dcgan.test", pause=0.001, allow_private=True)
searching = Searching(("commons",), manners, commons_endpoint=url)
subjects = [Subject(f"x:{n}", f"Person {n}") for n in range(40)]
gather_addresses(subjects, searching, RemovalList(), folder / "work", folder)
"""


class Deadly:
    """A search of one picture a person, whose requests of certain numbers kill who asks."""

    def __init__(self, *deadly: int) -> None:
        self.deadly = set(deadly)
        self.asked: Counter[str] = Counter()
        self.victim = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        query = request.query["gsrsearch"]
        self.asked[query] += 1
        if self.asked.total() in self.deadly:
            os.kill(self.victim, signal.SIGKILL)
        name = f"{query.split()[1].strip(chr(34))}.jpg"
        info = {"url": f"https://u.example/{name}", "descriptionurl": f"https://c.example/{name}"}
        return web.json_response(
            {"batchcomplete": True, "query": {"pages": [{"imageinfo": [info]}]}}
        )


@pytest.mark.slow
def test_killed_twice_and_nothing_is_lost_or_asked_twice(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    codes = []
    search = Deadly(11, 30)
    with serving(search) as server:
        for _ in range(3):
            process = subprocess.Popen(
                [sys.executable, "-c", SEARCH, server.url, str(tmp_path)], env=environment
            )
            search.victim = process.pid
            codes.append(process.wait(240))
            assert (tmp_path / "image_urls.parquet").exists() == (codes[-1] == 0)
    assert codes == [-signal.SIGKILL, -signal.SIGKILL, 0]
    table = pq.read_table(tmp_path / "image_urls.parquet")
    assert table["address"].to_pylist() == [f"https://u.example/{n}.jpg" for n in range(40)]
    assert set(table["status"].to_pylist()) == {"kept"}
    # Only the requests in which it died were asked for again.
    assert len(search.asked) == 40
    assert search.asked.total() == 42
