"""Whether a generator copies its training set, which every measure of quality would praise.

Two distances say that a picture is a copy, and both must. Its nearest training picture is nearer
than that of nearly all held-out real pictures; and it is nearer by far than the second nearest,
again compared with held-out pictures. The first alone accuses a generator of blurred pictures,
which lie in the middle of everything and near to all of it; the second alone accuses a picture
that is far from all but one.

The bounds are quantiles of held-out pictures, so that a generator of the true distribution would
have at most 1% of "copies". The held-out pictures must not be near-duplicates of training ones:
they are dealt by group of duplicates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from dcgan_models.errors import UserError
from dcgan_models.metrics.rows import Features, checked
from dcgan_models.metrics.shares import wilson_interval
from dcgan_models.retrieval import nearest_by, typical_norm

# The share of held-out pictures that would count as copies by either distance.
QUANTILE = 0.01
# With fewer held-out pictures their first percentile is no more than the smallest of a few.
_LEAST_HELD_OUT = 20


@dataclass(frozen=True)
class Memorisation:
    """How many generated pictures are copies.

    Attributes:
        share: Of generated pictures that are copies by both distances.
        low, high: Its 95% Wilson interval over the generated pictures.
        nearer: Share that is nearer to a training picture than 99% of held-out pictures are:
            the first distance alone.
        ratio: Median distance of generated pictures to their nearest training picture, over that
            of held-out ones: about 1 for new pictures, 0 for copies.
    """

    share: float
    low: float
    high: float
    nearer: float
    ratio: float

    def memorised(self, tolerated: float) -> bool:
        """Whether more than a tolerated share are copies, beyond doubt about the share."""
        return self.low > tolerated


def memorisation(train: Features, held_out: Features, fake: Features) -> Memorisation:
    """Compare generated and held-out pictures with the training pictures.

    Args:
        train: float (n, d) of the training pictures that a copy would be of: all, or as many as
            can be had; n at least 2.
        held_out: float (m, d) of real pictures that were not trained on, m at least 20.
        fake: float (k, d).

    Raises:
        UserError: Too few pictures, several widths, or a feature not finite.
    """
    widths = {len(rows[0]) for rows in (train, held_out, fake) if len(rows)}
    if len(widths) > 1:
        raise UserError(f"features are {sorted(widths)} wide; all must come from one extractor")
    checked(train, "training features", 2)
    checked(held_out, "held-out features", _LEAST_HELD_OUT)
    checked(fake, "generated features", 1)
    known, new = (_two_nearest(rows, train) for rows in (held_out, fake))
    nearer = new[:, 0] <= _low(known[:, 0])
    apart = _ratio(new) <= _low(_ratio(known))
    copies = int((nearer & apart).sum())
    low, high = wilson_interval(copies, len(fake))
    typical = float(np.median(known[:, 0]))
    return Memorisation(
        share=copies / len(fake),
        low=low,
        high=high,
        nearer=float(nearer.mean()),
        ratio=float(np.median(new[:, 0])) / typical if typical > 0 else 1.0,
    )


def _two_nearest(queries: Features, train: Features) -> npt.NDArray[np.float64]:
    """Distances of each query to the two nearest training pictures: (q, 2)."""
    rows = torch.from_numpy(np.ascontiguousarray(train, np.float32))
    asked = torch.from_numpy(np.ascontiguousarray(queries, np.float32))
    scale = typical_norm(rows)
    found = nearest_by([asked], [([rows], torch.arange(len(rows)))], 2, scales=[scale])
    distances: npt.NDArray[np.float64] = found.distances.double().numpy() * scale
    return distances


def _ratio(distances: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """First distance over second; 0 for copies of a picture that is there twice."""
    first, second = distances.T
    ratio: npt.NDArray[np.float64] = np.zeros_like(first)
    np.divide(first, second, out=ratio, where=second > 0)
    return ratio


def _low(values: npt.NDArray[np.float64]) -> float:
    return float(np.quantile(values, QUANTILE, method="lower"))
