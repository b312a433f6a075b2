"""Files of somebody else's in the places that are written: nothing is made, and they stay."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import small_graph
from fixture_types import Refused
from publish_victim import ARTEFACT, meta_of, publish
from small_graph import IDENTITY, MADE_AT_ONCE, SmallGraph

from dcgan_assets.definitions import build_definitions
from dcgan_assets.dvc.dvc_yaml import stage_names, write_dvc_yaml
from dcgan_assets.engine.records import RECORDS, require_records_alone
from dcgan_assets.engine.store import META_FILE, Artefact, Store

PICTURES = tuple(f"{name}/{number:02d}.jpg" for name in ("siamese", "tabby") for number in range(3))


def put(folder: Path, *names: str) -> dict[Path, bytes]:
    """Files of somebody else's."""
    found = {folder / name: f"mine: {name}".encode() for name in names}
    for path, content in found.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return found


def stand(found: dict[Path, bytes]) -> bool:
    return all(path.read_bytes() == content for path, content in found.items())


# --- In the store -----------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.mark.parametrize(
    "name", ["note.txt", "deep/cat.jpg", "deep/_meta.json", "00/cat.jpg", "cats/_meta.json"]
)
@pytest.mark.parametrize("made", [False, True], ids=["never made", "made"])
def test_what_no_record_lists_stops_the_making(
    store: Store, refused: Refused, name: str, made: bool
) -> None:
    if made:
        publish(store, "one")
    before = store.meta(ARTEFACT)
    found = put(store.folder(ARTEFACT), name)
    place = store.folder(ARTEFACT) / name
    with refused(f"{place}: not ours", "toy/images is to be made", "pictures/toy"):
        publish(store, "two")
    assert stand(found)
    assert store.meta(ARTEFACT) == before
    assert sorted(path.name for path in store.folder(ARTEFACT).parent.iterdir()) == ["images"]


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "deep/desktop.ini", ".hidden/cat.jpg"])
def test_litter_stops_nothing_and_goes_over(store: Store, name: str) -> None:
    found = put(store.folder(ARTEFACT), name)
    for content in ("one", "two"):
        publish(store, content)
        assert stand(found)
        assert store.verify(ARTEFACT) is None
    assert name not in store.meta(ARTEFACT).files  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "record",
    [
        pytest.param("{}", id="empty"),
        pytest.param('{"key": "toy/other", "shard": null, "files": {"cat.jpg": {}}}', id="other's"),
        pytest.param(
            '{"key": "toy/images", "shard": "00", "files": {"cat.jpg": {}}}', id="shard's"
        ),
        pytest.param('{"key": "toy/images", "shard": null, "files": 3}', id="no list"),
        pytest.param('{"key": "toy/images", "shard": null, "files": {"../x": {}}}', id="outside"),
    ],
)
def test_a_record_that_is_not_the_places_own_makes_nothing_ours(
    store: Store, refused: Refused, record: str
) -> None:
    folder = store.folder(ARTEFACT)
    found = put(folder, "cat.jpg") | put(folder.parent, "x")
    (folder / META_FILE).write_text(record, encoding="utf-8")
    with refused("not ours"):
        publish(store, "one")
    assert stand(found)


def test_names_in_a_record_lead_nowhere_else(store: Store) -> None:
    """A forged record and a link to somebody's pictures: nothing behind either is touched."""
    mine = put(store.root / "mine", "a.jpg")
    folder = store.folder(ARTEFACT)
    folder.mkdir(parents=True)
    (folder / "link").symlink_to(store.root / "mine")
    names = ["link/a.jpg", "../../../mine/a.jpg", str(store.root / "mine/a.jpg"), "link"]
    record = {"key": "toy/images", "shard": None, "files": {name: {} for name in names}}
    (folder / META_FILE).write_text(json.dumps(record), encoding="utf-8")
    publish(store, "one")
    assert stand(mine)
    assert store.verify(ARTEFACT) is None


def test_the_record_of_an_earlier_version_counts(store: Store) -> None:
    publish(store, "one")
    path = store.folder(ARTEFACT) / META_FILE
    content = json.loads(path.read_text("utf-8"))
    for name in ("run", "checks", "metadata", "hardware", "inputs"):
        del content[name]
    path.unlink()
    path.write_text(json.dumps(content | {"since_gone": 1}), encoding="utf-8")
    assert store.meta(ARTEFACT) is None
    publish(store, "two")
    assert store.verify(ARTEFACT) is None


def test_a_file_in_the_place_of_a_folder(store: Store, refused: Refused) -> None:
    found = put(store.folder(ARTEFACT).parent, "images")
    with refused(f"{store.folder(ARTEFACT)}: not ours"):
        publish(store, "one")
    assert stand(found)


def test_a_place_that_is_a_symlink_is_written_where_it_leads(
    store: Store, tmp_path: Path, refused: Refused
) -> None:
    """To a larger disk, say; and to somebody's pictures it is refused."""
    disk = tmp_path / "disk"
    disk.mkdir()
    folder = store.folder(ARTEFACT)
    folder.parent.mkdir(parents=True)
    folder.symlink_to(disk)
    for content in ("one", "two"):
        publish(store, content)
    assert folder.is_symlink()
    assert (disk / "value.txt").read_text() == "two"
    found = put(disk, "cat.jpg")
    with refused("cat.jpg: not ours"):
        publish(store, "three")
    assert stand(found)


@pytest.mark.parametrize("target", ["images", "nowhere", "../../../gone/images"])
@pytest.mark.parametrize("which", ["toy/images", "toy", "."])
def test_a_place_that_is_a_symlink_to_nothing_is_one_line(
    store: Store, refused: Refused, which: str, target: str
) -> None:
    """The asset's, its group's or all of its kind's; and nothing is made where it would lead."""
    link = store.root / "data" / which
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(link.name if target == "images" else target)
    before = sorted(store.root.parent.rglob("*"))
    for work in (lambda: publish(store, "one"), lambda: store.require_ours("toy/images", "data")):
        with refused(f"{link}: a symlink to nothing, where toy/images"):
            work()
    left = {p for p in store.root.parent.rglob("*") if p.parent.name != "locks"}
    assert left <= {*before, store.root / "runs", store.root / "runs/locks"}


def test_clearing_shards_leaves_what_no_shard_lists(store: Store) -> None:
    for shard in ("00", "01", "02"):
        publish(store, shard, Artefact("toy/photos", "data", shard))
    found = put(store.root / "data/toy/photos", *PICTURES, "02/note.txt", "01/.DS_Store")
    store.clear_foreign_shards("toy/photos", "data", ("00",))
    left = {p for p in (store.root / "data/toy/photos").rglob("*") if p.is_file()}
    assert stand(found)
    shard = store.root / "data/toy/photos/00"
    assert left - set(found) == {shard / n for n in (META_FILE, "value.txt", "deep/value.txt")}


def test_a_shard_that_another_process_is_moving_in_is_ours(store: Store) -> None:
    """Its folder bears the mark no more, and has its name not yet."""
    publish(store, "01", Artefact("toy/photos", "data", "01"))
    place = store.root / "data/toy/photos"
    moving = (place / "01").rename(place / ".01.1e7df06b.part")
    store.require_ours("toy/photos", "data")
    store.clear_foreign_shards("toy/photos", "data", ("00", "01"))
    assert (moving / "value.txt").exists()
    store.clear_foreign_shards("toy/photos", "data", ("00",))
    assert not moving.exists()


@pytest.mark.parametrize("name", ["value.txt", "other.txt"])
def test_what_came_while_it_was_made_is_kept(
    store: Store, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Under its name where that is free, else in a folder that the log names."""
    with store.writing(ARTEFACT) as staging:
        (staging / "value.txt").write_text("made")
        found = put(store.folder(ARTEFACT), name)
        store.publish(staging, ARTEFACT, meta_of())
    assert (store.folder(ARTEFACT) / "value.txt").read_text() == "made"
    (content,) = found.values()
    if name == "other.txt":
        assert stand(found)
    else:
        (kept,) = store.folder(ARTEFACT).parent.glob("images.kept.*")
        assert (kept / name).read_bytes() == content
        assert str(kept) in caplog.text


# --- Through the commands ---------------------------------------------------------------------


def test_a_plan_with_one_foreign_file_makes_nothing(small: SmallGraph, refused: Refused) -> None:
    found = put(small.root / "results/toy/summary", "note.txt")
    with refused("results/toy/summary/note.txt: not ours"):
        small.run("toy/summary")
    assert not (small.root / "data").exists()
    assert stand(found)


def test_pictures_of_the_users_in_a_sharded_place(small: SmallGraph, refused: Refused) -> None:
    """As in data/cats/images/CLASS/*.jpg with a group `cats`."""
    found = put(small.root / "data/toy/images", *PICTURES)
    with refused("data/toy/images/siamese/00.jpg: not ours"):
        small.run("toy/images")
    assert stand(found)
    with small.instance() as instance:  # as the web UI starts it
        job = build_definitions(small.catalogue()).resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(["toy", "images"])],
            partition_key="00",
            raise_on_error=False,
        )
    assert not result.success
    assert stand(found)
    assert not list((small.root / "data/toy/images").glob("0*"))


def test_a_note_in_a_published_folder_makes_nothing_stale(
    released: SmallGraph, refused: Refused
) -> None:
    found = put(released.root / "data/toy/mean", "note.txt", ".DS_Store")
    assert released.run("toy/mean").planned == []
    with refused("note.txt: not ours"):
        released.run("toy/mean", force=True)
    assert stand(found)
    (released.root / "data/toy/mean/note.txt").unlink()
    assert released.run("toy/mean", force=True).code == 0
    assert (released.root / "data/toy/mean/.DS_Store").exists()


def test_records_are_written_only_among_records(released: SmallGraph, refused: Refused) -> None:
    require_records_alone(released.root)
    found = put(released.root / RECORDS, "README.md")
    with refused("README.md: no record of ours", RECORDS):
        require_records_alone(released.root)
    assert stand(found)


@pytest.mark.slow
def test_dvc_repro_stops_at_foreign_files(small: SmallGraph) -> None:
    """In the place of a stage that was never made, and in one that was made."""
    small.only(*MADE_AT_ONCE).change(machine={"dvc": "off"})
    small.under_dvc()
    write_dvc_yaml(small.catalogue(), stage_names(small.catalogue()))
    path = small.root / "dvc.yaml"
    command = f"{sys.executable} {small_graph.__file__} ."
    text = path.read_text("utf-8").replace("dcgan materialize --only", command)
    path.write_text(text, encoding="utf-8")
    never = put(small.root / "data/toy/constant", "cat.jpg", "deep/cat.jpg")
    said = repro(small, "toy-constant", code=1)
    assert "data/toy/constant/cat.jpg: not ours" in said
    assert stand(never)

    assert small.run("toy/mean").code == 0
    noted = put(small.root / "data/toy/mean", "note.txt")
    small.change(mean={"limit": 50.0})
    said = repro(small, "toy-mean", code=1)
    assert "data/toy/mean/note.txt: not ours" in said
    assert stand(noted)
    assert (small.root / "data/toy/mean/mean.json").exists()

    (small.root / "data/toy/mean/note.txt").unlink()
    repro(small, "toy-mean", code=0)
    assert small.meta("toy/mean")


@pytest.mark.slow
def test_what_a_bare_dvc_pull_brought_is_ours(released: SmallGraph) -> None:
    """The records come with it."""
    released.change(machine={"dvc": "commit"})
    released.under_dvc()
    assert released.run("toy/samples", force=True).code == 0
    released.dvc("push", "results/toy/samples")
    shutil.rmtree(released.root / "results/toy/samples")
    shutil.rmtree(released.root / ".dvc/cache")
    released.dvc("pull", "results/toy/samples")
    assert released.run("toy/samples").planned == []
    assert released.run("toy/samples", force=True).code == 0


def repro(graph: SmallGraph, stage: str, code: int) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "--single-item", stage],
        cwd=graph.root,
        env=os.environ | IDENTITY,
        capture_output=True,
        text=True,
    )
    assert min(1, done.returncode) == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr
