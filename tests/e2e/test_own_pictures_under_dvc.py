"""A group of one's own under DVC: new pictures are seen, and a clone pulls what was made."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from workbench import Bench, clean_environment, make_workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def add_pictures(folder: Path, first: int, count: int) -> None:
    """Pictures of noise, numbered."""
    noise = np.random.default_rng(first)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        pixels = noise.integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A workspace in which only the training set of a group of one's own was made."""
    root = tmp_path_factory.mktemp("own") / "workspace"
    bench = make_workspace(root, clean_environment())
    add_pictures(root / "pictures" / "shop", 0, 60)
    bench.dcgan("new-group", "shop", "--from", "pictures/shop")
    assert "dvc: 2 committed" in bench.dcgan("materialize", "shop/training_set")
    return bench


def test_a_clone_pulls_what_was_made(bench: Bench) -> None:
    bench.run("dvc", "remote", "modify", "results", "url", str(bench.root.parent / "results"))
    bench.run("dvc", "remote", "modify", "bulk", "url", str(bench.root.parent / "bulk"))
    bench.run("dvc", "push")
    bench.run("git", "add", "--all")
    bench.run("git", "commit", "--quiet", "--message", "made")
    clone = Bench(bench.root.with_name("clone"), bench.environment)
    bench.run("git", "clone", "--quiet", str(bench.root), str(clone.root))
    pulled = clone.run("dvc", "pull")
    assert re.search(r"^A\s+data/shop/training_set/$", pulled, re.MULTILINE)
    table = "data/shop/training_set"
    assert clone.files(table) == bench.files(table)
    assert "is up to date" in clone.dcgan("dvc-sync", "--check")
    shutil.rmtree(clone.root)


def test_repro_sees_new_pictures(bench: Bench) -> None:
    assert bench.dvc_status() == {}
    add_pictures(bench.root / "pictures" / "shop", 60, 20)
    assert re.search(r"modified:\s+pictures/shop", bench.run("dvc", "status", "shop-images"))
    made = bench.run("dvc", "repro", "shop-training_set")
    assert "Running stage 'shop-images'" in made
    assert "Running stage 'shop-training_set'" in made
    assert bench.dvc_status() == {}
    assert bench.dcgan("materialize", "shop/training_set", "--dry-run") == "up to date: 2\n"


def test_pictures_that_dvc_cannot_hash_are_made_all_the_same(bench: Bench) -> None:
    """What ends DVC with an error is a rejected row here."""
    (bench.root / "pictures" / "shop" / "link.png").symlink_to("nowhere")
    assert "dvc: 2 committed" in bench.dcgan("materialize", "shop/training_set")
    assert bench.dvc_status() == {}
    said = bench.dcgan("dvc-sync")
    assert "note: pictures/shop: DVC cannot hash" in said
    (bench.root / "pictures" / "shop" / "link.png").unlink()
    assert "dvc: 2 committed" in bench.dcgan("materialize", "shop/training_set")
    assert "note:" not in bench.dcgan("dvc-sync")


def test_pictures_under_dvc_are_a_stages_input(bench: Bench) -> None:
    bench.run("git", "rm", "-r", "--quiet", "--cached", "pictures/shop")
    bench.run("dvc", "add", "pictures/shop")
    assert bench.dvc_status() == {}
    assert "didn't change" in bench.run("dvc", "repro", "shop-training_set")
