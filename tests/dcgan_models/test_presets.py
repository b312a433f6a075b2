"""Presets against the tables of the paper's code, with every number written out by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan_models.networks import Discriminator, Generator, Network
from dcgan_models.presets import PRESETS, Layer, Preset, preset, trace

# Each layer's weight, (scale, shift) pairs of batch norm between them. Sources: facts 1.6
# (mnist28), our choice (mnist28_fc, albums128), 1.2 (faces64, lsun64), 1.4 (imagenet32), 1.5
# (svhn32), soumith's main.lua (torch64).
FIGURE_1: dict[str, list[tuple[int, ...]]] = {
    "generator": [
        *((16384, 100), (16384,), (16384,)),
        *((1024, 512, 5, 5), (512,), (512,)),
        *((512, 256, 5, 5), (256,), (256,)),
        *((256, 128, 5, 5), (128,), (128,)),
        (128, 3, 5, 5),
    ],
    "discriminator": [
        (128, 3, 5, 5),
        *((256, 128, 5, 5), (256,), (256,)),
        *((512, 256, 5, 5), (512,), (512,)),
        *((1024, 512, 5, 5), (1024,), (1024,)),
        (1, 16384),
    ],
}
SHAPES: dict[str, dict[str, list[tuple[int, ...]]]] = {
    "mnist28": {
        "generator": [(1024, 110), (6272, 1034), (138, 64, 5, 5), (74, 1, 5, 5)],
        "discriminator": [(64, 11, 5, 5), (128, 74, 5, 5), (1024, 6282), (1, 1034)],
    },
    "mnist28_fc": {
        "generator": [(1024, 110), (1024, 1034), (784, 1034)],
        "discriminator": [(1024, 794), (1024, 1034), (1, 1034)],
    },
    "lsun64": FIGURE_1,
    "faces64": FIGURE_1,
    "albums128": {
        "generator": [*FIGURE_1["generator"][:-1], (128, 64, 5, 5), (64,), (64,), (64, 3, 5, 5)],
        "discriminator": [
            (64, 3, 5, 5),
            *((128, 64, 5, 5), (128,), (128,)),
            *FIGURE_1["discriminator"][1:],
        ],
    },
    "imagenet32": {
        "generator": [
            *((8192, 256), (8192,), (8192,)),
            *((512, 512, 3, 3), (512,), (512,)),
            *((512, 256, 3, 3), (256,), (256,)),
            *((256, 256, 3, 3), (256,), (256,)),
            *((256, 128, 3, 3), (128,), (128,)),
            *((128, 128, 3, 3), (128,), (128,)),
            (128, 3, 3, 3),
        ],
        "discriminator": [
            (128, 3, 3, 3),
            *((128, 128, 3, 3), (128,), (128,)),
            *((256, 128, 3, 3), (256,), (256,)),
            *((256, 256, 3, 3), (256,), (256,)),
            *((512, 256, 3, 3), (512,), (512,)),
            *((512, 512, 3, 3), (512,), (512,)),
            (1, 8192),
        ],
    },
    "svhn32": {
        "generator": [
            *((4096, 100), (4096,), (4096,)),
            *((256, 128, 5, 5), (128,), (128,)),
            *((128, 64, 5, 5), (64,), (64,)),
            (64, 3, 5, 5),
        ],
        "discriminator": [
            (64, 3, 5, 5),
            *((128, 64, 5, 5), (128,), (128,)),
            *((256, 128, 5, 5), (256,), (256,)),
            (1, 4096),
        ],
    },
    "torch64": {
        "generator": [
            *((100, 512, 4, 4), (512,), (512,)),
            *((512, 256, 4, 4), (256,), (256,)),
            *((256, 128, 4, 4), (128,), (128,)),
            *((128, 64, 4, 4), (64,), (64,)),
            (64, 3, 4, 4),
        ],
        "discriminator": [
            (64, 3, 4, 4),
            *((128, 64, 4, 4), (128,), (128,)),
            *((256, 128, 4, 4), (256,), (256,)),
            *((512, 256, 4, 4), (512,), (512,)),
            (1, 512, 4, 4),
        ],
    },
}
COUNTS = {
    "mnist28": {"generator": 6_820_538, "discriminator": 6_688_202},
    "mnist28_fc": {"generator": 1_982_112, "discriminator": 1_872_906},
    "lsun64": {"generator": 18_885_760, "discriminator": 17_232_768},
    "faces64": {"generator": 18_885_760, "discriminator": 17_232_768},
    "albums128": {"generator": 19_085_888, "discriminator": 17_433_024},
    "imagenet32": {"generator": 6_690_688, "discriminator": 4_586_112},
    "svhn32": {"generator": 1_446_976, "discriminator": 1_033_664},
    "torch64": {"generator": 3_576_704, "discriminator": 2_765_568},
}


def build(chosen: Preset, role: str) -> Network:
    """A network without memory for its weights."""
    kind: Any = {"generator": Generator, "discriminator": Discriminator}[role]
    with torch.device("meta"):
        network: Network = kind(chosen)
    return network


def test_no_preset_is_left_out() -> None:
    assert set(PRESETS) == set(SHAPES)


@pytest.mark.parametrize("role", ["generator", "discriminator"])
@pytest.mark.parametrize("name", SHAPES)
def test_parameters_have_the_published_shapes(name: str, role: str) -> None:
    parameters = list(build(preset(name), role).parameters())
    assert [tuple(p.shape) for p in parameters] == SHAPES[name][role]
    assert sum(p.numel() for p in parameters) == COUNTS[name][role]


@pytest.mark.parametrize(
    ("name", "drawn", "judged"),
    [
        (
            "mnist28",
            [(100,), (1024,), (128, 7, 7), (64, 14, 14), (1, 28, 28)],
            [(1, 28, 28), (64, 14, 14), (128, 7, 7), (1024,), (1,)],
        ),
        (
            "mnist28_fc",
            [(100,), (1024,), (1024,), (1, 28, 28)],
            [(1, 28, 28), (1024,), (1024,), (1,)],
        ),
        (
            "torch64",
            [(100,), (512, 4, 4), (256, 8, 8), (128, 16, 16), (64, 32, 32), (3, 64, 64)],
            [(3, 64, 64), (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (1, 1, 1)],
        ),
    ],
)
def test_maps_have_the_published_sizes(
    name: str, drawn: list[tuple[int, ...]], judged: list[tuple[int, ...]]
) -> None:
    assert preset(name).generator_shapes() == drawn
    assert preset(name).discriminator_shapes() == judged


@pytest.mark.parametrize("name", SHAPES)
def test_activations_and_norms_follow_the_paper(name: str) -> None:
    """Section 3: ReLU in G, LeakyReLU in D; no batch norm at G's output, D's input and output."""
    chosen = preset(name)
    *hidden, output = chosen.generator
    assert {layer.act for layer in hidden} == {"relu"}
    assert output.act == ("sigmoid" if name.startswith("mnist") else "tanh")
    assert [layer.norm for layer in chosen.generator] == [True] * len(hidden) + [False]
    first, *middle, logit = chosen.discriminator
    assert {layer.act for layer in (first, *middle)} == {"lrelu"}
    assert logit.act == "linear"
    assert [layer.norm for layer in chosen.discriminator] == [False, *[True] * len(middle), False]
    assert chosen.signed == (not name.startswith("mnist"))


def test_settings_are_the_published_ones() -> None:
    every: dict[str, Any] = {
        **{"z_dim": 100, "leak": 0.2, "init_std": 0.02},
        **{"learning_rate": 2e-4, "beta1": 0.5, "beta2": 0.999, "adam_eps": 1e-8},
    }
    mnist: dict[str, Any] = {
        **{"classes": 10, "affine": False, "norm_eps": 1e-8, "l2": 2.5e-5, "batch": 128},
        **{"epochs": 100, "decay_epochs": 100, "z_distribution": "uniform"},
        **{"schedule": "alternate"},
    }
    port: dict[str, Any] = {
        **{"classes": 0, "affine": True, "norm_eps": 1e-5, "l2": 0.0, "batch": 64},
        **{"epochs": 25, "decay_epochs": 0, "z_distribution": "normal", "schedule": "both"},
    }
    for name, own in (("mnist28", mnist), ("mnist28_fc", mnist), ("torch64", port)):
        stored = preset(name).to_dict()
        assert {key: stored[key] for key in every | own} == every | own


@pytest.mark.parametrize("name", SHAPES)
def test_half_the_width_halves_hidden_layers_only(name: str) -> None:
    halved = preset(name).with_overrides(width=0.5)
    for role, whole in (
        ("generator", preset(name).generator),
        ("discriminator", preset(name).discriminator),
    ):
        outs = [layer.out for layer in getattr(halved, role)]
        assert outs == [layer.out // 2 for layer in whole[:-1]] + [whole[-1].out]
        build(halved, role)
    assert halved.generator_shapes()[-1] == preset(name).image


def test_a_discriminator_of_another_width_leaves_the_generator() -> None:
    chosen = preset("lsun64").with_overrides(width=0.5, discriminator_width=0.25)
    assert chosen.generator == preset("lsun64").with_overrides(width=0.5).generator
    assert chosen.discriminator == preset("lsun64").with_overrides(width=0.25).discriminator
    one = preset("lsun64").with_overrides(discriminator_width=0.25)
    assert (one.generator, one.discriminator) == (
        preset("lsun64").generator,
        chosen.discriminator,
    )


def test_a_width_keeps_at_least_one_channel_of_whole_maps() -> None:
    thin = preset("mnist28").with_overrides(width=1e-6)
    assert [layer.out for layer in thin.generator] == [1, 49, 1, 1]
    assert thin.generator[1].reshape == (1, 7, 7)


@settings(max_examples=25)
@given(
    name=st.sampled_from(sorted(SHAPES)),
    width=st.floats(0.01, 2),
    batch=st.integers(2, 512),
    learning_rate=st.floats(1e-9, 1),
)
def test_a_stored_preset_is_the_preset(
    name: str, width: float, batch: int, learning_rate: float
) -> None:
    chosen = preset(name).with_overrides(width=width, batch=batch, learning_rate=learning_rate)
    stored = json.loads(json.dumps(chosen.to_dict()))
    assert Preset.from_dict(stored) == chosen
    assert Preset.from_dict(stored).to_dict() == chosen.to_dict()


@settings(max_examples=100)
@given(
    op=st.sampled_from(["conv", "deconv"]),
    kernel=st.integers(1, 6),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
    output_padding=st.integers(0, 2),
    side=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_traced_sizes_are_those_of_torch(
    op: Any, kernel: int, stride: int, padding: int, output_padding: int, side: tuple[int, int]
) -> None:
    if op == "conv":
        output_padding = 0
        module: Any = torch.nn.Conv2d(2, 3, kernel, stride, padding, device="meta")
    elif output_padding >= stride:
        return  # torch has no such layer
    else:
        module = torch.nn.ConvTranspose2d(
            2, 3, kernel, stride, padding, output_padding, device="meta"
        )
    layer = Layer(op, 3, kernel, stride, padding, output_padding)
    try:
        shape = tuple(module(torch.empty(1, 2, *side, device="meta")).shape[1:])
    except RuntimeError:
        shape = ()
    if math.prod(shape) and shape:
        assert trace([layer], (2, *side), "here")[-1] == shape
    else:
        with pytest.raises(Exception, match="here layer 1") as caught:
            trace([layer], (2, *side), "here")
        assert type(caught.value).__name__ == "UserError"


# --- What is refused ------------------------------------------------------------------------


def changed(role: str, number: int, **changes: Any) -> Preset:
    """mnist28 with one layer (numbered from 1) changed."""
    layers = list(getattr(preset("mnist28"), role))
    layers[number - 1] = replace(layers[number - 1], **changes)
    tables: dict[str, Any] = {role: tuple(layers)}
    return replace(preset("mnist28"), **tables)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (changed("generator", 2, reshape=(128, 7, 8)), "generator layer 2 (dense)"),
        (changed("generator", 3, padding=20), "generator layer 3 (deconv)"),
        (changed("discriminator", 2, kernel=99), "discriminator layer 2 (conv)"),
        (changed("discriminator", 3, out=0), "discriminator layer 3 (dense)"),
        (changed("generator", 4, stride=1, output_padding=0), "generator ends at"),
        (changed("generator", 4, stride=1), "generator layer 4 (deconv)"),
        (changed("generator", 4, out=3), "(3, 28, 28)"),
        (changed("discriminator", 4, out=2), "discriminator ends at (2,), not one unit"),
    ],
)
def test_an_impossible_chain_names_the_layer(refused: Any, broken: Preset, words: str) -> None:
    with refused("preset mnist28", words):
        broken.check()
    with refused("preset mnist28", words):
        Generator(broken)


def test_unknown_names_are_refused_with_the_allowed_ones(refused: Any) -> None:
    with refused("'mnist29'", "mnist28, mnist28_fc, lsun64"):
        preset("mnist29")


def stored(**changes: Any) -> dict[str, Any]:
    return {**preset("mnist28").to_dict(), **changes}


def without(key: str) -> dict[str, Any]:
    content = stored()
    del content[key]
    return content


LAYER = preset("mnist28").to_dict()["generator"][0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (stored(bacth=64), "'bacth'"),
        (without("generator"), "generator"),
        (without("epochs"), "epochs"),
        (stored(generator=[{**LAYER, "kernal": 5}]), "kernal"),
        (stored(generator=[{**LAYER, "op": "dens"}]), "dens"),
        (stored(generator=[{**LAYER, "act": "gelu"}]), "gelu"),
        (stored(generator=["dense"]), "generator"),
        (stored(discriminator=None), "discriminator"),
        (stored(schedule="both at once"), "both at once"),
        (stored(z_distribution="gauss"), "gauss"),
        (stored(batch=0), "batch"),
        (stored(batch=1), "batch"),
        (stored(batch="64"), "batch"),
        (stored(epochs=-1), "epochs"),
        (stored(image=28), "image"),
        (["mnist28"], "preset"),
        (28, "preset"),
    ],
)
def test_a_description_that_is_no_preset_is_refused(refused: Any, content: Any, words: str) -> None:
    with refused(words):
        Preset.from_dict(content).check()
