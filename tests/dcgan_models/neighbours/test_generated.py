"""Labelled samples in blocks: the same pictures however they are blocked."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dcgan_models.neighbours.generated import labelled_blocks
from dcgan_models.networks import (
    Generator,
    draw_latents,
    estimate_sampling_statistics,
    initialise,
)
from dcgan_models.presets import preset


@pytest.fixture(scope="module")
def generator() -> Generator:
    network = Generator(preset("mnist28").with_overrides(width=0.03, batch=8))
    initialise(network, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(10)  # pictures with contrast
    estimate_sampling_statistics(network, seed=0, minibatches=3)
    return network


def together(generator: Generator, n: int, seed: int, block: int) -> tuple[torch.Tensor, ...]:
    blocks = list(labelled_blocks(generator, n, seed, block=block))
    return tuple(torch.cat(part) for part in zip(*blocks, strict=True))


def test_blocks_have_their_size_and_the_last_the_rest(generator: Generator) -> None:
    blocks = list(labelled_blocks(generator, 25, seed=1, block=10))
    assert [tuple(pixels.shape) for pixels, _ in blocks] == [(10, 784), (10, 784), (5, 784)]
    assert [tuple(labels.shape) for _, labels in blocks] == [(10,), (10,), (5,)]


def test_labels_go_round_the_classes_across_blocks(generator: Generator) -> None:
    pixels, labels = together(generator, 47, seed=1, block=7)
    assert pixels.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert labels.tolist() == [i % 10 for i in range(47)]


def test_samples_are_the_generators_pictures_of_their_labels(generator: Generator) -> None:
    pixels, labels = together(generator, 40, seed=2, block=20)
    z = draw_latents(generator.preset, 40, torch.Generator().manual_seed(2))
    pictures = generator.draw(z, labels).reshape(40, 784)
    # The multiples of 1/255 that a stored picture holds.
    levels = pixels.double().numpy() * 255
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-4)
    assert np.abs(np.round(levels) - pictures).max() <= 1
    assert (np.round(levels) != pictures).mean() < 1e-3
    assert pictures.std() > 10


def test_samples_depend_on_the_seed(generator: Generator) -> None:
    one, _ = together(generator, 30, seed=3, block=10)
    same, _ = together(generator, 30, seed=3, block=10)
    other, _ = together(generator, 30, seed=4, block=10)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
