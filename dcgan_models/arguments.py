"""What a caller from Python hands over: counts, seeds, latents, labels. Anything else is one line.

Arrays and integers of numpy and torch are taken, and plain lists; nothing is rounded to fit.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dcgan_models.errors import UserError
from dcgan_models.presets import Preset

_LARGEST = 2**63 - 1
# What torch computes in; it also holds numbers of other kinds, of which it knows little more.
_COMPUTED = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def whole_number(value: Any, name: str, at_least: int = 0) -> int:
    """An integer of Python's, numpy's or torch's.

    Args:
        name: What it is, in the line.
        at_least: The smallest that is allowed.

    Raises:
        UserError: It is none: a bool, a float, a text; or is too small, or above 2^63 - 1.
    """
    truth = isinstance(value, bool | np.bool_) or getattr(value, "dtype", None) is torch.bool
    try:
        number = None if truth else operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        number = None
    if number is None or not at_least <= number <= _LARGEST:
        raise UserError(
            f"{name} is {value!r:.60}; a whole number from {at_least} to 2^63 - 1 is needed"
        )
    return number


def latent_rows(z: npt.ArrayLike | Tensor, preset: Preset) -> Tensor:
    """Latents as float (n, z_dim), from a tensor, an array or lists; n may be 0.

    Raises:
        UserError: They are no numbers, of another shape, or one is not finite.
    """
    rows = _tensor(z)
    needed = f"preset {preset.name} needs numbers (n, {preset.z_dim})"
    if rows is None or rows.dtype is torch.bool or rows.is_complex():
        raise UserError(f"latents: {type(z).__name__}; {needed}")
    if rows.ndim != 2 or rows.shape[1] != preset.z_dim:
        raise UserError(f"latents are {tuple(rows.shape)}; {needed}")
    rows = rows if rows.dtype in _COMPUTED else rows.float()
    finite = rows.isfinite().all(dim=1)
    if not bool(finite.all()):
        raise UserError(f"latents: row {int((~finite).nonzero()[0])} holds a value not finite")
    return rows


def label_rows(labels: npt.ArrayLike | Tensor | None, n: int, preset: Preset) -> Tensor | None:
    """Labels of `n` pictures as int64 (n,), from a tensor, an array or a list.

    Returns:
        None for a preset without classes, which has no labels.

    Raises:
        UserError: They are there where the preset has none, or are missing, or are not `n`
            integers of its classes.
    """
    if not preset.classes:
        if labels is not None:
            raise UserError(f"preset {preset.name} has no labels")
        return None
    rows = _tensor(labels)
    if rows is None or rows.shape != (n,) or (n and not are_classes(rows, preset.classes)):
        raise UserError(f"labels: {n} integers from 0 to {preset.classes - 1} are needed")
    return rows.to(torch.int64)


def are_classes(rows: Tensor, classes: int) -> bool:
    """Whether all are integers from 0 to `classes - 1`."""
    if rows.is_floating_point() or rows.is_complex() or rows.dtype is torch.bool:
        return False
    whole = rows.to(torch.int64)  # torch compares no uint16; 2^63 and above become less than 0
    return bool(((whole >= 0) & (whole < classes)).all())


def _tensor(values: Any) -> Tensor | None:
    """Values as a tensor, None where they are no numbers in equal rows."""
    if isinstance(values, Tensor):
        return values
    try:
        return torch.from_numpy(np.array(values))  # a copy: torch takes no read-only array
    except (TypeError, ValueError):
        return None
