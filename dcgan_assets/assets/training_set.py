"""Which of a group's pictures are trained on: an index that copies no pixels."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from dcgan_assets.assets.group_images import (
    image_versions,
    pixel_files,
    read_intake,
    read_manifests,
    shard_facts,
)
from dcgan_assets.group_params import TrainingSet
from dcgan_assets.rejections import FEW_REJECTED
from dcgan_assets.sources.items import HELD_OUT, key_hash
from dcgan_assets.sources.pictures import MANIFEST_FILE
from dcgan_assets.steps import Check, Outcome, Verdict, Work
from dcgan_models.data import DATASET_FILE, write_dataset
from dcgan_models.errors import UserError
from dcgan_models.files import read_json

TRAIN = "train"
INDEX_FILE = "index.parquet"
PERSON = "person_uri"
_ONCE = Check("every_picture_once", "No picture is in two splits.", required=True)
TRAINING_SET_CHECKS = (_ONCE, FEW_REJECTED)
# That most of what is found in photographs of people is no good face is as it should be.
PEOPLE_CHECKS = (
    _ONCE,
    Check("people_apart", "Nobody is both trained on and held out.", required=True),
)


def make_training_set(work: Work) -> Outcome:
    """Deal the kept pictures into training and held-out ones.

    Duplicates share a split: what is dealt is the key of the picture that was kept for them. Where
    pictures are of people, the people are dealt: one has many pictures, much alike.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    section: TrainingSet = work.section
    intake = read_intake(work)
    table = _kept_rows(work)
    keys = table["key"].to_pylist()
    dealt = table[PERSON].to_pylist() if PERSON in table.column_names else keys
    splits = deal_held_out(dealt, table["split"].to_pylist(), section)
    facts = shard_facts(work)
    size = facts["size"]
    files = pixel_files(work, size)
    shard, row = _places(files, table)
    index = pa.table(
        {
            "key": keys,
            "shard": shard,
            "row": row,
            "label": table["label"].fill_null(-1),
            "picture": table["picture"],
            "split": splits,
        }
    )
    pq.write_table(index, work.out() / INDEX_FILE)
    counts = {name: int((splits == name).sum()) for name in (TRAIN, HELD_OUT)}
    verdicts = [Verdict("every_picture_once", len(set(keys)) == len(keys), {"pictures": len(keys)})]
    if dealt is not keys:
        people = {name: _people(dealt, splits == name) for name in counts}
        counts |= {f"people, {name}": len(whose) for name, whose in people.items()}
        both = people[TRAIN] & people[HELD_OUT]
        verdicts.append(Verdict("people_apart", not both, {"in both": len(both)}))
    else:
        verdicts += [verdict for verdict in intake.judge() if verdict.check == FEW_REJECTED.name]
    write_dataset(
        work.out(),
        index=INDEX_FILE,
        shards=[os.path.relpath(path, work.place()) for shard in files for path in shard],
        n=len(keys),
        shape=[size, size, 3],
        dtype="uint8",
        stand_in=facts["stand_in"],
        splits={name: counts[name] for name in (TRAIN, HELD_OUT)},
        images=image_versions(work),
    )
    return Outcome(
        metadata={"dagster/row_count": len(keys), **counts},
        verdicts=tuple(verdicts),
        summary=f"{counts[TRAIN]:,} to train on, {counts[HELD_OUT]:,} held out",
    )


def _people(whose: list[str], here: npt.NDArray[np.bool_]) -> set[str]:
    return {whose[row] for row in np.flatnonzero(here)}


def _kept_rows(work: Work) -> Any:
    """Rows of the pictures that may be trained on; `picture` numbers all that have pixels."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    manifest = work.sibling("manifest")
    if manifest in work.step.inputs:
        table = pq.read_table(work.input(manifest) / MANIFEST_FILE)
    else:
        table = read_manifests(work, ["key", "row", "label", "split"])
    table = table.filter(pc.is_valid(table["row"]))
    table = table.append_column("picture", pa.array(np.arange(len(table))))
    if manifest in work.step.inputs:
        table = table.filter(pc.is_null(table["duplicate_of"]))
    return table


def deal_held_out(
    dealt: list[str], given: list[str | None], section: TrainingSet
) -> npt.NDArray[np.object_]:
    """The split of each picture.

    A source's own held-out pictures stand. Where it names none, those whose key hashes lowest
    are held out: a new picture leaves the others where they are, but for the last in the queue.
    Where the share is too few to measure by, more are, as far as half of all suffices.

    Args:
        dealt: Key of each picture, or of the person; pictures with the same stay together.
        given: The source's own split, or None.
        section: The share to hold out, the least and the most.
    """
    splits = np.full(len(dealt), TRAIN, object)
    if any(split is not None for split in given):
        splits[[split in (HELD_OUT, "test") for split in given]] = HELD_OUT
        return splits
    hashes = np.array([key_hash(f"split/{key}") for key in dealt], np.uint64)
    values, counts = np.unique(hashes, return_counts=True)
    ends = np.cumsum(counts)
    fits = values < section.held_out * 2.0**64
    if section.held_out and len(dealt) >= 2 * section.held_out_least:
        fits |= (ends - counts < section.held_out_least) & (2 * ends <= len(dealt))
    splits[np.isin(hashes, values[fits & (ends <= section.held_out_most)])] = HELD_OUT
    return splits


def _places(files: list[Any], table: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The file and the row in it of each picture, from its shard and its row there."""
    part, row = (table[name].to_numpy().astype(np.int64) for name in ("part", "row"))
    file = np.empty_like(part)
    first = 0
    for number, paths in enumerate(files):
        here = part == number
        lengths = [len(np.load(path, mmap_mode="r")) for path in paths]
        ends = np.cumsum(lengths)
        which = np.searchsorted(ends, row[here], "right")
        file[here] = first + which
        row[here] -= np.concatenate([[0], ends[:-1]])[which]
        first += len(paths)
    return file, row


def pictures_of(work: Work, split: str) -> npt.NDArray[np.int64]:
    """The numbers, among all pictures with pixels, of a split's pictures, in its order."""
    import pyarrow.parquet as pq

    index = pq.read_table(work.input(work.sibling("training_set")) / INDEX_FILE)
    here = np.array(index["split"].to_pylist()) == split
    numbers: npt.NDArray[np.int64] = index["picture"].to_numpy()[here]
    return numbers


def stand_in(work: Work) -> bool:
    """Whether a group's training pictures are others than the paper's."""
    found: bool = read_json(work.input(work.sibling("training_set")) / DATASET_FILE)["stand_in"]
    return found


def require_current(work: Work) -> None:
    """Stop where the pictures were made anew since the index was: its rows are other pictures.

    Raises:
        UserError: Naming what to do.
    """
    key = work.sibling("training_set")
    recorded = read_json(work.input(key) / DATASET_FILE)["images"]
    if recorded != image_versions(work):
        raise UserError(f"{key}: made from other pictures; run `dcgan materialize {key}`")
