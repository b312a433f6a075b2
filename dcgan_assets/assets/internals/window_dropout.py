"""Figure 6: new samples with and without the maps that draw an object."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dcgan_assets.annotate.files import Boxes
from dcgan_assets.assets.internals.picks import (
    boxes_file,
    boxes_version,
    notes,
    open_samples,
    pick_boxes,
    picker,
)
from dcgan_assets.assets.training.training_set import stand_in
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.results import Row
from dcgan_assets.engine.step import Check, Outcome, Step, StepMaker, Verdict
from dcgan_assets.params.internals import WindowDropout
from dcgan_models.grids import above, tile, write_png
from dcgan_models.pixels import Pixels

DROPOUT_CHECKS = (
    Check("better_than_chance", "Pictures that the regression did not see are told apart."),
    Check(
        "object_changes_most",
        "Without the maps, boxes change more against the rest than without random ones.",
    ),
)
_PAPER_BOXES, _PAPER_MAPS = 52, 200
_COLUMNS = 10
_GAP = 4
_RED = (255, 0, 0)


def drop_windows(work: Work) -> Outcome:
    """Learn which maps draw the object in the boxes, and draw new samples without them."""
    import torch

    from dcgan_models.internals import boxes as plain
    from dcgan_models.internals.forgetting import forget_object
    from dcgan_models.networks import draw_latents

    section: WindowDropout = work.section
    generator, z = open_samples(work)
    picked = pick_boxes(work, generator, section.category)
    rng = torch.Generator().manual_seed(section.seed)
    found = forget_object(
        generator,
        z,
        [plain.Box(b.sample, b.x, b.y, b.width, b.height) for b in picked.boxes],
        draw_latents(generator.preset, section.samples, rng),
        layer=section.layer,
        C=section.c,
        controls=section.controls,
        seed=section.seed,
    )
    rows = _rows(found, picked)
    work.result(
        paper_ref="Figure 6 and section 6.3.1",
        stand_in=stand_in(work),
        rows=rows,
        notes=notes(
            picked.picked_by,
            "Accuracy is of positions in pictures that the regression did not see. Changes are "
            "mean absolute differences in the pictures with boxes. New samples have the same z in "
            "all rows of the figure.",
        ),
    ).write(work.out())
    figure = _draw(found, picked)
    write_png(work.out() / "figure.png", figure)
    sheet = _box_sheet(generator.draw(z[_with_boxes(picked)]), picked)
    write_png(work.out() / "boxes.png", sheet)
    ratios = [change.ratio for change in found.control_changes]
    facts = {"ratio": round(found.change.ratio, 3), "most of the control": round(max(ratios), 3)}
    return Outcome(
        metadata={
            "figure": shown.picture(figure, "samples, without the maps, without random ones"),
            "boxes": shown.picture(sheet, "the boxes"),
            "picked_by": picked.picked_by,
            **{row.name: row.value for row in rows if row.value is not None},
        },
        verdicts=(
            Verdict(
                "better_than_chance",
                min(found.found.folds) > found.found.chance,
                {"lowest fold": min(found.found.folds), "chance": found.found.chance},
            ),
            Verdict("object_changes_most", found.change.ratio > max(ratios), facts),
        ),
    )


def window_dropout_step(step: StepMaker) -> Step:
    """Figure 6 of a group."""
    return step(
        "window_dropout",
        inputs=("training_set", "generator"),
        kind="results",
        compute=drop_windows,
        source_version=boxes_version,
        files=boxes_file,
        checks=DROPOUT_CHECKS,
        kinds=frozenset({"pytorch", "scikitlearn"}),
        shows=("result.json", "figure.png"),
        description=(
            "Figure 6: new samples with and without the maps that draw an object, and without as "
            f"many random ones (section 6.3.1). Boxes: annotations/{step.group}/boxes.coco.json, "
            f"drawn with `dcgan annotate {step.group}`; without the file a rule draws them, marked "
            "`auto`."
        ),
    )


def _rows(found: Any, picked: Boxes) -> list[Row]:
    maps, change = found.found, found.change
    ratios = [control.ratio for control in found.control_changes]
    inside = [control.inside for control in found.control_changes]
    examples = maps.positives + maps.negatives
    times = f"lowest and highest of {len(ratios)} draws"
    return [
        Row(
            name="boxes",
            value=len(picked.boxes),
            n=len(picked.samples),
            paper=_PAPER_BOXES,
            source="section 6.3.1: on 150 samples",
        ),
        Row(
            name="maps dropped",
            value=len(maps.maps),
            n=len(maps.weights),
            paper=_PAPER_MAPS,
            source="section 6.3.1: about 200",
        ),
        Row(
            name="held-out accuracy",
            value=_percent(maps.accuracy),
            unit="%",
            n=examples,
            low=_percent(min(maps.folds)),
            high=_percent(max(maps.folds)),
            interval=f"lowest and highest of {len(maps.folds)} folds, dealt by picture",
        ),
        Row(name="chance", value=_percent(maps.chance), unit="%", n=examples),
        Row(name="change inside the boxes", value=round(change.inside, 3), unit="grey levels"),
        Row(name="change outside", value=round(change.outside, 3), unit="grey levels"),
        Row(name="inside over outside", value=_finite(change.ratio)),
        Row(
            name="random maps: change inside the boxes",
            value=round(sum(inside) / len(inside), 3),
            unit="grey levels",
            n=len(inside),
            low=round(min(inside), 3),
            high=round(max(inside), 3),
            interval=times,
        ),
        Row(
            name="random maps: inside over outside",
            value=_finite(sum(ratios) / len(ratios)),
            n=len(ratios),
            low=_finite(min(ratios)),
            high=_finite(max(ratios)),
            interval=times,
        ),
    ]


def _percent(share: float) -> float:
    return round(100 * share, 2)


def _finite(ratio: float) -> float | None:
    """A ratio for a result file, which holds no infinity: there the outside did not change."""
    return round(ratio, 3) if math.isfinite(ratio) else None


def _draw(found: Any, picked: Boxes) -> Pixels:
    from dcgan_models.internals.captions import captioned

    maps = found.found
    name = picked.boxes[0].name
    words = {
        f"new samples; boxes of {name} {picker(picked.picked_by)}": found.before,
        f"without {len(maps.maps)} of {len(maps.weights)} maps of layer {maps.layer}": found.after,
        "without as many random maps": found.control,
    }
    return above([captioned(tile(row, len(row)), line) for line, row in words.items()], _GAP)


def _with_boxes(picked: Boxes) -> list[int]:
    return sorted({box.sample for box in picked.boxes})


def _box_sheet(pictures: Pixels, picked: Boxes) -> Pixels:
    """The pictures with boxes, and their boxes in red."""
    from PIL import Image, ImageDraw

    from dcgan_models.internals.captions import captioned

    drawn = []
    for sample, pixels in zip(_with_boxes(picked), pictures, strict=True):
        image = Image.fromarray(pixels.repeat(3, axis=2) if pixels.shape[2] == 1 else pixels)
        draw = ImageDraw.Draw(image)
        for box in picked.boxes:
            if box.sample == sample:
                corners = (box.x, box.y, box.x + box.width - 1, box.y + box.height - 1)
                draw.rectangle(corners, outline=_RED)
        drawn.append(image)
    sheet = tile(np.stack([np.asarray(image) for image in drawn]), _COLUMNS)
    return captioned(sheet, f"boxes of {picked.boxes[0].name}, {picker(picked.picked_by)}")
