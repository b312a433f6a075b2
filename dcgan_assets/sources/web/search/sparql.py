"""People from SPARQL endpoints, in slices of birth dates that are small enough to come whole.

Both endpoints cut results and answer 200 all the same: DBpedia after 10,000 rows or 120 s, Wikidata
in the middle of the JSON after 60 s. So each slice is counted first; one that is too large, comes
back cut, or holds as many rows as an answer may, is split: in halves down to a day, then by the
first hexadecimal digits of the MD5 of the URI. What was counted and what came are both recorded.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from dcgan_assets.sources.web.search.answers import (
    Answer,
    ApiError,
    MalformedError,
    RefusedError,
    TooLargeError,
    TruncatedError,
)
from dcgan_assets.sources.web.search.client import ApiClient
from dcgan_assets.sources.web.search.journal import Journal
from dcgan_models.errors import UserError

ROW_LIMIT = 10_000
WIKIDATA_ENTITY = "http://www.wikidata.org/entity/"
_DEEPEST = 3
_LOOKUP = 400
_RESULT = "application/sparql-results+json"
_MISCOUNT = 10
_TIMED_OUT = (b"TimeoutException", b"exceeds the limit of", b"SR171", b"S1TAT")

Row = dict[str, Any]


class CutError(ApiError):
    """The endpoint itself says, in its own way, that this is not the whole result."""


@dataclass(frozen=True)
class Slice:
    """People born from `start` until before `end`, whose URI's MD5 begins with `prefix`."""

    start: dt.date
    end: dt.date
    prefix: str = ""

    @property
    def key(self) -> str:
        """Its name in the journal."""
        return f"{self.start}..{self.end}{'/' if self.prefix else ''}{self.prefix}"

    def parts(self) -> tuple[Slice, ...]:
        """Smaller slices that together are this one; none when it is as small as they get."""
        days = (self.end - self.start).days
        if days > 1:
            middle = self.start + dt.timedelta(days=days // 2)
            return Slice(self.start, middle), Slice(middle, self.end)
        if len(self.prefix) < _DEEPEST:
            return tuple(
                Slice(self.start, self.end, self.prefix + digit) for digit in "0123456789abcdef"
            )
        return ()


@dataclass(frozen=True)
class Source:
    """An endpoint and its two queries.

    Attributes:
        name: 'wikidata' or 'dbpedia'.
        rows_query, count_query: With `{start}`, `{end}`, `{narrower}`, `{limit}` to fill in.
        days: Length of the slices to begin with.
        parameters: Of every request, beside the query.
    """

    name: str
    endpoint: str
    rows_query: str
    count_query: str
    days: int
    parameters: tuple[tuple[str, str], ...] = ()


_WIKIDATA_PEOPLE = """
  ?person wdt:P569 ?born . hint:Prior hint:rangeSafe true .
  FILTER("{start}T00:00:00Z"^^xsd:dateTime <= ?born && ?born < "{end}T00:00:00Z"^^xsd:dateTime)
  ?person wdt:P31 wd:Q5 ; wikibase:sitelinks ?links . FILTER(?links >= %d){narrower}"""
_DBPEDIA_PREFIXES = """PREFIX dbo: <http://dbpedia.org/ontology/>
PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
PREFIX owl: <http://www.w3.org/2002/07/owl#>
PREFIX xsd: <http://www.w3.org/2001/XMLSchema#>
"""
_DBPEDIA_PEOPLE = """
  ?person a dbo:Person ; dbo:birthDate ?born .
  FILTER(?born >= "{start}"^^xsd:date && ?born < "{end}"^^xsd:date){narrower}"""


def wikidata(endpoint: str, least_sitelinks: int) -> Source:
    """Humans on Wikidata with a birth date and at least so many sitelinks."""
    people = _WIKIDATA_PEOPLE % least_sitelinks
    rows = (
        "SELECT ?person (MIN(?born) AS ?birth) (SAMPLE(?label) AS ?name) "
        "(MAX(?links) AS ?sitelinks) WHERE {{" + people + "\n"
        '  OPTIONAL {{ ?person rdfs:label ?en . FILTER(LANG(?en) = "en") }}\n'
        '  OPTIONAL {{ ?person rdfs:label ?any . FILTER(LANG(?any) = "mul") }}\n'
        "  BIND(COALESCE(?en, ?any) AS ?label)\n"
        "}} GROUP BY ?person LIMIT {limit}"
    )
    count = "SELECT (COUNT(DISTINCT ?person) AS ?people) WHERE {{" + people + "\n}}"
    return Source("wikidata", endpoint, rows, count, days=31)


def dbpedia(endpoint: str) -> Source:
    """Persons on DBpedia with a birth date; their Wikidata items say how well known they are."""
    rows = (
        _DBPEDIA_PREFIXES + "SELECT ?person (MIN(?born) AS ?birth) (SAMPLE(STR(?label)) AS ?name) "
        "(MIN(STR(?same)) AS ?item) WHERE {{" + _DBPEDIA_PEOPLE + "\n"
        '  OPTIONAL {{ ?person rdfs:label ?label . FILTER(LANG(?label) = "en") }}\n'
        "  OPTIONAL {{ ?person owl:sameAs ?same .\n"
        f'    FILTER(STRSTARTS(STR(?same), "{WIKIDATA_ENTITY}Q")) }}}}\n'
        "}} GROUP BY ?person LIMIT {limit}"
    )
    count = (
        _DBPEDIA_PREFIXES
        + "SELECT (COUNT(DISTINCT ?person) AS ?people) WHERE {{"
        + _DBPEDIA_PEOPLE
        + "\n}}"
    )
    return Source(
        "dbpedia",
        endpoint,
        rows,
        count,
        days=366,
        parameters=(("format", _RESULT), ("timeout", "110000")),
    )


def slices(born_after: dt.date, born_before: dt.date, days: int) -> Iterator[Slice]:
    """The slices to begin with, from the first date until before the last."""
    start = born_after
    while start < born_before:
        end = min(start + dt.timedelta(days=days), born_before)
        yield Slice(start, end)
        start = end


async def fetch_people(
    client: ApiClient,
    source: Source,
    born: tuple[dt.date, dt.date],
    journal: Journal,
    say: Callable[[str], None],
    row_limit: int = ROW_LIMIT,
) -> None:
    """Put every slice of a source into the journal: `{"split": true}` or rows and counts.

    Args:
        born: The first date, and the one before which the last lies.
        journal: Slices in it are not asked for again.
        say: Gets a line for each slice.
        row_limit: Rows of one answer at most.

    Raises:
        UserError: The endpoint fails, or the smallest slice does not come whole.
    """
    waiting = list(slices(*born, source.days))[::-1]
    while waiting:
        part = waiting.pop()
        if part.key not in journal:
            journal.write(part.key, await _slice(client, source, part, row_limit, say))
        if journal.read(part.key)["split"]:
            waiting += part.parts()[::-1]


async def _slice(
    client: ApiClient, source: Source, part: Slice, row_limit: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """One slice whole, or the note that it is to be split."""
    try:
        return await _whole_slice(client, source, part, row_limit, say)
    except (CutError, TooLargeError, TruncatedError) as error:
        if not part.parts():
            raise UserError(
                f"{source.name}: people born {part.key} do not come whole, and the slice cannot "
                f"be made smaller: {error}"
            ) from error
        say(f"{source.name} {part.key}: split ({error})")
        return {"split": True}
    except ApiError as error:
        raise UserError(
            f"{source.name}: people born {part.key} cannot be had: {error}; what was fetched is "
            "kept, run again to go on"
        ) from error


async def _whole_slice(
    client: ApiClient, source: Source, part: Slice, row_limit: int, say: Callable[[str], None]
) -> dict[str, Any]:
    moment = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    counted = _count(await ask(client, source, _filled(source.count_query, part, row_limit)))
    if counted >= row_limit:
        raise CutError(f"{counted:,} people counted, an answer holds less than {row_limit:,}")
    rows: list[Row] = []
    if counted:
        rows = await ask(client, source, _filled(source.rows_query, part, row_limit))
    if len(rows) >= row_limit:
        raise CutError(f"{len(rows):,} rows came, as many as an answer may hold")
    if _too_few(len(rows), counted, part):
        raise CutError(f"{counted:,} people counted, {len(rows):,} came")
    say(f"{source.name} {part.key}: {len(rows):,} people")
    return {"split": False, "at": moment, "counted": counted, "rows": rows}


def _too_few(found: int, counted: int, part: Slice) -> bool:
    """Whether fewer people came than were counted, in a way that smaller slices may mend.

    Virtuoso's counts are not always right. Below a day a difference of a few is taken for that:
    to look into it would take thousands of requests. It is recorded with the slice.
    """
    if (part.end - part.start).days > 1:
        return found < counted
    return counted - found > max(_MISCOUNT, counted // 20)


def _filled(query: str, part: Slice, limit: int) -> str:
    narrower = f'\n  FILTER(STRSTARTS(MD5(STR(?person)), "{part.prefix}"))' if part.prefix else ""
    return query.format(start=part.start, end=part.end, narrower=narrower, limit=limit)


async def ask(client: ApiClient, source: Source, query: str) -> list[Row]:
    """The rows of a query: for each variable that is bound, its text.

    Raises:
        CutError: The endpoint says that rows are missing.
        ApiError: It does not answer, or with something else.
    """
    answer = await client.get_json(
        source.endpoint,
        {"query": query, **dict(source.parameters)},
        headers={"Accept": _RESULT},
        judge=_judge,
        post=True,
    )
    rows = _bindings(answer)
    most = answer.headers.get("X-SPARQL-MaxRows", "")
    if re.fullmatch(r"\d+", most) and len(rows) >= int(most):
        raise CutError(f"{len(rows):,} rows came, with X-SPARQL-MaxRows: {most}")
    return rows


def _judge(answer: Answer) -> None:
    """What each server says when it has stopped early, mostly with status 200."""
    state = answer.headers.get("X-SQL-State", "")
    if state or answer.status == 206:
        words = " ".join(answer.headers.get("X-SQL-Message", "").split())[:120]
        raise CutError(f"partial result ({state or 'HTTP 206'} {words})".replace(" )", ")"))
    # Wikidata writes a Java stack trace behind the rows; Virtuoso sends its own text.
    ends = answer.body[:2048] + answer.body[-65536:]
    late = any(mark in ends for mark in _TIMED_OUT)
    if late and (answer.status == 500 or not answer.body.rstrip().endswith(b"}")):
        raise CutError("the query ran into the endpoint's time limit")
    if answer.status == 403:
        raise RefusedError("HTTP 403: the endpoint refuses this client; see `contact`")


def _bindings(answer: Answer) -> list[Row]:
    """The rows of a SPARQL JSON result.

    Raises:
        MalformedError: It is JSON of another shape.
    """
    try:
        return [
            {name: str(value["value"]) for name, value in row.items()}
            for row in answer.json["results"]["bindings"]
        ]
    except (KeyError, TypeError, AttributeError):
        raise MalformedError("JSON, but not a SPARQL result with results.bindings") from None


def _count(rows: list[Row]) -> int:
    try:
        (row,) = rows
        return int(row["people"])
    except (KeyError, ValueError):
        raise MalformedError(f"a count is expected, {str(rows)[:80]!r} came") from None


async def fetch_sitelinks(
    client: ApiClient, endpoint: str, items: Iterable[str], journal: Journal
) -> AsyncIterator[tuple[str, int]]:
    """How many wikis have a page about each Wikidata item: item and count.

    Items that Wikidata has merged or deleted are left out.

    Args:
        items: Addresses of items, in an order that is the same in every run.
        journal: Batches in it are not asked for again.

    Raises:
        UserError: The endpoint fails.
    """
    asked = Source("wikidata", endpoint, "", "", 0)
    ordered = [item for item in items if re.fullmatch(f"{WIKIDATA_ENTITY}Q\\d+", item)]
    for start in range(0, len(ordered), _LOOKUP):
        batch = ordered[start : start + _LOOKUP]
        key = f"{batch[0]} {len(batch)}"
        if key not in journal:
            names = " ".join(f"wd:{item.removeprefix(WIKIDATA_ENTITY)}" for item in batch)
            query = (
                f"SELECT ?person ?sitelinks WHERE {{ VALUES ?person {{ {names} }} "
                "?person wikibase:sitelinks ?sitelinks }"
            )
            try:
                rows = await ask(client, asked, query)
                found = {row["person"]: int(row["sitelinks"]) for row in rows}
            except (ApiError, KeyError, ValueError) as error:
                raise UserError(
                    f"wikidata: sitelinks cannot be had: {error}; what was fetched is kept, run "
                    "again to go on"
                ) from error
            journal.write(key, found)
        for item, count in journal.read(key).items():
            yield item, count
