"""`people`: real endpoints on 127.0.0.1 that cut, stall and lie; lists and folders of names."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web
from api_servers import (
    ApiServer,
    Citizen,
    SparqlEndpoint,
    citizens,
    manners,
    page,
    serving,
)
from fixture_types import Refused

from dcgan_assets.sources.web.removals import RemovalList
from dcgan_assets.sources.web.search.people import PEOPLE_SCHEMA, PeopleReport, Web, gather_people
from dcgan_assets.sources.web.search.sparql import Slice, slices
from dcgan_models.errors import UserError

ENTITY = "http://www.wikidata.org/entity/"
NOBODY = RemovalList()
Row = dict[str, Any]


def asking(server: ApiServer, *sources: str, **changes: Any) -> Web:
    settings: dict[str, Any] = {
        "sources": sources or ("wikidata",),
        "manners": manners(),
        "born_after": dt.date(1950, 1, 1),
        "born_before": dt.date(1951, 1, 1),
        "wikidata_endpoint": server.url,
        "dbpedia_endpoint": server.url,
    }
    return Web(**{**settings, **changes})


def gathered(
    origin: Web | Path, folder: Path, count: int = 10_000, removals: RemovalList = NOBODY
) -> tuple[PeopleReport, list[Row]]:
    report = gather_people(origin, count, folder / "work", folder, removals, lambda line: None)
    table = pq.read_table(folder / "people.parquet")
    assert table.schema.equals(PEOPLE_SCHEMA)
    assert report.kept + report.rejected == table.num_rows
    assert sum(report.reasons.values()) == report.rejected
    rows = table.to_pylist()
    assert all((row["status"] == "kept") == (row["reason"] is None) for row in rows)
    return report, rows


def kept(rows: list[Row]) -> list[str]:
    names = [row["uri"] for row in rows if row["status"] == "kept"]
    assert [row["rank"] for row in rows[: len(names)]] == list(range(len(names)))
    return names


def record(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "people.json").read_text())
    return content


def spread(count: int) -> list[Citizen]:
    """So many people, one born on each day in turn."""
    days = [dt.date(1950, 1, 1) + dt.timedelta(days=n % 365) for n in range(count)]
    return [
        Citizen(f"{ENTITY}Q{n}", f"Person {n}", f"{day}T00:00:00Z", n) for n, day in enumerate(days)
    ]


# --- Slices ---------------------------------------------------------------------------------


def test_slices_cover_all_dates_once() -> None:
    first, last = dt.date(1899, 12, 30), dt.date(1912, 3, 2)
    parts = list(slices(first, last, 31))
    assert parts[0].start == first
    assert parts[-1].end == last
    assert all(one.end == other.start for one, other in itertools.pairwise(parts))


def test_parts_of_a_slice_are_the_slice() -> None:
    def leaves(part: Slice) -> list[Slice]:
        return [leaf for one in part.parts() for leaf in leaves(one)] or [part]

    found = leaves(Slice(dt.date(1950, 1, 1), dt.date(1950, 1, 4)))
    assert len(found) == 3 * 16**3
    assert len({leaf.key for leaf in found}) == len(found)
    assert {leaf.start for leaf in found} == {dt.date(1950, 1, day) for day in (1, 2, 3)}
    assert {leaf.prefix for leaf in found} == {f"{n:03x}" for n in range(16**3)}


# --- Silent truncation ----------------------------------------------------------------------


def assert_all_found(endpoint: SparqlEndpoint, folder: Path, **changes: Any) -> PeopleReport:
    with serving(endpoint) as server:
        report, rows = gathered(asking(server, **changes), folder)
    assert sorted(kept(rows)) == sorted({one.uri for one in endpoint.people})
    assert report.rejected == 0
    return report


def test_everybody_is_found_by_rank(tmp_path: Path) -> None:
    with serving(SparqlEndpoint(spread(500))) as server:
        report, rows = gathered(asking(server), tmp_path, count=7)
    assert kept(rows) == [f"{ENTITY}Q{n}" for n in range(499, 492, -1)]
    assert report.reasons == {"below the first 7 by sitelinks": 493}
    assert rows[0]["name"] == "Person 499"
    assert rows[0]["birth_date"] == dt.date(1950, 5, 15)
    assert rows[0]["wikidata"] == rows[0]["uri"]


@pytest.mark.parametrize("header", [True, False])
def test_slices_that_reach_the_limit_are_split(tmp_path: Path, header: bool) -> None:
    endpoint = SparqlEndpoint(spread(90), most=10)
    endpoint.maxrows_header = header
    report = assert_all_found(endpoint, tmp_path, row_limit=10)
    assert report.short == 0


def test_server_whose_limit_is_lower_than_we_think(tmp_path: Path) -> None:
    """It cuts silently, without a header: only the count tells."""
    assert_all_found(SparqlEndpoint(spread(90), most=10), tmp_path)


def test_exactly_the_limit_and_one_less(tmp_path: Path) -> None:
    for number, people in enumerate([9, 10, 11]):
        endpoint = SparqlEndpoint(citizens(people, "1950-01-07"), most=10)
        folder = tmp_path / str(number)
        folder.mkdir()
        assert_all_found(endpoint, folder, row_limit=10)
        assert (len(record(folder)["sources"][0]["slices"]) > 12) == (people >= 10)


def test_everybody_born_on_one_day(tmp_path: Path) -> None:
    """Dates of which only the year is known all fall on 1 January."""
    assert_all_found(SparqlEndpoint(citizens(150), most=20), tmp_path, row_limit=20)


def test_limit_that_the_smallest_slice_exceeds(tmp_path: Path, refused: Refused) -> None:
    with (
        serving(SparqlEndpoint(citizens(3), most=1)) as server,
        refused("wikidata: people born 1950-01-01..1950-01-02/", "cannot be made smaller"),
    ):
        gathered(asking(server, row_limit=1), tmp_path)
    assert not (tmp_path / "people.parquet").exists()


def test_count_that_is_never_met_is_recorded(tmp_path: Path) -> None:
    endpoint = SparqlEndpoint(citizens(2, "1950-01-01"))
    endpoint.miscount = 1
    with serving(endpoint) as server:
        report, rows = gathered(asking(server, born_before=dt.date(1950, 1, 4)), tmp_path)
    assert len(kept(rows)) == 2
    assert report.short == 3
    assert record(tmp_path)["sources"][0]["slices"] == [
        ["1950-01-01..1950-01-02", 3, 2],
        ["1950-01-02..1950-01-03", 1, 0],
        ["1950-01-03..1950-01-04", 1, 0],
    ]


def test_day_that_is_cut_without_a_word(tmp_path: Path) -> None:
    report = assert_all_found(SparqlEndpoint(citizens(100), most=20), tmp_path)
    assert report.short == 0


def java_trace() -> web.Response:
    """Wikidata's way to run out of time: status 200, rows, then a stack trace."""
    text = '{"head": {"vars": []}, "results": {"bindings": [ {"person": {"type": "uri"}'
    text += "SPARQL-QUERY: queryStr=SELECT\njava.util.concurrent.TimeoutException\n\tat java.util"
    return web.Response(text=text, content_type="application/sparql-results+json")


def cut_json() -> web.Response:
    text = '{"head": {"vars": []}, "results": {"bindings": [{"person": {"type": "uri", "va'
    return web.Response(text=text, content_type="application/sparql-results+json")


def partial(status: int = 200) -> web.Response:
    """Virtuoso's way: fewer rows, or a smaller count, and a header."""
    bindings = {"bindings": [{"people": {"type": "literal", "value": "1"}}]}
    headers = {"X-SQL-State": "S1TAT", "X-SQL-Message": "RC...: Returning incomplete results"}
    return web.json_response({"results": bindings}, status=status, headers=headers)


@pytest.mark.parametrize(
    ("answer", "tries"),
    [
        pytest.param(java_trace, 1, id="Wikidata, out of time with status 200"),
        pytest.param(
            lambda: web.Response(status=500, text="java.util.concurrent.TimeoutException"),
            1,
            id="Wikidata, out of time with status 500",
        ),
        pytest.param(partial, 1, id="Virtuoso's header"),
        pytest.param(lambda: partial(206), 1, id="Virtuoso, status 206"),
        pytest.param(
            lambda: web.Response(
                status=500,
                text="Virtuoso 42000 Error The estimated execution time 900 (sec) "
                "exceeds the limit of 400 (sec).",
            ),
            1,
            id="Virtuoso's estimate",
        ),
        pytest.param(cut_json, 4, id="JSON that ends too early"),
    ],
)
def test_cut_answers_are_asked_for_in_parts(tmp_path: Path, answer: Any, tries: int) -> None:
    endpoint = SparqlEndpoint(spread(200))
    whole_month = '"1950-01-01T00:00:00Z"^^xsd:dateTime <= ?born && ?born < "1950-02-01'
    endpoint.when = lambda query: answer if whole_month in query else None
    assert_all_found(endpoint, tmp_path)
    assert sum(whole_month in query for query in endpoint.queries) == tries
    starts = [key[:10] for key, _, _ in record(tmp_path)["sources"][0]["slices"]]
    assert starts[:3] == ["1950-01-01", "1950-01-16", "1950-02-01"]


def test_rows_that_are_cut_after_a_good_count(tmp_path: Path) -> None:
    endpoint = SparqlEndpoint(spread(200))
    endpoint.faults = {1: partial}
    assert_all_found(endpoint, tmp_path)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (page(200), "no JSON (text/html"),
        (page(503), "HTTP 503"),
        (page(403), "see `contact`"),
        (lambda: web.json_response({"boolean": True}), "not a SPARQL result"),
        (lambda: web.json_response([]), "not a SPARQL result"),
        (lambda: web.json_response({"results": {"bindings": []}}), "a count is expected"),
    ],
)
def test_endpoint_that_fails_is_one_line_and_what_came_is_kept(
    tmp_path: Path, answer: Any, words: str, refused: Refused
) -> None:
    endpoint = SparqlEndpoint(spread(400))
    with serving(endpoint) as server:
        endpoint.faults = dict.fromkeys(range(8, 20), answer)
        with refused("wikidata: people born 1950-05-05", words, "kept, run again"):
            gathered(asking(server), tmp_path)
        assert not (tmp_path / "people.parquet").exists()
        endpoint.faults, endpoint.queries = {}, []
        report, _ = gathered(asking(server), tmp_path)
    assert report.kept == 400
    # Of the twelve slices four were there already.
    assert len(endpoint.queries) == 2 * 8
    assert '"1950-05-05' in endpoint.queries[0]


def test_storm_and_recovery(tmp_path: Path) -> None:
    endpoint = SparqlEndpoint(spread(50))
    endpoint.faults = {0: page(502), 1: page(429, Retry_After="7"), 2: page(200)}
    assert_all_found(endpoint, tmp_path)


def test_run_that_was_killed_goes_on(tmp_path: Path) -> None:
    """Killed in the middle of writing a slice: the torn line is dropped and asked for again."""
    endpoint = SparqlEndpoint(spread(400))
    with serving(endpoint) as server:
        first, _ = gathered(asking(server), tmp_path)
        journal = tmp_path / "work" / "wikidata.jsonl"
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(lines[:6]) + lines[6][:100])
        before = (tmp_path / "people.parquet").read_bytes()
        endpoint.queries = []
        again, _ = gathered(asking(server), tmp_path)
    assert again == first
    assert (tmp_path / "people.parquet").read_bytes() == before
    assert len(endpoint.queries) == 2 * (12 - 5)


def test_other_settings_start_anew(tmp_path: Path) -> None:
    endpoint = SparqlEndpoint(spread(400))
    with serving(endpoint) as server:
        gathered(asking(server), tmp_path)
        endpoint.queries = []
        gathered(asking(server, least_sitelinks=30), tmp_path)
    assert len(endpoint.queries) == 24
    assert "?links >= 30" in endpoint.queries[0]


# --- Whom the endpoints give ----------------------------------------------------------------


def test_names_in_any_script(tmp_path: Path) -> None:
    composed, split = "Zoë Ångström", unicodedata.normalize("NFD", "Zoë Ångström")
    assert composed != split
    names = {
        f"{ENTITY}Q1": (split, composed),
        f"{ENTITY}Q2": ("محمد‎ علي\u202e", "محمد علي"),
        f"{ENTITY}Q3": ("宮崎 駿\u200b", "宮崎 駿"),
        f"{ENTITY}Q4": (
            "\u067e\u0631\u0648\u06cc\u0632 \u0646\u06cc\u06a9\u200c\u062e\u0648\u0627\u0647",
            "\u067e\u0631\u0648\u06cc\u0632 \u0646\u06cc\u06a9\u200c\u062e\u0648\u0627\u0647",
        ),
        f"{ENTITY}Q5": ("George\tHarrison\n(cricketer)", "George Harrison"),
        f"{ENTITY}Q6": ("Bad \ud800 half", "Bad \ufffd half"),
        f"{ENTITY}Q7": ("(G)I-dle", "(G)I-dle"),
    }
    people = [Citizen(uri, name, "1950-02-03") for uri, (name, _) in names.items()]
    with serving(SparqlEndpoint(people)) as server:
        _, rows = gathered(asking(server), tmp_path)
    assert {row["uri"]: row["name"] for row in rows} == {k: v for k, (_, v) in names.items()}


def test_one_name_two_people(tmp_path: Path) -> None:
    people = [Citizen(f"{ENTITY}Q{n}", "John Smith", "1950-02-03") for n in (1, 2)]
    with serving(SparqlEndpoint(people)) as server:
        report, rows = gathered(asking(server), tmp_path)
    assert len(kept(rows)) == 2
    assert report.names == 1


def test_rows_that_cannot_be_used_are_rejected_with_their_reason(tmp_path: Path) -> None:
    people = [
        Citizen(f"{ENTITY}Q1", "Ada", "1950-02-03"),
        Citizen(f"{ENTITY}Q2", None, "1950-02-03"),
        Citizen(f"{ENTITY}Q3", "Bob", "1950-02-31"),
        Citizen("", "Eve", "1950-02-03"),
    ]
    with serving(SparqlEndpoint(people)) as server:
        report, rows = gathered(asking(server), tmp_path)
    assert kept(rows) == [f"{ENTITY}Q1"]
    assert report.reasons == {
        "no name": 1,
        "birth date not understood": 1,
        "the endpoint gave no URI": 1,
    }


class Both:
    """One server for two endpoints, told apart by their prefixes."""

    def __init__(self, wiki: Sequence[Citizen], dbpedia: Sequence[Citizen]) -> None:
        self.wiki, self.dbpedia = SparqlEndpoint(wiki), SparqlEndpoint(dbpedia)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        query = str((await request.post())["query"])
        return await (self.dbpedia if "dbo:" in query else self.wiki)(request)


def test_both_sources_are_one_list_of_people(tmp_path: Path) -> None:
    resource = "http://dbpedia.org/resource/"
    wiki = [
        Citizen(f"{ENTITY}Q1", "Ada", "1950-02-03", 50),
        Citizen(f"{ENTITY}Q2", "Bob", "1950-02-03", 40),
        # Below the least number of sitelinks: the people query does not give her.
        Citizen(f"{ENTITY}Q3", "Eve", "1900-01-01", 45),
    ]
    dbpedia = [
        Citizen(f"{resource}Ada", "Ada (poet)", "1950-02-03", item=f"{ENTITY}Q1"),
        Citizen(f"{resource}Eve", "Eve", "1950-02-04", item=f"{ENTITY}Q3"),
        Citizen(f"{resource}Dan", "Dan", "1950-02-05", item=f"{ENTITY}Q9"),
        Citizen(f"{resource}Joe", "Joe", "1950-02-06", item="http://de.dbpedia.org/resource/Joe"),
    ]
    server_of_both = Both(wiki, dbpedia)
    with serving(server_of_both) as server:
        report, rows = gathered(asking(server, "wikidata", "dbpedia"), tmp_path)
    assert kept(rows) == [
        f"{ENTITY}Q1", f"{resource}Eve", f"{ENTITY}Q2", f"{resource}Dan", f"{resource}Joe",
    ]  # fmt: skip
    found = {row["uri"]: row for row in rows}
    assert found[f"{ENTITY}Q1"]["source"] == "both"
    assert found[f"{resource}Eve"]["sitelinks"] == 45
    assert found[f"{resource}Dan"]["sitelinks"] is None
    assert found[f"{resource}Joe"]["wikidata"] is None
    assert found[f"{resource}Ada"]["reason"] == "found already"
    assert report.reasons == {"found already": 1}
    (lookup,) = [query for query in server_of_both.wiki.queries if "VALUES" in query]
    assert "wd:Q1 wd:Q3 wd:Q9" in lookup


def test_sitelinks_are_looked_up_once(tmp_path: Path) -> None:
    wiki = [Citizen(f"{ENTITY}Q{n}", "", "1950-02-03", n) for n in range(1, 901)]
    page_of = "http://dbpedia.org/resource/"
    people = [
        Citizen(f"{page_of}{n}", "A", "1950-02-03", item=f"{ENTITY}Q{n}") for n in range(1, 901)
    ]
    both = Both(wiki, people)
    both.wiki.faults = {1: page(404)}
    with serving(both) as server:
        with pytest.raises(UserError, match=r"wikidata: sitelinks cannot be had: .*HTTP 404"):
            gathered(asking(server, "dbpedia"), tmp_path)
        assert len(both.wiki.queries) == 2
        report, rows = gathered(asking(server, "dbpedia"), tmp_path, count=1)
        assert len(both.wiki.queries) == 4
    assert (rows[0]["uri"], rows[0]["sitelinks"]) == (f"{page_of}900", 900)
    assert [row["sitelinks"] for row in rows] == list(range(900, 0, -1))
    assert report.kept == 1


@pytest.mark.parametrize("links", ["-1", "99999999999999", "many", "1e3"])
def test_sitelinks_that_are_no_number(tmp_path: Path, links: str) -> None:
    path = tmp_path / "names.csv"
    path.write_text(f"name,sitelinks\nAda,{links}\n")
    _, rows = gathered(path, tmp_path)
    assert rows[0]["sitelinks"] is None


def test_two_birth_dates_are_one_person(tmp_path: Path) -> None:
    people = [
        Citizen(f"{ENTITY}Q1", "Ada", "1950-09-03"),
        Citizen(f"{ENTITY}Q1", "Ada", "1950-02-03"),
    ]
    with serving(SparqlEndpoint(people)) as server:
        _, rows = gathered(asking(server), tmp_path)
    assert kept(rows) == [f"{ENTITY}Q1"]
    assert rows[0]["birth_date"] == dt.date(1950, 2, 3)


def test_what_was_asked_is_recorded(tmp_path: Path) -> None:
    with serving(SparqlEndpoint(spread(100))) as server:
        gathered(asking(server), tmp_path)
        url = server.url
    content = record(tmp_path)
    (source,) = content["sources"]
    assert source["endpoint"] == url
    assert "wdt:P569 ?born" in source["query"]
    assert '"{start}T00:00:00Z"^^xsd:dateTime <= ?born' in source["query"]
    assert source["query"].count("{") == source["query"].count("}")
    assert "{{" not in source["query"]
    assert "COUNT(DISTINCT ?person)" in source["count_query"]
    first, last = map(dt.datetime.fromisoformat, source["retrieved"])
    assert first <= last <= dt.datetime.now(dt.UTC)
    assert sum(counted for _, counted, _ in source["slices"]) == 100
    assert sum(found for _, _, found in source["slices"]) == 100
    assert content["kept"] == 100


def test_no_contact_and_nothing_is_fetched(tmp_path: Path, refused: Refused) -> None:
    endpoint = SparqlEndpoint(spread(10))
    with serving(endpoint) as server:
        web_of = asking(server, manners=manners(contact=""))
        with refused("`contact` is missing", "nothing is fetched without one"):
            gathered(web_of, tmp_path)
        private = replace(web_of, manners=manners(allow_private=False))
        with refused("wikidata_endpoint: ", "https on a public host"):
            gathered(private, tmp_path)
    assert not server.seen
    assert list(tmp_path.iterdir()) == []


def test_nobody_found(tmp_path: Path, refused: Refused) -> None:
    with serving(SparqlEndpoint([])) as server, refused("people: nobody was found"):
        gathered(asking(server), tmp_path)


# --- Removals -------------------------------------------------------------------------------


def removal(*people: str) -> RemovalList:
    return RemovalList({("person", uri): line for line, uri in enumerate(people, 2)})


def test_removed_people_make_room_for_the_next(tmp_path: Path) -> None:
    with serving(SparqlEndpoint(spread(5))) as server:
        gone = removal(f"{ENTITY}Q4", f"{ENTITY}Q2")
        report, rows = gathered(asking(server), tmp_path, count=2, removals=gone)
    assert kept(rows) == [f"{ENTITY}Q3", f"{ENTITY}Q1"]
    assert report.reasons == {"below the first 2 by sitelinks": 1, "removed": 2}
    reasons = {row["uri"]: row["reason"] for row in rows}
    assert reasons[f"{ENTITY}Q2"] == "removed: person (line 3 of the removal list)"
    for row in rows:
        gone = (row["reason"] or "").startswith("removed")
        assert gone == (row["name"] == "") == (row["birth_date"] is None)


def test_removal_by_either_address_of_a_person(tmp_path: Path) -> None:
    ada = "http://dbpedia.org/resource/Ada"
    both = Both(
        [Citizen(f"{ENTITY}Q1", "Ada", "1950-02-03"), Citizen(f"{ENTITY}Q2", "Bob", "1950-02-03")],
        [Citizen(ada, "Ada", "1950-02-03", item=f"{ENTITY}Q1")],
    )
    with serving(both) as server:
        report, rows = gathered(
            asking(server, "wikidata", "dbpedia"), tmp_path, removals=removal(ada)
        )
    assert kept(rows) == [f"{ENTITY}Q2"]
    assert report.reasons == {"removed": 2}


# --- Lists and folders ----------------------------------------------------------------------


def test_list_of_names_in_csv(tmp_path: Path) -> None:
    path = tmp_path / "names.csv"
    text = "\ufeffname,uri,birth_date,note\nMo Yan,x:1,1955-02-17,a\nAda,,,b\nAda,,,c\n,x:4,,d\n"
    text += 'Bo "B",x:5,soon,e\n'
    path.write_text(text, encoding="utf-8")
    report, rows = gathered(path, tmp_path)
    assert [(row["uri"], row["name"]) for row in rows[:2]] == [
        ("x:1", "Mo Yan"),
        ("name:Ada", "Ada"),
    ]
    assert rows[0]["birth_date"] == dt.date(1955, 2, 17)
    assert report.reasons == {
        "birth date not understood": 1,
        "found already": 1,
        "no name": 1,
    }


def test_list_keeps_its_order_unless_it_says_sitelinks(tmp_path: Path) -> None:
    path = tmp_path / "names.parquet"
    pq.write_table(pa.table({"name": ["Zoe", "Ada", "Mia"], "extra": [1, 2, 3]}), path)
    _, rows = gathered(path, tmp_path)
    assert [row["name"] for row in rows] == ["Zoe", "Ada", "Mia"]
    pq.write_table(pa.table({"name": ["Zoe", "Ada", "Mia"], "sitelinks": [1, None, 3]}), path)
    _, rows = gathered(path, tmp_path)
    assert [row["name"] for row in rows] == ["Mia", "Zoe", "Ada"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("names.csv", b"person\nAda\n", "has no column `name`; found: person"),
        ("names.csv", b"name\n\xff\xfe\n", "cannot be read as CSV in UTF-8"),
        ("names.csv", b"", "has no column `name`; found: none"),
        ("names.csv", b"name\n", "nobody was found"),
        ("names.parquet", b"PAR1 no", "cannot be read as Parquet"),
    ],
)
def test_lists_that_are_none(
    tmp_path: Path, name: str, content: bytes, words: str, refused: Refused
) -> None:
    (tmp_path / name).write_bytes(content)
    with refused(words):
        gathered(tmp_path / name, tmp_path)


def test_missing_list(tmp_path: Path, refused: Refused) -> None:
    with refused("names.csv: cannot be read"):
        gathered(tmp_path / "names.csv", tmp_path)


def test_sub_folders_are_names(tmp_path: Path) -> None:
    for name in ("Zoë", "Ada", ".hidden"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
    (tmp_path / "pictures" / "note.txt").touch()
    _, rows = gathered(tmp_path / "pictures", tmp_path)
    assert [(row["uri"], row["name"]) for row in rows] == [
        ("name:Ada", "Ada"),
        ("name:Zo%C3%AB", "Zoë"),
    ]


def test_folder_without_sub_folders(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with pytest.raises(UserError, match="no sub-folders found"):
        gathered(tmp_path / "pictures", tmp_path)
