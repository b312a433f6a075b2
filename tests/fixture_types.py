"""Types of the shared fixtures: a module of its own, because every folder has a conftest."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

Refused = Callable[..., AbstractContextManager[None]]
WritePictures = Callable[..., Path]
