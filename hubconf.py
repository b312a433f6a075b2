"""Published networks: torch.hub.load(CHECKOUT, "generator", group="faces", source="local").

CHECKOUT is a checkout or another workspace with this file, in which networks were made or pulled.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcgan_models.networks import Discriminator, Generator

dependencies = ["torch", "numpy", "safetensors", "pyarrow", "PIL"]
_MODELS = Path(__file__).parent / "models"


def generator(group: str) -> Generator:
    """The published generator of a group, such as `mnist`, `lsun`, `faces`, `albums`, `svhn`.

    Raises:
        UserError: There is none; `dvc pull` brings those of the last release.
    """
    from dcgan_models import load_generator

    return load_generator(_MODELS / group / "generator")


def discriminator(group: str) -> Discriminator:
    """The published discriminator of a group; raises as `generator` does."""
    from dcgan_models import load_discriminator

    return load_discriminator(_MODELS / group / "discriminator")
