"""Guided backpropagation on discriminators whose right answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from fixture_types import Refused, WritePictures
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dcgan_models.data import PixelStore
from dcgan_models.internals.attribution import (
    RULES,
    Rule,
    guided_backpropagation,
    likeness,
    receptive_field,
    shade,
    top_activations,
    visualise_filters,
    windows,
)
from dcgan_models.networks import (
    Discriminator,
    fix_statistics,
    from_pixels,
    initialise,
    untrained_discriminator,
)
from dcgan_models.pixels import Pixels
from dcgan_models.presets import Layer, Preset, ReceptiveField, preset

CONV = Layer("conv", 2, 3, 1, 1, act="lrelu")
LOGIT = Layer("dense", 1)


def pictures(seed: int, n: int, side: int = 8, channels: int = 1) -> Pixels:
    shape = (n, side, side, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def hand_made(*layers: Layer, side: int = 8, channels: int = 1) -> Discriminator:
    """A D with these convolutions and no batch norm, so that it needs no statistics."""
    image = (channels, side, side)
    units = channels * side * side
    return Discriminator(
        Preset(
            name="hand",
            source="this test",
            image=image,
            epochs=1,
            generator=(Layer("dense", units, act="tanh", reshape=image),),
            discriminator=(*layers, LOGIT),
        )
    )


def weights(network: Discriminator, row: int) -> Tensor:
    found: Any = network.blocks[row]
    return found.weight.weight.data  # type: ignore[no-any-return]


def one_filter(kernel: list[list[float]]) -> Discriminator:
    """Filter 1 is `kernel`, filter 0 is blind."""
    network = hand_made(CONV)
    weights(network, 0)[0] = 0
    weights(network, 0)[1, 0] = torch.tensor(kernel)
    return network


CORNER = [[0.0, 1.0, 0.0], [1.0, 2.0, -1.0], [0.0, -1.0, 0.0]]


def planted(places: list[tuple[int, int]], strengths: list[int]) -> Pixels:
    """Mid-grey pictures with one bright pixel each: the filter fires most on that pixel."""
    shown = np.full((len(places), 8, 8, 1), 128, np.uint8)
    for picture, (y, x), level in zip(shown, places, strengths, strict=True):
        picture[y, x] = level
    return shown


# --- One pass -----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 3, 256])
def test_the_strongest_pictures_are_found_at_the_planted_places(batch: int) -> None:
    places = [(2, 3), (6, 1), (0, 7), (4, 4), (7, 0)]
    shown = planted(places, [200, 255, 140, 230, 180])
    counted: list[int] = []
    hits = top_activations(
        one_filter(CORNER), shown, [1], k=3, batch=batch, on_batch=counted.append
    )
    assert hits.rows.tolist() == [[1, 3, 0]]
    assert hits.units.tolist() == [[[6, 1], [4, 4], [2, 3]]]
    # 2 for the bright pixel; the kernel's other weights cancel on the grey around it.
    assert hits.values[0, 1].item() == pytest.approx(2 * (230 / 127.5 - 1), abs=1e-5)
    assert (hits.pictures, sum(counted)) == (5, 5)


def test_a_picture_counts_once_and_equals_keep_their_order() -> None:
    """Picture 2 has two strong places; 0, 1 and 3 are the same picture."""
    shown = planted([(2, 2), (2, 2), (2, 2), (2, 2)], [200, 200, 250, 200])
    shown[2, 5, 5] = 251
    hits = top_activations(one_filter(CORNER), shown, [1], k=4, batch=2)
    assert hits.rows.tolist() == [[2, 0, 1, 3]]
    assert hits.units[0].tolist() == [[5, 5], [2, 2], [2, 2], [2, 2]]


def test_one_streamed_pass_equals_sorting_all_activations(
    tmp_path: Path, write_pictures: WritePictures
) -> None:
    shown = pictures(0, 70, 64, 3)
    network = untrained_discriminator(preset("lsun64").with_overrides(width=1 / 32), shown, seed=1)
    store = PixelStore.open(write_pictures(tmp_path / "set", shown, shards=3))
    hits = top_activations(network, store, [5, 0, 31], k=8, batch=16)
    with torch.no_grad():
        x = from_pixels(torch.from_numpy(shown), network.preset)
        for block in network.blocks[:4]:
            x = block(x, None)
    highest = x[:, [5, 0, 31]].amax(dim=(2, 3))
    expected = highest.sort(dim=0, descending=True)
    torch.testing.assert_close(hits.values, expected.values[:8].T, rtol=1e-4, atol=1e-4)
    assert torch.equal(hits.rows, expected.indices[:8].T)
    for number, channel in enumerate([5, 0, 31]):
        for value, row, (y, z) in zip(
            hits.values[number], hits.rows[number], hits.units[number], strict=True
        ):
            assert x[row, channel, y, z].item() == pytest.approx(value.item(), abs=1e-4)


# --- Guided backpropagation ---------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_one_filter_shows_its_kernel_at_the_unit(rule: Rule) -> None:
    shown = planted([(2, 3), (0, 7)], [250, 250])
    units = np.array([[2, 3], [0, 7]])
    found = guided_backpropagation(one_filter(CORNER), shown, 1, units, rule)
    expected = np.zeros((2, 8, 8, 1), np.float32)
    kernel = np.array(CORNER)[..., None]
    expected[0, 1:4, 2:5] = kernel
    expected[1, 0:2, 6:8] = kernel[1:, :2]
    np.testing.assert_array_equal(found, expected)


def test_an_activation_that_is_not_positive_shows_nothing_unless_it_leaks() -> None:
    """A dark pixel drives the filter negative: ReLU's rule stops there, the leak goes on."""
    shown = planted([(3, 3)], [0])
    units = np.array([[3, 3]])
    network = one_filter(CORNER)
    assert not guided_backpropagation(network, shown, 1, units, "relu").any()
    leaky = guided_backpropagation(network, shown, 1, units, "leaky")
    np.testing.assert_allclose(leaky[0, 2:5, 2:5, 0], 0.2 * np.array(CORNER), rtol=1e-6)


PAIR, TOP = Layer("conv", 2, 1, act="lrelu"), Layer("conv", 1, 1, act="lrelu")


def likes_and_dislikes() -> Discriminator:
    """Filter 0 below sees bright, filter 1 dark; the one above adds 3 of the first, -1 of the
    second: its plain gradient has both, the guided one the first alone."""
    network = hand_made(PAIR, TOP)
    weights(network, 0)[:] = torch.tensor([1.0, -1.0])[:, None, None, None]
    weights(network, 1)[:] = torch.tensor([3.0, -1.0])[:, None, None]
    return network


def test_gradients_that_are_not_positive_are_stopped_at_every_layer() -> None:
    shown = planted([(3, 3)], [255])
    units = np.array([[3, 3]])
    # Bright: filter 0 fires. Filter 1 is negative, and its gradient of -1 is stopped either way.
    for rule in RULES:
        found = guided_backpropagation(likes_and_dislikes(), shown, 0, units, rule)
        assert found[0, 3, 3, 0] == 3
        assert np.count_nonzero(found) == 1


def test_what_excites_through_a_negative_input_passes_only_where_it_leaks() -> None:
    """Both filters below feed the one above; on a bright pixel the second one is negative."""
    network = likes_and_dislikes()
    weights(network, 1)[:] = torch.tensor([3.0, 1.0])[:, None, None]
    shown, units = planted([(3, 3)], [255]), np.array([[3, 3]])
    assert guided_backpropagation(network, shown, 0, units, "relu")[0, 3, 3, 0] == 3
    leaky = guided_backpropagation(network, shown, 0, units, "leaky")[0, 3, 3, 0]
    assert leaky == pytest.approx(3 - 0.2)  # the leak of a filter whose weight is -1


def by_transposed_convolutions(
    network: Discriminator, shown: Pixels, channel: int, unit: tuple[int, int], rule: Rule
) -> npt.NDArray[np.float32]:
    """The method in its own words for `lsun64`, with no autograd."""
    x = from_pixels(torch.from_numpy(shown), network.preset)
    before = []
    blocks: list[Any] = list(network.blocks[:4])
    with torch.no_grad():
        for block in blocks:
            before.append(block.preactivation(x, None))
            x = F.leaky_relu(before[-1], 0.2)
        gradient = torch.zeros_like(x)
        gradient[:, channel, unit[0], unit[1]] = 1
        for block, inputs in zip(reversed(blocks), reversed(before), strict=True):
            slope = torch.where(inputs > 0, 1.0, 0.2 if rule == "leaky" else 0.0)
            gradient = gradient.clamp(min=0) * slope
            if block.norm is not None:
                scale = block.norm.weight / (block.norm.var + block.norm.eps).sqrt()
                gradient = gradient * scale[None, :, None, None]
            gradient = F.conv_transpose2d(
                gradient, block.weight.weight, stride=2, padding=2, output_padding=1
            )
    return gradient.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("rule", RULES)
def test_deep_networks_agree_with_transposed_convolutions(rule: Rule) -> None:
    shown = pictures(3, 40, 64, 3)
    network = untrained_discriminator(preset("lsun64").with_overrides(width=1 / 32), shown, seed=4)
    hits = top_activations(network, shown, [7], k=3)
    some, units = shown[hits.rows[0].numpy()], hits.units[0].numpy()
    found = guided_backpropagation(network, some, 7, units, rule)
    assert np.abs(found).max() > 0
    for number in range(3):
        unit = tuple(units[number].tolist())
        expected = by_transposed_convolutions(network, some[number : number + 1], 7, unit, rule)
        np.testing.assert_allclose(found[number], expected[0], rtol=1e-3, atol=1e-7)


def test_nothing_lies_outside_the_receptive_field() -> None:
    shown = pictures(5, 32, 64, 3)
    network = untrained_discriminator(preset("lsun64").with_overrides(width=1 / 32), shown, seed=6)
    hits = top_activations(network, shown, [0], k=4)
    units = hits.units[0].numpy()
    gradients = guided_backpropagation(network, shown[hits.rows[0].numpy()], 0, units)
    inside = windows(gradients, units, receptive_field(network.preset), 0.0)
    assert inside.shape == (4, 61, 61, 3)
    np.testing.assert_array_equal(
        np.count_nonzero(inside, axis=(1, 2, 3)), np.count_nonzero(gradients, axis=(1, 2, 3))
    )


def test_the_network_is_left_as_it_was() -> None:
    network = one_filter(CORNER)
    guided_backpropagation(network, planted([(2, 3)], [250]), 1, np.array([[2, 3]]))
    assert all(parameter.grad is None for parameter in network.parameters())


# --- Tiles --------------------------------------------------------------------------------------


def test_the_receptive_field_is_the_preset_s() -> None:
    assert receptive_field(preset("lsun64")) == ReceptiveField(61, 16, -30)
    assert receptive_field(preset("lsun64").with_overrides(size=32)).size == 29
    assert receptive_field(preset("torch64")).size == 46  # the output unit is no filter


def test_windows_are_centred_and_filled_beyond_the_edge() -> None:
    shown = pictures(7, 2, 64, 3)
    cut = windows(shown, np.array([[0, 3], [2, 1]]), ReceptiveField(61, 16, -30), 77)
    # Unit (0, 3) is centred on pixel (0, 48), unit (2, 1) on (32, 16).
    np.testing.assert_array_equal(cut[0, 30, 30], shown[0, 0, 48])
    np.testing.assert_array_equal(cut[1, 30, 30], shown[1, 32, 16])
    assert (cut[0, :30] == 77).all()
    assert (cut[0, :, 46:] == 77).all()
    np.testing.assert_array_equal(cut[0, 30:, :46], shown[0, :31, 18:])


def test_a_row_has_one_scale_and_zero_is_its_grey() -> None:
    gradients = np.zeros((2, 2, 2, 1), np.float32)
    gradients[0, 0, 0], gradients[0, 1, 1], gradients[1, 0, 1] = 3.0, -1.0, 1.0
    levels, neutral = shade(gradients)
    assert neutral == 64  # a quarter of the way from -1 to 3
    assert levels[..., 0].tolist() == [[[255, 64], [64, 0]], [[64, 128], [64, 64]]]
    assert levels.dtype == np.uint8


def test_a_row_without_gradients_is_grey() -> None:
    levels, neutral = shade(np.zeros((2, 3, 3, 1), np.float32))
    assert neutral == 128
    assert (levels == 128).all()


def test_the_figure_has_tiles_crops_and_one_grey_a_row() -> None:
    shown = planted([(2, 3), (6, 1), (0, 7), (4, 4)], [200, 255, 140, 230])
    found = visualise_filters(one_filter(CORNER), shown, [1, 0], k=2)
    assert found.tiles.shape == found.crops.shape == (2, 2, 3, 3, 1)
    # From -1 to 2: the kernel, on a grey of a third.
    kernel = np.rint((np.array(CORNER) + 1) * 85).astype(int)
    assert found.neutral.tolist() == [85, 128]
    np.testing.assert_array_equal(found.tiles[0, 0, ..., 0], kernel)
    np.testing.assert_array_equal(found.crops[0, 0, ..., 0], shown[1, 5:8, 0:3, 0])
    assert (found.tiles[1] == 128).all()


def test_tiles_of_one_thing_are_alike_and_random_ones_are_not() -> None:
    one = pictures(11, 1, 16)
    noise = pictures(12, 4, 16)
    blank = np.full_like(noise, 128)
    rows = np.stack([np.repeat(one, 4, axis=0), noise, blank])
    found = likeness(rows, np.array([128, 128, 128], np.uint8))
    assert found[0] == pytest.approx(1)
    assert abs(found[1]) < 0.1
    assert found[2] == 0
    half = np.array([[[[[228]], [[128]]], [[[128]], [[228]]], [[[228]], [[228]]]]], np.uint8)
    assert likeness(half, np.array([128], np.uint8))[0] == pytest.approx((0 + 2 * 0.5**0.5) / 3)


def test_random_filters_are_drawn_by_the_seed_and_ready_to_use() -> None:
    small = preset("lsun64").with_overrides(width=1 / 64)
    shown = pictures(8, 16, 64, 3)
    one, same, other = (untrained_discriminator(small, shown, seed) for seed in (1, 1, 2))
    assert torch.equal(weights(one, 3), weights(same, 3))
    assert not torch.equal(weights(one, 3), weights(other, 3))
    assert one.has_statistics
    assert weights(one, 3).std().item() == pytest.approx(0.02, rel=0.1)


# --- Refusals -----------------------------------------------------------------------------------


def test_bad_input_is_one_line_that_names_what_exists(refused: Refused) -> None:
    network, shown = one_filter(CORNER), pictures(9, 3)
    with refused("2, -1", "0 to 1"):
        top_activations(network, shown, [0, 2, -1], k=1)
    with refused("none", "0 to 1"):
        top_activations(network, shown, [], k=1)
    with refused("4 hits", "1 to the 3 pictures"):
        top_activations(network, shown, [0], k=4)
    with refused("unknown rule 'deconv'", "relu, leaky"):
        visualise_filters(network, shown, [0], k=1, rule="deconv")  # type: ignore[arg-type]
    with refused("uint8 (n, 8, 8, 1)"):
        top_activations(network, shown[:, :4], [0], k=1)
    with refused("conditional"):
        top_activations(Discriminator(preset("mnist28")), shown, [0], k=1)
    with refused("mnist28_fc", "convolutions"):
        top_activations(Discriminator(preset("mnist28_fc")), shown, [0], k=1)


def test_networks_that_cannot_be_scanned_are_refused(refused: Refused) -> None:
    small = preset("lsun64").with_overrides(width=1 / 64)
    shown = pictures(10, 8, 64, 3)
    network = Discriminator(small)
    initialise(network, torch.Generator().manual_seed(0))
    with refused("no statistics"):
        top_activations(network, shown, [0], k=1)
    fix_statistics(network, shown)
    weights(network, 0)[0, 0, 0, 0] = torch.nan
    with refused("not finite"):
        top_activations(network, shown, [0], k=1)
