"""A number with everything that it depends on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dcgan_models.errors import UserError

Features = npt.NDArray[np.float32]
"""float32 (n, d), a row a picture."""


@dataclass(frozen=True)
class Score:
    """One measure of one set of pictures.

    Attributes:
        name: What was measured, such as `frechet_distance`.
        value: Finite.
        n_real, n_fake: Pictures behind it; 0 where a measure looks at one set only.
        split: Which real pictures: `held_out`, `train`.
        resizer: How pictures came to the size that was measured; `none` as they are.
        extractor: Kind and fingerprint of the feature space; `pixels` without one.
        seed: Of whatever was drawn at random.
        low, high: An interval, where one is known.
        interval: How it was obtained, and what it covers.
    """

    name: str
    value: float
    n_real: int
    n_fake: int
    split: str
    resizer: str
    extractor: str
    seed: int
    low: float | None = None
    high: float | None = None
    interval: str = ""

    def __post_init__(self) -> None:
        """Refuse a value that is not finite: a table holds numbers, or an error was raised."""
        if not math.isfinite(self.value):
            raise UserError(f"{self.name}: the value is {self.value}; a finite one is needed")


def checked(features: Features, what: str, at_least: int) -> Tensor:
    """Check features, and give them as float64 (n, d).

    Raises:
        UserError: Not (n, d), too few rows for a measure, or a value that is not finite.
    """
    given = np.asarray(features)
    if given.ndim != 2 or given.shape[1] == 0 or given.dtype.kind != "f":
        raise UserError(f"{what}: {given.dtype} {given.shape}; float (n, d) is needed")
    if len(given) < at_least:
        raise UserError(f"{what}: {len(given)} pictures, at least {at_least} are needed")
    rows = torch.from_numpy(given).double()
    fine = rows.isfinite().all(dim=1)
    if not bool(fine.all()):
        raise UserError(f"{what}: picture {int((~fine).nonzero()[0])} has a feature not finite")
    return rows


def checked_pair(real: Features, fake: Features, at_least: int) -> tuple[Tensor, Tensor]:
    """Real and generated features as float64; `UserError` also where their widths differ."""
    pair = checked(real, "real features", at_least), checked(fake, "generated features", at_least)
    if pair[0].shape[1] != pair[1].shape[1]:
        raise UserError(
            f"real features are {pair[0].shape[1]} wide and generated ones {pair[1].shape[1]}; "
            "both must come from one extractor"
        )
    return pair
