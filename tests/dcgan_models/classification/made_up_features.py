"""Features made up, and their table on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dcgan_models.classification.feature_table import (
    COLUMNS_SCHEMA,
    write_feature_table,
)

Features = npt.NDArray[np.float16]


def columns(count: int) -> pa.Table:
    numbers = np.arange(count, dtype=np.int32)
    parts = (numbers, numbers * 0 + 1, numbers // 16, numbers // 4 % 4, numbers % 4)
    return pa.Table.from_arrays(list(map(pa.array, parts)), schema=COLUMNS_SCHEMA)


def made_up(n: int, count: int, seed: int = 0) -> Features:
    return np.random.default_rng(seed).normal(size=(n, count)).astype(np.float16)


def write(folder: Path, features: Features, *, block: int = 7, **settings: Any) -> None:
    n = len(features)
    write_feature_table(
        folder,
        columns(features.shape[1]),
        (features[low : low + block] for low in range(0, n, block)),
        keys=[f"picture {i} ü" for i in range(n)],
        labels=np.arange(n, dtype=np.int64) % 5 - 1,
        splits=["train" if i % 3 else "test" for i in range(n)],
        **settings,
    )
