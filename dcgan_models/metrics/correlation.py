"""How what is to be seen on pictures goes together: whether windows come with light walls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt


def correlations(values: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
    """Of each pair of factors, in the order of `itertools.combinations`: how they go together.

    Args:
        values: (n,) by factor, bool or numbers.

    Returns:
        (pairs,), Pearson's correlation; 0 where one of them never varies.
    """
    stacked = np.stack([value.astype(np.float64) for value in values.values()])
    centred = stacked - stacked.mean(axis=1, keepdims=True)
    sizes = np.sqrt((centred**2).sum(axis=1))
    scaled = centred / np.where(sizes > 0, sizes, 1.0)[:, None]
    upper = np.triu_indices(len(stacked), 1)
    found: npt.NDArray[np.float64] = (scaled @ scaled.T)[upper]
    return found
