"""Both networks against a slow NumPy forward pass, their statistics, and their files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from fixture_types import WritePictures
from safetensors.torch import load_file
from small_networks import enliven, generator, rng, save_generator, small
from torch import nn

import dcgan_models
from dcgan_models.data import PixelStore
from dcgan_models.networks import (
    BatchNorm,
    Discriminator,
    Generator,
    Network,
    draw_latents,
    estimate_sampling_statistics,
    estimate_statistics,
    fix_statistics,
    from_pixels,
    initialise,
    load_generator,
    save_network,
    save_snapshot,
    to_pixels,
)
from dcgan_models.presets import Preset, preset


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_generator(tmp_path / "generator")


Array = npt.NDArray[np.float64]
NAMES = ["mnist28", "mnist28_fc", "lsun64", "albums128", "imagenet32", "svhn32", "torch64"]


def labels_for(chosen: Preset, n: int, seed: int = 5) -> torch.Tensor | None:
    if not chosen.classes:
        return None
    return torch.randint(chosen.classes, (n,), generator=rng(seed))


# --- The slow forward pass ------------------------------------------------------------------
# A row is (operation, activation, what follows); weights and batch norms come in order.

PROJECT = ("dense bn 4x4", "relu")
UP5, DOWN5 = ("deconv5 bn", "relu"), ("conv5 bn", "lrelu")

TABLES: dict[str, dict[str, list[tuple[str, str]]]] = {
    "lsun64": {
        "generator": [PROJECT, UP5, UP5, UP5, ("deconv5", "tanh")],
        "discriminator": [("conv5", "lrelu"), DOWN5, DOWN5, DOWN5, ("dense", "none")],
    },
    "albums128": {
        "generator": [PROJECT, UP5, UP5, UP5, UP5, ("deconv5", "tanh")],
        "discriminator": [("conv5", "lrelu"), DOWN5, DOWN5, DOWN5, DOWN5, ("dense", "none")],
    },
    "svhn32": {
        "generator": [PROJECT, UP5, UP5, ("deconv5", "tanh")],
        "discriminator": [("conv5", "lrelu"), DOWN5, DOWN5, ("dense", "none")],
    },
    "imagenet32": {
        "generator": [
            PROJECT,
            ("deconv3s2 bn", "relu"),
            ("deconv3s1 bn", "relu"),
            ("deconv3s2 bn", "relu"),
            ("deconv3s1 bn", "relu"),
            ("deconv3s2 bn", "relu"),
            ("deconv3s1", "tanh"),
        ],
        "discriminator": [
            ("conv3s1", "lrelu"),
            ("conv3s2 bn", "lrelu"),
            ("conv3s1 bn", "lrelu"),
            ("conv3s2 bn", "lrelu"),
            ("conv3s1 bn", "lrelu"),
            ("conv3s2 bn", "lrelu"),
            ("dense", "none"),
        ],
    },
    "mnist28": {
        "generator": [
            ("dense bn", "relu"),
            ("dense bn 7x7", "relu"),
            ("deconv5 bn", "relu"),
            ("deconv5", "sigmoid"),
        ],
        "discriminator": [
            ("conv5", "lrelu"),
            ("conv5 bn", "lrelu"),
            ("dense bn", "lrelu"),
            ("dense", "none"),
        ],
    },
    "mnist28_fc": {
        "generator": [("dense bn", "relu"), ("dense bn", "relu"), ("dense 28x28", "sigmoid")],
        "discriminator": [("dense", "lrelu"), ("dense bn", "lrelu"), ("dense", "none")],
    },
    "torch64": {
        "generator": [
            ("deconv4from1 bn", "relu"),
            ("deconv4 bn", "relu"),
            ("deconv4 bn", "relu"),
            ("deconv4 bn", "relu"),
            ("deconv4", "tanh"),
        ],
        "discriminator": [
            ("conv4", "lrelu"),
            ("conv4 bn", "lrelu"),
            ("conv4 bn", "lrelu"),
            ("conv4 bn", "lrelu"),
            ("conv4to1", "none"),
        ],
    },
}
EPS = {**dict.fromkeys(NAMES, 1e-8), "torch64": 1e-5}


def slow_conv(x: Array, w: Array, stride: int, pad: int) -> Array:
    """Cross-correlation, a kernel tap at a time; w is (out, in, k, k)."""
    n, _, height, width = x.shape
    k = w.shape[-1]
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    high, wide = ((side + 2 * pad - k) // stride + 1 for side in (height, width))
    y = np.zeros((n, len(w), high, wide))
    for i in range(k):
        for j in range(k):
            rows, columns = slice(i, i + stride * high, stride), slice(j, j + stride * wide, stride)
            seen = padded[:, :, rows, columns][:, :, :high, :wide]
            y += np.einsum("nchw,oc->nohw", seen, w[:, :, i, j])
    return y


def slow_deconv(x: Array, w: Array, stride: int, pad: int, side: int) -> Array:
    """The gradient of `slow_conv` by its input of `side` x `side`; w is (in, out, k, k).

    Each input pixel is spread over the window of the picture that a convolution would have read.
    """
    n, _, height, width = x.shape
    k = w.shape[-1]
    padded = np.zeros((n, w.shape[1], side + 2 * pad, side + 2 * pad))
    for row in range(height):
        for column in range(width):
            window = np.einsum("nc,coij->noij", x[:, :, row, column], w)
            top, left = row * stride, column * stride
            padded[:, :, top : top + k, left : left + k] += window
    return padded[:, :, pad : pad + side, pad : pad + side]


def slow_norm(x: Array, eps: float, scale: Array | None, shift: Array | None) -> Array:
    axes = (0,) if x.ndim == 2 else (0, 2, 3)
    mean = x.mean(axis=axes, keepdims=True)
    var = ((x - mean) ** 2).mean(axis=axes, keepdims=True)
    x = (x - mean) / np.sqrt(var + eps)
    if scale is not None and shift is not None:
        per_channel = (1, -1, 1, 1)[: x.ndim]
        x = x * scale.reshape(per_channel) + shift.reshape(per_channel)
    return x


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": lambda x: np.maximum(x, 0),
    "lrelu": lambda x: np.where(x > 0, x, 0.2 * x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "none": lambda x: x,
}


def slow_forward(
    name: str, role: str, network: Network, x: torch.Tensor, labels: torch.Tensor | None
) -> tuple[Array, list[Array]]:
    """The network's output in float64, and what went into each batch norm."""
    weights = {key: value.double().numpy() for key, value in network.state_dict().items()}
    h: Array = x.double().numpy()
    y = None if labels is None else np.eye(10)[labels.numpy()]
    before_norm = []
    for number, (operation, activation) in enumerate(TABLES[name][role]):
        kind, *more = operation.split()
        if kind == "dense":
            h = h.reshape(len(h), -1)
        elif h.ndim == 2:
            h = h[:, :, None, None]
        if y is not None:
            planes = y if h.ndim == 2 else np.tile(y[:, :, None, None], (1, 1, *h.shape[2:]))
            h = np.concatenate([h, planes], axis=1)
        w = weights[f"blocks.{number}.weight.weight"]
        match kind:
            case "dense":
                h = h @ w.T
            case "conv5":
                h = slow_conv(h, w, stride=2, pad=2)
            case "conv3s1" | "conv3s2":
                h = slow_conv(h, w, stride=int(kind[-1]), pad=1)
            case "deconv3s1" | "deconv3s2":
                stride = int(kind[-1])
                h = slow_deconv(h, w, stride=stride, pad=1, side=stride * h.shape[2])
            case "conv4":
                h = slow_conv(h, w, stride=2, pad=1)
            case "conv4to1":
                h = slow_conv(h, w, stride=1, pad=0)
            case "deconv5":
                h = slow_deconv(h, w, stride=2, pad=2, side=2 * h.shape[2])
            case "deconv4":
                h = slow_deconv(h, w, stride=2, pad=1, side=2 * h.shape[2])
            case "deconv4from1":
                h = slow_deconv(h, w, stride=1, pad=0, side=4)
        if "bn" in more:
            before_norm.append(h)
            scale, shift = (weights.get(f"blocks.{number}.norm.{p}") for p in ("weight", "bias"))
            h = slow_norm(h, EPS[name], scale, shift)
        h = ACTIVATIONS[activation](h)
        for side in ("4x4", "7x7", "28x28"):
            if side in more:
                height = int(side.split("x")[0])
                h = h.reshape(len(h), -1, height, height)
    return h, before_norm


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_computes_what_the_slow_one_does(name: str) -> None:
    network = generator(name, statistics=False)
    z, labels = draw_latents(network.preset, 6, rng(1)), labels_for(network.preset, 6)
    expected, _ = slow_forward(name, "generator", network, z, labels)
    assert expected.shape == (6, *network.preset.image)
    assert expected.std() > 0.05  # a picture with contrast, not a constant
    with torch.no_grad():
        np.testing.assert_allclose(network.train()(z, labels).numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_discriminator_computes_what_the_slow_one_does(name: str) -> None:
    network = Discriminator(small(name))
    enliven(network, 3)
    images = torch.rand((6, *network.preset.image), generator=rng(2))
    labels = labels_for(network.preset, 6)
    expected, _ = slow_forward(name, "discriminator", network, images, labels)
    assert expected.std() > 0.05
    with torch.no_grad():
        logits = network.train()(images, labels)
    assert logits.shape == (6,)
    np.testing.assert_allclose(logits.numpy(), expected.ravel(), atol=1e-4)


def test_the_label_reaches_every_layer() -> None:
    """One-hot inputs after z or the picture: each layer has ten columns that see the label."""
    network = generator("mnist28", statistics=False).train()
    z = draw_latents(network.preset, 8, rng(0))
    labels = torch.arange(8)
    for block in network.blocks:
        before = network(z, labels)
        with torch.no_grad():
            (weight,) = block.parameters()
            columns = weight[-10:] if weight.ndim == 4 else weight[:, -10:]
            columns.zero_()
        assert not torch.equal(network(z, labels), before)


@pytest.mark.parametrize("name", NAMES)
def test_a_network_run_in_parts_is_the_whole(name: str) -> None:
    network = generator(name)
    z, labels = draw_latents(network.preset, 3, rng(1)), labels_for(network.preset, 3)
    with torch.no_grad():
        whole = network(z, labels)
        for row in range(1, len(network.blocks)):
            maps = network.run(z, labels, slice(row))
            assert maps.shape[1:] == network.preset.generator_shapes()[row]
            assert torch.equal(network.run(maps, labels, slice(row, None)), whole)


def test_a_conditional_network_asks_for_labels() -> None:
    network = generator("mnist28")
    with pytest.raises(ValueError, match="labels are needed"):
        network(draw_latents(network.preset, 2, rng(0)))


# --- Batch norm and initial weights ---------------------------------------------------------


def test_batch_norm_uses_the_minibatch_and_its_biased_variance() -> None:
    norm = BatchNorm(1, affine=False, eps=1e-12).train()
    x = torch.tensor([[1.0], [2.0], [6.0]])
    biased = ((1 - 3) ** 2 + (2 - 3) ** 2 + (6 - 3) ** 2) / 3
    torch.testing.assert_close(norm(x), (x - 3) / biased**0.5)


def test_batch_norm_adds_eps_to_the_variance() -> None:
    norm = BatchNorm(1, affine=False, eps=1e-8).train()
    x = torch.tensor([[-1e-4], [1e-4]])  # variance 1e-8, like eps
    torch.testing.assert_close(norm(x), torch.tensor([[-1.0], [1.0]]) / 2**0.5)


def test_training_leaves_fixed_statistics_alone() -> None:
    """No running averages: the authors keep none."""
    network = generator("mnist28")
    before = {name: (norm.mean.clone(), norm.var.clone()) for name, norm in network.norms()}
    network.train()(draw_latents(network.preset, 8, rng(9)), torch.arange(8))
    for name, norm in network.norms():
        assert torch.equal(norm.mean, before[name][0])
        assert torch.equal(norm.var, before[name][1])


@pytest.mark.parametrize("name", NAMES)
def test_the_only_biases_are_shifts_of_batch_norm(name: str) -> None:
    for network in (Generator(small(name)), Discriminator(small(name))):
        biases = [key for key, _ in network.named_parameters() if key.endswith("bias")]
        norms = [key for key, _ in network.norms()]
        assert norms
        affine = not name.startswith("mnist")
        assert biases == ([f"{key}.bias" for key in norms] if affine else [])


def test_biased_layers_are_those_without_batch_norm() -> None:
    chosen = replace(small("lsun64"), biased=True)
    for network, bare in ((Generator(chosen), [4]), (Discriminator(chosen), [0, 4])):
        initialise(network, rng(0))
        biases = {key: b for key, b in network.named_parameters() if key.endswith("weight.bias")}
        assert list(biases) == [f"blocks.{row}.weight.bias" for row in bare]
        assert not any(bias.any() for bias in biases.values())


@pytest.mark.parametrize("biased", [False, True])
def test_without_a_bias_d_does_not_see_how_strong_colours_are(biased: bool) -> None:
    network = Discriminator(replace(small("lsun64"), biased=biased))
    initialise(network, rng(0))
    if biased:
        nn.init.constant_(network.get_parameter("blocks.0.weight.bias"), 0.1)
    strong = torch.rand(8, 3, 64, 64, generator=rng(1)) * 2 - 1
    logits, pale = network(strong), network(strong / 4)
    assert torch.allclose(logits, pale, rtol=1e-3, atol=1e-3) != biased


@pytest.mark.parametrize(("name", "role"), [("torch64", Generator), ("torch64", Discriminator)])
def test_initial_weights_are_normal(name: str, role: Any) -> None:
    network = role(preset(name))
    initialise(network, rng(0))
    scales = []
    for key, parameter in network.named_parameters():
        values = parameter.detach().double().flatten()
        if key.endswith("norm.bias"):
            assert not values.any()
        elif key.endswith("norm.weight"):
            scales.append(values)
        else:
            assert_normal(values, mean=0.0)
    assert_normal(torch.cat(scales), mean=1.0)


def assert_normal(values: torch.Tensor, mean: float) -> None:
    """Mean, deviation and tails of N(mean, 0.02), each within five standard errors."""
    n = len(values)
    assert abs(float(values.mean()) - mean) < 5 * 0.02 / n**0.5
    assert abs(float(values.std()) / 0.02 - 1) < 5 / (2 * n) ** 0.5
    tails = float(((values - mean).abs() > 0.04).double().mean())
    assert abs(tails - 0.0455) < 5 * (0.0455 * 0.9545 / n) ** 0.5


def test_initial_weights_depend_on_the_seed_alone() -> None:
    networks = [Generator(small("mnist28")) for _ in range(3)]
    for network, seed in zip(networks, (7, 7, 8), strict=True):
        initialise(network, rng(seed))
    one, same, other = ([p.detach() for p in network.parameters()] for network in networks)
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_latents_follow_the_preset() -> None:
    uniform = draw_latents(preset("mnist28"), 2000, rng(0)).double()
    assert uniform.shape == (2000, 100)
    assert float(uniform.min()) >= -1
    assert float(uniform.max()) < 1
    assert abs(float(uniform.var()) - 1 / 3) < 0.01
    normal = draw_latents(preset("torch64"), 2000, rng(0)).double()
    assert abs(float(normal.var()) - 1) < 0.02
    assert float(normal.abs().max()) > 3


@pytest.mark.parametrize("name", ["mnist28", "torch64"])
def test_every_pixel_value_survives_the_networks_scale(name: str) -> None:
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1)
    images = from_pixels(pixels, preset(name))
    assert images.shape == (1, 1, 16, 16)
    assert images.flatten()[[0, 255]].tolist() == [-1.0 if name == "torch64" else 0.0, 1.0]
    assert torch.equal(to_pixels(images, preset(name)), pixels)


# --- Fixed statistics -----------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_fixed_statistics_are_the_plain_average_over_minibatches(name: str) -> None:
    network = generator(name, statistics=False)
    batches = []
    for number, n in enumerate((4, 7, 5)):  # unequal: each minibatch counts the same
        z = draw_latents(network.preset, n, rng(10 + number))
        batches.append((z, labels_for(network.preset, n, seed=number)))
    seen = [slow_forward(name, "generator", network, *batch)[1] for batch in batches]
    estimate_statistics(network, batches)
    norms = [norm for _, norm in network.norms()]
    assert len(norms) == len(seen[0])
    assert not network.training
    for layer, norm in enumerate(norms):
        inputs = [batch[layer] for batch in seen]
        axes = (0,) if inputs[0].ndim == 2 else (0, 2, 3)
        mean = np.mean([x.mean(axis=axes) for x in inputs], axis=0)
        var = np.mean([x.var(axis=axes) for x in inputs], axis=0)
        np.testing.assert_allclose(norm.mean.numpy(), mean, atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(norm.var.numpy(), var, atol=1e-4, rtol=1e-4)


def test_sampling_statistics_are_fixed_by_their_seed() -> None:
    networks = [generator("mnist28", statistics=False) for _ in range(3)]
    for network, seed in zip(networks, (1, 1, 2), strict=True):
        estimate_sampling_statistics(network, seed=seed, minibatches=3)
    one, same, other = ([norm.mean for _, norm in network.norms()] for network in networks)
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_depends_on_its_z_alone(name: str) -> None:
    """Alone, in a batch, in another batch, in another order."""
    network = generator(name).eval()
    z, labels = draw_latents(network.preset, 9, rng(4)), labels_for(network.preset, 9)
    order = torch.randperm(9, generator=rng(6))

    def draw(rows: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            drawn: torch.Tensor = network(z[rows], None if labels is None else labels[rows])
        return drawn

    whole = draw(torch.arange(9))
    alone = torch.cat([draw(torch.tensor([row])) for row in range(9)])
    torch.testing.assert_close(alone, whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(draw(order), whole[order], atol=1e-5, rtol=0)
    network.train()  # where a picture does depend on its neighbours
    assert float((draw(order[:3]) - whole[order[:3]]).abs().max()) > 1e-2


def test_samples_are_the_same_whatever_the_batch() -> None:
    network = generator("mnist28")
    whole = network.sample(23, seed=3)
    assert whole.shape == (23, 28, 28, 1)
    assert whole.dtype == np.uint8
    # Sums of floats may differ in the last bit, and a value between two pixels fall either way.
    parts = network.sample(23, seed=3, batch=4)
    assert np.abs(parts.astype(int) - whole).max() <= 1
    assert (parts != whole).mean() < 1e-3
    assert np.array_equal(network.train().sample(23, seed=3), whole)  # by fixed statistics
    assert not np.array_equal(network.sample(23, seed=4), whole)


def test_labels_of_samples_go_round_the_classes_or_are_given() -> None:
    network = generator("mnist28")
    whole = network.sample(12, seed=0)
    assert np.array_equal(network.sample(12, seed=0, labels=np.arange(12) % 10), whole)
    assert not np.array_equal(network.sample(12, seed=0, labels=[3] * 12), whole)


@pytest.mark.parametrize("labels", [[0, 1], [0, 1, 10], [0, 1, -1], 3, [[0], [1], [2]]])
def test_labels_that_do_not_fit_are_refused(refused: Any, labels: Any) -> None:
    with refused("labels", "3 integers from 0 to 9"):
        generator("mnist28").sample(3, seed=0, labels=labels)


def test_labels_without_classes_are_refused(refused: Any) -> None:
    with refused("torch64", "no labels"):
        generator("torch64").sample(2, seed=0, labels=[0, 1])


def test_a_generator_without_statistics_draws_no_single_picture(refused: Any) -> None:
    with refused("sampling statistics"):
        generator("mnist28", statistics=False).sample(1, seed=0)


def small_discriminator(name: str) -> Discriminator:
    network = Discriminator(small(name))
    initialise(network, rng(33))
    return network


def pictures(seed: int, n: int, *, size: int = 32, channels: int = 3) -> npt.NDArray[np.uint8]:
    shape = (n, size, size, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def conv(block: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """A row's convolution alone, from its kernel."""
    kernel = block.get_parameter("weight.weight")
    return torch.nn.functional.conv2d(x, kernel, stride=2, padding=2)


def test_statistics_are_those_of_whole_minibatches_of_the_given_pictures() -> None:
    network, real = small_discriminator("svhn32"), pictures(36, 150)
    fix_statistics(network, real, batch=64)
    dealt = np.random.default_rng(0).permutation(150)
    x = from_pixels(torch.from_numpy(real[dealt]), network.preset).double()
    first_row, second_row = list(network.double().blocks)[:2]
    first = torch.nn.functional.leaky_relu(conv(first_row, x), 0.2)
    second = conv(second_row, first)
    batches = second[:64], second[64:128]
    mean = sum(part.mean(dim=(0, 2, 3)) for part in batches) / 2
    var = sum(part.var(dim=(0, 2, 3), correction=0) for part in batches) / 2
    _, norm = next(network.norms())
    torch.testing.assert_close(norm.mean, mean, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(norm.var, var, rtol=1e-4, atol=1e-6)
    assert not network.training


@pytest.mark.parametrize("as_store", [False, True])
def test_statistics_do_not_hang_on_the_order_of_files(
    tmp_path: Path, write_pictures: WritePictures, as_store: bool
) -> None:
    """Class folders come class by class: ten classes, each of its own brightness and contrast."""
    rng = np.random.default_rng(44)
    brightness = np.repeat(np.linspace(20, 230, 10), 128)[:, None, None, None]
    noise = rng.normal(0, 20, (1280, 32, 32, 3))
    by_class = np.clip(brightness + noise, 0, 255).astype(np.uint8)
    shuffled = by_class[rng.permutation(1280)]
    networks = [small_discriminator("svhn32") for _ in range(2)]
    for network, real in zip(networks, (by_class, shuffled), strict=True):
        given = (
            PixelStore.open(write_pictures(tmp_path / str(id(real)), real)) if as_store else real
        )
        fix_statistics(network, given)
    (_, ours), (_, theirs) = (next(network.norms()) for network in networks)
    torch.testing.assert_close(ours.var, theirs.var, rtol=0.05, atol=0)
    torch.testing.assert_close(ours.mean, theirs.mean, rtol=0.02, atol=0.01)


@pytest.mark.parametrize("n", [1, 63])
def test_fewer_pictures_than_a_minibatch_are_one_minibatch(n: int) -> None:
    network, real = small_discriminator("svhn32"), pictures(37, n)
    other = small_discriminator("svhn32")
    fix_statistics(network, real, batch=64)
    fix_statistics(other, real, batch=n)
    assert network.has_statistics
    for (_, ours), (_, theirs) in zip(network.norms(), other.norms(), strict=True):
        assert torch.equal(ours.mean, theirs.mean)


def test_statistics_of_a_store_are_those_of_its_pictures_read_in_minibatches(
    tmp_path: Path, write_pictures: WritePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pictures(38, 150)
    store = PixelStore.open(write_pictures(tmp_path, real, shards=4))
    asked: list[int] = []
    gather = PixelStore.gather

    def noted(store: PixelStore, rows: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        asked.append(len(np.asarray(rows)))
        return gather(store, rows)

    monkeypatch.setattr(PixelStore, "gather", noted)
    network, other = small_discriminator("svhn32"), small_discriminator("svhn32")
    fix_statistics(network, store, batch=64)
    fix_statistics(other, real, batch=64)
    assert asked == [64, 64]
    for (_, ours), (_, theirs) in zip(network.norms(), other.norms(), strict=True):
        assert torch.equal(ours.mean, theirs.mean)
        assert torch.equal(ours.var, theirs.var)


def test_statistics_of_pictures_that_do_not_fit_are_refused(refused: Any) -> None:
    network, real = small_discriminator("svhn32"), pictures(42, 4)
    for bad in (real[:0], real[:, :16], real[..., :1], real.astype(np.float32)):
        with refused("svhn32 needs uint8 (n, 32, 32, 3)", str(bad.dtype), str(bad.shape)):
            fix_statistics(network, bad)
    assert not network.has_statistics
    with refused("mnist28 is conditional"):
        fix_statistics(small_discriminator("mnist28"), pictures(43, 4, size=28, channels=1))


# --- On disk --------------------------------------------------------------------------------


BYTES = 0.5 / 127 + 2**-9  # half a step, and the step's own rounding


@pytest.mark.parametrize("name", NAMES)
def test_a_loaded_generator_is_the_saved_one(tmp_path: Path, name: str) -> None:
    network = generator(name)
    network.fixed_z = draw_latents(network.preset, 20, rng(8))
    if network.preset.classes:
        network.fixed_labels = torch.arange(20) % 10
    save_network(network, tmp_path)
    loaded = dcgan_models.load_generator(tmp_path)
    assert loaded.preset == network.preset
    assert not loaded.training
    assert_rounded(loaded.state_dict(), network.state_dict())
    assert loaded.fixed_z is not None
    assert torch.equal(loaded.fixed_z, network.fixed_z)
    if network.fixed_labels is None:
        assert loaded.fixed_labels is None
    else:
        assert loaded.fixed_labels is not None
        assert torch.equal(loaded.fixed_labels, network.fixed_labels)
    changes = loaded.sample(50, seed=1).astype(int) - network.sample(50, seed=1)
    assert np.abs(changes).max() <= 1
    assert np.abs(changes).mean() < 0.05


def assert_rounded(
    loaded: dict[str, torch.Tensor], saved: dict[str, torch.Tensor], share: float = 2**-11
) -> None:
    """Matrices differ by a share of a row's largest weight at most, vectors not at all."""
    assert set(loaded) == set(saved)
    for name, tensor in saved.items():
        assert loaded[name].dtype == torch.float32
        if tensor.dim() < 2:
            assert torch.equal(loaded[name].nan_to_num(-1), tensor.nan_to_num(-1))
            continue
        bound = share * tensor.flatten(1).abs().amax(1, keepdim=True)
        assert bool(((loaded[name] - tensor).flatten(1).abs() <= bound).all())


def test_what_half_cannot_hold_stays_as_it_is(tmp_path: Path) -> None:
    network = generator("mnist28")
    with torch.no_grad():
        largest = max(network.parameters(), key=torch.Tensor.numel)
        largest.flatten()[0] = 7e4
        largest.flatten()[1] = 1 + 2**-20
    save_network(network, tmp_path)
    loaded = dcgan_models.load_generator(tmp_path)
    found = max(loaded.parameters(), key=torch.Tensor.numel)
    assert torch.equal(found, largest)


def test_a_loaded_discriminator_is_the_saved_one(tmp_path: Path) -> None:
    network = Discriminator(small("mnist28"))
    enliven(network, 1)
    save_network(network, tmp_path)
    loaded = dcgan_models.load_discriminator(tmp_path)
    assert loaded.preset == network.preset
    assert_rounded(loaded.state_dict(), network.state_dict(), BYTES)


def test_another_weights_file_of_the_folder_can_be_chosen(saved: Path) -> None:
    early = generator("mnist28", seed=77)
    (saved / "snapshots").mkdir()
    save_snapshot(early, saved / "snapshots" / "epoch_0001.safetensors")
    loaded = load_generator(saved, weights="snapshots/epoch_0001.safetensors")
    assert_rounded(loaded.state_dict(), early.state_dict(), BYTES)


def test_weights_without_statistics_can_be_loaded(tmp_path: Path, refused: Any) -> None:
    save_network(generator("mnist28", statistics=False), tmp_path)
    assert not any(name.endswith(".mean") for name in load_file(tmp_path / "weights.safetensors"))
    loaded = load_generator(tmp_path)
    assert not loaded.has_statistics
    with refused("sampling statistics"):
        loaded.sample(1, seed=0)
