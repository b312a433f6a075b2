"""Plain arrays (`.npy`) that may come from anybody: nothing is unpickled or taken at its word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dcgan_models.files import open_regular


def map_array(path: str | Path) -> npt.NDArray[Any]:
    """Map an array into memory, read-only: its header is held against the file's size.

    Raises:
        OSError: It cannot be opened, or is no plain file.
        ValueError: It is no array, one of objects, or cut short.
    """
    with open_regular(path):
        pass  # not a pipe: numpy opens by name
    try:
        with np.errstate(over="ignore"):  # a shape beyond all integers is refused, not warned of
            return np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    # numpy reads the header as Python text, and whatever its parser raises comes through.
    except Exception as error:
        raise ValueError(str(error) or type(error).__name__) from None
