from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dcgan_assets.params.faces import FacePhotographs
from dcgan_assets.sources.drawn import scenes
from dcgan_assets.sources.drawn.people_files import HEADS_FILE, PEOPLE_FOLDER, PICTURES_FILE
from dcgan_assets.sources.drawn.scenes import (
    HEAD_SCHEMA,
    SIDE,
    tiles,
    write_photographs,
)
from dcgan_assets.sources.faces.detectors import DetectorFile, find_faces, open_detector
from dcgan_assets.sources.faces.truth import compare
from dcgan_assets.sources.photographs import PHOTOGRAPHS, REGIONS, TRAIN, region

NAMES, FACES, OTHERS = 30, 4, 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("people")
    write_photographs(made, NAMES, FACES, OTHERS, seed=5)
    return made


@pytest.fixture(scope="module")
def heads(folder: Path) -> pa.Table:
    return pq.read_table(folder / HEADS_FILE)


def test_each_person_has_a_folder_of_photographs(folder: Path) -> None:
    people = sorted((folder / PEOPLE_FOLDER).iterdir())
    assert len(people) == NAMES
    assert all(len(list(one.iterdir())) == FACES + OTHERS for one in people)
    rows = pq.read_table(folder / PICTURES_FILE).to_pylist()
    assert [row["file"] for row in rows] == [
        str(path.relative_to(folder / PEOPLE_FOLDER))
        for one in people
        for path in sorted(one.iterdir())
    ]
    assert all(row["licence"].startswith("CC0-1.0") for row in rows)


def test_the_same_arguments_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_photographs(tmp_path, 3, FACES, OTHERS, seed=5)
    for path in sorted((tmp_path / PEOPLE_FOLDER).rglob("*.jpg")):
        assert path.read_bytes() == (folder / path.relative_to(tmp_path)).read_bytes()


def test_a_person_looks_the_same_in_each_photograph(folder: Path, heads: pa.Table) -> None:
    rows = heads.to_pylist()
    for name in {row["file"].partition("/")[0] for row in rows}:
        first = [
            next(row for row in rows if row["file"] == f"{name}/{place:03d}.jpg")
            for place in range(FACES)
        ]
        assert len({(row["factor.skin"], row["factor.hair"]) for row in first}) == 1
        assert len({row["factor.yaw"] for row in first}) == FACES


def test_the_truth_names_the_photograph_by_its_bytes(folder: Path, heads: pa.Table) -> None:
    assert heads.schema.equals(HEAD_SCHEMA)
    for row in heads.to_pylist():
        data = (folder / PEOPLE_FOLDER / row["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["photo_sha256"]


def test_heads_are_apart_and_inside(heads: pa.Table) -> None:
    rows = heads.to_pylist()
    for row in rows:
        if row["kind"] == "face":
            assert row["x"] > 0
            assert row["x"] + row["side"] < SIDE
    both = [(a, b) for a in rows for b in rows if a["file"] == b["file"] and a is not b]
    assert both
    assert all(
        abs(a["x"] + a["side"] / 2 - b["x"] - b["side"] / 2) > 0.4 * (a["side"] + b["side"])
        for a, b in both
    )


def test_there_is_every_kind_of_head(heads: pa.Table) -> None:
    assert set(heads["kind"].to_pylist()) == {"face", "small", "away", "hidden"}


def test_opencv_finds_the_faces_and_nothing_else(folder: Path, heads: pa.Table) -> None:
    detector = open_detector(DetectorFile("haar_alt2"))
    boxes = []
    for path in sorted((folder / PEOPLE_FOLDER).rglob("*.jpg")):
        data = path.read_bytes()
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        digest = hashlib.sha256(data).hexdigest()
        boxes += [
            {"photo_sha256": digest, **box._asdict()}
            for box in find_faces(detector, np.asarray(picture, np.uint8), 64)
        ]
    found = compare(boxes, heads)
    assert 1 - found.missed / found.faces >= 0.92
    assert found.on_no_head / len(boxes) <= 0.02
    assert np.median(found.overlaps) > 0.8


def test_people_share_no_pixel_and_use_training_parts_only() -> None:
    used = {
        name: np.zeros((facts.height, facts.width), np.uint8) for name, facts in PHOTOGRAPHS.items()
    }
    for name, top, left in tiles():
        used[name][top : top + 48, left : left + 48] += 1
    for name, counts in used.items():
        assert counts.max() <= 1
        for part in set(REGIONS) - {TRAIN}:
            assert not counts[region(name, part)].any()
    assert not used["astronaut"].any()


def test_background_is_from_the_persons_own_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    # The photographs are replaced by maps that tell where each of their pixels lies.
    maps = {}
    for number, (name, facts) in enumerate(PHOTOGRAPHS.items()):
        maps[name] = np.full((facts.height, facts.width, 3), number, np.uint8)
    for person, (name, top, left) in enumerate(tiles()[:100]):
        maps[name][top : top + 48, left : left + 48, 1:] = 1 + person
    monkeypatch.setattr(scenes, "photograph", maps.__getitem__)
    for person in range(100):
        for number in range(1, 8):
            rng = np.random.default_rng([person, number])
            background, name = scenes._background(person, number, rng)
            assert background.shape == (SIDE, SIDE, 3)
            if number % 4 == 0:
                assert name is None
                assert np.ptp(background) == 0
            else:
                assert name == tiles()[person][0]
                assert np.all(background == [list(PHOTOGRAPHS).index(str(name)), *[1 + person] * 2])


def test_there_is_a_background_for_everybody_who_may_be_asked_for() -> None:
    assert FacePhotographs(names=400).names == 400
    with pytest.raises(ValueError, match="less than or equal to 400"):
        FacePhotographs(names=401)
    assert len(tiles()) >= 400
