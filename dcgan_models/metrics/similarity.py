"""MS-SSIM of pairs of generated pictures: high where a generator repeats itself.

Odena et al. (2017) proposed it as a measure of diversity, Karras et al. (2018) and mmgeneration
print it for unconditional generators. It is the multi-scale structural similarity of Wang et al.
(2003): five scales, an 11x11 Gaussian window with a standard deviation of 1.5, cut and narrowed
where a scale is smaller than the window, and no padding. It compares generated pictures with each
other, so that noise scores best: it means something only beside the value of real pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dcgan_models.errors import UserError
from dcgan_models.metrics.intervals import mean_interval
from dcgan_models.metrics.pictures import Pictures, check_pictures, take

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW, _SIGMA = 11, 1.5
# (K L)^2 of the paper with K1 = 0.01, K2 = 0.03 and grey levels from 0 to 255.
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_SHRINK = 2 ** (len(WEIGHTS) - 1)
_PAIRS = 128


@dataclass(frozen=True)
class Similarity:
    """Mean MS-SSIM of random pairs, from 0, nothing in common, to 1, one picture.

    Attributes:
        pairs: How many; each picture is in one at most.
        value: Their mean.
        interval: 95% interval of the mean over pairs.
    """

    pairs: int
    value: float
    interval: tuple[float, float]


@torch.no_grad()
def mean_similarity(pictures: Pictures, *, seed: int = 0) -> Similarity:
    """Pair pictures at random and take the mean of the pairs' MS-SSIM.

    Args:
        pictures: uint8 (n, height, width, channels); 10,000 generated ones in mmgeneration's
            figures. Of an odd number one is left out.
        seed: Of the pairing. Generated pictures of a conditional network come class by class in
            turn: neighbours are no random pairs.

    Raises:
        UserError: Fewer than four pictures, or sides that do not divide by 16.

    Examples:
        >>> picture = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
        >>> round(mean_similarity(picture.repeat(8, axis=0)).value, 6)  # all alike
        1.0
    """
    height, width, _ = check_pictures(pictures, "pictures for MS-SSIM", 4)
    if height % _SHRINK or width % _SHRINK:
        raise UserError(
            f"MS-SSIM: pictures of {height}x{width}; sides that divide by {_SHRINK} are needed"
        )
    order = np.random.default_rng(seed).permutation(len(pictures))
    half = len(order) // 2
    values = torch.cat(
        [
            ms_ssim(
                torch.from_numpy(take(pictures, order[first : min(first + _PAIRS, half)])),
                torch.from_numpy(take(pictures, order[half:][first : min(first + _PAIRS, half)])),
            )
            for first in range(0, half, _PAIRS)
        ]
    )
    low, high = mean_interval(values.numpy())
    return Similarity(half, float(values.mean()), (max(0.0, low), min(1.0, high)))


def ms_ssim(one: Tensor, other: Tensor) -> Tensor:
    """Multi-scale structural similarity of pairs of pictures (Wang et al., 2003).

    Args:
        one, other: uint8 (n, height, width, channels), sides that divide by 16.

    Returns:
        float64 (n,) in [0, 1]; negative contrast terms count as 0, as is usual.
    """
    pair = [x.permute(0, 3, 1, 2).double() for x in (one, other)]
    result = torch.ones(len(one), dtype=torch.float64)
    for scale, weight in enumerate(WEIGHTS):
        similarity, contrast = _ssim(*pair)
        last = scale == len(WEIGHTS) - 1
        result *= (similarity if last else contrast).clamp(min=0) ** weight
        if not last:
            pair = [torch.nn.functional.avg_pool2d(x, 2) for x in pair]
    return result


def _ssim(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM and its contrast term at one scale, each the mean over places and channels: (n,).

    Variances are differences of large numbers: in float32 they would keep three digits.
    """
    rows, columns = (_window(side, min(one.shape[-2:])) for side in one.shape[-2:])

    def smooth(x: Tensor) -> Tensor:
        return rows @ x @ columns.T

    mean1, mean2 = smooth(one), smooth(other)
    var1, var2 = smooth(one * one) - mean1 * mean1, smooth(other * other) - mean2 * mean2
    covariance = smooth(one * other) - mean1 * mean2
    contrast = (2 * covariance + _C2) / (var1 + var2 + _C2)
    luminance = (2 * mean1 * mean2 + _C1) / (mean1 * mean1 + mean2 * mean2 + _C1)
    return (luminance * contrast).mean(dim=(1, 2, 3)), contrast.mean(dim=(1, 2, 3))


def _window(side: int, shortest: int) -> Tensor:
    """The Gaussian window along one axis, as a matrix without padding: (side - size + 1, side)."""
    size = min(_WINDOW, shortest)
    places = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    taps = torch.exp(-(places**2) / (2 * (size * _SIGMA / _WINDOW) ** 2))
    taps /= taps.sum()
    matrix = torch.zeros(side - size + 1, side, dtype=torch.float64)
    for place, tap in enumerate(taps.tolist()):
        matrix.diagonal(place)[: len(matrix)].fill_(tap)
    return matrix
