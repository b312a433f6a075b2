"""All measures of one generator at once, as rows.

`feature_scores` climbs the ladder in one feature space, `pixel_scores` without a network. Each is
called for the generated pictures and, for the floor, for other real pictures in their place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dcgan_models.metrics.frechet import frechet_interval
from dcgan_models.metrics.intervals import (
    HALVES,
    STUDENT,
    U_STATISTIC,
    WILSON,
    around,
    dependent_share,
)
from dcgan_models.metrics.kernel import kernel_distance
from dcgan_models.metrics.manifolds import manifolds
from dcgan_models.metrics.memorisation import CopyBounds
from dcgan_models.metrics.neighbours import mean_nearest_distance, two_sample_test
from dcgan_models.metrics.pictures import Pictures
from dcgan_models.metrics.rows import Features, Score
from dcgan_models.metrics.similarity import mean_similarity
from dcgan_models.metrics.wasserstein import sliced_wasserstein

_OVER_FAKE = f"{WILSON}, over generated pictures"
# Random splits behind the intervals of what hangs on neighbours, of so many pictures at least:
# halves have the six that the measures need.
_SPLITS = 8
_LEAST = 14


@dataclass(frozen=True)
class Setting:
    """What all rows of one comparison have in common; see `Score`.

    Attributes:
        split: Which real pictures.
        resizer: How pictures came to the size that is measured.
        extractor: Kind and fingerprint, or `pixels`.
        seed: Of whatever is drawn.
    """

    split: str
    resizer: str
    extractor: str
    seed: int


class _Rows:
    """Rows of one comparison, with the counts filled in."""

    def __init__(self, setting: Setting, n_real: int, n_fake: int) -> None:
        self.setting = setting
        self._counts = n_real, n_fake
        self.rows: list[Score] = []

    def add(
        self,
        name: str,
        value: float,
        bounds: tuple[float | None, float | None] = (None, None),
        interval: str = "",
        counts: tuple[int, int] | None = None,
    ) -> None:
        n_real, n_fake = counts or self._counts
        common = self.setting
        self.rows.append(
            Score(
                name,
                value,
                n_real,
                n_fake,
                common.split,
                common.resizer,
                common.extractor,
                common.seed,
                *bounds,
                interval,
            )
        )


def _add_swd(table: _Rows, real: Pictures, fake: Pictures) -> None:
    distance = sliced_wasserstein(real, fake, seed=table.setting.seed)
    for side, value in zip(distance.levels, distance.by_level, strict=True):
        table.add(f"swd_{side}", value)
    over = f"{STUDENT}, over {len(distance.repeats[0])} sets of directions"
    table.add("swd", distance.average, distance.interval, over)


def _add_frechet(table: _Rows, real: Features, fake: Features) -> None:
    value, bounds = frechet_interval(real, fake, seed=table.setting.seed)
    table.add("frechet_distance", value, bounds, f"{HALVES}, over pictures")


def _add_kernel(table: _Rows, real: Features, fake: Features, subsets: int, size: int) -> None:
    found = kernel_distance(real, fake, subsets=subsets, size=size, seed=table.setting.seed)
    bounds = around(found.value, found.error, min(len(real), len(fake)) - 1)
    table.add("kernel_distance", found.value, bounds, f"{U_STATISTIC}, over pictures")


def pixel_scores(real: Pictures, fake: Pictures, setting: Setting) -> list[Score]:
    """SWD by level and on average, MS-SSIM of the generated pictures, the authors' distance.

    Args:
        real, fake: uint8 (n, height, width, channels), as many of the one as of the other.
        setting: `extractor` is `pixels`.

    Raises:
        UserError: As `sliced_wasserstein`, `mean_similarity` and `mean_nearest_distance`.
    """
    table = _Rows(setting, len(real), len(fake))
    _add_swd(table, real, fake)
    similar = mean_similarity(fake, seed=setting.seed)
    interval = f"{STUDENT}, over {similar.pairs} pairs"
    table.add("ms_ssim", similar.value, similar.interval, interval, (0, len(fake)))
    nearest = mean_nearest_distance(real, fake)
    table.add(
        "nearest_distance",
        nearest.value,
        around(nearest.value, nearest.error, len(real) - 1),
        f"{STUDENT}, over real pictures",
    )
    return table.rows


def feature_scores(
    real: Features, fake: Features, setting: Setting, *, kid_subsets: int, kid_size: int
) -> list[Score]:
    """Fréchet and kernel distance, precision, recall, density, coverage, two-sample test.

    Args:
        real, fake: float32 (n, d) of one extractor.
        setting: Common to the rows.
        kid_subsets, kid_size: Of the kernel distance.

    Raises:
        UserError: As the measures do: too few pictures, or a feature that is not finite.
    """
    table = _Rows(setting, len(real), len(fake))
    _add_frechet(table, real, fake)
    _add_kernel(table, real, fake, kid_subsets, kid_size)
    _add_neighbours(table, real, fake)
    return table.rows


def _add_neighbours(table: _Rows, real: Features, fake: Features) -> None:
    """What hangs on neighbours within both sets, with intervals over pictures of both."""
    seed, n = table.setting.seed, min(len(real), len(fake))
    found = _by_neighbours(real, fake, seed)
    rng = np.random.default_rng(seed)
    orders = [[rng.permutation(len(rows)) for rows in (real, fake)] for _ in range(_SPLITS)]
    halves = [
        [
            _by_neighbours(real[ours[side]], fake[theirs[side]], seed)
            for side in (slice(None, -1, 2), slice(1, None, 2))
        ]
        for ours, theirs in orders
        if n >= _LEAST
    ]
    counts = {"precision": len(fake), "recall": len(real), "coverage": len(real)}
    for name, value in found.items():
        parts = np.array([[half[name] for half in split] for split in halves])
        of = counts.get(name, n)
        both = (n, n) if name.startswith("two_sample") else None
        if not halves:
            table.add(name, value, counts=both)
        elif name == "density":
            error = math.sqrt(float(np.square(parts[:, 0] - parts[:, 1]).mean()) / 4)
            low, high = around(value, error, _SPLITS)
            table.add(name, value, (max(0.0, low), high), f"{HALVES}, over pictures")
        else:
            bounds = dependent_share(value, of, parts)
            table.add(name, value, bounds, f"{WILSON}, over pictures", both)


def _by_neighbours(real: Features, fake: Features, seed: int) -> dict[str, float]:
    found, test = manifolds(real, fake), two_sample_test(real, fake, seed=seed)
    return {
        "precision": found.precision,
        "recall": found.recall,
        "coverage": found.coverage,
        "density": found.density,
        "two_sample_real": test.real,
        "two_sample_fake": test.fake,
    }


def memorisation_scores(
    bounds: CopyBounds, views: Sequence[Features], setting: Setting
) -> list[Score]:
    """The share of copies and what goes with it; `n_real` counts the training pictures.

    Args:
        bounds: What counts as a copy.
        views: Of the generated pictures, as `CopyBounds.judge` takes them.
        setting: Of the rows.

    Raises:
        UserError: As `CopyBounds.judge`.
    """
    table = _Rows(setting, len(bounds.train), len(views[0]))
    found = bounds.judge(*views)
    table.add("copied", found.share, (found.low, found.high), _OVER_FAKE)
    table.add("nearer_than_held_out", found.nearer)
    table.add("nearest_train_ratio", found.ratio)
    return table.rows
