"""What the assets of pictures wrote, as those that follow read it: rows, pixels, versions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dcgan_assets.assets.pictures.rejections import Intake
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import Reading
from dcgan_assets.sources.reading.manifest import MANIFEST_FILE
from dcgan_models.data import PixelStore
from dcgan_models.errors import UserError
from dcgan_models.files import read_json, write_json

PERSON = "person_uri"
SHARD_FILE = "shard.json"
ORIGIN_FILE = "origin.json"


def shard_names(reading: Reading) -> tuple[str, ...]:
    """`00`, `01`, ...: the partitions of an asset whose section says how many `shards` it has."""
    return numbered(reading.section.shards)


def numbered(shards: int) -> tuple[str, ...]:
    """The names of so many partitions."""
    return tuple(f"{number:02d}" for number in range(shards))


def read_manifests(work: Work, columns: list[str] | None = None) -> Any:
    """The rows of all shards' manifests as one Arrow table, with `part`, the shard's number."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for number, folder in enumerate(work.input_shards(work.pictures)):
        table = pq.read_table(folder / MANIFEST_FILE, columns=columns)
        part = pa.array(np.full(len(table), number, np.int64))
        tables.append(table.append_column("part", part))
    return pa.concat_tables(tables)


def read_intake(work: Work) -> Intake:
    """What became of the inputs of all shards.

    Raises:
        UserError: None was kept.
    """
    intake = Intake.of(read_manifests(work, ["reason"]))
    if not intake.kept:
        raise UserError(f"{work.pictures}: no picture to go on with: {intake.words}")
    return intake


def image_versions(work: Work) -> dict[str, str]:
    """Data versions of what holds a group's pictures, by label, in the order of the shards."""
    return {
        label: made.data_version
        for label, made in sorted(work.inputs.items())
        if label.split("[")[0] == work.pictures
    }


def describe_shard(work: Work, size: int, *, stand_in: bool, **facts: Any) -> None:
    """Say beside pictures what later steps ask them, and not params.yaml, of which they know less.

    Args:
        size: Side of the pictures.
        stand_in: As for `write_origin`.
        facts: Further ones for `shard_facts`.
    """
    section = work.section.identity()
    write_json(work.out() / SHARD_FILE, {"size": size, "section": section, **facts})
    write_origin(work.out(), stand_in=stand_in)


def shard_facts(work: Work) -> dict[str, Any]:
    """What all shards of a group's pictures have in common: `size`, `section` and more."""
    facts: dict[str, Any] = read_json(work.input_shards(work.pictures)[0] / SHARD_FILE)
    return facts


def write_origin(folder: Path, *, stand_in: bool) -> None:
    """Say in a folder of pictures, or of what leads to pictures, where they are from.

    Args:
        stand_in: Whether they are others than the paper's.
    """
    write_json(folder / ORIGIN_FILE, {"stand_in": stand_in})


def read_origin(folder: Path) -> bool | None:
    """What `write_origin` said in a folder; None where it was not called."""
    path = folder / ORIGIN_FILE
    return bool(read_json(path)["stand_in"]) if path.is_file() else None


def stand_in(work: Work) -> bool:
    """Whether what a step makes is of others than the paper's pictures: its inputs say so."""
    folders = (folder for key in work.step.inputs for folder in work.input_shards(key))
    return next(said for said in map(read_origin, folders) if said is not None)


def pixel_files(work: Work, size: int) -> list[list[Path]]:
    """Of each shard, the files of pictures of a size, in the order of their rows."""
    return [
        sorted(folder.glob(f"pixels_{size}*.npy")) for folder in work.input_shards(work.pictures)
    ]


def open_pixels(work: Work, size: int) -> PixelStore:
    """All kept pictures of a size, in the order of `read_manifests`.

    Raises:
        UserError: There is none.
    """
    read_intake(work)
    return open_files([path for shard in pixel_files(work, size) for path in shard])


def open_files(files: Sequence[Path]) -> PixelStore:
    """All pictures of some files of pixels, in their order, without keys and labels."""
    shards = [np.load(path, mmap_mode="r") for path in files]
    lengths = [len(shard) for shard in shards]
    n = sum(lengths)
    return PixelStore(
        shards=shards,
        shard=np.repeat(np.arange(len(shards)), lengths),
        row=np.concatenate([np.arange(length) for length in lengths]),
        labels=np.full(n, -1),
        keys=[""] * n,
    )
