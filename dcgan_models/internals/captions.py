"""A line of words over a picture: what stands where, and who picked it."""

from __future__ import annotations

from typing import Any

import numpy as np

from dcgan_models.pixels import Pixels

_SIZE = 12
_MARGIN = 4


def captioned(picture: Pixels, words: str) -> Pixels:
    """A picture under a white strip with words, in as many lines as its width asks for.

    Args:
        picture: uint8 (height, width, channels), grey or RGB.
        words: Plain text; a word wider than the picture widens it, in white.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(_SIZE)
    room = picture.shape[1] - 2 * _MARGIN
    lines = _wrapped(words, room, font.getlength)
    width = max(picture.shape[1], *(int(font.getlength(line)) + 2 * _MARGIN for line in lines))
    spacing = _SIZE + _MARGIN
    strip = Image.new("L", (width, spacing * len(lines) + _MARGIN), 255)
    draw = ImageDraw.Draw(strip)
    for number, line in enumerate(lines):
        draw.text((_MARGIN, _MARGIN // 2 + number * spacing), line, fill=0, font=font)
    height, _, channels = picture.shape
    sheet = np.full((strip.height + height, width, channels), 255, np.uint8)
    sheet[: strip.height] = np.asarray(strip)[:, :, None]
    sheet[strip.height :, : picture.shape[1]] = picture
    return sheet


def _wrapped(words: str, room: float, length: Any) -> list[str]:
    """Lines of whole words, each as full as it can be."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and length(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
