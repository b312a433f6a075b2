"""Shares by class, and how much pictures of a class vary."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dcgan_models.pixels import Pixels


def class_spread(
    pictures: Pixels, labels: npt.NDArray[np.int64], classes: int
) -> npt.NDArray[np.float64]:
    """How much the pictures of each class vary: the root mean squared distance to their mean.

    Zero where a class has collapsed to one picture. The ratio to the spread of real pictures is
    the diversity that a candidate is held to.

    Args:
        pictures: uint8 (n, height, width, channels).
        labels: (n,) in 0..classes-1.

    Returns:
        (classes,) in pixel units of [0, 1] per pixel; NaN for a class without pictures.
    """
    flat = pictures.reshape(len(pictures), -1).astype(np.float64) / 255
    spread = np.full(classes, np.nan)
    for label in range(classes):
        members = flat[labels == label]
        if len(members):
            spread[label] = np.sqrt(members.var(axis=0).mean())
    return spread


def share_by_class(
    hits: npt.NDArray[np.bool_], labels: npt.NDArray[np.int64], classes: int
) -> npt.NDArray[np.float64]:
    """Share of hits within each class: (classes,) in [0, 1], NaN for an absent class."""
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    found = np.bincount(labels[hits], minlength=classes)
    shares = np.full(classes, np.nan)
    np.divide(found, counts, out=shares, where=counts > 0)
    return shares
