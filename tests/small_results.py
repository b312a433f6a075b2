"""A workspace in which some results are published, and others are not: what a report is made of.

Names of assets, files and rows are those of the steps; the numbers and pictures are made up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dcgan_assets.assets.shares import share_row
from dcgan_assets.engine.results import Result, Row
from dcgan_assets.engine.store import Artefact, Input, Kind, Meta, Store
from dcgan_models.files import write_json
from dcgan_models.presets import preset

HOSTILE = "<script>alert('note')</script> | <img src=x onerror=alert(1)> [a](javascript:b) & `c`"
MADE_AT = "2026-03-05T06:07:08+00:00"
SIZES = {"lsun/samples": (640, 320), "mnist/sample_panels": (900, 500)}

ROWS = {
    "cifar10/svm_scores": [
        Row(
            name="trained D, all labels",
            measure="accuracy",
            split="test",
            value=80.25,
            unit="%",
            n=1000,
            low=77.62,
            high=82.55,
            interval="95% Wilson",
            paper=82.8,
            source="L2-SVM, C = 0.005",
        ),
        Row(name="trained D, 40 a class", value=73.31, unit="%", n=10, low=71.5, high=75.0),
        Row(
            name="random D, all labels",
            measure="accuracy",
            split="test",
            value=73.5,
            unit="%",
            n=3,
            low=72.0,
            high=75.0,
            interval="95% t, of the mean over 3 networks",
        ),
        Row(name="1-layer K-means, all labels", unit="%", paper=80.6, source="Table 1"),
    ],
    "cifar10/supervised_cnn": [
        share_row(
            "supervised CNN, 40 a class, test accuracy",
            702,
            1000,
            measure="accuracy",
            split="test",
        ),
    ],
    "mnist/nearest_neighbour_scores": [
        share_row("real @3,500", 59, 1000, measure="test error", split="test"),
        share_row("GAN @50,000", 187, 1000, measure="test error", split="test", paper=6.28),
        share_row("DCGAN @50,000", 93, 1000, measure="test error", split="test", paper=2.98),
        Row(name="DCGAN @10,000,000", unit="%", paper=1.48, source="the paper alone"),
    ],
    "mnist/sampling_statistics": [
        Row(name=HOSTILE, value=1234567.5, unit="<b>levels</b>", source=HOSTILE),
    ],
}
PICTURES = {
    "lsun/samples": ("epoch_0001.png", "epoch_0005.png", "figure.png"),
    "mnist/sample_panels": ("figure.png",),
    "mnist/sampling_statistics": ("figure.png",),
    "cifar10/svm_scores": ("figure.png",),
}


def publish_results(root: Path) -> None:
    """Publish results of cifar10, lsun and mnist, a generator and its training set."""
    for key in {**ROWS, **PICTURES}:
        publish(root, key, "results", rows=ROWS.get(key), pictures=PICTURES.get(key, ()))
    dataset = {"n": 110, "shape": [64, 64, 3], "splits": {"held_out": 10, "train": 100}}
    publish(root, "lsun/training_set", "data", dataset=dataset, origin={"stand_in": False})
    publish(root, "lsun/generator", "models", network={"preset": preset("lsun64").to_dict()})


def publish(
    root: Path,
    key: str,
    kind: Kind,
    *,
    rows: list[Row] | None = None,
    pictures: tuple[str, ...] = (),
    stand_in: bool = True,
    fingerprint: str = "f" * 64,
    **files: Any,
) -> Meta:
    """Publish one asset.

    Args:
        rows: Of its result.json, if it has one.
        pictures: Names of PNG files; `sample*` are grids, others charts.
        files: Contents of JSON files by their names without the ending.
    """
    store, artefact = Store(root), Artefact(key, kind)
    with store.writing(artefact) as staging:
        if rows is not None:
            Result(
                asset=key,
                paper_ref=f"what {key} reproduces",
                profile="sample",
                stand_in=stand_in,
                rows=rows,
                notes=HOSTILE,
            ).write(staging)
        for number, name in enumerate(pictures):
            draw(staging / name, *SIZES.get(key, (300, 120)), grid="samples" in key, seed=number)
        for name, content in files.items():
            write_json(staging / f"{name}.json", content)
        seeded = Input("d" * 32, "e" * 64, 42, 42)
        meta = Meta(
            key=key,
            shard=None,
            data_version=store.content_version(staging),
            code_version="0123456789abcdef",
            fingerprint=fingerprint,
            inputs={key.replace("generator", "candidate"): seeded} if kind == "models" else {},
            seed=None,
            params_seed=42,
            created=MADE_AT,
            duration_s=12.34,
            hardware="Abacus <9000>, 2 rods",
            run="12345678-run",
        )
        return store.publish(staging, artefact, meta)


def draw(path: Path, width: int, height: int, *, grid: bool, seed: int) -> None:
    """Write a picture: noise as RGB, as grids of samples are, or a chart with an alpha channel."""
    from PIL import Image

    if grid:
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    else:
        pixels = np.zeros((height, width, 4), np.uint8)
        pixels[height // 4 : height // 2, :, 3] = 255
    Image.fromarray(pixels).save(path)
