"""Which of a group's pictures are trained on: an index that copies no pixels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    stand_in,
    write_origin,
)
from dcgan_assets.assets.training.degenerate import why_alike, why_too_few
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import Check, Outcome, Step, StepMaker, Verdict
from dcgan_assets.params.training import Candidate, TrainingSet
from dcgan_assets.sources.reading.items import HELD_OUT, key_hash
from dcgan_assets.sources.reading.manifest import MANIFEST_FILE
from dcgan_models.data import DATASET_FILE, PixelStore, write_dataset
from dcgan_models.errors import UserError
from dcgan_models.files import read_json

TRAIN = "train"
# Pictures of the source's own test split are for its labels' table, and for nothing before it.
TEST = "test"
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
    alike. Exact copies are rows that say of what they are, and are in no split's pictures; nor are
    held-out pictures that have a twin among the training pictures, by which nothing can be
    measured.

    Raises:
        UserError: None was kept, or nothing can be learned from such pictures; the line says why.
    """
    intake = read_intake(work)
    size = shard_facts(work)["size"]
    kept = _Kept.of(work, size)
    dealt = _deal(work, kept)
    _write(work, kept, dealt, size)
    counts = dealt.counts
    once = len(set(kept.keys)) == len(kept.keys)
    once &= len(set(kept.content)) == sum(counts.values()) + dealt.twins
    left_out = {"exact copies": dealt.copies, "held out, with a twin in train": dealt.twins}
    verdicts = [Verdict("every_picture_once", once, {**counts, **left_out})]
    metadata = {"dagster/row_count": len(kept.keys), **counts}
    metadata |= {"exact_copies": dealt.copies, "twins": dealt.twins}
    if kept.people is not None:
        apart = {name: {kept.people[row] for row in dealt.rows(name)} for name in counts}
        metadata |= {f"people, {name}": len(whose) for name, whose in apart.items()}
        both = apart[TRAIN] & apart[HELD_OUT]
        verdicts.append(Verdict("people_apart", not both, {"in both": len(both)}))
    else:
        verdicts += [verdict for verdict in intake.judge() if verdict.check == FEW_REJECTED.name]
    summary = f"{counts[TRAIN]:,} to train on, {counts[HELD_OUT]:,} held out"
    summary += f", {dealt.copies:,} exact copies left out" if dealt.copies else ""
    summary += f", {dealt.twins:,} left out that have a twin to train on" if dealt.twins else ""
    return Outcome(metadata=metadata, verdicts=tuple(verdicts), summary=summary)


@dataclass(frozen=True)
class _Kept:
    """A group's kept pictures.

    Attributes:
        table: Their rows of the manifest.
        keys, content: Of each its key, and the hash of its pixels.
        people: Whom each shows; None where pictures are not of people.
        paths: Files of pixels.
        places: Of each picture the file and the row in it.
    """

    table: Any
    keys: list[str]
    content: list[str]
    people: list[str] | None
    paths: list[Path]
    places: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]

    @classmethod
    def of(cls, work: Work, size: int) -> _Kept:
        table, files = _kept_rows(work), pixel_files(work, size)
        return cls(
            table=table,
            keys=table["key"].to_pylist(),
            content=table["pixels_sha256"].to_pylist(),
            people=table[PERSON].to_pylist() if PERSON in table.column_names else None,
            paths=[path for shard in files for path in shard],
            places=_places(files, table),
        )

    def splits(self, section: TrainingSet, spare: int = 0) -> npt.NDArray[np.object_]:
        """As `deal_held_out`."""
        given = self.table["split"].to_pylist()
        return deal_held_out(self.people or self.content, given, section, self.content, spare)

    def pictures(self, here: npt.NDArray[np.int64]) -> PixelStore:
        """Those of some rows."""
        rows = self.table.take(here)
        shards = [np.load(path, mmap_mode="r") for path in self.paths]
        shard, row = (place[here] for place in self.places)
        labels = rows["label"].fill_null(-1).to_numpy()
        return PixelStore(shards, shard, row, labels, rows["key"].to_pylist())


@dataclass(frozen=True)
class _Dealt:
    """Which pictures are used, and for what.

    Attributes:
        splits: The split of each, or of the picture that stands for it.
        stands_for: The number of the picture that is used in its place; its own where it is used.
        copies, twins: How many are exact copies; how many were held out and have a twin.
    """

    splits: npt.NDArray[np.object_]
    stands_for: npt.NDArray[np.int64]
    copies: int
    twins: int

    def rows(self, split: str) -> npt.NDArray[np.int64]:
        """The numbers of a split's pictures."""
        used = self.stands_for == np.arange(len(self.stands_for))
        return np.flatnonzero(used & (self.splits == split))

    @property
    def counts(self) -> dict[str, int]:
        """How many pictures each split has; of test pictures only where there are any."""
        names = (TRAIN, HELD_OUT, *((TEST,) if (self.splits == TEST).any() else ()))
        return {name: len(self.rows(name)) for name in names}


def _deal(work: Work, kept: _Kept) -> _Dealt:
    """Deal, and where twins leave fewer than there should be held out, deal more to be.

    Each round holds out more than the one before, until nothing more may be.
    """
    section: TrainingSet = work.section
    splits = kept.splits(section)
    dealt = _use(work, kept, splits)
    while len(dealt.rows(HELD_OUT)) < section.held_out_least:
        more = kept.splits(section, spare=dealt.twins)
        if (more == splits).all():
            break
        splits = more
        dealt = _use(work, kept, splits)
    return dealt


def _use(work: Work, kept: _Kept, splits: npt.NDArray[np.object_]) -> _Dealt:
    """Of equal pictures use one, and no held-out picture that has a twin."""
    stands_for = use_once(kept.content, splits)
    copies = int((stands_for != np.arange(len(stands_for))).sum())
    dealt = _Dealt(splits[stands_for], stands_for, copies, 0)
    rows = {name: dealt.rows(name) for name in (TRAIN, HELD_OUT)}
    pictures = {name: kept.pictures(here) for name, here in rows.items()}
    _require_trainable(work, pictures[TRAIN], held_out=len(rows[HELD_OUT]), copies=copies)
    twin = _twins(work, pictures)
    found = twin >= 0
    stands_for[rows[HELD_OUT][found]] = rows[TRAIN][twin[found]]
    return replace(dealt, stands_for=stands_for, twins=int(found.sum()))


def _twins(work: Work, pictures: Mapping[str, PixelStore]) -> npt.NDArray[np.int64]:
    """For each held-out picture the number of the training picture that is its twin, or -1."""
    from dcgan_models.metrics.twins import find_twins

    train = pictures[TRAIN]
    with work.progress(len(train), "pictures, for twins") as bar:

        def looked_at(count: int) -> None:
            if work.stop():
                work.stop.stop_now()
            bar.update(count)

        return find_twins(pictures[HELD_OUT], train, on_block=looked_at)


def _write(work: Work, kept: _Kept, dealt: _Dealt, size: int) -> None:
    """The index, what it points into, and whose pictures they are."""
    import pyarrow.parquet as pq

    pq.write_table(_index(kept, dealt), work.out() / INDEX_FILE)
    write_dataset(
        work.out(),
        index=INDEX_FILE,
        shards=[os.path.relpath(path, work.place()) for path in kept.paths],
        n=sum(dealt.counts.values()),
        shape=[size, size, 3],
        dtype="uint8",
        splits=dealt.counts,
        images=image_versions(work),
    )
    write_origin(work.out(), stand_in=stand_in(work))


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
            "Which pictures are trained on (section 4) and which held out, none with a twin among "
            "the others; it copies no pixels."
        ),
    )


def _index(kept: _Kept, dealt: _Dealt) -> Any:
    """The rows of index.parquet; a copy or twin has no place, so that nobody reads it."""
    import pyarrow as pa

    keys = np.array(kept.keys, object)
    copy = dealt.stands_for != np.arange(len(keys))
    shard, row = (pa.array(place, mask=copy) for place in kept.places)
    return pa.table(
        {
            "key": keys,
            "shard": shard,
            "row": row,
            "label": kept.table["label"].fill_null(-1),
            "picture": kept.table["picture"],
            "split": dealt.splits,
            "duplicate_of": pa.array(keys[dealt.stands_for], pa.string(), mask=~copy),
        }
    )


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
    candidate: Candidate = work.around.candidate
    batch, share = candidate.resolved().batch, work.section.held_out
    reason = why_too_few(len(train), held_out, copies, batch=batch, share=share)
    if reason is None:
        some = np.linspace(0, len(train) - 1, min(len(train), _LOOKED_AT)).astype(np.int64)
        reason = why_alike(train.gather(some))
    if reason is not None:
        raise UserError(f"{work.step.key}: {reason}")


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
    dealt: list[str],
    given: list[str | None],
    section: TrainingSet,
    content: list[str],
    spare: int = 0,
) -> npt.NDArray[np.object_]:
    """The split of each picture.

    A source's own held-out pictures stand, and its test pictures are neither trained on nor held
    out: by held-out ones networks are chosen. Where it holds none out, those that hash lowest of
    the rest are: a new picture leaves the others where they are, but for the last in the queue.
    Where the share is too few to measure by, more are, as far as half of all suffices.

    Args:
        dealt: Hash of each picture's pixels, or its person; pictures with the same stay together.
        given: The source's own split, or None.
        section: The share to hold out, the least and the most.
        content: Hash of each picture's pixels: equal ones count once.
        spare: How many more than the least are held out, for those that will be left out.
    """
    own = np.array(given, object)
    splits = np.full(len(dealt), TRAIN, object)
    splits[own == TEST] = TEST
    splits[own == HELD_OUT] = HELD_OUT
    if (own == HELD_OUT).any():
        return splits
    hashes = np.array([key_hash(f"split/{key}") for key in dealt], np.uint64)
    rest = np.flatnonzero(own != TEST)
    _, first = np.unique(np.array(content, object)[rest], return_index=True)
    values, counts = np.unique(hashes[rest[first]], return_counts=True)
    ends = np.cumsum(counts)
    fits = values < section.held_out * 2.0**64
    if section.held_out and len(first) >= 2 * section.held_out_least:
        least = section.held_out_least + spare
        fits |= (ends - counts < least) & (2 * ends <= len(first))
    chosen = np.isin(hashes, values[fits & (ends <= section.held_out_most)])
    splits[chosen & (own != TEST)] = HELD_OUT
    return splits


def use_once(content: list[str], splits: npt.NDArray[np.object_]) -> npt.NDArray[np.int64]:
    """For each picture the number of the one that is used in its place: of equals, one.

    It is the first of a test split, else the first that is held out, where a source's own splits
    or two people have equal pictures on several sides, else the first: what is measured by is
    never trained on.

    Args:
        content: Hash of each picture's pixels.
        splits: The split of each picture.
    """
    first: dict[str, int] = {}
    for split in (TEST, HELD_OUT, TRAIN):
        for number in np.flatnonzero(splits == split).tolist():
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


def open_training_set(work: Work, split: str = TRAIN) -> PixelStore:
    """The pictures of a group that are trained on, or with `HELD_OUT` those that are not.

    Raises:
        UserError: They were made anew since the index was; the line names what to do.
    """
    require_current(work)
    return PixelStore.open(work.input(work.sibling("training_set")), split)


def require_current(work: Work) -> None:
    """Stop where the pictures were made anew since the index was: its rows are other pictures.

    Raises:
        UserError: Naming what to do.
    """
    key = work.sibling("training_set")
    recorded = read_json(work.input(key) / DATASET_FILE)["images"]
    if recorded != image_versions(work):
        raise UserError(f"{key}: made from other pictures; run `dcgan materialize {key}`")
