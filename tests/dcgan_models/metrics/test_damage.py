"""Damage that is planted is seen by a space that holds it, and not by one that does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dcgan_models.errors import UserError
from dcgan_models.metrics.damage import damage_seen
from dcgan_models.metrics.extractor import random_extractor


class Mean:
    """A space of one feature, the picture's mean, which survives being laid over another."""

    kind, resizer, fingerprint = "mean", "none", "0" * 12

    def features(self, pictures: Any) -> Any:
        return pictures.mean(axis=(1, 2, 3))[:, None].astype(np.float32)


def pictures(n: int) -> Any:
    """Vertical or horizontal stripes: all have one mean, and mixtures are plaids."""
    rng = np.random.default_rng(0)
    stripes = np.zeros((n, 32, 32, 3), np.uint8)
    for picture in stripes:
        line = rng.permutation(np.repeat([0, 254], 16)).astype(np.uint8)
        picture[:] = line[:, None] if rng.random() < 0.5 else line[None, :, None]
        if picture.ndim == 3 and rng.random() < 0.5:
            picture[:] = picture.swapaxes(0, 1).copy()
    return stripes


def test_an_untrained_network_sees_plaids_among_stripes_and_their_mean_does_not() -> None:
    seen = damage_seen(random_extractor(), pictures(200))
    assert seen.damaged > 1.5 * seen.real > 0
    blind = damage_seen(Mean(), pictures(200))
    assert blind.real == pytest.approx(blind.damaged, abs=1e-6)


def test_too_few_pictures_are_one_line() -> None:
    with pytest.raises(UserError, match="3 pictures, at least 4"):
        damage_seen(random_extractor(), pictures(3))
