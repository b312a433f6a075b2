"""The rows of a feature table for the L2-SVM, block by block, in the precision they have.

A block is converted when it is used: float16 features of 50,000 pictures take 2.9 GB, and twice
that in float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dcgan_models.errors import UserError

# Features converted at a time: on a CPU the block should stay in the cache for its second use.
BLOCK = {"cpu": 2**20, "cuda": 2**26}
TILE = 2**24  # features of a float64 tile of the Gram matrix: 128 MiB


class SVMInputError(UserError, ValueError):
    """Bad input to the SVM; a ValueError as well, which scikit-learn asks of its estimators."""


class RowBlocks:
    """Blocks of the rows of X, (n, p), on a device.

    Products are in `dtype`: float32 for float16 and float32 features, float64 for others.
    """

    def __init__(self, X: Any, device: torch.device) -> None:
        self.n, self.p = X.shape
        self.device = device
        first = np.asarray(X[:1])
        self.dtype = torch.float32 if first.dtype in (np.float32, np.float16) else torch.float64
        self._X = X
        self._size = max(1, BLOCK[device.type] // self.p)
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if self.n * first.nbytes < free / 2:
                self._X = torch.cat([self._read(part) for part in self._parts(self._size)])

    def _parts(self, size: int, first: int = 0, last: int | None = None) -> Iterator[slice]:
        last = self.n if last is None else last
        for start in range(first, last, size):
            yield slice(start, min(start + size, last))

    def _read(self, part: slice) -> Tensor:
        """Rows in their own precision on the device."""
        rows = self._X[part]
        if isinstance(rows, Tensor):
            return rows.to(self.device)
        # `tensor` copies: a memory map, which cannot be written, is welcome.
        return torch.tensor(np.asarray(rows)).to(self.device)

    def pick(self, numbers: Tensor, dtype: torch.dtype) -> Tensor:
        """The rows of these numbers, in any order, (m, p)."""
        ordered, places = numbers.sort()
        picked = torch.empty(len(numbers), self.p, dtype=dtype, device=self.device)
        for part in self._parts(self._size, int(ordered[0]), int(ordered[-1]) + 1):
            low, high = torch.searchsorted(ordered, ordered.new_tensor([part.start, part.stop]))
            if high > low:
                picked[places[low:high]] = self._read(part)[ordered[low:high] - part.start].to(
                    dtype
                )
        return picked

    def block(self, part: slice, dtype: torch.dtype) -> Tensor:
        """Some rows, (m, p)."""
        return self._read(part).to(dtype)

    def blocks(self, dtype: torch.dtype | None = None) -> Iterator[tuple[slice, Tensor]]:
        """All rows, a cache's worth at a time, in `self.dtype` or another."""
        for part in self._parts(self._size):
            yield part, self.block(part, dtype or self.dtype)

    def tiles(self) -> Iterator[tuple[slice, Tensor]]:
        """All rows in float64, in larger pieces."""
        quarter = math.ceil(self.n / 4)  # so that the halves of a symmetric product show
        for part in self._parts(max(1, min(TILE // self.p, quarter))):
            yield part, self.block(part, torch.float64)

    def check(self) -> None:
        """Refuse a feature that is not finite."""
        for part, block in self.blocks():
            self.check_block(part, block)

    def check_block(self, part: slice, block: Tensor) -> None:
        """Refuse a block with a feature that is not finite."""
        # A sum is quick, and is not finite where a feature is not; the rest only names it.
        if torch.isfinite(block.sum()):
            return
        bad = (~torch.isfinite(block)).nonzero()
        if len(bad):
            row, column = bad[0].tolist()
            raise SVMInputError(
                f"row {part.start + row}, feature {column} is NaN or infinity (inf); features "
                "must be finite"
            )


def margins_of(block: Tensor, weights: Tensor) -> Tensor:
    """Rows (m, p) times weights (p + 1, k), the last for the feature that is always 1: float64.

    The weights have the rows' precision already: a block has hardly more numbers than they.
    """
    return (block @ weights[:-1]).double() + weights[-1]


def add_rows(total: Tensor, block: Tensor, factors: Tensor) -> None:
    """Add rows (m, p), each times its factors (m, k), to a sum (p + 1, k), float64."""
    total[:-1] += block.T @ factors.to(block.dtype)
    total[-1] += factors.sum(dim=0)
