"""Picks and boxes by rule, where nobody has annotated and no judge reads the pictures.

The paper's exemplars and window boxes were chosen by eye (section 6.3). The rules here look at
what can be measured of a picture, and name what they measured: a sample is `bright` and not a
bedroom, a box holds a `bright_spot` and not a window. Whatever is made of them must say that it
was picked automatically.

A concept is one word, or several joined by underscores, such as `warm_dark`: its exemplars are
the samples with the highest mean rank in what its words ask for, among those that have something
in them: the darkest samples of a small generator are plain black. A box surrounds the brightest
compact spot of a sample, if it has one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from dcgan_models.errors import UserError
from dcgan_models.internals.boxes import Box
from dcgan_models.pixels import Pixels

Values = npt.NDArray[np.float64]

SPOT = "bright_spot"

# A sample has something in it if its levels deviate by this share of what is usual, the median.
_FAINT = 0.5

# A spot is brighter than the picture's mean by so many standard deviations, fills so much of its
# box, and the box has so much of the picture's area: neither a speck nor half of a bright sky.
_BRIGHTER, _FILLED, _SMALLEST, _LARGEST = 1.0, 0.5, 1 / 64, 1 / 4


def _grey(pictures: Pixels) -> Values:
    """(n, height, width): the plain mean of the channels."""
    grey: Values = pictures.astype(np.float64).mean(axis=3)
    return grey


def _brightness(pictures: Pixels) -> Values:
    brightness: Values = _grey(pictures).mean(axis=(1, 2))
    return brightness


def _right_over_left(pictures: Pixels) -> Values:
    grey = _grey(pictures)
    half = grey.shape[2] // 2
    difference: Values = (grey[:, :, -half:] - grey[:, :, :half]).mean(axis=(1, 2))
    return difference


def _warmth(pictures: Pixels) -> Values:
    colour: Values = pictures.astype(np.float64).mean(axis=(1, 2))
    return colour[:, 0] - colour[:, -1]  # red less blue; nothing in a grey picture


def _texture(pictures: Pixels) -> Values:
    """The mean difference of neighbouring pixels, along both axes."""
    grey = _grey(pictures)
    across: Values = np.abs(np.diff(grey, axis=2)).mean(axis=(1, 2))
    down: Values = np.abs(np.diff(grey, axis=1)).mean(axis=(1, 2))
    return across + down


# For each word what it asks for, in grey levels, and of which end.
WORDS: Mapping[str, tuple[Callable[[Pixels], Values], int]] = MappingProxyType(
    {
        "bright": (_brightness, 1),
        "dark": (_brightness, -1),
        "right": (_right_over_left, 1),
        "left": (_right_over_left, -1),
        "warm": (_warmth, 1),
        "cool": (_warmth, -1),
        "textured": (_texture, 1),
        "smooth": (_texture, -1),
    }
)

# Those that ask for a colour.
COLOURS = frozenset({"warm", "cool"})


def auto_concepts(pictures: Pixels, names: Sequence[str], count: int = 3) -> dict[str, list[int]]:
    """Pick exemplars of concepts by what can be measured.

    Args:
        pictures: uint8 (n, height, width, channels), G's fixed samples.
        names: Concepts, of the words in `WORDS`: `left` is lighter on its left half.
        count: Exemplars for each.

    Returns:
        For each concept `count` numbers of samples, the best first; of equals the lower number.

    Raises:
        UserError: A word that is not known, two that ask for the opposite, or more exemplars than
            samples with something in them.
    """
    contrast = _grey(pictures).std(axis=(1, 2))
    rows = np.flatnonzero(contrast >= _FAINT * np.median(contrast))
    if not 1 <= count <= len(rows):
        raise UserError(f"{count} exemplars a concept; allowed are 1 to {len(rows)} samples")
    found = {}
    for name in names:
        ranks = np.mean([_ranks(_measure(word, pictures[rows])) for word in _words(name)], axis=0)
        found[name] = rows[np.argsort(-ranks, kind="stable")[:count]].tolist()
    return found


def agreement(pictures: Pixels, name: str, samples: Pixels) -> Values:
    """How much each picture is what a concept's words ask for, beside G's samples.

    The share of samples that have less of it, the mean over the words: about a half for a picture
    like any other, near 1 for one as the concept wants it.

    Args:
        pictures: uint8 (n, height, width, channels).
        name: Of the concept.
        samples: uint8 (m, height, width, channels).

    Returns:
        (n,).

    Raises:
        UserError: A word that is not known, or two that ask for the opposite.
    """
    shares = [
        (_measure(word, samples) < _measure(word, pictures)[:, None]).mean(axis=1)
        for word in _words(name)
    ]
    found: Values = np.mean(shares, axis=0)
    return found


def _measure(word: str, pictures: Pixels) -> Values:
    measure, sign = WORDS[word]
    return sign * measure(pictures)


def _words(name: str) -> list[str]:
    words = name.split("_")
    unknown = [word for word in words if word not in WORDS]
    if unknown:
        raise UserError(
            f"concept {name!r}: nothing measures {unknown[0]!r}; words are: {', '.join(WORDS)}"
        )
    if len({WORDS[word] for word in words}) > len({WORDS[word][0] for word in words}):
        raise UserError(f"concept {name!r}: it asks for something and for its opposite")
    return words


def _ranks(values: Values) -> Values:
    from scipy.stats import rankdata

    ranks: Values = rankdata(values)
    return ranks


def auto_boxes(pictures: Pixels, most: int = 52) -> list[Box]:
    """A box around the brightest compact spot of each sample that has one.

    Each picture is smoothed first, by a median over a tenth of its side: small generators draw
    grids of dots, whose brightest is no spot. Pixels more than a standard deviation brighter than
    their picture's mean form spots, connected along the axes. A spot is compact if it fills half
    of its box, and the box takes between a sixty-fourth and a quarter of the picture. The one
    that is brighter by most in all is taken, however faint it is.

    Args:
        pictures: uint8 (n, height, width, channels), G's samples.
        most: Boxes, on the first samples that have a spot; the paper drew 52 on 150 samples.

    Returns:
        At most one box a picture, in their order.
    """
    from scipy import ndimage

    found: list[Box] = []
    width = pictures.shape[1] // 10 | 1
    for number, grey in enumerate(_grey(pictures)):
        box = _brightest_spot(ndimage.median_filter(grey, width), number)
        if box is not None and len(found) < most:
            found.append(box)
    return found


def _brightest_spot(grey: Values, number: int) -> Box | None:
    from scipy import ndimage

    excess = grey - grey.mean() - _BRIGHTER * grey.std()
    labels, _ = ndimage.label(excess > 0)
    best, most = None, 0.0
    for label, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
        inside = labels[rows, columns] == label
        total = float(excess[rows, columns][inside].sum())
        compact = inside.mean() >= _FILLED
        if compact and _SMALLEST <= inside.size / grey.size <= _LARGEST and total > most:
            height, width = inside.shape
            best, most = Box(number, columns.start, rows.start, width, height), total
    return best
