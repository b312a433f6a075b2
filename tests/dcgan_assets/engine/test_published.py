"""A group's published generator: where it is found, whose it is, and what it draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from edited_params import edited
from fixture_types import Refused
from released_arrays import write_arrays
from small_generator import publish_generator

from dcgan_assets.engine.published import PublishedGenerator
from dcgan_assets.engine.workspace import Workspace
from dcgan_models import load_generator


def workspace(root: Path, discriminator: str = "trained") -> Workspace:
    params = edited(lambda c: c["svhn"]["features"].update(discriminator=discriminator))
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    return Workspace(root)


def test_it_is_found_with_its_version_and_drawn_with(tmp_path: Path) -> None:
    version = publish_generator(tmp_path, "lsun")
    found = PublishedGenerator.find(tmp_path, "lsun")
    assert (found.name, found.version) == ("lsun/generator", version)
    assert found.folder == tmp_path / "models/lsun/generator"
    assert found.network is found.network, "loaded once"
    drawn = load_generator(found.folder).sample(4, seed=3)
    np.testing.assert_array_equal(found.network.sample(4, seed=3), drawn)


@pytest.mark.parametrize("lost", ["network.json", "weights.safetensors", "_meta.json"])
def test_one_that_is_not_whole_is_not_published(
    lost: str, tmp_path: Path, refused: Refused
) -> None:
    publish_generator(tmp_path, "lsun")
    folder = tmp_path / "models/lsun/generator"
    folder.chmod(0o755)
    (folder / lost).unlink()
    with refused("lsun: no generator is published; run `dcgan materialize lsun/generator`"):
        PublishedGenerator.find(tmp_path, "lsun")


@pytest.mark.parametrize(("discriminator", "whose"), [("trained", "svhn"), ("imagenet",) * 2])
def test_svhn_is_drawn_by_whom_its_section_names(
    discriminator: str, whose: str, tmp_path: Path, refused: Refused
) -> None:
    here = workspace(tmp_path, discriminator)
    with refused(f"{whose}: no generator is published"):
        PublishedGenerator.drawing_for(here, "svhn")
    version = publish_generator(tmp_path, whose)
    found = PublishedGenerator.drawing_for(here, "svhn")
    assert (found.group, found.version) == (whose, version)


@pytest.mark.usefixtures("few_statistics")
def test_svhn_may_be_drawn_by_the_authors_arrays(tmp_path: Path) -> None:
    (tmp_path / "authors").mkdir()
    write_arrays(tmp_path / "authors")
    found = PublishedGenerator.drawing_for(workspace(tmp_path, "released:authors"), "svhn")
    assert (found.name, found.version) == ("the authors' SVHN generator", "")
    assert found.network.sample(4, seed=0).shape == (4, 32, 32, 3)


def test_other_groups_draw_with_their_own_networks(tmp_path: Path, refused: Refused) -> None:
    here = workspace(tmp_path, "imagenet")
    publish_generator(tmp_path, "lsun")
    assert PublishedGenerator.drawing_for(here, "lsun").name == "lsun/generator"
    with refused("unknown group 'cifar10'; groups with a generator: mnist"):
        PublishedGenerator.drawing_for(here, "cifar10")
