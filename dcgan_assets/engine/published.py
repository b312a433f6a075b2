"""The published generator of a group, as commands and pages open it.

A step opens what it reads itself, in the folder that `Work.input` gives: so its code version
follows the modules that open networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dcgan_assets.engine.store import Artefact, Store
from dcgan_assets.engine.workspace import Workspace
from dcgan_models.errors import UserError

if TYPE_CHECKING:  # torch, which looking for a generator can do without
    from dcgan_models.networks import Generator


@dataclass(frozen=True)
class PublishedGenerator:
    """A generator that can draw: where it lies, of which version, and the network itself.

    Attributes:
        group: Whose it is.
        folder: Where it lies.
        version: Its data version; empty for the authors' own arrays, which have no record.
    """

    group: str
    folder: Path
    version: str

    @classmethod
    def find(cls, root: Path, group: str) -> PublishedGenerator:
        """What is published as the group's own generator in the workspace at `root`.

        Raises:
            UserError: Nothing whole is.
        """
        store, artefact = Store(root), Artefact(f"{group}/generator", "models")
        meta = store.meta(artefact)
        if meta is None:
            raise UserError(
                f"{group}: no generator is published; run `dcgan materialize {artefact.key}`"
            )
        return cls(group, store.folder(artefact), meta.data_version)

    @classmethod
    def drawing_for(cls, workspace: Workspace, group: str) -> PublishedGenerator:
        """The generator that draws a group: its own, or the one that its section names.

        Raises:
            UserError: The group trains none, or nothing whole is published.
        """
        networks = workspace.params.networks_of(group)
        if networks.released is not None:
            return cls(networks.group, workspace.root / networks.released, "")
        return cls.find(workspace.root, networks.group)

    @property
    def name(self) -> str:
        """What it is called where somebody is told what drew a picture."""
        return f"{self.group}/generator" if self.version else "the authors' SVHN generator"

    @cached_property
    def network(self) -> Generator:
        """The network, in `eval()` mode and with statistics; loaded once.

        Raises:
            UserError: A file is missing, cut short, or does not fit.
        """
        from dcgan_models import load_generator
        from dcgan_models.networks import estimate_sampling_statistics
        from dcgan_models.released import load_released_svhn

        if self.version:
            return load_generator(self.folder)
        generator, _ = load_released_svhn(self.folder)
        estimate_sampling_statistics(generator, seed=0)
        return generator
