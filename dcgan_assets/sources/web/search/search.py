"""The asset `image_urls`: where pictures of each person (or album) are found, and under what terms.

Every picture found is a row of `image_urls.parquet`, kept or rejected: licence, author and
attribution travel with it from here to the end. Every search of every person is a row of
`searches.parquet`. A run that is killed goes on where it was; each finished search is on disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from dcgan_assets.sources.reading.items import UNSTATED
from dcgan_assets.sources.reading.manifest import KEPT, REJECTED
from dcgan_assets.sources.reading.shard_files import Row, TableFile
from dcgan_assets.sources.web.licences import LicenceFilter
from dcgan_assets.sources.web.removals import RemovalList
from dcgan_assets.sources.web.removed_rows import forget_removed
from dcgan_assets.sources.web.search.address_table import ADDRESS_SCHEMA, SEARCH_SCHEMA, AddressRows
from dcgan_assets.sources.web.search.answers import ApiError, Breaker
from dcgan_assets.sources.web.search.client import ApiClient, Manners
from dcgan_assets.sources.web.search.commons import COMMONS_ENDPOINT, CommonsSearch
from dcgan_assets.sources.web.search.covers import (
    COVERS_ENDPOINT,
    MUSICBRAINZ_ENDPOINT,
    CoverSearch,
)
from dcgan_assets.sources.web.search.found import ImageSearch, Subject
from dcgan_assets.sources.web.search.journal import Journal
from dcgan_assets.sources.web.search.people import PEOPLE_FILE
from dcgan_assets.sources.web.search.picture_folder import FolderSearch
from dcgan_assets.sources.web.text import clean
from dcgan_models.errors import UserError

ADDRESSES_FILE = "image_urls.parquet"
SEARCHES_FILE = "searches.parquet"
_LOG = logging.getLogger(__name__)
_REPORT_EVERY = 100

Say = Callable[[str], None]
# Of a search: its problem, if it had one, and the fields of the pictures that it found.
Piece = dict[str, Any]


@dataclass(frozen=True)
class Searching:
    """How pictures are looked for.

    Attributes:
        searches: Of 'commons', 'covers' and 'folder', in this order.
        manners: Who asks, and how; not needed for a folder.
        most: Pictures of a person from one search, at most.
        licences: Accepted ones, as `LicenceFilter.of` reads them.
        width: Of Commons' thumbnails.
        folder, folder_licence, folder_attribution, folder_terms, workspace: Of the search 'folder'.
        failures: Failed searches in a row after which a service is taken to be gone.
    """

    searches: tuple[str, ...]
    manners: Manners | None = None
    most: int = 300
    licences: tuple[str, ...] = ("any",)
    width: int = 960
    folder: Path | None = None
    folder_licence: str = UNSTATED
    folder_attribution: str = UNSTATED
    folder_terms: Path | None = None
    workspace: Path | None = None
    failures: int = 5
    commons_endpoint: str = COMMONS_ENDPOINT
    musicbrainz_endpoint: str = MUSICBRAINZ_ENDPOINT
    covers_endpoint: str = COVERS_ENDPOINT

    def identity(self) -> dict[str, Any]:
        """What decides what a search finds; a journal of other searches is of no use."""
        return {
            "searches": self.searches,
            "most": self.most,
            "width": self.width,
            "folder": str(self.folder),
            "endpoints": [
                self.commons_endpoint,
                self.musicbrainz_endpoint,
                self.covers_endpoint,
            ],
        }


@dataclass(frozen=True)
class SearchReport:
    """What was found.

    Attributes:
        people: Those who were looked for.
        kept, rejected: Pictures; together all that were found.
        reasons: Rejected pictures by kind of reason (what stands before the colon).
        licences: Kept pictures by licence.
        failed: Searches that did not come to their end, by reason.
    """

    people: int
    kept: int
    rejected: int
    reasons: dict[str, int]
    licences: dict[str, int]
    failed: dict[str, int]


def subjects_of(people: Path) -> list[Subject]:
    """The people kept by the asset `people`, by rank.

    Args:
        people: Its folder.
    """
    columns = ["uri", "name", "wikidata"]
    table = pq.read_table(people / PEOPLE_FILE, columns=columns, filters=[("status", "=", KEPT)])
    return [Subject(*values) for values in zip(*table.to_pydict().values(), strict=True)]


def gather_addresses(
    subjects: Sequence[Subject],
    searching: Searching,
    removals: RemovalList,
    work: Path,
    folder: Path,
    say: Say = _LOG.info,
) -> SearchReport:
    """Write `image_urls.parquet` and `searches.parquet`.

    Args:
        subjects: In the order in which they matter: of two rows with one address the first stays.
        work: Folder in which a killed run left what it had; it goes on from there.
        folder: Where the files go.
        say: Gets a line now and then.

    Raises:
        UserError: A contact or folder is missing or wrong, or a service is gone. What was found
            stays in `work`.
    """
    journal = Journal(work / "searches.jsonl", searching.identity())
    wanted = [
        subject
        for subject in subjects
        if not removals.match(people=(subject.uri, subject.wikidata))
    ]
    asyncio.run(_search_all(wanted, searching, journal, say))
    rows = AddressRows(LicenceFilter.of(searching.licences), removals)
    failed: Counter[str] = Counter()
    with (
        TableFile(folder / ADDRESSES_FILE, ADDRESS_SCHEMA, forget_removed) as addresses,
        TableFile(folder / SEARCHES_FILE, SEARCH_SCHEMA, forget_removed) as searches,
    ):
        for subject in subjects:
            rank = 0
            for name in searching.searches:
                piece = _piece(journal, name, subject, removals)
                if piece["problem"]:
                    failed[piece["problem"]] += 1
                searches.add([_search_row(subject, name, piece)])
                addresses.add(rows.of(subject, piece["pictures"], rank))
                rank += len(piece["pictures"])
    return SearchReport(
        len(subjects),
        rows.kept,
        sum(rows.reasons.values()),
        dict(sorted(rows.reasons.items())),
        dict(rows.licences.most_common()),
        dict(sorted(failed.items())),
    )


async def _search_all(
    subjects: Sequence[Subject], searching: Searching, journal: Journal, say: Say
) -> None:
    """Put every search of every subject into the journal."""
    async with AsyncExitStack() as stack:
        client = None
        if set(searching.searches) - {"folder"}:
            manners = searching.manners or Manners(contact="")
            client = await stack.enter_async_context(ApiClient(manners))
        searches = [_search(name, client, searching) for name in searching.searches]
        todo = [
            (number, subject, search)
            for number, subject in enumerate(subjects, 1)
            for search in searches
            if _key(search.name, subject) not in journal
        ]
        advice = "what was found is kept, run again to go on"
        rows = {s.name: _InARow(journal, Breaker(searching.failures, advice)) for s in searches}
        for number, subject, search in todo:
            await rows[search.name].run(search, subject, searching.most)
            if number % _REPORT_EVERY == 0 and search is searches[-1]:
                say(f"{number:,} of {len(subjects):,} people looked for")
        for row in rows.values():
            row.keep_failures()


def _search(name: str, client: ApiClient | None, searching: Searching) -> ImageSearch:
    """A search by its name; its addresses are checked before anything is fetched."""
    if name == "folder" and searching.folder is not None:
        return FolderSearch(
            searching.folder,
            searching.folder_licence,
            searching.folder_attribution,
            searching.folder_terms,
            searching.workspace,
        )
    if client is not None and name == "commons":
        return CommonsSearch(client, searching.width, _checked("commons_endpoint", searching))
    if client is not None and name == "covers":
        return CoverSearch(
            client,
            _checked("musicbrainz_endpoint", searching),
            _checked("covers_endpoint", searching),
        )
    raise UserError(f"search {name!r}: allowed are commons, covers, and folder with a path")


def _checked(setting: str, searching: Searching) -> str:
    address: str = getattr(searching, setting)
    return searching.manners.endpoint(address, setting) if searching.manners else address


class _InARow:
    """The searches of one service, and its failures since it last worked.

    Failures are final only when the service works again afterwards: if it is gone, they are not
    the subjects' fault, and a later run tries them again.
    """

    def __init__(self, journal: Journal, breaker: Breaker) -> None:
        self._journal = journal
        self._breaker = breaker
        self._failed: list[tuple[str, Piece]] = []

    async def run(self, search: ImageSearch, subject: Subject, most: int) -> None:
        """Search for one subject.

        Raises:
            UserError: The service cannot be used any further.
        """
        pictures: list[list[Any]] = []
        key = _key(search.name, subject)
        try:
            async for picture in search.search(subject, most):
                pictures.append([_plain(value) for value in picture])
        except ApiError as error:
            self._failed.append((key, {"problem": clean(str(error)), "pictures": pictures}))
            self._breaker.failed(error)
        else:
            self._breaker.worked()
            self.keep_failures()
            self._journal.write(key, {"problem": None, "pictures": pictures})

    def keep_failures(self) -> None:
        """Let the failures so far stand."""
        for key, piece in self._failed:
            self._journal.write(key, piece)
        self._failed.clear()


def _plain(value: Any) -> Any:
    """A field as any table can hold it, whatever a service put into its JSON."""
    if value is None or isinstance(value, int):
        return value
    return clean(str(value)) or None


def _key(search: str, subject: Subject) -> str:
    return f"{search} {subject.uri} {subject.name}"


def _piece(journal: Journal, search: str, subject: Subject, removals: RemovalList) -> Piece:
    """What a search has found; nothing where the person is on the removal list."""
    reason = removals.match(people=(subject.uri, subject.wikidata))
    if reason is not None:
        return {"problem": reason, "pictures": []}
    piece: Piece = journal.read(_key(search, subject))
    return piece


def _search_row(subject: Subject, name: str, piece: Piece) -> Row:
    reason = piece["problem"]
    status = REJECTED if reason else KEPT
    return subject.uri, subject.name, name, len(piece["pictures"]), status, reason
