"""Sections of params.yaml about pictures from the web: whose, found where, and fetched how."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from dcgan_assets.params.base import Count, Positive, Section
from dcgan_assets.params.faces import FacePhotographs
from dcgan_assets.sources.drawn.people_files import PEOPLE_FOLDER, PICTURES_FILE
from dcgan_assets.sources.reading.items import UNSTATED
from dcgan_assets.sources.web.contact import check_contact
from dcgan_assets.sources.web.search.found import THUMBNAIL_WIDTHS
from dcgan_assets.sources.web.wanted import Limits
from dcgan_models.errors import UserError

# Every process reads params.yaml; what speaks HTTP is imported where it is used.
if TYPE_CHECKING:
    from dcgan_assets.sources.web.search.client import Manners
    from dcgan_assets.sources.web.search.people import Web
    from dcgan_assets.sources.web.search.search import Searching

_ADULT_YEARS = 18
WEB_SEARCHES = frozenset({"commons", "covers"})


class Operator(Section):
    """Who sends requests to servers, and how often. Never part of a code version.

    Attributes:
        contact: Mail address or web page at which the operators of servers can reach the user.
            There is no default; nothing is fetched while it is empty.
        pause: Least seconds between two requests to one API.
    """

    contact: str = ""
    pause: Positive = 1.0

    def require_contact(self) -> str:
        """The contact, checked before anything is fetched.

        Raises:
            UserError: It is missing, a placeholder, or no mail address or web page.
        """
        try:
            return check_contact(self.contact)
        except ValueError as error:
            raise UserError(f"params.yaml: operator: {error}") from None

    def manners(self) -> Manners:
        """Contact and pause, as the API client takes them."""
        from dcgan_assets.sources.web.search.client import Manners

        return Manners(self.contact, self.pause)


class People(Section):
    """The people whose pictures are looked for (section 4.2).

    Attributes:
        source: `wikidata`, `dbpedia` or `both` are asked over SPARQL; `list` is a CSV or Parquet
            file with a column `name`; `folder` takes the names of sub-folders; `packaged` are
            made-up names, and photographs of drawn people before packaged photographs.
        path: Where the list or folder lies, relative to the workspace.
        count: How many are kept, by how many wikis have a page about them.
        born_after, born_before: The first birth date and the one before which the last lies. All
            must be adults today.
        least_sitelinks: Wikis that must have a page about a person, with Wikidata.
        packaged: With `source: packaged`, how many names, and photographs of each.
    """

    source: Literal["wikidata", "dbpedia", "both", "list", "folder", "packaged"]
    path: str | None = None
    count: Count
    born_after: dt.date | None = None
    born_before: dt.date | None = None
    least_sitelinks: Count = 15
    packaged: FacePhotographs | None = None

    @model_validator(mode="after")
    def _of_its_source(self) -> Self:
        if (self.source == "packaged") != (self.packaged is not None):
            raise ValueError("`packaged` is needed with `source: packaged`, and only there")
        listed = self.source in ("list", "folder")
        if listed != (self.path is not None):
            raise ValueError("`path` is needed with `source: list` or `folder`, and only there")
        dates = (self.born_after, self.born_before)
        if not self.asks_the_web and any(dates):
            raise ValueError("`born_after` and `born_before` go with SPARQL sources")
        if self.asks_the_web:
            self._born()
        return self

    @property
    def asks_the_web(self) -> bool:
        """Whether the names are asked for over SPARQL."""
        return self.source in ("wikidata", "dbpedia", "both")

    def _born(self) -> tuple[dt.date, dt.date]:
        """Both dates.

        Raises:
            ValueError: One is missing, they are in the wrong order, or children would be found.
        """
        first, last = self.born_after, self.born_before
        if first is None or last is None or first >= last:
            raise ValueError("`born_after` and a later `born_before` are needed, as YYYY-MM-DD")
        if last > _last_adult_birthday():
            raise ValueError(
                f"`born_before` is {last}, which lets children in; "
                f"{_last_adult_birthday()} is the latest today"
            )
        return first, last

    def origin(self, workspace: Path, operator: Operator) -> Web | Path:
        """Where `gather_people` reads names: what to ask the web, or a file or folder."""
        from dcgan_assets.sources.web.search.people import Web

        if self.path is not None:
            return workspace / self.path
        first, last = self._born()
        sources = ("wikidata", "dbpedia") if self.source == "both" else (self.source,)
        return Web(sources, operator.manners(), first, last, self.least_sitelinks)


def _last_adult_birthday() -> dt.date:
    today = dt.date.today()
    return dt.date(today.year - _ADULT_YEARS, today.month, min(today.day, 28))


class PictureFolder(Section):
    """A folder of the user's own pictures: a sub-folder for each name.

    Attributes:
        path: Relative to the workspace.
        licence, attribution: What holds for all its pictures.
    """

    path: str
    licence: str = UNSTATED
    attribution: str = UNSTATED


class ImageUrls(Section):
    """Where pictures of people (or albums) are looked for, and which are taken.

    Attributes:
        searches: `commons` is Wikimedia Commons, `covers` the Cover Art Archive, `folder` the
            user's own pictures, `packaged` those that `people` has made with `source: packaged`.
        most: Pictures of a person from one search, at most.
        licences: Accepted ones by kind, 'CC BY-SA'; versions do not count. `any` takes all.
        width: Of Commons' thumbnails, one that it serves.
        folder: With `folder` among the searches.
    """

    searches: Annotated[
        tuple[Literal["commons", "covers", "folder", "packaged"], ...],
        Field(min_length=1),
    ]
    most: Count = 300
    licences: Annotated[tuple[str, ...], Field(min_length=1)]
    width: int = 960
    folder: PictureFolder | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(set(self.searches)) < len(self.searches):
            raise ValueError(f"`searches` names one twice: {', '.join(self.searches)}")
        if len(self.searches) > 1 and not WEB_SEARCHES.issuperset(self.searches):
            raise ValueError("`folder` and `packaged` stand alone among the searches")
        if ("folder" in self.searches) != (self.folder is not None):
            raise ValueError("`folder` is needed with `folder` among the searches, and only there")
        if self.width not in THUMBNAIL_WIDTHS:
            raise ValueError(
                f"`width` is {self.width}; allowed: {', '.join(map(str, THUMBNAIL_WIDTHS))}"
            )
        return self

    @property
    def asks_the_web(self) -> bool:
        """Whether any of the searches is of the web."""
        return bool(set(self.searches) & WEB_SEARCHES)

    def pictures(self, workspace: Path, people: Path) -> Path | None:
        """The folder of pictures on this machine that is searched, if one is.

        Args:
            people: Folder of the asset `people`.
        """
        if self.folder is not None:
            return workspace / self.folder.path
        return people / PEOPLE_FOLDER if "packaged" in self.searches else None

    def searching(self, workspace: Path, people: Path, operator: Operator) -> Searching:
        """The searches and their settings, as `gather_addresses` takes them."""
        from dcgan_assets.sources.web.search.search import Searching

        folder = self.pictures(workspace, people)
        if folder is None:
            return Searching(
                self.searches, operator.manners(), self.most, self.licences, self.width
            )
        own = self.folder or PictureFolder(path="")
        return Searching(
            ("folder",),
            most=self.most,
            licences=self.licences,
            folder=folder,
            folder_licence=own.licence,
            folder_attribution=own.attribution,
            folder_terms=None if self.folder else people / PICTURES_FILE,
            workspace=workspace,
        )


Delay = Annotated[float, Field(ge=0, strict=True)]


class Photos(Section):
    """How pictures are downloaded: how many at once, how patiently, and up to which size.

    Attributes:
        shards: Parts that are made one by one, each in a run of its own.
        max_megabytes: Longest answer, in millions of bytes.
        concurrency, per_site, delay, site_megabits, connect, deadline, tries: As `Limits` has
            them.
    """

    shards: Annotated[int, Field(ge=1, le=99, strict=True)]
    concurrency: Annotated[int, Field(ge=1, le=256, strict=True)] = Limits.concurrency
    per_site: Annotated[int, Field(ge=1, le=16, strict=True)] = Limits.per_site
    delay: Delay = Limits.delay
    site_megabits: Positive = 20.0  # tests of the downloader have none
    connect: Positive = Limits.connect
    deadline: Positive = Limits.deadline
    max_megabytes: Positive = Limits.max_bytes / 1e6
    tries: Count = Limits.tries

    def identity(self) -> dict[str, Any]:
        """What decides which pictures there are: not who asks, how fast, and how patiently."""
        return {"shards": self.shards, "max_megabytes": self.max_megabytes}

    def limits(self, contact: str) -> Limits:
        """The section as the downloader takes it; `contact` is the operator's own."""
        return Limits(
            contact=contact,
            concurrency=self.concurrency,
            per_site=self.per_site,
            delay=self.delay,
            site_megabits=self.site_megabits,
            connect=self.connect,
            deadline=self.deadline,
            max_bytes=int(self.max_megabytes * 1e6),
            tries=self.tries,
        )


class Search(Section):
    """The search for pictures by name, which faces and album covers have in common.

    Attributes:
        removals: CSV of people and pictures that are to be left out, relative to the workspace.
            Every step from names to faces reads it; it may hold its first line alone.
    """

    removals: str
    people: People
    image_urls: ImageUrls
    photos: Photos

    @model_validator(mode="after")
    def _packaged_throughout(self) -> Self:
        if (self.people.source == "packaged") != ("packaged" in self.image_urls.searches):
            raise ValueError(
                "people.source and image_urls.searches are both `packaged`, or neither is"
            )
        return self

    @property
    def asks_the_web(self) -> bool:
        """Whether names or pictures are asked for, which needs the operator's contact."""
        return self.people.asks_the_web or self.image_urls.asks_the_web

    def found(self, root: Path) -> str:
        """Where names and pictures are looked for, and how much is to be left out."""
        from dcgan_assets.sources.web.removals import RemovalList

        folder = self.image_urls.folder
        for path in (self.people.path, folder.path if folder else None):
            if path is not None and not (root / path).exists():
                raise UserError(f"{root / path} is missing")
        removed = len(RemovalList.read(root / self.removals).lines)
        searches = ", ".join(self.image_urls.searches)
        where = f"names: {self.people.source}; pictures: {searches}"
        return f"{where}; {removed} on the removal list"
