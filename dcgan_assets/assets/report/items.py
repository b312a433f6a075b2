"""What the paper shows, as data: `paper.yaml`, read and checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from dcgan_assets.params.yaml_files import parse_yaml

PAPER_FILE = "paper.yaml"
TEMPLATES = ("page.html", "page.css", "page.js", "page.md")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shown(_Strict):
    """An asset that an item shows, and which of its pictures belong to it.

    Attributes:
        optional: Whether params.yaml may be without it, and nothing is missing then.
    """

    asset: str
    files: tuple[str, ...] = ("*.png",)
    optional: bool = False


class Headline(_Strict):
    """The row that stands for an item in the overview.

    Attributes:
        row: Pattern of the whole name.
    """

    asset: str
    row: str


class TableRow(_Strict):
    """A row of one of the paper's tables, or a control of ours.

    Attributes:
        paper: A cell a column as the paper prints it; None where it has none.
        also: The cell of the table's last column.
        ours: For each column `ASSET: PATTERN`, a result's row; None where nothing is measured.
    """

    model: str
    paper: tuple[str | None, ...] = ()
    also: str = ""
    ours: tuple[str | None, ...] = ()


class Table(_Strict):
    """One of the paper's tables.

    Attributes:
        columns: What is measured.
        measure: The word for it, of `engine.measures`; a row of ours that is another is marked.
        also: Heading of a last column that only the paper has.
    """

    caption: str
    columns: tuple[str, ...]
    measure: str
    also: str = ""
    rows: tuple[TableRow, ...]

    @model_validator(mode="after")
    def _cells(self) -> Table:
        for row in self.rows:
            if {len(row.paper), len(row.ours)} - {0, len(self.columns)}:
                raise ValueError(f"{row.model}: a cell a column, {len(self.columns)}, is needed")
        return self


class Claim(_Strict):
    """What the paper claims, as two numbers and which way they stand.

    Attributes:
        words: The claim.
        paper: What the paper has for it, in its numbers or words.
        asset: Whose result measures it.
        row: Pattern of the whole name; of several rows each is compared.
        holds: Whether the row is `lower` or `higher` than the other, by the paper.
        than: A bound, or `ASSET: PATTERN` of a control's row, in which backslash and 1 stand for
            what the group of `row` matched.
        papers_data: The bound is a number that the paper got on its own data.
    """

    words: str
    paper: str
    asset: str
    row: str
    holds: Literal["lower", "higher"]
    than: float | str
    papers_data: bool = False


class Item(_Strict):
    """A figure or a table. The fields are described at the top of paper.yaml."""

    id: str
    name: str
    v1: str = ""
    v2: str = ""
    section: str
    title: str
    about: str
    sizes: str = ""
    shows: tuple[Shown, ...]
    networks: tuple[str, ...] = ()
    pictures: str = ""
    headline: Headline | None = None
    table: Table | None = None
    claims: tuple[Claim, ...] = ()
    differs: tuple[str, ...] = ()


class Caption(_Strict):
    """Words under a picture, and words for who does not see it."""

    file: str
    words: str
    alt: str


class Paper(_Strict):
    """The whole of paper.yaml."""

    items: tuple[Item, ...]
    captions: dict[str, tuple[Caption, ...]]


@cache
def load_paper() -> Paper:
    """Read paper.yaml."""
    return Paper.model_validate(parse_yaml(own_text(PAPER_FILE), PAPER_FILE))


def own_text(name: str) -> str:
    """The text of a file beside this module."""
    return (resources.files(__package__) / name).read_text("utf-8")


@dataclass(frozen=True)
class Words:
    """What is said of one picture.

    Attributes:
        rank: Its place among the pictures of its asset.
    """

    rank: int
    words: str
    alt: str


def caption(key: str, file: str) -> Words:
    """What is said of a picture of an asset, whatever group it is of."""
    _, asset = key.split("/")
    stem = file.rsplit(".", maxsplit=1)[0]
    number = re.search(r"\d+$", stem)
    facts = {"name": stem, "epoch": str(int(number[0])) if number else ""}
    known = load_paper().captions.get(asset, ())
    for rank, one in enumerate(known):
        if fnmatchcase(file, one.file):
            return Words(rank, one.words.format(**facts), one.alt.format(**facts))
    return Words(len(known), f"{stem}.", f"{stem} of {key}")
