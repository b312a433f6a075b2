"""What the annotation server works on: one group's generator, and its two annotation files."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from dcgan_assets.annotate.files import (
    Concepts,
    Subject,
    boxes_path,
    check_boxes,
    check_concepts,
    concepts_path,
    read_boxes,
    read_concepts,
    revision,
    write_boxes,
    write_concepts,
)
from dcgan_assets.engine.published import PublishedGenerator
from dcgan_models.errors import UserError

if TYPE_CHECKING:  # torch, which bad input can do without
    from dcgan_assets.annotate.drawing import Drawing
    from dcgan_models.pixels import Pixels

SAMPLES_PER_PAGE = 32


class ConflictError(Exception):
    """The file or the generator changed behind the page's back."""


# --- What the page may ask to be drawn ------------------------------------------------------


class _Wish(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


_Name = Annotated[str, Field(max_length=40)]


class _Mean(_Wish):
    draw: Literal["mean"]
    concept: _Name


class _Arithmetic(_Wish):
    draw: Literal["arithmetic"]
    expression: str = Field(max_length=2_000)


class _Walk(_Wish):
    draw: Literal["walk"]
    start: int
    end: int


class _Turn(_Wish):
    draw: Literal["turn"]
    left: _Name
    right: _Name
    sample: int


_WISH: TypeAdapter[_Mean | _Arithmetic | _Walk | _Turn] = TypeAdapter(
    Annotated[_Mean | _Arithmetic | _Walk | _Turn, Field(discriminator="draw")]
)


# --- One group's annotations ----------------------------------------------------------------


@dataclass(frozen=True)
class Workbench:
    """What the server works on: a generator, and where its annotations go.

    Attributes:
        root: The workspace.
        subject: The generator that was published when the server started.
        drawing: Draws with it.
    """

    root: Path
    subject: Subject
    drawing: Drawing

    @classmethod
    def open(cls, root: Path, group: str) -> Workbench:
        """Open a group's published generator.

        Raises:
            UserError: None is published, it cannot draw, or the annotations that are there are
                not whole or were made for another one.
        """
        from dcgan_assets.annotate.drawing import Drawing

        published = PublishedGenerator.find(root, group)
        subject = Subject.of(group, published.version, published.network)
        bench = cls(root, subject, Drawing(published.network))
        bench.start()
        return bench

    def start(self) -> dict[str, Any]:
        """Everything that the page needs first: the subject, and what is on disk."""
        group = self.subject.group
        concepts, boxes = concepts_path(self.root, group), boxes_path(self.root, group)
        found: dict[str, Any] = {
            **asdict(self.subject),
            "per_page": SAMPLES_PER_PAGE,
            # Taken first: should a file change in between, saving is refused rather than it lost.
            "revisions": {"concepts": revision(concepts), "boxes": revision(boxes)},
            "concepts": {},
            "looked_at": [],
            "boxes": [],
        }
        if concepts.exists():
            found["concepts"] = dict(read_concepts(concepts, self.subject).picks)
        if boxes.exists():
            known = read_boxes(boxes, self.subject)
            found["looked_at"] = known.samples
            found["boxes"] = [asdict(box) for box in known.boxes]
        return found

    def save_concepts(self, content: Any, known: str) -> str:
        """Write all concepts; the new revision. `known` is the one that the page goes by."""
        path = concepts_path(self.root, self.subject.group)
        fresh = {
            "format": 1,
            "generator": self.subject.generator,
            "picked_by": "person",
            "concepts": content,
        }
        concepts = check_concepts(fresh, self.subject, "concepts")
        with self._unchanged(path, known):
            write_concepts(path, concepts, self.subject.group)
            return revision(path)

    def save_boxes(self, content: Any, known: str) -> str:
        """Write all boxes; the new revision. `known` is the one that the page goes by."""
        path = boxes_path(self.root, self.subject.group)
        boxes = check_boxes(content, self.subject, "boxes")
        with self._unchanged(path, known):
            write_boxes(path, boxes, self.subject)
            return revision(path)

    @contextmanager
    def _unchanged(self, path: Path, known: str) -> Iterator[None]:
        """A file stays at a revision while the block writes it: other servers wait.

        Raises:
            ConflictError: It is at another already, or another generator was published.
        """
        with _locked(path.parent):
            if revision(path) != known:
                raise ConflictError(f"{path.name} was changed by something else; reload this page")
            published = PublishedGenerator.find(self.root, self.subject.group)
            if published.version != self.subject.generator:
                raise ConflictError(
                    f"another generator of {self.subject.group} was published; "
                    f"stop and start `dcgan annotate {self.subject.group}`"
                )
            yield

    def page(self, number: int) -> Pixels:
        """A page of the fixed samples; raise `UserError` beyond the last."""
        first = number * SAMPLES_PER_PAGE
        if first >= self.subject.samples:
            raise UserError(f"page {number} does not exist")
        last = min(first + SAMPLES_PER_PAGE, self.subject.samples)
        return self.drawing.samples(first, last)

    def draw(self, content: Any) -> Pixels:
        """Draw what the page wishes, by the concepts as they stand on the page."""
        if not isinstance(content, dict):
            raise UserError("draw: an object is needed")
        try:
            wish = _WISH.validate_python(content.get("wish"))
        except ValidationError as error:
            first = error.errors()[0]
            raise UserError(f"draw: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        fresh = {
            "format": 1,
            "generator": self.subject.generator,
            "picked_by": "person",
            "concepts": content.get("concepts"),
        }
        concepts = check_concepts(fresh, self.subject, "concepts")
        return self._draw(wish, concepts)

    def _draw(self, wish: _Mean | _Arithmetic | _Walk | _Turn, concepts: Concepts) -> Pixels:
        match wish:
            case _Mean():
                return self.drawing.mean(wish.concept, concepts.picks)
            case _Arithmetic():
                return self.drawing.arithmetic(wish.expression, concepts.picks)
            case _Walk():
                return self.drawing.walk(self._row(wish.start), self._row(wish.end))
            case _Turn():
                sample = self._row(wish.sample)
                return self.drawing.turn(wish.left, wish.right, concepts.picks, sample)

    def _row(self, number: int) -> int:
        if not 0 <= number < self.subject.samples:
            raise UserError(f"sample {number!s:.20}: allowed are 0 to {self.subject.samples - 1}")
        return number


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder, which is made, against all who ask for the same; no file is left in it."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
