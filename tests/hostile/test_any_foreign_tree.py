"""Whatever lies about in a workspace, whatever is done there, wherever it dies: all of it stays.

Files of somebody else's are strewn over all places that are written; one operation runs, and dies
at a random change of the disk, as by `kill -9`: nothing after that changes the disk any more. Then
it runs again, to its end. DCGAN_EXAMPLES says how many examples are drawn; `make test-hostile`
draws 500.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from dcgan_assets.dvc.release import REMOTE, made_objects
from dcgan_assets.engine.cleaning import remove_made, work_files
from dcgan_assets.engine.records import RECORDS, Record, records_in, require_records_alone
from dcgan_assets.engine.store import META_FILE, Artefact, Meta, Store
from dcgan_models import files
from dcgan_models.errors import UserError
from dcgan_models.files import BUILDING, remove_listed, staged, swap_in
from dcgan_models.presets import preset
from dcgan_models.training import TrainConfig
from dcgan_models.training.checkpoint import remove_half_files

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
EXAMPLES = int(os.environ.get("DCGAN_EXAMPLES", "150"))
IMAGES, FIGURE = Artefact("toy/images", "data"), Artefact("toy/figure", "results")
SHARDS = tuple(Artefact("toy/photos", "data", shard) for shard in ("00", "01", "02"))
WORK, RUN = "runs/toy/abcdef012345", "0f8fad5b-d9cb-469f-a165-70867728950e"

# Where files of others are strewn, and names that are like ours or like nothing.
_PLACES = (
    *("data/toy", "data/toy/images", "data/toy/images/deep", "data/toy/photos", "models/toy"),
    *("data/toy/photos/00", "data/toy/photos/02", "data/toy/photos/tabby", "results/toy/figure"),
    *("data/toy/.images.0123abcd.part", "data/toy/.images.4567abcd.old", "results", "runs/toy"),
    *("data/toy/photos/.00.0123abcd.part", "data/downloads/lsun", RECORDS, f"{RECORDS}/toy", WORK),
    *(f"{WORK}/states", f"{WORK}/result", "runs/locks", "runs/reproduce", REMOTE, ".dagster_home"),
    *(f"{REMOTE}/files/md5/ab", f".{REMOTE}.0123abcd.part", ".dagster_home/history/runs"),
    *(f".dagster_home/storage/{RUN}", f".dagster_home/storage/{RUN}/compute_logs"),
    *("history", "history/objects", "history/objects/ab", "history/publications/toy"),
)
_NAMES = (
    *(
        "cat.jpg",
        "notes.txt",
        ".DS_Store",
        "Thumbs.db",
        "_meta.json.bak",
        "value.txt~",
        "deep",
        "x",
    ),
    *("value.json", "README.md", "config.json.bak", "step_best.safetensors", "x.out.txt", "00.tar"),
    *("cafebabe.dir", "run.db.bak", ".hidden/cat.jpg", "more/deep/cat.jpg", "images.kept.0123abcd"),
)
strewn = st.lists(st.tuples(st.sampled_from(_PLACES), st.sampled_from(_NAMES)), max_size=12)


class Killed(BaseException):
    """The process is dead: nothing that it still does changes the disk."""


@contextmanager
def killed_after(changes: int | None) -> Iterator[None]:
    """Let so many changes of the disk happen and no more; None lets all."""
    done = 0

    def guarded(change: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal done
            done += 1
            if changes is not None and done > changes:
                raise Killed
            return change(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("unlink", "rmdir", "rename", "replace", "mkdir", "touch", "chmod", "open"):
            patch.setattr(Path, name, guarded(getattr(Path, name)))
        patch.setattr(files, "_exchange", guarded(files._exchange))
        yield


# --- What there is ----------------------------------------------------------------------------


def meta_of(artefact: Artefact) -> Meta:
    facts = {"data_version": "d", "code_version": "c", "fingerprint": "f", "inputs": {}}
    when = {"created": "2026", "duration_s": 1.0, "hardware": "a machine", "params_seed": 1}
    return Meta(key=artefact.key, shard=artefact.shard, seed=None, **facts, **when)


def publish(root: Path, artefact: Artefact, late: Callable[[], None] = lambda: None) -> None:
    store = Store(root)
    with store.writing(artefact) as staging:
        (staging / "deep").mkdir()
        for name in ("value.txt", "deep/value.txt"):
            with (staging / name).open("w") as stream:
                stream.write("made")
        late()
        store.publish(staging, artefact, meta_of(artefact))


def add_object(remote: Path, content: bytes, ending: str = "") -> str:
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    path = remote / "files" / "md5" / digest[:2] / f"{digest[2:]}{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return digest


def fill_remote(remote: Path, content: bytes) -> None:
    """A folder of ours, as DVC keeps it."""
    record = {"key": "toy/figure", "shard": None, "files": {"figure.png": {}}}
    named = {META_FILE: json.dumps(record).encode(), "figure.png": content}
    listed = [{"relpath": name, "md5": add_object(remote, c)} for name, c in named.items()]
    add_object(remote, json.dumps(listed).encode(), ".dir")


def write_record(folder: Path, name: str) -> None:
    record = Record(asset=f"toy/{name}", profile="sample", licence="open", entries=[])
    (folder / "toy").mkdir(parents=True, exist_ok=True)
    (folder / "toy" / f"{name}.json").write_text(record.model_dump_json(), encoding="utf-8")


def write_work(root: Path) -> None:
    config = TrainConfig(preset("mnist28"), data="elsewhere", seed=1, data_version="d")
    config.write(root / WORK)
    for name in (
        "states/step_000000010.safetensors",
        "states/.step_000000020.safetensors.0123abcd.part",
        "result/generator/.weights.safetensors.0123abcd.part",
    ):
        (root / WORK / name).parent.mkdir(parents=True, exist_ok=True)
        (root / WORK / name).write_bytes(b"state")


@pytest.fixture(scope="module")
def furnished() -> Iterator[Path]:
    """A workspace with something of every kind that we make, and what killed processes left."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        furnish(Path(folder))
        yield Path(folder)


def furnish(root: Path) -> None:
    for artefact in (IMAGES, FIGURE, *SHARDS):
        publish(root, artefact)
    left = root / "data/toy/.images.89abcdef.part"
    left.mkdir()
    (left / BUILDING).touch()
    (left / "half.npy").write_bytes(b"half")
    write_record(root / RECORDS, "images")
    fill_remote(root / REMOTE, b"first")
    write_work(root)
    logs = root / ".dagster_home/storage" / RUN / "compute_logs"
    logs.mkdir(parents=True)
    (logs / "made.out").write_text("printed")


# --- What is done -----------------------------------------------------------------------------


def release(root: Path) -> None:
    require_records_alone(root)
    with staged(root / REMOTE, made_objects) as staging:
        fill_remote(staging, b"second")
        swap_in(staging, root / REMOTE, made_objects)
    with staged(root / RECORDS, records_in) as staging:
        write_record(staging, "figure")
        swap_in(staging, root / RECORDS, records_in)


def clear_work(root: Path) -> None:
    remove_half_files(root / WORK)
    remove_listed(root / WORK, work_files(root / WORK))


OPERATIONS: dict[str, Callable[[Path], None]] = {
    "publish": lambda root: publish(root, IMAGES),
    "publish a result": lambda root: publish(root, FIGURE),
    "publish a shard": lambda root: publish(root, SHARDS[1]),
    "in one piece where shards were": lambda root: publish(root, Artefact("toy/photos", "data")),
    "a shard where one piece was": lambda root: publish(root, Artefact("toy/images", "data", "00")),
    "fewer shards": lambda root: Store(root).clear_foreign_shards("toy/photos", "data", ("00",)),
    "release": release,
    "clean": remove_made,
    "clear a work folder": clear_work,
}


def put(root: Path, scattered: list[tuple[str, str]], salt: str) -> dict[Path, bytes]:
    """Write files of somebody else's wherever nothing is in the way; what each holds."""
    found: dict[Path, bytes] = {}
    for number, (place, name) in enumerate(scattered):
        path = root / place / name
        with suppress(FileExistsError, NotADirectoryError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as stream:
                found[path] = f"{salt} {number} {place} {name}".encode()
                stream.write(found[path])
    return found


def _again(operation: str, root: Path) -> str:
    try:
        OPERATIONS[operation](root)
    except UserError:
        return "refused"
    return "done"


def contents(root: Path) -> set[bytes]:
    return {path.read_bytes() for path in root.rglob("*") if path.is_file()}


@settings(max_examples=EXAMPLES)
@given(
    st.sampled_from(sorted(OPERATIONS)),
    strewn,
    strewn,
    st.none() | st.integers(0, 70),
    st.booleans(),
)
def test_every_foreign_file_stays(
    furnished: Path,
    operation: str,
    before: list[tuple[str, str]],
    during: list[tuple[str, str]],
    changes: int | None,
    exchange: bool,
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, pytest.MonkeyPatch.context() as patch:
        root = Path(shutil.copytree(furnished, Path(folder) / "root"))
        if not exchange:
            patch.setattr(files, "_exchange_call", lambda: None)
        foreign = put(root, before, "before")
        with suppress(Killed, UserError), killed_after(changes):
            OPERATIONS[operation](root)
        assert set(foreign.values()) <= contents(root)
        foreign |= put(root, during, "between")
        outcome = _again(operation, root)
        event(outcome)
        found = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
        assert set(foreign.values()) <= set(found.values())
        # In its own place; or visibly beside it, where another file has taken its name since. What
        # died between two renames is put in order by the next making that is not refused.
        if outcome == "done" or changes is None:
            aside = {content for path, content in found.items() if ".kept." in str(path)}
            away = {content for path, content in foreign.items() if found.get(path) != content}
            assert away <= aside


@settings(max_examples=max(1, EXAMPLES // 10))
@given(strewn, st.none() | st.integers(0, 70), st.booleans())
def test_what_comes_while_something_is_made_stays(
    furnished: Path, late: list[tuple[str, str]], changes: int | None, exchange: bool
) -> None:
    """A check before cannot see it: what is unlisted goes over into the new folder."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, pytest.MonkeyPatch.context() as patch:
        root = Path(shutil.copytree(furnished, Path(folder) / "root"))
        if not exchange:
            patch.setattr(files, "_exchange_call", lambda: None)
        foreign: dict[Path, bytes] = {}

        def come() -> None:
            foreign.update(put(root, late, "late"))

        with suppress(Killed), killed_after(changes):
            publish(root, IMAGES, late=come)
        assert set(foreign.values()) <= contents(root)
        with suppress(UserError):
            publish(root, IMAGES)
        assert set(foreign.values()) <= contents(root)
