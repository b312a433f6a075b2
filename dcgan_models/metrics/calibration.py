"""What a judge's error does to a share that it finds, and the share without it.

A judge that sees a window where there is none one time in ten finds windows in a tenth of pictures
that have none. Where its errors are known, from pictures whose truth is known, the share can be
corrected (Rogan and Gladen, 1978), with an interval that holds both what is counted and what the
errors were counted on (Lang and Reiczigel, 2014).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dcgan_models.errors import UserError
from dcgan_models.metrics.intervals import around

# Judges that tell so little more than a coin correct nothing.
_LEAST = 0.2


@dataclass(frozen=True)
class Calibration:
    """How a judge errs about one statement, such as "smiles and has short hair".

    Attributes:
        seen, true: Of so many pictures of which it is true, so many are judged so.
        passed, false: Of so many of which it is not, so many are judged not to be so.
    """

    seen: int
    true: int
    passed: int
    false: int

    @classmethod
    def of(cls, said: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> Calibration:
        """From what was said of pictures, and what is so: bool (n,) each."""
        seen, true = int((said & truth).sum()), int(truth.sum())
        return cls(seen, true, int((~said & ~truth).sum()), int((~truth).sum()))

    def corrected(self, found: int, n: int) -> tuple[float, float, float] | None:
        """The share behind `found` of n pictures: itself, and its 95 % interval, in [0, 1].

        Returns:
            None where the judge cannot tell: a share of nothing known.

        Raises:
            UserError: Of none, or more than all.
        """
        if not 0 <= found <= n or n == 0:
            raise UserError(f"no share of {found} of {n}")
        if not min(self.true, self.false):
            return None
        # With the pseudo-counts of Lang and Reiczigel, which keep intervals honest at 0 and 1.
        seen, passed = _padded(self.seen, self.true, 1), _padded(self.passed, self.false, 1)
        tells = seen + passed - 1
        # A handful of pictures tells by its pseudo-counts alone.
        tells_plainly = self.seen / self.true + self.passed / self.false - 1
        if min(tells, tells_plainly) < _LEAST:
            return None
        z = around(0.0, 1.0, math.inf)[1]
        share = _padded(found, n, z**2 / 2)
        truly = (share + passed - 1) / tells
        missed, mistaken = _variance(seen, self.true + 2), _variance(passed, self.false + 2)
        spread = _variance(share, n + z**2) + truly**2 * missed + (1 - truly) ** 2 * mistaken
        middle = truly + 2 * z**2 * (truly * missed - (1 - truly) * mistaken)
        low, high = map(_cut, around(middle, math.sqrt(spread) / tells, math.inf))
        plain = _cut((found / n + self.passed / self.false - 1) / tells_plainly)
        return plain, min(low, plain), max(high, plain)


def _cut(share: float) -> float:
    return min(max(share, 0.0), 1.0)


def _padded(count: int, n: int, each: float) -> float:
    return (count + each) / (n + 2 * each)


def _variance(share: float, n: float) -> float:
    return share * (1 - share) / n
