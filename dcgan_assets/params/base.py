"""What sections of params.yaml are built from: values that are checked, trainings, candidates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dcgan_models.errors import UserError
from dcgan_models.presets import Preset, preset

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
        """What of this section decides the asset's content, as plain JSON values."""
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


# What a section may say of a preset otherwise than the preset does.
_OVERRIDES = ("size", "width", "batch", "learning_rate", "epochs", "decay_epochs")


class Training(Section):
    """A preset and what is overridden of it. Budgets are in epochs.

    Attributes:
        preset: The networks, by name: `dcgan presets` lists them.
        size: Side of the pictures, for the networks built as Figure 1 is; by default the preset's.
        width: Factor on the channels of every hidden layer.
        batch: Pictures of a minibatch; by default the preset's.
        learning_rate: Of both Adams; by default the preset's.
        epochs: Passes of the loader at that rate.
        decay_epochs: Passes over which it then falls to zero.
    """

    preset: str
    size: Count | None = None
    width: Positive = 1.0
    batch: Count | None = None
    learning_rate: Positive | None = None
    epochs: Epochs
    decay_epochs: Epochs

    @model_validator(mode="after")
    def _can_be_trained(self) -> Self:
        if self.epochs + self.decay_epochs == 0:
            raise ValueError("`epochs` and `decay_epochs` are both 0; nothing would be trained")
        try:
            self.resolved()
        except UserError as error:
            raise ValueError(str(error)) from None
        return self

    def resolved(self) -> Preset:
        """The preset with this section's overrides applied."""
        given = {name: getattr(self, name) for name in _OVERRIDES}
        changes = {name: value for name, value in given.items() if value is not None}
        return preset(self.preset).with_overrides(**changes)

    def identity(self) -> dict[str, Any]:
        """The section with the resolved preset in the place of its name and overrides.

        presets.py itself is in no code version; and the preset's own value, written out, is the
        same training.
        """
        rest = {name: value for name, value in super().identity().items() if name not in _OVERRIDES}
        return {**rest, "preset": self.resolved().to_dict()}


class Candidate(Training):
    """A training run whose networks may be published.

    Attributes:
        snapshots: Epochs after which the generator is kept.
        precision: `auto` takes bf16 where the processor multiplies it natively, else fp32.
        compile: Mode of torch.compile; `auto` compiles on a GPU alone.
    """

    snapshots: tuple[Count, ...] = ()
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: Literal["auto", "off", "default", "reduce-overhead", "max-autotune"] = "auto"
