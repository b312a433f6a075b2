"""Figure 6: new samples with and without the maps that draw an object."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dcgan_assets.annotate.files import Boxes
from dcgan_assets.assets.internals.picks import (
    boxes_file,
    boxes_version,
    by_whom,
    notes,
    open_samples,
    pick_boxes,
)
from dcgan_assets.assets.pictures.shards import stand_in
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.results import Row
from dcgan_assets.engine.step import Outcome, Step, StepMaker
from dcgan_assets.params.internals import WindowDropout
from dcgan_models.files import write_json
from dcgan_models.grids import above, tile, write_png
from dcgan_models.pixels import Pixels

if TYPE_CHECKING:
    from dcgan_models.internals.forgetting import ObjectMaps

MAPS_FILE = "maps.json"
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
    generator, subject = open_samples(work)
    z = generator.fixed_z
    picked = pick_boxes(work, generator, subject, section.category)
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
            "all rows of the figure. Bright spots of an untrained generator are told apart and "
            "changed most as well: that the object is forgotten is counted in `claims` alone.",
        ),
    ).write(work.out())
    _write_maps(work, found.found, picked)
    write_png(work.out() / "figure.png", _draw(found, picked))
    sheet = _box_sheet(generator.draw(z[_with_boxes(picked)]), picked)
    write_png(work.out() / "boxes.png", sheet)
    return Outcome(
        metadata={
            "picked_by": picked.picked_by,
            **{row.name: row.value for row in rows if row.value is not None},
        },
        figures={
            "figure.png": "samples, without the maps, without random ones",
            "boxes.png": "the boxes",
        },
    )


def window_dropout_step(step: StepMaker, *, judge: bool) -> Step:
    """Figure 6 of a group; `judge` where it has one, which draws boxes where no person has."""
    drawer = "a judge draws them, marked `judge`" if judge else "a rule draws them, marked `auto`"
    return step(
        "window_dropout",
        inputs=("training_set", "generator", *(("judge",) if judge else ())),
        kind="results",
        compute=drop_windows,
        source_version=boxes_version,
        files=boxes_file,
        kinds=frozenset({"pytorch", "scikitlearn"}),
        shows=("result.json", "figure.png"),
        description=(
            "Figure 6: new samples with and without the maps that draw an object, and without as "
            f"many random ones (section 6.3.1). Boxes: annotations/{step.group}/boxes.coco.json, "
            f"drawn with `dcgan annotate {step.group}`; without the file {drawer}."
        ),
    )


def _rows(found: Any, picked: Boxes) -> list[Row]:
    """What was boxed, how maps are told by it, and what their absence changes."""
    maps, change = found.found, found.change
    return [
        Row(
            name="boxes",
            measure="count",
            value=len(picked.boxes),
            n=len(picked.samples),
            paper=_PAPER_BOXES,
            source="section 6.3.1: on 150 samples",
        ),
        Row(
            name="maps dropped",
            measure="count",
            value=len(maps.maps),
            n=len(maps.weights),
            paper=_PAPER_MAPS,
            source="section 6.3.1: about 200",
        ),
        *_accuracy_rows(maps),
        _grey_levels("change inside the boxes", change.inside),
        _grey_levels("change outside", change.outside),
        Row(name="inside over outside", measure="ratio", value=_finite(change.ratio)),
        *_control_rows(found.control_changes),
    ]


def _accuracy_rows(maps: Any) -> list[Row]:
    """Of positions in pictures that the regression did not see."""
    examples = maps.positives + maps.negatives
    return [
        Row(
            name="held-out accuracy",
            measure="accuracy",
            value=_percent(maps.accuracy),
            unit="%",
            n=examples,
            low=_percent(min(maps.folds)),
            high=_percent(max(maps.folds)),
            interval=f"lowest and highest of {len(maps.folds)} folds, dealt by picture",
        ),
        Row(name="chance", measure="accuracy", value=_percent(maps.chance), unit="%", n=examples),
    ]


def _control_rows(changes: Sequence[Any]) -> list[Row]:
    """What the absence of as many random maps changes."""
    ratios = [control.ratio for control in changes]
    inside = [control.inside for control in changes]
    times = f"lowest and highest of {len(changes)} draws"
    spread: dict[str, Any] = {"n": len(changes), "interval": times}
    return [
        _grey_levels(
            "random maps: change inside the boxes",
            sum(inside) / len(inside),
            low=round(min(inside), 3),
            high=round(max(inside), 3),
            **spread,
        ),
        Row(
            name="random maps: inside over outside",
            measure="ratio",
            value=_finite(sum(ratios) / len(ratios)),
            low=_finite(min(ratios)),
            high=_finite(max(ratios)),
            **spread,
        ),
    ]


def _grey_levels(name: str, value: float, **more: Any) -> Row:
    return Row(name=name, measure="change", value=round(value, 3), unit="grey levels", **more)


def _write_maps(work: Work, found: ObjectMaps, picked: Boxes) -> None:
    """Which maps of which layer are dropped, for whoever draws without them, too."""
    content = {
        "category": picked.boxes[0].name,
        "layer": found.layer,
        "maps": found.maps.tolist(),
        "of": len(found.weights),
    }
    write_json(work.out() / MAPS_FILE, content)


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
        f"new samples; boxes of {name} {by_whom(picked.picked_by)}": found.before,
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
    return captioned(sheet, f"boxes of {picked.boxes[0].name}, {by_whom(picked.picked_by)}")
