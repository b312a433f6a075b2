"""Sections of params.yaml on training: the pictures, the network that compares, the candidate."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from dcgan_assets.params.base import Count, Epochs, Fraction, Positive, Section, Seed
from dcgan_models.errors import UserError
from dcgan_models.machine import Compile, Precision
from dcgan_models.presets import Preset, preset

# With fewer held-out pictures neither copies nor manifolds can be told.
FEWEST_HELD_OUT = 20
# What a section may say of a preset otherwise than the preset does.
_OVERRIDES = (
    "size",
    "width",
    "discriminator_width",
    "batch",
    "learning_rate",
    "epochs",
    "decay_epochs",
    "schedule",
    "averaged",
    "biased",
)


class TrainingSet(Section):
    """Which pictures of a group are trained on, and how many are held out.

    Attributes:
        held_out: Share that is never trained on, dealt by hash; what a source holds out itself
            stands. Test pictures of a source are neither trained on nor held out.
        held_out_least: At least so many that have no twin to train on, where twice as many
            pictures are there and the share is not 0: `quality` measures nothing by fewer than 20.
            Half of all pictures are held out for it at most.
        held_out_most: At most so many.
    """

    held_out: Fraction
    held_out_least: Count = FEWEST_HELD_OUT
    held_out_most: Count = 10_000


class ExtractorParams(Section):
    """The network in whose features a group's generators are compared; trained once and kept.

    It is an autoencoder: pictures alone are enough, and labels may be what is scarce.

    Attributes:
        epochs: Passes of its training.
        updates: Minibatches at most.
        batch, learning_rate, seed: Settings of its training.
    """

    epochs: Count = 10
    updates: Count | None = None
    batch: Count = 128
    learning_rate: Positive = 1e-3
    seed: Seed = 0


class JudgeParams(Section):
    """Two networks that read what is to be seen on a group's pictures, where the manifest says it.

    Attributes:
        factors: Which of the manifest's columns `factor.NAME` they learn: drawn pictures have them.
        updates: Minibatches of each one's training.
        batch, learning_rate, seed: Settings of it.
    """

    factors: Annotated[tuple[str, ...], Field(min_length=1, max_length=50)]
    updates: Count = 600
    batch: Count = 64
    learning_rate: Positive = 2e-3
    seed: Seed = 0


class Training(Section):
    """A training: a preset and what is overridden of it. Budgets are in epochs.

    Attributes:
        preset: The networks, by name: `dcgan presets` lists them.
        size: Side of the pictures, for the networks built as Figure 1 is; by default the preset's.
        width: Factor on the channels of every hidden layer.
        discriminator_width: The same of D alone; by default `width`.
        batch: Pictures of a minibatch; by default the preset's.
        learning_rate: That of both Adam optimisers; by default the preset's.
        epochs: Passes of the loader at that rate.
        decay_epochs: Passes over which it then falls to zero.
        schedule: Whether minibatches update G and D in turn (`alternate`) or each updates `both`;
            by default as the preset does.
        averaged: Whether the running average of G's weights draws, or the last ones (the paper).
        biased: Whether layers without batch norm have a bias; the authors' have none.
    """

    preset: str
    size: Count | None = None
    width: Positive = 1.0
    discriminator_width: Positive | None = None
    batch: Count | None = None
    learning_rate: Positive | None = None
    epochs: Epochs
    decay_epochs: Epochs
    schedule: Literal["alternate", "both"] | None = None
    averaged: bool = False
    biased: bool = False

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


class Ablations(Training):
    """Ablations: how long each change of the recipe is trained, how often, and how it is measured.

    Attributes:
        seeds: How many trainings each change gets; of fewer than two no verdict can be told.
        samples: Generated pictures that each training is measured by.
    """

    seeds: Annotated[int, Field(ge=2, strict=True)]
    samples: Annotated[int, Field(ge=2, strict=True)]


class Candidate(Training):
    """A training run whose networks may be published.

    Attributes:
        snapshots: Epochs after which the generator is kept.
        precision: `auto` takes bf16 where the processor multiplies it natively, else fp32.
        compile: Mode of torch.compile; `auto` compiles on a GPU alone.
    """

    snapshots: tuple[Count, ...] = ()
    precision: Precision = "auto"
    compile: Compile = "auto"


class GroupHealth(Section):
    """Bounds under which a generator counts as collapsed; see checks of `candidate`.

    Attributes:
        diversity: Least spread of samples, as a share of the training pictures'.
    """

    diversity: Fraction


class GroupCandidate(Candidate):
    """A training run on a group's pictures, whose networks may be published."""

    health: GroupHealth
