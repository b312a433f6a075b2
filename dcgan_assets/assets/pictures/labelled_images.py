"""Small labelled pictures, read whole: `cifar10/images`, `svhn/images` and, in `digits`, MNIST's.

They lie on disk as a shard of a picture group does, so that what follows reads both alike:
`pixels_32.npy`, `manifest.parquet`, `shard.json`, `origin.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dcgan_assets.assets.pictures.images import IMAGE_CHECKS
from dcgan_assets.assets.pictures.rejections import Intake
from dcgan_assets.assets.pictures.shards import describe_shard, open_pixels, read_manifests
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import Check, Outcome, Reading, Step, StepMaker, Verdict, named_source
from dcgan_assets.params.pictures import SIDE, Cifar10Images, SvhnImages
from dcgan_assets.sources.reading.listing import listing_version
from dcgan_assets.sources.reading.manifest import (
    MANIFEST_FILE,
    PICTURE_SCHEMA,
    Pictures,
)
from dcgan_assets.sources.reading.shard_files import PixelFiles
from dcgan_models.data import PixelStore
from dcgan_models.pixels import Pixels

LABELLED_CHECKS = (
    *IMAGE_CHECKS,
    Check("no_empty_class", "Every class has training and test pictures.", required=True),
)
_DOWNLOADS = Path("data", "downloads")
_OF_32_PIXELS = "pictures of 32 pixels with labels, a manifest row for every input."
_SHOWN = 10


def make_cifar10(work: Work) -> Outcome:
    """CIFAR-10 from its binary archive, or drawn things in its place."""
    from dcgan_assets.sources import cifar10
    from dcgan_assets.sources.drawn.labelled_things import CLASSES, labelled_things

    section: Cifar10Images = work.section
    if section.train is not None and section.test is not None:
        pictures = labelled_things(section.train, section.test, section.seed)
        return write_labelled(work, pictures, CLASSES, stand_in=True)
    if section.path is not None:
        folder = work.root / section.path
        pictures = cifar10.from_folder(folder)
        return write_labelled(
            work, pictures, cifar10.CLASSES, stand_in=not cifar10.holds_cifar10(folder)
        )
    pictures = _downloaded(work, "cifar10", cifar10.from_download)
    return write_labelled(work, pictures, cifar10.CLASSES, stand_in=False)


def cifar10_images_step(step: StepMaker) -> Step:
    """`cifar10/images`."""
    return labelled_images_step(step, make_cifar10, f"CIFAR-10 (section 5.1): {_OF_32_PIXELS}")


def make_svhn(work: Work) -> Outcome:
    """SVHN from its MATLAB files, or MNIST digits made into house numbers in its place."""
    from dcgan_assets.sources import svhn

    section: SvhnImages = work.section
    if section.train is not None and section.test is not None:
        pictures = svhn.stand_in_digits(section.train, section.test, section.seed)
        return write_labelled(work, pictures, svhn.CLASSES, stand_in=True)
    if section.path is not None:
        pictures = svhn.from_folder(work.root / section.path, extra=section.extra)
        return write_labelled(work, pictures, svhn.CLASSES, stand_in=False)

    def fetch(folder: Path, report: Callable[[int, int], None]) -> Pictures:
        return svhn.from_download(folder, extra=section.extra, on_progress=report)

    return write_labelled(work, _downloaded(work, "svhn", fetch), svhn.CLASSES, stand_in=False)


def svhn_images_step(step: StepMaker) -> Step:
    """`svhn/images`."""
    return labelled_images_step(step, make_svhn, f"SVHN (section 5.2 of v2): {_OF_32_PIXELS}")


def labelled_images_step(
    step: StepMaker,
    compute: Callable[[Work], Outcome],
    about: str,
    checks: tuple[Check, ...] = LABELLED_CHECKS,
) -> Step:
    """The `images` of a small labelled source; `about` is what they are."""
    return step(
        "images",
        kind="data",
        compute=compute,
        source_version=listed_version,
        files=named_source,
        checks=checks,
        kinds=frozenset({"numpy", "parquet"}),
        description=about,
    )


def listed_version(reading: Reading) -> str:
    """The listing of the user's folder; the other sources are fixed by code and checksums."""
    section: Any = reading.section
    return listing_version(reading.root / section.path) if section.path else section.source


def _downloaded(
    work: Work, name: str, fetch: Callable[[Path, Callable[[int, int], None]], Pictures]
) -> Pictures:
    with work.downloading() as report:
        return fetch(work.root / _DOWNLOADS / name, report)


def write_labelled(
    work: Work,
    pictures: Pictures,
    classes: Sequence[str],
    splits: npt.NDArray[np.object_] | None = None,
    *,
    stand_in: bool,
) -> Outcome:
    """Write pictures as a shard of a picture group's, and judge `LABELLED_CHECKS`.

    Args:
        pictures: From a source.
        classes: Their names, by label.
        splits: (n_kept,) `train`, `test` or another name; the source's own by default.
        stand_in: Whether the pictures are others than the paper's.
    """
    pixels, table = pictures.pixels, pictures.table
    _, side, _, channels = pixels.shape
    with PixelFiles(work.out(), f"pixels_{side}", side, channels=channels) as files:
        files.add(pixels)
    pq.write_table(table, work.out() / MANIFEST_FILE)
    describe_shard(work, side, stand_in=stand_in, classes=list(classes))
    labels, own = (np.array(pictures.kept[name].to_pylist()) for name in ("label", "split"))
    splits = own if splits is None else splits
    counts = _counts(labels, splits, classes)
    sheet = _sheet(pixels, np.where(splits == "train", labels, -1), len(classes))
    intake = Intake.of(table)
    return Outcome(
        metadata={
            "dagster/row_count": len(table),
            "dagster/column_schema": shown.table_schema(PICTURE_SCHEMA),
            "kept": len(pixels),
            "stand_in": stand_in,
            "pictures": shown.thumbnail(sheet, "a class a row"),
            "pictures_by_class": shown.table(counts),
        },
        verdicts=(*_judge(pictures, counts), *intake.judge()),
        summary=intake.words,
    )


def _counts(
    labels: npt.NDArray[Any], splits: npt.NDArray[Any], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """A row a class: its pictures in each split."""
    return [
        {"class": name}
        | {part: int(((labels == number) & (splits == part)).sum()) for part in ("train", "test")}
        for number, name in enumerate(classes)
    ]


def _sheet(pixels: Pixels, labels: npt.NDArray[Any], classes: int) -> Pixels:
    """The first pictures of each class, a class a row."""
    from dcgan_models.grids import tile

    sheet = np.zeros((classes, _SHOWN, *pixels.shape[1:]), np.uint8)
    for number in range(classes):
        rows = np.flatnonzero(labels == number)[:_SHOWN]
        sheet[number, : len(rows)] = pixels[rows]
    return tile(sheet.reshape(-1, *pixels.shape[1:]), _SHOWN)


def _judge(pictures: Pictures, counts: list[dict[str, Any]]) -> tuple[Verdict, ...]:
    """Judge `LABELLED_CHECKS`."""
    kept = len(pictures.kept)
    low, high = int(pictures.pixels.min()), int(pictures.pixels.max())
    empty = [
        f"{row['class']} ({part})" for row in counts for part in ("train", "test") if not row[part]
    ]
    return (
        Verdict(
            "counts_add_up",
            kept == len(pictures.pixels),
            {"inputs": len(pictures.table), "kept": kept},
        ),
        Verdict("not_blank", low < 64 and high > 191, {"lowest": low, "highest": high}),
        Verdict("no_empty_class", not empty, {"without pictures": ", ".join(empty) or "none"}),
    )


def read_labelled(work: Work) -> Any:
    """Rows of `images` that are of the training or the test split: key, label, split and more.

    `picture` is a row's number among all kept ones, as `shards.open_pixels` has them.
    """
    table = read_manifests(work, ["key", "label", "split", "row"])
    table = table.filter(pc.is_valid(table["row"]))
    table = table.append_column("picture", pa.array(np.arange(len(table))))
    return table.filter(pc.is_in(table["split"], pa.array(["train", "test"])))


def labelled_store(work: Work, table: Any) -> PixelStore:
    """The pictures of `read_labelled`'s rows, in their order, with keys and labels."""
    return replace(
        open_pixels(work, SIDE).subset(table["picture"].to_numpy()),
        keys=table["key"].to_pylist(),
        labels=table["label"].fill_null(-1).to_numpy(),
    )
