"""`albums/images` where covers were searched for: a shard of photographs made small.

Covers are trained on whole, as every picture group is; nothing is cut out of them. A row's key is
that of the photograph, whose manifest says who made it and where it was found.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dcgan_assets.assets.pictures.images import IMAGE_CHECKS, read_pictures
from dcgan_assets.assets.pictures.shards import shard_names, stand_in
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import Outcome, Step, StepMaker
from dcgan_assets.sources.reading.items import Item


def make_cover_images(work: Work) -> Outcome:
    """Read one shard of photographs."""
    (photos,) = work.input_shards(work.step.inputs[0])
    return read_pictures(work, list(_items(photos)), stand_in=stand_in(work))


def cover_images_step(step: StepMaker, about: str) -> Step:
    """The `images` of albums whose covers were searched for; `about` for the description."""
    return step(
        "images",
        inputs=("photos",),
        kind="data",
        compute=make_cover_images,
        shards=shard_names,
        checks=IMAGE_CHECKS,
        kinds=frozenset({"opencv", "numpy", "parquet"}),
        description=f"{about}: short side scaled and centre cropped, as section 4 does.",
    )


def _items(folder: Path) -> Iterator[Item]:
    """The photographs that were fetched."""
    import pyarrow.parquet as pq

    from dcgan_assets.sources.archive import TarMember
    from dcgan_assets.sources.reading.manifest import KEPT, MANIFEST_FILE
    from dcgan_assets.sources.web.download.packing import PHOTOS_FILE

    names = ["key", "address", "licence", "attribution", "offset", "bytes"]
    table = pq.read_table(folder / MANIFEST_FILE, columns=names, filters=[("status", "=", KEPT)])
    for key, address, licence, attribution, offset, size in zip(
        *table.to_pydict().values(), strict=True
    ):
        place = TarMember(folder / PHOTOS_FILE, offset, size)
        yield Item(key, address, None, None, licence, attribution, place)
