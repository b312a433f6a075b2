"""What `quality` shows: one table, real and generated side by side, the course of training."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dcgan_assets.assets.publishing.contest import BEST, CANDIDATE, CHAMPION
from dcgan_assets.engine.results import Row
from dcgan_models.pixels import Pixels

SCORES_FILE = "scores.parquet"
# Real pictures in a generator's place: what a perfect one would come to.
FLOOR = "training pictures"
ORDER = (CANDIDATE, CHAMPION, BEST, FLOOR)
_ACROSS = 6
# SWD by level of the pyramid, a row each.
_LEVEL = re.compile(r"(?<=^swd)_\d+$")
# Not the paper's: what mmgeneration publishes of the DCGAN-64 that it trained on LSUN bedrooms.
_PUBLISHED = {"swd": "58.6 at 16,384 pictures", "ms_ssim": "0.2095 at 10,000 pictures"}
_SOURCE = "mmgeneration publishes for its DCGAN-64 on LSUN bedrooms"


@dataclass(frozen=True)
class Measured:
    """A row of the table.

    Attributes:
        who: Whose pictures.
        score: A `metrics.rows.Score`.
        epoch: Of a snapshot; None for networks that are trained to the end.
    """

    who: str
    score: Any
    epoch: int | None = None


def write_scores(folder: Path, table: Sequence[Measured]) -> None:
    """Write `scores.parquet`: every row with all that it depends on."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"who": m.who, "epoch": m.epoch, **asdict(m.score)} for m in table]
    pq.write_table(pa.Table.from_pylist(rows), folder / SCORES_FILE)


def result_rows(table: Sequence[Measured], facts: Mapping[str, Any]) -> list[Row]:
    """The rows of result.json.

    Args:
        table: What was measured.
        facts: Of the images, which say whether a published number is of the same data.
    """
    bedrooms = facts["section"].get("category") == "bedroom" and facts["size"] == 64
    rows = []
    for measured in table:
        score = measured.score
        known = bedrooms and measured.who != FLOOR and score.name in _PUBLISHED
        rows.append(
            Row(
                name=f"{measured.who}: {score.name}, {score.extractor}, seed {score.seed}",
                measure=_LEVEL.sub("", score.name),
                split=score.split,
                protocol="ours",
                value=round(score.value, 5),
                n=score.n_fake,
                low=None if score.low is None else round(score.low, 5),
                high=None if score.high is None else round(score.high, 5),
                interval=score.interval,
                source=(
                    f"{score.n_real} real pictures, {score.split}; resizer {score.resizer}; "
                    f"extractor {score.extractor}; seed {score.seed}"
                    + (f"; {_SOURCE} {_PUBLISHED[score.name]}" if known else "")
                ),
            )
        )
    return rows


def comparison(table: Sequence[Measured]) -> list[dict[str, Any]]:
    """One row a measure and seed, a column for each set of pictures, and what it depends on."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    present = [who for who in ORDER if any(measured.who == who for measured in table)]
    for measured in table:
        score = measured.score
        key = (score.name, score.extractor, score.seed)
        row = found.setdefault(key, {"measure": score.name} | dict.fromkeys(present))
        row[measured.who] = _with_bounds(score)
        row |= {
            "n": f"{score.n_real} real, {score.n_fake} others",
            "split": score.split,
            "resizer": score.resizer,
            "extractor": score.extractor,
            "seed": score.seed,
            "interval": score.interval or "none known",
        }
    return list(found.values())


def _with_bounds(score: Any) -> str:
    value = f"{score.value:.4g}"
    return value if score.low is None else f"{value} [{score.low:.4g}, {score.high:.4g}]"


def draw_side_by_side(folder: Path, sets: Mapping[str, Pixels]) -> None:
    """Write `figure.png`: a block of pictures for each set, under its name."""
    from matplotlib.figure import Figure

    from dcgan_models.grids import tile

    grids = {name: tile(pictures, _ACROSS) for name, pictures in sets.items()}
    height, width = (max(grid.shape[side] for grid in grids.values()) for side in (0, 1))
    figure = Figure(
        figsize=(len(grids) * (width + 20) / 100, (height + 30) / 100), layout="constrained"
    )
    axes = figure.subplots(1, len(grids), squeeze=False)[0]
    for axis, (name, grid) in zip(axes, grids.items(), strict=True):
        axis.imshow(grid, interpolation="nearest")
        axis.set_title(name, fontsize=9)
        axis.set_axis_off()
    figure.savefig(folder / "figure.png", dpi=100)


def draw_course(folder: Path, course: Sequence[Measured]) -> None:
    """Write `course.png`: Fréchet distance, precision, recall and coverage by epoch.

    Args:
        folder: Where to.
        course: Rows of snapshots with their epoch, and of the floor without one.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    distance, shares = figure.subplots(2, 1, sharex=True)
    for axis, names in (
        (distance, ("frechet_distance",)),
        (shares, ("precision", "recall", "coverage")),
    ):
        for name in names:
            points = [m for m in course if m.score.name == name and m.epoch is not None]
            epochs = [m.epoch for m in points]
            axis.plot(epochs, [m.score.value for m in points], "o-", label=name)
            bounds = [[getattr(m.score, side) for m in points] for side in ("low", "high")]
            axis.fill_between(epochs, *bounds, alpha=0.2)
    for measured in course:
        if measured.who == FLOOR and measured.score.name == "frechet_distance":
            height = measured.score.value
            distance.axhline(height, color="0.5", linestyle="--", label=f"floor: {FLOOR}")
    first = course[0].score
    distance.set(ylabel="Fréchet distance", ylim=(0, None))
    distance.set_title(f"{first.n_fake} pictures, {first.extractor}", fontsize=9)
    shares.set(xlabel="epoch", ylabel="share", ylim=(0, 1))
    for axis in (distance, shares):
        axis.legend(frameon=False, fontsize=8)
    figure.savefig(folder / "course.png", dpi=100)
