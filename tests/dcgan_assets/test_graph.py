"""The graph of each profile is the committed one: what changes it is seen in a diff.

Where a change is meant, `python tests/dcgan_assets/graph_table.py` writes the tables anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from edited_params import edited, with_covers
from graph_table import graph_table, table_file

from dcgan_assets.assets.catalogue import open_catalogue
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import PROFILES, profile_text

# Of the sections about pictures those that fill a module of their own.
PARTS = {"faces": "pictures", "search": "pictures"}


@pytest.mark.parametrize("profile", PROFILES)
def test_the_graph_is_as_committed(profile: str) -> None:
    assert graph_table(profile) == table_file(profile).read_text(encoding="utf-8")


@pytest.mark.parametrize("profile", PROFILES)
def test_a_topic_has_the_same_word_in_assets_and_in_params(profile: str, tmp_path: Path) -> None:
    """A section lies in the module of params that is called as its step's folder in assets."""
    (tmp_path / "params.yaml").write_text(profile_text(profile), encoding="utf-8")
    catalogue = open_catalogue(Workspace(tmp_path))
    for step in catalogue.steps:
        if step.key.replace("/", ".") != step.section:
            continue  # it reads another step's section
        topic = step.compute.__module__.split(".")[2]
        module = type(catalogue.section(step)).__module__.split(".")[2]
        assert PARTS.get(module, module) == topic, step.key


def graph(folder: Path, params: dict[str, Any]) -> dict[str, tuple[str, ...]]:
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
    assert inputs["faces/manifest"] == ("faces/face_boxes", "faces/people")
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
