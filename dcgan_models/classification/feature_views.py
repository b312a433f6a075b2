"""Looking at features: what each layer of D does to pictures, and which pictures it finds alike.

*Dead channels.* LeakyReLU lets a fifth of a negative value through, so that no channel is ever
cut off as one of ReLU may be. A channel is called dead here where it never fires: its activation
is above zero at no place of any picture. Then LeakyReLU is the same line for all pictures, and
the channel adds nothing to a picture but a linear map of the layer below. Features show this
exactly, because LeakyReLU keeps the sign and max-pooling keeps the largest activation: a pooled
feature is above zero if and only if some activation of its cell is, and a channel is dead if and
only if its 16 features are at most zero in every picture. (Features are float16: an activation
below 2^-25 counts as zero.) Such a channel still tells pictures apart; a column that is constant
does not, and is counted on its own.

*Neighbours* are those in Euclidean distance of the features as they are, neither scaled nor
centred. It is the distance of the classifier that the features are made for (section 5.1): two
pictures get the same score from every linear classifier of norm 1 but for at most their distance.
Cosine distance would leave out the features' norm, which the classifier sees. Layers do not count
alike: `LayerView.distance_share` says how much of the distance is each one's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dcgan_models.classification.feature_table import FeatureTable
from dcgan_models.classification.features import (
    FeatureLayer,
    FeatureSummary,
    LayerSummary,
    column_place,
    feature_layers,
)
from dcgan_models.errors import UserError
from dcgan_models.neighbours.retrieval import median_distance, nearest_by
from dcgan_models.presets import Preset

Rows = npt.NDArray[np.int64]

# Features as float32 that are held at a time.
_BLOCK_BYTES = 32 << 20
# Pictures between which the median distance is taken: 32,640 pairs.
_SCALE_PICTURES = 256


# --- Activations ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class LayerView:
    """The activations of one layer, max-pooled to 4x4, over the pictures of a table.

    Attributes:
        summary: Mean, standard deviation, share above zero and dead channels.
        highest: The largest activation.
        constant: Columns that have one value in all pictures.
        distance_share: The layer's share of the mean squared distance of two pictures, in [0, 1].
    """

    summary: LayerSummary
    highest: float
    constant: int
    distance_share: float

    def record(self) -> dict[str, Any]:
        """The layer as a row of a table; `negative_share` counts zeros as well."""
        return {
            "layer": self.summary.layer,
            "channels": self.summary.channels,
            "mean": self.summary.mean,
            "std": self.summary.std,
            "highest": self.highest,
            "negative_share": 1 - self.summary.positive,
            "dead_channels": len(self.summary.dead),
            "constant_columns": self.constant,
            "distance_share": self.distance_share,
        }


def layer_views(summary: FeatureSummary, preset: Preset) -> list[LayerView]:
    """What a table's statistics say of each layer, in order.

    Args:
        summary: Gathered while the features were computed.
        preset: The one that it was made for.

    Raises:
        UserError: A feature is not finite; it names the first such column.
    """
    wrong = torch.nonzero(~summary.mean.isfinite())
    if len(wrong):
        raise UserError(
            f"feature {column_place(preset, int(wrong[0]))} is not finite in every picture"
        )
    total = summary.var.sum().item()
    return [
        _layer_view(summary, layer, one, total)
        for layer, one in zip(feature_layers(preset), summary.layers(), strict=True)
    ]


def _layer_view(
    summary: FeatureSummary, layer: FeatureLayer, one: LayerSummary, total: float
) -> LayerView:
    part = slice(layer.start, layer.stop)
    return LayerView(
        one,
        summary.high[part].max().item(),
        int((summary.low[part] == summary.high[part]).sum()),
        # Two pictures differ in a column by twice its variance, in the mean square.
        summary.var[part].sum().item() / total if total else 0.0,
    )


# --- Neighbours -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class FeatureNeighbours:
    """The k pictures nearest to each of q queries.

    Attributes:
        queries: int64 (q,), rows of the table.
        rows: int64 (q, k), rows of the table, nearest first; never the query's own.
        distances: float32 (q, k), ascending: Euclidean, over the median distance of two pictures;
            0 is a copy, and about 1 a picture that has nothing to do with the query.
        own_class: float64 (q,), the share of the neighbours with the query's label; NaN where
            the query has none.
        chance: float64 (q,), the same share among all pictures that could be neighbours.
    """

    queries: Rows
    rows: Rows
    distances: npt.NDArray[np.float32]
    own_class: npt.NDArray[np.float64]
    chance: npt.NDArray[np.float64]

    def class_shares(self) -> tuple[float, float] | None:
        """Means of `own_class` and `chance` over the labelled queries; None without any."""
        labelled = ~np.isnan(self.own_class)
        if not labelled.any():
            return None
        return float(self.own_class[labelled].mean()), float(self.chance[labelled].mean())


def first_of_each_class(table: FeatureTable, rows: npt.ArrayLike) -> Rows:
    """The first of some rows of a table with each label, labels ascending: queries for a sheet.

    Pictures without a label are passed over.
    """
    rows = np.asarray(rows, np.int64)
    labels, first = np.unique(table.labels[rows], return_index=True)
    return rows[first[labels >= 0]]


def feature_neighbours(
    table: FeatureTable,
    queries: npt.ArrayLike,
    references: npt.ArrayLike,
    k: int,
    *,
    device: torch.device | str = "cpu",
) -> FeatureNeighbours:
    """Find each query's k nearest of the references, exactly, in one pass over the table.

    Beside the queries' features some hundred MiB are held, however long the table is.

    Args:
        table: Features, finite.
        queries: Rows of the table.
        references: Rows of the table among which neighbours are looked for, each once; a query
            among them is no neighbour of its own.
        k: How many to find.
        device: Where the search runs.

    Raises:
        UserError: There are no queries, fewer references than k beside a query, a feature is not
            finite, or all references are alike.
        IndexError: There is no such row.
        ValueError: A reference is there twice.
    """
    queries = np.asarray(queries, np.int64)
    references = np.sort(np.asarray(references, np.int64))
    if (np.diff(references) == 0).any():
        raise ValueError("a row is twice among the references")
    # A query that is a reference is no neighbour of its own, and leaves one fewer.
    own = np.isin(queries, references)
    if not len(queries) or not 0 < k <= len(references) - own.any():
        raise UserError(
            f"features: {k} neighbours of {len(queries):,} pictures among {len(references):,}; at "
            "least one picture is needed, and as many others as neighbours"
        )
    # Distances are told in units of the references' own median distance.
    even = references[np.linspace(0, len(references) - 1, _SCALE_PICTURES).astype(np.int64)]
    found = nearest_by(
        [_features(table, queries).to(device)],
        _blocks(table, references),
        # One more, in whose place the query itself may be found.
        min(k + 1, len(references)),
        scales=[median_distance(_features(table, np.unique(even)))],
    )
    rows, distances = _without_self(
        queries, found.rows.cpu().numpy(), found.distances.cpu().numpy(), k
    )
    own_class, chance = _class_shares(table.labels, queries, rows, references, own)
    return FeatureNeighbours(queries, rows, distances, own_class, chance)


def _block_rows(table: FeatureTable) -> int:
    columns: int = table.columns.num_rows
    return max(1, _BLOCK_BYTES // (4 * columns))


def _features(table: FeatureTable, rows: Rows) -> Tensor:
    """Rows of the table as float32 (len(rows), columns)."""
    return torch.from_numpy(table.gather(rows)).float()


def _blocks(table: FeatureTable, rows: Rows) -> Iterator[tuple[list[Tensor], Tensor]]:
    """Rows as `nearest_by` takes them, some tens of MiB at a time."""
    step = _block_rows(table)
    for first in range(0, len(rows), step):
        chosen = rows[first : first + step]
        yield [_features(table, chosen)], torch.from_numpy(chosen)


def _without_self(
    queries: Rows, rows: Rows, distances: npt.NDArray[np.float32], k: int
) -> tuple[Rows, npt.NDArray[np.float32]]:
    """The first k columns of (q, k or k + 1) that are not the query itself."""
    others = rows != queries[:, None]
    # A stable sort puts the query last and leaves the others in their order.
    order = np.argsort(~others, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(rows, order, 1), np.take_along_axis(distances, order, 1)


def _class_shares(
    labels: npt.NDArray[np.int64],
    queries: Rows,
    rows: Rows,
    references: Rows,
    own: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Of each query the share of its label among its neighbours, and among all it could have."""
    wanted = labels[queries]
    alike = (labels[rows] == wanted[:, None]).mean(axis=1)
    classes, members = np.unique(labels[references], return_counts=True)
    counts = dict(zip(classes.tolist(), members.tolist(), strict=True))
    of_class = np.array([counts.get(label, 0) for label in wanted.tolist()])
    # A query among the references could not have been drawn.
    chance = (of_class - own) / (len(references) - own)
    unlabelled = wanted < 0
    return np.where(unlabelled, np.nan, alike), np.where(unlabelled, np.nan, chance)
