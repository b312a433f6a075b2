"""Groups from which nothing can be learned: one line at `training_set`, and nothing trained."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from dcgan_assets.params.file import profile_text
from dcgan_models.data import PixelStore
from dcgan_models.files import read_json
from dcgan_models.pixels import Pixels

pytestmark = pytest.mark.slow

SIDE, BATCH = 32, 8


def noise(n: int, low: int = 0, high: int = 256) -> Pixels:
    rng = np.random.default_rng(0)
    return rng.integers(low, high, (n, SIDE, SIDE, 3), dtype=np.uint8)


def of_one_colour_each(n: int) -> Pixels:
    colours = np.random.default_rng(0).integers(0, 256, (n, 1, 1, 3), dtype=np.uint8)
    return np.broadcast_to(colours, (n, SIDE, SIDE, 3))


# Pictures, the share to hold out, and words of the line.
KINDS: dict[str, tuple[Pixels, float, tuple[str, ...]]] = {
    "single": (noise(1), 0.1, ("different pictures: 1;", "at least 8", "candidate.batch")),
    "pair": (noise(2), 0.0, ("different pictures: 2;", "at least 8")),
    "identical": (
        np.repeat(noise(1), 60, axis=0),
        0.1,
        ("1 (59 more are exact copies)",),
    ),
    "black": (np.zeros((60, SIDE, SIDE, 3), np.uint8), 0.1, ("1 (59 more are exact copies)",)),
    "few": (np.tile(noise(7), (9, 1, 1, 1)), 0.0, ("pictures: 7 (56 more are exact copies)",)),
    "all_held_out": (noise(60), 1.0, ("of 60 different pictures all but 0 are held out", "lower")),
    "none_held_out": (noise(12), 0.0001, ("of 12 different pictures none came to be held out",)),
    "colours": (of_one_colour_each(60), 0.0, ("100% of the training pictures show one colour",)),
    "a_webcam": (
        np.clip(noise(1).astype(np.int16) + noise(60, 0, 2), 0, 255).astype(np.uint8),
        0.0,
        ("all but the same picture", "grey levels"),
    ),
}


def section(held_out: float) -> dict[str, Any]:
    """A group as small as they come."""
    return {
        "training_set": {"held_out": held_out},
        "extractor": {"epochs": 1},
        "candidate": {
            **{"preset": "lsun64", "size": SIDE, "width": 0.03, "batch": BATCH},
            **{"epochs": 1, "decay_epochs": 0, "snapshots": []},
            "health": {"diversity": 0.0},
        },
        "quality": {"samples": 20, "kid_size": 13, "snapshot_samples": 20},
        "samples": {"rows": 1, "columns": 2, "epochs": []},
        "latent_walk": {"segments": 2, "steps": 3, "pixel_rows": 1},
    }


def write_group(root: Path, params: dict[str, Any], name: str, pixels: Pixels, held: float) -> None:
    folder = root / "pictures" / name
    folder.mkdir(parents=True)
    (folder / "readme.txt").write_text("no picture")
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{number:03d}.png")
    images = {"source": "folder", "path": f"pictures/{name}", "size": SIDE, "shards": 1}
    params.setdefault("groups", {})[name] = {"images": images, **section(held)}


def write_params(root: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    params = yaml.safe_load(profile_text("sample"))
    params["machine"]["device"] = "cpu"
    edit(params)
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def materialize(root: Path, *keys: str) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if k not in {"DAGSTER_HOME", "DCGAN_ROOT"}}
    code = "from dcgan_assets.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "--root", str(root), "materialize", *keys],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def failures(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The line of each asset that failed."""
    assert "Traceback" not in done.stdout + done.stderr
    text = (done.stdout + done.stderr).splitlines()
    found = [line.removeprefix("FAILED ") for line in text if line.startswith("FAILED ")]
    return {line.partition(":")[0]: line for line in found}


def test_each_kind_ends_in_one_line_at_the_training_set(tmp_path: Path) -> None:
    def edit(params: dict[str, Any]) -> None:
        for name, (pixels, held_out, _) in KINDS.items():
            write_group(tmp_path, params, name, pixels, held_out)

    write_params(tmp_path, edit)
    done = materialize(tmp_path, *(f"{name}/candidate" for name in KINDS))
    assert done.returncode != 0
    found = failures(done)
    for name, (_, _, words) in KINDS.items():
        line = found[f"{name}/training_set"]
        for word in words:
            assert word in line, (name, line)
    assert set(found) == {f"{name}/training_set" for name in KINDS}
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").glob("*/candidate"))


def test_the_smallest_groups_that_are_let_through_are_made_to_the_end(tmp_path: Path) -> None:
    """Of four pictures, and of one minibatch."""

    def edit(params: dict[str, Any]) -> None:
        write_group(tmp_path, params, "four", noise(4), 0.0)
        write_group(tmp_path, params, "minibatch", noise(BATCH), 0.0)
        params["groups"]["four"]["candidate"]["batch"] = 2

    write_params(tmp_path, edit)
    done = materialize(tmp_path, "four", "minibatch")
    assert not failures(done)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("four", "minibatch"):
        assert (tmp_path / f"results/{name}/samples/figure.png").exists()


def test_files_that_are_there_three_times(tmp_path: Path) -> None:
    """As downloads leave them, under other names: used once, and said to be copies."""
    pixels = np.tile(noise(50), (3, 1, 1, 1))
    write_params(tmp_path, lambda params: write_group(tmp_path, params, "cats", pixels, 0.2))
    assert not failures(materialize(tmp_path, "cats/training_set"))
    folder = tmp_path / "data/cats"
    manifest = pq.read_table(folder / "images/00/manifest.parquet").to_pylist()
    content = {row["key"]: row["pixels_sha256"] for row in manifest}
    index = pq.read_table(folder / "training_set/index.parquet").to_pylist()
    assert len(index) == 150
    splits = {(content[row["key"]], row["split"]) for row in index}
    assert len(splits) == 50
    used = {row["key"] for row in index if row["duplicate_of"] is None}
    assert len({content[key] for key in used}) == len(used) == 50
    for row in index:
        if row["key"] not in used:
            assert row["duplicate_of"] in used
            assert content[row["duplicate_of"]] == content[row["key"]]
    stores = [PixelStore.open(folder / "training_set", split) for split in ("train", "held_out")]
    seen = {
        hashlib.sha256(one.tobytes()).hexdigest() for s in stores for one in s.gather(range(len(s)))
    }
    assert seen == set(content.values()) - {None}
    assert sum(map(len, stores)) == 50
    facts = read_json(folder / "training_set/_meta.json")["metadata"]
    assert json.loads(facts["exact_copies"])["value"] == 100
    assert PixelStore.open(folder / "training_set").keys == [
        row["key"] for row in index if row["key"] in used
    ]
