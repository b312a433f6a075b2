"""What every section of params.yaml is built from: `Section`, and numbers that are checked.

A setting stands in the section of its topic, with its meaning, range and default. No setting is
shared: what two topics need has one owner, and the other reads it there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from dcgan_models.errors import UserError

# Strict: `yes` is not true, and "20" is not a number.
Count = Annotated[int, Field(gt=0, strict=True)]
Epochs = Annotated[int, Field(ge=0, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
Positive = Annotated[float, Field(gt=0, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Fraction = Annotated[float, Field(ge=0, le=1, strict=True)]


class Section(BaseModel):
    """A part of params.yaml. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def identity(self) -> dict[str, Any]:
        """What of this section decides an asset's content: plain JSON for its code version."""
        return self.model_dump(mode="json")

    def found(self, root: Path) -> str:
        """Say what of the user's this section names, or what is fetched first.

        `dcgan doctor` asks every section. Those within this one speak for themselves.

        Args:
            root: The workspace.

        Returns:
            A line; empty where the section names nothing.

        Raises:
            UserError: It is not there, or not what it should be.
        """
        return ""


class PictureSource(Section):
    """Where the pictures of a group come from.

    Attributes:
        source: What kind of place.
        path: Of the user's own pictures, relative to the workspace.
    """

    source: str
    path: str | None = None

    def to_fetch(self) -> str:
        """What is fetched before the pictures can be made; empty where nothing is said of it."""
        return ""

    def found(self, root: Path) -> str:
        """The place of the user's pictures, or the source and what it takes."""
        if self.path is None:
            return f"source: {self.source}{self.to_fetch()}"
        place = root / self.path
        if not place.exists():
            raise UserError(f"pictures from {place}, which is not there")
        return f"pictures from {place}"
