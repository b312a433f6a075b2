"""Figure 1 from presets, and the verdicts of the ablations."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from dcgan_assets.assets.digits.ablations import verdict
from dcgan_assets.assets.report.architecture import draw_preset
from dcgan_models.presets import PRESETS, preset


@pytest.mark.parametrize("name", ["lsun64", "mnist28", "mnist28_fc", "torch64"])
def test_figure_1_names_every_shape(name: str, tmp_path: Path) -> None:
    draw_preset(preset(name), tmp_path / "figure.png")
    words = "".join(ElementTree.parse(tmp_path / "figure.svg").getroot().itertext())  # noqa: S314
    p = preset(name)
    for shape in (*p.generator_shapes(), *p.discriminator_shapes()):
        assert "x".join(map(str, shape)) in words
    with Image.open(tmp_path / "figure.png") as image:
        assert np.asarray(image.convert("L")).std() > 5


def test_figure_1_is_the_same_bytes_again(tmp_path: Path) -> None:
    for name in ("one", "two"):
        draw_preset(PRESETS["svhn32"], tmp_path / f"{name}.png")
    for ending in ("png", "svg"):
        one, two = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("one", "two"))
        assert one == two


@pytest.mark.parametrize(
    ("original", "changed", "prefers", "words"),
    [
        ([10, 11, 12], [13, 14, 15], "original", "the change is worse: as the paper says"),
        ([10, 11, 12], [7, 8, 9], "original", "the change is better: not as the paper says"),
        ([10, 11, 12], [12, 13, 14], "original", "no difference beyond the seeds' spread"),
        ([10, 11, 12], [13, 14, 15], None, "the change is worse"),
    ],
)
def test_a_verdict_needs_ranges_that_do_not_overlap(
    original: list[float], changed: list[float], prefers: str | None, words: str
) -> None:
    assert verdict(original, changed, prefers) == words
