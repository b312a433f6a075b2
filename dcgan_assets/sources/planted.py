"""Pictures that are planted as edited copies of others, for the deduplication to find.

Sources that plant them number their pictures: the key of a picture is `NAME/NUMBER`, that of its
copy `NAME/NUMBER/EDIT`, with a name from `dcgan_models.dedup.planted.EDITS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dcgan_assets.sources.reading.items import HELD_OUT
from dcgan_models.dedup.planted import EDITS
from dcgan_models.errors import UserError
from dcgan_models.pixels import Pixels


def require_share(planted: float, source: str) -> None:
    """Raise `UserError` where more than a half of a source's pictures were to be copies."""
    if not 0 <= planted <= 0.5:
        raise UserError(f"{source}: planted is {planted}; 0 to 0.5 is allowed")


def png(pixels: Pixels, edit: str | None) -> bytes:
    """A picture as PNG, edited first: what the edit did to its pixels stays, nothing is added.

    Args:
        pixels: uint8 (height, width, 3), RGB.
        edit: One of `dcgan_models.dedup.planted.EDITS`, or None.
    """
    import cv2

    if edit is not None:
        pixels = EDITS[edit](pixels)
    _, encoded = cv2.imencode(".png", pixels[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return encoded.tobytes()


def plant(keys: Sequence[str], copies: int, seed: int) -> Iterator[tuple[str, int, str]]:
    """Choose the pictures that are planted again, the edits in turn.

    Args:
        keys: Of the pictures.
        copies: How many of them have a copy.
        seed: Of the choice.

    Yields:
        Key of a copy, number of its original among the keys, and name of the edit.
    """
    names = list(EDITS)
    chosen = np.random.default_rng(seed).permutation(len(keys))[:copies]
    for number, original in enumerate(chosen.tolist()):
        edit = names[number % len(names)]
        yield f"{keys[original]}/{edit}", original, edit


def planted_edit(key: str) -> str | None:
    """The edit by which a planted copy was made; None for other keys."""
    parts = key.split("/")
    planted = len(parts) == 3 and parts[0] != HELD_OUT and parts[2] in EDITS
    return parts[2] if planted else None


def planted_original(key: str) -> str | None:
    """The key of what a planted copy was made from; None for other keys."""
    edit = planted_edit(key)
    return None if edit is None else key.removesuffix(f"/{edit}")
