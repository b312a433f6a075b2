"""Copies of training pictures, planted: they are found whatever the data are like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dcgan_models.metrics.manifolds import manifolds
from dcgan_models.metrics.memorisation import CopyBounds, dimension, memorisation


def spread(n: int, seed: int) -> Any:
    """Features without structure, float32 (n, 16)."""
    return np.random.default_rng(seed).normal(size=(n, 16)).astype(np.float32)


def test_new_pictures_are_not_copies() -> None:
    found = memorisation(spread(1000, 0), spread(300, 1), spread(500, 2))
    assert found.share <= 0.02
    assert found.ratio == pytest.approx(1, abs=0.05)
    assert not found.memorised(0.1)


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
        assert found.memorised(0.1)
        assert manifolds(held_out, fakes).precision > 0.5
    half = np.concatenate([copies[:200], spread(200, 5)])
    assert memorisation(train, held_out, half).share == pytest.approx(0.5, abs=0.02)
    assert memorisation(train, held_out, half).memorised(0.1)


def test_blurred_pictures_are_not_copies() -> None:
    """Nearer to training pictures than they should be: the first distance would accuse them."""
    found = memorisation(spread(1000, 0), spread(300, 1), 0.3 * spread(400, 2))
    assert found.nearer > 0.1
    assert found.ratio < 0.8
    assert found.share < 0.02
    assert not found.memorised(0.1)


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


def test_equal_features_everywhere_are_no_error() -> None:
    """As of pictures of one colour in a space that forgets colour."""
    alike = np.ones((50, 4), np.float32)
    found = memorisation(alike + spread(50, 0)[:, :4] * 0, alike * 2, alike * 2)
    assert 0 <= found.share <= 1
    assert found.ratio == 1


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
