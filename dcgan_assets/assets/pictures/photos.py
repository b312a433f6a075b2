"""`photos` [shards]: the pictures that were found, fetched once each, or why they were not.

A shard is `photos.tar`, `manifest.parquet` (a row for every address) and `log.parquet` (when, and
after how many tries), as `dcgan_assets.sources.web.download.packing` writes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcgan_assets.assets.pictures.image_urls import (
    addressed_files,
    addresses_version,
    licence_table,
)
from dcgan_assets.assets.pictures.people import read_removals, reasons_table, search_of
from dcgan_assets.assets.pictures.rejections import FEW_REJECTED, SOME_KEPT, Intake
from dcgan_assets.assets.pictures.shards import shard_names, stand_in, write_origin
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import PHOTOS, Check, Outcome, Step, StepMaker, Verdict
from dcgan_assets.params.search import Photos
from dcgan_assets.sources.reading.items import key_hash
from dcgan_assets.sources.reading.manifest import KEPT, MANIFEST_FILE
from dcgan_models.files import no_record, staged

if TYPE_CHECKING:
    import pyarrow as pa

    from dcgan_assets.sources.web.download.packing import Packed
    from dcgan_assets.sources.web.removals import RemovalList
    from dcgan_assets.sources.web.wanted import Wanted

PHOTO_CHECKS = (
    Check("counts_add_up", "Every address is a row, fetched or rejected.", required=True),
    SOME_KEPT,
    replace(FEW_REJECTED, description=f"{FEW_REJECTED.description[:-1]}; of the web's, half."),
)
# Of addresses of the web many lead nowhere.
_MOST_OF_THE_WEB = 0.5
_SHEET, _SHEET_SIDE = 24, 96
_CARRIED = ("page", "original", "licence_url", "restrictions", "search", "rank")


def make_photos(work: Work) -> Outcome:
    """Fetch one shard's pictures, from the web or from this machine."""
    addresses = work.input(work.step.inputs[0])
    wanted = _wanted(addresses, int(work.shard or 0), search_of(work).photos.shards)
    extra = _extra_schema()
    removals = read_removals(search_of(work), work.root)
    removed = partial(_is_removed, removals)
    from_web = search_of(work).image_urls.asks_the_web
    fetch = _fetch if from_web else _collect
    packed = fetch(work, wanted, extra=extra, is_removed=removed, should_stop=work.stop)
    if packed is None:
        work.stop.stop_now()
    write_origin(work.out(), stand_in=stand_in(work))
    intake = Intake(packed.kept, packed.reasons, whole=search_of(work).photos.shards == 1)
    counted = Verdict(
        "counts_add_up",
        len(wanted) == packed.kept + packed.rejected,
        {"addresses": len(wanted), "kept": packed.kept, "rejected": packed.rejected},
    )
    judged = intake.judge(_MOST_OF_THE_WEB) if from_web else intake.judge()
    return Outcome(
        metadata=_facts(work.out(), packed), verdicts=(counted, *judged), summary=intake.words
    )


def photos_step(step: StepMaker, names: str, whose: str, *, packaged: bool) -> Step:
    """A group's `photos`; `packaged` where they lie with the names. `whose` for the description."""
    # Packaged photographs lie with the names; those of the web are fetched from addresses.
    local = ("image_urls", names) if packaged else ("image_urls",)
    return step(
        "photos",
        inputs=local,
        kind="data",
        compute=make_photos,
        shards=shard_names,
        source_version=addresses_version,
        checks=PHOTO_CHECKS,
        pool=PHOTOS,
        files=addressed_files,
        kinds=frozenset({"parquet"}),
        description=(
            f"The pictures {whose}, each fetched once and as politely as its server asks, or "
            "rejected with a reason."
        ),
    )


def _wanted(folder: Path, shard: int, shards: int) -> list[Wanted]:
    """The pictures of a shard, dealt by address: one found more changes one shard."""
    return [one for one in _all_wanted(folder) if key_hash(one.key) % shards == shard]


def _all_wanted(folder: Path) -> Iterator[Wanted]:
    import pyarrow.parquet as pq

    from dcgan_assets.sources.web.removals import canonical_address
    from dcgan_assets.sources.web.search.search import ADDRESSES_FILE
    from dcgan_assets.sources.web.wanted import Wanted

    for batch in pq.ParquetFile(folder / ADDRESSES_FILE).iter_batches():
        for row in batch.to_pylist():
            if row["status"] == KEPT:
                yield Wanted(
                    key=f"{key_hash(canonical_address(row['address'])):016x}",
                    address=row["address"],
                    sha1=row["sha1"],
                    licence=row["licence"],
                    author=row["author"],
                    attribution=row["attribution"],
                    person_uri=row["person_uri"],
                    person_name=row["person"],
                    extra={name: row[name] for name in _CARRIED},
                )


def _extra_schema() -> pa.Schema:
    import pyarrow as pa

    from dcgan_assets.sources.web.search.address_table import ADDRESS_SCHEMA

    return pa.schema([ADDRESS_SCHEMA.field(name).with_nullable(True) for name in _CARRIED])


def _is_removed(removals: RemovalList, one: Wanted, sha256: str | None) -> bool:
    addresses = (one.address, _text(one.extra.get("original")), _text(one.extra.get("page")))
    people = (one.person_uri,)
    return removals.match(addresses=addresses, sha256=sha256, people=people) is not None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _fetch(work: Work, wanted: list[Wanted], **facts: Any) -> Packed | None:
    """Ask the web; what it answered outlives a change of our code."""
    from dcgan_assets.sources.web.download.download import download
    from dcgan_assets.sources.web.wanted import Progress

    section: Photos = work.section
    limits = section.limits(work.params.operator.require_contact())
    with work.progress(len(wanted), "pictures") as bar:

        def show(progress: Progress) -> None:
            bar.set_postfix_str(
                f"{progress.kept:,} kept, {progress.megabytes_per_second:.1f} MB/s", refresh=False
            )
            bar.update(progress.done - bar.n)

        packed = download(
            wanted,
            work.kept_dir({"shards": section.shards}),
            work.out(),
            limits,
            on_progress=show,
            **facts,
        )
        if packed is not None:
            work.log(f"{packed.kept:,} kept; rejected: {packed.reasons or 'none'}")
    return packed


def _collect(work: Work, wanted: list[Wanted], **facts: Any) -> Packed | None:
    """Read pictures of this machine; a reading that was broken off begins anew."""
    from dcgan_assets.sources.web.download.collect import collect
    from dcgan_assets.sources.web.search.picture_folder import read_folder_picture

    search = search_of(work)
    folder = search.image_urls.pictures(work.root, work.input(work.step.inputs[-1]))
    assert folder is not None  # noqa: S101  (nothing of the web is searched)
    read = partial(read_folder_picture, folder, workspace=work.root)
    with staged(work.kept_dir({"local": True}), no_record) as kept:
        return collect(wanted, read, kept, work.out(), **facts)


def _facts(folder: Path, packed: Packed) -> dict[str, Any]:
    import pyarrow.parquet as pq

    table = pq.read_table(folder / MANIFEST_FILE, columns=["status", "licence"])
    licences = Counter(row["licence"] for row in table.to_pylist() if row["status"] == KEPT)
    facts: dict[str, Any] = {
        "dagster/row_count": packed.kept + packed.rejected,
        "dagster/column_schema": shown.table_schema(pq.read_schema(folder / MANIFEST_FILE)),
        "kept": packed.kept,
        "rejected": packed.rejected,
        "megabytes": round(packed.bytes / 1e6, 1),
    }
    if licences:
        facts["licences"] = licence_table(dict(licences))
        facts["pictures"] = shown.thumbnail(_sheet(folder), "the first photographs")
    if packed.reasons:
        facts["reasons"] = reasons_table(packed.reasons, "pictures")
    return facts


def _sheet(folder: Path) -> Any:
    """The first photographs that can be read, each cropped to a square."""
    import numpy as np

    from dcgan_assets.sources.reading.decode import Decoded, thumbnails
    from dcgan_assets.sources.reading.readers import decode_apart
    from dcgan_assets.sources.web.download.packing import packed_pictures
    from dcgan_models.grids import tile

    places = [member for _, member in islice(packed_pictures(folder), _SHEET)]
    small = [
        thumbnails(found.pixels, (_SHEET_SIDE,))[0]
        for found in decode_apart(places)
        if isinstance(found, Decoded)
    ]
    return tile(np.stack(small or [np.zeros((_SHEET_SIDE, _SHEET_SIDE, 3), np.uint8)]), 8)
