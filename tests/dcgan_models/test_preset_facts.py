"""What follows from the layer tables: shapes, counts, receptive fields, guidelines, sizes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dcgan_models.errors import UserError
from dcgan_models.networks import Block, Discriminator, Generator
from dcgan_models.presets import (
    PRESETS,
    SIZES,
    Layer,
    broken_guidelines,
    preset,
    receptive_fields,
    trace,
)
from dcgan_models.training.ablations import ABLATIONS, GUIDELINES, Ablation


def test_faces_are_the_networks_of_figure_1_and_albums_have_one_stage_more() -> None:
    lsun, faces, albums = preset("lsun64"), preset("faces64"), preset("albums128")
    assert (faces.generator, faces.discriminator) == (lsun.generator, lsun.discriminator)
    assert lsun.generator_shapes() == [
        (100,), (1024, 4, 4), (512, 8, 8), (256, 16, 16), (128, 32, 32), (3, 64, 64),
    ]  # fmt: skip
    assert albums.generator_shapes()[:5] == lsun.generator_shapes()[:5]
    assert albums.generator_shapes()[5:] == [(64, 64, 64), (3, 128, 128)]


def test_features_of_the_paper_have_28672_and_7168_columns() -> None:
    """Section 5.1: all convolutional layers, max-pooled to 4x4."""
    for name, columns in (("imagenet32", 28_672), ("svhn32", 7_168)):
        shapes = preset(name).discriminator_shapes()[1:-1]
        assert sum(shape[0] for shape in shapes) * 16 == columns


@pytest.mark.parametrize("name", PRESETS)
def test_networks_have_the_shapes_of_their_tables(name: str) -> None:
    p = preset(name).with_overrides(width=0.03)
    generator, discriminator = Generator(p), Discriminator(p)
    labels = torch.arange(2) if p.classes else None
    pictures = generator(torch.rand(2, p.z_dim), labels)
    assert pictures.shape[1:] == p.image
    assert discriminator(pictures, labels).shape == (2,)


@pytest.mark.parametrize("name", ["lsun64", "imagenet32", "svhn32", "torch64", "mnist28"])
def test_receptive_fields_agree_with_autograd(name: str) -> None:
    """The pixels with a gradient from one unit in the middle of each layer."""
    layers = [layer for layer in preset(name).discriminator if layer.op == "conv"]
    x = torch.rand(1, 3, 128, 128, requires_grad=True)
    activations = x
    for layer, seen in zip(layers, receptive_fields(layers), strict=True):
        conv = torch.nn.Conv2d(
            activations.shape[1], 2, layer.kernel, layer.stride, layer.padding, bias=False
        )
        torch.nn.init.ones_(conv.weight)  # every connection lets a gradient through
        activations = conv(activations)
        middle = activations.shape[-1] // 2
        (gradient,) = torch.autograd.grad(activations[0, 0, middle, middle], x, retain_graph=True)
        touched = gradient[0, 0].abs().sum(dim=0).nonzero().flatten()
        start = seen.start + middle * seen.stride
        expected = range(max(0, start), min(128, start + seen.size))
        assert touched.tolist() == list(expected)


def test_fourth_lsun_layer_sees_61_pixels() -> None:
    """Figure 5's tiles."""
    assert receptive_fields(preset("lsun64").discriminator)[3].size == 61


def test_guidelines_hold_for_the_papers_picture_networks() -> None:
    for name in ("lsun64", "faces64", "albums128", "imagenet32", "svhn32", "torch64"):
        assert broken_guidelines(preset(name)) == []


@pytest.mark.parametrize(
    ("ablation", "line"),
    [
        ("batch norm on G's output and D's input", "generator layer 5: batch norm in both"),
        ("global average pooling in D", "discriminator layer 5: strided convolutions instead"),
        ("pooling for strides in D", "discriminator layer 2: strided convolutions instead"),
        ("no batch norm", "generator layer 1: batch norm in both"),
        ("no batch norm", "discriminator layer 4: batch norm in both"),
        ("fully connected hidden layers", "generator layer 2: no fully connected hidden"),
        ("fully connected hidden layers", "discriminator layer 5: no fully connected hidden"),
        ("LeakyReLU in G", "generator layer 4: ReLU in the generator"),
        ("sigmoid at G's output", "generator layer 5: ReLU in the generator, tanh at its output"),
        ("ReLU in D", "discriminator layer 1: LeakyReLU in the discriminator"),
    ],
)
def test_a_broken_guideline_is_named_with_its_layer(ablation: str, line: str) -> None:
    change = next(a.change for a in GUIDELINES if a.name == ablation)
    assert any(line in found for found in broken_guidelines(change(preset("lsun64"))))


def test_other_guidelines() -> None:
    p = preset("lsun64")
    leaky = replace(p, generator=(p.generator[0], replace(p.generator[1], act="lrelu"),
                                  *p.generator[2:]))  # fmt: skip
    assert broken_guidelines(leaky) == [
        "lsun64: generator layer 2: ReLU in the generator, tanh at its output"
    ]
    assert any("fully connected" in line for line in broken_guidelines(preset("mnist28")))


@pytest.mark.parametrize("size", SIZES)
def test_sizes_of_a_users_own_group(size: int) -> None:
    p = preset("faces64").with_overrides(size=size, width=0.05)
    assert p.image == (3, size, size)
    assert Generator(p)(torch.rand(2, 100)).shape == (2, 3, size, size)


@pytest.mark.parametrize(("name", "size"), [("faces64", 48), ("faces64", 256), ("mnist28", 32)])
def test_impossible_sizes_are_one_line(name: str, size: int) -> None:
    with pytest.raises(UserError, match=r"size"):
        preset(name).with_overrides(size=size)


def test_each_guideline_is_broken_alone() -> None:
    """Of the words of section 3: each change breaks what it is named for, and nothing else."""
    p = preset("lsun64").with_overrides(size=32)
    for one in GUIDELINES:
        kinds = {line.split(": ", 2)[2] for line in broken_guidelines(one.change(p))}
        assert len(kinds) == 1, one.name


@pytest.mark.parametrize(
    ("name", "ablation"),
    [
        *(("mnist28", one) for one in ABLATIONS),
        *(("lsun64", one) for one in dict.fromkeys((*ABLATIONS, *GUIDELINES))),
    ],
    ids=lambda one: getattr(one, "name", one),
)
def test_every_ablation_gives_a_trainable_pair(name: str, ablation: Ablation) -> None:
    small = preset(name).with_overrides(width=0.03)
    p = ablation.change(small)
    p.check()
    assert p != small or (name == "lsun64" and ablation not in GUIDELINES)
    labels = torch.arange(4) if p.classes else None
    logits = Discriminator(p)(Generator(p)(torch.rand(4, p.z_dim), labels), labels)
    logits.sum().backward()
    assert logits.shape == (4,)


# --- Pooling ----------------------------------------------------------------------------------


def test_pooling_averages_windows_or_whole_maps() -> None:
    base = replace(preset("svhn32"), image=(2, 8, 8))
    maps = torch.arange(2 * 2 * 8 * 8, dtype=torch.float32).reshape(2, 2, 8, 8)
    windows = Block(Layer("pool", 2, 2, 2), 2, base)(maps, None)
    assert torch.equal(windows, maps.reshape(2, 2, 4, 2, 4, 2).mean(dim=(3, 5)))
    assert torch.equal(Block(Layer("pool", 2), 2, base)(maps, None), maps.mean(dim=(2, 3)))


@pytest.mark.parametrize(
    ("layer", "after"),
    [
        (Layer("pool", 2, 2, 2), (2, 4, 4)),
        (Layer("pool", 2, 3, 2), (2, 3, 3)),
        (Layer("pool", 2, 8, 1), (2, 1, 1)),
        (Layer("pool", 2), (2,)),
        (Layer("pool", 3, 2, 2), None),
        (Layer("pool", 2, 9), None),
        (Layer("pool", 2, 2, 2, 1), None),
    ],
    ids=str,
)
def test_what_pooling_makes_of_a_map(layer: Layer, after: tuple[int, ...] | None) -> None:
    if after is None:
        with pytest.raises(UserError, match=r"layer 1 \(pool\) cannot follow"):
            trace([layer], (2, 8, 8), "D")
    else:
        assert trace([layer], (2, 8, 8), "D") == [(2, 8, 8), after]
        assert Block(layer, 2, preset("svhn32"))(torch.zeros(1, 2, 8, 8), None).shape[1:] == after
