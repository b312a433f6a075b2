"""Shares as rows of a result: found of n, in percent, with the interval that goes with it."""

from __future__ import annotations

from typing import Any

from dcgan_assets.engine.results import Row
from dcgan_models.metrics import wilson_interval


def share_row(
    name: str, found: int, n: int, *, digits: int = 3, interval: str = "95% Wilson", **more: Any
) -> Row:
    """A share in percent with its Wilson interval.

    Args:
        name: As `Row.name`.
        found, n: So many of so many.
        digits: After the point: 2 where the paper's table has as many.
        interval: What the bounds are, where more is to be said of them.
        more: Other fields of the row.
    """
    low, high = (round(100 * bound, digits) for bound in wilson_interval(found, n))
    return Row(
        name=name,
        value=round(100 * found / n, digits),
        n=n,
        low=low,
        high=high,
        interval=interval,
        **{"unit": "%", **more},
    )
