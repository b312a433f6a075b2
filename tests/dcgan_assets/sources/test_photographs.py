"""The packaged photographs: regions share no pixel, crops differ, copies are what they say."""

from __future__ import annotations

import hashlib
import io
import itertools
import pickle
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import skimage.data
from fixture_types import Refused
from PIL import Image, ImageCms
from sklearn.datasets import load_sample_image

from dcgan_assets.sources.photographs import (
    HELD_OUT,
    PHOTOGRAPHS,
    REGIONS,
    TRAIN,
    WHOLE,
    Crop,
    Photographs,
    crops,
    package_file,
    photograph,
    region,
)
from dcgan_assets.sources.planted import planted_edit, planted_original
from dcgan_assets.sources.reading.decode import Decoded, decode, thumbnails
from dcgan_assets.sources.reading.ingest import ingest
from dcgan_assets.sources.reading.items import Item
from dcgan_assets.sources.reading.workers import close_workers
from dcgan_models.dedup.planted import EDITS
from dcgan_models.pixels import Pixels

SOURCE = Photographs(600, 0.25, seed=3)


def picture(item: Item) -> Pixels:
    found = decode(item.location.read())
    assert isinstance(found, Decoded)
    return found.pixels


def in_srgb(path: Path) -> Pixels:
    """Pillow's own conversion by a file's profile."""
    with Image.open(path) as image:
        profile = ImageCms.getOpenProfile(io.BytesIO(image.info["icc_profile"]))
        assert ImageCms.getProfileDescription(profile).strip() == "Adobe RGB (1998)"
        converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"))
    return np.asarray(converted)


def test_photographs_are_those_of_the_packages() -> None:
    assert sorted(PHOTOGRAPHS) == list(PHOTOGRAPHS)
    loaders = {
        "ihc": skimage.data.immunohistochemistry,
        "motorcycle_left": lambda: skimage.data.stereo_motorcycle()[0],
        "china": lambda: load_sample_image("china.jpg"),
        "flower": lambda: load_sample_image("flower.jpg"),
    }
    for name, facts in PHOTOGRAPHS.items():
        theirs = loaders.get(name, getattr(skimage.data, name, None))()
        if name == "rocket":  # the only one with a profile that is not sRGB's
            theirs = in_srgb(package_file(facts.file))
        ours = photograph(name)
        assert ours.shape == (facts.height, facts.width, 3) == theirs.shape
        # Decoders of JPEG may differ by some rounding.
        assert np.abs(ours.astype(int) - theirs).max() <= (4 if facts.file.endswith("jpg") else 0)
        assert facts.licence
        assert facts.attribution


def test_photographs_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="read-only"):
        photograph("coffee")[0, 0] = 0


def test_unknown_photograph(refused: Refused) -> None:
    with refused("'lena'", "astronaut, chelsea, china"):
        photograph("lena")


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_regions_share_no_pixel_and_leave_none_out(name: str) -> None:
    facts = PHOTOGRAPHS[name]
    times = np.zeros((facts.height, facts.width), int)
    for part in REGIONS:
        times[region(name, part)] += 1
        assert min(times[region(name, part)].shape) >= 90
    assert (times == 1).all()
    assert times[region(name, WHOLE)].size == times.size


def within(crop: Crop, part: str) -> bool:
    rows, columns = region(crop.photograph, part)
    return (
        rows.start <= crop.top
        and crop.top + crop.side <= rows.stop
        and columns.start <= crop.left
        and crop.left + crop.side <= columns.stop
    )


@pytest.mark.parametrize(
    ("part", "count", "sides"),
    [
        (TRAIN, 800, (96, 256)),
        (HELD_OUT, 150, (64, 128)),
    ],
)
def test_crops_lie_in_their_region_and_differ(
    part: str, count: int, sides: tuple[int, int]
) -> None:
    found = crops(part, count, sides, 1)
    assert len(set(found)) == count
    assert all(within(crop, part) for crop in found)
    assert all(sides[0] <= crop.side <= sides[1] for crop in found)
    assert found == crops.__wrapped__(part, count, sides, 1)  # type: ignore[attr-defined]
    assert found != crops(part, count, sides, 2)
    for one, other in itertools.combinations(found, 2):
        if one.photograph == other.photograph:
            rows, columns = (
                getattr(one, edge) - getattr(other, edge) + (one.side - other.side) / 2
                for edge in ("top", "left")
            )
            low, high = sorted((one.side, other.side))
            assert np.hypot(rows, columns) >= 0.25 * low or high >= 1.25 * low
    # Long sides are as common as short ones, in relation.
    middle = np.sqrt(sides[0] * sides[1])
    assert 0.2 < np.mean([crop.side > middle for crop in found]) < 0.8


def test_more_crops_than_there_is_room_for(refused: Refused) -> None:
    with refused("photographs, held_out", "100000 crops of 64 to 96 pixels", "room for about"):
        crops(HELD_OUT, 100_000, (64, 96), 0, ("chelsea",))


def test_crops_of_photographs_left_out_as_probes() -> None:
    source = Photographs(50, photographs=("coffee", "rocket"))
    assert {item.key.partition("/")[0] for item in source.items(0, 1)} == {"coffee", "rocket"}
    probes = crops(WHOLE, 30, (96, 128), 0, ("astronaut",))
    assert {crop.photograph for crop in probes} == {"astronaut"}
    # Over the whole of it, across the regions' borders.
    assert not all(any(within(crop, part) for part in REGIONS) for crop in probes)


# The source.


def test_planted_copies_are_the_named_edit_of_the_named_original() -> None:
    items = {item.key: item for item in SOURCE.items(0, 1)}
    assert list(items) == sorted(items)
    copies = [key for key in items if planted_original(key)]
    assert (len(items), len(copies)) == (600, 150)
    assert Counter(map(planted_edit, copies)) == dict.fromkeys(EDITS, 30)
    assert len({planted_original(key) for key in copies}) == 150
    for key in copies:
        original, edit = planted_original(key), planted_edit(key)
        assert original is not None
        assert edit is not None
        assert key == f"{original}/{edit}"
        assert np.array_equal(picture(items[key]), EDITS[edit](picture(items[original])))


def test_keys_that_are_no_copies() -> None:
    for key in ("coffee/000123", "coffee", "held_out/coffee/000123", "a/b/c"):
        assert planted_original(key) is planted_edit(key) is None
    assert planted_original("coffee/000123/shift 1.5%") == "coffee/000123"


def test_crops_are_the_photographs_own_pixels() -> None:
    for item in SOURCE.items(0, 1)[:40]:
        if planted_original(item.key):
            continue
        name, _, place = item.uri.removeprefix("package:").partition("#")
        left, top, side = (int(part.split("=")[1]) for part in place.split(","))
        facts = PHOTOGRAPHS[item.key.partition("/")[0]]
        assert (name, item.licence, item.attribution) == (
            facts.file,
            facts.licence,
            facts.attribution,
        )
        whole = photograph(item.key.partition("/")[0])
        assert np.array_equal(picture(item), whole[top : top + side, left : left + side])


def thumbs(items: Sequence[Item]) -> npt.NDArray[np.float32]:
    made = [thumbnails(picture(item), (32,))[0] for item in items]
    return np.stack(made).reshape(len(made), -1).astype(np.float32)


def test_only_planted_copies_are_near_duplicates() -> None:
    originals = [item for item in SOURCE.items(0, 1) if not planted_original(item.key)]
    found = thumbs(originals)
    nearest = []
    for number, one in enumerate(found):
        distances = np.abs(found - one).mean(axis=1)
        distances[number] = np.inf
        nearest.append(distances.min())
    places = {item.key: number for number, item in enumerate(originals)}
    copies = [item for item in SOURCE.items(0, 1) if planted_original(item.key)]
    own = [places[str(planted_original(item.key))] for item in copies]
    planted = np.abs(thumbs(copies) - found[own]).mean(axis=1)
    # In grey levels of a 32x32 thumbnail.
    assert np.median(planted) < 4 < np.percentile(nearest, 1)
    assert np.median(nearest) > 12


def test_shards_and_versions() -> None:
    whole = SOURCE.items(0, 1)
    dealt = [item for shard in range(7) for item in SOURCE.items(shard, 7)]
    assert sorted(dealt, key=lambda item: item.key) == whole
    assert pickle.loads(pickle.dumps(whole[:5])) == whole[:5]  # noqa: S301
    versions = {SOURCE.version(shard, 7) for shard in range(7)}
    assert versions == {Photographs(600, 0.25, seed=3).version(shard, 7) for shard in range(7)}
    assert len(versions) == 7
    assert not versions & {Photographs(600, 0.25, seed=4).version(shard, 7) for shard in range(7)}
    assert (SOURCE.stand_in, SOURCE.classes) == (True, ())


def test_share_of_planted_copies(refused: Refused) -> None:
    assert not any(planted_original(item.key) for item in Photographs(50).items(0, 1))
    half = Photographs(50, 0.5).items(0, 1)
    assert sum(planted_original(item.key) is not None for item in half) == 25
    with refused("planted is 0.6", "0 to 0.5"):
        Photographs(50, 0.6)


def test_worker_processes_read_the_same(tmp_path: Path) -> None:
    items = Photographs(40, 0.25).items(0, 1)
    try:
        report = ingest(items, tmp_path, workers=1)
    finally:
        close_workers()
    assert report is not None
    assert report.kept == 40
    found = np.load(tmp_path / "pixels_64.npy")
    for item, pixels in zip(items, found, strict=True):
        digest = hashlib.sha256(thumbnails(picture(item), (64,))[0].tobytes()).hexdigest()
        assert hashlib.sha256(pixels.tobytes()).hexdigest() == digest
