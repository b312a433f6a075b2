"""A workspace: the folder with params.yaml and dvc.yaml that holds every artefact.

The root is `--root`, else DCGAN_ROOT, else the nearest ancestor of the working directory with a
dvc.yaml: one environment serves many clones.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dcgan_assets.params.file import PARAMS_FILE, Params, load_params
from dcgan_models.errors import UserError

ROOT_VARIABLE = "DCGAN_ROOT"
MARKER = "dvc.yaml"


@dataclass(frozen=True)
class Workspace:
    """A workspace's root folder and what is found there."""

    root: Path

    @cached_property
    def params(self) -> Params:
        """params.yaml, read once."""
        return load_params(self.root / PARAMS_FILE)

    @property
    def dagster_home(self) -> Path:
        """Where Dagster keeps runs, schedules and events of this workspace."""
        return self.root / ".dagster_home"

    @classmethod
    def find(cls, given: str | Path | None = None) -> Workspace:
        """The workspace that the user named, or else the nearest one around the current folder.

        Args:
            given: `--root`, where the user named one.

        Raises:
            UserError: A named root does not exist, or no ancestor has a dvc.yaml.
        """
        named = given or os.environ.get(ROOT_VARIABLE)
        if named:
            root = Path(named).resolve()
            if not root.is_dir():
                raise UserError(f"root {root}: no such folder")
            return cls(root)
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / MARKER).is_file():
                return cls(folder)
        raise UserError(
            f"{here}: no workspace here or above (no {MARKER}); go to one, pass --root, "
            "or make one with `dcgan init DIR`"
        )
