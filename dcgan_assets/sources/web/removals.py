"""The removal list: people and pictures that are to be left out, whoever asked for it.

A CSV file with the columns `address`, `sha256`, `person` and `comment`. Each row names one thing:
the address of a picture or of the page it is on, the SHA-256 of a picture's bytes, or the address
by which the table of people knows a person. Every asset asks it, so that a new row removes what
was kept before as soon as the assets are made again.
"""

from __future__ import annotations

import csv
import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dcgan_assets.sources.web.addresses import as_url, canonical
from dcgan_assets.sources.web.text import clean
from dcgan_models.errors import UserError
from dcgan_models.files import open_text

COLUMNS = ("address", "sha256", "person", "comment")
_KINDS = COLUMNS[:3]
_SHA256 = re.compile(r"[0-9a-f]{64}")


def canonical_address(address: str) -> str:
    """An address in the one form in which two spellings of it are compared.

    As the downloader's `canonical`, and coarser: http and https are the same. It is for comparing
    only: what is fetched is the address as it was given. Any text has such a form.
    """
    # Halves of surrogate pairs as the ledger has them.
    whole = address.encode("utf-8", "replace").decode()
    text = unicodedata.normalize("NFC", whole.strip())
    try:
        url = as_url(text)
        known = url.scheme in ("http", "https") and url.raw_host
        return canonical(url).removeprefix(f"{url.scheme}:") if known else text
    except ValueError:
        return text


@dataclass(frozen=True)
class RemovalList:
    """What is to be left out.

    Attributes:
        lines: The line of the file by kind and canonical form.
    """

    lines: dict[tuple[str, str], int] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> RemovalList:
        """Read and check the list.

        Raises:
            UserError: It is missing, or a row is not one line that names exactly one thing in the
                right form.
        """
        try:
            with open_text(path) as stream:
                return cls(_lines(csv.DictReader(stream, restkey="more", strict=True), path))
        except FileNotFoundError:
            raise UserError(f"{path} is missing; it may hold `{','.join(COLUMNS)}` alone") from None
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{path}: cannot be read as CSV in UTF-8 ({error})") from error

    @property
    def version(self) -> str:
        """Hash of what is to be left out; comments and order do not count."""
        text = "\n".join(f"{kind}\0{value}" for kind, value in sorted(self.lines))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def match(
        self,
        *,
        addresses: Iterable[str | None] = (),
        sha256: str | None = None,
        people: Iterable[str | None] = (),
    ) -> str | None:
        """Why a row is left out: 'removed: person (line 4 of the removal list)', or None.

        Args:
            addresses: All that lead to the picture: its own, its original's, its page's.
            sha256: Hex digest of the picture's bytes.
            people: All addresses of the person.
        """
        if not self.lines:  # of a million rows, each has three addresses to write in one form
            return None
        asked = [("person", person) for person in people if person]
        asked += [("address", canonical_address(address)) for address in addresses if address]
        if sha256:
            asked.append(("sha256", sha256.lower()))
        for key in asked:
            if key in self.lines:
                return f"removed: {key[0]} (line {self.lines[key]} of the removal list)"
        return None


def _lines(rows: csv.DictReader[str], path: Path) -> dict[tuple[str, str], int]:
    names = tuple(rows.fieldnames or ())
    if sorted(names) != sorted(COLUMNS):
        raise UserError(
            f"{path}: the first line is {clean(','.join(names))[:80]!r}; "
            f"{','.join(COLUMNS)} is expected"
        )
    found: dict[tuple[str, str], int] = {}
    for row in rows:
        where = f"{path}, line {rows.line_num}"
        # An open quote would take the rows below it for its own, and nobody would be removed.
        if any(end in (cell or "") for cell in row.values() for end in "\r\n"):
            raise UserError(f"{where}: a row is one line, its comment too; a quote may be open")
        given = [(kind, (row[kind] or "").strip()) for kind in _KINDS]
        given = [(kind, value) for kind, value in given if value]
        if len(given) != 1 or "more" in row:
            raise UserError(f"{where}: exactly one of {', '.join(_KINDS)} is expected in a row")
        kind, value = given[0]
        found.setdefault((kind, _form(kind, value, where)), rows.line_num)
    return found


def _form(kind: str, value: str, where: str) -> str:
    """The value as it is compared.

    Raises:
        UserError: It is no such thing.
    """
    if kind == "sha256":
        if not _SHA256.fullmatch(value.lower()):
            raise UserError(f"{where}: {value[:80]!r} is no SHA-256, 64 hexadecimal digits are")
        return value.lower()
    if ":" not in value or any(character.isspace() for character in value):
        raise UserError(
            f"{where}: {kind} {value[:80]!r} is no address; it is written as in the tables, "
            "with its scheme"
        )
    return canonical_address(value) if kind == "address" else unicodedata.normalize("NFC", value)
