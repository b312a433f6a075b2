"""A picture group's `images`: every input read once, made small, or rejected with a reason.

A shard is a folder `data/GROUP/images/SHARD/` with the training pictures (`pixels_64.npy`), the
32-pixel ones that are hashed (`pixels_32.npy`) and `manifest.parquet`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dcgan_assets.assets.pictures.rejections import INTAKE_CHECKS, Intake
from dcgan_assets.assets.pictures.shards import describe_shard, shard_facts, shard_names
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import Check, Outcome, Reading, Step, StepMaker, Verdict, named_source
from dcgan_assets.params.pictures import HASH_SIDE, GroupImages
from dcgan_assets.sources.archive import Archive
from dcgan_assets.sources.drawn.drawings import KINDS, Drawings
from dcgan_assets.sources.folder import Folder
from dcgan_assets.sources.imagenet import imagenet
from dcgan_assets.sources.lsun import Lsun
from dcgan_assets.sources.lsun_downloads import LSUN_CATEGORIES, database_folder, fetch_database
from dcgan_assets.sources.photographs import PROBES, WHOLE, Photographs
from dcgan_assets.sources.reading.decode import NARROW
from dcgan_assets.sources.reading.ingest import INGEST_SCHEMA, IngestReport, ingest
from dcgan_assets.sources.reading.items import Item, Source

IMAGE_CHECKS = (
    Check("counts_add_up", "Every input is a row, kept or rejected.", required=True),
    *INTAKE_CHECKS,
    Check("not_blank", "Kept pictures differ from one another and use their range."),
)
_LSUN_DOWNLOADS = "data/downloads/lsun"
_CIFAR10_DOWNLOAD = "data/downloads/cifar10"
_SHEET = 100
# Crops of photographs are scaled down by so much at most.
_MOST_SCALED = 4


def open_source(section: GroupImages, root: Path) -> Source:
    """What a group's section of params.yaml names; a download need not be there yet."""
    if section.pictures is not None:
        return _made_here(section, section.pictures)
    if section.category is not None:
        return Lsun(database_folder(section.category, root / _LSUN_DOWNLOADS))
    path = root / (section.path or _CIFAR10_DOWNLOAD)
    if section.source == "cifar10":
        from dcgan_assets.sources.cifar10 import CIFAR10, UnlabelledCifar10

        return UnlabelledCifar10(path, CIFAR10)
    if section.source == "imagenet":
        return imagenet(path, root)
    if section.source == "lsun":
        return Lsun(path)
    tree = partial(Folder, workspace=root)
    kind: Callable[..., Source] = tree if section.source == "folder" else Archive
    return kind(
        path,
        licence=section.licence,
        attribution=section.attribution,
        stand_in=section.stand_in,
    )


def _made_here(section: GroupImages, count: int) -> Photographs | Drawings:
    """Crops of packaged photographs, or drawings."""
    if section.source in KINDS:
        return Drawings(
            section.source,
            count,
            section.size,
            planted=section.planted,
            held_out=section.held_out,
            seed=section.seed,
        )
    return Photographs(
        count,
        planted=section.planted,
        seed=section.seed,
        side_range=(section.size, _MOST_SCALED * section.size),
        held_out=section.held_out,
    )


def source_version(reading: Reading) -> str:
    """The version of what a shard reads: names, sizes and times, not bytes."""
    section: GroupImages = reading.section
    if section.category is not None:
        return LSUN_CATEGORIES[section.category][1][:32]
    if section.downloaded:
        from dcgan_assets.sources.cifar10 import CIFAR10_DOWNLOAD

        return CIFAR10_DOWNLOAD.sha256[:32]
    source = open_source(section, reading.root)
    return source.version(int(reading.shard or 0), section.shards)


def make_images(work: Work) -> Outcome:
    """Read one shard of a group's source."""
    section: GroupImages = work.section
    if section.downloaded:
        _fetch(work, section.category)
    source = open_source(section, work.root)
    items = source.items(int(work.shard or 0), section.shards)
    factors = source.factors if isinstance(source, Drawings) else ()
    return read_pictures(work, items, stand_in=source.stand_in, factors=factors)


def images_step(step: StepMaker, about: str) -> Step:
    """A group's `images`; `about` says what is seen on them."""
    return step(
        "images",
        kind="data",
        compute=make_images,
        shards=shard_names,
        source_version=source_version,
        files=named_source,
        checks=IMAGE_CHECKS,
        kinds=frozenset({"opencv", "numpy", "parquet"}),
        description=(
            f"{about} (section 4): each input decoded once, short side scaled and centre cropped, "
            "small for training and 32 pixels for hashing; a manifest row for every input, kept or "
            "rejected."
        ),
    )


def read_pictures(
    work: Work, items: Sequence[Item], *, stand_in: bool, factors: Sequence[pa.Field] = ()
) -> Outcome:
    """Read the items of one shard as the section asks, in worker processes."""
    section: GroupImages = work.section
    with work.progress(len(items), "pictures") as bar:

        def show(done: int, total: int) -> None:
            bar.update(done - bar.n)

        report = ingest(
            items,
            work.out(),
            _sizes(section),
            min_side=section.least_side,
            on_progress=show,
            should_stop=work.stop,
            factors=factors,
        )
    if report is None:
        work.stop.stop_now()
    describe_shard(work, section.size, stand_in=stand_in)
    pixels = [np.load(work.out() / name, mmap_mode="r") for name in report.files[section.size]]
    if dark := report.conversions.get(NARROW):
        work.warn(f"{dark:,} 16-bit pictures: {NARROW}, and no sBIT says which; look at them")
    intake = Intake(report.kept, report.reasons, whole=section.shards == 1)
    return Outcome(
        metadata=_facts(report, pixels),
        verdicts=(*_judge(report, len(items), pixels), *intake.judge()),
        summary=intake.words,
    )


def _fetch(work: Work, category: str | None) -> None:
    """Bring an LSUN database, or CIFAR-10, once for all shards."""
    with work.downloading() as report:
        if category is not None:
            fetch_database(category, work.root / _LSUN_DOWNLOADS, report)
            return
        from dcgan_assets.sources.cifar10 import CIFAR10_DOWNLOAD
        from dcgan_assets.sources.fetch import fetch

        fetch(CIFAR10_DOWNLOAD, work.root / _CIFAR10_DOWNLOAD, report)


def _sizes(section: GroupImages) -> tuple[int, ...]:
    """Training pictures, and those to hash; the manifest's checksums are of the larger ones."""
    return tuple(dict.fromkeys((section.size, HASH_SIDE)))


def _facts(report: IngestReport, pixels: list[Any]) -> dict[str, Any]:
    reasons = [
        {"rejected because": reason, "inputs": count} for reason, count in report.reasons.items()
    ]
    changes = [
        {"converted": change, "pictures": count} for change, count in report.conversions.items()
    ]
    facts: dict[str, Any] = {
        "dagster/row_count": report.items,
        "dagster/column_schema": shown.table_schema(INGEST_SCHEMA),
        "kept": report.kept,
        "rejected": report.rejected,
        "pictures_a_second": round(report.items / max(report.seconds, 1e-9), 1),
    }
    if report.kept:
        from dcgan_models.grids import tile

        facts["pictures"] = shown.thumbnail(tile(pixels[0][:_SHEET], 10), "the first kept pictures")
    if reasons:
        facts["reasons"] = shown.table(reasons)
    if changes:
        facts["conversions"] = shown.table(changes)
    return facts


def _judge(report: IngestReport, items: int, pixels: list[Any]) -> tuple[Verdict, ...]:
    rows = sum(len(part) for part in pixels)
    first: npt.NDArray[np.uint8] = pixels[0][:1000] if report.kept else np.zeros((1, 1), np.uint8)
    spread = float(first.astype(np.float32).std(axis=0).mean())
    return (
        Verdict(
            "counts_add_up",
            report.items == items and report.kept == rows,
            {"inputs": items, "kept": report.kept, "rejected": report.rejected},
        ),
        Verdict(
            "not_blank",
            not report.kept or (spread > 1 and int(first.max()) > 64),
            {"standard deviation over pictures, grey levels": round(spread, 2)},
        ),
    )


# --- Read by what follows -------------------------------------------------------------------


def probe_items(work: Work, keys: set[str], most: int) -> Iterator[Item]:
    """Inputs that no part of the deduplication has learned from.

    Args:
        keys: What the autoencoder left out.
        most: How many are wanted; packaged photographs have some that no group shows.
    """
    section = GroupImages.model_validate(shard_facts(work)["section"])
    source = open_source(section, work.root)
    if isinstance(source, Photographs):
        yield from Photographs(most, part=WHOLE, photographs=PROBES, seed=section.seed).items(0, 1)
    elif isinstance(source, Drawings):
        yield from source.probes(most)
    else:
        for shard in range(section.shards):
            yield from (item for item in source.items(shard, section.shards) if item.key in keys)
