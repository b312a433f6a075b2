"""The faces group with tiny networks, from names to figures, as a user makes it; nobody is asked.

What travels with a picture is followed from the drawn photographs' own table to what is
trained on; what somebody wants removed is gone from every stage; and without a contact nothing is
asked of the web.
"""

from __future__ import annotations

import hashlib
import shutil
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from commands import figure, materialize, materialize_well, refusal
from PIL import Image
from small_group import small_candidate

from dcgan_assets.engine import results
from dcgan_assets.params.file import profile_text
from dcgan_assets.sources.drawn.people_files import HEADS_FILE
from dcgan_assets.sources.drawn.people_files import PICTURES_FILE as TRUTH_FILE
from dcgan_assets.sources.web.download.packing import packed_pictures
from dcgan_models.data import PixelStore
from dcgan_models.files import read_json

pytestmark = pytest.mark.slow

Row = dict[str, Any]
Edit = Callable[[dict[str, Any]], object]
NAMES, FACES, OTHERS = 14, 4, 1
PICTURES = NAMES * (FACES + OTHERS)
SHARDS = ("00", "01")
HEADER = "address,sha256,person,comment\n"


def write_params(root: Path, edit: Edit = lambda faces: None) -> None:
    """The sample profile, cut until everything takes a moment; `edit` gets the faces section."""
    params = yaml.safe_load(profile_text("sample"))
    params["machine"]["device"] = "cpu"
    faces = params["faces"]
    packaged = {"names": NAMES, "faces": FACES, "others": OTHERS}
    faces["people"].update(count=NAMES, packaged=packaged)
    faces["training_set"]["held_out"] = 0.3
    faces["candidate"].update(small_candidate(0.03, 16))
    faces["samples"].update(rows=3, columns=4)
    faces["extractor"]["epochs"] = 1
    faces["judge"]["updates"] = 10
    faces["claims"].update(samples=100, repeats=10)
    edit(faces)
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    if not (root / "removals.csv").exists():
        (root / "removals.csv").write_text(HEADER, encoding="utf-8")


@pytest.fixture(scope="module")
def root(module_root: Path) -> Path:
    """A workspace in which the group was made; tests change nothing in it."""
    write_params(module_root)
    materialize_well(module_root, "faces")
    return module_root


@pytest.fixture
def copy(root: Path, fast_disk: Path) -> Path:
    return Path(shutil.copytree(root, fast_disk / "copy"))


def table(root: Path, place: str) -> list[Row]:
    rows: list[Row] = pq.read_table(root / "data/faces" / place).to_pylist()
    return rows


def shards(root: Path, asset: str, file: str = "manifest.parquet") -> list[Row]:
    return [row for shard in SHARDS for row in table(root, f"{asset}/{shard}/{file}")]


def kept(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["status"] == "kept"]


def bytes_of(root: Path) -> dict[str, bytes]:
    """Every photograph that is kept, by key."""
    folders = [root / "data/faces/photos" / shard for shard in SHARDS]
    return {key: place.read() for folder in folders for key, place in packed_pictures(folder)}


# --- From names to faces --------------------------------------------------------------------


def test_all_is_up_to_date_afterwards(root: Path) -> None:
    done = materialize(root, "faces")
    assert done.exit_code == 0
    assert done.stdout.startswith("up to date: ")


def test_counts_add_up_at_each_stage(root: Path) -> None:
    people = table(root, "people/people.parquet")
    assert len(kept(people)) == len(people) == NAMES
    addresses = table(root, "image_urls/image_urls.parquet")
    assert len(kept(addresses)) == len(addresses) == PICTURES
    photos = shards(root, "photos")
    assert len(photos) == PICTURES
    assert all(shards(root, "photos")[i]["key"] for i in range(PICTURES))
    assert min(len(table(root, f"photos/{shard}/manifest.parquet")) for shard in SHARDS) > 10
    boxes = shards(root, "face_boxes", "boxes.parquet")
    assert {row["photo"] for row in boxes} == {row["key"] for row in kept(photos)}
    manifest = table(root, "manifest/manifest.parquet")
    assert [row["key"] for row in manifest] == [row["key"] for row in boxes]
    copies = [row for row in manifest if row["duplicate_of"] is not None]
    assert len(kept(manifest)) == len(kept(boxes)) - len(copies)
    index = table(root, "training_set/index.parquet")
    assert sorted(row["key"] for row in index) == sorted(row["key"] for row in kept(manifest))
    splits = Counter(row["split"] for row in index)
    assert read_json(root / "data/faces/training_set/dataset.json")["splits"] == dict(splits)
    # Whatever is rejected says why, at each stage.
    for rows in (photos, boxes, manifest):
        assert all((row["reason"] is None) == (row["status"] == "kept") for row in rows)


def test_what_is_said_of_a_photograph_goes_with_its_faces_to_the_training_set(root: Path) -> None:
    truth = {row["file"]: row for row in table(root, f"people/{TRUTH_FILE}")}
    people = {row["uri"]: row for row in table(root, "people/people.parquet")}
    addresses = {row["address"]: row for row in table(root, "image_urls/image_urls.parquet")}
    photos = {row["key"]: row for row in shards(root, "photos")}
    manifest = {row["key"]: row for row in table(root, "manifest/manifest.parquet")}
    index = table(root, "training_set/index.parquet")
    licences = set()
    for picture in index:
        face = manifest[picture["key"]]
        photo = photos[face["photo"]]
        found = addresses[photo["address"]]
        person = people[found["person_uri"]]
        file = f"{person['name']}/{photo['address'][-7:]}"
        for name in ("licence", "author", "attribution"):
            assert face[name] == photo[name] == found[name] == truth[file][name]
        assert face["person_uri"] == photo["person_uri"] == person["uri"]
        assert face["person_name"] == photo["person_name"] == person["name"]
        assert person["name"] == truth[file]["person_name"]
        assert face["source_sha256"] == photo["sha256"]
        licences.add(face["licence"])
    assert len(licences) > 1


def test_bytes_in_the_tar_are_the_photographs(root: Path) -> None:
    photos = {row["key"]: row for row in shards(root, "photos")}
    found = bytes_of(root)
    assert len(found) == PICTURES
    for key, data in found.items():
        assert hashlib.sha256(data).hexdigest() == photos[key]["sha256"]
    some = next(iter(photos.values()))
    file = some["address"].removeprefix("folder:").replace("%20", " ")
    assert (root / "data/faces/people/people" / file).read_bytes() == found[some["key"]]


def test_the_training_set_is_the_middle_of_the_stored_crops(root: Path) -> None:
    stored = [np.load(root / "data/faces/face_boxes" / shard / "faces.npy") for shard in SHARDS]
    manifest = {row["key"]: row for row in table(root, "manifest/manifest.parquet")}
    for split in ("train", "held_out"):
        store = PixelStore.open(root / "data/faces/training_set", split)
        assert store.shape == (64, 64, 3)
        pixels = store.gather(range(len(store)))
        for key, picture in zip(store.keys, pixels, strict=True):
            crop = stored[manifest[key]["part"]][manifest[key]["row"]]
            np.testing.assert_array_equal(picture, crop[32:96, 32:96])


def test_nobody_is_both_trained_on_and_held_out(root: Path) -> None:
    manifest = {row["key"]: row for row in table(root, "manifest/manifest.parquet")}
    people: dict[str, set[str]] = {"train": set(), "held_out": set()}
    for row in table(root, "training_set/index.parquet"):
        people[row["split"]].add(manifest[row["key"]]["person_uri"])
    assert not people["train"] & people["held_out"]
    assert 1 <= len(people["held_out"]) < len(people["train"])


def test_how_much_was_found_is_a_result_beside_the_papers(root: Path) -> None:
    found = results.Result.read(root / "data/faces/manifest")
    assert (found.asset, found.paper_ref, found.stand_in) == (
        "faces/manifest", "Section 4.2", True,
    )  # fmt: skip
    rows = {row.name: row for row in found.rows}
    boxes = shards(root, "face_boxes", "boxes.parquet")
    share = rows["kept faces for a hundred photographs"]
    manifest = table(root, "manifest/manifest.parquet")
    assert share.value == pytest.approx(100 * len(kept(manifest)) / PICTURES, abs=0.001)
    assert (share.n, share.paper) == (PICTURES, 11.7)
    agreeing = [row["agreement"] >= 0.5 for row in kept(boxes)]
    row = rows["kept faces that a second detector sees"]
    assert (row.value, row.n) == (pytest.approx(100 * np.mean(agreeing), abs=0.001), len(agreeing))


def test_the_detector_is_held_to_the_faces_that_were_drawn(root: Path) -> None:
    heads = [row for row in table(root, f"people/{HEADS_FILE}") if row["kind"] == "face"]
    rows = {row.name: row for row in results.Result.read(root / "data/faces/manifest").rows}
    found = rows["drawn faces that are found"]
    assert found.n == len(heads)
    assert found.value > 85
    assert rows["boxes where nobody is"].value <= 5
    assert rows["intersection over union of a drawn face and its box, median"].value > 0.75


def test_a_face_has_the_factors_of_the_head_that_it_was_cut_out_of(root: Path) -> None:
    by_photo: dict[str, list[Row]] = {}
    for head in table(root, f"people/{HEADS_FILE}"):
        by_photo.setdefault(head["photo_sha256"], []).append(head)
    known = 0
    for face in kept(table(root, "manifest/manifest.parquet")):
        head = {name: face[name] for name in face if name.startswith("factor.")}
        if head["factor.yaw"] is not None:
            known += 1
            drawn = [{name: one[name] for name in head} for one in by_photo[face["source_sha256"]]]
            assert head in drawn
    assert known > 40


def test_samples_are_a_grid_of_faces_size(root: Path) -> None:
    assert figure(root / "results/faces/samples/figure.png").shape == (3 * 64, 4 * 64, 3)


# --- Removal --------------------------------------------------------------------------------


def test_what_somebody_wants_removed_is_gone_from_every_stage(copy: Path) -> None:
    before = {row["key"]: row for row in table(copy, "manifest/manifest.parquet")}
    faces = [row for row in before.values() if row["status"] == "kept"]
    person = faces[0]["person_uri"]
    others = [row for row in faces if row["person_uri"] != person]
    by_address, by_content = others[0], others[1]
    bodies = bytes_of(copy)
    gone = {row["photo"] for row in before.values() if row["person_uri"] == person}
    gone |= {by_address["photo"], by_content["photo"]}
    (copy / "removals.csv").write_text(
        f"{HEADER},,{person},their own wish\n"
        f"{by_address['source_uri']},,,\n,{by_content['source_sha256']},,\n",
        encoding="utf-8",
    )
    made = materialize_well(copy, "faces")
    assert {"faces/people", "faces/image_urls", "faces/manifest", "faces/candidate"} <= set(made)

    (row,) = [r for r in table(copy, "people/people.parquet") if r["uri"] == person]
    assert row["reason"] == "removed: person (line 2 of the removal list)"
    assert row["name"] == ""
    assert not (copy / "data/faces/people/people" / faces[0]["person_name"]).exists()
    addresses = table(copy, "image_urls/image_urls.parquet")
    (told,) = [r for r in addresses if (r["reason"] or "").startswith("removed: address (line 3")]
    assert told["address"] == told["person"] == ""
    assert by_address["source_uri"] not in {r["address"] for r in addresses}
    assert person not in {r["person_uri"] for r in addresses}
    (photo,) = [r for r in shards(copy, "photos") if r["key"] == by_content["photo"]]
    assert (photo["status"], photo["reason"]) == ("rejected", "removed")
    assert bytes_of(copy).keys() == bodies.keys() - gone
    tars = b"".join(
        (copy / "data/faces/photos" / shard / "photos.tar").read_bytes() for shard in SHARDS
    )
    assert not any(bodies[key] in tars for key in gone)
    after = {row["key"]: row for row in table(copy, "manifest/manifest.parquet")}
    assert not gone & {row["photo"] for row in after.values()}
    # Everybody else is where they were.
    same = ("key", "pixels_sha256", "licence", "person_uri", "status", "reason")
    for key, row in after.items():
        assert [row[name] for name in same] == [before[key][name] for name in same]
    index = {row["key"] for row in table(copy, "training_set/index.parquet")}
    assert index == {row["key"] for row in after.values() if row["status"] == "kept"}
    left = [path for path in (copy / "runs").rglob("*") if path.name == "pictures.bin"]
    assert not left, "what was read for a shard is not kept a second time"


def test_a_comment_on_the_removal_list_changes_nothing(copy: Path) -> None:
    unknown = "https://pictures.test/1.jpg"
    (copy / "removals.csv").write_text(f"{HEADER}{unknown},,,asked by mail\n", encoding="utf-8")
    materialize_well(copy, "faces/people")
    (copy / "removals.csv").write_text(f"{HEADER}{unknown},,,asked twice\n", encoding="utf-8")
    assert materialize(copy, "faces/people").stdout.startswith("up to date: ")


def test_without_the_removal_list_nothing_is_made(copy: Path) -> None:
    (copy / "removals.csv").unlink()
    assert "removals.csv is missing" in refusal(materialize(copy, "--only", "faces/image_urls"))


# --- The web is asked by somebody, or not at all --------------------------------------------


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Whom anything wanted to reach beyond this machine's own sockets."""
    tried: list[Any] = []

    def refuse(*arguments: Any, **named: Any) -> None:
        tried.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    return tried


SPARQL = {"source": "wikidata", "count": 5, "born_after": "1900-01-01", "born_before": "2000-01-01"}


@pytest.mark.parametrize(
    ("people", "first"),
    [
        (SPARQL, "faces/people"),
        ({"source": "list", "path": "n.csv", "count": 5}, "faces/image_urls"),
    ],
    ids=["SPARQL", "image search"],
)
@pytest.mark.parametrize("contact", ["", "you@example.com"], ids=["missing", "placeholder"])
def test_without_a_contact_nothing_is_fetched(
    fast_disk: Path,
    dagster_home: Path,
    no_network: list[Any],
    people: Row,
    first: str,
    contact: str,
) -> None:
    shutil.copytree(dagster_home, fast_disk / ".dagster_home")
    write_params(
        fast_disk,
        lambda faces: faces.update(
            people=people, image_urls={"searches": ["commons"], "licences": ["CC0"]}
        ),
    )
    params = yaml.safe_load((fast_disk / "params.yaml").read_text(encoding="utf-8"))
    params["operator"]["contact"] = contact
    (fast_disk / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    (fast_disk / "n.csv").write_text("name\nAda Lovelace\n", encoding="utf-8")
    line = refusal(materialize(fast_disk, "faces/photos"))
    assert line.startswith(f"FAILED {first}: params.yaml: operator: `contact` is ")
    assert no_network == []


# --- Albums by the same road ----------------------------------------------------------------


def test_covers_in_a_folder_take_the_road_of_the_web(fast_disk: Path, dagster_home: Path) -> None:
    shutil.copytree(dagster_home, fast_disk / ".dagster_home")
    write_params(fast_disk)
    rng = np.random.default_rng(0)
    for number in range(40):
        place = fast_disk / "covers" / f"Band - Album {number}" / "front.png"
        place.parent.mkdir(parents=True)
        pixels = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((140, 150 + number % 3)).save(place)
    (fast_disk / "covers" / "Band - Album 0" / "back.png").write_bytes(b"<html>Sorry</html>")
    params = yaml.safe_load((fast_disk / "params.yaml").read_text(encoding="utf-8"))
    albums = params["albums"]
    albums["images"] = {"source": "search", "size": 128, "shards": 2}
    albums["candidate"].update(small_candidate(0.02, 8))
    albums["samples"].update(rows=1, columns=2, epochs=[1])
    folder = {"path": "covers", "licence": "all rights reserved", "attribution": "the label"}
    albums["search"] = {
        "removals": "removals.csv",
        "people": {"source": "folder", "path": "covers", "count": 100},
        "image_urls": {"searches": ["folder"], "licences": ["any"], "folder": folder},
        "photos": {"shards": 2},
    }
    (fast_disk / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    made = materialize_well(fast_disk, "albums")
    assert made[:2] == ["albums/titles", "albums/image_urls"]
    rows = [
        row
        for shard in SHARDS
        for row in pq.read_table(
            fast_disk / "data/albums/images" / shard / "manifest.parquet"
        ).to_pylist()
    ]
    assert len(rows) == len(kept(rows)) == 40
    assert {(row["licence"], row["attribution"]) for row in rows} == {
        ("all rights reserved", "the label")
    }
    photos = [
        row
        for shard in SHARDS
        for row in pq.read_table(
            fast_disk / "data/albums/photos" / shard / "manifest.parquet"
        ).to_pylist()
    ]
    assert Counter(row["reason"] for row in photos) == {None: 40, "not a picture": 1}
    assert read_json(fast_disk / "data/albums/images/00/origin.json")["stand_in"] is True
    assert figure(fast_disk / "results/albums/samples/figure.png").shape == (128, 256, 3)
