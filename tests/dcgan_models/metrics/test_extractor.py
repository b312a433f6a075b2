"""Feature spaces: what they see, their fingerprint, their files, and bad generators in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from packaged_digits import packaged_digits

from dcgan_models.dedup.autoencoder import AutoencoderConfig
from dcgan_models.files import read_json
from dcgan_models.metrics.extractor import (
    SmallNetwork,
    colours,
    load_extractor,
    random_extractor,
    resize,
    save_extractor,
    train_autoencoder_extractor,
)
from dcgan_models.metrics.frechet import frechet_distance, moments
from dcgan_models.metrics.manifolds import manifolds
from dcgan_models.metrics.memorisation import memorisation


def test_the_small_network_is_what_its_weights_say() -> None:
    """A leak of 0.2 behind every layer, the last one too: by hand, from the weights."""
    network = SmallNetwork()
    pixels = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    x = pixels.permute(0, 3, 1, 2).double() / 127.5 - 1
    weights = {name: tensor.double() for name, tensor in network.state_dict().items()}
    for place in ("convolutions.0", "convolutions.2", "convolutions.4"):
        w, b = weights[f"{place}.weight"], weights[f"{place}.bias"]
        x = torch.nn.functional.conv2d(x, w, b, stride=2, padding=2)
        x = torch.where(x > 0, x, 0.2 * x)
    x = x.flatten(1) @ weights["dense.weight"].T + weights["dense.bias"]
    expected = torch.where(x > 0, x, 0.2 * x)
    assert (expected < 0).any()
    found = network(pixels)
    assert torch.allclose(found.double(), expected, atol=1e-5)


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Any]:
    pixels, labels = packaged_digits()
    order = np.random.default_rng(0).permutation(len(pixels))
    return pixels.reshape(-1, 28, 28, 1)[order], labels[order]


@pytest.fixture(scope="module")
def autoencoder(digits: Any) -> Any:
    config = AutoencoderConfig(epochs=9, max_updates=40, batch=64)
    return train_autoencoder_extractor(digits[0][:2000], config)


def test_pictures_come_to_32_by_the_mean_of_areas() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3)).astype(np.uint8)
    expected = pixels.reshape(3, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(resize(pixels).numpy(), expected, atol=0.51)
    assert (resize(pixels[:, :32, :32]).numpy() == pixels[:, :32, :32]).all()
    grey = resize(pixels[:, :28, :28, :1])
    assert grey.shape == (3, 32, 32, 3)
    assert bool((grey[..., 0] == grey[..., 2]).all())


def test_colours_are_means_and_deviations() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    found = colours(torch.from_numpy(pixels)).numpy()
    flat = pixels.reshape(3, -1, 3) / 255
    np.testing.assert_allclose(found, np.hstack([flat.mean(1), flat.std(1)]), rtol=1e-5)


def test_features_depend_on_no_other_picture(autoencoder: Any, digits: Any) -> None:
    pixels = digits[0][:700]
    for extractor in (autoencoder, random_extractor(3)):
        whole = extractor.features(pixels)
        assert whole.dtype == np.float32
        np.testing.assert_allclose(extractor.features(pixels[650:651])[0], whole[650], atol=1e-4)


def test_colour_and_contrast_are_seen(autoencoder: Any, digits: Any) -> None:
    """The code alone forgets both: a generator of grey mist would pass."""
    pixels = digits[0][2000:2400]
    fainter = (pixels // 2 + 60).astype(np.uint8)
    real, other, faint = (autoencoder.features(x) for x in (pixels, digits[0][2400:2800], fainter))
    codes = [x[:, :128] for x in (real, other, faint)]
    floor, found = (frechet_distance(moments(real), moments(x)) for x in (other, faint))
    assert found > 3 * floor
    forgotten = frechet_distance(moments(codes[0]), moments(codes[2]))
    assert forgotten < frechet_distance(moments(codes[0]), moments(codes[1]))


def test_bad_generators_show(autoencoder: Any, digits: Any) -> None:
    """Noise, one mode, a copy of the training set: each is caught by the measure that is for it."""
    pixels, labels = digits
    train, held_out, new = pixels[:2000], pixels[2000:2400], pixels[2400:2800]
    noise = np.random.default_rng(0).integers(0, 256, new.shape).astype(np.uint8)
    ones = pixels[3000:][labels[3000:] == 1][:180]
    seen = {
        name: autoencoder.features(x)
        for name, x in {"train": train, "held out": held_out, "new": new}.items()
    }
    bad = {
        name: autoencoder.features(x)
        for name, x in {"noise": noise, "one mode": ones, "copy": train[:400]}.items()
    }
    floor = frechet_distance(moments(seen["held out"]), moments(seen["new"]))
    for name in ("noise", "one mode"):
        assert frechet_distance(moments(seen["held out"]), moments(bad[name])) > 3 * floor, name
    whole = manifolds(seen["held out"], seen["new"])
    assert manifolds(seen["held out"], bad["noise"]).precision < 0.2 * whole.precision
    one_mode = manifolds(seen["held out"], bad["one mode"])
    assert one_mode.recall < 0.5 * whole.recall
    assert one_mode.precision > 0.9 * whole.precision
    copied = memorisation(seen["train"], seen["held out"], bad["copy"])
    honest = memorisation(seen["train"], seen["held out"], seen["new"])
    assert copied.low > 0.1
    assert copied.share == 1
    assert honest.low <= 0.1
    assert honest.share < 0.05


def test_the_fingerprint_is_of_weights_and_settings(
    autoencoder: Any, digits: Any, tmp_path: Path
) -> None:
    again = train_autoencoder_extractor(
        digits[0][:2000], AutoencoderConfig(epochs=9, max_updates=40, batch=64)
    )
    assert again.fingerprint == autoencoder.fingerprint
    again.scale *= 1.01
    assert again.fingerprint != autoencoder.fingerprint
    assert random_extractor(0).fingerprint == random_extractor(0).fingerprint
    assert random_extractor(0).fingerprint != random_extractor(1).fingerprint
    assert random_extractor(0).name == f"random {random_extractor(0).fingerprint}"


def test_files_bring_back_the_same_features(autoencoder: Any, digits: Any, tmp_path: Path) -> None:
    save_extractor(autoencoder, tmp_path / "folder", pictures=2000)
    loaded = load_extractor(tmp_path / "folder")
    assert loaded.fingerprint == autoencoder.fingerprint
    assert loaded.kind == autoencoder.kind
    assert (loaded.features(digits[0][:9]) == autoencoder.features(digits[0][:9])).all()
    assert read_json(tmp_path / "folder/extractor.json")["facts"] == {"pictures": 2000}


def test_bad_pictures_are_refused(refused: Any) -> None:
    black = np.zeros((40, 32, 32, 3), np.uint8)
    with refused("look alike"):
        train_autoencoder_extractor(black, AutoencoderConfig(epochs=1))
    with refused("2 channels"):
        random_extractor().features(np.zeros((2, 32, 32, 2), np.uint8))
    with refused("float64", "uint8"):
        random_extractor().features(np.zeros((2, 32, 32, 3)))
