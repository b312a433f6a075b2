"""What follows from the layer tables: shapes, counts, receptive fields, guidelines, sizes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dcgan_models.errors import UserError
from dcgan_models.networks import Discriminator, Generator
from dcgan_models.presets import PRESETS, SIZES, broken_guidelines, preset, receptive_fields
from dcgan_models.training.ablations import ABLATIONS


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
    ],
)
def test_a_broken_guideline_is_named_with_its_layer(ablation: str, line: str) -> None:
    change = next(a.change for a in ABLATIONS if a.name == ablation)
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


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda a: a.name)
@pytest.mark.parametrize("name", ["mnist28", "lsun64"])
def test_every_ablation_gives_a_trainable_pair(ablation: object, name: str) -> None:
    p = ablation.change(preset(name).with_overrides(width=0.03))  # type: ignore[attr-defined]
    p.check()
    if name == "mnist28":
        assert p != preset(name).with_overrides(width=0.03)
    labels = torch.arange(4) if p.classes else None
    logits = Discriminator(p)(Generator(p)(torch.rand(4, p.z_dim), labels), labels)
    logits.sum().backward()
    assert logits.shape == (4,)
