"""Sections of params.yaml that every group of pictures has: LSUN, faces, a user's own."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from dcgan_assets.params.base import (
    Candidate,
    Count,
    Epochs,
    Flag,
    Fraction,
    PictureSource,
    Positive,
    Section,
    Seed,
)
from dcgan_assets.params.internals import LookingInside
from dcgan_assets.params.quality import FEWEST_HELD_OUT, ExtractorParams, Quality
from dcgan_assets.sources.lsun_downloads import LSUN_CATEGORIES
from dcgan_models.presets import SIZES

HASH_SIDE = 32


def _known_size(size: int) -> int:
    if size not in SIZES:
        raise ValueError(f"pictures are {', '.join(map(str, SIZES))} pixels wide, not {size}")
    return size


def _known_category(category: str | None) -> str | None:
    if category is not None and category not in LSUN_CATEGORIES:
        raise ValueError(f"LSUN has no {category!r}; allowed: {', '.join(LSUN_CATEGORIES)}")
    return category


Size = Annotated[int, Field(strict=True), AfterValidator(_known_size)]


class GroupImages(PictureSource):
    """Where a group's pictures come from, and how large they are made.

    Attributes:
        source: `photographs` are those of installed packages; `folder` is a tree of pictures,
            `archive` a zip or tar, `lsun` one of LSUN's databases (LMDB), `imagenet` ImageNet-1k's
            class folders or its official tar, `cifar10` CIFAR-10's training pictures, `search`
            (of albums alone) what was looked for on the web.
        path: Of folder, archive or database, relative to the workspace. Of `cifar10` the folder
            of its binary archive, which is downloaded when there is no path.
        category: Of LSUN, to be downloaded; in place of a path.
        size: Side of the training pictures: short side scaled to it, centre cropped.
        min_side: Pictures with a shorter side are rejected; by default `size`, so that none is
            enlarged, and 32 for the packaged photographs, whose crops are small on purpose.
        shards: Parts that are made one by one, each in a run of its own.
        pictures, held_out, planted, seed: Of photographs: how many crops are trained on, how many
            come from regions that are not, the share that are near-duplicates of others.
        licence, attribution: Of a folder's or archive's pictures.
        stand_in: Whether a folder or archive holds other pictures than the paper's.
    """

    source: Literal["photographs", "folder", "archive", "lsun", "imagenet", "cifar10", "search"]
    path: str | None = None
    category: Annotated[str | None, AfterValidator(_known_category)] = None
    size: Size
    min_side: Count | None = None
    shards: Annotated[int, Field(ge=1, le=99, strict=True)]
    pictures: Count | None = None
    held_out: Epochs = 0
    planted: Annotated[float, Field(ge=0, le=0.5, strict=True)] = 0.0
    seed: Seed = 42
    licence: str = "unstated"
    attribution: str = "unstated"
    stand_in: Flag = False

    @model_validator(mode="after")
    def _of_its_source(self) -> Self:
        packaged = self.source == "photographs"
        if packaged != (self.pictures is not None):
            raise ValueError("`pictures` is needed with `source: photographs`, and only there")
        if self.category is not None and self.source != "lsun":
            raise ValueError("`category` goes with `source: lsun`")
        without = packaged or self.category is not None
        without = without or self.source == "search"
        if self.source != "cifar10" and (self.path is None) != without:
            raise ValueError("`path` is needed unless the pictures are packaged or downloaded")
        return self

    @property
    def least_side(self) -> int:
        """`min_side`, or what it is by default."""
        if self.min_side is not None:
            return self.min_side
        return HASH_SIDE if self.source == "photographs" else self.size

    def identity(self) -> dict[str, Any]:
        """The section with the least side that is meant."""
        return {**super().identity(), "min_side": self.least_side}

    @property
    def downloaded(self) -> bool:
        """Whether the pictures are fetched first."""
        return self.category is not None or (self.source == "cifar10" and self.path is None)

    def to_fetch(self) -> str:
        """The size of LSUN's database, or of CIFAR-10's archive."""
        if self.category is not None:
            size, _ = LSUN_CATEGORIES[self.category]
            download = f"{size / 1e9:.1f} GB to download, and as much again to unpack"
            return f", {self.category}: {download}"
        if self.downloaded:
            from dcgan_assets.sources.cifar10 import CIFAR10_DOWNLOAD

            return f", {CIFAR10_DOWNLOAD.size / 1e6:.0f} MB to download"
        return ""


class TrainingSet(Section):
    """Which pictures are trained on.

    Attributes:
        held_out: Share that is never trained on, dealt by hash; a source's own split stands.
        held_out_least: At least so many, where twice as many pictures are there and the share is
            not 0: `quality` measures nothing by fewer.
        held_out_most: At most so many.
    """

    held_out: Fraction
    held_out_least: Count = FEWEST_HELD_OUT
    held_out_most: Count = 10_000


class GroupHealth(Section):
    """Bounds under which a candidate is not published; see checks of `candidate`.

    Attributes:
        diversity: Least spread of samples, as a share of the training pictures'.
    """

    diversity: Fraction


class GroupCandidate(Candidate):
    """A training run on a group's pictures."""

    health: GroupHealth


class Samples(Section):
    """Grids of the same fixed latents (Figures 2, 3, 10 and 11).

    Attributes:
        rows, columns: Of the grid.
        epochs: Snapshots to draw beside the final network.
    """

    rows: Count
    columns: Count
    epochs: tuple[Count, ...] = ()


class LatentWalk(Section):
    """Figure 4.

    Attributes:
        segments: Between random points, a row each.
        steps: Pictures of a segment.
        pixel_rows: Rows of photographs faded into one another, for comparison.
        seed: Of the points.
    """

    segments: Count
    steps: Annotated[int, Field(ge=2, strict=True)]
    pixel_rows: Count
    seed: Seed = 4


class SortedSamples(Samples):
    """Samples of which D may choose the order.

    Attributes:
        order: `drawn`, or `score`: the most real to D first, as the authors' script for Figure 11
            sorts them.
    """

    order: Literal["drawn", "score"]


class TrainedGroup(Section):
    """What every group has whose pictures a DCGAN is trained on."""

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
    """A group whose pictures are made small from any size."""

    images: GroupImages

    @model_validator(mode="after")
    def _of_this_group(self) -> Self:
        if self.images.source == "search" and "search" not in type(self).model_fields:
            raise ValueError("images.source: `search` is for albums alone")
        return self

    @model_validator(mode="after")
    def _classes_only_with_labels(self) -> Self:
        if self.extractor.kind == "classifier":
            raise ValueError("extractor.kind: classifier needs labels; allowed here: autoencoder")
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


class PictureGroup(LookingInside, IngestedGroup):
    """A group of pictures, from source to figures."""

    latent_walk: LatentWalk


class DedupAutoencoder(Section):
    """The autoencoder whose code is the semantic hash (section 3.1).

    Attributes:
        epochs, max_updates, batch, learning_rate: Of its training.
        probes: Share of pictures that it never sees, on which recall is measured.
    """

    epochs: Count
    max_updates: Count | None = None
    batch: Count = 256
    learning_rate: Positive = 1e-3
    probes: Fraction


class Deduplication(Section):
    """What counts as a duplicate.

    Attributes:
        mode: `exact` collisions are the paper's; `near` takes codes within `radius` bits.
        radius: Of `near`.
    """

    mode: Literal["exact", "near"]
    radius: Annotated[int, Field(ge=1, le=10, strict=True)] = 7

    @property
    def bits(self) -> int:
        """Differing bits that still count as the same picture."""
        return self.radius if self.mode == "near" else 0


class DedupReport(Section):
    """How the deduplication is judged.

    Attributes:
        probes: Pictures, at most, that are edited and looked for.
        pairs: Removed pictures shown beside the kept ones, for a person's verdict.
        verdicts: CSV of those verdicts, relative to the workspace; counted when it is there.
    """

    probes: Count
    pairs: Count
    verdicts: str = "annotations/lsun/duplicates.csv"


class NearestTrainingImages(Section):
    """What the authors' README did with a web search: generated pictures and their neighbours.

    Attributes:
        pictures: Generated ones that are looked up.
        neighbours: Training pictures found for each.
        shown: Rows of the figure, the first of them.
    """

    pictures: Count
    neighbours: Count
    shown: Count


class LsunGroup(PictureGroup):
    """LSUN bedrooms: sections 3.1 and 6.1 of the paper, Figures 2 to 4."""

    dedup_autoencoder: DedupAutoencoder
    manifest: Deduplication
    dedup_report: DedupReport
    nearest_training_images: NearestTrainingImages
