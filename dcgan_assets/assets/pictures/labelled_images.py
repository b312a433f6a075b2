"""`cifar10/images` and `svhn/images`: small labelled pictures, read whole.

They lie on disk as a shard of a picture group does, so that what follows reads both alike:
`pixels_32_000.npy`, `manifest.parquet`, `shard.json`.
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
from dcgan_assets.assets.pictures.shards import SHARD_FILE, open_pixels, read_manifests
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import Check, Outcome, Reading, Step, StepMaker, Verdict, named_source
from dcgan_assets.params.pictures import SIDE, Cifar10Images, SvhnImages
from dcgan_assets.sources.reading.listing import listing_version
from dcgan_assets.sources.reading.pictures import (
    FILE_BYTES,
    MANIFEST_FILE,
    PICTURE_SCHEMA,
    Pictures,
)
from dcgan_models.data import PixelStore
from dcgan_models.files import write_json

LABELLED_CHECKS = (
    *IMAGE_CHECKS,
    Check("no_empty_class", "Every class has training and test pictures.", required=True),
)
_DOWNLOADS = Path("data", "downloads")
_SHOWN = 10


def make_cifar10(work: Work) -> Outcome:
    """CIFAR-10 from its binary archive, or crops of packaged photographs in its place."""
    from dcgan_assets.sources import cifar10
    from dcgan_assets.sources.labelled_crops import labelled_crops
    from dcgan_assets.sources.photographs import PHOTOGRAPHS

    section: Cifar10Images = work.section
    if section.train is not None and section.test is not None:
        pictures = labelled_crops(section.train, section.test, section.seed)
        return _write(work, pictures, tuple(PHOTOGRAPHS), stand_in=True)
    if section.path is not None:
        folder = work.root / section.path
        pictures = cifar10.from_folder(folder)
        return _write(work, pictures, cifar10.CLASSES, stand_in=not cifar10.holds_cifar10(folder))
    pictures = _downloaded(work, "cifar10", cifar10.from_download)
    return _write(work, pictures, cifar10.CLASSES, stand_in=False)


def cifar10_images_step(step: StepMaker) -> Step:
    """`cifar10/images`."""
    return _labelled_images_step(step, make_cifar10, "CIFAR-10 (section 5.1)")


def make_svhn(work: Work) -> Outcome:
    """SVHN from its MATLAB files, or MNIST digits made into house numbers in its place."""
    from dcgan_assets.sources import svhn

    section: SvhnImages = work.section
    if section.train is not None and section.test is not None:
        pictures = svhn.stand_in_digits(section.train, section.test, section.seed)
        return _write(work, pictures, svhn.CLASSES, stand_in=True)
    if section.path is not None:
        pictures = svhn.from_folder(work.root / section.path, extra=section.extra)
        return _write(work, pictures, svhn.CLASSES, stand_in=False)

    def fetch(folder: Path, report: Callable[[int, int], None]) -> Pictures:
        return svhn.from_download(folder, extra=section.extra, on_progress=report)

    return _write(work, _downloaded(work, "svhn", fetch), svhn.CLASSES, stand_in=False)


def svhn_images_step(step: StepMaker) -> Step:
    """`svhn/images`."""
    return _labelled_images_step(step, make_svhn, "SVHN (section 5.2 of v2)")


def _labelled_images_step(step: StepMaker, compute: Callable[[Work], Outcome], about: str) -> Step:
    return step(
        "images",
        kind="data",
        compute=compute,
        source_version=listed_version,
        files=named_source,
        checks=LABELLED_CHECKS,
        kinds=frozenset({"numpy", "parquet"}),
        description=f"{about}: pictures of 32 pixels with labels, a manifest row for every input.",
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


def _write(work: Work, pictures: Pictures, classes: Sequence[str], *, stand_in: bool) -> Outcome:
    pixels, table = pictures.pixels, pictures.table
    per_file = max(1, FILE_BYTES // pixels[0].nbytes)
    for number, first in enumerate(range(0, len(pixels), per_file)):
        np.save(work.out() / f"pixels_{SIDE}_{number:03d}.npy", pixels[first : first + per_file])
    pq.write_table(table, work.out() / MANIFEST_FILE)
    write_json(
        work.out() / SHARD_FILE,
        {
            "size": SIDE,
            "stand_in": stand_in,
            "classes": list(classes),
            "section": work.section.identity(),
        },
    )
    counts = _counts(table, classes)
    intake = Intake.of(table)
    return Outcome(
        metadata={
            "dagster/row_count": len(table),
            "dagster/column_schema": shown.table_schema(PICTURE_SCHEMA),
            "kept": len(pixels),
            "stand_in": stand_in,
            "pictures": shown.picture(_sheet(pictures, classes), "a class a row"),
            "pictures_by_class": shown.table(counts),
        },
        verdicts=(*_judge(pictures, counts), *intake.judge()),
        summary=intake.words,
    )


def _counts(table: pa.Table, classes: Sequence[str]) -> list[dict[str, Any]]:
    """A row a class: its pictures in each split."""
    label, split = (np.array(table[name].to_pylist()) for name in ("label", "split"))
    return [
        {"class": name}
        | {part: int(((label == number) & (split == part)).sum()) for part in ("train", "test")}
        for number, name in enumerate(classes)
    ]


def _sheet(pictures: Pictures, classes: Sequence[str]) -> npt.NDArray[np.uint8]:
    from dcgan_models.grids import tile

    label, split = (np.array(pictures.table[name].to_pylist()) for name in ("label", "split"))
    sheet = np.zeros((len(classes), _SHOWN, SIDE, SIDE, 3), np.uint8)
    for number in range(len(classes)):
        rows = np.flatnonzero((label == number) & (split == "train"))[:_SHOWN]
        sheet[number, : len(rows)] = pictures.pixels[rows]
    return tile(sheet.reshape(-1, SIDE, SIDE, 3), _SHOWN)


def _judge(pictures: Pictures, counts: list[dict[str, Any]]) -> tuple[Verdict, ...]:
    """Judge `LABELLED_CHECKS`."""
    kept = pc.sum(pc.is_valid(pictures.table["row"])).as_py()
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

    `picture` is a row's number among all kept ones, as `group_images.open_pixels` has them.
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
