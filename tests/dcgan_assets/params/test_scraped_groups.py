"""Sections of faces and albums: each mistake is one line that names its key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dcgan_assets.assets.catalogue import open_catalogue
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import profile_text, validate_params
from dcgan_models.errors import UserError

Row = dict[str, Any]
COVERS: Row = {
    "removals": "removals.csv",
    "people": {"source": "list", "path": "albums.csv", "count": 10},
    "image_urls": {"searches": ["covers"], "licences": ["any"]},
    "photos": {"shards": 3},
}


def with_covers(params: Row) -> None:
    params["albums"]["images"] = {"source": "search", "size": 128, "shards": 3}
    params["albums"]["search"] = COVERS


def edited(*edits: Callable[[Row], object]) -> Row:
    params: Row = yaml.safe_load(profile_text("sample"))
    for edit in edits:
        edit(params)
    return params


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (
            lambda p: p["faces"]["image_urls"].update(searches=["commons"]),
            ["faces: people.source and image_urls.searches are both `packaged`, or neither is"],
        ),
        (
            lambda p: p["faces"]["people"]["packaged"].update(name=3),
            ["faces.people.packaged.name: unknown key; allowed here: names, faces, others, seed"],
        ),
        (
            lambda p: p["faces"]["face_boxes"]["second"].update(path="x"),
            ["faces.face_boxes.second.path: unknown key; allowed here: name, model"],
        ),
        (
            lambda p: p["faces"]["candidate"].update(size=128),
            ["faces: faces are 64 pixels wide and candidate's networks draw 128"],
        ),
        (lambda p: p["faces"].pop("removals"), ["faces.removals: this key is missing"]),
        (lambda p: p["faces"]["photos"].update(contact="a@b.test"), ["faces.photos.contact: unkn"]),
        (lambda p: p["operator"].update(contact=3), ["operator.contact: "]),
        (
            lambda p: p["albums"].update(search=COVERS),
            ["albums: `search` is needed with `images.source: search`, and only there"],
        ),
        (
            lambda p: p["albums"].update(images={"source": "search", "size": 128, "shards": 3}),
            ["albums: `search` is needed with `images.source: search`"],
        ),
    ],
)
def test_a_mistake_is_one_line(edit: Callable[[Row], object], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        validate_params(edited(edit), "params.yaml")
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert word in line


def test_a_group_of_the_users_own_is_searched_for_nowhere() -> None:
    params = edited()
    images = {"source": "search", "size": 64, "shards": 3}
    params["groups"] = {"cats": {**params["lsun"], "images": images}}
    for name in ("dedup_autoencoder", "manifest", "dedup_report", "nearest_training_images"):
        del params["groups"]["cats"][name]
    with pytest.raises(
        UserError, match=r"groups.cats: images.source: `search` is for albums alone"
    ):
        validate_params(params, "params.yaml")


def test_a_shard_of_covers_becomes_a_shard_of_pictures() -> None:
    params = edited(with_covers, lambda p: p["albums"]["images"].update(shards=4))
    with pytest.raises(UserError, match=r"search.photos.shards is 3 and images.shards 4"):
        validate_params(params, "params.yaml")


def graph(folder: Path, params: Row) -> dict[str, tuple[str, ...]]:
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    catalogue = open_catalogue(Workspace(folder))
    return {key: step.inputs for key, step in catalogue.by_key.items()}


def test_the_graph_is_the_designs(tmp_path: Path) -> None:
    """Names are a contract."""
    inputs = graph(tmp_path, edited())
    assert inputs["faces/people"] == ()
    assert inputs["faces/image_urls"] == ("faces/people",)
    assert inputs["faces/photos"] == ("faces/image_urls", "faces/people")
    assert inputs["faces/face_boxes"] == ("faces/photos",)
    assert inputs["faces/manifest"] == ("faces/face_boxes",)
    assert inputs["faces/training_set"] == ("faces/face_boxes", "faces/manifest")
    assert inputs["faces/candidate"] == ("faces/face_boxes", "faces/training_set")
    assert inputs["faces/samples"] == ("faces/generator",)
    assert "faces/latent_walk" not in inputs
    assert {key for key in inputs if key.startswith("albums/")} == {
        f"albums/{name}"
        for name in (
            *("images", "training_set", "extractor", "candidate", "quality"),
            *("generator", "discriminator", "samples"),
        )
    }


def test_a_search_for_covers_leads_up_to_the_same_graph(tmp_path: Path) -> None:
    inputs = graph(tmp_path, edited(with_covers))
    assert inputs["albums/titles"] == ()
    assert inputs["albums/image_urls"] == ("albums/titles",)
    assert inputs["albums/photos"] == ("albums/image_urls",)
    assert inputs["albums/images"] == ("albums/photos",)
    assert inputs["albums/training_set"] == ("albums/images",)
