"""Folding and rounding: the same pictures as the network, but for what half precision costs."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from small_generator import small_generator

from dcgan_models.errors import UserError
from dcgan_models.networks import Generator
from dcgan_models.portable.folded import FoldedGenerator, RoundingCost, fold, rounding_cost
from dcgan_models.portable.payload import network_payload
from dcgan_models.presets import PRESETS, Layer, preset


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_folded_pictures_are_the_networks(name: str) -> None:
    generator = small_generator(name, shifts=1.0)
    cost = rounding_cost(generator, fold(generator), n=16)
    assert cost.mean < 0.1
    assert cost.most <= 2


def test_what_rounding_costs_is_measured() -> None:
    """Plain grey, 127.5 rounded to 128, against a bias that makes it 137.48."""
    generator = small_generator("lsun64")
    last_row: Any = generator.blocks[-1]
    with torch.no_grad():
        last_row.weight.weight.zero_()
        last_row.weight.bias.zero_()
    folded = fold(generator)
    *others, last = folded.layers
    off = FoldedGenerator(folded.preset, (*others, replace(last, bias=last.bias + 10 / 127.5)))
    assert rounding_cost(generator, folded, n=4) == RoundingCost(0.0, 0, 4)
    assert rounding_cost(generator, off, n=4) == RoundingCost(9.0, 9, 4)


def test_a_map_that_is_dead_neither_overflows_nor_divides_by_zero() -> None:
    generator = small_generator("lsun64")
    block: Any = generator.blocks[1]
    with torch.no_grad():
        block.weight.weight[:, 0] = 0.0
        block.norm.mean[0] = block.norm.var[0] = 0.0
        block.weight.weight[:, 1] *= 1e-4  # and one that batch norm makes 10,000 times as large
        block.norm.mean[1] *= 1e-4
        block.norm.var[1] *= 1e-8
    folded = fold(generator)
    assert all(bool(layer.weights.isfinite().all()) for layer in folded.rounded().layers)
    assert rounding_cost(generator, folded, n=4).most <= 2


def test_what_the_page_cannot_draw_is_one_line() -> None:
    with pytest.raises(UserError, match="no sampling statistics"):
        fold(Generator(preset("lsun64").with_overrides(width=0.03)))
    generator = small_generator("lsun64")
    first, *rest = generator.preset.generator
    conv = Layer("conv", rest[0].out, 3, 1, 1, act="relu")
    generator.preset = replace(generator.preset, generator=(first, conv, *rest))
    with pytest.raises(UserError, match=r"generator layer 2 \(conv, relu\) is not folded"):
        fold(generator)


def test_the_payload_has_all_maps_of_a_place_together() -> None:
    generator = small_generator("lsun64")
    folded = fold(generator)
    dense, deconv, *_ = network_payload(folded)["layers"]
    maps, height, width = folded.layers[0].layer.reshape or (0, 0, 0)
    bias = np.frombuffer(base64.b64decode(dense["bias"]), "<f4").reshape(height, width, maps)
    want = folded.layers[0].bias.numpy().reshape(maps, height, width)
    np.testing.assert_array_equal(bias.transpose(2, 0, 1), want)
    kernel, out = deconv["kernel"], deconv["out"]
    halves = np.frombuffer(base64.b64decode(deconv["halves"]), "<f2")
    halves = halves.reshape(kernel, kernel, out, deconv["inputs"])
    np.testing.assert_array_equal(
        halves.transpose(3, 2, 0, 1), folded.layers[1].halves()[0].numpy()
    )
