"""The annotation server over real HTTP on the loopback: what it does, and what it refuses."""

from __future__ import annotations

import io
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from annotation_client import CONCEPTS, Client, cleared, serve, serve_new
from checkout import CHECKOUT
from fixture_types import Refused
from PIL import Image
from small_generator import SAMPLES, publish_generator

from dcgan_assets.annotate.files import read_boxes, read_concepts
from dcgan_assets.annotate.workbench import SAMPLES_PER_PAGE, ConflictError, Workbench


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    yield from serve_new(tmp_path_factory.mktemp("annotate"))


@pytest.fixture
def client(served: Client) -> Client:
    return cleared(served)


BOX = {"sample": 4, "name": "window", "x": 1, "y": 2, "width": 30, "height": 40}


def pictures(answer: requests.Response) -> Any:
    """The pictures of an answer, uint8 (n, height, width, channels)."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    row = np.asarray(Image.open(io.BytesIO(answer.content)))
    return np.stack(np.split(row, row.shape[1] // 64, axis=1))


# --- What it does ---------------------------------------------------------------------------


def test_the_page_and_its_two_files(client: Client) -> None:
    for path, kind in (("/", "html"), ("/page.css", "css"), ("/page.js", "javascript")):
        answer = requests.get(client.url + path, timeout=120)
        assert answer.status_code == 200
        assert kind in answer.headers["content-type"]
        assert client.token not in answer.text
    page = requests.get(client.url, timeout=120).text
    assert "http://" not in page
    assert "https://" not in page
    assert "<style" not in page
    assert "style=" not in page
    assert page.count("<script") == page.count('<script type="module" src=')


def test_the_pages_files_are_installed() -> None:
    project = CHECKOUT
    settings = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["dcgan_assets"]
    package = project / "dcgan_assets"
    installed = {path for pattern in patterns for path in package.glob(pattern)}
    assert installed >= {package / "annotate" / f"page.{kind}" for kind in ("html", "css", "js")}


def test_the_start_says_what_there_is(client: Client) -> None:
    start = client.start()
    assert start["group"] == "lsun"
    assert (start["samples"], start["width"], start["height"]) == (SAMPLES, 64, 64)
    assert start["concepts"] == {}
    assert start["revisions"] == {"concepts": "", "boxes": ""}


def test_samples_come_a_page_at_a_time(client: Client) -> None:
    pages = [pictures(client.ask("GET", f"/api/samples/{n}")) for n in range(3)]
    assert [len(page) for page in pages] == [SAMPLES_PER_PAGE, SAMPLES_PER_PAGE, 6]
    np.testing.assert_array_equal(np.concatenate(pages), client.bench.drawing.samples(0, SAMPLES))
    answer = client.ask("GET", "/api/samples/3")
    assert (answer.status_code, answer.json()) == (400, {"error": "page 3 does not exist"})


def test_concepts_are_saved_and_found_again(client: Client) -> None:
    answer = client.save("concepts", CONCEPTS)
    assert answer.status_code == 200, answer.text
    path = client.bench.root / "annotations/lsun/concepts.json"
    found = read_concepts(path, client.bench.subject)
    assert dict(found.picks) == {"dark": (1, 3), "empty": (), "light": (2,)}
    assert found.picked_by == "person"
    start = client.start()
    assert start["concepts"] == {"dark": [1, 3], "empty": [], "light": [2]}
    assert start["revisions"]["concepts"] == answer.json()["revision"]


def test_boxes_are_saved_and_found_again(client: Client) -> None:
    assert client.save("boxes", {"samples": [7], "boxes": [BOX]}).status_code == 200
    path = client.bench.root / "annotations/lsun/boxes.coco.json"
    found = read_boxes(path, client.bench.subject)
    assert found.samples == (4, 7)
    assert vars(found.boxes[0]) == BOX
    assert client.start()["boxes"] == [BOX]
    assert client.start()["looked_at"] == [4, 7]


def test_pictures_are_drawn_from_the_picks_on_the_page(client: Client) -> None:
    drawing = client.bench.drawing
    picks = {"dark": [1, 3], "light": [2]}
    turn = {"left": "dark", "right": "light", "sample": 9}
    wishes = {
        "mean": ({"concept": "dark"}, drawing.mean("dark", picks)),
        "arithmetic": ({"expression": "dark - light"}, drawing.arithmetic("dark - light", picks)),
        "walk": ({"start": 5, "end": 6}, drawing.walk(5, 6)),
        "turn": (turn, drawing.turn("dark", "light", picks, 9)),
    }
    for name, (wish, expected) in wishes.items():
        drawn = pictures(client.draw({"draw": name, **wish}))
        np.testing.assert_array_equal(drawn, expected)
    assert client.files() == {}, "drawing writes nothing"


# --- What it refuses ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"draw": "mean", "concept": "drak"}, ("unknown concept 'drak'", "dark, empty, light")),
        ({"draw": "mean", "concept": "empty"}, ("'empty' has 0 picks", "dark, empty")),
        (
            {"draw": "arithmetic", "expression": "dark * 2"},
            ("cannot read '*'", "+ and -"),
        ),
        ({"draw": "arithmetic", "expression": "d" * 3000}, ("2000",)),
        ({"draw": "walk", "start": 1, "end": SAMPLES}, (f"sample {SAMPLES}", "0 to 69")),
        ({"draw": "walk", "start": 1, "end": -1}, ("sample -1",)),
        ({"draw": "walk", "start": 1, "end": "2"}, ("walk.end", "integer")),
        ({"draw": "turn", "left": "dark", "right": "dark"}, ("turn.sample", "required")),
        ({"draw": "cat"}, ("cat",)),
        (None, ("draw",)),
    ],
    ids=repr,
)
def test_wishes_that_cannot_be_drawn(wish: Any, words: tuple[str, ...], client: Client) -> None:
    answer = client.draw(wish)
    assert answer.status_code == 400
    line = answer.json()["error"]
    assert "\n" not in line
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ("concepts", {"../../outside": [1]}),
        ("concepts", {"/outside": [1]}),
        ("concepts", {"dark": [SAMPLES]}),
        ("concepts", ["dark"]),
        ("concepts", None),
        ("boxes", {"samples": [], "boxes": [{**BOX, "x": 40}]}),
        ("boxes", {"samples": [], "boxes": [{**BOX, "name": "\n"}]}),
        ("boxes", {"samples": [SAMPLES], "boxes": []}),
        ("boxes", []),
    ],
    ids=repr,
)
def test_bad_annotations_are_not_saved(part: str, content: Any, client: Client) -> None:
    answer = client.save(part, content)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(part)
    assert client.files() == {}


def test_a_change_behind_the_pages_back_is_not_lost(client: Client) -> None:
    assert client.save("concepts", CONCEPTS).status_code == 200
    old = client.start()["revisions"]["concepts"]
    path = client.bench.root / "annotations/lsun/concepts.json"
    theirs = path.read_text("utf-8").replace("dark", "gloomy")
    path.write_text(theirs, encoding="utf-8")
    answer = client.ask("PUT", "/api/concepts", {"revision": old, "content": {}})
    assert answer.status_code == 409
    assert "changed by something else" in answer.json()["error"]
    assert path.read_text("utf-8") == theirs


def test_a_bug_of_ours_is_not_told_to_the_page(client: Client) -> None:
    class Broken(Workbench):
        def page(self, number: int) -> Any:
            raise ZeroDivisionError("a secret of ours")

    bench = client.bench
    for other in serve(Broken(bench.root, bench.subject, bench.drawing)):
        answer = other.ask("GET", "/api/samples/0")
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text
        assert other.token != client.token


def test_a_full_disk_is_said(client: Client) -> None:
    place = client.bench.root / "annotations"
    for path in sorted(place.rglob("*"), reverse=True):
        path.rmdir()
    place.rmdir()
    place.touch()
    answer = client.ask("PUT", "/api/concepts", {"revision": "", "content": {}})
    place.unlink()
    assert answer.status_code == 500
    assert "cannot be read or written" in answer.json()["error"]


# --- Opening --------------------------------------------------------------------------------


def test_only_for_a_published_generator(tmp_path: Path, refused: Refused) -> None:
    with refused("cats: no generator is published", "dcgan materialize cats/generator"):
        Workbench.open(tmp_path, "cats")


def test_only_for_a_generator_with_fixed_samples(tmp_path: Path, refused: Refused) -> None:
    publish_generator(tmp_path, "lsun", samples=0)
    with refused("lsun: its generator has no fixed samples (fixed_z.npy)"):
        Workbench.open(tmp_path, "lsun")


def test_picks_for_another_generator_are_refused(tmp_path: Path, refused: Refused) -> None:
    old = publish_generator(tmp_path, "lsun", seed=1)
    bench = Workbench.open(tmp_path, "lsun")
    assert bench.save_concepts(CONCEPTS, "")
    assert bench.save_boxes({"samples": [1], "boxes": []}, "")
    new = publish_generator(tmp_path, "lsun", seed=2)
    assert new != old
    with refused("concepts.json", old[:12], new[:12], "move the file away"):
        Workbench.open(tmp_path, "lsun")
    (tmp_path / "annotations/lsun/concepts.json").unlink()
    with refused("boxes.coco.json", old[:12], new[:12]):
        Workbench.open(tmp_path, "lsun")
    with pytest.raises(ConflictError, match="another generator of lsun was published"):
        bench.save_concepts(CONCEPTS, "")
