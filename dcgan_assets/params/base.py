"""What every section of params.yaml is built from: `Section`, and numbers that are checked.

A setting stands in the section of its topic, with its meaning, range and default. No setting is
shared: what two topics need has one owner, and the other reads it there.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

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
