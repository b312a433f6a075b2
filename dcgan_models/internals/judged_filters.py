"""Figure 5 counted: what the pictures that fire a filter have in common, by known factors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dcgan_models.errors import UserError
from dcgan_models.internals.attribution import Hits


@dataclass(frozen=True)
class Named:
    """What a filter fires on.

    Attributes:
        filter: Channel of D's last convolution.
        word: The factor, as a concept has it: `window`, `nowindow`, `lowyaw`.
        found, n: Of so many of the pictures that fire it, so many are so.
        share: Of all pictures that are so.
    """

    filter: int
    word: str
    found: int
    n: int
    share: float


def name_filters(hits: Hits, values: Mapping[str, npt.NDArray[Any]]) -> list[Named]:
    """Name each filter by the word that its pictures have most above the share of all pictures.

    Of the pictures that fire it every other one chooses the word, and the rest are counted: the
    best of many words would look good on what it was chosen on.

    Args:
        hits: The pictures that fire each filter, of those that values are known of.
        values: By factor, bool or numbers, (n,).

    Raises:
        UserError: No factor that varies.
    """
    words = _words(values)
    if not words:
        raise UserError("filters cannot be named: no factor of the pictures varies")
    named = []
    for channel, rows in zip(hits.filters, hits.rows.numpy(), strict=True):
        choosing, counted = rows[::2], rows[1::2]
        word = max(words, key=lambda name: _surprise(words[name], choosing))
        own = words[word]
        named.append(Named(channel, word, int(own[counted].sum()), len(counted), float(own.mean())))
    return named


def _words(values: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[np.bool_]]:
    """Each flag and its absence; of each number its upper and its lower third."""
    words: dict[str, npt.NDArray[np.bool_]] = {}
    for name, value in values.items():
        plain = name.replace("_", "")
        if value.dtype == np.bool_:
            words |= {plain: value, f"no{plain}": ~value}
        else:
            low, high = np.quantile(value, (1 / 3, 2 / 3))
            words |= {f"low{plain}": value < low, f"high{plain}": value > high}
    return {word: found for word, found in words.items() if 0 < found.sum() < len(found)}


def _surprise(word: npt.NDArray[np.bool_], rows: npt.NDArray[np.int64]) -> float:
    """How many standard deviations the share among some rows lies above that of all."""
    share = float(word.mean())
    return float((word[rows].mean() - share) / np.sqrt(share * (1 - share)))
