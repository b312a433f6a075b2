"""Pictures of results, re-encoded so that a page with all of them stays small."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcgan_models.errors import UserError

_FIRST_LIMIT = 400_000
_LEAST_LIMIT = 4_000
_LEAST_SIDE = 64
_MOST_SIDE = 2_400  # more than a page shows; WebP itself ends at 16,383
# Grids of samples are noise to a lossless coder; charts are not.
_LOSSLESS_PIXELS = 200_000
_QUALITIES = (92, 84, 72)


@dataclass(frozen=True)
class Encoded:
    """A picture as WebP.

    Attributes:
        width, height: In pixels, as encoded.
        grid: Whether it is a grid of small pictures, which may be enlarged without smoothing.
    """

    content: bytes
    width: int
    height: int
    grid: bool

    @property
    def address(self) -> str:
        """The picture as a data URI."""
        return f"data:image/webp;base64,{base64.b64encode(self.content).decode()}"


def encode_all(
    paths: Mapping[str, Path], budget: int, tick: Callable[[], object] = lambda: None
) -> dict[str, Encoded]:
    """Encode pictures so that all of them together, as base64, fit into a budget.

    Large ones give way first: all are held to one limit.

    Args:
        paths: PNG files by a name of the caller's.
        budget: Bytes, in base64.
        tick: Called after each picture.

    Raises:
        UserError: There are too many pictures for the budget, however small they are made.
    """
    found: dict[str, Encoded] = {}
    for name, path in paths.items():
        found[name] = encode(path, _FIRST_LIMIT)
        tick()
    limit = _common_limit([len(picture.content) for picture in found.values()], budget)
    if limit < _LEAST_LIMIT:
        raise UserError(
            f"report.paper: {len(paths)} pictures do not fit into {budget / 1e6:.1f} MB; "
            "raise `report.paper.megabytes`"
        )
    for name, picture in found.items():
        if len(picture.content) > limit:
            found[name] = encode(paths[name], limit)
    return found


def _common_limit(sizes: Sequence[int], budget: int) -> int:
    """The highest limit under which all fit, in bytes before base64 makes 4 of each 3."""
    left = (budget - 4 * len(sizes)) * 3 // 4
    for count, size in zip(range(len(sizes), 0, -1), sorted(sizes), strict=True):
        if size * count > left:
            return left // count
        left -= size
    return _FIRST_LIMIT


def encode(path: Path, limit: int) -> Encoded:
    """A PNG as WebP of at most `limit` bytes: without loss if that fits, else coarser and smaller.

    Args:
        limit: In bytes; what lies below a few hundred is not reached.
    """
    from PIL import Image

    with Image.open(path) as opened:
        # matplotlib writes charts with an alpha channel, our grids have none.
        grid = opened.mode != "RGBA"
        image = _on_white(opened)
    image.thumbnail((_MOST_SIDE, _MOST_SIDE))
    if image.width * image.height <= _LOSSLESS_PIXELS or not grid:
        content = _webp(image, lossless=True)
        if len(content) <= limit:
            return Encoded(content, image.width, image.height, grid)
    while True:
        for quality in _QUALITIES:
            content = _webp(image, quality=quality)
            if len(content) <= limit or max(image.size) <= _LEAST_SIDE:
                return Encoded(content, image.width, image.height, grid)
        # Bytes grow with the area; a little less, so that few rounds are needed.
        scale = 0.95 * math.sqrt(limit / len(content))
        image.thumbnail((int(image.width * scale), int(image.height * scale)))


def _on_white(opened: Any) -> Any:
    """Three channels; what is transparent becomes white, as on paper."""
    from PIL import Image

    if opened.mode != "RGBA":
        return opened.convert("RGB")
    ground = Image.new("RGB", opened.size, "white")
    ground.paste(opened, mask=opened.getchannel("A"))
    return ground


def _webp(image: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", method=2, **options)
    return buffer.getvalue()
