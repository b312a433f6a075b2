"""The authors' SVHN arrays: readable digits, D's opinion of them, and every way to be bad."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from checkout import CHECKOUT

from dcgan_models.errors import UserError
from dcgan_models.networks import Discriminator, Generator, draw_latents
from dcgan_models.presets import preset
from dcgan_models.released import load_released_svhn

_HERE = CHECKOUT
ARRAYS = Path(os.environ.get("DCGAN_RELEASED_SVHN", _HERE.parent / "shared" / "released_svhn"))

needs_arrays = pytest.mark.skipif(
    not ARRAYS.is_dir(),
    reason="the authors' arrays are not here; set DCGAN_RELEASED_SVHN to their folder",
)


def _mean_opinion(generator: Generator, discriminator: Discriminator) -> float:
    """Mean D(G(z)) over 64 batches of 64, batch statistics in both."""
    rng = torch.Generator().manual_seed(0)
    total = 0.0
    with torch.no_grad():
        for _ in range(64):
            logits = discriminator(generator(draw_latents(generator.preset, 64, rng)))
            total += float(torch.sigmoid(logits).mean())
    return total / 64


def _turn_kernels(network: torch.nn.Module) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 4:
                parameter.copy_(parameter.flip(2, 3))


@needs_arrays
def test_released_discriminator_doubts_released_samples_only_with_turned_kernels() -> None:
    generator, discriminator = load_released_svhn(ARRAYS)
    assert 0.01 < _mean_opinion(generator, discriminator) < 0.15
    _turn_kernels(generator)
    _turn_kernels(discriminator)
    assert _mean_opinion(generator, discriminator) > 0.5


@needs_arrays
def test_released_arrays_are_copied_value_by_value() -> None:
    generator, discriminator = load_released_svhn(ARRAYS)
    dense = np.load(ARRAYS / "200_gen_params.jl_01.npy")
    kernel = np.load(ARRAYS / "200_discrim_params.jl_02.npy")
    weights = dict(generator.named_parameters())
    assert np.array_equal(weights["blocks.0.weight.weight"].detach().numpy(), dense.T)
    found = dict(discriminator.named_parameters())["blocks.1.weight.weight"].detach().numpy()
    assert found[3, 5, 0, 1] == kernel[3, 5, 4, 3]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Arrays of the right names, shapes and layout, with random values."""
    rng = np.random.default_rng(0)
    for kind, stem in ((Generator, "gen"), (Discriminator, "discrim")):
        for number, parameter in enumerate(kind(preset("svhn32")).parameters(), 1):
            shape = tuple(parameter.shape)
            shape = shape[::-1] if len(shape) == 2 else shape
            array = rng.normal(size=shape).astype(np.float32)
            np.save(tmp_path / f"200_{stem}_params.jl_{number:02d}.npy", array)
    return tmp_path


def test_written_arrays_load(written: Path) -> None:
    generator, _ = load_released_svhn(written)
    assert sum(1 for _ in generator.parameters()) == 10


@pytest.mark.parametrize(
    ("name", "array", "expected"),
    [
        ("200_gen_params.jl_04.npy", None, "jl_04.npy is missing: generator blocks.1.weight"),
        ("200_gen_params.jl_05.npy", np.zeros(64, np.float32), "expected (128,)"),
        ("200_discrim_params.jl_01.npy", np.full((64, 3, 5, 5), np.nan, np.float32), "not finite"),
        ("200_discrim_params.jl_03.npy", np.zeros(128), "float64, expected float32"),
        ("200_discrim_params.jl_09.npy", np.zeros(1, np.float32), "one array too many"),
    ],
)
def test_bad_arrays_are_one_line(
    written: Path, name: str, array: np.ndarray | None, expected: str
) -> None:
    (written / name).unlink(missing_ok=True)
    if array is not None:
        np.save(written / name, array)
    with pytest.raises(UserError) as caught:
        load_released_svhn(written)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_object_array_is_refused_and_never_unpickled(written: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(written / "trapped"),)

    np.save(written / "200_gen_params.jl_01.npy", np.array([Trap()], object), allow_pickle=True)
    shutil.rmtree(written / "trapped", ignore_errors=True)
    with pytest.raises(UserError, match="not a plain array"):
        load_released_svhn(written)
    assert not (written / "trapped").exists()


def test_cut_array_is_one_line(written: Path) -> None:
    path = written / "200_gen_params.jl_04.npy"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"jl_04.*not a plain array"):
        load_released_svhn(written)
