"""Pictures from Wikimedia Commons, by its depicts statements and by name.

Addresses of thumbnails are taken as the API gives them. Since 2026 only the widths in
`THUMBNAIL_WIDTHS` are served, and addresses that are put together by hand are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

from dcgan_assets.sources.reading.items import UNSTATED
from dcgan_assets.sources.web.search.answers import (
    Answer,
    MalformedError,
    RefusedError,
    TransientError,
)
from dcgan_assets.sources.web.search.client import ApiClient
from dcgan_assets.sources.web.search.found import FoundPicture, Subject, positive
from dcgan_assets.sources.web.search.sparql import WIKIDATA_ENTITY
from dcgan_assets.sources.web.text import clean, without_tags

COMMONS_ENDPOINT = "https://commons.wikimedia.org/w/api.php"
_PAGE = 50
# Pages beyond those that the pictures would fill: some hold few, and some searches never end.
_SPARE_PAGES = 3
_TRANSIENT = re.compile(
    r"maxlag|ratelimited|readonly|cirrussearch-too-busy.*|internal_api_error_.*"
)
_LICENCE_FIELDS = "LicenseShortName|LicenseUrl|UsageTerms|Artist|Credit|Attribution|Restrictions"


class CommonsSearch:
    """The default: no key, licences stated, and the SHA-1 of each file known beforehand.

    Args:
        width: Of the thumbnails, one of `THUMBNAIL_WIDTHS`; smaller originals come as they are.
    """

    name = "commons"

    def __init__(
        self, client: ApiClient, width: int = 960, endpoint: str = COMMONS_ENDPOINT
    ) -> None:
        self._client = client
        self._width = width
        self._endpoint = endpoint

    async def search(self, subject: Subject, most: int) -> AsyncIterator[FoundPicture]:
        """As `ImageSearch.search`: files that are said to depict the person, then by name."""
        given: set[str] = set()
        for kind, query in _queries(subject):
            if len(given) >= most:
                return
            async for page in self._pages(query, most):
                picture = _picture(page, f"commons:{kind}")
                if picture is not None and picture.address not in given:
                    given.add(picture.address)
                    yield picture
                    if len(given) >= most:
                        return

    async def _pages(self, query: str, most: int) -> AsyncIterator[dict[str, Any]]:
        """The pages (of files) that a query finds, in the order of the search."""
        going_on: dict[str, str] = {}
        seen: set[str] = set()
        for _ in range(-(-most // _PAGE) + _SPARE_PAGES):
            answer = await self._client.get_json(
                self._endpoint, {**self._parameters(query), **going_on}, judge=_judge
            )
            pages, going_on = _content(answer)
            for page in pages:
                yield page
            if not going_on:
                return
            place = json.dumps(going_on, sort_keys=True)
            if place in seen:
                raise MalformedError("commons: `continue` leads back to where it was")
            seen.add(place)
        raise MalformedError("commons: `continue` goes on without end")

    def _parameters(self, query: str) -> dict[str, str]:
        return {
            "action": "query",
            "format": "json",
            "formatversion": "2",
            "generator": "search",
            "gsrnamespace": "6",
            "gsrsearch": query,
            "gsrlimit": str(_PAGE),
            "prop": "imageinfo",
            "iiprop": "url|size|mime|sha1|user|extmetadata",
            "iiurlwidth": str(self._width),
            "iiextmetadatafilter": _LICENCE_FIELDS,
            "maxlag": "5",
        }


def _queries(subject: Subject) -> list[tuple[str, str]]:
    queries = []
    item = (subject.wikidata or "").removeprefix(WIKIDATA_ENTITY)
    if re.fullmatch(r"Q\d+", item):
        queries.append(("depicts", f"haswbstatement:P180={item} filetype:bitmap"))
    # Quotes and backslashes would end the phrase.
    phrase = re.sub(r'["\\]', " ", subject.name).strip()
    if phrase:
        queries.append(("name", f'"{phrase}" filetype:bitmap filew:>200'))
    return queries


def _judge(answer: Answer) -> None:
    """MediaWiki reports errors in JSON, with status 200."""
    if answer.status != 200:
        return
    content = answer.json
    error = content.get("error") if isinstance(content, dict) else None
    if error is None:
        return
    code = str(error.get("code")) if isinstance(error, dict) else "unknown"
    info = clean(str(error.get("info", "")))[:120] if isinstance(error, dict) else ""
    if _TRANSIENT.fullmatch(code):
        raise TransientError(f"{code}: {info}", answer.retry_after)
    raise RefusedError(f"commons: {code}: {info}")


def _content(answer: Answer) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The pages of an answer in the search's order, and what to send back for the next one.

    Raises:
        MalformedError: The answer has another shape than the documented one.
    """
    content = answer.json
    try:
        going_on = {str(name): str(value) for name, value in content.get("continue", {}).items()}
        # A search that finds nothing has no `query`, but says that it is complete.
        if "query" not in content and not going_on and "batchcomplete" not in content:
            raise MalformedError("commons: JSON without query, continue or batchcomplete")
        pages = list(content.get("query", {}).get("pages", []))
        pages.sort(key=lambda page: page.get("index", 0))
    except (AttributeError, TypeError) as error:
        raise MalformedError("commons: JSON of another shape than documented") from error
    return pages, going_on


def _picture(page: dict[str, Any], search: str) -> FoundPicture | None:
    """A row from a file's page; None for a page without a file, which a deleted one may be.

    Raises:
        MalformedError: Fields that every file has are missing.
    """
    if page.get("missing") or not page.get("imageinfo"):
        return None
    try:
        info = page["imageinfo"][0]
        original = str(info["url"])
        words = _Words(info.get("extmetadata") or {})
        author = words["Artist"] or UNSTATED
        return FoundPicture(
            search=search,
            page=info["descriptionurl"],
            address=info.get("thumburl") or original,
            original=original,
            licence=words["LicenseShortName"] or words["UsageTerms"] or UNSTATED,
            licence_url=words["LicenseUrl"],
            author=author,
            attribution=words["Attribution"] or words["Credit"] or author,
            restrictions=words["Restrictions"],
            sha1=info.get("sha1"),
            width=positive(info.get("width")),
            height=positive(info.get("height")),
            mime=info.get("mime"),
        )
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise MalformedError("commons: `imageinfo` of another shape than documented") from error


class _Words:
    """Values of `extmetadata`, which are HTML, by name; None where one is missing or empty."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> str | None:
        value = self._fields.get(name, {}).get("value")
        return without_tags(str(value)) or None if value is not None else None
