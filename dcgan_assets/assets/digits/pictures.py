"""From a source's pictures to an `images` artefact: shards, a manifest, and their checks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dcgan_assets.assets.pictures.rejections import INTAKE_CHECKS, Intake
from dcgan_assets.engine.step import Check, Verdict
from dcgan_assets.sources.reading.pictures import (
    FILE_BYTES,
    KEPT,
    MANIFEST_FILE,
    PICTURE_SCHEMA,
    Pictures,
)
from dcgan_models.data import write_dataset
from dcgan_models.errors import UserError

UNUSED = "unused"

PICTURE_CHECKS = (
    Check("counts_add_up", "Every input is kept or rejected, and splits add up.", required=True),
    Check("pixel_range", "Pixels use their range, and no picture is blank.", required=True),
    *INTAKE_CHECKS,
)


def _manifest_schema() -> pa.Schema:
    """The source's schema with the split that we dealt, the source's own beside it, the shard."""
    fields = [
        field.with_name("source_split") if field.name == "split" else field
        for field in PICTURE_SCHEMA
    ]
    shard = {"description": "Number of the .npy shard. Null when rejected."}
    split = {"description": "train, validation, test or unused. Null when rejected."}
    return pa.schema(
        [
            *fields,
            pa.field("shard", pa.int64(), metadata=shard),
            pa.field("split", pa.string(), metadata=split),
        ]
    )


MANIFEST_SCHEMA = _manifest_schema()


def deal_splits(
    pictures: Pictures, sizes: Mapping[str, int], seed: int, where: str
) -> npt.NDArray[np.object_]:
    """Shuffle the pictures and deal them into splits of exact sizes.

    Pictures that the source calls test are dealt into `test` and no others, where it does.

    Args:
        pictures: From a source.
        sizes: Pictures in each split.
        seed: Of the shuffle.
        where: The section of params.yaml, for the message.

    Returns:
        (n_kept,) names of splits; `unused` for what is left over.

    Raises:
        UserError: There are too few pictures.
    """
    kept = pictures.table.filter(pc.equal(pictures.table["status"], KEPT))
    test = np.array([split == "test" for split in kept["split"].to_pylist()], bool)
    order = np.random.default_rng(seed).permutation(len(test))
    own_test = bool(test.any())
    pools = {True: order[test[order]], False: order[~test[order]]}
    dealt = np.full(len(test), UNUSED, object)
    for split, size in sizes.items():
        pool = own_test and split == "test"
        if len(pools[pool]) < size:
            raise UserError(
                f"params.yaml: {where}.{split}: {size} pictures asked for, "
                f"{len(pools[pool])} left of {len(test)}"
            )
        dealt[pools[pool][:size]] = split
        pools[pool] = pools[pool][size:]
    return dealt


def write_pictures(
    folder: Path, pictures: Pictures, splits: npt.NDArray[np.object_], *, stand_in: bool
) -> pa.Table:
    """Write shards, manifest and dataset.json; return the manifest.

    Args:
        stand_in: Whether these are other pictures than the paper's; results say so.
    """
    pixels = pictures.pixels
    per_shard = max(1, FILE_BYTES // pixels[0].nbytes)
    names = []
    for number, first in enumerate(range(0, len(pixels), per_shard)):
        names.append(f"shard_{number:03d}.npy")
        np.save(folder / names[-1], pixels[first : first + per_shard])
    manifest = _manifest(pictures.table, splits, per_shard)
    pq.write_table(manifest, folder / MANIFEST_FILE)
    write_dataset(
        folder,
        index=MANIFEST_FILE,
        shards=names,
        n=len(pixels),
        shape=list(pixels.shape[1:]),
        dtype="uint8",
        stand_in=stand_in,
        splits={name: int((splits == name).sum()) for name in sorted(set(splits))},
    )
    return manifest


def _manifest(table: pa.Table, splits: npt.NDArray[np.object_], per_shard: int) -> pa.Table:
    rows = table["row"].to_pylist()
    columns = {
        ("source_split" if name == "split" else name): table[name] for name in table.column_names
    }
    columns["row"] = pa.array([None if row is None else row % per_shard for row in rows])
    columns["shard"] = pa.array([None if row is None else row // per_shard for row in rows])
    columns["split"] = pa.array([None if row is None else splits[row] for row in rows])
    return pa.table(columns, schema=MANIFEST_SCHEMA)


def judge_pictures(
    pictures: Pictures, manifest: pa.Table, sizes: Mapping[str, int]
) -> tuple[Verdict, ...]:
    """Judge `PICTURE_CHECKS`."""
    counts = {e["values"]: e["counts"] for e in pc.value_counts(manifest["status"]).to_pylist()}
    dealt = {e["values"]: e["counts"] for e in pc.value_counts(manifest["split"]).to_pylist()}
    kept = counts.get(KEPT, 0)
    named = sum(count for split, count in dealt.items() if split is not None)
    adds_up = (
        sum(counts.values()) == manifest.num_rows
        and kept == len(pictures.pixels) == named
        and all(dealt.get(split, 0) == size for split, size in sizes.items())
    )
    flat = pictures.pixels.reshape(len(pictures.pixels), -1)
    low, high = int(flat.min()), int(flat.max())
    blank = int((flat.min(axis=1) == flat.max(axis=1)).sum())
    return (
        Verdict(
            "counts_add_up", adds_up, {**counts, **{f"split {k}": v for k, v in dealt.items()}}
        ),
        Verdict(
            "pixel_range",
            low < 64 and high > 191 and not blank,
            {"lowest": low, "highest": high, "blank": blank},
        ),
        *Intake.of(manifest).judge(),
    )
