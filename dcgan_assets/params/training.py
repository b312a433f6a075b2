"""Sections of params.yaml about training a generator, and about the samples that it draws."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from dcgan_assets.params.base import Count, Epochs, Fraction, Positive, Section, Seed
from dcgan_models.errors import UserError
from dcgan_models.presets import Preset, preset

# What a section may say of a preset otherwise than the preset does.
_OVERRIDES = ("size", "width", "batch", "learning_rate", "epochs", "decay_epochs")


class Training(Section):
    """A training: a preset and what is overridden of it. Budgets are in epochs.

    Attributes:
        preset: The networks, by name: `dcgan presets` lists them.
        size: Side of the pictures, for the networks built as Figure 1 is; by default the preset's.
        width: Factor on the channels of every hidden layer.
        batch: Pictures of a minibatch; by default the preset's.
        learning_rate: That of both Adam optimisers; by default the preset's.
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


class GroupHealth(Section):
    """Bounds under which a generator counts as collapsed; see checks of `candidate`.

    Attributes:
        diversity: Least spread of samples, as a share of the training pictures'.
    """

    diversity: Fraction


class GroupCandidate(Candidate):
    """A training run on a group's pictures, whose networks may be published."""

    health: GroupHealth


class Samples(Section):
    """Grids of samples from fixed latents (Figures 2, 3, 10 and 11).

    Attributes:
        rows, columns: How many rows and columns of pictures the grid has.
        epochs: Snapshots to draw beside the final network.
    """

    rows: Count
    columns: Count
    epochs: tuple[Count, ...] = ()


class SortedSamples(Samples):
    """Grids of samples that may be sorted by D's score.

    Attributes:
        order: `drawn`, or `score`: the most real to D first, as the authors' script for Figure 11
            sorts them.
    """

    order: Literal["drawn", "score"]


class LatentWalk(Section):
    """Figure 4: walks from point to point in the latent space.

    Attributes:
        segments: Walks between two random points, a row each.
        steps: Pictures of a segment.
        pixel_rows: Rows of photographs faded into one another, for comparison.
        seed: Seed of the points.
    """

    segments: Count
    steps: Annotated[int, Field(ge=2, strict=True)]
    pixel_rows: Count
    seed: Seed = 4
