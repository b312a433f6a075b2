"""Copies of training pictures, planted: they are found whatever the data are like."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from dcgan_models.metrics.manifolds import manifolds
from dcgan_models.metrics.memorisation import (
    CopyBounds,
    by_no_chance,
    dimension,
    memorisation,
    nearest_of,
)


def spread(n: int, seed: int) -> Any:
    """Features without structure, float32 (n, 16)."""
    return np.random.default_rng(seed).normal(size=(n, 16)).astype(np.float32)


def test_new_pictures_are_not_copies() -> None:
    found = memorisation(spread(1000, 0), spread(300, 1), spread(500, 2))
    assert found.share <= 0.02
    assert found.ratio == pytest.approx(1, abs=0.05)
    assert found.low <= 0.1


def test_copies_are_caught_where_quality_is_praised() -> None:
    """Copies have a Fréchet distance as low as real pictures, and precision of 1."""
    train, held_out = spread(1000, 0), spread(300, 1)
    copies = train[np.random.default_rng(0).integers(1000, size=400)]
    noisy = copies + 0.02 * spread(400, 3)
    for fakes in (copies, noisy):
        found = memorisation(train, held_out, fakes)
        assert found.share == found.nearer == 1
        assert found.low > 0.98
        assert found.ratio < 0.05
        assert manifolds(held_out, fakes).precision > 0.5
    half = np.concatenate([copies[:200], spread(200, 5)])
    assert memorisation(train, held_out, half).share == pytest.approx(0.5, abs=0.02)
    assert memorisation(train, held_out, half).low > 0.1


def test_blurred_pictures_are_not_copies() -> None:
    """Nearer to training pictures than they should be: the first distance would accuse them."""
    found = memorisation(spread(1000, 0), spread(300, 1), 0.3 * spread(400, 2))
    assert found.nearer > 0.1
    assert found.ratio < 0.8
    assert found.share < 0.02
    assert found.low <= 0.1


def test_copies_of_a_picture_that_is_there_twice_are_copies() -> None:
    train = np.repeat(spread(200, 0), 2, axis=0)
    assert memorisation(train, spread(50, 1), train[::8]).share == 1


# --- Training pictures that are there several times ----------------------------------------------


@pytest.mark.parametrize("times", [2, 3, 5])
@pytest.mark.parametrize("apart", [0.0, 0.02])
def test_copies_of_what_is_there_several_times_are_copies(times: int, apart: float) -> None:
    """Whether the training pictures are equal or nearly so: a ratio to the second would be 1."""
    once, held_out = spread(400, 0), spread(100, 1)
    train = np.concatenate([once + apart * spread(400, 10 + n) for n in range(times)])
    copies = once[:200] + 0.02 * spread(200, 3)
    assert memorisation(train, held_out, copies).share == 1
    assert memorisation(train, held_out, spread(300, 4)).share <= 0.03


# --- Held-out pictures that leaked -----------------------------------------------------------


@pytest.mark.parametrize("width", [16, 64])
@pytest.mark.parametrize("leaked", [0, 2, 4, 20, 100])
def test_copies_are_found_where_held_out_pictures_leaked(width: int, leaked: int) -> None:
    """0.5% and 1% of 400 among them: near-copies at the distance of the generator's own."""

    def features(n: int, seed: int) -> Any:
        return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)

    train, held_out = features(2000, 0), features(400, 1)
    held_out[:leaked] = train[1000 : 1000 + leaked] + 0.05 * features(400, 5)[:leaked]
    bounds = CopyBounds.of(train, held_out)
    assert bounds.near_copies[:leaked].all()
    assert bounds.near_copies[leaked:].sum() <= 1
    copies = train[:500] + 0.05 * features(500, 3)
    assert bounds.judge(copies).share == 1
    honest = bounds.judge(features(500, 2))
    assert honest.share <= 0.02
    assert honest.ratio == pytest.approx(1, abs=0.05)


def test_one_of_thirty_that_leaked_as_it_is() -> None:
    """A small group, a held-out picture of which is a training picture to the last pixel."""
    rng = np.random.default_rng(0)
    train = rng.normal(size=(300, 64)).astype(np.float32)
    copies = train[:100] + rng.normal(scale=0.02, size=(100, 64)).astype(np.float32)
    held_out = rng.normal(size=(30, 64)).astype(np.float32)
    assert memorisation(train, held_out, copies).share == 1
    held_out[0] = train[200]
    assert memorisation(train, held_out, copies).share == 1
    assert memorisation(np.concatenate([train, train]), held_out, copies).share == 1


def test_what_the_bounds_are() -> None:
    """The lowest of a hundred, by plain distances, the near-copy left out."""
    train, held_out = spread(500, 0), spread(101, 1)
    held_out[7] = train[3] + 1e-3
    bounds = CopyBounds.of(train, held_out)
    assert np.flatnonzero(bounds.near_copies).tolist() == [7]
    distances = np.linalg.norm(held_out[:, None].astype(float) - train[None], axis=2)
    distances.sort(axis=1)
    rest = np.delete(distances, 7, axis=0)
    # Of a hundred the first percentile is the lowest.
    assert bounds.nearest == pytest.approx(rest[:, 0].min(), rel=1e-5)
    assert bounds.ratio == pytest.approx((rest[:, 0] / rest[:, 9]).min(), rel=1e-5)
    assert bounds.typical == pytest.approx(np.median(rest[:, 0]), rel=1e-5)


def test_what_lies_at_the_bounds_is_a_copy() -> None:
    """By either distance: the very picture that a bound was taken from."""
    train, held_out = spread(500, 0), spread(100, 1)
    bounds = CopyBounds.of(train, held_out)
    near = replace(bounds, ratio=1.0)
    assert near.copies(held_out).sum() == 1
    assert near.judge(held_out).nearer == near.judge(held_out).share == 0.01
    assert replace(bounds, nearest=np.inf).copies(held_out).sum() == 1


def test_the_unit_of_features_changes_nothing() -> None:
    sets = spread(500, 0), spread(100, 1), 0.5 * spread(50, 2)
    whole, small = memorisation(*sets), memorisation(*(features / 1024 for features in sets))
    assert whole.ratio < 0.95
    assert small.ratio == pytest.approx(whole.ratio)
    assert (small.share, small.nearer) == (whole.share, whole.nearer)


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_the_dimension_of_pictures_spread_evenly(width: int) -> None:
    """Distances of even density grow as the root of a Poisson process: D is what was put in."""
    rng = np.random.default_rng(width)
    volumes = rng.exponential(size=(20_000, 10)).cumsum(axis=1)
    distances = volumes ** (1 / width)
    for k in (2, 10):
        found = dimension(distances[:, 0] / distances[:, k - 1], k)
        assert found == pytest.approx(width, rel=0.03)


def test_dimensions_that_there_are_not() -> None:
    assert dimension(np.zeros(9), 10) == 0
    assert dimension(np.ones(9), 10) == np.inf


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize(
    ("k", "median", "least"), [(2, 0.5, 0.001), (10, 1 - 0.5 ** (1 / 9), 1 - 0.999 ** (1 / 9))]
)
def test_what_has_a_chance_of_one_in_a_thousand(
    width: int, k: int, median: float, least: float
) -> None:
    """Of k - 1 uniform numbers the least is below x with 1 - (1 - x)^(k - 1); in D dimensions
    the ratio is its D-th root."""
    volumes = np.array([0.99 * least, 1.01 * least, median, 0.9, 0.95])
    ratios = volumes ** (1 / width)
    assert dimension(ratios, k) == pytest.approx(width)
    assert by_no_chance(ratios, k).tolist() == [True, False, False, False, False]


def test_where_half_are_there_as_they_are_those_are_by_no_chance() -> None:
    assert by_no_chance(np.array([0, 0, 1e-9]), 10).tolist() == [True, True, False]
    assert by_no_chance(np.array([0, 1, 1]), 10).tolist() == [True, False, False]


def test_ten_held_out_pictures_must_be_left(refused: Any) -> None:
    train, held_out = spread(300, 0), spread(20, 1)
    held_out[:10] = train[:10]
    assert CopyBounds.of(train, held_out).near_copies.tolist() == [True] * 10 + [False] * 10
    held_out[10] = train[10]
    with refused("of 11 of 20 pictures", "at least 10 without one"):
        CopyBounds.of(train, held_out)


def test_the_nearest_and_how_much_nearer_it_is_than_the_kth() -> None:
    """Of the second view, too; a picture that is there k times over has a ratio of 0."""
    train = torch.tensor([[0.0], [3.0], [7.0], [7.0], [12.0]])
    views = torch.tensor([[1.0], [7.0], [4.0]]), torch.tensor([[11.0], [20.0], [100.0]])
    found = nearest_of(
        views, [((train[:3],), torch.arange(3)), ((train[3:],), torch.arange(3, 5))], 2, 2.0
    )
    assert found.row.tolist() == [0, 2, 1]
    assert found.distance == pytest.approx([1, 0, 1])
    assert found.ratio == pytest.approx([1, 0, 1 / 3])


def test_equal_features_everywhere_are_no_error() -> None:
    """As of pictures of one colour in a space that forgets colour."""
    alike = np.ones((50, 4), np.float32)
    found = memorisation(alike + spread(50, 0)[:, :4] * 0, alike * 2, alike * 2)
    assert 0 <= found.share <= 1
    assert found.ratio == 1


# --- Several views ----------------------------------------------------------------------------


def test_a_mirrored_copy_is_a_copy() -> None:
    """Features whose order is turned round stand for a mirrored picture's."""

    def both(features: Any) -> Any:
        return features, np.ascontiguousarray(features[:, ::-1])

    train, held_out, fake = spread(1000, 0), spread(300, 1), spread(500, 2)
    bounds = CopyBounds.of(train, *both(held_out))
    mirrored = both(train[:200] + 0.02 * spread(200, 3))[1]
    assert bounds.judge(mirrored).share <= 0.02
    assert bounds.judge(*both(mirrored)).share == 1
    assert bounds.judge(*both(fake)).share <= 0.02
    held_out[5] = train[7, ::-1]
    leaked = CopyBounds.of(train, *both(held_out)).near_copies
    assert leaked[5]
    assert leaked.sum() <= 2


def test_the_cutting_of_the_training_pictures_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sets = spread(500, 0), spread(100, 1), spread(50, 2)
    whole = memorisation(*sets)
    monkeypatch.setattr("dcgan_models.metrics.memorisation._BLOCK", 64)
    assert memorisation(*sets) == whole


# --- Refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((1, 30, 9), ("training features", "at least 2")),
        ((9, 19, 9), ("held-out features", "at least 20")),
        ((9, 30, 0), ("generated features", "at least 1")),
    ],
)
def test_too_few_pictures_are_refused(refused: Any, sizes: Any, words: Any) -> None:
    with refused(*words):
        memorisation(*(spread(n, 0) for n in sizes))


def test_nothing_can_be_said_where_nearly_all_held_out_pictures_leaked(refused: Any) -> None:
    train = spread(300, 0)
    with refused("held-out features", "of 30 of 30 pictures a near-copy was trained on"):
        memorisation(train, train[:30], spread(9, 2))


def test_features_of_two_extractors_are_refused(refused: Any) -> None:
    with refused("[5, 16]", "one extractor"):
        memorisation(spread(9, 0), spread(30, 0), spread(9, 0)[:, :5])
