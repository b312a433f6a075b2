"""Picks and boxes that a person (or a judge, or a rule) leaves on a generator's fixed samples.

    annotations/GROUP/concepts.json      named concepts: rows of fixed_z (Figures 7 and 8)
    annotations/GROUP/boxes.coco.json    objects in samples, in COCO's format (Figure 6)

Both are small, belong in git, and say which generator they were made for by its data version: a
row of fixed_z is another picture under another generator, so picks for another one are refused.
In boxes.coco.json the number in a picture's file name (`sample_0017.png`) is the row of fixed_z,
because annotation tools number `id` anew. Fields of COCO that are not needed here are passed over.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dcgan_models.errors import UserError
from dcgan_models.files import open_atomic, read_regular, write_json

if TYPE_CHECKING:  # torch
    from dcgan_models.networks import Generator

PickedBy = Literal["person", "judge", "auto"]
CONCEPT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
# Far above what thousands of picks or boxes take.
LARGEST_FILE = 16 * 2**20
_FORMAT = 1
_MOST_CONCEPTS = 200
# Tools write coordinates with two decimals; a box may leave its picture by so many pixels.
_ROUNDING = 0.02
# In pixels; the page draws none smaller, and less is no object that a map could be asked for.
SMALLEST_SIDE = 1


@dataclass(frozen=True)
class Concepts:
    """Named sets of samples.

    Attributes:
        generator: Data version of the generator whose samples were picked.
        picked_by: `person`, `judge` where a network looked, or `auto` for picks by a rule.
        picks: Rows of fixed_z by concept, ascending and without repetition, names in order.
    """

    generator: str
    picked_by: PickedBy
    picks: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Box:
    """One object in one sample: left, top, width and height in pixels, as COCO's `bbox`.

    With two decimals, as in the file; inside the picture, and a pixel wide and high at least.
    """

    sample: int
    name: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Boxes:
    """Objects in samples.

    Attributes:
        generator, picked_by: As in `Concepts`.
        samples: Rows of fixed_z that were looked at, ascending, those without an object included.
        boxes: Ordered by sample, then as they were drawn.
    """

    generator: str
    picked_by: PickedBy
    samples: tuple[int, ...]
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class Subject:
    """The published generator that annotations are about.

    Attributes:
        group: Its picture group.
        generator: Its data version.
        samples: Rows of its fixed_z.
        height, width: Of a picture.
    """

    group: str
    generator: str
    samples: int
    height: int
    width: int

    @classmethod
    def of(cls, group: str, version: str, network: Generator) -> Subject:
        """What annotations of a group's generator are about; `version` is its data version.

        Raises:
            UserError: It has no fixed samples, so that there is nothing to pick from.
        """
        if network.fixed_z is None:
            raise UserError(
                f"{group}: its generator has no fixed samples (fixed_z.npy), so there is nothing "
                "to pick from"
            )
        _, height, width = network.preset.image
        return cls(group, version, len(network.fixed_z), height, width)


def concepts_path(root: Path, group: str) -> Path:
    """Where a group's concepts lie, whether they are there or not."""
    return root / "annotations" / group / "concepts.json"


def boxes_path(root: Path, group: str) -> Path:
    """Where a group's boxes lie, whether they are there or not."""
    return root / "annotations" / group / "boxes.coco.json"


def revision(path: Path) -> str:
    """A hash of a file's bytes, by which a change behind one's back is noticed; empty if absent."""
    try:
        return hashlib.sha256(_read(path)).hexdigest()
    except FileNotFoundError:
        return ""


# --- Concepts -------------------------------------------------------------------------------


def read_concepts(path: Path, subject: Subject) -> Concepts:
    """Read and check a concepts file.

    Raises:
        FileNotFoundError: There is none.
        UserError: It is not of the format, an id is not a row of fixed_z, or it was made for
            another generator.
    """
    content = _load(path)
    return check_concepts(content, subject, str(path))


def check_concepts(content: Any, subject: Subject, where: str) -> Concepts:
    """Check the parsed content of a concepts file; `where` opens the line of a refusal."""
    found = _validate(_ConceptsFile, content, where)
    _require_generator(found.generator, subject, where)
    for name, ids in found.concepts.items():
        _require_rows(ids, subject, f"{where}: {name}")
    picks = {name: tuple(sorted(set(ids))) for name, ids in sorted(found.concepts.items())}
    return Concepts(found.generator, found.picked_by, picks)


def write_concepts(path: Path, concepts: Concepts, group: str) -> None:
    """Write a concepts file, atomically: names and ids in order, an id a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "format": _FORMAT,
        "group": group,
        "generator": concepts.generator,
        "picked_by": concepts.picked_by,
        "concepts": {name: sorted(set(ids)) for name, ids in concepts.picks.items()},
    }
    write_json(path, content)


# --- Boxes ----------------------------------------------------------------------------------


def read_boxes(path: Path, subject: Subject) -> Boxes:
    """Read and check a COCO file of this project or of another tool.

    Raises:
        FileNotFoundError: There is none.
        UserError: It is not COCO; a picture is missing, named twice, of another size or no row of
            fixed_z; a category is missing; a box is too small or outside its picture; or the
            file was made for another generator.
    """
    where = str(path)
    found = _validate(_CocoFile, _load(path), where)
    if found.info.generator is None:
        raise UserError(
            f"{where}: info.generator is missing; if these are samples of the published "
            f'generator of {subject.group}, add "generator": "{subject.generator}" to "info"'
        )
    _require_generator(found.info.generator, subject, where)
    rows = _rows_of_images(found.images, subject, where)
    names = _by_id(found.categories, "categories", where)
    boxes = []
    for place, annotation in enumerate(found.annotations):
        at = f"{where}: annotations.{place}"
        if annotation.image_id not in rows:
            raise UserError(f"{at}: image_id {annotation.image_id} is in no entry of images")
        if annotation.category_id not in names:
            known = ", ".join(map(str, names)) or "none"
            raise UserError(
                f"{at}: category_id {annotation.category_id} is in no entry of categories "
                f"(ids there: {known:.80})"
            )
        name = names[annotation.category_id].name
        boxes.append(_box_within(rows[annotation.image_id], name, annotation.bbox, subject, at))
    return _ordered(found.info.generator, found.info.picked_by, rows.values(), boxes)


def check_boxes(content: Any, subject: Subject, where: str) -> Boxes:
    """Check boxes as the annotation page sends them: `samples`, and `boxes` with named fields."""
    found = _validate(_PageBoxes, content, where)
    _require_rows([*found.samples, *(box.sample for box in found.boxes)], subject, where)
    boxes = [
        _box_within(
            box.sample,
            box.name,
            (box.x, box.y, box.width, box.height),
            subject,
            f"{where}: box {place}",
        )
        for place, box in enumerate(found.boxes)
    ]
    seen = {*found.samples, *(box.sample for box in boxes)}
    return _ordered(subject.generator, "person", seen, boxes)


def write_boxes(path: Path, boxes: Boxes, subject: Subject) -> None:
    """Write boxes as COCO, atomically: a picture, a category, a box a line, in stable order."""
    names = sorted({box.name for box in boxes.boxes})
    categories = {name: number for number, name in enumerate(names, 1)}
    size = {"width": subject.width, "height": subject.height}
    content: dict[str, list[dict[str, Any]]] = {
        "images": [
            {"id": sample, "file_name": f"sample_{sample:04d}.png", **size}
            for sample in boxes.samples
        ],
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
        "annotations": [
            {
                "id": number,
                "image_id": box.sample,
                "category_id": categories[box.name],
                "bbox": [_plain(v) for v in (box.x, box.y, box.width, box.height)],
                "area": _plain(box.width * box.height),
                "iscrowd": 0,
            }
            for number, box in enumerate(boxes.boxes, 1)
        ],
    }
    info = {
        "description": f"Objects in the fixed samples of the generator of {subject.group}",
        "group": subject.group,
        "generator": boxes.generator,
        "picked_by": boxes.picked_by,
    }
    parts = [f'"info": {json.dumps(info, indent=2, ensure_ascii=False)}']
    for key, records in content.items():
        lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in records)
        parts.append(f'"{key}": [\n{lines}\n]' if lines else f'"{key}": []')
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_atomic(path) as stream:
        stream.write(("{\n" + ",\n".join(parts) + "\n}\n").encode())


def _ordered(
    generator: str, picked_by: PickedBy, samples: Iterable[int], boxes: Iterable[Box]
) -> Boxes:
    by_sample = sorted(boxes, key=lambda box: box.sample)
    return Boxes(generator, picked_by, tuple(sorted(set(samples))), tuple(by_sample))


def _rows_of_images(images: list[_Image], subject: Subject, where: str) -> dict[int, int]:
    """The row of fixed_z of every image id."""
    rows: dict[int, int] = {}
    for number, image in _by_id(images, "images", where).items():
        name = PurePosixPath(image.file_name.replace("\\", "/")).stem
        digits = re.search(r"([0-9]{1,9})$", name)
        if digits is None:
            raise UserError(
                f"{where}: {image.file_name!r:.60} does not end in the row of fixed_z, "
                "as sample_0017.png does"
            )
        row = int(digits[1])
        _require_rows([row], subject, f"{where}: {image.file_name!r:.60}")
        if row in rows.values():
            raise UserError(f"{where}: two images are sample {row}")
        if (image.height, image.width) != (subject.height, subject.width):
            raise UserError(
                f"{where}: {image.file_name!r:.60} is {image.width}x{image.height}, samples of "
                f"{subject.group} are {subject.width}x{subject.height}"
            )
        rows[number] = row
    return rows


def _box_within(
    sample: int, name: str, bbox: tuple[float, float, float, float], subject: Subject, where: str
) -> Box:
    """A box inside the picture and not too small; what rounding let out is cut off."""
    x, y, width, height = bbox
    right, bottom = x + width, y + height
    if (
        min(x, y) < -_ROUNDING
        or right > subject.width + _ROUNDING
        or bottom > subject.height + _ROUNDING
    ):
        corners = ", ".join(f"{value:.6g}" for value in (x, y, right, bottom))
        raise UserError(
            f"{where}: the box from ({corners}) leaves the picture of "
            f"{subject.width}x{subject.height} pixels"
        )
    left, top = round(max(x, 0), 2), round(max(y, 0), 2)
    # As it will stand in the file: what is kept is what is read again.
    within = (
        round(min(right, subject.width) - left, 2),
        round(min(bottom, subject.height) - top, 2),
    )
    if min(within) < SMALLEST_SIDE:
        raise UserError(
            f"{where}: a box of {width:.6g} x {height:.6g} pixels; "
            f"each side takes {SMALLEST_SIDE} at least"
        )
    return Box(sample, name, left, top, *within)


def _plain(value: float) -> float | int:
    """A whole number without its `.0`, anything else with at most two decimals."""
    rounded = round(value, 2)
    return int(rounded) if rounded == int(rounded) else rounded


# --- What both have in common ---------------------------------------------------------------


class _Lenient(BaseModel):
    """Values are strict, keys that we do not know are passed over."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


_ConceptName = Annotated[str, Field(pattern=f"^{CONCEPT_NAME.pattern}$")]
_ObjectName = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]+$")]


class _ConceptsFile(_Lenient):
    format: Literal[1]
    generator: str
    picked_by: PickedBy
    concepts: dict[_ConceptName, list[int]] = Field(max_length=_MOST_CONCEPTS)


class _Info(_Lenient):
    generator: str | None = None
    picked_by: PickedBy = "person"


class _Image(_Lenient):
    id: int
    file_name: str
    width: int
    height: int


class _Category(_Lenient):
    id: int
    name: _ObjectName


class _Annotation(_Lenient):
    image_id: int
    category_id: int
    # A list in JSON; a strict tuple would refuse it.
    bbox: Annotated[tuple[float, float, float, float], Field(strict=False)]


class _CocoFile(_Lenient):
    info: _Info = Field(default_factory=_Info)
    images: list[_Image]
    categories: list[_Category]
    annotations: list[_Annotation]


class _PageBox(_Lenient):
    sample: int
    name: _ObjectName
    x: float
    y: float
    width: float
    height: float


class _PageBoxes(_Lenient):
    samples: list[int]
    boxes: list[_PageBox]


Model = TypeVar("Model", bound=BaseModel)
Numbered = TypeVar("Numbered", _Image, _Category)


def _read(path: Path) -> bytes:
    """The bytes of a file that a person may have put there, of bounded size."""
    try:
        return read_regular(path, LARGEST_FILE)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path}: not readable ({error.strerror})") from None


def _load(path: Path) -> Any:
    """Parse a JSON file of bounded size, in which no object has a key twice."""
    return parse_json(_read(path), str(path))


def parse_json(content: bytes, where: str) -> Any:
    """Parse JSON; raise `UserError` where it is none or an object has a key twice."""
    try:
        return json.loads(content, object_pairs_hook=lambda pairs: _unique(pairs, where))
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON ({error})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not JSON ({str(error).splitlines()[0]:.80})") from None


def _unique(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{where}: {twice!r:.60} stands there twice")
    return found


def _validate(model: type[Model], content: Any, where: str) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if part != "[key]")
        key = key if key.isprintable() else repr(key)
        at = f"{where}: {key:.80}" if key else where
        if first["loc"][-1:] == ("[key]",):
            raise UserError(
                f"{at}: not a concept's name; a letter, then at most 39 letters, digits and _"
            ) from None
        found = "" if first["type"] == "missing" else f" (found {first['input']!r:.60})"
        raise UserError(f"{at}: {first['msg'][0].lower()}{first['msg'][1:]}{found}") from None


def _by_id(records: list[Numbered], key: str, where: str) -> dict[int, Numbered]:
    found = {record.id: record for record in records}
    if len(found) < len(records):
        ids = [record.id for record in records]
        twice = next(number for number in ids if ids.count(number) > 1)
        raise UserError(f"{where}: {key}: the id {twice} stands there twice")
    return found


def _require_rows(ids: Iterable[int], subject: Subject, where: str) -> None:
    for number in ids:
        if not 0 <= number < subject.samples:
            raise UserError(
                f"{where}: sample {number!s:.20} does not exist; "
                f"{subject.group} has 0 to {subject.samples - 1}"
            )


def _require_generator(found: str, subject: Subject, where: str) -> None:
    if found != subject.generator:
        raise UserError(
            f"{where}: made for generator {found:.12}, published is {subject.generator:.12}; "
            f"bring that one back (`dvc checkout models/{subject.group}/generator`), or move "
            f"the file away and pick anew with `dcgan annotate {subject.group}`"
        )
