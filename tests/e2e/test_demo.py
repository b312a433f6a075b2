"""What `make demo` found in the checkout: the numbers that the README speaks of."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkout import CHECKOUT

pytestmark = pytest.mark.slow

_ROOT = CHECKOUT


@pytest.fixture(scope="module")
def demo() -> Path:
    """The checkout, where the demo has been made; CI makes it before these tests."""
    if not (_ROOT / "results" / "mnist").is_dir() and "CI" not in os.environ:
        pytest.skip("`make demo` was not run in this checkout")
    return _ROOT


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_dcgan_digits_teach_a_nearest_neighbour_better_than_gan_digits(demo: Path) -> None:
    result = _read(demo / "results/mnist/nearest_neighbour_scores/result.json")
    errors = {row["name"]: row["value"] for row in result["rows"]}
    assert errors["DCGAN @20,000"] <= 15
    assert errors["DCGAN @20,000"] < errors["GAN @20,000"]


def test_every_digit_is_drawn_as_asked(demo: Path) -> None:
    from dcgan_assets.engine.metadata import decode

    meta = _read(demo / "models/mnist/candidate/_meta.json")
    table: Any = decode(meta["metadata"])["by_class"]
    agreement = {record.data["label"]: record.data["agreement"] for record in table.records}
    assert sorted(agreement) == list(range(10))
    assert min(agreement.values()) >= 0.8, agreement


def test_figure_9_is_a_picture(demo: Path) -> None:
    from PIL import Image

    with Image.open(demo / "results/mnist/sample_panels/figure.png") as picture:
        grey = np.asarray(picture.convert("L"))
    ink, paper = (grey > 200).mean(), (grey < 50).mean()
    assert min(grey.shape) > 300
    assert ink > 0.05
    assert paper > 0.2
