"""The training pictures nearest to a generated one, by what two networks see in them.

The authors showed with a web search by picture that a sample of their bedrooms leads to real
interiors. Here the search is among the training pictures, and its distances mean something beside
those of held-out real pictures: the samples of a G that copies lie nearer to the training set
than new photographs do.

The paper warns that neighbours in pixels or in one feature space are fooled by small transforms
of a picture (section 6, after Theis et al., 2015). Hence two spaces that fail in different ways:
the real-valued code of the autoencoder that found the near-duplicates (section 4.1.1), which
keeps the layout, and D's last maps averaged over the picture (`last_features`), which mind less
where a thing is.

The distance is the quadratic mean of the distances in each space, divided there by that space's
`median_distance`: 0 for a copy, and about 1 for two pictures that have nothing to do with each
other, in each space and so in the mean. Features are not standardised one by one: a unit that is
hardly ever active would get the largest weight of all.

The search is exact and runs at the speed of float32 products, in the manner of nearest.py:
products propose pairs with a proven bound on their error, and these are measured in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dcgan_models.errors import UserError
from dcgan_models.exact_distances import (
    SIZES,
    describe,
    full_precision,
    rounding_bound,
    squared_distances,
)
from dcgan_models.networks import Discriminator, picture_batches

Pixels = npt.NDArray[np.uint8]

# `median_distance` takes all pairs of this many pictures at most: half a million.
_HELD_OUT = 1000

# Scales lie between 1 / _LARGEST and _LARGEST, norms up to _LARGEST scales: no product can then
# overflow float32, which ends at 3.4e38. Real features have norms of a few scales.
_LARGEST = 1e9


@dataclass(frozen=True)
class Nearest:
    """The k nearest pictures of each of q queries, on the device of the queries.

    Attributes:
        rows: int64 (q, k), the numbers that the stream gave them, nearest first; of equals the
            lower number.
        distances: float32 (q, k), ascending, at least 0; two real pictures have about 1.
    """

    rows: Tensor
    distances: Tensor


# --- Features ---------------------------------------------------------------------------------


@torch.no_grad()
def last_features(discriminator: Discriminator, pictures: Pixels, *, batch: int = 256) -> Tensor:
    """What D's last convolution sees in pictures, averaged over its maps.

    After batch norm and LeakyReLU, as the authors take D's features (svhn_semisup_analysis.py).
    The average over the places, unlike the flattened maps, hardly changes when a thing moves,
    which is what fools a search in pixels (section 6); and it is a sixteenth as long.

    Args:
        discriminator: With statistics (`networks.fix_statistics`), which `eval()` mode uses; so a
            picture's features depend on no other picture.
        pictures: uint8 (n, height, width, channels).
        batch: Pictures computed at once.

    Returns:
        float32 (n, channels of the last convolution), on D's device: 1024 for `lsun64`.

    Raises:
        UserError: As `networks.fix_statistics`; or D has no statistics or no convolution.
    """
    # The output unit, which `torch64` makes a convolution of, is a verdict and no feature.
    layers = discriminator.preset.discriminator[:-1]
    last = max((i for i, layer in enumerate(layers) if layer.op == "conv"), default=None)
    if last is None:
        raise UserError(f"preset {discriminator.preset.name}: its discriminator has no convolution")
    if not discriminator.has_statistics:
        raise UserError("this discriminator has no statistics: fix them on real pictures first")
    discriminator.eval()
    features = []
    for images in picture_batches(discriminator, pictures, batch):
        x = images
        for block in discriminator.blocks[: last + 1]:
            x = block(x, None)
        features.append(x.mean(dim=(2, 3)))
    return torch.cat(features)


def typical_norm(rows: Tensor) -> float:
    """The mean length of rows (n, d), never 0: a scale for a search in one space."""
    return max(float(torch.linalg.vector_norm(rows, dim=1).mean()), 1e-6)


def median_distance(features: Tensor) -> float:
    """The scale of a feature space: the median distance of two different held-out pictures.

    The same rule for every space makes their distances comparable whatever the units, the width
    or the activation: half of all pairs lie above 1. Held-out pictures, because the distances
    that are set beside it are theirs, and because G never saw them.

    Args:
        features: float32 (n, d) of held-out real pictures; of more than 1,000 an even choice.

    Raises:
        UserError: Fewer than two pictures, or most of them have the same features.
    """
    chosen = features[:: math.ceil(len(features) / _HELD_OUT) or 1].double()
    distances = torch.pdist(chosen)
    median = distances.median().item() if len(distances) else 0.0
    if not 0 < median < math.inf:
        raise UserError(
            f"features {describe(features)}: the median distance of two pictures is {median}; at "
            "least two pictures with finite features are needed, and most must differ"
        )
    return median


# --- The search -------------------------------------------------------------------------------


def nearest_by(
    queries: Sequence[Tensor],
    blocks: Iterable[tuple[Sequence[Tensor], Tensor]],
    k: int,
    *,
    scales: Sequence[float],
) -> Nearest:
    """Find each query's k nearest pictures over several feature spaces, in one pass.

    The distance of q and r is the root of the mean, over the s spaces, of
    (|q_s - r_s| / scale_s)^2, computed in float64 in one fixed order: neither the device nor the
    order or cutting of the stream changes a result. Beside one block and the result it needs
    some tens of MiB, some hundreds on a GPU.

    Args:
        queries: For each space float32 (q, d_s), finite. The search runs on their device.
        blocks: For each space float32 (n, d_s), finite, in the order of `queries`, and row
            numbers int64 (n,); n may differ from block to block. On any device. A block is let
            go before the next is asked for.
        k: How many to find.
        scales: For each space what counts as 1, usually its `median_distance`.

    Raises:
        UserError: Shapes, dtypes or scales do not fit, a value is not finite, k is below 1, or
            there are fewer than k references.
    """
    search = _Search(queries, k, scales)
    for features, rows in blocks:
        search.add(features, rows)
        del features, rows  # or two blocks are alive while the stream makes the next one
    if search.seen < k:
        raise UserError(f"{k} nearest pictures of {search.seen}: k may not exceed their number")
    return Nearest(search.rows, (search.squared / len(scales)).sqrt().float())


class _Search:
    """The k nearest so far, of the `seen` first references.

    Attributes:
        rows: int64 (q, k), -1 where there is none yet.
        squared: float64 (q, k), the sum over the spaces of the squared distance over the squared
            scale, ascending; inf where there is none yet.
    """

    def __init__(self, queries: Sequence[Tensor], k: int, scales: Sequence[float]) -> None:
        if k < 1 or not scales or len(scales) != len(queries):
            raise UserError(
                f"k is {k}, with {len(queries)} spaces of queries and {len(scales)} scales; "
                "k must be at least 1, with a scale for each space"
            )
        if not all(1 / _LARGEST <= scale <= _LARGEST for scale in scales):
            raise UserError(
                f"scales are {list(scales)}; allowed are {1 / _LARGEST:g} to {_LARGEST:g}"
            )
        count, device = len(queries[0]), queries[0].device
        self._queries = [features.detach() for features in queries]
        self._scales = scales
        self._weights = [1 / scale**2 for scale in scales]
        self._sizes = SIZES[device.type]
        _check_shapes(queries, [features.shape[-1] for features in queries], count, "queries")
        self._check_values(self._queries, "query", 0)
        self._norms = [
            torch.linalg.vector_norm(features, dim=1, dtype=torch.float64)
            for features in self._queries
        ]
        self.seen = 0
        self.rows = torch.full((count, k), -1, dtype=torch.int64, device=device)
        self.squared = torch.full((count, k), torch.inf, dtype=torch.float64, device=device)
        tile = min(self._sizes.queries, count), self._sizes.references
        self._space = torch.empty(tile, dtype=torch.float32, device=device)

    @torch.no_grad()
    def add(self, features: Sequence[Tensor], rows: Tensor) -> None:
        """Compare every query with further references."""
        where = f"block at reference {self.seen}"
        if rows.ndim != 1 or rows.dtype != torch.int64:
            raise UserError(f"{where}: row numbers are {describe(rows)}; they must be int64 (n,)")
        widths = [features.shape[1] for features in self._queries]
        _check_shapes(features, widths, len(rows), where)
        for low in range(0, len(rows), self._sizes.references):
            piece = slice(low, low + self._sizes.references)
            tile = [part[piece].to(self.rows.device) for part in features]
            norms = self._check_values(tile, "reference", self.seen)
            for first in range(0, len(self.rows), self._sizes.queries):
                part = slice(first, first + self._sizes.queries)
                self._compare(part, tile, norms, rows[piece].to(self.rows.device))
            self.seen += len(rows[piece])

    def _compare(self, part: slice, tile: list[Tensor], norms: list[Tensor], rows: Tensor) -> None:
        """Measure the pairs of some queries and a tile of references that may belong to a result.

        Each round takes the k most promising references of every query that has any left; the
        first one settles nearly all, for then the k-th distance is known.
        """
        scores = self._scores(part, tile, norms)
        slack = self._slack(part, norms)
        queries = (scores.amin(dim=1) < self._cut(part, slack)).nonzero().squeeze(1)
        scores = scores.index_select(0, queries)
        while len(queries):
            width = min(self.rows.shape[1], len(rows))
            lows, columns = scores.topk(width, dim=1, largest=False, sorted=False)
            promising = lows < self._cut(part, slack)[queries, None]
            self._merge(queries + part.start, columns, promising, tile, rows)
            scores.scatter_(1, columns, torch.inf)
            left = scores.amin(dim=1) < self._cut(part, slack)[queries]
            queries, scores = queries[left], scores[left]

    def _scores(self, part: slice, tile: list[Tensor], norms: list[Tensor]) -> Tensor:
        """Weighted sums of |r|^2 - 2 q.r, float32 (queries, references)."""
        queries = [features[part] for features in self._queries]
        scores = self._space[: len(queries[0]), : len(tile[0])]
        weighed = zip(self._weights, norms, strict=True)
        addend = torch.stack([weight * lengths.square() for weight, lengths in weighed]).sum(dim=0)
        with full_precision():
            for weight, ours, theirs in zip(self._weights, queries, tile, strict=True):
                torch.addmm(addend, ours, theirs.T, alpha=-2 * weight, out=scores)
                addend = scores
        return scores

    def _slack(self, part: slice, norms: list[Tensor]) -> Tensor:
        """What to add to a squared distance so that no score of a nearer reference exceeds it.

        A score is one sum over all features of all spaces, in which weighing adds a few
        roundings a term: the bound of each space is taken for so many terms.
        """
        terms = sum(features.shape[1] + 4 for features in self._queries)
        slack = torch.zeros_like(self.squared[part, 0])
        for weight, ours, theirs in zip(self._weights, self._norms, norms, strict=True):
            bound = rounding_bound(ours[part], theirs, terms)
            slack += weight * (bound - ours[part].square())
        return slack

    def _cut(self, part: slice, slack: Tensor) -> Tensor:
        """Float32 (queries,): only scores below may belong to the k nearest; inf at first."""
        cut = (self.squared[part, -1] + slack).float()
        return torch.nextafter(cut, torch.full_like(cut, torch.inf))  # above, however rounded

    def _merge(
        self, queries: Tensor, columns: Tensor, chosen: Tensor, tile: list[Tensor], rows: Tensor
    ) -> None:
        """Measure the `chosen` of pairs (n queries, m columns) in float64 and keep the nearest."""
        found = torch.full(columns.shape, torch.inf, dtype=torch.float64, device=rows.device)
        ours, theirs = queries[:, None].expand_as(columns)[chosen], columns[chosen]
        measured = torch.zeros(len(ours), dtype=torch.float64, device=rows.device)
        for weight, features, others in zip(self._weights, self._queries, tile, strict=True):
            measured += weight * squared_distances(
                features, ours, others, theirs, self._sizes.pairs
            )
        found[chosen] = measured
        squared = torch.cat([self.squared[queries], found], dim=1)
        numbers = torch.cat([self.rows[queries], rows[columns]], dim=1)
        # By row number and then, stably, by distance: equals end in the order of their numbers.
        order = numbers.argsort(dim=1, stable=True)
        order = order.gather(1, squared.gather(1, order).argsort(dim=1, stable=True))
        order = order[:, : self.rows.shape[1]]
        self.squared[queries] = squared.gather(1, order)
        self.rows[queries] = numbers.gather(1, order)

    def _check_values(self, spaces: Sequence[Tensor], what: str, first: int) -> list[Tensor]:
        """The Euclidean norms in each space; refuse a row that is not finite or far too large."""
        found = []
        for number, (features, scale) in enumerate(zip(spaces, self._scales, strict=True)):
            norms: Tensor = torch.linalg.vector_norm(features, dim=1)
            fine = norms <= _LARGEST * scale  # false for NaN as well
            if not fine.all():
                raise UserError(
                    f"space {number}, {what} {first + int((~fine).nonzero()[0])}: a feature is "
                    f"not finite, or the norm is above {_LARGEST:g} scales"
                )
            found.append(norms)
        return found


def _check_shapes(spaces: Sequence[Tensor], widths: Sequence[int], n: int, where: str) -> None:
    """Refuse features that are not float32 (n, width) in each space."""
    if len(spaces) != len(widths):
        raise UserError(f"{where}: features of {len(spaces)} spaces, needed are {len(widths)}")
    for number, (features, width) in enumerate(zip(spaces, widths, strict=True)):
        if features.shape != (n, width) or width == 0 or features.dtype != torch.float32:
            raise UserError(
                f"{where}: space {number} is {describe(features)}, needed is float32 ({n}, {width})"
            )
