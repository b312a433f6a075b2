"""Rows of what judges counted: means with their intervals."""

from __future__ import annotations

import numpy as np
import pytest

from dcgan_assets.assets.internals.looking import distance_row, mean_row


def test_a_mean_of_shares_is_in_percent_and_its_interval_is_over_what_is_independent() -> None:
    row = mean_row("window: left", "share", np.array([0.2, 0.4]), "draws of maps")
    assert (row.value, row.unit, row.n) == (30.0, "%", 2)
    assert row.interval == "95% t, over draws of maps"
    # Student's t of one degree of freedom is 12.7: no share lies beyond 0 and 1.
    assert (row.low, row.high) == (0.0, 100.0)


def test_a_mean_of_distances_has_students_interval() -> None:
    distances = np.arange(1.0, 11.0)
    row = distance_row("samples", distances)
    assert (row.name, row.value, row.unit) == ("samples: distance from real pictures", 5.5, "")
    half = 2.262157 * distances.std(ddof=1) / 10**0.5
    assert (row.low, row.high) == pytest.approx((5.5 - half, 5.5 + half), abs=1e-4)
