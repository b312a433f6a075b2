"""`image_urls`: Commons and cover archives on 127.0.0.1, and a folder of pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web
from api_servers import ApiServer, FakeTime, manners, page, reply, serving
from fixture_types import Refused
from PIL import Image

from dcgan_assets.sources.reading.items import UnreadableError
from dcgan_assets.sources.web.removals import RemovalList, canonical_address
from dcgan_assets.sources.web.search.address_table import ADDRESS_SCHEMA, SEARCH_SCHEMA
from dcgan_assets.sources.web.search.found import Subject
from dcgan_assets.sources.web.search.picture_folder import read_folder_picture
from dcgan_assets.sources.web.search.search import Searching, SearchReport, gather_addresses

ENTITY = "http://www.wikidata.org/entity/"
ADA = Subject(f"{ENTITY}Q7259", "Ada Lovelace", f"{ENTITY}Q7259")
BOB = Subject(f"{ENTITY}Q2", "Bob", f"{ENTITY}Q2")
NOTHING = RemovalList()
Row = dict[str, Any]
Answer = Callable[[], web.StreamResponse]


def gathered(
    subjects: Sequence[Subject],
    searching: Searching,
    folder: Path,
    removals: RemovalList = NOTHING,
) -> tuple[SearchReport, list[Row], list[Row]]:
    report = gather_addresses(
        subjects, searching, removals, folder / "work", folder, lambda line: None
    )
    pictures = pq.read_table(folder / "image_urls.parquet")
    searches = pq.read_table(folder / "searches.parquet")
    assert pictures.schema.equals(ADDRESS_SCHEMA)
    assert searches.schema.equals(SEARCH_SCHEMA)
    assert report.kept + report.rejected == pictures.num_rows
    assert pictures.num_rows == sum(searches["found"].to_pylist())
    assert searches.num_rows == len(subjects) * len(searching.searches)
    return report, pictures.to_pylist(), searches.to_pylist()


# --- Wikimedia Commons ----------------------------------------------------------------------


def file_page(number: int, **changes: Any) -> dict[str, Any]:
    """A page as the API gives it; keywords change its `imageinfo`."""
    name = f"File_{number}.jpg"
    info = {
        "url": f"https://upload.example/a/{name}",
        "descriptionurl": f"https://commons.example/wiki/File:{name}",
        "thumburl": f"https://thumb.example/a/{name}/960px-{name}?sig=%C3%9f",
        "thumbwidth": 960,
        "thumbheight": 720,
        "width": 4000,
        "height": 3000,
        "size": 1234567,
        "mime": "image/jpeg",
        "sha1": f"{number:040x}",
        "extmetadata": {
            "LicenseShortName": {"value": "CC BY-SA 4.0", "source": "commons-desc-page"},
            "LicenseUrl": {"value": "https://creativecommons.org/licenses/by-sa/4.0"},
            "Artist": {"value": f'<a href="//x">Ren&eacute;  {number}</a><style>p{{}}</style>'},
            "Credit": {"value": '<span class="int-own-work">Own work</span>'},
            "Restrictions": {"value": "personality"},
        },
        **changes,
    }
    info = {key: value for key, value in info.items() if value is not None}
    return {
        "pageid": number,
        "ns": 6,
        "title": f"File:{name}",
        "index": number,
        "imageinfo": [info],
    }


class Commons:
    """The action API: files by query, `continue` in pages of 50, faults by request number."""

    def __init__(self, **files: list[dict[str, Any]]) -> None:
        self.files = files
        self.faults: dict[int, Answer] = {}
        self.requests = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        fault = self.faults.get(self.requests)
        self.requests += 1
        if fault is not None:
            return fault()
        query = request.query["gsrsearch"]
        kind = "depicts" if "haswbstatement" in query else "name"
        files = self.files.get(f"{kind}_{self.who(query)}", [])
        start = int(request.query.get("gsroffset", 0))
        end = start + int(request.query["gsrlimit"])
        content: dict[str, Any] = {"batchcomplete": True}
        if files[start:end]:
            # The API gives pages in the order of their ids, not of the search.
            content["query"] = {"pages": files[start:end][::-1]}
        if end < len(files):
            content["continue"] = {"gsroffset": end, "continue": "gsroffset||"}
        return web.json_response(content)

    @staticmethod
    def who(query: str) -> str:
        return "ada" if "Q7259" in query or "Ada" in query else "bob"


def commons(server: ApiServer, **changes: Any) -> Searching:
    settings = {"manners": manners(), "commons_endpoint": f"{server.url}/w/api.php"}
    return Searching(("commons",), **{**settings, **changes})


def test_files_of_a_person_with_all_that_is_said_of_them(tmp_path: Path) -> None:
    files = Commons(depicts_ada=[file_page(1)], name_ada=[file_page(1), file_page(2)])
    with serving(files) as server:
        report, rows, searches = gathered([ADA], commons(server), tmp_path)
    assert rows[0] == {
        "person_uri": ADA.uri,
        "person": "Ada Lovelace",
        "search": "commons:depicts",
        "rank": 0,
        "page": "https://commons.example/wiki/File:File_1.jpg",
        "address": "https://thumb.example/a/File_1.jpg/960px-File_1.jpg?sig=%C3%9f",
        "original": "https://upload.example/a/File_1.jpg",
        "licence": "CC BY-SA 4.0",
        "licence_url": "https://creativecommons.org/licenses/by-sa/4.0",
        "author": "René 1",
        "attribution": "Own work",
        "restrictions": "personality",
        "sha1": f"{1:040x}",
        "width": 4000,
        "height": 3000,
        "mime": "image/jpeg",
        "status": "kept",
        "reason": None,
    }
    assert [(row["search"], row["rank"]) for row in rows[1:]] == [("commons:name", 1)]
    assert report.licences == {"CC BY-SA 4.0": 2}
    assert searches == [
        {
            "person_uri": ADA.uri, "person": ADA.name, "search": "commons", "found": 2,
            "status": "kept", "reason": None,
        }
    ]  # fmt: skip
    first, second = server.seen
    assert first.query["gsrsearch"] == "haswbstatement:P180=Q7259 filetype:bitmap"
    assert second.query["gsrsearch"] == '"Ada Lovelace" filetype:bitmap filew:>200'
    assert first.query["iiurlwidth"] == "960"
    assert first.query["maxlag"] == "5"
    assert "ada@dcgan.test" in first.headers["User-Agent"]


def test_pages_are_followed_in_the_order_of_the_search(tmp_path: Path) -> None:
    files = Commons(depicts_ada=[file_page(n) for n in range(120)])
    with serving(files) as server:
        _, rows, _ = gathered([ADA], commons(server, most=110), tmp_path)
    assert [row["sha1"] for row in rows] == [f"{n:040x}" for n in range(110)]
    assert [seen.query.get("gsroffset") for seen in server.seen] == [None, "50", "100"]
    assert server.seen[1].query["continue"] == "gsroffset||"


@pytest.mark.parametrize("moving", [True, False])
def test_continue_that_never_ends(tmp_path: Path, moving: bool) -> None:
    class Endless(Commons):
        async def __call__(self, request: web.Request) -> web.StreamResponse:
            self.requests += 1
            place = self.requests if moving else 50
            return web.json_response({"continue": {"gsroffset": place, "continue": "gsroffset||"}})

    endless = Endless()
    with serving(endless) as server:
        report, _, (search,) = gathered([ADA], commons(server), tmp_path)
    assert search["status"] == "rejected"
    assert search["reason"].startswith("commons: `continue`")
    assert endless.requests < 12
    assert report.failed == {search["reason"]: 1}


def test_missing_fields_are_no_crash(tmp_path: Path) -> None:
    files = Commons(
        depicts_ada=[
            file_page(1, extmetadata=None),
            file_page(2, extmetadata=[]),
            file_page(3, extmetadata={"LicenseShortName": {}, "Artist": {"value": ""}}),
            file_page(4, thumburl=None, sha1=None, width=-1, height="3", mime=None),
            {"pageid": 5, "ns": 6, "title": "File:Gone.jpg", "missing": True, "index": 5},
            {"pageid": 6, "ns": 6, "title": "File:Bare.jpg", "index": 6},
        ]
    )
    with serving(files) as server:
        report, rows, _ = gathered([ADA], commons(server), tmp_path)
    assert [row["licence"] for row in rows] == ["unstated"] * 3 + ["CC BY-SA 4.0"]
    assert {row["author"] for row in rows[:3]} == {"unstated"}
    bare = rows[3]
    assert bare["address"] == "https://upload.example/a/File_4.jpg"
    assert [bare[name] for name in ("sha1", "width", "height", "mime")] == [None] * 4
    assert report.kept == 4


def test_duplicates_are_rejected_once_each(tmp_path: Path) -> None:
    other = file_page(9, sha1=f"{1:040x}")
    files = Commons(depicts_ada=[file_page(1), other], depicts_bob=[file_page(1), file_page(3)])
    with serving(files) as server:
        report, rows, _ = gathered([ADA, BOB], commons(server), tmp_path)
    assert report.reasons == {"address found already": 1, "the same file found already": 1}
    assert [row["reason"] for row in rows] == [
        None, "the same file found already", "address found already", None,
    ]  # fmt: skip


def test_licences_that_are_not_accepted(tmp_path: Path) -> None:
    def under(number: int, licence: str | None) -> dict[str, Any]:
        fields = {} if licence is None else {"LicenseShortName": {"value": licence}}
        return file_page(number, extmetadata=fields)

    names = ["CC BY 2.0 de", "CC-BY-SA-3.0", "CC0", "Public domain", "CC BY-NC 2.0", "GFDL", None]
    files = Commons(depicts_ada=[under(n, name) for n, name in enumerate(names)])
    accepted = ("CC BY", "cc by-sa", "CC0 1.0", "public domain")
    with serving(files) as server:
        report, rows, _ = gathered([ADA], commons(server, licences=accepted), tmp_path)
    assert [row["status"] for row in rows] == ["kept"] * 4 + ["rejected"] * 3
    assert rows[4]["reason"] == "licence not accepted: CC BY-NC 2.0"
    assert report.reasons == {"licence not accepted": 2, "licence not stated": 1}


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ('Dwayne "The Rock" Johnson', '"Dwayne  The Rock  Johnson" filetype:bitmap filew:>200'),
        ("宮崎 駿", '"宮崎 駿" filetype:bitmap filew:>200'),
        ("محمد علي", '"محمد علي" filetype:bitmap filew:>200'),
        ("back\\slash", '"back slash" filetype:bitmap filew:>200'),
    ],
)
def test_names_in_any_script_are_one_phrase(tmp_path: Path, name: str, query: str) -> None:
    with serving(Commons()) as server:
        report, _, _ = gathered([Subject("x:1", name)], commons(server), tmp_path)
    assert [seen.query["gsrsearch"] for seen in server.seen] == [query]
    assert report.failed == {}


@pytest.mark.parametrize(
    "fault",
    [
        reply({"error": {"code": "maxlag", "info": "Waiting for db1: 9 s lagged", "lag": 9}}),
        reply({"error": {"code": "ratelimited", "info": "Slow down"}}, Retry_After="3"),
        page(429, Retry_After="4"),
        page(503),
        page(200),
    ],
)
def test_busy_servers_are_asked_again(tmp_path: Path, fault: Answer) -> None:
    files, time = Commons(depicts_ada=[file_page(1)]), FakeTime()
    files.faults = {0: fault, 1: fault}
    with serving(files) as server:
        report, _, _ = gathered([ADA], commons(server, manners=manners(time)), tmp_path)
    assert report.kept == 1
    assert report.failed == {}
    assert len(time.slept) == 2


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (reply({"error": {"code": "badvalue", "info": "No\nsuch"}}), "commons: badvalue: No such"),
        (reply({"error": "odd"}), "commons: unknown"),
        (reply({"answer": []}), "commons: JSON without query, continue or batchcomplete"),
        (reply([]), "commons: JSON of another shape than documented"),
        (reply({"query": {"pages": {"17": {}}}}), "commons: JSON of another shape"),
        (reply({"query": {"pages": [{"imageinfo": [{}]}]}}), "commons: `imageinfo` of another"),
        (page(404), "127.0.0.1: HTTP 404"),
    ],
)
def test_one_failure_rejects_one_person(tmp_path: Path, fault: Answer, words: str) -> None:
    files = Commons(name_bob=[file_page(1)])
    files.faults = {0: fault}
    with serving(files) as server:
        report, _, searches = gathered([ADA, BOB], commons(server), tmp_path)
    assert [row["status"] for row in searches] == ["rejected", "kept"]
    assert searches[0]["reason"].startswith(words)
    assert report.kept == 1


def crowd(count: int) -> list[Subject]:
    return [Subject(f"x:{n}", f"Person {n}") for n in range(count)]


@pytest.mark.parametrize("fault", [page(503), page(200), reply({"shape": "new"})])
def test_service_that_is_gone_ends_in_one_line(
    tmp_path: Path, fault: Answer, refused: Refused
) -> None:
    files, people = Commons(name_bob=[file_page(1)]), crowd(50)
    files.faults = dict.fromkeys(range(3, 500), fault)
    with serving(files) as server:
        with refused("5 requests in a row failed, the last one:", "run again to go on"):
            gathered(people, commons(server), tmp_path)
        assert files.requests <= 3 + 5 * 4
        assert not (tmp_path / "image_urls.parquet").exists()
        # It was not those five people's fault: they are looked for again.
        files.faults, files.requests = {}, 0
        report, _, searches = gathered(people, commons(server), tmp_path)
    assert files.requests == 47
    assert report.failed == {}
    assert {row["status"] for row in searches} == {"kept"}


def test_run_that_was_killed_goes_on(tmp_path: Path) -> None:
    files, people = Commons(name_bob=[file_page(1), file_page(2)]), crowd(20)
    with serving(files) as server:
        first, rows, _ = gathered(people, commons(server), tmp_path)
        journal = tmp_path / "work" / "searches.jsonl"
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(lines[:12]) + lines[12][:-1])
        files.requests = 0
        again, same, _ = gathered(people, commons(server), tmp_path)
        assert files.requests == 20 - 11
        assert (again, same) == (first, rows)
        # Another question: what was found answers nothing of it.
        files.requests = 0
        gathered(people, commons(server, width=500), tmp_path)
    assert files.requests == 20


def test_other_licences_need_no_new_search(tmp_path: Path) -> None:
    files = Commons(name_bob=[file_page(1)])
    with serving(files) as server:
        gathered([BOB], commons(server), tmp_path)
        files.requests = 0
        report, _, _ = gathered([BOB], commons(server, licences=("CC0",)), tmp_path)
    assert files.requests == 0
    assert report.reasons == {"licence not accepted": 1}


@pytest.mark.parametrize(
    "address", ["ftp://x.example/a.jpg", "data:image/png;base64,AA", "a.jpg", "https:///a", "x:y z"]
)
def test_addresses_that_are_none(tmp_path: Path, address: str) -> None:
    files = Commons(name_bob=[file_page(1, thumburl=address)])
    with serving(files) as server:
        report, _, _ = gathered([BOB], commons(server), tmp_path)
    assert report.kept == 0
    assert set(report.reasons) <= {"no address", "address not http or https"}


def test_lone_surrogates_and_line_breaks_in_answers(tmp_path: Path) -> None:
    artist = {"Artist": {"value": "A\ud800\n\u202eB"}}
    files = Commons(name_bob=[file_page(1, extmetadata=artist, mime="image/\udfff")])
    with serving(files) as server:
        _, rows, _ = gathered([BOB], commons(server), tmp_path)
    assert rows[0]["author"] == "A\ufffd B"
    assert rows[0]["mime"] == "image/\ufffd"


def test_no_contact_and_nothing_is_fetched(tmp_path: Path, refused: Refused) -> None:
    with serving(Commons()) as server:
        for who in (None, manners(contact="")):
            with refused("`contact` is missing", "nothing is fetched"):
                gathered([ADA], commons(server, manners=who), tmp_path)
        with refused("commons_endpoint: ", "https on a public host"):
            gathered([ADA], commons(server, manners=manners(allow_private=False)), tmp_path)
    assert not server.seen


# --- Removals -------------------------------------------------------------------------------


def removals(**entries: str) -> RemovalList:
    return RemovalList(
        {
            (kind, canonical_address(value) if kind == "address" else value): line
            for line, (kind, value) in enumerate(entries.items(), 2)
        }
    )


@pytest.mark.parametrize(
    "address",
    [
        "https://thumb.example/a/File_1.jpg/960px-File_1.jpg?sig=%c3%9F",
        "http://UPLOAD.example:80/a/File%5F1.jpg#top",
        "https://commons.example/wiki/File:File_1.jpg",
    ],
)
def test_removed_addresses_in_any_spelling(tmp_path: Path, address: str) -> None:
    files = Commons(name_bob=[file_page(1), file_page(2)])
    with serving(files) as server:
        report, rows, _ = gathered([BOB], commons(server), tmp_path, removals(address=address))
    assert report.kept == 1
    assert rows[0]["reason"] == "removed: address (line 2 of the removal list)"
    told = {name for name, value in rows[0].items() if value not in (None, "")}
    assert told == {"search", "rank", "licence", "width", "height", "mime", "status", "reason"}
    assert rows[1]["person"] == "Bob"


def test_removed_people_are_not_looked_for(tmp_path: Path) -> None:
    files = Commons(name_bob=[file_page(1)], name_ada=[file_page(2)])
    with serving(files) as server:
        _, _, searches = gathered([ADA, BOB], commons(server), tmp_path, removals(person=BOB.uri))
        assert not [seen for seen in server.seen if "Bob" in seen.query["gsrsearch"]]
        assert searches[1]["reason"] == "removed: person (line 2 of the removal list)"
        # Removed after the search: what was found goes as well.
        report, rows, searches = gathered(
            [ADA, BOB], commons(server), tmp_path, removals(person=ADA.uri)
        )
    assert (report.kept, report.rejected) == (1, 0)
    assert [row["person"] for row in rows] == ["Bob"]
    assert [search["found"] for search in searches] == [0, 1]
    assert searches[0]["reason"] == "removed: person (line 2 of the removal list)"


# --- Covers ---------------------------------------------------------------------------------

GROUP, SECOND = "a73cecde-0923-40ad-aad1-e8c24ba6c3d2", "b84cecde-0923-40ad-aad1-e8c24ba6c3d2"
GROUP_URI = f"https://musicbrainz.org/release-group/{GROUP}"


class Covers:
    """MusicBrainz under /ws/2 and the Cover Art Archive, whose listings lie elsewhere."""

    def __init__(self) -> None:
        self.listings = {GROUP: self.listing()}

    @staticmethod
    def listing() -> dict[str, Any]:
        back = {"front": False, "types": ["Back"], "image": "http://coverartarchive.org/back.jpg"}
        front = {
            "front": True,
            "types": ["Front"],
            "image": "http://coverartarchive.org/release/r/1.jpg",
            "thumbnails": {
                "250": "http://coverartarchive.org/release/r/1-250.jpg",
                "500": "http://coverartarchive.org/release/r/1-500.jpg",
                "large": "http://coverartarchive.org/release/r/1-500.jpg",
            },
        }
        return {"images": [back, front], "release": "https://musicbrainz.org/release/r"}

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/ws/2/release-group":
            credit = [{"name": "Simon", "joinphrase": " & "}, {"name": "Garfunkel"}]
            groups = [
                {"id": GROUP, "score": 100, "title": "Bookends", "artist-credit": credit},
                {"id": SECOND, "score": 95, "title": "Bookends", "artist-credit": credit},
                {"id": "../../evil", "score": 99, "artist-credit": credit},
                {"id": GROUP, "score": 40, "title": "Else", "artist-credit": credit},
            ]
            return web.json_response({"count": 4, "offset": 0, "release-groups": groups})
        group = request.path.rpartition("/")[2]
        if request.path.startswith("/covers/") and group in self.listings:
            raise web.HTTPTemporaryRedirect(f"/download/{group}")
        if group not in self.listings:
            return web.Response(status=404, text="<html>No cover</html>", content_type="text/html")
        return web.json_response(self.listings[group])


def covers(server: ApiServer) -> Searching:
    return Searching(
        ("covers",),
        manners(),
        musicbrainz_endpoint=f"{server.url}/ws/2",
        covers_endpoint=f"{server.url}/covers",
    )


def test_cover_of_an_album_by_name(tmp_path: Path) -> None:
    album = Subject("name:x", 'Simon & Garfunkel - Book "ends"')
    with serving(Covers()) as server:
        report, rows, _ = gathered([album], covers(server), tmp_path)
    (row,) = rows
    assert row["address"] == "https://coverartarchive.org/release/r/1-500.jpg"
    assert row["original"] == "https://coverartarchive.org/release/r/1.jpg"
    assert row["author"] == "Simon & Garfunkel"
    assert row["licence"] == "unstated"
    assert report.failed == {}
    query = server.seen[0].query["query"]
    assert query == 'releasegroup:"Book \\"ends\\"" AND artist:"Simon & Garfunkel"'
    assert not [seen for seen in server.seen if "evil" in seen.path]


def test_cover_of_an_album_by_its_address(tmp_path: Path) -> None:
    with serving(Covers()) as server:
        album = Subject(GROUP_URI, "Simon & Garfunkel - Bookends")
        report, _, _ = gathered([album], covers(server), tmp_path)
    assert report.kept == 1
    assert [seen.path for seen in server.seen] == [
        f"/covers/release-group/{GROUP}",
        f"/download/{GROUP}",
    ]


def test_albums_without_a_cover_are_no_failure(tmp_path: Path) -> None:
    archive = Covers()
    archive.listings = {}
    albums = [Subject(f"name:{n}", f"A - {n}") for n in range(8)]
    with serving(archive) as server:
        report, rows, _ = gathered(albums, covers(server), tmp_path)
    assert (rows, report.failed) == ([], {})


# --- A folder -------------------------------------------------------------------------------


def picture(path: Path, side: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(1).integers(0, 256, (side, side + 2, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, format="PNG")


def test_folder_of_pictures(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    picture(root / "Ada Lovelace" / "b ü.png")
    picture(root / "Ada Lovelace" / "a.png", 16)
    picture(root / "Bob" / "c.png")
    (root / "Bob" / "notes.txt").write_text("no picture")
    searching = Searching(
        ("folder",), folder=root, folder_licence="CC0", folder_attribution="A. Nonymous"
    )
    report, rows, _ = gathered([ADA, Subject("x", "Bob"), Subject("y", "Eve")], searching, tmp_path)
    assert [row["address"] for row in rows] == [
        "folder:Ada%20Lovelace/a.png",
        "folder:Ada%20Lovelace/b%20%C3%BC.png",
        "folder:Bob/c.png",
        "folder:Bob/notes.txt",
    ]
    assert (rows[0]["width"], rows[0]["height"], rows[0]["mime"]) == (18, 16, "image/png")
    assert rows[3]["mime"] is None
    assert report.licences == {"CC0": 4}
    for row, name in zip(rows, ("Ada Lovelace/a.png", "Ada Lovelace/b ü.png"), strict=False):
        assert read_folder_picture(root, row["address"]) == (root / name).read_bytes()


@pytest.mark.parametrize(
    "address",
    [
        "folder:../secret.png",
        "folder:%2e%2e/secret.png",
        "folder:/etc/passwd",
        "file:a",
        "folder:no",
    ],
)
def test_folder_pictures_lie_in_the_folder(tmp_path: Path, address: str) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    with pytest.raises(UnreadableError):
        read_folder_picture(tmp_path / "pictures", address)


def test_missing_folder(tmp_path: Path, refused: Refused) -> None:
    with refused(str(tmp_path / "no"), "cannot be listed"):
        gathered([ADA], Searching(("folder",), folder=tmp_path / "no"), tmp_path)


def test_unknown_search(tmp_path: Path, refused: Refused) -> None:
    with refused("search 'bing'", "commons, covers, and folder"):
        gathered([ADA], Searching(("bing",), manners()), tmp_path)


def test_pictures_of_a_folder_have_terms_of_their_own_where_a_table_says_so(tmp_path: Path) -> None:
    for name in ("1.png", "2.png"):
        place = tmp_path / "pictures" / "Ada Lovelace" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(place)
    terms = {"file": ["Ada Lovelace/2.png"], "licence": ["CC0"], "author": ["Zoë"]}
    pq.write_table(pa.table({**terms, "attribution": ["Zoë, 1843"]}), tmp_path / "terms.parquet")
    searching = Searching(
        ("folder",),
        folder=tmp_path / "pictures",
        folder_licence="ours",
        folder_attribution="us",
        folder_terms=tmp_path / "terms.parquet",
    )
    _, rows, _ = gathered([ADA], searching, tmp_path)
    assert [(row["licence"], row["author"], row["attribution"]) for row in rows] == [
        ("ours", "us", "us"),
        ("CC0", "Zoë", "Zoë, 1843"),
    ]
