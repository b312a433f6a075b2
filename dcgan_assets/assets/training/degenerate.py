"""Groups from which nothing can be learned: said in one line before anything is trained."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# The extractor is judged on quarters of the training pictures.
FEWEST = 4
# In grey levels. Below it pictures, or their pixels, are the same but for noise.
_LEAST_SPREAD = 1.0


def why_too_few(train: int, held_out: int, copies: int, *, batch: int, share: float) -> str | None:
    """Why so many pictures do not allow a training, and what to do; None where they do.

    Args:
        train: Pictures that are trained on.
        held_out: Pictures that are held out.
        copies: Exact copies of either, which are left out.
        batch: Pictures of a minibatch of the candidate.
        share: What was to be held out; 0 where nothing is to be measured.
    """
    total, least = train + held_out, max(FEWEST, batch)
    beside = f" ({copies:,} more are exact copies)" if copies else ""
    wanted = f"at least {least} must be trained on (candidate.batch is {batch})"
    if total < least:
        return f"different pictures: {total}{beside}; {wanted}: give it more"
    if train < least:
        return (
            f"of {total:,} different pictures{beside} all but {train:,} are held out; {wanted}: "
            "lower training_set.held_out and held_out_least, or give it more"
        )
    if share and not held_out:
        return (
            f"of {train:,} different pictures{beside} none came to be held out, and a share of "
            f"{share:g} was asked for; raise training_set.held_out and held_out_most, or "
            "set held_out to 0 to measure nothing"
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
