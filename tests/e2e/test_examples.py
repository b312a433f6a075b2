"""What the docs mark as executed is executed, in the order of the page; so is their Python."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from doc_pages import ROOT, Block, blocks
from PIL import Image
from skimage import data as photographs
from small_generator import publish_generator
from workbench import Bench, clean_environment, shrink

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

_PICTURES = 60


def python_of(name: str) -> str:
    """The Python blocks of a page as one program."""
    return "".join(b.text for b in blocks(ROOT / name) if b.language == "python")


def run_python(program: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr


def test_the_page_on_python_runs_from_top_to_bottom(tmp_path: Path) -> None:
    found = """
assert store.gather([0, 5, 2]).shape == (3, 28, 28, 1) and len(store) == 4000
assert finished and sevens.shape == (100, 28, 28, 1)
assert error.references == 500 and 0 < error.error < 1
assert features.shape == (2000, 1792) and features.dtype == np.float16
assert accuracy > 0.6 and [len(p) for p in predictions] == [1000] * 3
"""
    run_python(python_of("docs/python.md") + found, tmp_path)


def test_the_readmes_python_runs(tmp_path: Path) -> None:
    publish_generator(tmp_path, "mnist", "mnist28")
    found = "\nassert pictures.shape == (64, 28, 28, 1) and pictures.dtype.name == 'uint8'\n"
    run_python(python_of("README.md") + found, tmp_path)


def test_the_tutorial(tmp_path: Path) -> None:
    """Each block that is marked, where the one before left off; budgets are cut to seconds."""
    environment = clean_environment()
    workspace = Bench(tmp_path / "workspace", environment)
    folder, said = tmp_path, []
    for block in _executed("docs/tutorial.md"):
        if block.language == "python":
            run_python(block.text, folder)
            continue
        if "new-group" in block.text:
            _write_pictures(workspace.root / "pictures")
        if block.text.startswith("dcgan materialize shop --dry-run") and not said:
            workspace.edit_params(shrink)
        shell = Bench(folder, environment)
        *lines, last = shell.run("bash", "-ec", f"{block.text}\npwd").splitlines()
        folder = Path(last)
        said += [line for line in lines if line.startswith("plan: ")]
    assert folder == workspace.root
    # Twice asked before and while making it; once after pictures came, of which none did here.
    assert said == ["plan: 9 to make, 0 up to date"] * 2
    assert Image.open(workspace.root / "shop.png").size == (8 * 64, 8 * 64)
    contest = json.loads((workspace.root / "results/shop/quality/contest.json").read_text("utf-8"))
    assert contest


def _executed(name: str) -> Iterator[Block]:
    marked = [block for block in blocks(ROOT / name) if block.executed]
    assert len(marked) > 3
    yield from marked


def _write_pictures(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    pixels = photographs.coffee()
    for number in range(_PICTURES):
        row, column = rng.integers(0, 300, 2)
        crop = pixels[row : row + 100, column : column + 100]
        Image.fromarray(crop).save(folder / f"{number:03d}.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
