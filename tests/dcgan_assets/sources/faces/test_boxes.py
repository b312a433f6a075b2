"""A shard of photographs to a shard of faces, with real worker processes."""

from __future__ import annotations

import hashlib
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixture_types import Refused
from odd_locations import Given, Greedy, Killed
from photo_shards import A_FACE, ANOTHER, RULES, agreement, canvas, png, saved, write_shard

from dcgan_assets.sources.faces.boxes import BOX_SCHEMA, FACE_SCHEMA, FacesReport, Photo, find_boxes
from dcgan_assets.sources.faces.detectors import Box, DetectorFile, open_detector
from dcgan_assets.sources.faces.finding import PhotoFaces, photo_faces, training_pictures
from dcgan_assets.sources.reading import workers as processes
from dcgan_assets.sources.reading.manifest import PICTURE_SCHEMA, pixels_sha256
from dcgan_assets.sources.reading.workers import Each, run_workers
from dcgan_models.data import PixelStore, write_dataset

Row = dict[str, Any]

ONE = (A_FACE, 95, 75, 100)
TWO = ((A_FACE, 70, 90, 90), (ANOTHER, 300, 80, 110))


pytestmark = pytest.mark.usefixtures("no_workers_left")


def find(photos: Path, out: Path, **options: Any) -> FacesReport:
    out.mkdir(exist_ok=True)
    rules = options.pop("rules", RULES)
    report = find_boxes(photos, out, rules, **{"workers": 2, **options})
    assert report is not None
    assert report.adds_up
    return report


def tables(out: Path) -> tuple[list[Row], list[Row]]:
    boxes, manifest = (pq.read_table(out / f"{name}.parquet") for name in ("boxes", "manifest"))
    assert boxes.schema.equals(BOX_SCHEMA, check_metadata=True)
    assert manifest.schema.equals(FACE_SCHEMA, check_metadata=True)
    return boxes.to_pylist(), manifest.to_pylist()


def odd_files() -> dict[str, bytes]:
    one = canvas(ONE)
    return {
        "blurred": png(canvas(ONE)),
        "cmyk": saved(one, "JPEG", "CMYK"),
        "cut off": png(canvas((A_FACE, 0, 75, 100))),
        "damaged": png(one)[:5000],
        "gone": png(one),
        "grey": png(canvas()),
        "not wanted": b"",
        "one": png(one),
        "swapped": png(one),
        "tiny": png(one[:40, :60]),
        "two": png(canvas(*TWO, width=500)),
    }


def test_every_photograph_and_box_is_a_row(tmp_path: Path) -> None:
    files = odd_files()
    changes: dict[str, Row] = {
        "not wanted": {"status": "rejected", "reason": "too small", "sha256": None},
        "swapped": {"sha256": hashlib.sha256(b"something else").hexdigest()},
        "one": {"licence": None, "attribution": None, "author": None},
    }
    photos = write_shard(tmp_path / "photos", files, changes)
    asked: list[Photo] = []

    def removal(photo: Photo) -> str | None:
        asked.append(photo)
        return "person (line 2 of the removal list)" if photo["key"] == "gone" else None

    out = tmp_path / "faces"
    calls: list[tuple[int, int]] = []
    report = find(
        photos, out, removal=removal, on_progress=lambda done, of: calls.append((done, of))
    )
    boxes, manifest = tables(out)
    assert [(row["key"], (row["reason"] or "").partition(":")[0]) for row in boxes] == [
        ("blurred/0", ""),
        ("cmyk/0", ""),
        ("cut off/0", "cut off"),
        ("damaged", "truncated"),
        ("gone", "removed"),
        ("grey", "no face"),
        ("one/0", ""),
        ("swapped", "not the bytes that were downloaded"),
        ("tiny", "too small"),
        ("two/0", ""),
        ("two/1", ""),
    ]
    for name in ("key", "status", "reason", "row"):
        assert [row[name] for row in boxes] == [row[name] for row in manifest]
    assert [row["row"] for row in boxes if row["status"] == "kept"] == list(range(5))
    counts = (report.photos, report.with_faces, report.without_face, report.not_read)
    assert counts == (10, 5, 1, 4)
    assert (report.boxes, report.kept, report.rejected, report.rows) == (6, 5, 1, 11)
    assert report.agreeing is None
    assert calls[-1] == (10, 10)
    assert [photo["key"] for photo in asked] == [key for key in files if key != "not wanted"]
    assert asked[0]["address"] == "https://pictures.example/blurred"


def test_rows_say_where_a_face_is_and_whose(tmp_path: Path) -> None:
    files = {"one": png(canvas(ONE)), "two": png(canvas(*TWO, width=500))}
    photos = write_shard(tmp_path / "photos", files, {"two": {"licence": None, "author": None}})
    report = find(photos, tmp_path, rules=RULES._replace(second=DetectorFile("haar_default")))
    boxes, manifest = tables(tmp_path)
    first = boxes[0]
    detector = open_detector(RULES.detector)
    box = Box(*(first[name] for name in ("x", "y", "width", "height", "score")))
    assert agreement(box, *ONE[1:]) > 0.7
    assert (first["photo"], first["box"], first["scale"]) == ("one", 0, 1)
    assert first["photo_sha256"] == hashlib.sha256(files["one"]).hexdigest()
    assert (first["detector"], first["detector_version"]) == (detector.name, detector.version)
    assert first["agreement"] > 0.5
    assert first["sharpness"] > 40
    assert first["upscaled"] is False
    assert report.agreeing == report.kept == 3
    whole = np.load(tmp_path / "faces.npy")
    small = np.load(tmp_path / "pixels_64.npy")
    assert whole.shape == (3, 128, 128, 3)
    assert np.array_equal(small, whole[:, 32:96, 32:96])
    expected = [photo_faces(data, RULES).crops for data in files.values()]
    assert np.array_equal(whole, np.concatenate(expected))
    assert manifest[0] == {
        "key": "one/0",
        "source_sha256": first["photo_sha256"],
        "pixels_sha256": pixels_sha256(small[0]),
        "source_uri": "https://pictures.example/one",
        "licence": "CC-BY-4.0",
        "attribution": "A. Photographer, pictures.example",
        "author": "A. Photographer",
        "photo": "one",
        "person_uri": "https://people.example/one",
        "person_name": "Person one",
        "original_width": 300,
        "original_height": 260,
        "status": "kept",
        "reason": None,
        "row": 0,
        "label": None,
        "split": None,
    }
    assert (manifest[1]["licence"], manifest[1]["author"]) == ("unstated", None)
    assert manifest[2]["pixels_sha256"] == pixels_sha256(small[2])


def test_who_is_removed_is_not_named(tmp_path: Path) -> None:
    photos = write_shard(tmp_path / "photos", {"one": png(canvas(ONE))})
    report = find(photos, tmp_path, removal=lambda photo: "person (line 2)")
    ((box,), (row,)) = tables(tmp_path)
    assert row["reason"] == box["reason"] == "removed: person (line 2)"
    assert row["person_uri"] is row["person_name"] is row["author"] is None
    assert row["source_uri"] == row["attribution"] == box["photo_sha256"] == ""
    assert row["key"] == row["photo"] == "one"
    assert report.reasons == {"removed": 1}
    assert np.load(tmp_path / "faces.npy").shape == (0, 128, 128, 3)


def test_the_same_for_any_number_of_workers_and_in_several_files(tmp_path: Path) -> None:
    files = {f"{n:02d}": png(canvas((n, 75, 55, 70), height=180, width=220)) for n in range(10)}
    photos = write_shard(tmp_path / "photos", files)
    outs = [tmp_path / str(workers) for workers in (1, 2)]
    reports = [
        find(photos, out, workers=number, file_bytes=4 * 64 * 64 * 3)
        for number, out in enumerate(outs, 1)
    ]
    names = sorted(path.name for path in outs[0].iterdir())
    assert reports[0].files == ("pixels_64.npy", "pixels_64_001.npy", "pixels_64_002.npy")
    assert set(reports[0].files) | {"faces.npy", "boxes.parquet", "manifest.parquet"} < set(names)
    for name in names:
        assert (outs[0] / name).read_bytes() == (outs[1] / name).read_bytes()
    found = np.concatenate([np.load(outs[0] / name) for name in reports[0].files])
    keys = [row["photo"] for row in tables(outs[0])[0] if row["status"] == "kept"]
    for key, picture in zip(keys, found, strict=True):
        crops = photo_faces(files[key], RULES).crops
        assert np.array_equal(picture, training_pictures(crops)[0])


def test_training_opens_a_shard_as_any_groups(tmp_path: Path) -> None:
    photos = write_shard(tmp_path / "photos", odd_files())
    report = find(photos, tmp_path)
    table = pq.read_table(tmp_path / "manifest.parquet", columns=["key", "row", "label", "split"])
    index = table.append_column("shard", pa.array([0] * len(table)))
    pq.write_table(index, tmp_path / "index.parquet")
    write_dataset(tmp_path, index="index.parquet", shards=report.files)
    store = PixelStore.open(tmp_path)
    assert len(store) == report.kept
    assert store.shape == (64, 64, 3)
    row = list(store.keys).index("two/1")
    expected = training_pictures(photo_faces(odd_files()["two"], RULES).crops)
    assert np.array_equal(store.gather([row])[0], expected[1])


def test_no_photographs(tmp_path: Path) -> None:
    photos = write_shard(
        tmp_path / "photos", {"bad": b""}, {"bad": {"status": "rejected", "bytes": None}}
    )
    report = find(photos, tmp_path)
    assert (report.photos, report.rows) == (0, 0)
    assert tables(tmp_path) == ([], [])
    assert np.load(tmp_path / "pixels_64.npy").shape == (0, 64, 64, 3)


def test_schema_is_that_of_every_group_with_the_people() -> None:
    added = {"author", "photo", "person_uri", "person_name"}
    assert [name for name in FACE_SCHEMA.names if name not in added] == PICTURE_SCHEMA.names
    for name in PICTURE_SCHEMA.names:
        assert FACE_SCHEMA.field(name).equals(PICTURE_SCHEMA.field(name), check_metadata=True)
    assert all(field.metadata[b"description"] for field in (*FACE_SCHEMA, *BOX_SCHEMA))


# --- What kills, stops or cannot be read --------------------------------------------------------


@pytest.mark.parametrize(
    ("deadly", "reason"),
    [
        (Killed(), "its reading process died: SIGKILL"),
        (Greedy(), "too much memory: more than 1.25 GiB needed"),
    ],
)
def test_a_deadly_photograph_costs_one_row(deadly: Any, reason: str) -> None:
    locations = [Given(png(canvas((n, 95, 75, 100)))) for n in range(12)]
    finder = Each(partial(photo_faces, rules=RULES), PhotoFaces, 8)
    batches = run_workers(finder, [*locations[:5], deadly, *locations[5:]], 2)
    found = [photo for batch in batches for photo in batch]
    lost = found.pop(5)
    assert (lost.reason, lost.faces, len(lost.crops)) == (reason, (), 0)
    for photo, location in zip(found, locations, strict=True):
        expected = photo_faces(location.data, RULES)
        assert photo.faces == expected.faces
        assert np.array_equal(photo.crops, expected.crops)


def test_a_worker_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    files = {f"{n:02d}": png(canvas((n, 75, 55, 70), height=180, width=220)) for n in range(32)}
    photos = write_shard(tmp_path / "photos", files)
    killed = []

    def kill(done: int, total: int) -> None:
        if not killed:
            killed.append(processes._pool[0].process.pid)
            os.kill(killed[0], signal.SIGKILL)

    outs = [tmp_path / name for name in ("whole", "killed")]
    find(photos, outs[0])
    find(photos, outs[1], on_progress=kill)
    assert killed
    for path in outs[0].iterdir():
        assert path.read_bytes() == (outs[1] / path.name).read_bytes()


def test_stopping_leaves_no_manifest(tmp_path: Path) -> None:
    photos = write_shard(tmp_path / "photos", {"one": png(canvas(ONE))})
    find(photos, tmp_path)
    assert find_boxes(photos, tmp_path, RULES, workers=2, should_stop=lambda: True) is None
    assert not (tmp_path / "manifest.parquet").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]


def test_what_cannot_be_read_is_one_line(tmp_path: Path, refused: Refused) -> None:
    with refused("nowhere", "manifest.parquet", "not a readable manifest"):
        find(tmp_path / "nowhere", tmp_path)
    photos = write_shard(tmp_path / "photos", {"one": png(canvas(ONE))})
    (photos / "photos.tar").rename(tmp_path / "aside")
    with refused("photos.tar", "cannot be read"):
        find(photos, tmp_path)
    pq.write_table(pa.table({"key": ["a"], "status": ["kept"]}), photos / "manifest.parquet")
    with refused("columns are missing", "address", "person_uri", "sha256"):
        find(photos, tmp_path)
    with refused("yunet", "no such file"):
        rules = RULES._replace(detector=DetectorFile("yunet", tmp_path / "no.onnx", "0" * 64))
        find(photos, tmp_path, rules=rules)
    with refused("cannot be written"):
        find_boxes(
            write_shard(tmp_path / "b", {"one": b""}), tmp_path / "nowhere", RULES, workers=2
        )
