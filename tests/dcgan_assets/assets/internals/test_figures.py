"""Figure 1 from presets, and the verdicts of the ablations."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

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
