"""The store: what is published is whole, stays as it is, and is known by its content."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import publish_victim
import pytest
from publish_victim import ARTEFACT, FILES, meta_of, publish

from dcgan_assets.engine.results import Result, Row
from dcgan_assets.engine.store import META_FILE, Artefact, Input, Meta, Store
from dcgan_models.errors import UserError
from dcgan_models.files import write_json


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def read(store: Store, name: str = FILES[0], artefact: Artefact = ARTEFACT) -> str:
    return (store.folder(artefact) / name).read_text(encoding="utf-8")


def neighbours(store: Store) -> list[str]:
    """What lies beside the artefact, hidden things included."""
    return sorted(path.name for path in store.folder(ARTEFACT).parent.iterdir())


# --- Names and records ----------------------------------------------------------------------


def test_places_and_labels() -> None:
    whole, shard = Artefact("lsun/manifest", "data"), Artefact("lsun/images", "data", "03")
    assert (whole.label, whole.path) == ("lsun/manifest", Path("data/lsun/manifest"))
    assert (shard.label, shard.path) == ("lsun/images[03]", Path("data/lsun/images/03"))


def test_a_record_survives_the_disk(tmp_path: Path) -> None:
    meta = meta_of(
        inputs={"toy/images[00]": Input("d", "f", 7, 42)},
        seed=7,
        files={"a/b.txt": {"size": 1, "sha256": "x"}},
        checks=[{"check": "bounded", "passed": True, "facts": {"mean": 1.5}}],
        metadata={"count": "3"},
    )
    write_json(tmp_path / META_FILE, meta.model_dump())
    assert Meta.read(tmp_path) == meta


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '{"key": "x"}',
        "null",
        "[" * 100_000,
        '{"inputs": {"a": {"data_version": 1}}}',
        "\x00",
    ],
)
def test_a_record_that_is_not_whole_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / META_FILE).write_text(content, encoding="utf-8")
    assert Meta.read(tmp_path) is None


def test_a_record_with_a_field_of_another_kind_is_none(tmp_path: Path) -> None:
    write_json(tmp_path / META_FILE, {**meta_of().model_dump(), "files": ["a.txt"]})
    assert Meta.read(tmp_path) is None


def test_a_record_with_a_field_too_many_is_none(tmp_path: Path) -> None:
    write_json(tmp_path / META_FILE, {**meta_of().model_dump(), "other": 1})
    assert Meta.read(tmp_path) is None


# --- Publishing -----------------------------------------------------------------------------


def test_what_is_published_is_there_with_its_record(store: Store) -> None:
    publish(store, "one")
    meta = store.meta(ARTEFACT)
    assert meta is not None
    assert set(meta.files) == set(FILES)
    assert {facts["size"] for facts in meta.files.values()} == {3}
    # printf one | sha256sum
    digest = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    assert {facts["sha256"] for facts in meta.files.values()} == {digest}
    assert store.verify(ARTEFACT) is None
    assert neighbours(store) == ["images"]


def test_published_files_are_read_only(store: Store) -> None:
    publish(store, "one")
    paths = [path for path in store.folder(ARTEFACT).rglob("*") if path.is_file()]
    assert len(paths) == 3
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o444}


def test_files_that_dvc_has_linked_are_replaced_and_not_written_into(
    store: Store, tmp_path: Path
) -> None:
    publish(store, "one")
    cache = tmp_path / "cache"
    cache.mkdir()
    for number, name in enumerate((*FILES, META_FILE)):
        (cache / str(number)).hardlink_to(store.folder(ARTEFACT) / name)
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(cache.iterdir())]
    publish(store, "two")
    assert read(store) == "two"
    assert [(p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(cache.iterdir())] == before
    assert {path.stat().st_nlink for path in cache.iterdir()} == {1}


def test_a_failed_making_leaves_what_was_published(store: Store) -> None:
    publish(store, "one")

    def fail() -> None:
        with store.writing(ARTEFACT) as staging:
            (staging / "half").touch()
            raise UserError("half-way")

    with pytest.raises(UserError, match="half-way"):
        fail()
    assert read(store) == "one"
    assert neighbours(store) == ["images"]


def test_a_reader_never_sees_a_file_of_another_making(store: Store) -> None:
    """Files of the old artefact that the new one has not are gone with it."""
    publish(store, "one")
    with store.writing(ARTEFACT) as staging:
        (staging / "other.txt").touch()
        store.publish(staging, ARTEFACT, meta_of())
    assert not (store.folder(ARTEFACT) / "deep").exists()


def test_shards_are_published_one_by_one(store: Store) -> None:
    first, second = (Artefact("toy/photos", "data", shard) for shard in ("00", "01"))
    publish(store, "zero", first)
    publish(store, "one", second)
    publish(store, "two", second)
    assert (read(store, artefact=first), read(store, artefact=second)) == ("zero", "two")


@pytest.mark.parametrize(
    "exchange",
    [
        pytest.param(True, id="exchange"),
        pytest.param(False, id="rename", marks=pytest.mark.slow),
    ],
)
def test_kill_at_any_line_of_publishing(fast_disk: Path, exchange: bool) -> None:
    """The old artefact or the new one, whole; and nothing left behind after the next making.

    Without an atomic exchange there is one moment in which neither is in place.
    """
    done = subprocess.run(
        [sys.executable, str(publish_victim.__file__), str(fast_disk), str(int(exchange))],
        capture_output=True,
        text=True,
        check=True,
    )
    rows: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) > 40
    assert [row["code"] for row in rows] == [-9] * (len(rows) - 1) + [0]
    found = [row["found"] for row in rows]
    turn = found.index("new")
    assert set(found[turn:]) == {"new"}
    if exchange:
        assert set(found[:turn]) == {"old"}
    else:
        absent = found[:turn].count(None)
        assert 1 <= absent <= 2
        assert found[:turn] == ["old"] * (turn - absent) + [None] * absent
    assert {row["next"] for row in rows} == {"old"}
    assert {tuple(row["left"]) for row in rows} == {("images",)}


# --- Two writers ----------------------------------------------------------------------------


def test_one_writer_is_in_nobodys_way_elsewhere(store: Store) -> None:
    with store.writing(ARTEFACT), store.writing(Artefact("toy/images", "data", "01")):
        pass
    with store.writing(ARTEFACT):
        pass


_HOLDER = """
import sys
from pathlib import Path
from dcgan_assets.engine.store import Artefact, Store
with Store(Path(sys.argv[1])).writing(Artefact("toy/images", "data")):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_waits_until_the_first_one_is_done_or_dead(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so at once, and again; and clears nothing of the first one's."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(store.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        said: list[str] = []

        def say(line: str) -> None:
            said.append(line)
            if len(said) == 2:
                assert len(neighbours(store)) == 1
                holder.kill()

        monkeypatch.setattr("dcgan_assets.engine.store.say", say)
        monkeypatch.setattr("dcgan_assets.engine.store._SAY_SECONDS", 0.01)
        publish(store, "mine")
    assert set(said) == {"toy/images: waiting for another process, which is making it"}
    assert read(store) == "mine"
    assert neighbours(store) == ["images"]


# --- Versions of content --------------------------------------------------------------------


def version_of(store: Store, files: dict[str, str]) -> str:
    with store.writing(ARTEFACT) as staging:
        for name, content in files.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).write_text(content, encoding="utf-8")
        return store.content_version(staging)


def test_a_version_is_that_of_names_and_contents(store: Store) -> None:
    one = version_of(store, {"a": "1", "b/c": "2"})
    assert one == version_of(store, {"b/c": "2", "a": "1"})
    others = [
        {"a": "1", "b/c": "3"},
        {"a": "2", "b/c": "1"},
        {"a": "1", "b/d": "2"},
        {"a": "1"},
        {"a": "1", "b/c": "2", "d": ""},
        {"a": "1", "b": "", "c": "2"},
    ]
    assert one not in {version_of(store, other) for other in others}


def test_the_record_is_no_part_of_the_version(store: Store) -> None:
    assert version_of(store, {"a": "1"}) == version_of(store, {"a": "1", META_FILE: "{}"})


def result_version(store: Store, **changes: Any) -> str:
    content: dict[str, Any] = {
        "asset": "toy/summary",
        "paper_ref": "Figure 0",
        "profile": "sample",
        "stand_in": True,
        "rows": [Row(name="mean", value=1.5)],
    }
    with store.writing(ARTEFACT) as staging:
        Result(**{**content, **changes}).write(staging)
        return store.content_version(staging)


def test_a_result_counts_by_what_was_found(store: Store) -> None:
    plain = result_version(store)
    assert plain == result_version(store, hardware="a faster machine", duration_s=0.1)
    assert plain != result_version(store, rows=[Row(name="mean", value=1.6)])
    assert plain != result_version(store, stand_in=False)


# --- What counts as published ---------------------------------------------------------------


def test_nothing_is_published_where_nothing_is(store: Store) -> None:
    assert store.meta(ARTEFACT) is None
    store.folder(ARTEFACT).mkdir(parents=True)
    assert store.meta(ARTEFACT) is None


@pytest.mark.parametrize("name", [*FILES, META_FILE])
def test_a_missing_file_is_noticed(store: Store, name: str) -> None:
    publish(store, "one")
    (store.folder(ARTEFACT) / name).unlink()
    assert store.meta(ARTEFACT) is None


def test_a_file_of_another_size_is_noticed(store: Store) -> None:
    publish(store, "one")
    replace_file(store.folder(ARTEFACT) / FILES[1], "three")
    assert store.meta(ARTEFACT) is None


def test_a_file_beside_those_of_the_record_changes_nothing_about_them(store: Store) -> None:
    publish(store, "one")
    before = store.meta(ARTEFACT)
    (store.folder(ARTEFACT) / "deep" / "more").touch()
    assert store.meta(ARTEFACT) == before is not None
    assert store.content_version(store.folder(ARTEFACT)) == before.data_version


def test_verify_reads_every_byte(store: Store) -> None:
    publish(store, "one")
    replace_file(store.folder(ARTEFACT) / FILES[1], "two")
    assert store.meta(ARTEFACT) is not None, "the size is the same"
    assert store.verify(ARTEFACT) == FILES[1]
    (store.folder(ARTEFACT) / FILES[0]).unlink()
    assert store.verify(ARTEFACT) == META_FILE


def replace_file(path: Path, content: str) -> None:
    path.unlink()
    path.write_text(content, encoding="utf-8")


def test_require_names_everything_that_is_missing(store: Store) -> None:
    shards = [Artefact("toy/photos", "data", f"{number:02d}") for number in range(3)]
    publish(store, "one", shards[1])
    with pytest.raises(UserError) as caught:
        store.require([ARTEFACT, *shards])
    assert str(caught.value) == (
        "missing: toy/images, toy/photos[00], toy/photos[02]; run `dcgan materialize toy/images`"
    )
    assert set(store.require([shards[1]])) == {"toy/photos[01]"}


# --- Keeping, clearing ----------------------------------------------------------------------


def test_what_is_kept_has_the_same_version_and_stays_read_only(store: Store) -> None:
    publish(store, "one")
    before = store.meta(ARTEFACT)
    with store.writing(ARTEFACT) as staging:
        store.keep(ARTEFACT, staging)
        kept = meta_of(data_version=store.content_version(staging), fingerprint="new")
        store.publish(staging, ARTEFACT, kept)
    after = store.meta(ARTEFACT)
    assert before is not None
    assert after is not None
    assert (after.data_version, after.files) == (before.data_version, before.files)
    assert after.fingerprint == "new"
    assert store.verify(ARTEFACT) is None


def test_shards_of_another_count_are_cleared(store: Store) -> None:
    for shard in ("00", "01", "02"):
        publish(store, shard, Artefact("toy/photos", "data", shard))
    store.clear_foreign_shards("toy/photos", "data", ("00", "01"))
    assert sorted(path.name for path in (store.root / "data/toy/photos").iterdir()) == ["00", "01"]
    store.clear_foreign_shards("toy/nothing", "data", ("00",))


# --- Disks that refuse ----------------------------------------------------------------------


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 4 KB: the system refuses as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_leaves_what_was_published(store: Store) -> None:
    publish(store, "one")
    with full_disk(), pytest.raises(OSError, match="File too large") as caught:
        publish(store, "x" * 10_000)
    assert caught.value.errno == errno.EFBIG
    assert read(store) == "one"
    assert store.verify(ARTEFACT) is None
    assert neighbours(store) == ["images"]


def test_a_disk_that_is_full_at_the_record(store: Store) -> None:
    """The files fit, their record does not: still nothing of it is published."""
    publish(store, "one")

    def publish_with_a_large_record() -> None:
        with store.writing(ARTEFACT) as staging:
            (staging / FILES[0]).write_text("two", encoding="utf-8")
            store.publish(staging, ARTEFACT, meta_of(metadata={"picture": "x" * 10_000}))

    with full_disk(), pytest.raises(OSError, match="File too large"):
        publish_with_a_large_record()
    assert read(store) == "one"
    assert neighbours(store) == ["images"]


@pytest.fixture
def foreign_store() -> Iterator[Store]:
    """A store that belongs to somebody else, while this process is an ordinary user."""
    root = Path(tempfile.mkdtemp())
    store = Store(root)
    publish(store, "one")
    was_root = os.geteuid() == 0
    for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
        folder.chmod(0o555)
    if was_root:
        os.seteuid(65534)  # nobody: the rights of root would pass every refusal
    try:
        yield store
    finally:
        if was_root:
            os.seteuid(0)
        for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
        shutil.rmtree(root)


def test_a_root_that_cannot_be_written(foreign_store: Store) -> None:
    with pytest.raises(PermissionError) as caught:
        publish(foreign_store, "two")
    assert "\n" not in str(caught.value)
    assert str(foreign_store.root) in str(caught.value)
    assert read(foreign_store) == "one"
