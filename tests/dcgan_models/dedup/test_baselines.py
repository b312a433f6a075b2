"""The usual hashes, against other libraries' transforms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import dctn
from sklearn.datasets import load_sample_image
from sklearn.decomposition import PCA

from dcgan_models.dedup.baselines import PrincipalHash, dhash, phash
from dcgan_models.dedup.codes import hamming
from dcgan_models.dedup.planted import EDITS, thumbnail


def crops(n: int, seed: int = 0) -> list[np.ndarray]:
    photo = load_sample_image("flower.jpg")
    random = np.random.default_rng(seed)
    corners = zip(random.integers(0, 171, n), random.integers(0, 384, n), strict=True)
    return [photo[y : y + 256, x : x + 256] for y, x in corners]


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.array([thumbnail(crop) for crop in crops(200)])


def grey(pixels: np.ndarray) -> np.ndarray:
    return pixels @ np.array([0.299, 0.587, 0.114])


def test_phash_takes_the_low_frequencies_of_the_cosine_transform(pixels: np.ndarray) -> None:
    low = dctn(grey(pixels), axes=(1, 2))[:, :8, :8].reshape(len(pixels), -1)
    expected = low > np.median(low, axis=1, keepdims=True)
    # ImageHash rounds brightness to whole levels.
    assert (np.unpackbits(phash(pixels), axis=1) != expected).mean() < 0.005
    assert phash(pixels).shape == (200, 8)


def test_dhash_compares_neighbours_from_left_to_right(pixels: np.ndarray) -> None:
    ramp = np.repeat(np.arange(0, 256, 8, dtype=np.uint8)[None, :, None], 32, axis=0)
    brighter, darker = np.repeat([ramp, ramp[:, ::-1]], 3, axis=3)
    down = brighter.transpose(1, 0, 2)
    assert dhash(np.stack([brighter, darker, down])).tolist() == [[255] * 8, [0] * 8, [0] * 8]
    assert dhash(pixels).shape == (200, 8)


def test_principal_hash_takes_the_signs_of_the_components(pixels: np.ndarray) -> None:
    fitted = PrincipalHash.fit(pixels, bits=16)
    flat = pixels.reshape(len(pixels), -1).astype(np.float64)
    model = PCA(16, svd_solver="full").fit(flat)
    theirs = model.transform(flat)
    ours = np.unpackbits(fitted.codes(pixels), axis=1).astype(bool)
    assert fitted.codes(pixels).shape == (200, 2)
    for bit in range(8):  # a component's sign is arbitrary
        agreement = (ours[:, bit] == (theirs[:, bit] > 0)).mean()
        assert max(agreement, 1 - agreement) > 0.99


def test_copies_are_nearer_than_other_crops(pixels: np.ndarray) -> None:
    copies = np.array([thumbnail(EDITS["jpeg 75"](crop)) for crop in crops(200)])
    for code in (phash, dhash, PrincipalHash.fit(pixels, bits=64).codes):
        codes = code(pixels)
        assert hamming(codes, code(copies)).mean() < 2
        assert hamming(codes, np.roll(codes, 1, axis=0)).mean() > 10
