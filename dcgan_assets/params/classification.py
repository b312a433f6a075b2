"""Sections of params.yaml for sections 5.1 and 5.2: what the discriminator learned."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from dcgan_assets.params.base import Count, Flag, PictureSource, Positive, Section, Seed
from dcgan_assets.params.groups import IngestedGroup, SortedSamples, TrainedGroup
from dcgan_models.errors import UserError
from dcgan_models.presets import Preset, preset

SIDE = 32
RELEASED = "released:"


class ImagenetGroup(IngestedGroup):
    """ImageNet-1k at 32 pixels: the pictures whose D is evaluated, and Figure 11."""

    samples: SortedSamples

    @model_validator(mode="after")
    def _as_large_as_what_is_classified(self) -> Self:
        if self.images.size != SIDE:
            raise ValueError(
                f"images.size is {self.images.size}; its D looks at CIFAR-10, which has {SIDE}"
            )
        return self


class LabelledImages(PictureSource):
    """Where labelled pictures of 32 pixels come from.

    Attributes:
        path: Of `folder`, relative to the workspace.
        train, test: Of a stand-in: pictures of each split.
        seed: Of a stand-in.
    """

    source: str
    path: str | None = None
    train: Count | None = None
    test: Count | None = None
    seed: Seed = 42

    @model_validator(mode="after")
    def _of_its_source(self) -> Self:
        if (self.source == "folder") != (self.path is not None):
            raise ValueError("`path` is needed with `source: folder`, and only there")
        made = self.source not in ("folder", "download")
        if any((count is not None) != made for count in (self.train, self.test)):
            raise ValueError(
                "`train` and `test` are needed with the packaged stand-in, and only there"
            )
        return self


class Cifar10Images(LabelledImages):
    """CIFAR-10, or a stand-in.

    Attributes:
        source: `photographs` are crops of packaged ones, their name being the class; `folder`
            holds CIFAR-10's binary version, `download` fetches it.
    """

    source: Literal["photographs", "folder", "download"]


class SvhnImages(LabelledImages):
    """SVHN, or a stand-in.

    Attributes:
        source: `stand_in` draws MNIST digits on photographs; `folder` holds SVHN's published
            .mat files, `download` fetches them.
        extra: Whether the 531,131 easier digits are there for the GAN, too.
    """

    source: Literal["stand_in", "folder", "download"]
    extra: Flag = False

    @model_validator(mode="after")
    def _extra_is_svhns(self) -> Self:
        if self.extra and self.source == "stand_in":
            raise ValueError("`extra` goes with `source: folder` or `source: download`")
        return self


class Features(Section):
    """The activations that are classified.

    Attributes:
        parquet: Whether to write the table as Parquet, too, for other tools.
        neighbours: Training pictures that are shown beside a test picture of each class, the
            nearest by these features.
    """

    parquet: Flag = False
    neighbours: Count = 9


class SvhnFeatures(Features):
    """Whose features are used.

    Attributes:
        discriminator: `trained` on SVHN, `imagenet`, or `released:FOLDER`, the authors' own
            arrays; FOLDER is relative to the workspace.
    """

    discriminator: Annotated[str, Field(pattern=r"^(trained|imagenet|released:.+)$")]

    @property
    def released(self) -> str | None:
        """The folder of the authors' arrays, where they are used."""
        named = self.discriminator.startswith(RELEASED)
        return self.discriminator.removeprefix(RELEASED) if named else None

    def found(self, root: Path) -> str:
        """The authors' arrays, where they are used."""
        if self.released is None:
            return ""
        from dcgan_models.released import load_released_svhn

        load_released_svhn(root / self.released)
        return f"the authors' arrays from {root / self.released}"


class SvmScores(Section):
    """How the L2-SVM is fitted and measured (section 5).

    Attributes:
        costs: The grid of C, of which the best on validation pictures is taken.
        validation: Pictures of the training split that C is chosen on.
        per_class: Labelled pictures of each class in a small draw.
        choosing_draws: Draws over which C is chosen.
        draws: Draws, other ones, whose test errors are reported.
        curve: Labelled pictures of each class at which accuracy is plotted, too.
        curve_draws: Draws behind each of those points.
        random_networks: Discriminators with random weights that are the control; narrow ones
            differ much from one another.
        seed: Of the split and the draws.
    """

    costs: Annotated[tuple[Positive, ...], Field(min_length=1)]
    validation: Count
    per_class: Count
    choosing_draws: Count
    draws: Count
    curve: tuple[Count, ...]
    curve_draws: Count = 3
    random_networks: Count
    seed: Seed = 42


class SupervisedCnn(Section):
    """The control of section 5.2: the same architecture, trained on the labels alone.

    Attributes:
        preset, width: Whose D it is.
        epochs: Of each trial at most; it ends early when validation stops improving.
        trials: Of the random search.
        per_class, validation, seed: Those of `svm_scores`.
    """

    preset: str
    width: Positive = 1.0
    epochs: Count
    trials: Count
    per_class: Count
    validation: Count
    seed: Seed = 42

    @model_validator(mode="after")
    def _known(self) -> Self:
        try:
            self.resolved()
        except UserError as error:
            raise ValueError(str(error)) from None
        return self

    def resolved(self) -> Preset:
        """The preset at this width."""
        return preset(self.preset).with_overrides(width=self.width)

    def identity(self) -> dict[str, Any]:
        """The section with the resolved preset: presets.py itself is in no code version."""
        return {**super().identity(), "preset": self.resolved().to_dict()}


class Cifar10Group(Section):
    """Section 5.1 and Table 1."""

    images: Cifar10Images
    features: Features
    svm_scores: SvmScores


class SvhnGroup(TrainedGroup):
    """Section 5.2, version 2 of the paper."""

    images: SvhnImages
    features: SvhnFeatures
    svm_scores: SvmScores
    supervised_cnn: SupervisedCnn

    @model_validator(mode="after")
    def _same_labels(self) -> Self:
        for name in ("per_class", "validation", "seed"):
            own, other = getattr(self.supervised_cnn, name), getattr(self.svm_scores, name)
            if own != other:
                raise ValueError(
                    f"supervised_cnn.{name} is {own} and svm_scores.{name} {other}; the control "
                    "needs the same"
                )
        return self
