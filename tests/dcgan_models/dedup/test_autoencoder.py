"""The semantic hash: what it computes, that it learns, collapses and is caught, and its file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixture_types import Refused, WritePictures
from safetensors.torch import load_file, save_file

from dcgan_models.data import PixelStore
from dcgan_models.dedup.autoencoder import (
    Autoencoder,
    AutoencoderConfig,
    Epoch,
    load_autoencoder,
    save_autoencoder,
    smooth,
    train_autoencoder,
)
from dcgan_models.dedup.codes import active_bits, hamming
from dcgan_models.dedup.judging import judge_codes
from dcgan_models.dedup.planted import false_pairs
from dcgan_models.pixels import Pixels

QUICK = AutoencoderConfig(epochs=3, batch=128)


def scenes(n: int, seed: int) -> np.ndarray:
    """Smooth pictures that have nothing in common: six cosine waves in colours."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32] / 32
    frequency = random.normal(0, 9, (n, 6, 2))
    phase = random.uniform(0, 2 * np.pi, (n, 6, 1, 1))
    waves = np.cos(frequency[..., :1, None] * y + frequency[..., 1:, None] * x + phase)
    colours = random.normal(0, 20, (n, 6, 3))
    level = random.uniform(80, 170, (n, 1, 1, 1))
    return np.clip(level + np.einsum("nwyx,nwc->nyxc", waves, colours), 0, 255).astype(np.uint8)


def noisy(pixels: np.ndarray, seed: int) -> np.ndarray:
    """What a re-encoding leaves at 32x32: about a grey level of noise."""
    noise = np.random.default_rng(seed).normal(0, 1, pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def trained() -> Autoencoder:
    return train_autoencoder(scenes(1500, 0), QUICK)


def weights(model: Autoencoder) -> list[np.ndarray]:
    return [tensor.numpy() for tensor in model.state_dict().values()]


def test_codes_of_pictures_never_seen_tell_them_apart_and_know_their_copies(
    trained: Autoencoder,
) -> None:
    pixels = scenes(600, 1)
    codes, copies = trained.codes(pixels), trained.codes(noisy(pixels, 2))
    assert judge_codes(codes, 8).trusted
    assert (hamming(codes, copies) <= 7).mean() > 0.99
    false, pairs = false_pairs(codes, np.arange(600), 7)
    assert pairs == 600 * 599 / 2
    assert false < 20


def test_raw_pixels_collapse_and_the_judge_says_so() -> None:
    pixels = scenes(600, 1)
    model = train_autoencoder(scenes(1500, 0), replace(QUICK, normalise="none"))
    codes, copies = model.codes(pixels), model.codes(noisy(pixels, 2))
    assert (codes == copies).all(axis=1).mean() > 0.9, "what makes the collapse look like success"
    report = judge_codes(codes, 0)
    assert not report.trusted
    assert report.distinct < 100
    assert any("distinct codes" in failure for failure in report.failures)


def test_training_lowers_the_loss_and_tells_each_epoch() -> None:
    epochs: list[Epoch] = []
    train_autoencoder(scenes(300, 0), replace(QUICK, epochs=3), on_epoch=epochs.append)
    assert [(epoch.number, epoch.updates) for epoch in epochs] == [(1, 3), (2, 6), (3, 9)]
    assert epochs[0].loss > epochs[1].loss > epochs[2].loss > 0


def test_the_budget_of_updates_cuts_the_last_epoch_short() -> None:
    epochs: list[Epoch] = []
    config = replace(QUICK, max_updates=4)
    train_autoencoder(scenes(300, 0), config, on_epoch=epochs.append)
    assert [(epoch.number, epoch.updates) for epoch in epochs] == [(1, 3), (2, 4)]


def test_training_stops_when_asked() -> None:
    asked: list[int] = []

    def should_stop() -> bool:
        asked.append(1)
        return len(asked) > 2

    epochs: list[Epoch] = []
    stopped = train_autoencoder(
        scenes(300, 0), QUICK, on_epoch=epochs.append, should_stop=should_stop
    )
    assert len(asked) == 3
    assert epochs == []
    assert len(stopped.codes(scenes(3, 1))) == 3


def test_a_seed_gives_the_same_weights_whatever_was_drawn_before() -> None:
    pixels, config = scenes(300, 0), replace(QUICK, epochs=1)
    one = weights(train_autoencoder(pixels, config))
    torch.rand(3)
    before = torch.get_rng_state()
    other = weights(train_autoencoder(pixels, config))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    third = weights(train_autoencoder(pixels, replace(config, seed=1)))
    # The first is the mean of the pictures, the same for each seed.
    assert not np.array_equal(one[-1], third[-1])


def test_memory_maps_and_stores_train_and_code_like_arrays(
    trained: Autoencoder, tmp_path: Path, write_pictures: WritePictures
) -> None:
    pixels, config = scenes(300, 0), replace(QUICK, epochs=1)
    np.save(tmp_path / "pixels.npy", pixels)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    store = PixelStore.open(write_pictures(tmp_path / "store", pixels, shards=3))
    expected = weights(train_autoencoder(pixels, config))
    for source in (mapped, store):
        found = weights(train_autoencoder(source, config))
        assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))
        assert np.array_equal(trained.codes(source, batch=77), trained.codes(pixels))


def test_a_code_depends_on_its_picture_alone(trained: Autoencoder) -> None:
    pixels = scenes(2100, 3)
    whole = trained.encode(pixels)
    assert np.array_equal(trained.encode(pixels, batch=700), whole)
    order = np.random.default_rng(0).permutation(len(pixels))
    assert np.array_equal(trained.encode(pixels[order]), whole[order])
    assert np.array_equal(trained.encode(pixels[5:6]), whole[5:6])
    assert np.array_equal(trained.codes(pixels), np.packbits(whole > 0, axis=1))


class Counting:
    """A store that remembers the largest request."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.largest = pixels, 0

    def __len__(self) -> int:
        return len(self.pixels)

    def gather(self, rows: Any) -> np.ndarray:
        self.largest = max(self.largest, len(rows))
        return self.pixels[rows]


def test_no_more_than_a_batch_is_ever_read(trained: Autoencoder) -> None:
    source = Counting(scenes(300, 0))
    train_autoencoder(source, replace(QUICK, epochs=1, batch=50))
    assert source.largest == 50
    trained.codes(source, batch=64)
    assert source.largest == 64


def slow_activations(model: Autoencoder, pixels: np.ndarray) -> np.ndarray:
    """The definition, in float64: centre, contrast, smoothing as a matrix, product, ReLU."""
    x = pixels.astype(np.float64)
    x = x - x.mean(axis=(1, 2), keepdims=True)
    contrast = x.std(axis=(1, 2, 3))
    blur = np.zeros((32, 32))
    for row in range(32):
        for offset, weight in zip((-1, 0, 1), (0.25, 0.5, 0.25), strict=True):
            blur[row, min(max(row + offset, 0), 31)] += weight
    blur = blur @ blur
    x = np.einsum("ab,nbxc->naxc", blur, x)
    x = np.einsum("ab,nybc->nyac", blur, x)
    x = x.reshape(len(x), -1) / np.maximum(contrast, 2)[:, None] - model.mean.double().numpy()
    code = np.maximum(x @ model.encoder.weight.detach().double().numpy().T, 0)
    return code * (contrast >= 2)[:, None]


def test_activations_are_those_of_the_definition(trained: Autoencoder) -> None:
    pixels = scenes(200, 4)
    expected = slow_activations(trained, pixels)
    assert expected.max() > 1
    assert trained.encode(pixels) == pytest.approx(expected, abs=2e-3)
    tensor = torch.from_numpy(pixels)
    with torch.inference_mode():
        normal = trained.normalise(tensor)
        plain = torch.relu(trained.encoder(normal))
        folded = trained(tensor)
    torch.testing.assert_close(folded, plain, atol=2e-3, rtol=0)


def rooms(n: int, seed: int) -> Pixels:
    """Pictures of one layout: what they have in common is most of each."""
    random = np.random.default_rng(seed)
    common = np.random.default_rng(0).integers(40, 216, (8, 8, 3))
    own = np.clip(common + random.normal(0, 12, (n, 8, 8, 3)), 0, 255).astype(np.uint8)
    return own.repeat(4, axis=1).repeat(4, axis=2)


def test_pictures_of_one_layout_have_codes_too() -> None:
    pixels = rooms(1500, 1)
    model = train_autoencoder(pixels, QUICK)
    assert judge_codes(model.codes(rooms(600, 2)), 8).trusted
    # What they have in common is silent in no unit and loud in none.
    active = model.encode(rooms(600, 2)) > 0
    assert 0.2 < active.mean() < 0.8


def test_the_mean_is_that_of_the_training_pictures() -> None:
    pixels = scenes(300, 3)
    model = train_autoencoder(pixels, replace(QUICK, epochs=1))
    shown = model.normalise(torch.from_numpy(pixels))
    assert float(shown.mean(dim=0).abs().max()) < 1e-5
    assert float(model.mean.abs().max()) > 0.01


def test_raw_pixels_are_only_divided() -> None:
    model = Autoencoder(AutoencoderConfig(normalise="none"))
    pixels = torch.from_numpy(scenes(5, 0))
    assert torch.equal(model.normalise(pixels), pixels.flatten(1) / 255)
    with torch.inference_mode():
        expected = torch.relu(model.encoder(pixels.flatten(1) / 255))
        torch.testing.assert_close(model(pixels), expected, atol=1e-5, rtol=0)


def test_smoothing_spreads_a_point_and_keeps_sums_and_flat_pictures() -> None:
    point = torch.zeros(1, 32, 32, 3)
    point[0, 10, 10, 1] = 256
    row = torch.tensor([1.0, 4, 6, 4, 1])
    assert torch.equal(smooth(point)[0, 8:13, 8:13, 1], row[:, None] * row)
    corner = torch.zeros(1, 32, 32, 3)
    corner[0, 0, 31] = 1
    assert smooth(corner).sum(dim=(0, 1, 2)).tolist() == [1, 1, 1]
    assert torch.equal(smooth(torch.ones(2, 32, 32, 3)), torch.ones(2, 32, 32, 3))


def test_brightness_and_contrast_hardly_matter(trained: Autoencoder) -> None:
    pixels = scenes(200, 5)
    other = np.rint(pixels * 0.6 + 30).astype(np.uint8)
    assert (hamming(trained.codes(pixels), trained.codes(other)) <= 3).all()


@pytest.mark.parametrize("level", [0, 128, 255])
def test_blank_pictures_have_the_empty_code(trained: Autoencoder, level: int) -> None:
    blank = np.full((3, 32, 32, 3), level, np.uint8)
    blank[1, ..., 0] = 50  # one colour is as blank as grey
    blank[2, ::2, ::2] ^= 1  # and so is what an encoder leaves of it
    with np.errstate(all="raise"):
        activations = trained.encode(blank)
    assert (activations == 0).all()
    assert active_bits(trained.codes(blank)).tolist() == [0, 0, 0]


def test_contrast_just_above_the_floor_is_seen(trained: Autoencoder) -> None:
    waves = np.zeros((2, 32, 32, 3), np.uint8)
    waves[0, :, :16] = 5  # standard deviation 2.5
    waves[1, :, :16] = 3  # 1.5
    assert (active_bits(trained.codes(waves + 200)) > 8).tolist() == [True, False]


def test_the_disturbance_is_what_the_config_says() -> None:
    """Without noise, shifts and dropout, training is that of a plain autoencoder."""
    calm = AutoencoderConfig(
        code=8,
        epochs=1,
        batch=64,
        input_noise=0,
        input_dropout=0,
        shift=0,
        zoom=0,
        code_noise=0,
        code_dropout=0,
    )
    pixels = scenes(64, 6)
    epochs: list[Epoch] = []
    torch.manual_seed(calm.seed)
    first = Autoencoder(calm)
    back = torch.nn.Linear(calm.code, 32 * 32 * 3)
    clean = first.normalise(torch.from_numpy(pixels))
    clean -= clean.mean(dim=0)
    with torch.inference_mode():
        restored = back(torch.relu(first.encoder(clean)))
        expected = float((restored - clean).square().mean())
    train_autoencoder(pixels, calm, on_epoch=epochs.append)
    assert epochs[0].loss == pytest.approx(expected, rel=1e-4)
    for change in ("input_noise", "input_dropout", "shift", "zoom", "code_noise", "code_dropout"):
        epochs.clear()
        train_autoencoder(pixels, replace(calm, **{change: 0.5}), on_epoch=epochs.append)
        assert epochs[0].loss != pytest.approx(expected, rel=1e-4), change


@pytest.fixture
def saved(trained: Autoencoder, tmp_path: Path) -> Path:
    path = tmp_path / "autoencoder.safetensors"
    save_autoencoder(trained, path)
    return path


def test_a_loaded_autoencoder_is_the_saved_one(trained: Autoencoder, saved: Path) -> None:
    loaded = load_autoencoder(saved)
    assert loaded.config == trained.config
    pixels = scenes(50, 7)
    assert np.array_equal(loaded.encode(pixels), trained.encode(pixels))
    assert not loaded.training


def rewritten(
    tensors: Callable[[dict[str, torch.Tensor]], Any] = lambda tensors: None,
    config: Callable[[dict[str, Any]], Any] = lambda config: None,
) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        content = load_file(path)
        description = asdict(load_autoencoder(path).config)
        tensors(content)
        config(description)
        save_file(content, path, metadata={"autoencoder": json.dumps(description)})

    return apply


DAMAGES = [
    (Path.unlink, "no such weights file"),
    (lambda path: path.write_bytes(path.read_bytes()[:5000]), "not a whole safetensors file"),
    (lambda path: path.write_text("hello"), "not a whole safetensors file"),
    (lambda path: save_file({"x": torch.ones(2)}, path), "not an autoencoder"),
    (lambda path: save_file({}, path, metadata={"autoencoder": "{"}), "not an autoencoder"),
    (lambda path: save_file({}, path, metadata={"autoencoder": "[1]"}), "a mapping is needed"),
    (rewritten(config=lambda c: c.update(colour=1)), "unknown key 'colour'"),
    (rewritten(config=lambda c: c.pop("seed")), "`seed` is missing"),
    (rewritten(config=lambda c: c.update(code=12)), "code is 12, not a positive multiple of 8"),
    (rewritten(config=lambda c: c.update(code="128")), "code is '128'"),
    (
        rewritten(config=lambda c: c.update(code=64)),
        "encoder.weight has shape (128, 3072), expected (64, 3072)",
    ),
    (rewritten(lambda t: t.pop("encoder.weight")), "tensor encoder.weight is missing"),
    (rewritten(lambda t: t.update(x=torch.ones(2))), "unknown tensor x"),
    (rewritten(lambda t: t["encoder.weight.step"].fill_(torch.nan)), "encoder.weight holds values"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGES)
def test_a_damaged_file_is_refused(
    saved: Path, refused: Refused, damage: Callable[[Path], Any], words: str
) -> None:
    damage(saved)
    with refused(saved.name, words):
        load_autoencoder(saved)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"code": 100}, "code is 100"),
        ({"normalise": "all"}, "normalise is 'all', not picture or none"),
        ({"min_contrast": 0.0}, "min_contrast is 0.0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"max_updates": 0}, "max_updates is 0"),
        ({"batch": 0}, "batch is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"input_noise": -1.0}, "input_noise is -1.0"),
        ({"input_dropout": 1.0}, "input_dropout is 1.0"),
        ({"shift": 17.0}, "shift is 17.0, not 0 to 16"),
        ({"zoom": 1.0}, "zoom is 1.0"),
        ({"code_noise": -1.0}, "code_noise is -1.0"),
        ({"code_dropout": 1.0}, "code_dropout is 1.0"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    refused: Refused, change: dict[str, Any], words: str
) -> None:
    with refused("autoencoder", words):
        train_autoencoder(scenes(4, 0), AutoencoderConfig(**change))


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 28, 28, 3), np.uint8), np.zeros((4, 32, 32, 3), np.float32)],
)
def test_pictures_of_another_kind_are_refused(
    refused: Refused, trained: Autoencoder, pixels: np.ndarray
) -> None:
    with refused("uint8 (32, 32, 3) are needed"):
        train_autoencoder(pixels, QUICK)
    with refused("uint8 (32, 32, 3) are needed"):
        trained.codes(pixels)


def test_no_pictures_and_a_diverging_loss_are_refused(refused: Refused) -> None:
    with refused("no pictures"):
        train_autoencoder(np.zeros((0, 32, 32, 3), np.uint8), QUICK)
    with refused("no longer finite", "learning_rate"):
        train_autoencoder(scenes(300, 0), replace(QUICK, learning_rate=1e30))


def test_no_pictures_have_no_codes(trained: Autoencoder) -> None:
    none = np.zeros((0, 32, 32, 3), np.uint8)
    assert trained.codes(none).shape == (0, 16)
    assert trained.encode(none).shape == (0, 128)
