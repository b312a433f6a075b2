"""The asset `people`: whose pictures are looked for (section 4.2 of the paper).

The paper took names "from dbpedia, with a criterion that they were born in the modern era", some
10,000 of them. When that era begins, and which 10,000, it does not say: here the date is a setting
and the people are ranked by how many wikis have a page about them. Every person found is a row of
`people.parquet`, kept or rejected; `people.json` records queries, endpoints, times and counts.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dcgan_assets.sources.reading.manifest import KEPT, REJECTED, column
from dcgan_assets.sources.web.removals import RemovalList
from dcgan_assets.sources.web.removed_rows import forget_removed
from dcgan_assets.sources.web.search.client import ApiClient, Manners
from dcgan_assets.sources.web.search.journal import Journal
from dcgan_assets.sources.web.search.names import (
    Person,
    birth_date,
    folder_people,
    listed_people,
    whole_number,
)
from dcgan_assets.sources.web.search.sparql import (
    ROW_LIMIT,
    WIKIDATA_ENTITY,
    Source,
    dbpedia,
    fetch_people,
    fetch_sitelinks,
    wikidata,
)
from dcgan_assets.sources.web.text import clean, person_name
from dcgan_models.errors import UserError
from dcgan_models.files import open_atomic, write_json

PEOPLE_FILE = "people.parquet"
RECORD_FILE = "people.json"
WIKIDATA_ENDPOINT = "https://query.wikidata.org/sparql"
DBPEDIA_ENDPOINT = "https://dbpedia.org/sparql"
_LOG = logging.getLogger(__name__)
_BATCH = 1 << 15

Say = Callable[[str], None]


PEOPLE_SCHEMA = pa.schema(
    [
        column("uri", pa.string(), "The person's key; names collide."),
        column("name", pa.string(), "NFC, without '(actor)' and the like."),
        column("birth_date", pa.date32(), "The earliest one that the source has.", nullable=True),
        column(
            "sitelinks",
            pa.int32(),
            "Wikis with a page about the person. Null: unknown.",
            nullable=True,
        ),
        column("wikidata", pa.string(), "Address of the person's Wikidata item.", nullable=True),
        column("source", pa.string(), "wikidata, dbpedia, both, file or folder."),
        column(
            "rank", pa.int32(), "0 for the first of those kept. Null when rejected.", nullable=True
        ),
        column("status", pa.string(), "'kept' or 'rejected'."),
        column("reason", pa.string(), "Why it was rejected. Null when kept.", nullable=True),
    ],
    metadata={"description": "One row for each person found; the kept ones first, by rank."},
)
_FOUND = pa.schema([PEOPLE_SCHEMA.field(name) for name in Person._fields[:-1]]).append(
    pa.field("reason", pa.string())
)


@dataclass(frozen=True)
class Web:
    """Where people are asked for, and by whom.

    Attributes:
        sources: 'wikidata', 'dbpedia' or both.
        manners: Who asks, and how.
        born_after, born_before: The first birth date, and the one before which the last lies.
        least_sitelinks: Of people on Wikidata; the fewer, the more people to fetch and rank.
        row_limit: Rows of one answer at most.
    """

    sources: tuple[str, ...]
    manners: Manners
    born_after: dt.date
    born_before: dt.date
    least_sitelinks: int = 15
    wikidata_endpoint: str = WIKIDATA_ENDPOINT
    dbpedia_endpoint: str = DBPEDIA_ENDPOINT
    row_limit: int = ROW_LIMIT


@dataclass(frozen=True)
class PeopleReport:
    """What became of the people found.

    Attributes:
        kept, rejected: Together all rows.
        reasons: Rejected rows by kind of reason (what stands before the colon).
        short: Slices of which fewer people came than the endpoint had counted.
        names: Distinct names among those kept.
    """

    kept: int
    rejected: int
    reasons: dict[str, int]
    short: int
    names: int


def gather_people(
    origin: Web | Path,
    count: int,
    work: Path,
    folder: Path,
    removals: RemovalList,
    say: Say = _LOG.info,
) -> PeopleReport:
    """Write `people.parquet` and `people.json`.

    Args:
        origin: Endpoints to ask, a CSV or Parquet file of names, or a folder of sub-folders.
        count: How many are kept, at most.
        work: Folder in which a killed run left what it had; it goes on from there.
        folder: Where the files go.
        say: Gets a line for each step of a long run.

    Raises:
        UserError: A setting, a file or an endpoint cannot be used, or nobody was found.
    """
    if isinstance(origin, Web):
        found, record = asyncio.run(_from_web(origin, work, say))
    else:
        listed = folder_people(origin) if origin.is_dir() else listed_people(origin)
        found, record = _table(listed), {"file": origin.name}
    if not found.num_rows:
        raise UserError("people: nobody was found; look at the dates, or at the list")
    table = forget_removed(_ranked(_once_each(_removed(found, removals)), count))
    with open_atomic(folder / PEOPLE_FILE) as stream:
        pq.write_table(table, stream, compression="zstd", row_group_size=_BATCH)
    report = _report(table, record)
    counts = {"kept": report.kept, "rejected": report.rejected, "reasons": report.reasons}
    write_json(folder / RECORD_FILE, {**record, **counts, "removals": removals.version})
    if not report.kept:
        raise UserError(f"people: none of {table.num_rows:,} can be used: {report.reasons}")
    return report


async def _from_web(web: Web, work: Path, say: Say) -> tuple[pa.Table, dict[str, Any]]:
    sources = _sources(web)
    born = (web.born_after, web.born_before)
    record: dict[str, Any] = {
        "born_after": str(web.born_after),
        "born_before": str(web.born_before),
        "sources": [],
    }
    tables = []
    async with ApiClient(web.manners) as client:
        for source in sources:
            asked = _asked(source, web)
            journal = Journal(work / f"{source.name}.jsonl", asked)
            await fetch_people(client, source, born, journal, say, web.row_limit)
            tables.append(_table(_journaled(source, journal)))
            record["sources"].append({**asked, **_slice_record(journal)})
        found = pa.concat_tables(tables)
        if "dbpedia" in web.sources:
            unknown = pc.unique(found["wikidata"].filter(pc.is_null(found["sitelinks"])))
            items = sorted(unknown.drop_null().to_pylist())
            digest = hashlib.sha256("\n".join(items).encode()).hexdigest()
            journal = Journal(work / "sitelinks.jsonl", [web.wikidata_endpoint, digest])
            say(f"sitelinks of {len(items):,} people")
            links = fetch_sitelinks(client, web.wikidata_endpoint, items, journal)
            found = _with_sitelinks(found, {item: count async for item, count in links})
    return found, record


def _sources(web: Web) -> list[Source]:
    """The sources, their addresses checked before anything is fetched."""
    main = web.manners.endpoint(web.wikidata_endpoint, "wikidata_endpoint")
    other = web.manners.endpoint(web.dbpedia_endpoint, "dbpedia_endpoint")
    known = {"wikidata": wikidata(main, web.least_sitelinks), "dbpedia": dbpedia(other)}
    return [known[name] for name in web.sources]


def _asked(source: Source, web: Web) -> dict[str, Any]:
    """What decides the content of a source's slices: it is recorded, and names the journal."""
    return {
        "source": source.name,
        "endpoint": source.endpoint,
        "query": _readable(source.rows_query),
        "count_query": _readable(source.count_query),
        "born": [str(web.born_after), str(web.born_before)],
        "days": source.days,
        "row_limit": web.row_limit,
    }


def _readable(query: str) -> str:
    """A query with names in braces where each slice has its dates."""
    names = ("start", "end", "narrower", "limit")
    return query.format(**{name: f"{{{name}}}" for name in names})


def _slice_record(journal: Journal) -> dict[str, Any]:
    whole = [(key, piece) for key, piece in journal.pieces() if not piece["split"]]
    times = sorted(piece["at"] for _, piece in whole)
    return {
        "retrieved": [times[0], times[-1]] if times else [],
        "slices": [[key, piece["counted"], len(piece["rows"])] for key, piece in sorted(whole)],
    }


def _journaled(source: Source, journal: Journal) -> Iterator[Person]:
    for _, piece in journal.pieces():
        for row in piece.get("rows", ()):
            yield _web_person(source.name, row)


def _web_person(source: str, row: dict[str, str]) -> Person:
    uri = clean(row.get("person", ""))
    birth, problem = birth_date(row.get("birth"))
    item = uri if source == "wikidata" else row.get("item")
    if item is not None and not item.startswith(WIKIDATA_ENTITY):
        item = None
    return Person(
        uri,
        person_name(row.get("name", "")),
        birth,
        whole_number(row.get("sitelinks")),
        item,
        source,
        problem if uri else "the endpoint gave no URI",
    )


def _table(people: Iterable[Person]) -> pa.Table:
    """Columns of what a source gives; what cannot be used has its reason already."""
    batches = []
    stream = iter(people)
    while part := tuple(itertools.islice(stream, _BATCH)):
        columns = list(zip(*part, strict=True))
        names = columns[1]
        columns[-1] = tuple(
            problem or (None if name else "no name")
            for problem, name in zip(columns[-1], names, strict=True)
        )
        arrays = [pa.array(c, f.type) for c, f in zip(columns, _FOUND, strict=True)]
        batches.append(pa.record_batch(arrays, schema=_FOUND))
    return pa.Table.from_batches(batches, _FOUND)


def _with_sitelinks(found: pa.Table, counts: dict[str, int]) -> pa.Table:
    places = pc.index_in(found["wikidata"], pa.array(list(counts), pa.string()))
    looked_up = pc.take(pa.array(list(counts.values()), pa.int32()), places)
    column = pc.coalesce(found["sitelinks"], looked_up)
    return found.set_column(found.schema.get_field_index("sitelinks"), "sitelinks", column)


def _reject(table: pa.Table, mask: npt.NDArray[np.bool_], reason: str) -> pa.Table:
    """Give rows their reason unless they have one."""
    column = pc.if_else(pa.array(mask), pc.coalesce(table["reason"], reason), table["reason"])
    return table.set_column(table.schema.get_field_index("reason"), "reason", column)


def _removed(table: pa.Table, removals: RemovalList) -> pa.Table:
    if not removals.lines:
        return table
    pairs = list(zip(table["wikidata"].to_pylist(), table["uri"].to_pylist(), strict=True))
    matched = [(pair, removals.match(people=pair)) for pair in pairs]
    # Whoever is removed by one of several addresses goes with all rows of that person.
    gone = {item or uri: reason for (item, uri), reason in matched if reason}
    reasons = pa.array([gone.get(item or uri) for item, uri in pairs], pa.string())
    column = pc.coalesce(reasons, table["reason"])
    return table.set_column(table.schema.get_field_index("reason"), "reason", column)


def _once_each(table: pa.Table) -> pa.Table:
    """Keep one row a person: Wikidata's before DBpedia's, then that of the earliest birth date.

    A person of both sources is known by the Wikidata item. The other rows stay, rejected.
    """
    keys = pc.coalesce(table["wikidata"], table["uri"])
    at_dbpedia = pc.equal(table["source"], "dbpedia")
    place = pa.array(np.arange(table.num_rows))
    keyed = pa.table(
        {
            "key": keys,
            "unusable": pc.is_valid(table["reason"]),
            "dbpedia": at_dbpedia,
            "birth_date": table["birth_date"],
            "place": place,
        }
    )
    order = pc.sort_indices(keyed, sort_keys=[(name, "ascending") for name in keyed.column_names])
    table, keyed = table.take(order), keyed.take(order)
    same = np.zeros(table.num_rows, np.bool_)
    if table.num_rows > 1:
        ordered = keyed["key"].combine_chunks()
        same[1:] = pc.equal(ordered[1:], ordered[:-1]).to_numpy(zero_copy_only=False)
    both = _in_both(keyed["dbpedia"].to_numpy(), np.cumsum(~same) - 1)
    source = pc.if_else(pa.array(both), "both", table["source"])
    table = table.set_column(table.schema.get_field_index("source"), "source", source)
    table = table.append_column("place", keyed["place"])
    return _reject(table, same, "found already")


def _in_both(
    at_dbpedia: npt.NDArray[np.bool_], person: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Rows of people whom both sources have."""
    rows = np.bincount(person)
    dbpedia_rows = np.bincount(person, weights=at_dbpedia)
    found: npt.NDArray[np.bool_] = ((dbpedia_rows > 0) & (dbpedia_rows < rows))[person]
    return found


def _ranked(table: pa.Table, count: int) -> pa.Table:
    """Order by sitelinks, then by the list's own order or the URI; keep the first `count`.

    A list's own order counts because its author may have ranked it by something else.
    """
    listed = pc.all(pc.is_in(table["source"], pa.array(["file", "folder"]))).as_py()
    usable = pc.is_null(table["reason"])
    keys = pa.table(
        {
            "unusable": pc.invert(usable),
            "sitelinks": pc.negate(table["sitelinks"]),
            "tie": table["place"] if listed else table["uri"],
            "place": table["place"],
        }
    )
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names])
    table = table.take(order)
    number = np.arange(table.num_rows, dtype=np.int32)
    kept = min(count, pc.sum(usable).as_py() or 0)
    table = _reject(table, number >= kept, f"below the first {count:,} by sitelinks")
    mask = pa.array(number < kept)
    added = {
        "rank": pc.if_else(mask, pa.array(number), pa.scalar(None, pa.int32())),
        "status": pc.if_else(mask, KEPT, REJECTED),
    }
    columns = [added.get(name) if name in added else table[name] for name in PEOPLE_SCHEMA.names]
    return pa.Table.from_arrays(columns, schema=PEOPLE_SCHEMA)


def _report(table: pa.Table, record: dict[str, Any]) -> PeopleReport:
    kept = pc.equal(table["status"], KEPT)
    reasons = Counter(
        reason.partition(":")[0] for reason in table["reason"].drop_null().to_pylist()
    )
    slices: Sequence[Sequence[Any]] = [
        part for source in record.get("sources", ()) for part in source["slices"]
    ]
    total = pc.sum(kept).as_py() or 0
    return PeopleReport(
        total,
        table.num_rows - total,
        dict(sorted(reasons.items())),
        sum(found < counted for _, counted, found in slices),
        pc.count_distinct(table["name"].filter(kept)).as_py(),
    )
