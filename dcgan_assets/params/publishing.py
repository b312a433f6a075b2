"""The section of params.yaml on whether a candidate is published: the quality gate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from dcgan_assets.params.base import Count, Fraction, Section, Seed
from dcgan_models.metrics.gate import Rule


class Gate(Section):
    """How sure it must be that a candidate is no worse than what it replaces.

    Attributes:
        samples: Generated pictures of a set; for each set a generator is scored once.
        seed: Of the first set; the next has the next number.
        sets: Sets at first: how much their scores scatter says how many are needed.
        most_sets: So many at most, be the margin resolved by then or not.
        margin: By which share of its score a candidate may be worse than the champion and than
            the best champion on record.
        copied: Share of samples that may be copies of training pictures.
    """

    samples: Annotated[int, Field(ge=20, strict=True)]
    seed: Seed = 11
    sets: Annotated[int, Field(ge=2, strict=True)] = Rule.sets
    most_sets: Count = Rule.most_sets
    margin: Fraction = 0.05
    copied: Fraction = Rule.copied

    def rule(self, measure: str, floor: float = 0.0) -> Rule:
        """The gate's rule, for a measure and what real pictures come to by it."""
        return Rule(measure, self.margin, floor, self.copied, self.sets, self.most_sets)

    @model_validator(mode="after")
    def _counts_in_order(self) -> Self:
        if self.sets > self.most_sets:
            raise ValueError("`sets` may be `most_sets` at most")
        return self


class Quality(Gate):
    """How a newly trained candidate is compared with the published generator, the champion.

    Attributes:
        samples: Generated pictures of a set, and real ones at most.
        measure: What decides; lower is better.
        copied: Share of samples that may be copies of training pictures: above the hundredth that
            counts as such by chance, below a tenth.
        publish_unmeasured: Whether a healthy candidate replaces the champion where too few
            pictures are held out to measure either by.
        kid_subsets, kid_size: Of the kernel distance; a subset has at most two thirds of the
            pictures, for the standard error.
        snapshot_samples: Generated pictures for each snapshot's point of the training-time series.
        inception: torch-fidelity's Inception file, relative to the workspace, for true FID, KID
            and Inception Score; without one they are left out.
    """

    measure: Literal["frechet_distance", "kernel_distance", "swd"] = "frechet_distance"
    copied: Fraction = 0.03
    publish_unmeasured: bool = False
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
        if 3 * self.kid_size > 2 * self.samples:
            raise ValueError("`kid_size` may be two thirds of `samples` at most")
        return self
