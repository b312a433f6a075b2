"""How far two folders of files agree: byte for byte, else by how much their numbers differ.

Numbers in JSON, Parquet tables and `.npy` arrays are compared one by one, pictures by pixels.
Everything else, and whatever has another shape, agrees in all its bytes or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dcgan_models.files import read_json

_LEVELS = 255
_BLOCK_BYTES = 64_000_000


@dataclass(frozen=True)
class Difference:
    """Where two versions of a file differ most.

    Attributes:
        place: The file, and the place in it.
        size: Of two numbers a and b, |a - b| / max(1, |a|, |b|); of pixels, that of 255 levels;
            infinite where they cannot be compared. Never 0.
        words: What is there in the one and in the other.
    """

    place: str
    size: float
    words: str


def compare_folders(
    one: Path, other: Path, *, apart_from: Collection[str] = (), ignored: Collection[str] = ()
) -> Difference | None:
    """The largest difference between two folders; None where they are equal.

    Args:
        apart_from: Names of files that do not count.
        ignored: Keys of JSON objects that do not count, at the top of a file.
    """
    names = sorted({*_names(one, apart_from), *_names(other, apart_from)})
    found = [d for name in names for d in _compare_files(one, other, name, ignored)]
    return max(found, key=lambda difference: difference.size, default=None)


def grey_levels(one: Path, other: Path) -> dict[str, float]:
    """By how many grey levels the pictures of two folders differ at most, by file.

    0 is equal in all pixels; infinite where one is missing, damaged or of another size.
    """
    found = {}
    for name in sorted({*_names(one, ()), *_names(other, ())}):
        if name.endswith(".png"):
            sizes = [difference.size for difference in _compare_files(one, other, name, ())]
            found[name] = round(max(sizes, default=0.0) * _LEVELS, 3)
    return found


def _names(folder: Path, apart_from: Collection[str]) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in apart_from:
            yield path.relative_to(folder).as_posix()


def _compare_files(
    one: Path, other: Path, name: str, ignored: Collection[str]
) -> Iterator[Difference]:
    paths = one / name, other / name
    missing = [path for path in paths if not path.is_file()]
    if missing:
        words = "only in the second" if missing == [paths[0]] else "only in the first"
        yield Difference(name, math.inf, words)
        return
    if _same_bytes(*paths):
        return
    compare = _BY_SUFFIX.get(paths[0].suffix)
    try:
        if paths[0].suffix == ".json":
            contents = [_without(read_json(path), ignored) for path in paths]
            yield from _compare_values(name, *contents)
        elif compare is None:
            yield Difference(name, math.inf, "other bytes")
        else:
            yield from compare(name, *paths)
    except (OSError, ValueError) as error:  # one of them is damaged
        yield Difference(name, math.inf, f"not readable ({str(error).splitlines()[0]})")


def _same_bytes(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        while block := first.read(1 << 20):
            if block != second.read(1 << 20):
                return False
    return True


# --- JSON -------------------------------------------------------------------------------------


def _without(content: Any, keys: Collection[str]) -> Any:
    if not isinstance(content, dict):
        return content
    return {key: value for key, value in content.items() if key not in keys}


def _compare_values(place: str, one: Any, other: Any) -> Iterator[Difference]:
    """Every leaf in which two JSON values differ."""
    match one, other:
        case dict(), dict() if one.keys() == other.keys():
            # A row of a table says what it is about.
            about = f" ({one['name']})" if isinstance(one.get("name"), str) else ""
            for key in one:
                yield from _compare_values(f"{place}{about}: {key}", one[key], other[key])
        case list(), list() if len(one) == len(other):
            for number, pair in enumerate(zip(one, other, strict=True)):
                yield from _compare_values(f"{place}[{number}]", *pair)
        case int() | float(), int() | float() if not isinstance(one, bool):
            if one != other and not (math.isnan(one) and math.isnan(other)):
                yield Difference(place, number_difference(one, other), f"{one} and {other}")
        case _ if one != other:
            yield Difference(place, math.inf, f"{_short(one)} and {_short(other)}")


def number_difference(one: float, other: float) -> float:
    """|a - b| / max(1, |a|, |b|); infinite where one of them is no finite number."""
    if not (math.isfinite(one) and math.isfinite(other)):
        return math.inf
    return abs(one - other) / max(1.0, abs(one), abs(other))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# --- Arrays, pictures, tables -----------------------------------------------------------------


def _compare_arrays(place: str, one: npt.NDArray[Any], other: npt.NDArray[Any]) -> list[Difference]:
    """The place where two arrays differ most; of uint8, which are pixels, in levels of 255."""
    if one.shape != other.shape or one.dtype != other.dtype:
        words = f"{one.dtype} {one.shape} and {other.dtype} {other.shape}"
        return [Difference(place, math.inf, words)]
    if one.dtype.kind not in "iuf":
        return [] if np.array_equal(one, other) else [Difference(place, math.inf, "other values")]
    largest = Difference(place, 0.0, "")
    flat, others = one.reshape(-1), other.reshape(-1)
    step = max(1, _BLOCK_BYTES // 8)
    for first in range(0, len(flat), step):
        a, b = (np.asarray(x[first : first + step], np.float64) for x in (flat, others))
        scale = _LEVELS if one.dtype == np.uint8 else np.maximum(1, np.maximum(abs(a), abs(b)))
        sizes = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, abs(a - b) / scale)
        sizes[np.isnan(sizes)] = math.inf
        worst = int(sizes.argmax())
        if sizes[worst] > largest.size:
            where = tuple(int(i) for i in np.unravel_index(first + worst, one.shape))
            words = f"{a[worst]:.8g} and {b[worst]:.8g}"
            largest = Difference(f"{place} at {where}", float(sizes[worst]), words)
    return [largest] if largest.size else []


def _compare_npy(place: str, one: Path, other: Path) -> list[Difference]:
    arrays = [np.load(path, mmap_mode="r", allow_pickle=False) for path in (one, other)]
    return _compare_arrays(place, *arrays)


def _compare_pictures(place: str, one: Path, other: Path) -> list[Difference]:
    from PIL import Image

    pixels = []
    for path in (one, other):
        with Image.open(path) as image:
            pixels.append(np.asarray(image.convert("RGBA")))
    return _compare_arrays(place, pixels[0], pixels[1])


def _compare_tables(place: str, one: Path, other: Path) -> list[Difference]:
    """A column at a time: a table of features is larger than memory likes."""
    import pyarrow.parquet as pq

    first, second = pq.ParquetFile(one), pq.ParquetFile(other)
    shapes = [(file.schema_arrow, file.metadata.num_rows) for file in (first, second)]
    if not shapes[0][0].equals(shapes[1][0]) or shapes[0][1] != shapes[1][1]:
        return [Difference(place, math.inf, "other columns or another number of rows")]
    found = []
    for name in first.schema_arrow.names:
        columns = [file.read(columns=[name]).column(0) for file in (first, second)]
        found += _compare_columns(f"{place}: {name}", *columns)
    return found


def _compare_columns(place: str, one: Any, other: Any) -> list[Difference]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if one.equals(other):
        return []
    if pa.types.is_list(one.type) or pa.types.is_fixed_size_list(one.type):
        one, other = pc.list_flatten(one), pc.list_flatten(other)
    is_number = pa.types.is_floating(one.type) or pa.types.is_integer(one.type)
    if not is_number or len(one) != len(other) or one.null_count or other.null_count:
        return [Difference(place, math.inf, "other values")]
    return _compare_arrays(place, one.to_numpy(), other.to_numpy())


_BY_SUFFIX = {".npy": _compare_npy, ".png": _compare_pictures, ".parquet": _compare_tables}
