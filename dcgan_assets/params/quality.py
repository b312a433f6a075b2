"""Sections of params.yaml on comparing generators: the feature space, and the quality gate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from dcgan_assets.params.base import Count, Fraction, Positive, Section, Seed

# With fewer held-out pictures neither copies nor manifolds can be told.
FEWEST_HELD_OUT = 20


class ExtractorParams(Section):
    """The network in whose features a group's generators are compared; trained once and kept.

    Attributes:
        kind: `autoencoder` for pictures alone, `classifier` where they have labels.
        epochs: Passes of the autoencoder's training.
        updates: Minibatches of the classifier's, or at most so many of the autoencoder's.
        batch, learning_rate, seed: Settings of its training.
    """

    kind: Literal["autoencoder", "classifier"] = "autoencoder"
    epochs: Count = 10
    updates: Count | None = None
    batch: Count = 128
    learning_rate: Positive = 1e-3
    seed: Seed = 0

    @model_validator(mode="after")
    def _says_how_long(self) -> Self:
        if self.kind == "classifier" and self.updates is None:
            raise ValueError("`updates` is needed with `kind: classifier`")
        return self


class Quality(Section):
    """How a newly trained candidate is compared with the published generator, the champion.

    Attributes:
        samples: Generated pictures for each seed, and real ones at most.
        train_samples: Training pictures, at most, among which copies are looked for.
        seeds: Seeds of the samples; the scatter over them is the noise that the gate allows for.
        measure: What decides; lower is better.
        margin: By which share a candidate may be worse than the best recorded champion, beyond
            the noise.
        copied: Share of samples that may be copies of training pictures.
        kid_subsets, kid_size: Of the kernel distance; a subset has at most two thirds of the
            pictures, for the standard error.
        snapshot_samples: Generated pictures for each snapshot's point of the training-time series.
        inception: torch-fidelity's Inception file, relative to the workspace, for true FID, KID
            and Inception Score; without one they are left out.
    """

    samples: Annotated[int, Field(ge=20, strict=True)]
    train_samples: Count
    seeds: tuple[Seed, ...] = (11, 12, 13)
    measure: Literal["frechet_distance", "kernel_distance", "swd"] = "frechet_distance"
    margin: Fraction = 0.05
    copied: Fraction = 0.1
    kid_subsets: Annotated[int, Field(ge=2, strict=True)] = 100
    kid_size: Annotated[int, Field(ge=2, strict=True)] = 1000
    snapshot_samples: Annotated[int, Field(ge=20, strict=True)]
    inception: str | None = None

    def identity(self) -> dict[str, Any]:
        """The section, with `inception` as yes or no: the file is always the same one."""
        return {**super().identity(), "inception": self.inception is not None}

    def found(self, root: Path) -> str:
        """The Inception file, where one is named."""
        if self.inception is None:
            return ""
        from dcgan_models.metrics.inception import check_inception_file

        check_inception_file(root / self.inception)
        return f"Inception's weights from {root / self.inception}"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError("`seeds` are one or more different numbers")
        if 3 * self.kid_size > 2 * self.samples:
            raise ValueError("`kid_size` may be two thirds of `samples` at most")
        return self
