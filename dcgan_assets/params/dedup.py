"""Sections of params.yaml about near-duplicates."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dcgan_assets.params.base import Count, Fraction, Positive, Section


class DedupAutoencoder(Section):
    """The autoencoder whose code is the semantic hash (section 3.1).

    Attributes:
        epochs, max_updates, batch, learning_rate: Settings of its training.
        probes: Share of pictures that it never sees, on which recall is measured.
    """

    epochs: Count
    max_updates: Count | None = None
    batch: Count = 256
    learning_rate: Positive = 1e-3
    probes: Fraction


class Deduplication(Section):
    """Which pictures count as duplicates, by the bits in which their semantic hashes differ.

    Attributes:
        mode: `exact` collisions are the paper's; `near` takes codes within `radius` bits.
        radius: Differing bits that `near` allows.
    """

    mode: Literal["exact", "near"]
    radius: Annotated[int, Field(ge=1, le=10, strict=True)] = 7

    @property
    def bits(self) -> int:
        """By how many bits the hashes of two pictures may differ that count as the same."""
        return self.radius if self.mode == "near" else 0


class DedupReport(Section):
    """How deduplication is judged: edited pictures that it should find, pairs for a person's eye.

    Attributes:
        probes: Pictures, at most, that are edited and looked for.
        pairs: Removed pictures shown beside the kept ones, for a person's verdict.
        verdicts: CSV of those verdicts, relative to the workspace; counted when it is there.
    """

    probes: Count
    pairs: Count
    verdicts: str = "annotations/lsun/duplicates.csv"
