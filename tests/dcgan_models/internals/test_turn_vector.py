"""The turn vector on a generator that draws a bar where z says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fixture_types import Refused
from torch import Tensor

from dcgan_models.internals.turn_vector import turn, turn_walk
from dcgan_models.networks import Generator
from dcgan_models.presets import Layer, Preset

SIDE = 4
PICKS = {"left": [0, 1], "right": [2, 3], "nobody": []}


def two_pixels() -> Generator:
    """Two numbers, two pixels of a 4x4 picture: z[0] at (1, 0), z[1] at (2, 3)."""
    network = Generator(
        Preset(
            name="pair",
            source="this test",
            image=(1, SIDE, SIDE),
            z_dim=2,
            epochs=1,
            generator=(Layer("dense", SIDE * SIDE, reshape=(1, SIDE, SIDE)),),
            discriminator=(Layer("dense", 1),),
        )
    )
    block: Any = network.blocks[0]
    block.weight.weight.data.zero_()
    block.weight.weight.data[4, 0] = block.weight.weight.data[11, 1] = 1.0
    return network


def latents() -> Tensor:
    """Left has 0.2 and 0.4 in the first number, right 0.6 and 0.8; the second is any."""
    return torch.tensor([[0.2, 0.1], [0.4, 0.3], [0.6, 0.3], [0.8, 0.1], [0.5, 0.9], [0.45, 0.0]])


def test_samples_turn_in_even_steps_and_stand_in_the_middle() -> None:
    z = latents()
    found = turn(two_pixels(), z, PICKS, ("left", "right"), [4, 5])
    torch.testing.assert_close(found.vector, torch.tensor([0.4, 0.0]))
    assert found.rows.shape == (2, 11, SIDE, SIDE, 1)
    np.testing.assert_array_equal(found.rows[:, 5], two_pixels().draw(z[[4, 5]]))
    moved = found.rows[0, :, 1, 0, 0]
    expected = 0.5 + 0.4 * np.arange(-5, 6) / 5
    np.testing.assert_allclose(moved, expected * 255, atol=0.51)
    assert (found.rows[0, :, 2, 3, 0] == round(0.9 * 255)).all()  # what is not turned stays
    np.testing.assert_allclose(found.ends[:, 1, 0, 0], [0.3 * 255, 0.7 * 255], atol=0.51)


def test_the_paper_s_row_has_eleven_pictures_with_the_sample_sixth() -> None:
    z, vector = torch.rand(5, 100), torch.rand(100)
    walk = turn_walk(z, vector)
    assert walk.shape == (5, 11, 100)
    assert torch.equal(walk[:, 5], z)
    torch.testing.assert_close(walk[:, 0], z - vector)
    torch.testing.assert_close(walk[:, 10], z + vector)
    torch.testing.assert_close(walk[:, 6], z + vector / 5)


def test_reach_is_in_lengths_of_the_vector() -> None:
    walk = turn_walk(torch.zeros(1, 2), torch.tensor([1.0, -2.0]), steps=2, reach=1.5)
    assert walk[0].tolist() == [[-1.5, 3], [-0.75, 1.5], [0, 0], [0.75, -1.5], [1.5, -3]]


def test_the_scale_is_that_of_the_outermost_latents() -> None:
    found = turn(two_pixels(), latents(), PICKS, ("left", "right"), [4])
    ends = torch.tensor([[0.1, 0.9], [0.9, 0.9]])
    assert found.scale == pytest.approx((3 * ends.square().mean()).sqrt().item())


def test_the_sheet_has_black_lines_about_the_sample_and_the_ends_above() -> None:
    found = turn(two_pixels(), latents(), PICKS, ("left", "right"), [4, 5])
    sheet = found.sheet(gap=2)
    assert sheet.shape == (SIDE + 2 + 2 * SIDE, 11 * SIDE + 2 * 2, 1)
    np.testing.assert_array_equal(sheet[:4, :4], found.ends[0])
    np.testing.assert_array_equal(sheet[:4, -4:], found.ends[1])
    assert (sheet[4:6] == 255).all()
    np.testing.assert_array_equal(sheet[6:10, 22:26], found.rows[0, 5])
    assert not sheet[6:, 20:22].any()
    assert not sheet[6:, 26:28].any()
    np.testing.assert_array_equal(sheet[10:14, 28:32], found.rows[1, 6])


def test_labels_stay_with_their_rows() -> None:
    network = Generator(
        Preset(
            name="labelled",
            source="this test",
            image=(1, 1, 2),
            z_dim=1,
            classes=2,
            epochs=1,
            generator=(Layer("dense", 2, reshape=(1, 1, 2)),),
            discriminator=(Layer("dense", 1),),
        )
    )
    block: Any = network.blocks[0]
    # First pixel: z. Second: whether the label is 1.
    block.weight.weight.data.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    z, labels = torch.tensor([[0.2], [0.6], [0.5], [0.4]]), torch.tensor([1, 0, 0, 1])
    picks = {"left": [0], "right": [1]}
    found = turn(network, z, picks, ("left", "right"), [2, 3], steps=1, labels=labels)
    assert found.rows[:, :, 0, 1, 0].tolist() == [[0, 0, 0], [255, 255, 255]]
    assert found.ends[:, 0, 1, 0].tolist() == [255, 0]


def test_bad_input_is_one_line_that_names_what_exists(refused: Refused) -> None:
    network, z = two_pixels(), latents()
    with refused("unknown concept 'up'", "left, nobody, right"):
        turn(network, z, PICKS, ("up", "right"), [4])
    with refused("'nobody' has 0 picks"):
        turn(network, z, PICKS, ("left", "nobody"), [4])
    with refused("pick 6", "0 to 5"):
        turn(network, z, PICKS, ("left", "right"), [6])
    with refused("z is (6, 1)", "(n, 2)"):
        turn(network, z[:, :1], PICKS, ("left", "right"), [4])
    with refused("0 steps", "at least 1"):
        turn(network, z, PICKS, ("left", "right"), [4], steps=0)
