"""People (or albums) that the user lists: a CSV or Parquet table, or a folder's sub-folders."""

from __future__ import annotations

import csv
import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from dcgan_assets.sources.web.text import clean
from dcgan_models.errors import UserError
from dcgan_models.files import is_system_file, open_text
from dcgan_models.tables import arrow_words, open_parquet

COLUMNS = ("uri", "name", "birth_date", "sitelinks", "wikidata")
_BATCH = 1 << 14


class Person(NamedTuple):
    """One input of `people`, as a source gives it.

    Attributes:
        uri: The key: names collide. Where a list has none, it is made from the name.
        name: NFC, on one line; empty where the source has none.
        birth_date: None where there is none, or where `problem` says what is wrong with it.
        sitelinks: Wikis that have a page about the person; None where that is not known.
        wikidata: Address of the person's Wikidata item.
        problem: Why it cannot be used.
    """

    uri: str
    name: str
    birth_date: dt.date | None
    sitelinks: int | None
    wikidata: str | None
    source: str
    problem: str | None = None


def listed_people(path: Path) -> Iterator[Person]:
    """The people of a CSV or Parquet file, in its order.

    The column `name` is needed; `uri`, `birth_date` (YYYY-MM-DD), `sitelinks` and `wikidata` are
    used when they are there, others are not.

    Raises:
        UserError: The file cannot be read or has no column `name`.
    """
    rows = _parquet_rows(path) if path.suffix.lower() == ".parquet" else _csv_rows(path)
    for row in rows:
        yield _person(row)


def folder_people(folder: Path) -> Iterator[Person]:
    """A person for each sub-folder, sorted; the picture source `folder` finds them there.

    Raises:
        UserError: The folder cannot be listed, or has no sub-folders.
    """
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and not is_system_file(entry.name)
            )
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be listed ({error.strerror}); a folder of sub-folders is expected"
        ) from error
    if not names:
        raise UserError(f"{folder}: no sub-folders found; one for each person is expected")
    for name in names:
        yield Person(uri_of_name(name), clean(name), None, None, None, "folder")


def uri_of_name(name: str) -> str:
    """The key of somebody of whom only the name is known."""
    return f"name:{quote(clean(name), safe='')}"


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with open_text(path) as stream:
            rows = csv.DictReader(stream)
            _require_name(rows.fieldnames or (), path)
            yield from rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as CSV in UTF-8 ({error})") from error


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with open_parquet(path) as table:
            names = table.schema_arrow.names
            _require_name(names, path)
            used = [name for name in COLUMNS if name in names]
            for batch in table.iter_batches(_BATCH, columns=used):
                yield from batch.to_pylist()
    except (OSError, ValueError) as error:
        problem = arrow_words(error)[:120]
        raise UserError(f"{path}: cannot be read as Parquet ({problem})") from error


def _require_name(names: Any, path: Path) -> None:
    if "name" not in names:
        raise UserError(
            f"{path}: has no column `name`; found: {clean(', '.join(names))[:120] or 'none'}"
        )


def _person(row: dict[str, Any]) -> Person:
    name = clean(str(row.get("name") or ""))
    uri = clean(str(row.get("uri") or "")) or uri_of_name(name)
    item = clean(str(row.get("wikidata") or "")) or None
    birth, problem = birth_date(row.get("birth_date"))
    return Person(uri, name, birth, whole_number(row.get("sitelinks")), item, "file", problem)


def whole_number(value: Any) -> int | None:
    """A count from what a table or endpoint has; None for anything else."""
    digits = str(value).strip()
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 10 else None


def birth_date(value: Any) -> tuple[dt.date | None, str | None]:
    """A date from what a table or endpoint has, and what is wrong with it.

    Both endpoints have malformed ones: '-0001-11-30', '1950-00-00', whole times of day.
    """
    if value is None or value == "":
        return None, None
    try:
        return dt.date.fromisoformat(str(value)[:10]), None
    except ValueError:
        return None, f"birth date not understood: {clean(str(value))[:40]}"
