"""The number of threads that compute: it decides how sums are split, and with that the last bits.

What is saved remembers it, so that whoever goes on does so with as many, on a machine or in a
container that would take another number of itself.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

_LOG = logging.getLogger(__name__)


@contextmanager
def threads_given_back() -> Iterator[None]:
    """Compute as ever when the block is left, whatever `go_on_with_threads` did in it."""
    own = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != own:
            torch.set_num_threads(own)


def go_on_with_threads(saved: int, run_dir: Path) -> None:
    """Compute with as many threads as the state of a run was computed with, and say so.

    A machine with fewer cores than that goes on with its own number, which is said, too.
    """
    own, cores = torch.get_num_threads(), _cores()
    if saved == own:
        return
    if saved > cores:
        _LOG.warning(
            "%s: its number of threads was %d, and here are %d cores: it goes on with %d, and its "
            "last bits become others",
            *(run_dir, saved, cores, own),
        )
        return
    torch.set_num_threads(saved)
    _LOG.warning(
        "%s: its number of threads stays %d, not this machine's %d, and so do its bits",
        *(run_dir, saved, own),
    )


def _cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
