"""`face_boxes` [shards]: the faces in the photographs, each box kept or rejected with a reason.

A shard is what `sources.faces.boxes` writes, and `shard.json` as every group's pictures have.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dcgan_assets.assets.pictures.people import (
    read_removals,
    reasons_table,
    removals_version,
    search_of,
)
from dcgan_assets.assets.pictures.rejections import SOME_KEPT, Intake
from dcgan_assets.assets.pictures.shards import describe_shard, numbered, stand_in
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.step import Check, Outcome, Reading, Step, StepMaker, Verdict, named
from dcgan_assets.params.faces import FaceBoxes

if TYPE_CHECKING:
    from dcgan_assets.sources.faces.boxes import FacesReport, Photo
    from dcgan_assets.sources.web.removals import RemovalList

BOX_CHECKS = (
    Check("counts_add_up", "Every photograph and every box is a row, kept or not.", required=True),
    SOME_KEPT,
    Check("detectors_agree", "A second detector sees most of the kept faces as well."),
)
_MOSTLY = 0.8
_SHEET = 100


def _shard_names(reading: Reading) -> tuple[str, ...]:
    return numbered(reading.around.photos.shards)


def _files(reading: Reading) -> tuple[str, ...]:
    return named(reading.around.removals)


def make_face_boxes(work: Work) -> Outcome:
    """Find the faces in one shard of photographs."""
    from dcgan_assets.sources.faces.boxes import find_boxes
    from dcgan_assets.sources.faces.finding import TRAINING_SIDE

    section: FaceBoxes = work.section
    (photos,) = work.input_shards(work.step.inputs[0])
    removals = read_removals(search_of(work), work.root)
    with work.progress(None, "photographs") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        report = find_boxes(
            photos,
            work.out(),
            section.rules(work.root),
            removal=partial(_removal, removals),
            on_progress=show,
            should_stop=work.stop,
        )
    if report is None:
        work.stop.stop_now()
    describe_shard(work, TRAINING_SIDE, stand_in=stand_in(work))
    pixels = [np.load(work.out() / name, mmap_mode="r") for name in report.files]
    # That most photographs hold boxes that are no good faces is as it should be.
    intake = Intake(report.kept, report.reasons, whole=search_of(work).photos.shards == 1)
    some_kept, _ = intake.judge()
    return Outcome(
        metadata=_facts(work.out(), report),
        verdicts=(*_judge(report, pixels), some_kept),
        summary=f"{report.photos:,} photographs, {intake.words}",
    )


def face_boxes_step(step: StepMaker) -> Step:
    """`faces/face_boxes`, sharded as `photos` is."""
    return step(
        "face_boxes",
        inputs=("photos",),
        kind="data",
        compute=make_face_boxes,
        shards=_shard_names,
        source_version=removals_version,
        checks=BOX_CHECKS,
        files=_files,
        kinds=frozenset({"opencv", "numpy", "parquet"}),
        description=(
            "The faces that OpenCV's detector finds (section 4.2), every box with its score, kept "
            "or rejected; crops of 128 pixels, of which the central 64 are trained on."
        ),
    )


def _removal(removals: RemovalList, photo: Photo) -> str | None:
    names = ("address", "final_address", "original", "page")
    reason = removals.match(
        addresses=[photo.get(name) for name in names],
        sha256=photo["sha256"],
        people=(photo["person_uri"],),
    )
    return reason.removeprefix("removed: ") if reason else None


def _facts(folder: Path, report: FacesReport) -> dict[str, Any]:
    from dcgan_assets.sources.faces.boxes import BOX_SCHEMA, FACES_STEM
    from dcgan_models.grids import tile

    facts: dict[str, Any] = {
        "dagster/row_count": report.rows,
        "dagster/column_schema": shown.table_schema(BOX_SCHEMA),
        "photographs": report.photos,
        "with_a_face": report.with_faces,
        "boxes": report.boxes,
        "kept": report.kept,
        "enlarged": report.upscaled,
        "photographs_a_second": round(report.photos / max(report.seconds, 1e-9), 1),
    }
    if report.kept:
        stored = np.load(sorted(folder.glob(f"{FACES_STEM}*.npy"))[0], mmap_mode="r")[:_SHEET]
        facts["faces"] = shown.thumbnail(tile(stored, 10), "the first crops as they are stored")
        trained = np.load(folder / report.files[0], mmap_mode="r")[:_SHEET]
        facts["pictures"] = shown.thumbnail(tile(trained, 10), "the same as they are trained on")
    if report.reasons:
        facts["reasons"] = reasons_table(dict(report.reasons), "photographs or boxes")
    if report.agreeing is not None:
        facts["second_detector_agrees"] = report.agreeing
    return facts


def _judge(report: FacesReport, pixels: list[Any]) -> tuple[Verdict, ...]:
    """Judge `BOX_CHECKS`."""
    rows = sum(len(part) for part in pixels)
    counts = {"photographs": report.photos, "boxes": report.boxes, "kept": report.kept}
    agreeing = report.agreeing
    share = None if agreeing is None else round(agreeing / max(1, report.kept), 3)
    return (
        Verdict("counts_add_up", report.adds_up and rows == report.kept, {**counts, "rows": rows}),
        Verdict(
            "detectors_agree",
            share is None or not report.kept or share >= _MOSTLY,
            {"share": "no second detector" if share is None else share},
        ),
    )
