"""The usual perceptual hashes, for comparison: pHash, dHash, and the signs of 128 components.

The first two are those of ImageHash. All take the same 32x32 thumbnails as the autoencoder and
give packed codes like it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

from dcgan_models.dedup.codes import Codes
from dcgan_models.errors import UserError
from dcgan_models.pixels import Pixels

Floats = npt.NDArray[np.float32]


def phash(pixels: Pixels) -> Codes:
    """64-bit DCT hash (Zauner 2010): which of the 8x8 lowest frequencies exceed their median.

    Args:
        pixels: uint8 (n, 32, 32, 3).

    Returns:
        Packed codes, uint8 (n, 8).
    """
    return _hashed(imagehash.phash, pixels)


def dhash(pixels: Pixels) -> Codes:
    """64-bit difference hash: whether brightness grows to the right, on a grid of 8 by 9.

    Args:
        pixels: uint8 (n, 32, 32, 3).

    Returns:
        Packed codes, uint8 (n, 8).
    """
    return _hashed(imagehash.dhash, pixels)


def _hashed(of: Callable[[Image.Image], imagehash.ImageHash], pixels: Pixels) -> Codes:
    bits = np.array([of(Image.fromarray(picture)).hash.ravel() for picture in pixels], np.bool_)
    return np.packbits(bits.reshape(len(pixels), -1), axis=1)


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
