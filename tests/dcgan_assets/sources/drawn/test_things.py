from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from dcgan_assets.sources.drawn.drawings import Drawings
from dcgan_assets.sources.drawn.labelled_things import CLASSES, labelled_things
from dcgan_assets.sources.drawn.things import (
    FACTORS,
    KINDS,
    LABELLED,
    UNLABELLED,
    Scene,
    draw,
    draw_scene,
    kind_of,
    scene,
    seen_in,
)

NAMES = [factor.name.removeprefix("factor.") for factor in FACTORS]


def plain(number: int, **changes: object) -> Scene:
    """A scene of one ground, with nothing before the thing and an even light."""
    calm = {"stripes": 0, "clutter": 0, "hidden": False, "light": 0.0, "brightness": 1.0}
    return replace(scene(1, number, Scene), **{**calm, **changes})  # type: ignore[arg-type]


def painted(facts: Scene, kind: str, size: int = 128) -> npt.NDArray[np.bool_]:
    """The pixels that a thing covers."""
    difference = draw_scene(facts, kind, size).astype(int) - draw_scene(facts, None, size)
    covered: npt.NDArray[np.bool_] = np.abs(difference).max(axis=2) > 12
    return covered


def test_what_d_sees_and_what_is_classified_have_no_kind_in_common() -> None:
    assert len(LABELLED) == len(UNLABELLED) == 10
    assert not set(LABELLED) & set(UNLABELLED)
    source = Drawings("things", 200, 32, held_out=40, seed=42)
    place = [factor.name for factor in source.factors].index("factor.thing")
    shown = {item.factors[place] for item in source.items(0, 1)}
    assert shown == set(UNLABELLED)
    pictures = labelled_things(50, 50, 42)
    labels = pictures.kept["label"].to_pylist()
    assert {CLASSES[label] for label in labels} == set(LABELLED)


def test_labelled_and_unlabelled_pictures_share_no_scene() -> None:
    drawn = {item.uri.split("#")[1] for item in Drawings("things", 99, 32, seed=4).items(0, 1)}
    uris = labelled_things(99, 99, 4).table["source_uri"].to_pylist()
    labelled = {uri.split("#")[1].rpartition(",")[0] for uri in uris}
    assert len(labelled) == 198
    assert not drawn & labelled


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("kind", KINDS)
def test_a_thing_is_rgb_of_its_size(kind: str, size: int) -> None:
    picture = draw_scene(scene(1, 0), kind, size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 5


def test_what_d_sees_is_plain_and_what_is_classified_is_not() -> None:
    """A thing of the GAN's pictures is large and whole, on a light ground of one piece."""
    seen = [scene(1, number) for number in range(200)]
    classified = [scene(1, number, Scene) for number in range(200)]
    assert not any(facts.hidden or facts.stripes or facts.clutter for facts in seen)
    assert sum(facts.hidden for facts in classified) > 30
    assert min(facts.ground_value for facts in seen) > 0.75
    assert min(facts.ground_value for facts in classified) < 0.3
    assert min(facts.size for facts in seen) > 0.35
    for number in range(10):
        assert np.array_equal(draw(1, number, 32), draw_scene(seen[number], kind_of(number), 32))


def test_things_differ_and_are_the_same_again() -> None:
    pictures = [draw(1, number, 32) for number in range(40)]
    assert len({picture.tobytes() for picture in pictures}) == 40
    assert all(np.array_equal(draw(1, n, 32), pictures[n]) for n in reversed(range(40)))
    assert not np.array_equal(draw(2, 0, 32), pictures[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_thing_lies_where_its_factors_say(kind: str) -> None:
    for number in range(8):
        facts = plain(number, turn=0.0, contrast=1.0)
        rows, columns = np.nonzero(painted(facts, kind))
        side = 128.0
        assert abs(rows.mean() / side - facts.down) < 0.55 * facts.size
        assert abs(columns.mean() / side - facts.across) < 0.35 * facts.size
        # From its top to its bottom, as far as the picture shows it; wide things are less high.
        low, high = max(0.0, facts.down - facts.size), min(1.0, facts.down + facts.size)
        assert rows.min() / side > low - 0.05
        assert (rows.max() + 1) / side < high + 0.05
        wide = (columns.max() - columns.min()) / (2 * facts.size * facts.stretch * side)
        tall = (rows.max() - rows.min()) / (2 * facts.size * side)
        assert max(wide, tall) > 0.7
        assert 0.1 < painted(facts, kind).sum() / (2 * facts.size * side) ** 2 < 0.85


@pytest.mark.parametrize("kind", KINDS)
def test_a_thing_turns_with_its_factor(kind: str) -> None:
    facts = plain(3, mirrored=False, stretch=1.0, across=0.5, down=0.5, size=0.33, contrast=1.0)
    upright = painted(replace(facts, turn=0.0), kind)
    turned = painted(replace(facts, turn=np.pi / 2), kind)
    # A quarter clockwise takes the top to the right.
    agree = (np.rot90(upright, -1) == turned).mean()
    assert agree > 0.97
    assert np.array_equal(seen_in(1, 7)[NAMES.index("turn")], scene(1, 7).turn)


@pytest.mark.parametrize("kind", KINDS)
def test_a_thing_stands_out_and_is_hidden_in_part(kind: str) -> None:
    for number in range(12):
        facts = plain(number)
        bare, covered = (draw_scene(replace(facts, hidden=h), kind, 64) for h in (False, True))
        assert painted(facts, kind, 64).mean() > 0.04
        changed = (np.abs(bare.astype(int) - covered).max(axis=2) > 12) & painted(facts, kind, 64)
        assert 0 < changed.sum() < 0.5 * painted(facts, kind, 64).sum()


def test_pixels_alone_hardly_tell_the_kind() -> None:
    made = labelled_things(400, 300, 5)
    pixels = made.pixels.reshape(700, -1).astype(np.float64)
    labels = np.array(made.kept["label"].to_pylist())
    train, test = pixels[:400], pixels[400:]
    squares = (test**2).sum(axis=1)[:, None] + (train**2).sum(axis=1) - 2 * test @ train.T
    nearest = labels[:400][squares.argmin(axis=1)]
    # Chance is 0.1.
    assert 0.2 < (nearest == labels[400:]).mean() < 0.6
    means = np.stack([train[labels[:400] == kind].mean(axis=0) for kind in range(10)])
    of_mean = ((test[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (of_mean == labels[400:]).mean() < 0.35


def test_kinds_take_turns() -> None:
    kinds = Counter(seen_in(3, number)[0] for number in range(100))
    assert kinds == dict.fromkeys(UNLABELLED, 10)
    assert [kind_of(n, CLASSES) for n in range(10)] == list(CLASSES)


def test_labelled_things_are_the_same_whatever_their_number() -> None:
    few, many = labelled_things(20, 10, 3), labelled_things(50, 30, 3)
    assert np.array_equal(few.pixels[:20], many.pixels[:20])
    assert np.array_equal(few.pixels[20:], many.pixels[50:60])
    assert many.pixels.shape == (80, 32, 32, 3)
    assert Counter(many.kept["split"].to_pylist()) == {"train": 50, "test": 30}
    assert len({picture.tobytes() for picture in many.pixels}) == 80
    assert not np.array_equal(labelled_things(20, 10, 4).pixels, few.pixels)
    for row, picture in zip(few.table.to_pylist(), few.pixels, strict=True):
        facts = dict(
            part.split("=") for part in row["source_uri"].split("#")[1].split(",") if "=" in part
        )
        scenery = scene(int(facts["seed"]), int(facts["number"]), Scene)
        again = draw_scene(scenery, CLASSES[row["label"]], 32)
        assert np.array_equal(picture, again)
        assert CLASSES[row["label"]] == row["source_uri"].rpartition(",")[2]
