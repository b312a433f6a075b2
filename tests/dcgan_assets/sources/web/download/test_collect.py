"""Pictures on this machine take the road of the web: same checks, same files, same removals."""

from __future__ import annotations

import hashlib
import resource
from pathlib import Path

import pyarrow.parquet as pq
from fixture_types import Refused
from picture_servers import Bench, Server, encoded, jpeg, picture, wanted

from dcgan_assets.sources.reading.items import UnreadableError
from dcgan_assets.sources.web.download.collect import collect
from dcgan_assets.sources.web.download.packing import packed_pictures

CONTENT = {
    "a.jpg": jpeg(1),
    "b/../b.png": encoded("PNG"),
    "c.jpg": jpeg(1),
    "d.txt": b"no picture",
    "e.jpg": jpeg(2)[:-100],
    "f.jpg": jpeg(3),
    "Ω.jpg": jpeg(4),
}


def read(address: str) -> bytes:
    if address not in CONTENT:
        raise UnreadableError("gone")
    return CONTENT[address]


def contents(folder: Path) -> dict[str, bytes]:
    return {key: place.read() for key, place in packed_pictures(folder)}


def reasons(out: Path) -> dict[str, str | None]:
    table = pq.read_table(out / "manifest.parquet").to_pydict()
    return dict(zip(table["key"], table["reason"], strict=True))


def test_collected_as_from_the_web(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    removed = hashlib.sha256(jpeg(3)).hexdigest()
    pictures = [wanted(name, name) for name in [*CONTENT, "lost.jpg"]]

    def again() -> None:
        packed = collect(
            pictures, read, tmp_path / "work", out, is_removed=lambda one, sha256: sha256 == removed
        )
        assert packed is not None
        assert (packed.kept, packed.rejected) == (3, 5)

    again()
    assert reasons(out) == {
        "a.jpg": None,
        "b/../b.png": None,
        "c.jpg": "duplicate content",
        "d.txt": "not a picture",
        "e.jpg": "truncated",
        "f.jpg": "removed",
        "lost.jpg": "unreadable",
        "Ω.jpg": None,
    }
    assert contents(out) == {key: CONTENT[key] for key in ("a.jpg", "b/../b.png", "Ω.jpg")}
    log = pq.read_table(out / "log.parquet")
    assert log["fetched_at"].null_count == len(log) > 0, "else it is another shard every time"
    first = (out / "manifest.parquet").read_bytes()
    again()
    assert (out / "manifest.parquet").read_bytes() == first

    served = {f"/{n}": picture(data) for n, data in enumerate(CONTENT.values())}
    with Server(served).running() as server:
        rows = Bench(tmp_path / "web").run(
            [wanted(server.url(f"/{n}"), name) for n, name in enumerate(CONTENT)], server
        )
    for key, row in rows.items():
        if key != "f.jpg":
            assert row["reason"] == reasons(out)[key]


def test_stopped_and_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    pictures = [wanted(str(n), f"{n:03}") for n in range(150)]
    asked: list[str] = []

    def counted(address: str) -> bytes:
        asked.append(address)
        return jpeg(int(address), 33)

    stops = iter([False, True])
    folders = (tmp_path / "work", tmp_path / "out")
    assert collect(pictures, counted, *folders, should_stop=lambda: next(stops)) is None
    packed = collect(pictures, counted, *folders)
    assert packed is not None
    assert packed.kept == 150
    assert len(asked) == len(set(asked)) == 150


def test_what_nobody_wants_any_more_is_overwritten(tmp_path: Path) -> None:
    """Its person may have been removed: then no row says so, it is just not there."""
    out, work = tmp_path / "out", tmp_path / "work"
    out.mkdir()
    for names in (["a.jpg", "f.jpg", "Ω.jpg"], ["Ω.jpg"]):
        collect([wanted(name, name) for name in names], read, work, out)
    kept = (work / "pictures.bin").read_bytes()
    assert CONTENT["Ω.jpg"] in kept
    assert CONTENT["a.jpg"] not in kept
    assert CONTENT["f.jpg"] not in kept
    # Wanted again, it is read again.
    collect([wanted("a.jpg", "a.jpg")], read, work, out)
    assert contents(out) == {"a.jpg": CONTENT["a.jpg"]}


def test_a_full_disk_is_one_line(tmp_path: Path, refused: Refused) -> None:
    """SQLite has errors of its own for it; files that may not grow stand in for the disk."""
    pictures = [wanted("a.jpg", f"{n:05}", author="A" * 1000) for n in range(2000)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with refused("work: cannot be written or read ("):
            collect(pictures, read, tmp_path / "work", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
