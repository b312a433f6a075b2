"""Groups from which nothing can be learned: said in one line before anything is trained."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# The extractor is judged on quarters of the training pictures.
FEWEST = 4
# In grey levels. Below it pictures, or their pixels, are the same but for noise.
_LEAST_SPREAD = 1.0


class Needs(NamedTuple):
    """What the steps after the training set ask of it.

    Attributes:
        batch: Pictures of a minibatch of the candidate.
        held_out: The share that is to be held out; 0 where a group is measured on none.
        classes: Whether the extractor tells labels apart.
    """

    batch: int
    held_out: float
    classes: bool


def why_untrainable(
    train: npt.NDArray[np.int64], held_out: int, copies: int, needs: Needs
) -> str | None:
    """Why counts and labels do not allow a training, and what to do; None where they do.

    Args:
        train: Labels of the pictures that are trained on, -1 where there is none.
        held_out: Pictures that are held out.
        copies: Exact copies of either, which are left out.
    """
    n, least = len(train), max(FEWEST, needs.batch)
    beside = f" ({copies:,} more are exact copies)" if copies else ""
    if not n and not held_out:
        return "no picture was kept; the manifest of the pictures says why each was rejected"
    if not n:
        return f"all {held_out:,} pictures are held out{beside}; lower training_set.held_out"
    if n < least:
        return (
            f"{n:,} different pictures to train on{beside}, and at least {least} are needed: "
            f"candidate.batch is {needs.batch}; give it more pictures"
        )
    if needs.held_out and not held_out:
        return (
            f"none of {n:,} different pictures{beside} came to be held out, and a share of "
            f"{needs.held_out:g} was asked for; raise training_set.held_out and held_out_most, or "
            "set held_out to 0 to measure nothing"
        )
    if needs.classes and (train.min() < 0 or len(np.unique(train)) < 2):
        return (
            "extractor.kind is classifier, which needs a label for every picture and two classes "
            f"at least; the training pictures have {_classes(train)}"
        )
    return None


def why_alike(pictures: npt.NDArray[np.uint8]) -> str | None:
    """Why nothing can be learned from what training pictures show; None where something can.

    Args:
        pictures: uint8 (n, height, width, channels), some of them, at least one.
    """
    values = pictures.astype(np.float32)
    flat = values.reshape(len(values), -1, values.shape[-1]).std(axis=1).mean(axis=1)
    if np.median(flat) < _LEAST_SPREAD:
        return (
            f"{(flat < _LEAST_SPREAD).mean():.0%} of the training pictures show one colour and "
            "nothing else; pictures of something are needed"
        )
    spread = float(values.std(axis=0).mean())
    if spread < _LEAST_SPREAD:
        return (
            f"the training pictures are all but the same picture: they differ by {spread:.2g} "
            "grey levels; pictures that differ are needed"
        )
    return None


def _classes(labels: npt.NDArray[np.int64]) -> str:
    """In words, which there are."""
    known, unlabelled = np.unique(labels[labels >= 0]), int((labels < 0).sum())
    words = f"only class {known[0]}" if len(known) == 1 else f"{len(known)} classes"
    return f"{words} and {unlabelled:,} without a label" if unlabelled else words
