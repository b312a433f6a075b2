"""The figure of the supervised control: the paper's number is on that of SVHN alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcgan_assets.assets.classification.supervised_cnn import _draw

SETTINGS = {"learning_rate": 0.001, "beta1": 0.5, "l2": 1e-5, "batch": 32, "dropout": 0.1}
TRIALS = [{**SETTINGS, "validation_error": error} for error in (0.2, 0.4)]


@pytest.mark.parametrize(("paper", "dashed"), [(None, False), (30.0, True)])
def test_the_papers_best_is_drawn_where_the_paper_has_one(
    tmp_path: Path, paper: float | None, dashed: bool
) -> None:
    _draw(TRIALS, paper, tmp_path / "figure.png")
    pixels = np.asarray(Image.open(tmp_path / "figure.png").convert("L"))
    # Half way up the axes there is nothing else: frames and points are above and below.
    middle = pixels[80:140, 100:-10]
    grey = ((middle > 90) & (middle < 200)).sum(axis=1).max()
    assert (grey > 0.2 * middle.shape[1]) == dashed
