"""The faces that detectors are held to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fixture_types import Refused

from benchmarks import lfw


def test_faces_and_other_pieces() -> None:
    pieces = lfw.lfw_pieces()
    assert pieces.shape == (200, 25, 25)
    assert pieces.dtype == np.uint8


def test_a_package_with_other_faces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    np.save(tmp_path / "other.npy", np.zeros((3, 25, 25)))
    monkeypatch.setattr(lfw, "package_file", lambda name: tmp_path / "other.npy")
    with refused("lfw_subset.npy", "(3, 25, 25)"):
        lfw.lfw_pieces()
