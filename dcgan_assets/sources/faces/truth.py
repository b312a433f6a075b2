"""What a detector makes of photographs whose faces are known: found, missed, taken by mistake."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from dcgan_assets.sources.drawn.scenes import SHOWN_FACE
from dcgan_assets.sources.faces.detectors import Box, overlap

# A box is a face's when they share so much of what they cover together.
MATCHED = 0.4


@dataclass(frozen=True)
class Found:
    """How boxes and known faces agree.

    Attributes:
        head_of: For each box the row of its head, or None where it is on no head.
        faces, missed: Faces that can be found, and those of them that no box is on.
        overlaps: Intersection over union of each face that was found with its best box.
    """

    head_of: tuple[int | None, ...]
    faces: int
    missed: int
    overlaps: tuple[float, ...]

    @property
    def on_no_head(self) -> int:
        """Boxes where there is no head."""
        return sum(head is None for head in self.head_of)


def compare(boxes: Sequence[Mapping[str, Any]], heads: pa.Table) -> Found:
    """Match boxes with the heads of their photographs, each box with the nearest head.

    Args:
        boxes: Rows with `photo_sha256`, `x`, `y`, `width` and `height`.
        heads: Of `HEAD_SCHEMA`.
    """
    places = heads.select(["photo_sha256", "kind", "x", "y", "side"]).to_pylist()
    by_photo = defaultdict(list)
    for number, head in enumerate(places):
        square = Box(head["x"], head["y"], head["side"], head["side"], 0.0)
        by_photo[head["photo_sha256"]].append((number, square))
    best: dict[int, float] = {}
    head_of: list[int | None] = []
    for row in boxes:
        box = Box(row["x"], row["y"], row["width"], row["height"], 0.0)
        near = [(overlap(box, square)[0], n) for n, square in by_photo[row["photo_sha256"]]]
        share, number = max(near, default=(0.0, -1))
        head_of.append(number if share >= MATCHED else None)
        if share >= MATCHED:
            best[number] = max(share, best.get(number, 0.0))
    shown = [number for number, head in enumerate(places) if head["kind"] == SHOWN_FACE]
    overlaps = tuple(best[number] for number in shown if number in best)
    return Found(tuple(head_of), len(shown), len(shown) - len(overlaps), overlaps)
