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

A product in float64 proposes the nearest, and these are measured by subtraction, so that a copy
is at distance 0 whatever its norm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dcgan_models.errors import UserError
from dcgan_models.neighbours.exact_distances import describe
from dcgan_models.networks import Discriminator, picture_batches
from dcgan_models.pixels import Pixels

# `median_distance` takes all pairs of this many pictures at most: half a million.
_HELD_OUT = 1000

# float64 numbers in the largest array that the search makes: 32 MiB.
_NUMBERS = 4 << 20


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


@torch.no_grad()
def nearest_by(
    queries: Sequence[Tensor],
    blocks: Iterable[tuple[Sequence[Tensor], Tensor]],
    k: int,
    *,
    scales: Sequence[float],
) -> Nearest:
    """Find each query's k nearest pictures over several feature spaces, in one pass.

    The distance of q and r is the root of the mean, over the s spaces, of
    (|q_s - r_s| / scale_s)^2, computed in float64. Products only propose; what they propose is
    subtracted before it is squared, so a copy is at 0 exactly and copies of one picture are
    equally far. On one device neither the order nor the cutting of the stream changes a result.
    Beside the queries and one block, both in float64, it needs some 100 MiB.

    Args:
        queries: For each space float (q, d_s), finite. The search runs on their device.
        blocks: For each space float (n, d_s), finite, in the order of `queries`, and row numbers
            int64 (n,); n may differ from block to block. On any device. A block is let go before
            the next is asked for.
        k: How many to find.
        scales: For each space what counts as 1, usually its `median_distance`.

    Raises:
        UserError: Shapes or scales do not fit, a value is not finite, k is below 1, or there are
            fewer than k references.
    """
    if k < 1 or not all(0 < scale < math.inf for scale in scales):
        raise UserError(f"k is {k}, scales are {list(scales)}; k is at least 1, a scale above 0")
    count, device = len(queries[0]), queries[0].device
    widths = [space.shape[-1] for space in queries]
    wanted = _side_by_side(queries, scales, [(count, width) for width in widths], "query", 0)
    rows = torch.full((count, k), -1, dtype=torch.int64, device=device)
    distances = torch.full((count, k), math.inf, dtype=torch.float64, device=device)
    seen = 0
    for features, names in blocks:
        shapes = [(len(names), width) for width in widths]
        block = _side_by_side(features, scales, shapes, "reference", seen).to(device)
        numbers = names.to(device)
        del features, names  # or two blocks are alive while the stream makes the next one
        # Every query meets the block, as many at a time as their scores take memory.
        step = _NUMBERS // max(block.shape) or 1
        for low in range(0, count, step):
            part = slice(low, low + step)
            columns = _candidates(wanted[part], block, k)
            found = torch.cat([distances[part], _distances(wanted[part], block, columns)], dim=1)
            named = torch.cat([rows[part], numbers[columns]], dim=1)
            # By row number and then, stably, by distance: equals end in the order of their rows.
            order = named.argsort(dim=1)
            order = order.gather(1, found.gather(1, order).argsort(dim=1, stable=True))[:, :k]
            distances[part], rows[part] = found.gather(1, order), named.gather(1, order)
        seen += len(numbers)
    if seen < k:
        raise UserError(f"{k} nearest pictures of {seen}: k may not exceed their number")
    return Nearest(rows, (distances / math.sqrt(len(scales))).float())


def _candidates(queries: Tensor, block: Tensor, k: int) -> Tensor:
    """Rows of `block`, int64 (q, m): each query's k nearest, and all that may be as near.

    A score is |r|^2 - 2 q.r, the squared distance but for |q|^2. A sum of d products, added in
    any order, is off by at most d u / (1 - d u) times the sum of their magnitudes, u being the
    unit roundoff (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). What lies
    within twice that, taken generously, of the k-th score may belong to the k nearest.
    """
    if not len(block):
        return torch.empty((len(queries), 0), dtype=torch.int64, device=block.device)
    norms: Tensor = torch.linalg.vector_norm(block, dim=1)
    scores = torch.addmm(norms.square(), queries, block.T, alpha=-2)
    reach = torch.linalg.vector_norm(queries, dim=1) + norms.max()
    slack = 4 * (block.shape[1] + 8) * torch.finfo(torch.float64).eps * reach.square()
    last = scores.topk(min(k, len(block)), dim=1, largest=False).values[:, -1]
    most = (scores <= (last + slack)[:, None]).sum(dim=1).max()
    return scores.topk(int(most), dim=1, largest=False).indices


def _distances(queries: Tensor, block: Tensor, columns: Tensor) -> Tensor:
    """Distances of each query to its `columns`, rows of `block`, by subtraction: float64 (q, m)."""
    pieces = torch.split(columns, _NUMBERS // queries.numel() or 1, dim=1)
    exact = "donot_use_mm_for_euclid_dist"
    found = [torch.cdist(queries[:, None], block[piece], compute_mode=exact) for piece in pieces]
    return torch.cat(found, dim=2).squeeze(1)


def _side_by_side(
    spaces: Sequence[Tensor],
    scales: Sequence[float],
    shapes: list[tuple[int, int]],
    what: str,
    first: int,
) -> Tensor:
    """Features of several spaces, each over its scale, as one: float64 (n, sum of widths).

    `what` and `first`, the position of the first row in its stream, serve the messages.
    """
    found = [tuple(space.shape) for space in spaces]
    if found != shapes or len(shapes) != len(scales):
        raise UserError(
            f"from {what} {first} on: the features are {found}; needed are {shapes}, with a scale "
            f"for each space, of which there are {len(scales)}"
        )
    joined = torch.cat(list(spaces), dim=1).double()
    widths = torch.tensor([width for _, width in shapes])
    joined /= torch.tensor(scales, dtype=joined.dtype).repeat_interleave(widths).to(joined.device)
    fine = torch.linalg.vector_norm(joined, dim=1).isfinite()
    if not fine.all():
        position = first + int((~fine).nonzero()[0])
        raise UserError(f"{what} {position} has a feature that is not finite")
    return joined
