"""The tables of `image_urls`: a row for every picture found, kept or with the reason why not."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from dcgan_assets.sources.reading.manifest import KEPT, REJECTED, column
from dcgan_assets.sources.reading.shard_files import Row
from dcgan_assets.sources.web.licences import LicenceFilter
from dcgan_assets.sources.web.removals import RemovalList, canonical_address
from dcgan_assets.sources.web.search.found import FoundPicture, Subject
from dcgan_assets.sources.web.search.picture_folder import SCHEME

_LONGEST_ADDRESS = 4096
_LARGEST_SIDE = 1 << 30


ADDRESS_SCHEMA = pa.schema(
    [
        column("person_uri", pa.string(), "Key in the table of people."),
        column("person", pa.string(), "The name that was looked for."),
        column("search", pa.string(), "The service and its kind of query."),
        column("rank", pa.int32(), "Place among the person's pictures, from 0."),
        column("page", pa.string(), "Address of the page about the picture.", nullable=True),
        column("address", pa.string(), "Where to fetch it, as it was given."),
        column(
            "original",
            pa.string(),
            "Where its original is, if `address` is a smaller copy.",
            nullable=True,
        ),
        column("licence", pa.string(), "Short name, or 'unstated'."),
        column("licence_url", pa.string(), "Address of the licence's text.", nullable=True),
        column("author", pa.string(), "Who made it, or 'unstated'."),
        column("attribution", pa.string(), "Whom to name, or 'unstated'."),
        column(
            "restrictions",
            pa.string(),
            "Other rights its page warns of: personality.",
            nullable=True,
        ),
        column("sha1", pa.string(), "Hex SHA-1 of the original's bytes, as stated.", nullable=True),
        column("width", pa.int32(), "Of the original, in pixels, as stated.", nullable=True),
        column("height", pa.int32(), "Of the original, in pixels, as stated.", nullable=True),
        column("mime", pa.string(), "Of the original, as stated.", nullable=True),
        column("status", pa.string(), "'kept' or 'rejected'."),
        column("reason", pa.string(), "Why it was rejected. Null when kept.", nullable=True),
    ],
    metadata={"description": "One row for each picture that a search has found."},
)
SEARCH_SCHEMA = pa.schema(
    [
        column("person_uri", pa.string(), "Key in the table of people."),
        column("person", pa.string(), "The name that was looked for."),
        column("search", pa.string(), "The service."),
        column("found", pa.int32(), "Pictures it gave."),
        column(
            "status",
            pa.string(),
            "'kept', or 'rejected' when not searched to its end.",
            nullable=True,
        ),
        column("reason", pa.string(), "Why not. Null when kept.", nullable=True),
    ],
    metadata={"description": "One row for each search of each person."},
)


class AddressRows:
    """Rows of pictures, each kept or with the reason why not.

    Addresses are remembered as hashes of 16 bytes: a million take some hundred megabytes.
    """

    def __init__(self, licences: LicenceFilter, removals: RemovalList) -> None:
        self._licences = licences
        self._removals = removals
        self._seen: set[bytes] = set()
        self.kept = 0
        self.reasons: Counter[str] = Counter()
        self.licences: Counter[str] = Counter()

    def of(self, subject: Subject, pictures: list[list[Any]], rank: int) -> Iterator[Row]:
        """The rows of one search, in the order of `ADDRESS_SCHEMA`."""
        for number, values in enumerate(pictures, rank):
            picture = FoundPicture(*values)
            reason = self._refusal(subject, picture)
            if reason is None:
                self.kept += 1
                self.licences[picture.licence] += 1
            else:
                self.reasons[reason.partition(":")[0]] += 1
            row = {
                "person_uri": subject.uri,
                "person": subject.name,
                "rank": number,
                **_sized(picture)._asdict(),
                "address": picture.address or "",
                "status": REJECTED if reason else KEPT,
                "reason": reason,
            }
            yield tuple(row[name] for name in ADDRESS_SCHEMA.names)

    def _refusal(self, subject: Subject, picture: FoundPicture) -> str | None:
        places = (picture.address, picture.original, picture.page)
        return (
            _unfit(picture.address)
            or self._removals.match(addresses=places, people=(subject.uri, subject.wikidata))
            or self._licences.refusal(picture.licence)
            or self._duplicate(picture)
        )

    def _duplicate(self, picture: FoundPicture) -> str | None:
        marks = [(canonical_address(picture.address), "address found already")]
        if picture.sha1:
            marks.append((f"sha1 {picture.sha1.lower()}", "the same file found already"))
        digests = [hashlib.blake2b(mark.encode(), digest_size=16).digest() for mark, _ in marks]
        for digest, (_, reason) in zip(digests, marks, strict=True):
            if digest in self._seen:
                return reason
        self._seen.update(digests)
        return None


def _unfit(address: str | None) -> str | None:
    """Why an address cannot be one of a picture, if it cannot."""
    if not address or len(address) > _LONGEST_ADDRESS or " " in address:
        return "no address"
    if address.startswith(SCHEME):
        return None
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    return None if usable else "address not http or https"


def _sized(picture: FoundPicture) -> FoundPicture:
    """The picture without sides that are no sizes."""
    sides = (picture.width, picture.height)
    if all(side is None or 0 < side < _LARGEST_SIDE for side in sides):
        return picture
    return picture._replace(width=None, height=None)
