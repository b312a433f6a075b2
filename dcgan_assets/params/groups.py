"""The groups of params.yaml, each put together from the sections of its topics.

What only holds between sections, such as one size of pictures and networks, is checked here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import model_validator

from dcgan_assets.params.base import Section
from dcgan_assets.params.classification import Features, SupervisedCnn, SvhnFeatures, SvmScores
from dcgan_assets.params.dedup import DedupAutoencoder, Deduplication, DedupReport
from dcgan_assets.params.faces import FaceBoxes
from dcgan_assets.params.internals import (
    LatentWalk,
    LookingInside,
    NearestTrainingImages,
    Samples,
    SortedSamples,
)
from dcgan_assets.params.pictures import SIDE, Cifar10Images, GroupImages, SvhnImages
from dcgan_assets.params.publishing import Quality
from dcgan_assets.params.search import Search
from dcgan_assets.params.training import ExtractorParams, GroupCandidate, TrainingSet
from dcgan_assets.sources.faces.finding import TRAINING_SIDE


class TrainedGroup(Section):
    """The sections of every group on whose pictures a DCGAN is trained."""

    training_set: TrainingSet
    extractor: ExtractorParams
    candidate: GroupCandidate
    quality: Quality
    samples: Samples

    @model_validator(mode="after")
    def _snapshots_are_kept(self) -> Self:
        missing = sorted(set(self.samples.epochs) - set(self.candidate.snapshots))
        if missing:
            raise ValueError(f"samples.epochs: no snapshot is kept of {missing}")
        last = self.candidate.epochs + self.candidate.decay_epochs
        late = [epoch for epoch in self.samples.epochs if epoch > last]
        if late:
            raise ValueError(f"samples.epochs: training ends with epoch {last}, before {late}")
        return self


class IngestedGroup(TrainedGroup):
    """A trained group whose pictures, of any size, are scaled to that of its networks."""

    images: GroupImages

    @model_validator(mode="after")
    def _of_this_group(self) -> Self:
        if self.images.source == "search" and "search" not in type(self).model_fields:
            raise ValueError("images.source: `search` is for albums alone")
        return self

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        side = self.candidate.resolved().image[1]
        if side != self.images.size:
            raise ValueError(
                f"images.size is {self.images.size} and candidate's networks draw {side}; "
                f"set candidate.size to {self.images.size}"
            )
        return self


class InspectedGroup(LookingInside, TrainedGroup):
    """A trained group whose networks may be looked into."""

    @model_validator(mode="after")
    def _claimed_epochs_are_shown(self) -> Self:
        hidden = sorted(set(self.claims.epochs if self.claims else ()) - set(self.samples.epochs))
        if hidden:
            raise ValueError(f"claims.epochs: {hidden} are not in samples.epochs")
        return self

    @model_validator(mode="after")
    def _ablations_fit_the_pictures(self) -> Self:
        if self.ablations is None:
            return self
        pictures, side = (one.resolved().image[1] for one in (self.candidate, self.ablations))
        if pictures % side:
            raise ValueError(
                f"ablations: their networks draw {side} pixels and candidate's {pictures}; set "
                "ablations.size to a part of it"
            )
        return self


class PictureGroup(InspectedGroup, IngestedGroup):
    """A group of pictures such as a user's own, from their source to the figures."""

    latent_walk: LatentWalk


class LsunGroup(PictureGroup):
    """LSUN bedrooms: sections 3.1 and 6.1 of the paper, Figures 2 to 4."""

    dedup_autoencoder: DedupAutoencoder
    manifest: Deduplication
    dedup_report: DedupReport
    nearest_training_images: NearestTrainingImages


class FacesGroup(Search, InspectedGroup):
    """Faces of people, from photographs on the web: section 4.2, and Figures 7, 8 and 10."""

    face_boxes: FaceBoxes

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        side = self.candidate.resolved().image[1]
        if side != TRAINING_SIDE:
            raise ValueError(
                f"faces are {TRAINING_SIDE} pixels wide and candidate's networks draw {side}"
            )
        return self


class AlbumsGroup(IngestedGroup):
    """Album covers, 128 pixels wide, as in the authors' README.

    Attributes:
        search: Where covers are looked for, with `images.source: search`, and only there.
    """

    search: Search | None = None

    @model_validator(mode="after")
    def _search_where_needed(self) -> Self:
        if (self.images.source == "search") != (self.search is not None):
            raise ValueError("`search` is needed with `images.source: search`, and only there")
        if self.search is not None and self.search.photos.shards != self.images.shards:
            raise ValueError(
                f"search.photos.shards is {self.search.photos.shards} and images.shards "
                f"{self.images.shards}; a shard of photographs becomes one of pictures"
            )
        return self


class ImagenetGroup(IngestedGroup):
    """ImageNet-1k at 32 pixels, which the D of section 5 is trained on; Figure 11."""

    samples: SortedSamples

    @model_validator(mode="after")
    def _as_large_as_what_is_classified(self) -> Self:
        if self.images.size != SIDE:
            raise ValueError(
                f"images.size is {self.images.size}; its D looks at CIFAR-10, which has {SIDE}"
            )
        return self


class ClassifiedGroup(Section):
    """The sections of every group whose labelled pictures are classified by D's features."""

    svm_scores: SvmScores
    supervised_cnn: SupervisedCnn

    @model_validator(mode="after")
    def _same_labels(self) -> Self:
        names = ("per_class", "validation", "seed")
        self._require_those_of_scores("supervised_cnn", names, "the control needs the same")
        return self

    def _require_those_of_scores(self, section: str, names: Sequence[str], why: str) -> None:
        for name in names:
            own, other = getattr(getattr(self, section), name), getattr(self.svm_scores, name)
            if own != other:
                raise ValueError(f"{section}.{name} is {own} and svm_scores.{name} {other}; {why}")


class Cifar10Group(ClassifiedGroup):
    """CIFAR-10, classified by the features of a D that never saw it: section 5.1 and Table 1."""

    images: Cifar10Images
    features: Features


class SvhnGroup(ClassifiedGroup, TrainedGroup):
    """SVHN, classified with few labels: section 5.2 in version 2 of the paper."""

    images: SvhnImages
    features: SvhnFeatures

    @model_validator(mode="after")
    def _statistics_of_what_decides_nothing(self) -> Self:
        why = "what C is chosen on is to be in no statistics"
        self._require_those_of_scores("features", ("validation", "seed"), why)
        return self
