"""Sections of params.yaml about the features of D and their classifiers: paper, section 5."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from pydantic import Field, model_validator

from dcgan_assets.params.base import Count, Epochs, Flag, Positive, Section, Seed
from dcgan_models.errors import UserError
from dcgan_models.presets import Preset, preset

RELEASED = "released:"  # before the folder of the authors' own arrays


class Networks(NamedTuple):
    """Whose networks are used: those that `group` published, or the authors' own arrays.

    Attributes:
        released: The folder of those arrays, relative to the workspace; None for published ones.
    """

    group: str
    released: str | None = None


class Features(Section):
    """The features that D gives for each picture, which are then classified.

    Attributes:
        parquet: Whether to write the table as Parquet, too, for other tools.
        neighbours: Training pictures that are shown beside a test picture of each class, the
            nearest by these features.
        validation, seed: So many of the training pictures are left out of batch norm's statistics:
            with those of `svm_scores`, the pictures that C is chosen on.
    """

    parquet: Flag = False
    neighbours: Count = 9
    validation: Epochs = 0
    seed: Seed = 42


class SvhnFeatures(Features):
    """The features that are classified of SVHN, and by which discriminator.

    Attributes:
        discriminator: `trained` on SVHN, `imagenet`, or `released:FOLDER`, the authors' own
            arrays; FOLDER is relative to the workspace.
    """

    discriminator: Annotated[str, Field(pattern=r"^(trained|imagenet|released:.+)$")]

    @property
    def released(self) -> str | None:
        """The folder of the authors' released arrays where these are used, else None."""
        named = self.discriminator.startswith(RELEASED)
        return self.discriminator.removeprefix(RELEASED) if named else None

    @property
    def networks(self) -> Networks:
        """Whose networks these features, and pictures of SVHN, are made by."""
        return Networks("imagenet" if self.discriminator == "imagenet" else "svhn", self.released)

    def found(self, root: Path) -> str:
        """The authors' arrays, where they are used."""
        if self.released is None:
            return ""
        from dcgan_models.released import load_released_svhn

        load_released_svhn(root / self.released)
        return f"the authors' arrays from {root / self.released}"


class SvmScores(Section):
    """How an L2-SVM is fitted to D's features and measured (section 5).

    Attributes:
        costs: The grid of C, of which the best on validation pictures is taken.
        validation: Pictures of the training split that C is chosen on.
        per_class: Labelled pictures of each class in a small draw.
        choosing_draws: Draws over which C is chosen.
        draws: Draws, other ones, whose test errors are reported.
        curve: Labelled pictures of each class at which accuracy is plotted, too.
        curve_draws: Draws behind each of those points.
        random_networks: Discriminators with random weights that are the control. How much they
            differ is what the trained one must exceed, so that one alone tells nothing.
        seed: Seed of the split and the draws.
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
    """The control of section 5.2: D's architecture as a classifier, trained on labels alone.

    Attributes:
        preset, width: The networks whose D it is, and the factor on its channels.
        epochs: The most that a trial trains; it ends early when validation stops improving.
        trials: Trials of the random search for hyperparameters.
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
