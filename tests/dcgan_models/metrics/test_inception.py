"""The way to torch-fidelity: the same numbers as its own command, and only for the right file.

The true weights are not at hand: a file of the same format with random weights takes their place.
What is not tested here is that the true file gives the published values.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from blots import blots
from PIL import Image

from dcgan_models.metrics.inception import (
    WEIGHTS_NAME,
    WEIGHTS_SHA256,
    check_inception_file,
    inception_scores,
)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_numbers_are_those_of_its_own_command(tmp_path: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    weights = tmp_path / "random.pth"
    with pytest.MonkeyPatch.context() as patch:
        torch.manual_seed(0)
        patch.setattr(torch, "load", lambda *_, **__: None)
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        network = FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path="-")
    torch.save(network.state_dict(), weights)
    real, fake = blots(14, 32, 0), blots(14, 32, 1, contrast=90)
    for name, pictures in (("real", real), ("fake", fake)):
        (tmp_path / name).mkdir()
        for i, picture in enumerate(pictures):
            Image.fromarray(picture).save(tmp_path / name / f"{i:03}.png")
    found = inception_scores(real, fake, weights, kid_size=7, sha256=sha256(weights))
    command = [sys.executable, "-m", "torch_fidelity.fidelity", "--cpu", "--isc", "--fid", "--kid"]
    options = ["--kid-subset-size", "7", "--json", "--silent", "--no-cache"]
    names = ["--input1", "fake", "--input2", "real", "--feature-extractor-weights-path", weights]
    run = subprocess.run(
        [*command, *options, *map(str, names)], cwd=tmp_path, capture_output=True, check=True
    )
    theirs = json.loads(run.stdout)
    assert found.fid == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)
    assert found.kid == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6)
    assert found.kid_std == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-6)
    assert found.isc == pytest.approx(theirs["inception_score_mean"], rel=1e-6)
    assert found.isc_std == pytest.approx(theirs["inception_score_std"], abs=1e-6)
    assert found.fid > 0


def test_only_the_right_file_is_taken(refused: Any, tmp_path: Path) -> None:
    path = tmp_path / WEIGHTS_NAME
    with refused(str(path), "no such file", WEIGHTS_NAME):
        check_inception_file(path)
    path.write_bytes(b"a page that says 404")
    with refused(str(path), sha256(path)[:8], WEIGHTS_SHA256[:8]):
        inception_scores(blots(4, 16, 0), blots(4, 16, 0), path, kid_size=2)
    assert check_inception_file(path, sha256(path)) == sha256(path)
    # The name that torch.hub checks carries the same digits.
    assert WEIGHTS_SHA256[:8] == WEIGHTS_NAME.rpartition("-")[2].removesuffix(".pth")


class _Trap:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('code of a stranger ran')",)


def test_no_code_of_the_file_is_run(refused: Any, tmp_path: Path) -> None:
    """Not even of one whose checksum the caller vouches for."""
    path = tmp_path / "trap.pth"
    path.write_bytes(pickle.dumps({"fc.weight": _Trap()}))
    with refused("trap.pth", "plain tensors"):
        inception_scores(blots(4, 16, 0), blots(4, 16, 0), path, kid_size=2, sha256=sha256(path))


def test_pictures_that_do_not_fit(refused: Any, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"fc.weight": torch.zeros(1)}, path)
    two = np.zeros((4, 8, 8, 2), np.uint8)
    with refused("generated pictures", "2 channels"):
        inception_scores(two, two, path, kid_size=2, sha256=sha256(path))
    with refused("4 pictures", "at least 1000"):
        inception_scores(blots(4, 16, 0), blots(4, 16, 0), path, sha256=sha256(path))


def test_without_the_extra_one_line_says_how_to_get_it(
    refused: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with refused("pip install 'dcgan-assets[fidelity]'"):
        inception_scores(blots(4, 16, 0), blots(4, 16, 0), tmp_path / "x", kid_size=2)
