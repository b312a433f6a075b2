"""`manifest`: the faces of all shards, what is a copy of what, and how much was found.

Two photographs of one address or content are told apart before; here the same crop of two
photographs is. Near-duplicates stay: the paper removed none of its faces.
"""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import Any, NamedTuple

from dcgan_assets.assets.pictures.image_urls import licence_table
from dcgan_assets.assets.pictures.people import reasons_table
from dcgan_assets.assets.pictures.rejections import Intake
from dcgan_assets.assets.pictures.shards import PERSON, read_manifests, stand_in
from dcgan_assets.assets.shares import share_row
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.results import Row
from dcgan_assets.engine.step import Check, Outcome, Step, StepMaker, Verdict
from dcgan_assets.sources.drawn.faces import FACTORS
from dcgan_assets.sources.drawn.people_files import HEADS_FILE
from dcgan_assets.sources.faces.boxes import BOXES_FILE
from dcgan_assets.sources.faces.finding import AGREEMENT
from dcgan_assets.sources.faces.truth import Found, compare
from dcgan_assets.sources.reading.manifest import KEPT, MANIFEST_FILE

MANIFEST_CHECKS = (
    Check(
        "counts_add_up", "Every row is kept, a duplicate, or was rejected before.", required=True
    ),
    Check(
        "terms_known", "Every kept face has licence, author, attribution and person.", required=True
    ),
)
FACES_FOUND = Check("faces_found", "Most drawn faces are found, and hardly anything else.")
DUPLICATE = "duplicate content"
# "3M images from 10K people ... approximately 350,000 face boxes" (section 4.2).
_PAPER_IMAGES, _PAPER_BOXES = 3_000_000, 350_000
# The least share of the drawn faces that is found, the largest of boxes where nobody is.
_FOUND, _FALSE = 0.9, 0.02
_TERMS = ("licence", "author", "attribution", PERSON, "photo")


def make_manifest(work: Work) -> Outcome:
    """Put the shards' manifests together, and reject what is there twice."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from dcgan_assets.sources.reading.manifest import reject_copies

    table = read_manifests(work)
    boxes = _boxes(work)
    truth = _truth(work, boxes)
    if truth is not None:
        table = _with_factors(table, truth)
    table = reject_copies(table, find_copies(table), DUPLICATE)
    pq.write_table(table, work.out() / MANIFEST_FILE)
    kept = table.filter(pc.equal(table["status"], KEPT))
    counts = {
        "rows": len(table),
        "kept": len(kept),
        "duplicates": len(table) - table["duplicate_of"].null_count,
        "rejected": table["row"].null_count,
        "people": pc.count_distinct(kept[PERSON]).as_py(),
    }
    work.result(
        paper_ref="Section 4.2",
        stand_in=stand_in(work),
        rows=[*_rows(boxes, table, kept), *(() if truth is None else _truth_rows(truth.found))],
        notes="The paper's yield is of a Haar cascade on pictures from a web search by name.",
    ).write(work.out())
    return Outcome(
        metadata={
            "dagster/row_count": len(table),
            "dagster/column_schema": shown.table_schema(table.schema),
            **counts,
            "licences": licence_table(Counter(kept["licence"].to_pylist())),
            "reasons": _reasons(table),
        },
        verdicts=(
            *_judge_counts(kept, counts),
            *(() if truth is None else (_judge_detector(truth.found),)),
        ),
        summary=Intake.of(table).words,
    )


def _judge_counts(kept: Any, counts: dict[str, int]) -> tuple[Verdict, Verdict]:
    """Whether every row is counted once, and no kept face lacks its terms."""
    rows = counts["kept"] + counts["duplicates"] + counts["rejected"]
    without = {name: kept[name].null_count for name in _TERMS if kept[name].null_count}
    return (
        Verdict("counts_add_up", counts["rows"] == rows, counts),
        Verdict("terms_known", not without, without or {"without": "none"}),
    )


def face_manifest_step(step: StepMaker, *, drawn: bool) -> Step:
    """`faces/manifest`; `drawn` where `people` knows where every face is."""
    return step(
        "manifest",
        inputs=("face_boxes", "people") if drawn else ("face_boxes",),
        section="face_boxes",
        kind="data",
        compute=make_manifest,
        checks=(*MANIFEST_CHECKS, FACES_FOUND) if drawn else MANIFEST_CHECKS,
        kinds=frozenset({"parquet", "table"}),
        shows=("result.json",),
        description=(
            "Every photograph and every box (section 4.2): kept, a copy of a kept one, or "
            "rejected with a reason; how many faces came of how many photographs."
        ),
    )


def find_copies(table: Any) -> list[str | None]:
    """For each row the key of the one with the same pixels that is kept in its place, or None.

    The first key stays. Of a picture found for two people only one is trained on, so that whoever
    is held out is not met in another's name.
    """
    first: dict[str, str] = {}
    rows = list(zip(table["key"].to_pylist(), table["pixels_sha256"].to_pylist(), strict=True))
    for key, digest in sorted(row for row in rows if row[1] is not None):
        first.setdefault(digest, key)
    return [
        None if digest is None or first[digest] == key else first[digest] for key, digest in rows
    ]


def _reasons(table: Any) -> Any:
    """Rejected rows by kind of reason: what stands before the colon."""
    kinds = (reason.partition(":")[0] for reason in table["reason"].to_pylist() if reason)
    return reasons_table(dict(Counter(kinds)) or {"none": 0}, "photographs or boxes")


def _rows(boxes: Any, table: Any, kept: Any) -> list[Row]:
    """How much was found: the paper gives the number of pictures and of boxes."""
    import pyarrow.compute as pc

    photographs = pc.count_distinct(table["photo"]).as_py()
    with_face = pc.count_distinct(kept["photo"]).as_py()
    rows = [
        Row(
            name="kept faces for a hundred photographs",
            measure="count",
            value=round(100 * len(kept) / max(1, photographs), 3),
            n=photographs,
            paper=round(100 * _PAPER_BOXES / _PAPER_IMAGES, 1),
            source="about 350,000 boxes from 3 million pictures (4.2)",
        ),
        Row(
            name="people with a kept face",
            measure="count",
            value=float(pc.count_distinct(kept[PERSON]).as_py()),
        ),
    ]
    found = pc.sum(pc.is_valid(boxes["box"])).as_py() or 0
    shares = [("photographs with a kept face", with_face, photographs)]
    shares += [("boxes that are kept", len(kept), found)]
    taken = boxes.filter(pc.equal(boxes["status"], KEPT))
    enlarged = pc.sum(taken["upscaled"]).as_py() or 0
    shares += [("kept crops that were enlarged", enlarged, len(taken))]
    agreeing = taken["agreement"].drop_null().to_numpy()
    shares += [
        (
            "kept faces that a second detector sees",
            int((agreeing >= AGREEMENT).sum()),
            len(agreeing),
        )
    ]
    return rows + [share_row(name, count, n, measure="share") for name, count, n in shares if n]


class _Truth(NamedTuple):
    """The drawn heads, and how the boxes agree with them, by the boxes' keys."""

    heads: Any
    found: Found
    keys: list[str]


def _truth(work: Work, boxes: Any) -> _Truth | None:
    """What is known of the faces; None of photographs that nobody drew."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    people = work.sibling("people")
    if people not in work.step.inputs:
        return None
    heads = pq.read_table(work.input(people) / HEADS_FILE)
    boxes = boxes.filter(pc.is_valid(boxes["box"]))
    return _Truth(heads, compare(boxes.to_pylist(), heads), boxes["key"].to_pylist())


def _with_factors(table: Any, truth: _Truth) -> Any:
    """The manifest with the factors of each box's face; null where there is none."""
    import pyarrow as pa

    head_of = dict(zip(truth.keys, truth.found.head_of, strict=True))
    heads = pa.array([head_of.get(key) for key in table["key"].to_pylist()], pa.int64())
    for field in FACTORS:
        table = table.append_column(field.with_nullable(True), truth.heads[field.name].take(heads))
    return table


def _truth_rows(found: Found) -> list[Row]:
    """How well the detector does where the faces are known."""
    seen = found.faces - found.missed
    rows = [share_row("drawn faces that are found", seen, found.faces, measure="share found")]
    if found.head_of:
        of = len(found.head_of)
        rows.append(share_row("boxes where nobody is", found.on_no_head, of, measure="share wrong"))
    if found.overlaps:
        middle = round(median(found.overlaps), 3)
        name = "intersection over union of a drawn face and its box, median"
        rows.append(Row(name=name, measure="overlap", value=middle, n=len(found.overlaps)))
    return rows


def _judge_detector(found: Found) -> Verdict:
    share = 1 - found.missed / max(1, found.faces)
    false = found.on_no_head / max(1, len(found.head_of))
    facts = {"found": round(share, 3), "of": found.faces, "where nobody is": round(false, 4)}
    return Verdict("faces_found", share >= _FOUND and false <= _FALSE, facts)


def _boxes(work: Work) -> Any:
    """The boxes of all shards."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = ["key", "photo_sha256", "box", "status", "upscaled", "agreement"]
    columns += ["x", "y", "width", "height"]
    folders = work.input_shards(work.pictures)
    return pa.concat_tables([pq.read_table(one / BOXES_FILE, columns=columns) for one in folders])
