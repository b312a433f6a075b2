"""Sliced Wasserstein distance of patches, in the protocol of Karras et al. (2018), section 5.

As mmgeneration computes it, whose figures for DCGAN are the published ones. From each level of a
Laplacian pyramid 128 patches of 7x7 a picture are taken at random; each channel is normalised over
all patches of a set; sorted projections on random directions are compared, 4 times 128 of them.
The values are times 1000.

Two things differ from Karras' own code, and are mmgeneration's: the pyramid pads with zeros, which
is mid-grey in [-1, 1], and enlarges by repeating pixels before it smooths. Values of the two
programs are therefore not to be mixed.

Neither a level of the pyramid nor its projections are ever all in memory: a level is made once and
lies in a temporary file (49 kB a picture of 64x64), from which its patches are cut again for every
64 directions.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dcgan_models.errors import UserError
from dcgan_models.metrics.intervals import mean_interval
from dcgan_models.metrics.pictures import Pictures, blocks, check_alike
from dcgan_models.pixels import Pixels

PATCH = 7
PATCHES = 128
REPEATS = 4
DIRECTIONS = 128
# Levels go down to this side, and there are at most so many.
SMALLEST = 16
MOST_LEVELS = 4

_TAPS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
# Pictures cut at once: few enough for the cache. Directions whose projections are held: for
# 10,000 pictures 64 of them are 330 MB a set.
_BLOCK = 32
_HELD = 64


@dataclass(frozen=True)
class SlicedWasserstein:
    """The sliced Wasserstein distance by level of the pyramid, finest first.

    Attributes:
        levels: Side of each level in pixels.
        repeats: float64 (levels, 4), one value, times 1000, for each set of directions.
    """

    levels: tuple[int, ...]
    repeats: npt.NDArray[np.float64]

    @property
    def by_level(self) -> tuple[float, ...]:
        """The value of each level, times 1000."""
        return tuple(self.repeats.mean(axis=1).tolist())

    @property
    def average(self) -> float:
        """The mean over the levels, times 1000: the number that is usually quoted."""
        return float(self.repeats.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the average over directions; it says nothing about other pictures."""
        return mean_interval(self.repeats.mean(axis=0))


@torch.no_grad()
def sliced_wasserstein(real: Pictures, fake: Pictures, *, seed: int = 0) -> SlicedWasserstein:
    """Compare the patches of two sets of pictures.

    Args:
        real, fake: uint8 (n, height, width, channels), as many of the one as of the other;
            16,384 in the published figures.
        seed: Of patches and directions.

    Raises:
        UserError: Pictures of two shapes, of two numbers, or too small; or all patches of a set
            are of one colour.

    Examples:
        >>> pictures = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), dtype=np.uint8)
        >>> distance = sliced_wasserstein(pictures[:32], pictures[32:])
        >>> distance.levels
        (32, 16)
    """
    height, width, _ = check_alike(real, fake)
    if len(real) != len(fake):
        raise UserError(
            f"sliced Wasserstein distance: {len(real)} real and {len(fake)} generated pictures; "
            "as many of the one as of the other are needed"
        )
    levels = pyramid_levels(height, width)
    generator = torch.Generator().manual_seed(seed)
    values = []
    for level in range(levels):
        with ExitStack() as stack:
            ours, theirs = (
                stack.enter_context(_Patches(x, level, levels, generator)) for x in (real, fake)
            )
            values.append([_distance(ours, theirs, generator) for _ in range(REPEATS)])
    sides = tuple(height >> level for level in range(levels))
    return SlicedWasserstein(sides, 1000 * np.array(values))


def pyramid_levels(height: int, width: int) -> int:
    """How many levels pictures of a size have: 3 for 64x64.

    Raises:
        UserError: The shorter side is below 16, or a side cannot be halved so often.
    """
    side = min(height, width)
    if side < SMALLEST:
        raise UserError(
            f"sliced Wasserstein distance: pictures of {height}x{width}; sides of at least "
            f"{SMALLEST} are needed"
        )
    levels = min(MOST_LEVELS, int(math.log2(side / SMALLEST)) + 1)
    if height % 2 ** (levels - 1) or width % 2 ** (levels - 1):
        raise UserError(
            f"sliced Wasserstein distance: pictures of {height}x{width}; their sides must divide "
            f"by {2 ** (levels - 1)}"
        )
    return levels


class _Patches:
    """The patches of one set of pictures at one level, cut anew whenever they are asked for.

    A context: the level lies in a file meanwhile.
    """

    def __init__(
        self, pictures: Pictures, level: int, levels: int, generator: torch.Generator
    ) -> None:
        height, width, channels = pictures.shape[-3:]
        self._pictures = len(pictures)
        self._last = level == levels - 1
        self._maps = [_level_maps(side, level) for side in (height, width)]
        self._shape = height >> level, width >> level, channels
        rows, columns = (
            torch.randint(side - PATCH + 1, (len(pictures), PATCHES), generator=generator)
            for side in self._shape[:2]
        )
        self._corners = (rows * self._shape[1] + columns).int()
        self.count = len(pictures) * PATCHES
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `__exit__`)
        for pixels in blocks(pictures, _BLOCK):
            planes = self._level(pixels).permute(0, 2, 3, 1).contiguous()
            planes.numpy().tofile(self._file)
        self._mean, self._std = self._statistics()

    def __enter__(self) -> _Patches:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each channel, over all patches and places: (c,)."""
        channels = self._shape[2]
        shift = torch.zeros(channels, dtype=torch.float64)
        sums = torch.zeros(2, channels, dtype=torch.float64)
        for number, patches in enumerate(self._cut()):
            values = patches.view(-1, channels)
            if number == 0:  # sums of squares about a mean lose no digits
                shift = values.double().mean(dim=0)
            values = values - shift.float()
            sums += torch.stack([values.sum(dim=0), values.square().sum(dim=0)])
        places = self.count * PATCH * PATCH
        mean, square = sums / places
        variance = (square - mean.square()) * places / (places - 1)
        if not bool((variance > 0).all()):
            raise UserError(
                "sliced Wasserstein distance: all patches of a set have one colour; pictures "
                "that vary are needed"
            )
        return (shift.float().double() + mean).float(), variance.sqrt().float()

    def _cut(self) -> Iterator[Tensor]:
        """Patches, float32 (n, 7 * 7 * channels), channels fastest, a block at a time."""
        height, width, channels = self._shape
        self._file.seek(0)
        for begin in range(0, self._pictures, _BLOCK):
            here = min(_BLOCK, self._pictures - begin)
            values = np.fromfile(self._file, np.float32, here * height * width * channels)
            # A patch is seven stretches of memory, a row of the picture apart.
            place, row = values.strides[0] * channels, values.strides[0] * channels * width
            patches = np.lib.stride_tricks.as_strided(
                values,
                (here * height * width - (PATCH - 1) * (width + 1), PATCH, PATCH * channels),
                (place, row, values.strides[0]),
                writeable=False,
            )
            first = torch.arange(here)[:, None] * (height * width)
            corners = (self._corners[begin : begin + here] + first).flatten().numpy()
            yield torch.from_numpy(patches[corners].reshape(len(corners), -1))

    def _level(self, pixels: Pixels) -> Tensor:
        """One level of the Laplacian pyramid: float32 (n, channels, height, width)."""
        x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
        (down_rows, blur_rows), (down_columns, blur_columns) = self._maps
        if len(down_rows) != x.shape[2]:
            x = down_rows @ x @ down_columns.T
        return x if self._last else x - blur_rows @ x @ blur_columns.T

    def project(self, directions: Tensor, out: npt.NDArray[np.float32]) -> None:
        """Projections of the normalised patches on (d, k) directions, into (k, count)."""
        places = PATCH * PATCH
        scaled = (directions / self._std.repeat(places)[:, None]).T.contiguous()
        shift = scaled @ self._mean.repeat(places)[:, None]
        into, done = torch.from_numpy(out), 0
        for patches in self._cut():
            torch.mm(scaled, patches.T, out=into[:, done : done + len(patches)])
            done += len(patches)
        into -= shift


def _distance(real: _Patches, fake: _Patches, generator: torch.Generator) -> float:
    """Mean distance of sorted projections over one set of 128 directions."""
    width = len(real._std) * PATCH * PATCH
    directions = torch.randn(width, DIRECTIONS, generator=generator)
    directions /= torch.linalg.vector_norm(directions, dim=0)
    space = np.empty((2, _HELD, real.count), np.float32)
    total = 0.0
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for first in range(0, DIRECTIONS, _HELD):
            held = directions[:, first : first + _HELD]
            real.project(held, space[0])
            fake.project(held, space[1])
            total += sum(pool.map(_gap, *space))
    return total / (DIRECTIONS * real.count)


def _gap(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Summed distance of the sorted values of two rows, which stay sorted."""
    for row in (one, other):
        _sort(row)
    return float(np.abs(one - other).sum())


def _sort(row: npt.NDArray[np.float32]) -> None:
    """Sort in place: with Intel's radix sort where OpenCV has it, else numpy's.

    On AMD's Zen 4 numpy's takes five times as long: AVX-512 is slow there at storing what it packs
    (numpy/x86-simd-sort, issue 6).
    """
    import cv2

    if cv2.ipp.useIPP():
        cv2.sort(row[None], cv2.SORT_EVERY_ROW, dst=row[None])
    else:
        row.sort()


def _level_maps(side: int, level: int) -> tuple[Tensor, Tensor]:
    """For one axis, as matrices: from pixels to a level of the Gaussian pyramid, and its blur.

    The blur, down a level and up again, is what a level of the Laplacian pyramid lacks.
    """
    down = torch.eye(side)
    for _ in range(level):
        down = _smoothing(len(down))[::2] @ down
    here = len(down)
    # A level is enlarged by repeating pixels, and then smoothed.
    up = _smoothing(here) @ torch.eye(here // 2).repeat_interleave(2, dim=0)[:here]
    return down, up @ _smoothing(here)[::2] if here % 2 == 0 else torch.zeros(here, here)


def _smoothing(side: int) -> Tensor:
    """The binomial filter 1 4 6 4 1 with zeros beyond the border: (side, side)."""
    matrix = torch.zeros(side, side)
    for offset, tap in zip(range(-2, 3), _TAPS, strict=True):
        matrix += torch.diag(torch.full((side - abs(offset),), tap), offset)
    return matrix
