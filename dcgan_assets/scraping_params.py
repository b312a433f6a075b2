"""Sections of params.yaml about people and where pictures of them are found."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from dcgan_assets.scraping.found import THUMBNAIL_WIDTHS
from dcgan_assets.sections import Count, Positive, Section
from dcgan_assets.sources.items import UNSTATED

# Every process reads params.yaml; what speaks HTTP is imported where it is used.
if TYPE_CHECKING:
    from dcgan_assets.scraping.client import Manners
    from dcgan_assets.scraping.people import Web
    from dcgan_assets.scraping.search import Searching

_ADULT_YEARS = 18


class Operator(Section):
    """Who asks, and how. Never part of a code version.

    Attributes:
        contact: Mail address or web page at which the operators of servers can reach the user.
            There is no default; nothing is fetched while it is empty.
        pause: Least seconds between two requests to one API.
    """

    contact: str = ""
    pause: Positive = 1.0

    def manners(self) -> Manners:
        """As the API client takes them."""
        from dcgan_assets.scraping.client import Manners

        return Manners(self.contact, self.pause)


class People(Section):
    """Whose pictures are looked for (section 4.2).

    Attributes:
        source: `wikidata`, `dbpedia` or `both` are asked over SPARQL; `list` is a CSV or Parquet
            file with a column `name`; `folder` takes the names of sub-folders.
        path: Of list or folder, relative to the workspace.
        count: How many are kept, by how many wikis have a page about them.
        born_after, born_before: The first birth date and the one before which the last lies. All
            must be adults today.
        least_sitelinks: Of people on Wikidata.
    """

    source: Literal["wikidata", "dbpedia", "both", "list", "folder"]
    path: str | None = None
    count: Count
    born_after: dt.date | None = None
    born_before: dt.date | None = None
    least_sitelinks: Count = 15

    @model_validator(mode="after")
    def _of_its_source(self) -> Self:
        local = self.source in ("list", "folder")
        if local != (self.path is not None):
            raise ValueError("`path` is needed with `source: list` or `folder`, and only there")
        dates = (self.born_after, self.born_before)
        if local and any(dates):
            raise ValueError("`born_after` and `born_before` go with SPARQL sources")
        if not local:
            self._born()
        return self

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
        """What `gather_people` is to read."""
        from dcgan_assets.scraping.people import Web

        if self.path is not None:
            return workspace / self.path
        first, last = self._born()
        sources = ("wikidata", "dbpedia") if self.source == "both" else (self.source,)
        return Web(sources, operator.manners(), first, last, self.least_sitelinks)


def _last_adult_birthday() -> dt.date:
    today = dt.date.today()
    return dt.date(today.year - _ADULT_YEARS, today.month, min(today.day, 28))


class PictureFolder(Section):
    """Pictures of the user's own: a sub-folder a name.

    Attributes:
        path: Relative to the workspace.
        licence, attribution: Of all of them.
    """

    path: str
    licence: str = UNSTATED
    attribution: str = UNSTATED


class ImageUrls(Section):
    """Where pictures of people (or albums) are looked for, and which are taken.

    Attributes:
        searches: `commons` is Wikimedia Commons, `brave` a web search that needs a key in the
            environment, `covers` the Cover Art Archive, `folder` the user's own pictures.
        most: Pictures of a person from one search, at most.
        licences: Accepted ones by kind, 'CC BY-SA'; versions do not count. `any` takes all.
        width: Of Commons' thumbnails, one that it serves.
        folder: With `folder` among the searches.
    """

    searches: Annotated[
        tuple[Literal["commons", "brave", "covers", "folder"], ...], Field(min_length=1)
    ]
    most: Count = 300
    licences: Annotated[tuple[str, ...], Field(min_length=1)]
    width: int = 960
    folder: PictureFolder | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(set(self.searches)) < len(self.searches):
            raise ValueError(f"`searches` names one twice: {', '.join(self.searches)}")
        if ("folder" in self.searches) != (self.folder is not None):
            raise ValueError("`folder` is needed with `folder` among the searches, and only there")
        if self.width not in THUMBNAIL_WIDTHS:
            raise ValueError(
                f"`width` is {self.width}; allowed: {', '.join(map(str, THUMBNAIL_WIDTHS))}"
            )
        return self

    def searching(self, workspace: Path, operator: Operator) -> Searching:
        """What `gather_addresses` is to do."""
        from dcgan_assets.scraping.search import Searching

        found = Searching(self.searches, operator.manners(), self.most, self.licences, self.width)
        if self.folder is None:
            return found
        return Searching(
            **{
                **vars(found),
                "folder": workspace / self.folder.path,
                "folder_licence": self.folder.licence,
                "folder_attribution": self.folder.attribution,
            }
        )
