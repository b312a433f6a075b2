"""`_meta.json` that is damaged, of wrong kinds of values, or no file at all."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixture_types import Refused

from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.store import META_FILE, Artefact, Input, Meta, Store, listed_files
from dcgan_models.files import write_json

ARTEFACT = Artefact("toy/images", "data")
GONE = object()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A workspace with one published artefact, whose record has a value in every field."""
    store = Store(tmp_path)
    meta = Meta(
        key="",
        shard=None,
        data_version="d",
        code_version="c",
        fingerprint="f",
        inputs={"toy/raw": Input("d", "f", 7, 42)},
        seed=7,
        params_seed=42,
        created="2026-01-02T03:04:05+00:00",
        duration_s=1.5,
        hardware="one core",
        run="r",
        checks=[{"check": "bounded", "passed": True, "facts": {"mean": 1.5}}],
        metadata=shown.encode({"count": 3}),
    )
    with store.writing(ARTEFACT) as staging:
        (staging / "value.txt").write_text("one", encoding="utf-8")
        store.publish(staging, ARTEFACT, meta)
    return store


def record_of(store: Store) -> Path:
    """The record, in a folder that may be written."""
    path = store.folder(ARTEFACT) / META_FILE
    path.chmod(0o644)
    return path


# --- Values of a wrong kind ---------------------------------------------------------------------

WRONG: list[tuple[str, Any]] = [
    *(("key", value) for value in (None, 7, ["toy/images"], GONE)),
    *(("shard", value) for value in (7, ["00"], {}, GONE)),
    *(("data_version", value) for value in (None, 7, {}, GONE)),
    *(("code_version", value) for value in (None, 7, [])),
    *(("fingerprint", value) for value in (None, 7, True)),
    *(("inputs", value) for value in (None, [], "toy/raw", 7, {"a": None}, {"a": []}, GONE)),
    *(("inputs.toy/raw.data_version", value) for value in (None, 7, GONE)),
    *(("inputs.toy/raw.fingerprint", value) for value in (None, {}, GONE)),
    *(("inputs.toy/raw.seed", value) for value in ("7", 7.5, 2**70)),
    *(("inputs.toy/raw.params_seed", value) for value in (None, "42", True)),
    *(("seed", value) for value in ("7", 7.5, [7], True, 2**70)),
    *(("params_seed", value) for value in (None, "42", 4.2)),
    *(("created", value) for value in (None, 7, "yesterday", "2026-13-45")),
    *(("duration_s", value) for value in (None, "1.5", [], float("nan"), float("inf"))),
    *(("hardware", value) for value in (None, 7, {})),
    *(("files", value) for value in (None, [], "value.txt", 7, {"value.txt": None})),
    *(("files.value.txt.size", value) for value in (None, "3", -0.5, GONE)),
    *(("files.value.txt.sha256", value) for value in (None, 7, GONE)),
    *(("run", value) for value in (None, 7)),
    *(("checks", value) for value in (None, {}, "bounded", [None], [7], [{}])),
    *(("checks.0.check", value) for value in (None, 7, GONE)),
    *(("checks.0.passed", value) for value in (None, "yes", 1, GONE)),
    *(("checks.0.facts", value) for value in (None, [], 7, GONE)),
    *(("metadata", value) for value in (None, [], {"count": 3}, {"count": None})),
    ("another", 1),
]


def name_of(case: Any) -> str:
    return "gone" if case is GONE else str(case)[:30]


def changed(content: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A record with another value at a dotted place."""
    content = copy.deepcopy(content)
    at: Any = content
    first, *rest = place.split(".")
    for name in rest and (first, ".".join(rest[:-1])):
        at = at[int(name) if isinstance(at, list) else name]
    last = rest[-1] if rest else first
    if value is GONE:
        del at[last]
    else:
        at[last] = value
    return content


@pytest.mark.parametrize(("place", "value"), WRONG, ids=name_of)
def test_a_value_of_a_wrong_kind_is_no_record(
    store: Store, refused: Refused, place: str, value: Any
) -> None:
    path = record_of(store)
    good = json.loads(path.read_text("utf-8"))
    write_json(path, changed(good, place, value))
    assert Meta.read(path.parent) is None
    assert store.meta(ARTEFACT) is None
    assert store.verify(ARTEFACT) == META_FILE
    with refused("missing: toy/images"):
        store.require([ARTEFACT])
    # What is ours stays known by the list alone, and nobody else's is taken for it.
    assert listed_files(path) in (None, ["value.txt"])
    write_json(path, good)
    assert store.meta(ARTEFACT) is not None


# --- What is no JSON, and no file ---------------------------------------------------------------


def written(content: str | bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(content.encode() if isinstance(content, str) else content)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def huge(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.truncate(2**37)


NO_RECORDS: dict[str, Callable[[Path], Any]] = {
    "absent": Path.unlink,
    "empty": written(""),
    "null": written("null"),
    "true": written("true"),
    "a number": written("7"),
    "text": written('"key"'),
    "a list": written("[]"),
    "an empty mapping": written("{}"),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "bytes that are no text": written(b'{"key": "\xff"}'),
    "UTF-16": lambda path: path.write_text(path.read_text("utf-8"), "utf-16"),
    "100,000 brackets": written("[" * 100_000),
    "900 brackets in a fact": lambda path: path.write_text(
        path.read_text("utf-8").replace("1.5", "[" * 900 + "]" * 900)
    ),
    "a number of 5,000 digits": written('{"seed": ' + "9" * 5000 + "}"),
    "half a character": lambda path: path.write_text(
        path.read_text("utf-8").replace("one core", "\\ud800")
    ),
    "zeros": written(bytes(1000)),
    "128 GB": huge,
    "a pipe": pipe,
    "a folder": folder,
    "an endless device": endless,
    "a link to itself": loop,
}


@pytest.mark.parametrize("damage", NO_RECORDS.values(), ids=NO_RECORDS)
def test_what_is_no_record_is_none(
    store: Store, refused: Refused, damage: Callable[[Path], Any]
) -> None:
    path = record_of(store)
    damage(path)
    assert Meta.read(path.parent) is None
    assert store.meta(ARTEFACT) is None
    assert listed_files(path) in (None, ["value.txt"])
    with refused("missing: toy/images"):
        store.require([ARTEFACT])
    with refused("not ours"), store.writing(ARTEFACT):
        pass
    assert (path.parent / "value.txt").read_text("utf-8") == "one"


# --- Values that are of the right kind and say what they should not ------------------------------


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", ".", "\0", "x\ny"])
def test_names_of_files_that_are_not_there_make_it_not_whole(store: Store, name: str) -> None:
    path = record_of(store)
    good = json.loads(path.read_text("utf-8"))
    write_json(path, {**good, "files": {name: {"size": 3, "sha256": "x"}}})
    assert store.meta(ARTEFACT) is None
    assert store.verify(ARTEFACT) == META_FILE


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "null", "[]", "{", "7", '{"__class__": "Nope"}', "[" * 100_000),
        *('{"__class__": "subprocess.Popen", "args": "ls"}', '{"__class__": null}'),
        '{"__class__": "IntMetadataEntryData", "value": "x"}',
        '{"__class__": "TableMetadataEntryData", "records": [1], "schema": null}',
    ],
)
def test_metadata_that_dagster_does_not_know_is_left_out(text: str) -> None:
    good = shown.encode({"count": 3})
    assert set(shown.decode({**good, "bad": text})) <= {"count", "bad"}
    assert shown.decode({**good, "bad": text})["count"].value == 3
    assert isinstance(shown.summary({"summary": text}), str)


def test_a_record_as_we_write_it_is_read(store: Store) -> None:
    meta = store.meta(ARTEFACT)
    assert meta is not None
    content = json.loads((store.folder(ARTEFACT) / META_FILE).read_text("utf-8"))
    assert meta.model_dump(mode="json") == content
