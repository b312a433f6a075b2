"""Streams of random numbers: one for each use of chance, all from one seed."""

from __future__ import annotations

import hashlib

import torch


def random_stream(seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """Give each use of chance its own stream, so that one more draw here moves nothing there."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big"))
