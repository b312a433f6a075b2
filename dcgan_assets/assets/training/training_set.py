"""Which of a group's pictures are trained on: an index that copies no pixels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dcgan_assets.assets.pictures.rejections import FEW_REJECTED
from dcgan_assets.assets.pictures.shards import (
    PERSON,
    image_versions,
    pixel_files,
    read_intake,
    read_manifests,
    shard_facts,
)
from dcgan_assets.assets.training.degenerate import why_alike, why_too_few
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import Check, Outcome, Step, StepMaker, Verdict
from dcgan_assets.params.pictures import TrainingSet
from dcgan_assets.params.training import Candidate
from dcgan_assets.sources.reading.items import HELD_OUT, key_hash
from dcgan_assets.sources.reading.pictures import MANIFEST_FILE
from dcgan_models.data import DATASET_FILE, PixelStore, write_dataset
from dcgan_models.errors import UserError
from dcgan_models.files import read_json

TRAIN = "train"
INDEX_FILE = "index.parquet"
# Pictures that are looked at to see whether they show anything.
_LOOKED_AT = 1_000
_ONCE = Check(
    "every_picture_once", "No picture is there twice, be it in two splits.", required=True
)
TRAINING_SET_CHECKS = (_ONCE, FEW_REJECTED)
# That most of what is found in photographs of people is no good face is as it should be.
PEOPLE_CHECKS = (
    _ONCE,
    Check("people_apart", "Nobody is both trained on and held out.", required=True),
)


def make_training_set(work: Work) -> Outcome:
    """Deal the kept pictures into training and held-out ones, each of them once.

    What is dealt is the content of a picture, or of the picture that was kept for its group of
    duplicates. Where pictures are of people, the people are dealt: one has many pictures, much
    alike. Exact copies are rows that say of what they are, and are in no split's pictures.

    Raises:
        UserError: None was kept, or nothing can be learned from such pictures; the line says why.
    """
    import pyarrow.parquet as pq

    intake = read_intake(work)
    table = _kept_rows(work)
    content = table["pixels_sha256"].to_pylist()
    people = table[PERSON].to_pylist() if PERSON in table.column_names else None
    splits = deal_held_out(people or content, table["split"].to_pylist(), work.section, content)
    stands_for = use_once(content, splits)
    splits = splits[stands_for]
    used = stands_for == np.arange(len(stands_for))
    counts = {name: int((splits[used] == name).sum()) for name in (TRAIN, HELD_OUT)}
    copies = int((~used).sum())
    facts = shard_facts(work)
    size = facts["size"]
    files = pixel_files(work, size)
    paths = [path for shard in files for path in shard]
    index = _index(table, _places(files, table), splits, stands_for)
    train = _pictures(paths, index.filter(used & (splits == TRAIN)))
    _require_trainable(work, train, held_out=counts[HELD_OUT], copies=copies)
    pq.write_table(index, work.out() / INDEX_FILE)
    write_dataset(
        work.out(),
        index=INDEX_FILE,
        shards=[os.path.relpath(path, work.place()) for path in paths],
        n=sum(counts.values()),
        shape=[size, size, 3],
        dtype="uint8",
        stand_in=facts["stand_in"],
        splits=counts,
        images=image_versions(work),
    )
    once = len(set(table["key"].to_pylist())) == len(table)
    once &= len(set(content)) == sum(counts.values())
    verdicts = [Verdict("every_picture_once", once, {**counts, "exact copies": copies})]
    metadata = {"dagster/row_count": len(table), **counts, "exact_copies": copies}
    if people is not None:
        apart = {name: _people(people, used & (splits == name)) for name in counts}
        metadata |= {f"people, {name}": len(whose) for name, whose in apart.items()}
        both = apart[TRAIN] & apart[HELD_OUT]
        verdicts.append(Verdict("people_apart", not both, {"in both": len(both)}))
    else:
        verdicts += [verdict for verdict in intake.judge() if verdict.check == FEW_REJECTED.name]
    summary = f"{counts[TRAIN]:,} to train on, {counts[HELD_OUT]:,} held out"
    summary += f", {copies:,} exact copies left out" if copies else ""
    return Outcome(metadata=metadata, verdicts=tuple(verdicts), summary=summary)


def training_set_step(step: StepMaker, *, manifest: bool, checks: tuple[Check, ...]) -> Step:
    """A group's `training_set`; `manifest` where one says what is a duplicate of what."""
    return step(
        "training_set",
        inputs=(step.pictures, "manifest") if manifest else (step.pictures,),
        kind="data",
        compute=make_training_set,
        checks=checks,
        kinds=frozenset({"parquet", "table"}),
        passes_on=True,
        description=(
            "Which pictures are trained on (section 4) and which held out; it copies no pixels."
        ),
    )


def _index(
    table: Any,
    places: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    splits: npt.NDArray[np.object_],
    stands_for: npt.NDArray[np.int64],
) -> Any:
    """The rows of index.parquet; a copy has no place, so that nobody reads it."""
    import pyarrow as pa

    keys = np.array(table["key"].to_pylist(), object)
    copy = stands_for != np.arange(len(stands_for))
    shard, row = (pa.array(place, mask=copy) for place in places)
    return pa.table(
        {
            "key": keys,
            "shard": shard,
            "row": row,
            "label": table["label"].fill_null(-1),
            "picture": table["picture"],
            "split": splits,
            "duplicate_of": pa.array(keys[stands_for], pa.string(), mask=~copy),
        }
    )


def _pictures(paths: Sequence[Path], index: Any) -> PixelStore:
    """The pictures of some rows of the index, none of them a copy."""
    shard, row, label = (index[name].to_numpy() for name in ("shard", "row", "label"))
    shards = [np.load(path, mmap_mode="r") for path in paths]
    return PixelStore(shards, shard, row, label, index["key"].to_pylist())


def _require_trainable(work: Work, train: PixelStore, held_out: int, copies: int) -> None:
    """Stop where nothing can be learned from a group.

    What is refused hangs on the section of the candidate as well; what is made does not, so that
    it is in no version.

    Args:
        train: The pictures that are trained on.
        held_out: How many are held out.
        copies: How many are exact copies of either.

    Raises:
        UserError: Saying why, and what to do.
    """
    group = work.step.section.rpartition(".")[0]
    candidate = work.params.section(f"{group}.candidate")
    assert isinstance(candidate, Candidate)  # noqa: S101  (narrows the type)
    batch, share = candidate.resolved().batch, work.section.held_out
    reason = why_too_few(len(train), held_out, copies, batch=batch, share=share)
    if reason is None:
        some = np.linspace(0, len(train) - 1, min(len(train), _LOOKED_AT)).astype(np.int64)
        reason = why_alike(train.gather(some))
    if reason is not None:
        raise UserError(f"{work.step.key}: {reason}")


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
        table = read_manifests(work, ["key", "pixels_sha256", "row", "label", "split"])
    table = table.filter(pc.is_valid(table["row"]))
    table = table.append_column("picture", pa.array(np.arange(len(table))))
    if manifest in work.step.inputs:
        table = table.filter(pc.is_null(table["duplicate_of"]))
    return table


def deal_held_out(
    dealt: list[str], given: list[str | None], section: TrainingSet, content: list[str]
) -> npt.NDArray[np.object_]:
    """The split of each picture.

    A source's own held-out pictures stand. Where it names none, those that hash lowest are held
    out: a new picture leaves the others where they are, but for the last in the queue. Where the
    share is too few to measure by, more are, as far as half of all suffices.

    Args:
        dealt: Hash of each picture's pixels, or its person; pictures with the same stay together.
        given: The source's own split, or None.
        section: The share to hold out, the least and the most.
        content: Hash of each picture's pixels: equal ones count once.
    """
    splits = np.full(len(dealt), TRAIN, object)
    if any(split is not None for split in given):
        splits[[split in (HELD_OUT, "test") for split in given]] = HELD_OUT
        return splits
    hashes = np.array([key_hash(f"split/{key}") for key in dealt], np.uint64)
    _, first = np.unique(content, return_index=True)
    values, counts = np.unique(hashes[first], return_counts=True)
    ends = np.cumsum(counts)
    fits = values < section.held_out * 2.0**64
    if section.held_out and len(first) >= 2 * section.held_out_least:
        fits |= (ends - counts < section.held_out_least) & (2 * ends <= len(first))
    splits[np.isin(hashes, values[fits & (ends <= section.held_out_most)])] = HELD_OUT
    return splits


def use_once(content: list[str], splits: npt.NDArray[np.object_]) -> npt.NDArray[np.int64]:
    """For each picture the number of the one that is used in its place: of equals, one.

    It is the first that is held out, where a source's own splits or two people have equal
    pictures on both sides, else the first: what is held out is never trained on.

    Args:
        content: Hash of each picture's pixels.
        splits: The split of each picture.
    """
    held = splits == HELD_OUT
    first: dict[str, int] = {}
    for number in (*np.flatnonzero(held).tolist(), *np.flatnonzero(~held).tolist()):
        first.setdefault(content[number], number)
    return np.array([first[digest] for digest in content], np.int64)


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
    here &= np.array(index["row"].is_valid())
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
