"""The faces of scikit-image's LFW subset: what real faces ask of a detector."""

from __future__ import annotations

import numpy as np

from dcgan_assets.sources.photographs import package_file
from dcgan_models.errors import UserError
from dcgan_models.pixels import Pixels

_LFW_FILE = "skimage/data/lfw_subset.npy"
_LFW_FACES = 100


def lfw_pieces() -> Pixels:
    """The LFW subset: uint8 (200, 25, 25), grey; 100 faces, then 100 pieces without one.

    Raises:
        UserError: The package's file is not what it should be.
    """
    pieces = np.load(package_file(_LFW_FILE), allow_pickle=False)
    if pieces.shape != (2 * _LFW_FACES, 25, 25):
        raise UserError(f"{_LFW_FILE}: shape {pieces.shape}; install scikit-image again")
    return np.asarray(np.rint(pieces * 255), np.uint8)
