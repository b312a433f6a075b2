"""The ONNX file: another runtime draws the network's pictures, each preset's, however many."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_generator import small_generator

from dcgan_models.errors import UserError
from dcgan_models.networks import draw_latents
from dcgan_models.portable.onnx_file import write_onnx
from dcgan_models.presets import PRESETS

# An export takes seconds, so of the fast tests only one that has all: labels, dense rows, kernels.
NAMES = [
    name if name == "mnist28" else pytest.param(name, marks=pytest.mark.slow)
    for name in sorted(PRESETS)
]


@pytest.mark.parametrize("name", NAMES)
def test_another_runtime_draws_the_same_pictures(tmp_path: Path, name: str) -> None:
    import onnxruntime

    generator = small_generator(name, shifts=1.0)
    write_onnx(generator, tmp_path / "generator.onnx")
    session = onnxruntime.InferenceSession(
        tmp_path / "generator.onnx", providers=["CPUExecutionProvider"]
    )
    classes = generator.preset.classes
    for n in (1, 11):
        z = draw_latents(generator.preset, n, torch.Generator().manual_seed(n))
        labels = torch.arange(n) % classes if classes else None
        fed = {"z": z.numpy()} | ({} if labels is None else {"labels": labels.numpy()})
        (pictures,) = session.run(["pictures"], fed)
        want = generator.draw(z, labels)
        assert pictures.dtype == np.uint8
        assert pictures.shape == want.shape
        assert np.abs(pictures.astype(int) - want).max() <= 1
    assert want.std() > 5  # pictures, and no plain grey


def test_a_missing_package_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"an ONNX file needs onnxscript.*dcgan-assets\[onnx\]"):
        write_onnx(small_generator(), tmp_path / "generator.onnx")
    assert not list(tmp_path.iterdir())
