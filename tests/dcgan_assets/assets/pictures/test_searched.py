"""What the steps from names to pictures read, and their shards: by their search's section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dcgan_assets.assets.catalogue import open_catalogue
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import profile_text

SEARCH: dict[str, Any] = {
    "removals": "gone.csv",
    "people": {"source": "list", "path": "names.csv", "count": 10},
    "image_urls": {"searches": ["folder"], "licences": ["any"], "folder": {"path": "covers"}},
    "photos": {"shards": 3},
}
# Faces have one section for all; for albums the search is a section within the group's.
FACES = ("faces/people", "faces/image_urls", "faces/photos", "faces/face_boxes")
ALBUMS = ("albums/titles", "albums/image_urls", "albums/photos")
HEADER = "address,sha256,person,comment\n"


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    params = yaml.safe_load(profile_text("sample"))
    params["faces"].update(SEARCH, removals="faces-gone.csv")
    params["albums"]["images"] = {"source": "search", "size": 128, "shards": 3}
    params["albums"]["search"] = SEARCH
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    (tmp_path / "covers").mkdir()
    (tmp_path / "names.csv").write_text("name\n", encoding="utf-8")
    for name in ("gone.csv", "faces-gone.csv"):
        (tmp_path / name).write_text(HEADER, encoding="utf-8")
    return open_catalogue(Workspace(tmp_path))


def versions(catalogue: Catalogue, keys: tuple[str, ...]) -> list[str]:
    steps = [catalogue.by_key[key] for key in keys]
    return [step.source_version(catalogue.reading(step)) for step in steps if step.source_version]


def test_files_are_the_removal_list_and_what_the_user_named(catalogue: Catalogue) -> None:
    for keys, removals in ((FACES, "faces-gone.csv"), (ALBUMS, "gone.csv")):
        named = ("names.csv",), ("covers",), ("covers",), ()
        for key, more in zip(keys, named, strict=False):
            assert catalogue.files(catalogue.by_key[key]) == (removals, *more), key


@pytest.mark.parametrize("keys", [FACES, ALBUMS])
def test_who_is_removed_counts_in_every_step(catalogue: Catalogue, keys: tuple[str, ...]) -> None:
    other = {FACES: ALBUMS, ALBUMS: FACES}[keys]
    before, beside = versions(catalogue, keys), versions(catalogue, other)
    assert len(before) == len(keys)
    removals = catalogue.files(catalogue.by_key[keys[0]])[0]
    row = "https://example.org/a.jpg,,,\n"
    (catalogue.workspace.root / removals).write_text(HEADER + row, encoding="utf-8")
    after = versions(catalogue, keys)
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert versions(catalogue, other) == beside


def test_what_is_made_of_photographs_has_their_shards(catalogue: Catalogue) -> None:
    for key in ("faces/photos", "faces/face_boxes", "albums/photos", "albums/images"):
        assert catalogue.shards(catalogue.by_key[key]) == ("00", "01", "02"), key
