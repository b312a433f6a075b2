"""Filters named by what fires them: where it was planted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fixture_types import Refused

from dcgan_models.internals.attribution import Hits
from dcgan_models.internals.judged_filters import Named, name_filters

N = 90


def hits(*rows: list[int]) -> Hits:
    found = torch.tensor(rows)
    places = torch.zeros(*found.shape, 2, dtype=torch.int64)
    return Hits(tuple(range(3, 3 + len(rows))), torch.ones(found.shape), found, places, N)


VALUES = {
    "window": np.arange(N) % 3 == 0,
    "long_hair": np.arange(N) < 60,
    "yaw": np.arange(N, dtype=float) % 30,
}


def test_each_filter_is_named_by_what_its_pictures_have_more_of_than_all() -> None:
    windows, cropped = list(range(0, 60, 3)), list(range(60, 80))
    turned = [row for row in range(N) if row % 30 >= 20][:20]
    found = name_filters(hits(windows, cropped, turned), VALUES)
    assert found[0] == Named(3, "window", 10, 10, pytest.approx(1 / 3))
    assert (found[1].filter, found[1].word, found[1].found) == (4, "nolonghair", 10)
    assert (found[2].word, found[2].found, found[2].n) == ("highyaw", 10, 10)


def test_what_chooses_the_name_is_not_what_is_counted() -> None:
    """Every other hit has a window: it chooses, and of the rest none has one."""
    rows = [row for pair in zip(range(0, 30, 3), range(1, 31, 3), strict=True) for row in pair]
    (found,) = name_filters(hits(rows), {"window": VALUES["window"]})
    assert (found.word, found.found, found.n) == ("window", 0, 10)


def test_factors_that_never_vary_name_nothing(refused: Refused) -> None:
    with refused("no factor of the pictures varies"):
        name_filters(hits([0, 1]), {"window": np.ones(N, bool)})
