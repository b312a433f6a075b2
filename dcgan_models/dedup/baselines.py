"""The usual perceptual hashes, for comparison: pHash, dHash, and the signs of 128 components.

All take the same 32x32 thumbnails as the autoencoder and give packed codes like it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dcgan_models.data import Pixels
from dcgan_models.dedup.codes import Codes
from dcgan_models.errors import UserError

Floats = npt.NDArray[np.float32]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def phash(pixels: Pixels) -> Codes:
    """64-bit DCT hash (Zauner 2010): which of the 8x8 lowest frequencies exceed their median.

    Args:
        pixels: uint8 (n, 32, 32, 3).

    Returns:
        Packed codes, uint8 (n, 8).
    """
    basis = _cosines(pixels.shape[1])
    low = basis @ _grey(pixels) @ basis.T
    flat = low.reshape(len(pixels), -1)
    return np.packbits(flat > np.median(flat, axis=1, keepdims=True), axis=1)


def dhash(pixels: Pixels) -> Codes:
    """64-bit difference hash: whether brightness grows to the right, on a grid of 8 by 9.

    Args:
        pixels: uint8 (n, 32, 32, 3).

    Returns:
        Packed codes, uint8 (n, 8).
    """
    _, height, width, _ = pixels.shape
    small = _averages(8, height) @ _grey(pixels) @ _averages(9, width).T
    grows = small[:, :, 1:] > small[:, :, :-1]
    return np.packbits(grows.reshape(len(pixels), -1), axis=1)


@dataclass(frozen=True)
class PrincipalHash:
    """Signs of principal components: what a linear autoencoder would give.

    Attributes:
        mean: float32 (3072,), of the training pictures.
        components: float32 (bits, 3072).
    """

    mean: Floats
    components: Floats

    @classmethod
    def fit(cls, pixels: Pixels, bits: int = 128, seed: int = 0) -> PrincipalHash:
        """Fit to training pictures, uint8 (n, 32, 32, 3); `UserError` for fewer than `bits`."""
        from sklearn.decomposition import PCA

        if len(pixels) < bits:
            raise UserError(f"{len(pixels)} pictures: {bits} components need as many at least")
        model = PCA(bits, svd_solver="randomized", random_state=seed)
        model.fit(_flat(pixels))
        return cls(model.mean_.astype(np.float32), model.components_.astype(np.float32))

    def codes(self, pixels: Pixels) -> Codes:
        """Packed codes, uint8 (n, bits / 8), of pictures uint8 (n, 32, 32, 3)."""
        return np.packbits((_flat(pixels) - self.mean) @ self.components.T > 0, axis=1)


def _flat(pixels: Pixels) -> Floats:
    return pixels.reshape(len(pixels), -1).astype(np.float32)


def _grey(pixels: Pixels) -> Floats:
    """Brightness, float32 (n, height, width)."""
    grey: Floats = pixels.astype(np.float32) @ _LUMA
    return grey


def _cosines(side: int) -> Floats:
    """The first eight basis vectors of the DCT of type II: (8, side)."""
    frequency, place = np.arange(8)[:, None], np.arange(side) + 0.5
    return np.cos(np.pi * frequency * place / side).astype(np.float32)


def _averages(out: int, side: int) -> Floats:
    """Weights that average `side` pixels down to `out`, pixels cut where needed: (out, side)."""
    edges = np.arange(out + 1) * side / out
    place = np.arange(side)
    overlap = np.minimum(edges[1:, None], place + 1) - np.maximum(edges[:-1, None], place)
    weights: Floats = (np.maximum(overlap, 0) * out / side).astype(np.float32)
    return weights
