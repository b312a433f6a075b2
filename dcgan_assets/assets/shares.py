"""Shares as rows of a result: found of n, in percent, with the interval that goes with it."""

from __future__ import annotations

from typing import Any

from dcgan_assets.engine.results import Row
from dcgan_models.metrics.intervals import WILSON, wilson_interval

_LEVEL = 0.05


def more_often(found: int, n: int, other: int, of: int) -> bool:
    """Whether `found` of `n` is more than `other` of `of` by more than chance, at the level of 5%.

    Fisher's exact test, one-sided.
    """
    from scipy.stats import fisher_exact

    table = [[found, n - found], [other, of - other]]
    return bool(fisher_exact(table, alternative="greater").pvalue < _LEVEL)


def share_row(
    name: str,
    found: int,
    n: int,
    *,
    measure: str,
    digits: int = 3,
    interval: str = WILSON,
    **more: Any,
) -> Row:
    """A share in percent with its Wilson interval.

    Args:
        name: As `Row.name`.
        found, n: So many of so many.
        measure: As `Row.measure`: `share` where it is good neither to have many nor few.
        digits: After the point: 2 where the paper's table has as many.
        interval: What the bounds are, where more is to be said of them.
        more: Other fields of the row.
    """
    low, high = (round(100 * bound, digits) for bound in wilson_interval(found, n))
    return Row(
        name=name,
        measure=measure,
        value=round(100 * found / n, digits),
        n=n,
        low=low,
        high=high,
        interval=interval,
        **{"unit": "%", **more},
    )
