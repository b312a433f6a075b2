"""Sections of params.yaml for what belongs to no group: Figure 1 and the report."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from dcgan_assets.params.base import Section
from dcgan_models.errors import UserError
from dcgan_models.presets import preset


def _known_preset(name: str) -> str:
    try:
        return preset(name).name
    except UserError as error:
        raise ValueError(str(error)) from None


PresetName = Annotated[str, AfterValidator(_known_preset)]


class Architecture(Section):
    """Figure 1: networks drawn as diagrams.

    Attributes:
        presets: The networks to draw, by name.
    """

    presets: tuple[PresetName, ...]

    def identity(self) -> dict[str, Any]:
        """The presets in full, by name: presets.py is in no code version."""
        return {name: preset(name).to_dict() for name in self.presets}


class PaperReport(Section):
    """The report that sets every result beside the paper's.

    Attributes:
        megabytes: The page's size at most, 10^6 bytes each; pictures are made coarser to fit.
    """

    megabytes: Annotated[float, Field(ge=2, le=100, strict=True)] = 8.0


class Report(Section):
    """What belongs to no group: Figure 1, and the report on every result."""

    architecture: Architecture
    paper: PaperReport
