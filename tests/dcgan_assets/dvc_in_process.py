"""DVC's own answers, asked in this process: to import it takes seconds."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path
from typing import Any


def dvc_status(root: Path) -> dict[str, Any]:
    """What `dvc status --json` says in a workspace."""
    from dvc.repo import Repo

    with chdir(root), Repo() as repo:
        found: dict[str, Any] = repo.status()
    return found
