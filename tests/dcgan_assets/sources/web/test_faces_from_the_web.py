"""Names, addresses and photographs through the assets, all from servers on 127.0.0.1."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from aiohttp import web
from api_servers import ApiServer, SparqlEndpoint, citizens, manners, serving
from commands import materialize, materialize_well
from picture_servers import CONTACT, Server, picture
from PIL import Image

from benchmarks.lfw import lfw_pieces
from dcgan_assets.params.file import profile_text
from dcgan_assets.params.search import ImageUrls, Operator, People, Photos
from dcgan_assets.sources.reading.workers import close_workers
from dcgan_assets.sources.web.search.client import Manners
from dcgan_assets.sources.web.search.people import Web
from dcgan_assets.sources.web.search.search import Searching
from dcgan_assets.sources.web.wanted import Limits
from dcgan_models.files import read_json

pytestmark = pytest.mark.slow

WIKI = "http://www.wikidata.org/entity/Q"
COUNT = 6
HEADER = "address,sha256,person,comment\n"


def portrait(number: int) -> bytes:
    """A face on grey, as a JPEG; each number has its own."""
    pixels = np.full((260, 300, 3), 100 + number, np.uint8)
    face = cv2.resize(lfw_pieces()[(3, 8)[number % 2]], (90, 90), interpolation=cv2.INTER_CUBIC)
    pixels[80:170, 100:190] = face[..., np.newaxis]
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95)
    return stream.getvalue()


@dataclass
class Net:
    """The three services, and which pictures there are of whom."""

    people: ApiServer
    search: ApiServer
    pictures: Server

    @property
    def asked(self) -> int:
        return len(self.people.seen) + len(self.search.seen) + len(self.pictures.asked)


def commons(pictures: Server) -> Any:
    """The action API: person n has a photograph, and person 0 two more that are none."""

    async def handle(request: web.Request) -> web.StreamResponse:
        query = request.query["gsrsearch"]
        if "haswbstatement" not in query:
            return web.json_response({"batchcomplete": True})
        number = int(query.split("P180=Q")[1].split()[0])
        names = [f"{number}.jpg"] + (["gone.jpg", "page.jpg"] if number == 0 else [])
        pages = [_page(pictures, n, number, name) for n, name in enumerate(names)]
        return web.json_response({"batchcomplete": True, "query": {"pages": pages}})

    return handle


def _page(pictures: Server, index: int, number: int, name: str) -> dict[str, Any]:
    info = {
        "url": f"https://upload.example/{name}",
        "descriptionurl": f"https://commons.example/wiki/File:{name}",
        "thumburl": pictures.url(f"/{name}"),
        "width": 300,
        "height": 260,
        "mime": "image/jpeg",
        "extmetadata": {
            "LicenseShortName": {"value": "CC BY-SA 4.0"},
            "Artist": {"value": f"Photographer {number}"},
            "Credit": {"value": f"Archive {number}"},
        },
    }
    return {"pageid": 10 * number + index, "title": name, "index": index + 1, "imageinfo": [info]}


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Iterator[Net]:
    """The assets' own sections, led to servers on this machine; nothing else is changed."""
    pictures = Server({f"/{n}.jpg": picture(portrait(n)) for n in range(COUNT)})
    pictures.answers["/page.jpg"] = picture(b"<html>Sorry</html>")
    everybody = SparqlEndpoint(citizens(COUNT, wiki=WIKI))
    with (
        pictures.running(),
        serving(everybody) as people,
        serving(commons(pictures)) as search,
    ):
        origin, searching = People.origin, ImageUrls.searching

        def local_manners(operator: Operator) -> Manners:
            return manners(contact=operator.contact)

        def local_origin(section: People, *arguments: Any) -> Any:
            web_origin = origin(section, *arguments)
            assert isinstance(web_origin, Web)
            return replace(web_origin, wikidata_endpoint=people.url)

        def local_search(section: ImageUrls, *arguments: Any) -> Searching:
            return replace(
                searching(section, *arguments), commons_endpoint=f"{search.url}/w/api.php"
            )

        def local_limits(section: Photos, contact: str) -> Limits:
            return replace(limits(section, contact), allow_private=(pictures.site,))

        limits = Photos.limits
        monkeypatch.setattr(Photos, "limits", local_limits)
        monkeypatch.setattr(Operator, "manners", local_manners)
        monkeypatch.setattr(People, "origin", local_origin)
        monkeypatch.setattr(ImageUrls, "searching", local_search)
        yield Net(people, search, pictures)


@pytest.fixture
def root(
    net: Net, memory: str | None, dagster_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        root = Path(folder)
        for name in ("DCGAN_ROOT", "DAGSTER_HOME"):
            monkeypatch.setenv(name, str(root))
        shutil.copytree(dagster_home, root / ".dagster_home")
        params = yaml.safe_load(profile_text("sample"))
        params["operator"]["contact"] = CONTACT
        params["faces"].update(
            people={
                "source": "wikidata",
                "count": 100,
                "born_after": "1950-01-01",
                "born_before": "1950-02-01",
            },
            image_urls={"searches": ["commons"], "licences": ["CC BY-SA"]},
            photos={"shards": 2, "delay": 0.0},
        )
        (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        (root / "removals.csv").write_text(HEADER, encoding="utf-8")
        yield root
    close_workers()


def table(root: Path, place: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(root / "data/faces" / place).to_pylist()
    return rows


def photos(root: Path) -> dict[str, dict[str, Any]]:
    rows = [row for n in range(2) for row in table(root, f"photos/0{n}/manifest.parquet")]
    return {row["address"].rpartition("/")[2]: row for row in rows}


def test_faces_from_the_web_and_out_again(root: Path, net: Net) -> None:
    materialize_well(root, "faces/manifest")
    found = photos(root)
    reasons = {name: row["reason"] for name, row in found.items() if row["reason"]}
    assert reasons == {"gone.jpg": "HTTP status", "page.jpg": "not a picture"}
    assert len(found) == COUNT + 2
    faces = [r for r in table(root, "manifest/manifest.parquet") if r["status"] == "kept"]
    assert len(faces) == COUNT
    for face in faces:
        number = int(face["person_uri"].removeprefix(WIKI))
        assert face["source_uri"] == net.pictures.url(f"/{number}.jpg")
        assert face["person_name"] == f"Person {number}"
        assert (face["licence"], face["author"], face["attribution"]) == (
            "CC BY-SA 4.0", f"Photographer {number}", f"Archive {number}",
        )  # fmt: skip
        assert found[f"{number}.jpg"]["page"].endswith(f"wiki/File:{number}.jpg")
    assert all(CONTACT in headers["User-Agent"] for headers in net.pictures.headers)
    assert all(CONTACT in seen.headers["User-Agent"] for seen in net.people.seen + net.search.seen)
    assert read_json(root / "data/faces/face_boxes/00/origin.json")["stand_in"] is False

    # Somebody, and a page, are removed: gone at once, and nobody is asked again.
    before = net.asked
    page = "https://commons.example/wiki/File:2.jpg"
    (root / "removals.csv").write_text(f"{HEADER},,{WIKI}1,\n{page},,,\n", encoding="utf-8")
    materialize_well(root, "faces/manifest")
    assert net.asked == before
    left = {row["person_uri"] for row in table(root, "manifest/manifest.parquet")}
    assert left == {f"{WIKI}{number}" for number in range(COUNT)} - {f"{WIKI}1", f"{WIKI}2"}
    kept = b"".join(path.read_bytes() for path in root.rglob("pictures.bin"))
    for number in range(COUNT):
        assert (portrait(number) in kept) == (number not in (1, 2))

    # Taken off the list again: only they are fetched once more.
    (root / "removals.csv").write_text(HEADER, encoding="utf-8")
    materialize_well(root, "faces/manifest")
    assert len(photos(root)) == COUNT + 2
    assert net.pictures.asked_for("/1.jpg") == net.pictures.asked_for("/2.jpg") == 2
    assert net.pictures.asked_for("/3.jpg") == 1
    assert len(net.people.seen) == 2
    assert materialize(root, "faces/manifest").stdout.startswith("up to date: ")
