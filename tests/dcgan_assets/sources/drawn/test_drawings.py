from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from dcgan_assets.sources.drawn.drawings import KINDS, Drawing, Drawings, drawing_of
from dcgan_assets.sources.planted import planted_edit, planted_original
from dcgan_assets.sources.reading.ingest import ingest
from dcgan_models.errors import UserError
from tests.checkout import CHECKOUT

ROOMS = Drawings("rooms", 40, 64, planted=0.25, held_out=8, seed=5)


@pytest.mark.parametrize("kind", KINDS)
def test_each_picture_is_once_in_some_shard(kind: str) -> None:
    source = Drawings(kind, 40, 32, planted=0.25, held_out=8)
    whole = source.items(0, 1)
    dealt = [item for shard in range(3) for item in source.items(shard, 3)]
    assert len(whole) == 48
    assert sorted(item.key for item in dealt) == [item.key for item in whole]
    assert set(dealt) == set(whole)


def test_more_pictures_leave_the_others_as_they_are() -> None:
    few, many = ({item.key: item for item in Drawings("rooms", n, 64).items(0, 1)} for n in (9, 99))
    assert all(many[key] == item for key, item in few.items())


def test_uses_share_no_picture() -> None:
    train = {item.location for item in ROOMS.items(0, 1)}
    probes = {item.location for item in ROOMS.probes(40)}
    assert not train & probes
    numbers = [item.location.number for item in ROOMS.items(0, 1) if item.split]  # type: ignore[attr-defined]
    assert len(numbers) == 8
    assert not set(numbers) & {i.location.number for i in ROOMS.items(0, 1) if not i.split}  # type: ignore[attr-defined]


def test_bytes_are_the_same_in_another_process() -> None:
    place = Drawing("rooms", 5, 3, 128, "crop 2%")
    script = (
        "import hashlib\n"
        "from dcgan_assets.sources.drawn.drawings import Drawing\n"
        f"print(hashlib.sha256({place!r}.read()).hexdigest())"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == hashlib.sha256(place.read()).hexdigest()


def test_copies_are_alike_and_known_by_their_keys() -> None:
    items = {item.key: item for item in ROOMS.items(0, 1)}
    copies = [key for key in items if planted_edit(key)]
    assert len(copies) == 10
    for key in copies:
        original = planted_original(key)
        assert original in items
        assert drawing_of(key) == drawing_of(original) == original
        one, other = (
            cv2.resize(
                cv2.imdecode(np.frombuffer(items[k].location.read(), np.uint8), cv2.IMREAD_COLOR),
                (32, 32),
                interpolation=cv2.INTER_AREA,
            ).astype(int)
            for k in (key, original)
        )
        assert 0 < np.abs(one - other).mean() < 12
        assert items[key].factors == items[original].factors


def test_keys_of_other_sources_are_no_drawings() -> None:
    assert drawing_of("coffee/000123/jpeg 75") is None
    assert drawing_of("held_out/coffee/000123") is None
    assert drawing_of("held_out/rooms/000123") == "rooms/000123"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_seen_is_in_the_manifest(kind: str, tmp_path: Path) -> None:
    source = Drawings(kind, 12, 32, held_out=3)
    items = source.items(0, 1)
    report = ingest(items, tmp_path, (32,), workers=1, min_side=32, factors=source.factors)
    assert report is not None
    assert report.kept == 15
    table = pq.read_table(tmp_path / "manifest.parquet")
    names = [factor.name for factor in source.factors]
    assert table.column_names[-len(names) :] == names
    for row, item in zip(table.to_pylist(), items, strict=True):
        place = item.location
        assert isinstance(place, Drawing)
        expected = KINDS[kind].seen(place.seed, place.number)
        for name, value in zip(names, expected, strict=True):
            if isinstance(value, (float, tuple)):
                assert row[name] == pytest.approx(value, rel=1e-6, abs=1e-7)
            else:
                assert row[name] == value
    pixels = np.load(tmp_path / "pixels_32.npy")
    drawn = KINDS[kind].draw(0, items[0].location.number, 64)  # type: ignore[attr-defined]
    averaged = drawn.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.abs(pixels[0] - averaged).max() <= 1


def test_version_is_of_the_settings() -> None:
    same = Drawings("rooms", 40, 64, planted=0.25, held_out=8, seed=5)
    assert same.version(0, 2) == ROOMS.version(0, 2)
    other = Drawings("rooms", 40, 64, planted=0.25, held_out=8, seed=6)
    assert len({other.version(0, 2), ROOMS.version(0, 2), ROOMS.version(1, 2)}) == 3


def test_more_than_half_cannot_be_copies() -> None:
    with pytest.raises(UserError, match=r"rooms: planted is 0\.6; 0 to 0\.5 is allowed"):
        Drawings("rooms", 10, 64, planted=0.6)
