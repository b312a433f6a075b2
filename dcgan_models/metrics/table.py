"""All measures of one generator at once, as rows.

`feature_scores` climbs the ladder in one feature space, `pixel_scores` without a network. Each is
called for the generated pictures and, for the floor, for other real pictures in their place.
`swd_score` and `distance_score` make a single row, where only that is wanted for many seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dcgan_models.metrics.frechet import frechet_interval
from dcgan_models.metrics.kernel import kernel_distance
from dcgan_models.metrics.manifolds import manifolds
from dcgan_models.metrics.memorisation import CopyBounds
from dcgan_models.metrics.neighbours import mean_nearest_distance, two_sample_test
from dcgan_models.metrics.pictures import Pictures
from dcgan_models.metrics.rows import Features, Score
from dcgan_models.metrics.shares import wilson_interval
from dcgan_models.metrics.similarity import mean_similarity
from dcgan_models.metrics.wasserstein import sliced_wasserstein

_OVER_FAKE = "95% Wilson, over generated pictures"
_OVER_REAL = "95% Wilson, over real pictures"


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
    table.add("swd", distance.average, distance.interval, "95% t, over 4 sets of directions")


def _add_frechet(table: _Rows, real: Features, fake: Features) -> None:
    value, bounds = frechet_interval(real, fake, seed=table.setting.seed)
    table.add("frechet_distance", value, bounds, "95%, delete-half jackknife over pictures")


def _add_kernel(table: _Rows, real: Features, fake: Features, subsets: int, size: int) -> None:
    found = kernel_distance(real, fake, subsets=subsets, size=size, seed=table.setting.seed)
    if found.error is None:
        table.add("kernel_distance", found.value)
    else:
        bounds, over = _normal(found.value, found.error), "95%, delete-d jackknife over pictures"
        table.add("kernel_distance", found.value, bounds, over)


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
    interval = f"95% normal, over {similar.pairs} pairs"
    table.add("ms_ssim", similar.value, similar.interval, interval, (0, len(fake)))
    nearest = mean_nearest_distance(real, fake)
    table.add(
        "nearest_distance",
        nearest.value,
        _normal(nearest.value, nearest.error),
        "95% normal, over real pictures",
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
    found = manifolds(real, fake)
    for name, share, n, over in (
        ("precision", found.precision, len(fake), _OVER_FAKE),
        ("recall", found.recall, len(real), _OVER_REAL),
        ("coverage", found.coverage, len(real), _OVER_REAL),
    ):
        table.add(name, share, wilson_interval(round(share * n), n), over)
    table.add(
        "density",
        found.density,
        _normal(found.density, found.density_error),
        "95% normal, over generated pictures",
    )
    test, n = two_sample_test(real, fake, seed=setting.seed), min(len(real), len(fake))
    for name, share, over in (("real", test.real, _OVER_REAL), ("fake", test.fake, _OVER_FAKE)):
        table.add(f"two_sample_{name}", share, wilson_interval(round(share * n), n), over, (n, n))
    return table.rows


def swd_score(real: Pictures, fake: Pictures, setting: Setting) -> Score:
    """The row `swd` of `pixel_scores` alone."""
    table = _Rows(setting, len(real), len(fake))
    _add_swd(table, real, fake)
    return table.rows[-1]


def distance_score(
    measure: Literal["frechet_distance", "kernel_distance"],
    real: Features,
    fake: Features,
    setting: Setting,
    *,
    kid_subsets: int,
    kid_size: int,
) -> Score:
    """One of the two distances of `feature_scores` alone."""
    table = _Rows(setting, len(real), len(fake))
    if measure == "frechet_distance":
        _add_frechet(table, real, fake)
    else:
        _add_kernel(table, real, fake, kid_subsets, kid_size)
    return table.rows[-1]


def memorisation_scores(bounds: CopyBounds, fake: Features, setting: Setting) -> list[Score]:
    """The share of copies and what goes with it; `n_real` counts the training pictures.

    Raises:
        UserError: As `CopyBounds.judge`.
    """
    table = _Rows(setting, len(bounds.train), len(fake))
    found = bounds.judge(fake)
    table.add("copied", found.share, (found.low, found.high), _OVER_FAKE)
    table.add("nearer_than_held_out", found.nearer)
    table.add("nearest_train_ratio", found.ratio)
    return table.rows


def _normal(value: float, error: float) -> tuple[float, float]:
    return value - 1.96 * error, value + 1.96 * error
