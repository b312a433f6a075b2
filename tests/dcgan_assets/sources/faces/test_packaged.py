"""The stand-in photographs: where faces are, whose pixels they show, and that they are found."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from fixture_types import Refused
from photo_shards import RULES, agreement

from dcgan_assets.sources.faces import packaged
from dcgan_assets.sources.faces.finding import photo_faces
from dcgan_assets.sources.faces.packaged import (
    AT_EDGE,
    BLURRED,
    CANVAS,
    FACE,
    OTHER,
    PORTRAIT,
    PackagedPicture,
    lfw_pieces,
    write_photographs,
)
from dcgan_assets.sources.photographs import PHOTOGRAPHS, REGIONS, TRAIN, photograph, region
from dcgan_assets.sources.reading.decode import Decoded, Pixels, decode

NAMES, FACES, OTHERS = 6, 13, 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    write_photographs(folder, NAMES, FACES, OTHERS)
    return folder


@pytest.fixture(scope="module")
def pictures(folder: Path) -> list[PackagedPicture]:
    rows = pq.read_table(folder / "pictures.parquet").to_pylist()
    return [PackagedPicture(**row) for row in rows]


def pixels(folder: Path, picture: PackagedPicture) -> Pixels:
    found = decode((folder / "people" / picture.file).read_bytes())
    assert isinstance(found, Decoded)
    return found.pixels


def test_a_folder_a_person_and_a_row_a_file(folder: Path, pictures: list[PackagedPicture]) -> None:
    files = sorted(path.relative_to(folder / "people").as_posix() for path in folder.rglob("*.jpg"))
    assert sorted(picture.file for picture in pictures) == files
    assert len(pictures) == 1 + NAMES * (FACES + OTHERS)
    assert all(picture.file.startswith(f"{picture.person_name}/") for picture in pictures)
    kinds = [picture.kind for picture in pictures if picture.person_name == "LFW 002"]
    assert kinds == [FACE] * 5 + [AT_EDGE] + [FACE] * 5 + [BLURRED, FACE, OTHER]
    assert all(picture.licence and picture.author and picture.attribution for picture in pictures)
    china = [picture for picture in pictures if "danielbuechele" in picture.attribution]
    assert china
    assert all("CC-BY-2.0" in picture.licence for picture in china)


def test_same_seed_same_files(folder: Path, tmp_path: Path) -> None:
    write_photographs(tmp_path, 2, 3, 0)
    for path in tmp_path.rglob("*.jpg"):
        assert path.read_bytes() == (folder / path.relative_to(tmp_path)).read_bytes()
    other = tmp_path / "other"
    other.mkdir()
    write_photographs(other, 2, 3, 0, seed=7)
    names = [path.relative_to(other) for path in other.rglob("LFW*/*.jpg")]
    assert len(names) == 6
    digests = [
        {hashlib.sha256((place / name).read_bytes()).digest() for name in names}
        for place in (tmp_path, other)
    ]
    assert not digests[0] & digests[1]


def test_faces_are_found_where_they_were_put(folder: Path, pictures: list[PackagedPicture]) -> None:
    became = defaultdict(list)
    for picture in pictures:
        found = photo_faces((folder / "people" / picture.file).read_bytes(), RULES)
        for face in found.faces:
            if picture.side is not None:
                assert picture.left is not None
                assert picture.top is not None
                assert agreement(face.box, picture.left, picture.top, picture.side) > 0.5
        reasons = [(face.reason or "kept").partition(":")[0] for face in found.faces]
        became[picture.kind] += reasons or ["no face"]
    kept = became[FACE].count("kept")
    assert kept >= 0.75 * len(became[FACE])
    assert set(became[AT_EDGE]) <= {"cut off", "no face"}
    assert set(became[BLURRED]) <= {"blurred", "cut off", "no face"}
    assert became[OTHER] == ["no face"] * NAMES
    assert became[PORTRAIT] == ["cut off"]


def test_people_share_no_pixel_and_use_training_parts_only() -> None:
    used = {
        name: np.zeros((facts.height, facts.width), np.uint8) for name, facts in PHOTOGRAPHS.items()
    }
    tiles = packaged._tiles()
    assert len(tiles) >= 100
    for name, top, left in tiles:
        used[name][top : top + packaged._TILE, left : left + packaged._TILE] += 1
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
    for person, (name, top, left) in enumerate(packaged._tiles()[:100]):
        side = packaged._TILE
        maps[name][top : top + side, left : left + side, 1:] = 1 + person
    monkeypatch.setattr(packaged, "photograph", maps.__getitem__)
    for person in range(100):
        for number in range(1, 8):
            rng = np.random.default_rng([person, number])
            canvas, name = packaged._background(person, number, rng)
            assert canvas.shape == (CANVAS, CANVAS, 3)
            if number % 4 == 0:
                assert name is None
                assert np.ptp(canvas) == 0
            else:
                assert name == packaged._tiles()[person][0]
                assert np.all(canvas == [list(PHOTOGRAPHS).index(str(name)), *[1 + person] * 2])


def test_the_portrait_is_the_training_part(folder: Path, pictures: list[PackagedPicture]) -> None:
    shown = pixels(folder, pictures[0]).astype(int)
    assert pictures[0].kind == PORTRAIT
    expected = photograph("astronaut")[region("astronaut", TRAIN)]
    assert np.abs(shown - expected).mean() < 4


def test_pasted_face_is_that_of_the_person(folder: Path, pictures: list[PackagedPicture]) -> None:
    pieces = lfw_pieces()
    inner = slice(3, 22)
    for picture in pictures:
        if picture.kind != FACE or not picture.file.endswith(("1.jpg", "2.jpg")):
            continue
        assert picture.left is not None
        assert picture.top is not None
        assert picture.side is not None
        square = pixels(folder, picture)[
            picture.top : picture.top + picture.side, picture.left : picture.left + picture.side
        ]
        grey = cv2.resize(square.mean(axis=2), (25, 25), interpolation=cv2.INTER_AREA)[inner, inner]
        likeness = [
            max(
                np.corrcoef(grey.ravel(), piece[inner, inner][:, ::turn].ravel())[0, 1]
                for turn in (1, -1)
            )
            for piece in pieces[:100]
        ]
        assert int(np.argmax(likeness)) == int(picture.person_name.removeprefix("LFW "))


def test_a_package_with_other_faces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    np.save(tmp_path / "other.npy", np.zeros((3, 25, 25)))
    monkeypatch.setattr(packaged, "package_file", lambda name: tmp_path / "other.npy")
    with refused("lfw_subset.npy", "(3, 25, 25)"):
        lfw_pieces()
