"""How factors go together."""

from __future__ import annotations

import numpy as np
import pytest

from dcgan_models.metrics.correlation import correlations


def test_pairs_come_in_the_order_of_combinations_and_agree_with_numpy() -> None:
    rng = np.random.default_rng(0)
    window = rng.random(50) > 0.4
    values = {
        "window": window,
        "curtains": window & (rng.random(50) > 0.5),
        "light": rng.normal(size=50),
        "wall": np.ones(50),
    }
    found = correlations(values)
    stacked = np.stack([value.astype(float) for value in values.values()])[:3]
    expected = np.corrcoef(stacked)
    assert found[[0, 1, 3]] == pytest.approx(expected[[0, 0, 1], [1, 2, 2]])
    assert found[[2, 4, 5]].tolist() == [0, 0, 0], "what never varies goes with nothing"
