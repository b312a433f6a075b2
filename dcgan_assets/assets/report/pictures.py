"""Pictures of results, re-encoded so that a page with all of them stays small."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcgan_models.errors import UserError

_FIRST_LIMIT = 400_000
_LEAST_LIMIT = 4_000
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

    Large ones give way first: all are held to one limit, which falls until the sum fits.

    Args:
        paths: PNG files by a name of the caller's.
        budget: Bytes, in base64.
        tick: Called after each picture of the first round.

    Raises:
        UserError: There are too many pictures for the budget, however small they are made.
    """
    limit = _FIRST_LIMIT
    found: dict[str, Encoded] = {}
    for name, path in paths.items():
        found[name] = encode(path, limit)
        tick()
    while _size_in_base64(found.values()) > budget:
        limit = int(limit * 0.8)
        if limit < _LEAST_LIMIT:
            raise UserError(
                f"report.paper: {len(paths)} pictures do not fit into {budget / 1e6:.1f} MB; "
                "raise `report.paper.megabytes`"
            )
        for name, picture in found.items():
            if len(picture.content) > limit:
                found[name] = encode(paths[name], limit)
    return found


def _size_in_base64(pictures: Any) -> int:
    return sum(4 * ((len(picture.content) + 2) // 3) for picture in pictures)


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
    if image.width * image.height <= _LOSSLESS_PIXELS or not grid:
        content = _webp(image, lossless=True)
        if len(content) <= limit:
            return Encoded(content, image.width, image.height, grid)
    while True:
        for quality in _QUALITIES:
            content = _webp(image, quality=quality)
            if len(content) <= limit or max(image.size) <= 64:
                return Encoded(content, image.width, image.height, grid)
        image = image.resize((image.width * 4 // 5, image.height * 4 // 5))


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
