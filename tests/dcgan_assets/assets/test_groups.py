"""A picture group with tiny networks, from photographs to figures, through `dcgan materialize`."""

from __future__ import annotations

import csv
import functools
import hashlib
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import Result
from commands import (
    contents,
    figure,
    lines,
    materialize,
    materialize_well,
    meta,
    read_metadata,
    refusal,
    tiles,
)
from fixture_types import Refused
from shown_figures import check_shown_figures

from dcgan_assets.assets.catalogue import open_catalogue
from dcgan_assets.assets.internals.nearest_training_images import _Features
from dcgan_assets.assets.pictures.images import probe_items
from dcgan_assets.assets.training.training_set import (
    HELD_OUT,
    TEST,
    TRAIN,
    deal_held_out,
    pictures_of,
)
from dcgan_assets.engine import results
from dcgan_assets.engine.fingerprint import place_order
from dcgan_assets.engine.interrupts import StopFlag
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import profile_text
from dcgan_assets.params.training import TrainingSet
from dcgan_assets.sources.photographs import (
    PHOTOGRAPHS,
    PROBES,
    CropBytes,
    Photographs,
    photograph_of,
)
from dcgan_assets.sources.planted import planted_edit, planted_original
from dcgan_assets.sources.reading.decode import Decoded, decode, thumbnails
from dcgan_assets.sources.reading.items import Item
from dcgan_models.data import PixelStore
from dcgan_models.dedup import autoencoder
from dcgan_models.dedup.baselines import PrincipalHash
from dcgan_models.dedup.planted import EDITS
from dcgan_models.files import read_json
from dcgan_models.pixels import Pixels

pytestmark = pytest.mark.slow

Edit = Callable[[dict[str, Any]], object]
PICTURES, COPIES, HELD = 260, 52, 40
SIDE, HASH_SIDE = 64, 32
SHARDS = ("00", "01")
IMAGES = [f"lsun/images[{shard}]" for shard in SHARDS]
NETWORKS = [
    f"lsun/{name}" for name in ("candidate", "quality", "generator", "samples", "latent_walk")
]
# In the order in which they are planned, but for what depends on nothing of one another.
AFTER_HASHES = {"lsun/manifest", "lsun/dedup_report", "lsun/training_set", *NETWORKS}
AFTER_HASHES |= {"lsun/nearest_training_images", "lsun/extractor"}


def write_params(root: Path, edit: Edit = lambda lsun: None) -> None:
    """The sample profile, cut until a training takes a moment; `edit` gets the lsun section."""
    params = yaml.safe_load(profile_text("sample"))
    params["machine"]["device"] = "cpu"
    lsun = params["lsun"]
    lsun["images"].update(
        source="photographs", pictures=PICTURES, planted=COPIES / PICTURES, held_out=HELD
    )
    lsun["dedup_autoencoder"].update(epochs=2, batch=128)
    lsun["dedup_report"].update(probes=30, pairs=20)
    lsun["extractor"].update(epochs=2)
    lsun["candidate"].update(
        width=0.03, discriminator_width=0.03, epochs=2, snapshots=[1, 2], health={"diversity": 0}
    )
    lsun["samples"] = {"rows": 2, "columns": 5, "epochs": [1, 2]}
    lsun["latent_walk"].update(segments=3, steps=10, pixel_rows=2)
    lsun["nearest_training_images"] = {"pictures": 20, "neighbours": 3, "shown": 5}
    # test_figure_assets.py has two of these; the others ask for drawn pictures.
    for name in ("guided_backprop", "window_dropout", "judge", "claims", "explorer"):
        del lsun[name]
    edit(lsun)
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def planned(done: Result) -> list[str]:
    return [line.split(":")[0].strip() for line in done.stdout.splitlines() if line[:2] == "  "]


# --- The whole chain ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(module_root: Path) -> tuple[Path, list[str]]:
    """A workspace in which everything of lsun was made, and the labels of it."""
    write_params(module_root)
    return module_root, materialize_well(module_root, "lsun")


@pytest.fixture
def root(finished: tuple[Path, list[str]]) -> Path:
    """The finished workspace; tests of this fixture change nothing in it."""
    return finished[0]


@pytest.fixture
def copy(root: Path, fast_disk: Path) -> Path:
    """A copy of the finished workspace, to change."""
    return Path(shutil.copytree(root, fast_disk / "copy"))


@pytest.fixture(scope="module")
def manifest(finished: tuple[Path, list[str]]) -> pa.Table:
    """A row for every input, in the order of the shards."""
    return pq.read_table(finished[0] / "data/lsun/manifest/manifest.parquet")


@pytest.fixture(scope="module")
def source() -> dict[str, Item]:
    """What the pictures are made from, by key."""
    crops = Photographs(PICTURES, planted=COPIES / PICTURES, seed=42, held_out=HELD)
    return {item.key: item for item in crops.items(0, 1)}


@pytest.fixture(scope="module")
def original(source: dict[str, Item]) -> Callable[[str, int], Pixels]:
    """A picture made small from its source here and now."""

    @functools.cache
    def make(key: str, size: int) -> Pixels:
        found = decode(source[key].location.read())
        assert isinstance(found, Decoded)
        return thumbnails(found.pixels, (size,))[0]

    return make


def rows_of(root: Path, asset: str) -> dict[str, results.Row]:
    found = results.Result.read(root / "results" / asset)
    assert (found.asset, found.profile, found.stand_in) == (asset, "sample", True)
    assert found.data_version == meta(root, asset).data_version
    assert len({row.name for row in found.rows}) == len(found.rows)
    return {row.name: row for row in found.rows}


def test_everything_is_made_and_up_to_date(finished: tuple[Path, list[str]]) -> None:
    root, first = finished
    assert first[:4] == [*IMAGES, "lsun/dedup_autoencoder", "lsun/hashes"]
    assert set(first[4:]) == AFTER_HASHES
    assert materialize(root, "lsun").stdout.splitlines()[0] == f"up to date: {len(first)}"


# --- Pictures -------------------------------------------------------------------------------


def test_every_figure_is_shown_by_its_address(root: Path) -> None:
    check_shown_figures(root)


def test_every_input_is_a_row_and_its_pixels_are_the_sources(
    root: Path, source: dict[str, Item], original: Callable[[str, int], Pixels]
) -> None:
    crops = Photographs(PICTURES, planted=COPIES / PICTURES, seed=42, held_out=HELD)
    for number, shard in enumerate(SHARDS):
        folder = root / "data/lsun/images" / shard
        rows = pq.read_table(folder / "manifest.parquet").to_pylist()
        assert [row["key"] for row in rows] == [item.key for item in crops.items(number, 2)]
        pixels = {size: np.load(folder / f"pixels_{size}.npy") for size in (SIDE, HASH_SIDE)}
        assert [row["row"] for row in rows] == list(range(len(rows))), "every one is kept"
        for row in rows:
            for size, made_small in pixels.items():
                expected = original(row["key"], size)
                np.testing.assert_array_equal(made_small[row["row"]], expected)
            digest = hashlib.sha256(pixels[SIDE][row["row"]].tobytes()).hexdigest()
            assert row["pixels_sha256"] == digest
            assert row["licence"] == source[row["key"]].licence
            assert row["split"] == (HELD_OUT if row["key"].startswith("held_out/") else None)
    assert len(source) == PICTURES + HELD


def test_no_picture_is_of_a_photograph_that_is_kept_for_probes(manifest: pa.Table) -> None:
    shown = {photograph_of(key) for key in manifest["key"].to_pylist()}
    assert None not in shown
    assert shown
    assert not shown & {*PROBES, "retina"}


def test_no_pixel_is_both_trained_on_and_held_out(source: dict[str, Item]) -> None:
    seen = {
        name: np.zeros((2, facts.height, facts.width), bool) for name, facts in PHOTOGRAPHS.items()
    }
    for key, item in source.items():
        assert isinstance(item.location, CropBytes)
        name, top, left, side = item.location.crop
        held = key.startswith("held_out/")
        assert (item.split == HELD_OUT) == held
        seen[name][int(held), top : top + side, left : left + side] = True
    assert all(not both.all(axis=0).any() for both in seen.values())
    assert all(any(both[part].any() for both in seen.values()) for part in (0, 1))


def test_the_photograph_of_a_key() -> None:
    assert photograph_of("coffee/000123") == "coffee"
    assert photograph_of("coffee/000123/shift 1.5%") == "coffee"
    assert photograph_of("held_out/coffee/000123") == "coffee"
    assert photograph_of("albums/coffee/1.jpg") is None


# --- Duplicates -----------------------------------------------------------------------------


def smoothed(pictures: Pixels) -> npt.NDArray[np.float64]:
    """Pictures averaged with the weights 1 2 1, twice along each side, the border repeated."""
    x = pictures.astype(np.float64)
    for _ in range(2):
        padded = np.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)), mode="edge")
        x = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)), mode="edge")
        x = (padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]) / 4
    return x


def duplicates_by_comparing_all(
    codes: Pixels, pictures: Pixels, rank: list[int], radius: int
) -> dict[int, int]:
    """For each removed row what is kept for it: groups around the row of the best rank.

    Equal codes are one; else codes within the radius whose smoothed pictures differ by at most
    13 grey levels. Codes with fewer than 8 active bits are left alone.
    """
    bits = np.unpackbits(codes, axis=1).astype(int)
    distance = np.abs(bits[:, None] - bits[None]).sum(axis=2)
    soft = smoothed(pictures)
    visible = [row for row in rank if bits[row].sum() >= 8]
    first = {row: next(r for r in visible if distance[r, row] == 0) for row in visible}
    keeps: dict[int, int] = {}
    for row in visible:
        if first[row] == row and row not in keeps:
            keeps[row] = row
            for other in visible:
                if first[other] == other and other not in keeps and distance[row, other] <= radius:
                    difference = np.sqrt(np.square(soft[row] - soft[other]).mean())
                    if difference <= 13:
                        keeps[other] = row
    return {row: keeps[first[row]] for row in visible if keeps[first[row]] != row}


def test_duplicates_are_those_of_a_plain_comparison(
    manifest: pa.Table, original: Callable[[str, int], Pixels]
) -> None:
    rows = manifest.to_pylist()
    keys = [row["key"] for row in rows]
    codes = np.array([np.frombuffer(row["code"], np.uint8) for row in rows])
    assert codes.shape == (PICTURES + HELD, 16)
    area = [row["original_width"] * row["original_height"] for row in rows]
    rank = sorted(range(len(rows)), key=lambda row: (-area[row], keys[row]))
    pictures = np.stack([original(key, HASH_SIDE) for key in keys])
    expected = duplicates_by_comparing_all(codes, pictures, rank, radius=7)
    found = {
        number: keys.index(row["duplicate_of"])
        for number, row in enumerate(rows)
        if row["duplicate_of"]
    }
    assert found == expected
    for number, row in enumerate(rows):
        removed = number in found
        assert row["status"] == ("rejected" if removed else "kept")
        assert row["reason"] == ("duplicate" if removed else None)
        assert row["active_bits"] == np.unpackbits(codes[number]).sum()
        # What stands for another is not removed itself.
        assert not removed or found[number] not in found


def test_counts_of_the_manifest_are_those_of_the_inputs(root: Path, manifest: pa.Table) -> None:
    keys = [
        key
        for shard in SHARDS
        for key in pq.read_table(root / "data/lsun/images" / shard / "manifest.parquet")[
            "key"
        ].to_pylist()
    ]
    assert manifest["key"].to_pylist() == keys
    removed = sum(key is not None for key in manifest["duplicate_of"].to_pylist())
    record = meta(root, "lsun/manifest")
    counts = {"inputs": len(keys), "kept": len(keys) - removed, "duplicates": removed}
    assert record.checks[0] == {
        "check": "counts_add_up",
        "passed": True,
        "facts": {**counts, "rejected": 0},
    }
    assert all(check["passed"] for check in record.checks)


def shares_a_group(manifest: pa.Table) -> dict[str, list[bool]]:
    """For each edit, whether its copies and their originals have the same picture kept."""
    rows = manifest.to_pylist()
    stands = {row["key"]: row["duplicate_of"] or row["key"] for row in rows}
    found: dict[str, list[bool]] = {}
    for key in stands:
        if planted_original(key):
            hit = stands[key] == stands[str(planted_original(key))]
            found.setdefault(str(planted_edit(key)), []).append(hit)
    return found


def test_planted_copies_are_found_and_little_else(manifest: pa.Table) -> None:
    found = shares_a_group(manifest)
    assert set(found) == set(EDITS)
    assert sum(map(len, found.values())) == COPIES
    assert np.mean(found["jpeg 75"]) >= 0.75
    assert np.mean(sum(found.values(), [])) >= 0.6
    foreign = [
        row["key"]
        for row in manifest.to_pylist()
        if row["duplicate_of"] and photograph_of(row["key"]) != photograph_of(row["duplicate_of"])
    ]
    assert len(foreign) <= 2, foreign


# --- The training set -----------------------------------------------------------------------


def test_what_is_held_out_is_never_trained_on(root: Path, manifest: pa.Table) -> None:
    rows = [row for row in manifest.to_pylist() if row["status"] == "kept"]
    expected = {row["key"]: TRAIN for row in rows}
    expected |= {key: HELD_OUT for key in expected if key.startswith("held_out/")}
    index = pq.read_table(root / "data/lsun/training_set/index.parquet").to_pylist()
    assert {row["key"]: row["split"] for row in index} == expected
    assert len(index) == len(expected)
    # Crops of one photograph may lie over one another: a held-out twin is in no split.
    twins = {row["key"] for row in index if row["row"] is None}
    assert all(expected[key] == HELD_OUT for key in twins)
    assert len(twins) < 5
    counts = Counter(split for key, split in expected.items() if key not in twins)
    assert min(counts.values()) > 20
    assert read_json(root / "data/lsun/training_set/dataset.json")["splits"] == counts


@pytest.mark.parametrize("split", [TRAIN, HELD_OUT])
def test_a_training_row_leads_to_the_pixels_of_its_key(
    root: Path, manifest: pa.Table, original: Callable[[str, int], Pixels], split: str
) -> None:
    store = PixelStore.open(root / "data/lsun/training_set", split)
    digests = dict(
        zip(manifest["key"].to_pylist(), manifest["pixels_sha256"].to_pylist(), strict=True)
    )
    found = store.gather(np.arange(len(store)))
    assert [hashlib.sha256(p.tobytes()).hexdigest() for p in found] == [
        digests[key] for key in store.keys
    ]
    # The same numbers lead to the small pictures.
    small = np.concatenate(
        [np.load(root / "data/lsun/images" / shard / "pixels_32.npy") for shard in SHARDS]
    )
    numbers = pictures_of(work(root, "lsun/nearest_training_images"), split)
    assert len(numbers) == len(store)
    for number, key in zip(numbers, store.keys, strict=True):
        np.testing.assert_array_equal(small[number], original(key, HASH_SIDE))


def test_held_out_pictures_are_dealt_by_content_where_the_source_has_no_split() -> None:
    section = TrainingSet(held_out=0.2, held_out_most=1000)
    keys = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(4000)]
    splits = deal_held_out(keys, [None] * len(keys), section, keys)
    assert set(splits) == {TRAIN, HELD_OUT}
    assert 700 < (splits == HELD_OUT).sum() < 900
    # A picture more, in front of all others, moves none of them.
    later = [hashlib.sha256(b"new").hexdigest(), *keys]
    more = deal_held_out(later, [None] * 4001, section, later)
    assert more[1:].tolist() == splits.tolist()
    few = deal_held_out(keys, [None] * len(keys), TrainingSet(held_out=0.2, held_out_most=10), keys)
    assert (few == HELD_OUT).sum() == 10
    assert set(np.flatnonzero(few == HELD_OUT)) < set(np.flatnonzero(splits == HELD_OUT))
    assert set(deal_held_out(keys, [None] * len(keys), TrainingSet(held_out=0.0), keys)) == {TRAIN}


def test_people_are_dealt_whole_where_pictures_are_of_people() -> None:
    people = [f"https://people.test/{number % 50}" for number in range(1000)]
    pictures = [f"{number}" for number in range(1000)]
    splits = deal_held_out(people, [None] * 1000, TrainingSet(held_out=0.3), pictures)
    held = {person for person, split in zip(people, splits, strict=True) if split == HELD_OUT}
    assert 5 < len(held) < 25
    assert (splits == HELD_OUT).sum() == 20 * len(held)
    # A bound is no reason to cut somebody in two.
    few = deal_held_out(
        people, [None] * 1000, TrainingSet(held_out=0.3, held_out_most=50), pictures
    )
    assert (few == HELD_OUT).sum() == 40


def test_a_sources_own_split_stands() -> None:
    given = ["train", None, "test", "held_out", "train"]
    splits = deal_held_out(list("abcde"), given, TrainingSet(held_out=1.0), list("abcde"))
    assert splits.tolist() == [TRAIN, TRAIN, TEST, HELD_OUT, TRAIN]


# --- Figures --------------------------------------------------------------------------------


def test_samples_show_the_same_latents_after_each_epoch(root: Path) -> None:
    from dcgan_models import load_generator

    folder = root / "results/lsun/samples"
    early, late, end = (
        tiles(figure(folder / f"{name}.png"), 2, 5).reshape(10, SIDE, SIDE, 3)
        for name in ("epoch_0001", "epoch_0002", "figure")
    )
    # The training ends with epoch 2: its snapshot is the network that is published, in fewer bytes.
    assert np.abs(late.astype(int) - end).max() <= 5
    assert (early != end).mean() > 0.5
    for name, shown in (("snapshots/epoch_0001", early), ("weights", end)):
        path = root / "models/lsun/generator"
        generator = load_generator(path, weights=f"{name}.safetensors")
        assert generator.fixed_z is not None
        np.testing.assert_array_equal(shown, generator.draw(generator.fixed_z[:10]))
    assert len(np.unique(end.reshape(10, -1), axis=0)) == 10


def test_the_walk_goes_from_point_to_point_and_the_fade_from_photograph_to_photograph(
    root: Path,
) -> None:
    import torch

    from dcgan_models import load_generator
    from dcgan_models.networks import draw_latents

    whole = figure(root / "results/lsun/latent_walk/figure.png")
    assert whole.shape == ((3 + 2) * SIDE + 4, 10 * SIDE, 3)
    assert not whole[3 * SIDE : 3 * SIDE + 4].any(), "a black line between the two"
    walk, fade = tiles(whole[: 3 * SIDE], 3, 10), tiles(whole[3 * SIDE + 4 :], 2, 10)
    generator = load_generator(root / "models/lsun/generator")
    points = draw_latents(generator.preset, 4, torch.Generator().manual_seed(4))
    # A row begins at its point and stops a step before the next one.
    middle = torch.stack([points[r] / 2 + points[r + 1] / 2 for r in range(3)])
    assert np.abs(walk[:, 0].astype(int) - generator.draw(points[:3])).max() <= 1
    assert np.abs(walk[:, 5].astype(int) - generator.draw(middle)).max() <= 1

    store = PixelStore.open(root / "data/lsun/training_set", TRAIN)
    train = store.gather(np.arange(len(store))).astype(int)
    first, second = (np.flatnonzero((train == row[0]).all(axis=(1, 2, 3))) for row in fade)
    assert len(first) == len(second) == 1
    mixed = (train[first[0]] + 9 * train[second[0]]) / 10
    assert np.abs(fade[0, 9] - mixed).max() <= 0.5
    ends = np.abs((train[second[0]] + 9 * train) / 10 - fade[1, 9]).max(axis=(1, 2, 3))
    assert (ends <= 0.5).sum() == 1, "the last row fades into one training picture"

    rows = rows_of(root, "lsun/latent_walk")
    for name, frames in (("walk", walk), ("fade", fade)):
        flat = frames.reshape(-1, SIDE * SIDE * 3).astype(float) / 255
        distances = np.sqrt(np.square(np.diff(flat, axis=0)).mean(axis=1))
        median, ratio = np.median(distances), distances.max() / np.median(distances)
        assert rows[f"{name}: median step"].value == pytest.approx(median, abs=1e-5)
        assert rows[f"{name}: largest step over median step"].value == pytest.approx(
            ratio, abs=1e-3
        )
    (check,) = meta(root, "lsun/latent_walk").checks
    largest = rows["walk: largest step over median step"].value
    assert largest is not None
    assert check["passed"] == (largest < 10)


def test_more_rows_of_photographs_than_there_are(copy: Path) -> None:
    write_params(copy, lambda lsun: lsun["latent_walk"].update(pixel_rows=1000))
    line = refusal(materialize(copy, "lsun/latent_walk"))
    assert line.startswith("FAILED lsun/latent_walk: lsun/latent_walk: 1000 rows of faded")
    assert line.endswith("are trained on; lower `latent_walk.pixel_rows`")


# --- Nearest training pictures --------------------------------------------------------------


def work(root: Path, key: str) -> Work:
    """What a step's function is given, to call parts of it."""
    catalogue = open_catalogue(Workspace(root))
    order = place_order(catalogue, catalogue.by_key[key])
    return Work(catalogue, order, {}, dg.build_asset_context(), StopFlag())


def test_a_training_picture_is_its_own_nearest(root: Path) -> None:
    features = _Features(work(root, "lsun/nearest_training_images"))
    rows = np.arange(0, len(features.store), 7)
    pictures, small = features.store.gather(rows), features.small(TRAIN, rows)
    scales = features.scales(pictures, small)
    found = features.search(pictures, small, 2, scales)
    assert found.rows[:, 0].tolist() == rows.tolist()
    # A picture's features may depend on its place in a minibatch by a rounding.
    assert found.distances[:, 0].max() < 1e-3
    assert found.distances[:, 1].min() > found.distances[:, 0].max()


def test_neighbours_are_the_training_pictures_of_a_plain_search(root: Path) -> None:
    from dcgan_models import load_generator

    sheet = figure(root / "results/lsun/nearest_training_images/figure.png")
    assert sheet.shape == (5 * SIDE, (1 + 3) * SIDE + 4, 3)
    assert (sheet[:, SIDE : SIDE + 4] == 255).all()
    generated = load_generator(root / "models/lsun/generator").sample(20, 5)
    np.testing.assert_array_equal(tiles(sheet[:, :SIDE], 5, 1)[:, 0], generated[:5])

    features = _Features(work(root, "lsun/nearest_training_images"))
    held = PixelStore.open(root / "data/lsun/training_set", HELD_OUT)
    some = np.linspace(0, len(held) - 1, 20).astype(int)
    train = np.arange(len(features.store))
    spaces = {
        "train": features.of(features.store.gather(train), features.small(TRAIN, train)),
        "held out": features.of(held.gather(some), features.small(HELD_OUT, some)),
        "generated": features.of(
            generated, np.stack([thumbnails(p, (HASH_SIDE,))[0] for p in generated])
        ),
    }
    distances = {name: relative(spaces, name) for name in ("generated", "held out")}
    order = np.argsort(distances["generated"], axis=1)[:5, :3]
    shown = tiles(sheet[:, SIDE + 4 :], 5, 3)
    np.testing.assert_array_equal(shown, features.store.gather(order.ravel()).reshape(shown.shape))

    rows = rows_of(root, "lsun/nearest_training_images")
    assert set(rows) == {f"{name}: distance to the nearest training picture" for name in distances}
    for name, found in distances.items():
        row = rows[f"{name}: distance to the nearest training picture"]
        nearest = found.min(axis=1)
        assert row.n == 20
        assert row.value == pytest.approx(np.median(nearest), rel=1e-3)
        assert (row.low, row.high) == pytest.approx(np.quantile(nearest, (0.05, 0.95)), rel=1e-3)


def relative(spaces: dict[str, Any], name: str) -> npt.NDArray[np.float64]:
    """Distances to all training pictures; in each space two held-out ones have about 1."""
    total = np.zeros((20, len(spaces["train"][0])))
    for queries, references, held in zip(
        spaces[name], spaces["train"], spaces["held out"], strict=True
    ):
        ours, theirs, real = (part.double().numpy() for part in (queries, references, held))
        pairs = [
            np.linalg.norm(one - other) for n, one in enumerate(real) for other in real[n + 1 :]
        ]
        # torch takes the lower of two middle values.
        scale = np.sort(pairs)[(len(pairs) - 1) // 2]
        total += np.square(np.linalg.norm(ours[:, None] - theirs[None], axis=2) / scale)
    return np.sqrt(total / 2)


# --- The report on deduplication ------------------------------------------------------------


def test_the_report_counts_what_the_manifest_says(root: Path, manifest: pa.Table) -> None:
    rows = rows_of(root, "lsun/dedup_report")
    named = [key for key in manifest["duplicate_of"].to_pylist() if key]
    removed = rows["removed as duplicates"]
    assert removed.n == PICTURES + HELD
    assert removed.value == pytest.approx(100 * len(named) / (PICTURES + HELD), abs=1e-3)
    # A fifth was planted: the share follows from that, and the paper's is of pictures as they came.
    assert all(row.paper is None for row in rows.values())
    assert rows["largest group"].value == 1 + max(Counter(named).values())
    for edit, hits in shares_a_group(manifest).items():
        row = rows[f"planted among the pictures, {edit}: removed"]
        assert row.n == len(hits)
        assert row.value == pytest.approx(100 * np.mean(hits), abs=1e-3)
    codes = np.array([np.frombuffer(c, np.uint8) for c in manifest["code"].to_pylist()])
    informative = np.unpackbits(codes, axis=1).sum(axis=1) >= 8
    assert rows["distinct codes"].value == len(np.unique(codes[informative], axis=0))
    assert rows["codes with too few active bits to compare"].value == (~informative).sum()
    origins = np.array([photograph_of(key) for key in manifest["key"].to_pylist()])
    bits = np.unpackbits(codes, axis=1).astype(int)
    near = np.abs(bits[:, None] - bits[None]).sum(axis=2) <= 7
    foreign = np.triu(origins[:, None] != origins[None])
    row = rows["pairs of different origin within 7 bits"]
    assert (row.value, row.n) == ((near & foreign).sum(), foreign.sum())


def test_recall_is_measured_on_probes_and_beside_the_usual_hashes(root: Path) -> None:
    rows = rows_of(root, "lsun/dedup_report")
    for name, radii, bits in (
        ("autoencoder", (0, 7, 10), 128),
        ("PCA sign", (0, 7, 10), 128),
        ("pHash", (0, 4, 5), 64),
        ("dHash", (0, 4, 5), 64),
    ):
        for edit in EDITS:
            found = [rows[f"{name}: {edit} found within {r} of {bits} bits"] for r in radii]
            assert [row.n for row in found] == [30, 30, 30]
            values = [row.value or 0 for row in found]
            assert values == sorted(values)
    assert (rows["autoencoder: jpeg 75 found within 7 of 128 bits"].value or 0) >= 80


def test_pairs_for_a_persons_eye_are_removed_and_kept_ones(
    root: Path, manifest: pa.Table, original: Callable[[str, int], Pixels]
) -> None:
    pairs = read_pairs(root)
    kept_for = dict(
        zip(manifest["key"].to_pylist(), manifest["duplicate_of"].to_pylist(), strict=True)
    )
    assert len(pairs) == len({pair["removed"] for pair in pairs}) == 20
    assert [pair["pair"] for pair in pairs] == [str(n) for n in range(1, 21)]
    codes = dict(zip(manifest["key"].to_pylist(), manifest["code"].to_pylist(), strict=True))
    for pair in pairs:
        assert kept_for[pair["removed"]] == pair["kept"]
        one, other = (int.from_bytes(codes[pair[name]]) for name in ("kept", "removed"))
        assert int(pair["bits"]) == (one ^ other).bit_count()
        assert pair["verdict"] == ""
    # Six pairs a row, each two pictures and a gap of four pixels wide.
    sheet = tiles(figure(root / "results/lsun/dedup_report/pairs.png"), 4, 6)
    for number, pair in enumerate(pairs):
        shown = sheet[number // 6, number % 6]
        np.testing.assert_array_equal(shown[:, :SIDE], original(pair["kept"], SIDE))
        np.testing.assert_array_equal(shown[:, SIDE : 2 * SIDE], original(pair["removed"], SIDE))


def read_pairs(root: Path) -> list[dict[str, str]]:
    path = root / "results/lsun/dedup_report/pairs.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def write_verdicts(root: Path, rows: list[dict[str, str]]) -> Path:
    path = root / "annotations/lsun/duplicates.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_reviewers_verdicts_give_the_rate_of_false_positives(copy: Path) -> None:
    pairs = read_pairs(copy)
    words = ["different"] * 2 + ["same"] * 14 + [" Same "] + [""] * 3
    judged = [{**pair, "verdict": word} for pair, word in zip(pairs, words, strict=True)]
    # A pair of another run does not count.
    write_verdicts(copy, [*judged, {**pairs[0], "removed": "gone", "verdict": "different"}])
    before = contents(copy / "data")
    assert materialize_well(copy, "lsun") == ["lsun/dedup_report"]
    row = rows_of(copy, "lsun/dedup_report")["removed and different, by the reviewer"]
    assert row.value == pytest.approx(100 * 2 / 17, abs=1e-3)
    assert row.n == 17
    assert row.low is not None
    assert row.high is not None
    assert 0 < row.low < 100 * 2 / 17 < row.high < 40
    assert contents(copy / "data") == before

    standing = contents(copy / "results")
    path = write_verdicts(copy, [{**judged[0]}, {**judged[1], "verdict": "maybe"}])
    line = refusal(materialize(copy, "lsun"))
    assert line == (
        f"FAILED lsun/dedup_report: {path}, line 3: verdict 'maybe'; allowed: same, different"
    )
    path.write_text("kept,verdict\na,same\n", encoding="utf-8")
    line = refusal(materialize(copy, "lsun"))
    assert line.endswith(f"{path}: columns `removed`, `kept` and `verdict` are needed")
    assert contents(copy / "results") == standing


def test_too_few_pictures_for_the_components_that_are_compared(refused: Refused) -> None:
    with refused("100 pictures: 128 components"):
        PrincipalHash.fit(np.zeros((100, HASH_SIDE, HASH_SIDE, 3), np.uint8))


# --- What changes, and how far it reaches ---------------------------------------------------


def test_another_radius_leaves_the_codes_alone(copy: Path) -> None:
    removed = int(read_metadata(meta(copy, "lsun/manifest"), "duplicates"))
    write_params(copy, lambda lsun: lsun["manifest"].update(mode="exact"))
    assert set(planned(materialize(copy, "lsun", "--dry-run"))) == AFTER_HASHES
    assert materialize_well(copy, "lsun/training_set") == ["lsun/manifest", "lsun/training_set"]
    fewer = int(read_metadata(meta(copy, "lsun/manifest"), "duplicates"))
    assert 0 < fewer < removed
    rows = pq.read_table(copy / "data/lsun/manifest/manifest.parquet").to_pylist()
    codes = {row["key"]: row["code"] for row in rows}
    named = [(row["key"], row["duplicate_of"]) for row in rows if row["duplicate_of"]]
    assert len(named) == fewer
    assert all(codes[key] == codes[kept] for key, kept in named)
    standing = [row["code"] for row in rows if not row["duplicate_of"] and row["active_bits"] >= 8]
    assert len(set(standing)) == len(standing)
    store = PixelStore.open(copy / "data/lsun/training_set")
    assert len(store) == PICTURES + HELD - fewer


def test_a_lost_shard_is_the_only_one_that_is_made(copy: Path) -> None:
    before = contents(copy / "data/lsun/images/00")
    shutil.rmtree(copy / "data/lsun/images/00")
    # That what follows is not made again shows only once the shard is there, and the same.
    assert materialize_well(copy, "lsun") == ["lsun/images[00]"]
    after = contents(copy / "data/lsun/images/00")
    changed = {Path(name).name for name in before if after[name] != before[name]}
    assert set(after) == set(before)
    assert changed <= {"_meta.json"}


def test_samples_that_vary_too_little_are_not_published(copy: Path) -> None:
    champion = meta(copy, "lsun/generator")
    write_params(copy, lambda lsun: lsun["candidate"].update(health={"diversity": 1.0}))
    assert materialize_well(copy, "lsun") == NETWORKS[:3]
    checks = {check["check"]: check for check in meta(copy, "lsun/candidate").checks}
    failed = checks["sample_diversity"]
    assert not failed["passed"]
    assert failed["facts"]["share"] < failed["facts"]["bound"] == 1.0
    standing = meta(copy, "lsun/generator")
    assert standing.data_version == champion.data_version
    assert read_metadata(standing, "decision") == "kept the champion"
    assert "sample_diversity" in read_metadata(standing, "reason")


def test_a_training_set_that_is_behind_its_pictures_is_not_trained_on(copy: Path) -> None:
    write_params(copy, lambda lsun: lsun["images"].update(seed=43))
    assert materialize_well(copy, "lsun/images") == IMAGES
    readers = [f"lsun/{name}" for name in ("candidate", "latent_walk", "nearest_training_images")]
    done = materialize(copy, "--only", *readers)
    assert done.exit_code == 1
    assert set(lines(done, "FAILED")) == {
        f"FAILED {reader}: lsun/training_set: made from other pictures; "
        "run `dcgan materialize lsun/training_set`"
        for reader in readers
    }


def test_codes_that_collapsed_are_not_published_and_nothing_is_removed(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = functools.partial(autoencoder.AutoencoderConfig, normalise="none")
    monkeypatch.setattr(autoencoder, "AutoencoderConfig", raw)
    for name in ("manifest", "hashes"):
        shutil.rmtree(copy / "data/lsun" / name)
    before = contents(copy / "models/lsun/dedup_autoencoder")
    done = materialize(copy, "--force", "lsun/dedup_autoencoder", "lsun/manifest")
    line = refusal(done)
    assert line.startswith(
        "FAILED lsun/dedup_autoencoder: lsun/dedup_autoencoder: not published, check failed: "
        "codes_trusted ("
    )
    assert "distinct codes among" in line or "dead" in line
    assert lines(done, "blocked") == [
        f"blocked lsun/{name}: something that it needs failed" for name in ("hashes", "manifest")
    ]
    assert contents(copy / "models/lsun/dedup_autoencoder") == before
    assert not (copy / "data/lsun/manifest").exists()


def test_codes_of_shards_that_did_not_change_are_kept(
    fast_disk: Path, dagster_home: Path, source: dict[str, Item]
) -> None:
    root = fast_disk / "folder"
    (root / "pictures").mkdir(parents=True)
    shutil.copytree(dagster_home, root / ".dagster_home")
    for number, key in enumerate(list(source)[::2]):
        (root / "pictures" / f"{number:03d}.png").write_bytes(source[key].location.read())
    images = {"source": "folder", "path": "pictures", "size": 64, "shards": 2, "min_side": 32}

    def edit(lsun: dict[str, Any]) -> None:
        lsun.update(images=images)
        lsun["dedup_autoencoder"].update(probes=0.3, batch=64)

    write_params(root, edit)
    materialize_well(root, "lsun/hashes")
    # What the autoencoder left out is what recall would be measured on.
    probes = read_json(root / "models/lsun/dedup_autoencoder/probes.json")
    assert 20 < len(probes) < 70
    assert read_metadata(meta(root, "lsun/dedup_autoencoder"), "trained_on") == 150 - len(probes)
    found = [item.key for item in probe_items(work(root, "lsun/hashes"), set(probes), 30)]
    assert sorted(found) == sorted(probes)
    codes = contents(root / "data/lsun/hashes")
    assert read_metadata(meta(root, "lsun/hashes"), "shards_unchanged") == 0

    # No picture: the pixels stay, and with them the autoencoder; one shard has a row more.
    (root / "pictures" / "notes.txt").write_text("no picture", encoding="utf-8")
    (image, *rest) = materialize_well(root, "lsun/hashes")
    assert image in IMAGES
    assert rest == ["lsun/dedup_autoencoder", "lsun/hashes"]
    assert read_metadata(meta(root, "lsun/hashes"), "shards_unchanged") == 1
    after = contents(root / "data/lsun/hashes")
    arrays = [name for name in codes if name.endswith(".npy")]
    assert len(arrays) == 2
    assert [after[name] for name in arrays] == [codes[name] for name in arrays]
    rows = pq.read_table(root / "data" / image.replace("[", "/")[:-1] / "manifest.parquet")
    (rejected,) = [row for row in rows.to_pylist() if row["status"] == "rejected"]
    assert rejected["key"] == "notes.txt"
    assert rejected["reason"].startswith("not a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF picture")

    # A picture more: one shard is read again, but the autoencoder has learned from it.
    (root / "pictures" / "more.png").write_bytes(source[list(source)[1]].location.read())
    (image, *rest) = materialize_well(root, "lsun/hashes")
    assert image in IMAGES
    assert rest == ["lsun/dedup_autoencoder", "lsun/hashes"]
    assert read_metadata(meta(root, "lsun/hashes"), "shards_unchanged") == 0
