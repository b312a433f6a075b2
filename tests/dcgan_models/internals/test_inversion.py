"""Inversion where the nearest z is known: linear generators, and pictures that G drew itself."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch
from fixture_types import Refused
from scipy.optimize import lsq_linear
from torch import Tensor

from dcgan_models.internals.inversion import invert
from dcgan_models.networks import Generator, draw_latents, estimate_sampling_statistics, initialise
from dcgan_models.presets import Layer, Preset, preset

SIDE, LENGTH = 8, 5


def linear_generator(weights: Tensor, distribution: Literal["uniform", "normal"]) -> Generator:
    """Pictures in [0, 1]: a half, from the label, plus `weights` (pixels, z_dim) times z."""
    pixels, length = weights.shape
    network = Generator(
        Preset(
            name="linear",
            source="this test",
            image=(1, SIDE, SIDE),
            z_dim=length,
            z_distribution=distribution,
            classes=1,
            epochs=1,
            generator=(Layer("dense", pixels, reshape=(1, SIDE, SIDE)),),
            discriminator=(Layer("dense", 1),),
        )
    )
    block: Any = network.blocks[0]
    block.weight.weight.data.copy_(torch.cat([weights, torch.full((pixels, 1), 0.5)], dim=1))
    return network


def random_weights(scale: float = 0.1) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(SIDE * SIDE, LENGTH, generator=rng) * scale


def lively(name: str, width: float = 0.05) -> Generator:
    network = Generator(preset(name).with_overrides(width=width, batch=8))
    initialise(network, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(5)
    estimate_sampling_statistics(network, seed=0, minibatches=8)
    return network


def noise_picture(seed: int = 1) -> Any:
    shape = (SIDE, SIDE, 1)
    return np.random.default_rng(seed).integers(60, 196, shape, dtype=np.uint8)


def test_gaussian_z_of_a_linear_generator_is_least_squares() -> None:
    weights, picture = random_weights(), noise_picture()
    found = invert(linear_generator(weights, "normal"), picture, restarts=4, steps=400, label=0)
    target = picture.reshape(-1) / 255 - 0.5
    expected = np.linalg.lstsq(weights.numpy(), target, rcond=None)[0]
    np.testing.assert_allclose(found.z.numpy(), np.tile(expected, (4, 1)), atol=2e-3)
    left = np.sqrt(np.mean((weights.numpy() @ expected - target) ** 2)) * 255
    np.testing.assert_allclose(found.errors, left, atol=0.1)


def test_uniform_z_stays_in_its_box_where_the_nearest_is_on_the_edge() -> None:
    weights = random_weights(0.02)  # small: what is best without bounds lies far outside
    picture = noise_picture()
    found = invert(linear_generator(weights, "uniform"), picture, restarts=4, steps=400, label=0)
    target = picture.reshape(-1) / 255 - 0.5
    free = np.linalg.lstsq(weights.numpy(), target, rcond=None)[0]
    assert np.abs(free).max() > 1.2
    bounded = lsq_linear(weights.numpy(), target, bounds=(-1, 1)).x
    np.testing.assert_allclose(found.z.numpy(), np.tile(bounded, (4, 1)), atol=5e-3)
    assert found.z.abs().max() == 1


def assert_same_pictures(found: Any, expected: Any) -> None:
    """But for rounding, which on some processors hangs on a row's place in its batch."""
    apart = np.abs(found.astype(int) - expected)
    assert apart.max() <= 1
    assert (apart > 0).mean() < 1e-3


SLOW = [pytest.param(name, 32, 400, 0.1, marks=pytest.mark.slow) for name in ("svhn32", "torch64")]


@pytest.mark.parametrize(("name", "restarts", "steps", "share"), [("lsun64", 4, 100, 0.2), *SLOW])
def test_a_picture_that_the_generator_drew_is_found_again(
    name: str, restarts: int, steps: int, share: float
) -> None:
    network = lively(name)
    z = draw_latents(network.preset, 2, torch.Generator().manual_seed(9))
    drawn = network.draw(z)
    apart = np.sqrt(np.mean((drawn[0].astype(float) - drawn[1]) ** 2))
    found = invert(network, drawn[0], restarts=restarts, steps=steps)
    assert found.errors[0] < share * apart
    assert (np.diff(found.errors) >= 0).all()
    assert_same_pictures(found.pictures, network.draw(found.z))
    measured = np.sqrt(np.mean((found.pictures.astype(float) - drawn[0]) ** 2, axis=(1, 2, 3)))
    np.testing.assert_allclose(found.errors, measured)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_conditional_generator_is_searched_under_the_label_asked_for() -> None:
    network = lively("mnist28", width=0.2)
    z = draw_latents(network.preset, 1, torch.Generator().manual_seed(9))
    picture = network.draw(z, torch.tensor([3]))[0]
    right, wrong = (invert(network, picture, restarts=4, steps=80, label=n) for n in (3, 7))
    assert right.errors[0] < wrong.errors[0]
    assert_same_pictures(right.pictures, network.draw(right.z, torch.full((4,), 3)))


def test_a_start_does_not_hang_on_the_others() -> None:
    """The first of eight starts ends where it does alone."""
    network, picture = linear_generator(random_weights(), "uniform"), noise_picture()
    alone = invert(network, picture, restarts=1, steps=20, label=0)
    together = invert(network, picture, restarts=8, steps=20, label=0)
    distances = (together.z - alone.z).abs().amax(dim=1)
    assert distances.min() < 1e-5
    assert (distances > 1e-3).sum() == 7


def test_starts_hang_on_the_seed() -> None:
    network, picture = linear_generator(random_weights(), "normal"), noise_picture()
    one, same, other = (
        invert(network, picture, restarts=2, steps=3, seed=seed, label=0) for seed in (1, 1, 2)
    )
    assert torch.equal(one.z, same.z)
    assert not torch.equal(one.z, other.z)


def test_bad_input_is_one_line(refused: Refused) -> None:
    network, picture = linear_generator(random_weights(), "normal"), noise_picture()
    with refused("uint8 (8, 7, 1)", "linear", "uint8 (8, 8, 1)"):
        invert(network, picture[:, :7], label=0)
    with refused("float64", "uint8"):
        invert(network, picture / 255, label=0)
    with refused("0 restarts", "at least 1"):
        invert(network, picture, restarts=0, label=0)
    with refused("label None", "0 to 0"):
        invert(network, picture)
    with refused("label 1", "0 to 0"):
        invert(network, picture, label=1)
    plain = np.zeros((32, 32, 3), np.uint8)
    with refused("label 1", "none"):
        invert(lively("svhn32"), plain, label=1)
    with refused("no sampling statistics"):
        invert(Generator(preset("svhn32").with_overrides(width=0.05)), plain)
