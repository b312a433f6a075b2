"""A shard from what is wanted to photos.tar: duplicates, removals, resuming, and the same bytes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixture_types import Refused
from picture_servers import (
    SWIFT,
    Bench,
    Request,
    Server,
    in_turn,
    jpeg,
    moved,
    picture,
    status,
    wanted,
)

from dcgan_assets.sources.reading.decode import Decoded, decode
from dcgan_assets.sources.web.contact import user_agent
from dcgan_assets.sources.web.download.download import download
from dcgan_assets.sources.web.download.packing import LOG_SCHEMA, MANIFEST_SCHEMA, packed_pictures
from dcgan_assets.sources.web.wanted import Limits, Progress, Wanted


async def numbered(request: Request) -> None:
    """Each address has a picture of its own."""
    await request.answer(200, jpeg(int(request.path.rpartition("/")[2])))


def files(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "out").iterdir()}


def test_what_is_in_a_shard(tmp_path: Path) -> None:
    extra = pa.schema([("rank", pa.int64()), ("query", pa.string())])
    with Server(default=numbered).running() as server:
        pictures = [
            wanted(server.url(f"/{n}"), f"k{n}", sha1="AB" * 20, extra={"rank": n})._replace(
                sha1=None if n else "AB" * 20
            )
            for n in range(9)
        ]
        pictures.append(wanted(server.url("/x/10?no"), "none", extra={"query": "Zoë"}))
        server.answers["/x/10?no"] = status(410)
        server.answers["/3"] = moved("/33")
        before = int(time.time())
        bench = Bench(tmp_path)
        rows = bench.run(pictures, server, extra=extra)
    assert bench.packed is not None
    assert (bench.packed.kept, bench.packed.rejected) == (9, 1)
    assert bench.packed.reasons == {"HTTP status": 1}
    assert bench.packed.bytes == sum(row["bytes"] or 0 for row in rows.values())
    assert list(rows) == sorted(one.key for one in pictures)
    table = pq.read_table(tmp_path / "out" / "manifest.parquet")
    assert table.schema.names == [*MANIFEST_SCHEMA.names, "rank", "query"]
    assert rows["none"]["query"] == "Zoë"
    assert rows["k4"]["rank"] == 4
    assert rows["k0"]["sha1"] == "ab" * 20
    assert rows["k3"]["final_address"] == server.url("/33")

    with tarfile.open(tmp_path / "out" / "photos.tar") as tar:
        members = {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]
        assert {(one.mtime, one.uid, one.mode) for one in tar} == {(0, 0, 0o644)}
    packed = (tmp_path / "out" / "photos.tar").read_bytes()
    for key, place in packed_pictures(tmp_path / "out"):
        row, data = rows[key], place.read()
        assert packed[row["offset"] :][: row["bytes"]] == data == members[f"{row['sha256']}.jpg"]
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
        found = decode(data)
        assert isinstance(found, Decoded)
        assert (found.width, found.height) == (row["width"], row["height"])
    assert members[f"{rows['k3']['sha256']}.jpg"] == jpeg(33)
    assert len(members) == 9

    log = pq.read_table(tmp_path / "out" / "log.parquet")
    assert log.schema.equals(LOG_SCHEMA)
    assert sorted(log["key"].to_pylist()) == sorted(rows)
    for at in log["fetched_at"].cast(pa.int64()).to_pylist():
        assert before <= at / 1000 <= time.time() + bench.clock.skipped


def test_order_of_input_and_of_arrival_changes_no_byte(tmp_path: Path) -> None:
    async def some_time(request: Request) -> None:
        await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311
        number = int(request.path.rpartition("/")[2])
        await request.answer(200 if number % 5 else 404, jpeg(number % 12))

    with Server(default=some_time).running() as server:
        pictures = [wanted(server.url(f"/{n}"), f"k{n}", sha1=f"{n % 40:040x}") for n in range(60)]
        results = []
        for seed in range(3):
            (tmp_path / str(seed)).mkdir()
            random.Random(seed).shuffle(pictures)  # noqa: S311
            bench = Bench(tmp_path / str(seed))
            bench.run(pictures, server)
            results.append(files(bench.root))
    for name in ("photos.tar", "manifest.parquet"):
        assert results[0][name] == results[1][name] == results[2][name]


def test_the_smallest_key_of_those_alike_is_kept(tmp_path: Path) -> None:
    with Server(default=numbered).running() as server:
        server.answers["/late"] = picture(jpeg(1))
        pictures = [
            wanted(server.url("/1"), "b"),
            wanted(server.url("/1#top").replace("http://", "HTTP://"), "a"),
            wanted(server.url("/1?utm_source=x"), "d"),
            wanted(server.url("/2"), "f", sha1="F0" * 20),
            wanted(server.url("/3"), "e", sha1="f0" * 20),
            wanted(server.url("/late"), "c"),
        ]
        rows = Bench(tmp_path).run(pictures, server)
        told = {key: (row["reason"], row["detail"]) for key, row in rows.items()}
        assert told == {
            "a": (None, ""),
            "b": ("duplicate address", "as a"),
            "c": ("duplicate content", "as a"),
            "d": ("duplicate address", "as a"),
            "e": (None, ""),
            "f": ("duplicate sha1", "as e"),
        }
        assert server.asked_for("/1") == 1
        assert server.asked_for("/2") == 0
    assert rows["c"]["sha256"] == rows["a"]["sha256"]
    assert rows["c"]["offset"] is None
    assert rows["b"]["sha256"] is None


def test_one_of_the_same_sha1_is_tried_in_place_of_one_that_fails(tmp_path: Path) -> None:
    with Server(default=numbered).running() as server:
        server.answers["/404"] = status(404)
        keys = {"a": "/404", "b": "/404?2", "c": "/7", "d": "/8"}
        server.answers["/404?2"] = status(410)
        pictures = [wanted(server.url(path), key, sha1="c" * 40) for key, path in keys.items()]
        for _ in range(2):  # and so it stays
            rows = Bench(tmp_path).run(pictures, server)
            assert {key: row["reason"] for key, row in rows.items()} == {
                "a": "HTTP status",
                "b": "HTTP status",
                "c": None,
                "d": "duplicate sha1",
            }
        assert server.asked.count("/7") == 1
        assert "/8" not in server.asked


def test_many_of_one_sha1_on_a_site_that_is_gone(tmp_path: Path) -> None:
    with Server(default=status(500)).running() as server:
        pictures = [wanted(server.url(f"/{n}"), f"{n:04}", sha1="c" * 40) for n in range(300)]
        bench = Bench(tmp_path)
        bench.limits = replace(SWIFT, gone_after=2, gone_rounds=1)
        told: list[Progress] = []
        rows = bench.run(pictures, server, on_progress=told.append)
    assert {row["reason"] for row in rows.values()} <= {"HTTP status", "site gone"}
    assert told[-1].done == told[-1].total == 300


def test_removals_are_honoured_before_after_and_again(tmp_path: Path) -> None:
    asked: list[tuple[str, str | None]] = []
    digests = {hashlib.sha256(jpeg(2)).hexdigest()}
    people = {"http://www.wikidata.org/entity/Q1"}

    def is_removed(one: Wanted, sha256: str | None) -> bool:
        asked.append((one.key, sha256))
        return one.person_uri in people or sha256 in digests

    with Server(default=numbered).running() as server:
        pictures = [wanted(server.url(f"/{n}"), f"k{n}") for n in range(4)]
        pictures[1] = pictures[1]._replace(person_uri="http://www.wikidata.org/entity/Q1")
        bench = Bench(tmp_path)
        rows = bench.run(pictures, server, is_removed=is_removed)
        assert [row["reason"] for row in rows.values()] == [None, "removed", "removed", None]
        assert "/1" not in server.asked
        assert ("k1", None) in asked
        assert rows["k2"]["sha256"] is None
        assert jpeg(2) not in (tmp_path / "work" / "pictures.bin").read_bytes()

        # Removed later: gone from the next result, without a request for the others.
        requests = len(server.asked)
        digests.add(hashlib.sha256(jpeg(3)).hexdigest())
        rows = bench.run(pictures, server, is_removed=is_removed)
        assert [row["reason"] for row in rows.values()] == [None, "removed", "removed", "removed"]
        assert len(server.asked) == requests
        pictures_file = (tmp_path / "work" / "pictures.bin").read_bytes()
        assert jpeg(0) in pictures_file
        assert jpeg(3) not in pictures_file

        digests.clear()
        rows = bench.run(pictures, server, is_removed=is_removed)
        assert [row["reason"] for row in rows.values()] == [None, "removed", None, None]


def test_what_is_removed_by_person_or_address_is_wiped_from_the_work_folder(
    tmp_path: Path,
) -> None:
    gone = "http://www.wikidata.org/entity/Q1"
    removals: dict[str, str] = {}

    def is_removed(one: Wanted, sha256: str | None) -> bool:
        return removals.get("person") == one.person_uri or removals.get("address") == one.address

    def on_disk() -> list[bool]:
        content = (tmp_path / "work" / "pictures.bin").read_bytes()
        return [jpeg(n) in content for n in range(4)]

    with Server(default=numbered).running() as server:
        pictures = [wanted(server.url(f"/{n}"), f"k{n}") for n in range(4)]
        pictures[1] = pictures[1]._replace(person_uri=gone)
        # Two people are said to be in one picture; one of them stays.
        pictures += [pictures[2]._replace(key="shared", person_uri=gone)]
        bench = Bench(tmp_path)
        bench.run(pictures, server, is_removed=is_removed)
        assert on_disk() == [True, True, True, True]
        removals["person"] = gone
        rows = bench.run(pictures, server, is_removed=is_removed)
        assert [row["reason"] for row in rows.values()] == [None, "removed", None, None, "removed"]
        assert on_disk() == [True, False, True, True]
        removals["address"] = server.url("/3")
        rows = bench.run(pictures, server, is_removed=is_removed)
        assert rows["k3"]["reason"] == "removed"
        assert on_disk() == [True, False, True, False]
        # What is no longer found at all may have been removed earlier on the way.
        bench.run(pictures[1:], server, is_removed=is_removed)
        assert on_disk() == [False, False, True, False]
        assert len(server.asked) == 1 + 4
        removals.clear()
        rows = bench.run(pictures, server, is_removed=is_removed)
        assert [row["reason"] for row in rows.values()] == [*[None] * 4, "duplicate address"]


def test_stopped_and_gone_on_with(tmp_path: Path) -> None:
    hold = threading.Event()

    async def held(request: Request) -> None:
        while not hold.is_set():
            await asyncio.sleep(0.005)
        await numbered(request)

    stop = threading.Event()

    def stop_at_20(progress: Progress) -> None:
        if progress.done == 20:
            stop.set()

    with Server(default=numbered).running() as server:
        server.answers |= {f"/{n}": held for n in range(20, 30)}
        pictures = [wanted(server.url(f"/{n}"), f"k{n:02}") for n in range(30)]
        bench = Bench(tmp_path)
        stopped = bench.run(pictures, server, should_stop=stop.is_set, on_progress=stop_at_20)
        assert stopped == {}
        assert not list((tmp_path / "out").iterdir())
        hold.set()
        told: list[Progress] = []
        rows = bench.run(pictures, server, on_progress=told.append)
        assert {row["status"] for row in rows.values()} == {"kept"}
        assert told[0].done == told[0].kept == 20
        assert [server.asked_for(f"/{n}") for n in range(20)] == [1] * 20


def test_lost_and_damaged_bytes_are_fetched_again(tmp_path: Path) -> None:
    with Server(default=numbered).running() as server:
        pictures = [wanted(server.url(f"/{n}"), f"k{n}") for n in range(3)]
        bench = Bench(tmp_path)
        bench.run(pictures, server)
        first = files(tmp_path)
        with (tmp_path / "work" / "pictures.bin").open("r+b") as stream:
            stream.seek(100)
            stream.write(b"damaged")
            stream.truncate(stream.seek(0, os.SEEK_END) - 1)
        bench.run(pictures, server)
        assert len(server.asked) == 1 + 3 + 2
    assert {name: files(tmp_path)[name] for name in ("photos.tar", "manifest.parquet")} == {
        name: first[name] for name in ("photos.tar", "manifest.parquet")
    }


def test_what_is_wanted_may_change_between_runs(tmp_path: Path) -> None:
    with Server(default=numbered).running() as server:
        bench = Bench(tmp_path)
        bench.run([wanted(server.url(f"/{n}"), f"k{n}") for n in range(4)], server)
        changed = [wanted(server.url(f"/{n}"), f"new{n}", author="Grace") for n in range(2, 6)]
        rows = bench.run(changed, server)
        assert list(rows) == ["new2", "new3", "new4", "new5"]
        assert {row["author"] for row in rows.values()} == {"Grace"}
        assert [server.asked_for(f"/{n}") for n in range(6)] == [1] * 6


def test_nothing_wanted(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.run([]) == {}
    assert bench.packed is not None
    with tarfile.open(tmp_path / "out" / "photos.tar") as tar:
        assert tar.getnames() == []


def test_progress_adds_up(tmp_path: Path) -> None:
    told: list[Progress] = []
    with Server(default=numbered).running() as server:
        server.answers["/5"] = in_turn(status(503), status(404))
        pictures = [wanted(server.url(f"/{n}"), f"k{n}") for n in range(6)]
        pictures.append(wanted(server.url("/1"), "twice"))
        Bench(tmp_path).run(pictures, server, on_progress=told.append)
    for one in told:
        assert one.done == one.kept + sum(one.rejected.values()) <= one.total == 7
    assert told[-1].rejected == {"HTTP status": 1, "duplicate address": 1}
    assert str(told[-1]).startswith(
        "7 of 7 done, 5 kept, rejected: 1 HTTP status, 1 duplicate address; "
    )
    assert max(one.images_per_second for one in told) > 0


def test_two_of_one_key(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not unique"):
        Bench(tmp_path).run([wanted("https://h.test/a", "k"), wanted("https://h.test/b", "k")])


def test_a_second_process_in_one_folder_is_refused(tmp_path: Path, refused: Refused) -> None:
    def again(request: Request) -> Any:
        return numbered(request)

    with Server(default=again).running() as server:
        inner: list[str] = []

        def on_progress(progress: Progress) -> None:
            if not inner:
                inner.append("asked")
                with refused("ledger.sqlite", "another process"):
                    Bench(tmp_path).run([], server)

        Bench(tmp_path).run([wanted(server.url("/1"))], server, on_progress=on_progress)
        assert inner


def test_a_ledger_that_is_none(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "ledger.sqlite").write_bytes(b"not a database at all" * 500)
    with refused("ledger.sqlite", "delete the folder"):
        Bench(tmp_path).run([])


def test_a_folder_that_cannot_be_written(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "work").write_text("a file")
    with refused("work", "cannot be written"):
        Bench(tmp_path).run([])


@pytest.mark.parametrize(
    ("contact", "named"),
    [
        ("", "missing"),
        ("me", "neither"),
        ("me@localhost", "neither"),
        ("me@h.test\r\nX: y", "neither"),
        ("me@h.test (me)", "neither"),
        ("you@example.com", "placeholder"),
        ("https://example.org/me", "placeholder"),
    ],
)
def test_without_a_contact_nothing_is_asked(
    tmp_path: Path, refused: Refused, contact: str, named: str
) -> None:
    def never() -> Any:
        pytest.fail("what is wanted was read")
        yield

    with refused("`contact`", named):
        download(never(), tmp_path / "work", tmp_path, Limits(contact))
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("contact", ["me@h.test", "mailto:me+x@h.test", "https://h.test/~me?a=b"])
def test_user_agent(contact: str) -> None:
    agent = user_agent(contact)
    assert agent.startswith("dcgan-assets/")
    assert f"({'mailto:' if contact == 'me@h.test' else ''}{contact}) aiohttp/" in agent


def test_allowing_private_addresses_is_loud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Server().running() as server:
        Bench(tmp_path).run([], server)
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert server.site in record.getMessage()
        caplog.clear()
        Bench(tmp_path).run([])
        assert not caplog.records


def test_one_site_is_asked_as_politely_as_the_limits_say(tmp_path: Path) -> None:
    async def slow(request: Request) -> None:
        await asyncio.sleep(0.01)
        await numbered(request)

    with Server(default=slow).running() as one, Server(default=slow).running() as other:
        pictures = [wanted(server.url(f"/{n}")) for server in (one, other) for n in range(12)]
        bench = Bench(tmp_path)
        bench.limits = replace(SWIFT, per_site=2, delay=0.005)
        bench.clock = type(bench.clock).__mro__[1]()  # the real one
        bench.run(pictures, one, other)
        for server in (one, other):
            assert server.most_at_once <= 2
            assert server.times[-1] - server.times[0] >= 12 * 0.005


@pytest.mark.slow
def test_100_000_addresses_of_one_site_hold_up_no_other(tmp_path: Path) -> None:
    tasks: list[int] = []

    async def slow(request: Request) -> None:
        await asyncio.sleep(0.05)
        await numbered(request)

    with Server(default=slow).running() as big, Server(default=numbered).running() as small:
        pictures = [wanted(big.url(f"/{n}"), f"a{n:06}") for n in range(100_000)]
        pictures += [wanted(small.url(f"/{n}"), f"z{n:06}") for n in range(50)]

        def small_done() -> bool:
            tasks.append(len(asyncio.all_tasks()))
            return len(small.asked) >= 51

        bench = Bench(tmp_path)
        bench.limits = replace(SWIFT, per_site=2, delay=0.01)
        assert bench.run(pictures, big, small, should_stop=small_done) == {}
        assert len(big.asked) < 200
    assert max(tasks) < 20


# -- kill -9


WORKER = """
import json, sys
from dcgan_assets.sources.web.download.download import download
from dcgan_assets.sources.web.wanted import Limits, Wanted
from pathlib import Path
root, limits, pictures = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
limits["allow_private"] = tuple(limits["allow_private"])
download(
    [Wanted(*one) for one in pictures], root / "work", root / "out", Limits(**limits),
    on_progress=lambda progress: print(progress.done, flush=True),
)
"""


def start(root: Path, limits: Limits, pictures: list[Wanted]) -> subprocess.Popen[bytes]:
    (root / "out").mkdir(exist_ok=True)
    arguments = [
        str(root),
        json.dumps(asdict(limits)),
        json.dumps([tuple(one) for one in pictures]),
    ]
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_and_go_on(tmp_path: Path, kills: int, count: int) -> None:
    """Kill at the n-th answer that the server gives; compare with a run that nobody killed."""
    reached = threading.Event()
    at = 0

    async def counted(request: Request) -> None:
        await asyncio.sleep(0.02)
        number = int(request.path.rpartition("/")[2])
        if number % 7 == 3:
            await request.answer(404)
        else:
            await request.answer(200, jpeg(number % (count - count // 10)))
        if len(server.asked) >= at:
            reached.set()

    rng = random.Random(2)  # noqa: S311
    with Server(default=counted).running() as server:
        pictures = [wanted(server.url(f"/{n}"), f"k{n:03}") for n in range(count)]
        # At most a hundred answers a second, however fast the machine is.
        limits = replace(SWIFT, per_site=2, allow_private=(server.site,))
        for _ in range(kills):
            reached.clear()
            at = len(server.asked) + rng.randrange(2, max(3, count // kills))
            process = start(tmp_path, limits, pictures)
            assert reached.wait(120)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            with (tmp_path / "work" / "ledger.sqlite-wal").open("ab") as torn:
                torn.write(b"half a frame")
        process = start(tmp_path, limits, pictures)
        assert process.wait(120) == 0
        asked = {n: server.asked_for(f"/{n}") for n in range(count)}
        assert min(asked.values()) == 1, "none lost"
        # Again at most what was under way at a kill, or came in the tenth of a second before it:
        # 2 requests, and 10 answers, or a few more where that tenth is cut unluckily.
        assert sum(asked.values()) - count <= kills * (2 + 10 + 4)
        rows = Bench(tmp_path).rows()
        clean = tmp_path / "clean"
        clean.mkdir()
        assert Bench(clean).run(pictures, server) == rows
    assert len(rows) == count
    for name in ("photos.tar", "manifest.parquet"):
        assert files(tmp_path)[name] == files(clean)[name]


def test_killed_once_and_gone_on_with(tmp_path: Path) -> None:
    kill_and_go_on(tmp_path, kills=1, count=40)


@pytest.mark.slow
def test_killed_ten_times_and_gone_on_with(tmp_path: Path) -> None:
    kill_and_go_on(tmp_path, kills=10, count=400)
