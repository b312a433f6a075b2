"""Every interval of confidence that a result carries, in one place, by its words.

`KINDS` lists them. Each is simulated with a known truth in tests/dcgan_models/metrics/
test_intervals.py, and a kind without a simulation fails there; other bounds of a result are ranges
and quantiles, say so, and never say 95%. What an interval is over (pictures, draws, seeds) is told
behind its kind: it holds for other pictures, draws or seeds, and for nothing else.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dcgan_models.errors import UserError

WILSON = "95% Wilson"
STUDENT = "95% t"
HALVES = "95%, split halves"
U_STATISTIC = "95%, U-statistic"
CORRECTED = "95% Lang and Reiczigel"
FISHER = "95% Fisher"
KINDS = (WILSON, STUDENT, HALVES, U_STATISTIC, CORRECTED, FISHER)

_CONFIDENCE = 0.95
_NEARLY_ONE = 1 - 1e-9

Bounds = tuple[float, float]


def wilson_interval(successes: float, n: float) -> Bounds:
    """95% Wilson score interval of a share.

    Args:
        successes, n: So many of so many; of dependent observations, of as many as they are worth.

    Returns:
        Lower and upper bound in [0, 1]; never empty, even at 0 or n of n.

    Raises:
        UserError: Of none, or more than all.
    """
    if not 0 <= successes <= n or n == 0:
        raise UserError(f"no interval for {successes} of {n}")
    share, z = successes / n, _quantile(math.inf)
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if successes == 0 else (centre - half) / scale
    return low, 1.0 if successes == n else (centre + half) / scale


def dependent_share(share: float, n: int, halves: npt.NDArray[np.float64]) -> Bounds:
    """95% Wilson interval of a share of pictures whose neighbours are among the others.

    Such pictures are worth fewer than they are. How many fewer is seen from shares in disjoint
    halves of all sets, which would otherwise differ as shares of independent ones do.

    Args:
        share: In [0, 1].
        n: Pictures that it is a share of.
        halves: (splits, 2), the shares in random halves, and in the other halves.
    """
    chance = float(halves.mean() * (1 - halves.mean())) / (n // 2)
    variance = float(np.square(halves[:, 0] - halves[:, 1]).mean()) / 2
    # What is known from a few splits only is made up for as Student did.
    unsure = (_quantile(len(halves)) / _quantile(math.inf)) ** 2
    worth = n / max(1.0, unsure * variance / chance) if chance > 0 else n
    return wilson_interval(share * worth, worth)


def mean_interval(values: npt.ArrayLike) -> Bounds:
    """95% interval of the mean of independent values, by Student's t.

    Args:
        values: (n,); pictures, pairs, draws or seeds, whichever the interval is over.

    Raises:
        UserError: Fewer than two values.
    """
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        raise UserError(f"no interval of a mean from {len(values)} values; two are needed")
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    return around(float(values.mean()), error, len(values) - 1)


def next_interval(values: npt.ArrayLike) -> Bounds:
    """95% interval for one more value from where these are from, by Student's t.

    Args:
        values: (n,), of networks or of draws; at least two.

    Raises:
        UserError: Fewer than two values.
    """
    low, high = mean_interval(values)
    count = np.size(values)
    # The next scatters as one value does, the mean as one in the square root of n.
    middle, half = (low + high) / 2, (high - low) / 2 * math.sqrt(count + 1)
    return middle - half, middle + half


def correlation_interval(correlation: float, n: int) -> Bounds:
    """95% interval of a correlation over n independent pairs, by Fisher's transformation.

    Raises:
        UserError: Fewer than four pairs.
    """
    if n < 4:
        raise UserError(f"no interval of a correlation over {n} pairs; four are needed")
    # At 1 the transformed value is infinite.
    middle = math.atanh(min(max(correlation, -_NEARLY_ONE), _NEARLY_ONE))
    low, high = around(middle, 1 / math.sqrt(n - 3), math.inf)
    return math.tanh(low), math.tanh(high)


def around(value: float, error: float, freedom: float) -> Bounds:
    """95% interval about a value with a standard error known to so many degrees of freedom."""
    half = _quantile(freedom) * error
    return value - half, value + half


def _quantile(freedom: float) -> float:
    """Student's t that a share of (1 + 95%) / 2 lies below; the normal one for infinity."""
    # Takes most of a second to load.
    from scipy.special import ndtri, stdtrit

    share = (1 + _CONFIDENCE) / 2
    return float(ndtri(share) if math.isinf(freedom) else stdtrit(freedom, share))
