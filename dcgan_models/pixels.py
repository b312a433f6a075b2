"""Pictures in memory: uint8 (height, width, channels), or (n, height, width, channels) of several.

A module of its own, because what reads photographs hangs on no other of this package.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
