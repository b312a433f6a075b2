"""params.yaml: the one truth for sources, sizes and budgets of a workspace, read through pydantic.

A profile (`profiles/*.yaml`) is a template of the whole file. Each asset reads one section, and
the section is part of its code version: changing a number makes that asset and what follows it
stale, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from dcgan_models.errors import UserError
from dcgan_models.presets import Preset, preset

PARAMS_FILE = "params.yaml"
PROFILES = ("sample", "small", "paper")


def _known_preset(name: str) -> str:
    try:
        return preset(name).name
    except UserError as error:
        raise ValueError(str(error)) from None


# Strict: `yes` and "20" are not numbers.
Count = Annotated[int, Field(gt=0, strict=True)]
Epochs = Annotated[int, Field(ge=0, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
Positive = Annotated[float, Field(gt=0, strict=True)]
Fraction = Annotated[float, Field(ge=0, le=1, strict=True)]
PresetName = Annotated[str, AfterValidator(_known_preset)]


class Section(BaseModel):
    """A part of params.yaml. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def identity(self) -> dict[str, Any]:
        """What of this section decides the asset's content, as plain JSON values."""
        return self.model_dump(mode="json")


class Machine(Section):
    """Where things are computed. Never part of a code version."""

    device: Literal["auto", "cpu", "cuda"] = "auto"


class MnistImages(Section):
    """Where the digits come from, and how many go into each split."""

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


class Health(Section):
    """Bounds under which a candidate counts as collapsed; see checks of `candidate`.

    Attributes:
        diversity: Least spread of samples within a class, as a share of the real digits'.
        label_agreement: Least share of samples of any digit that read as that digit.
    """

    diversity: Fraction
    label_agreement: Fraction


class Training(Section):
    """A preset and what is overridden of it. Budgets are in epochs."""

    preset: str
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
        names = ("batch", "learning_rate", "epochs", "decay_epochs")
        changes = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return preset(self.preset).with_overrides(width=self.width, **changes)

    def identity(self) -> dict[str, Any]:
        """The section with the resolved preset: presets.py itself is in no code version."""
        return {**super().identity(), "preset": self.resolved().to_dict()}


class Candidate(Training):
    """A training run whose networks may be published."""

    snapshots: tuple[Count, ...] = ()
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    health: Health


class Ablations(Training):
    """What every change is trained on, how often, and by how many samples it is measured."""

    seeds: Count
    samples: Count


class Publish(Section):
    """How a candidate is scored against the champion on the validation digits."""

    samples: Count


class NearestNeighbourScores(Section):
    """The MNIST table: sizes of the generated reference set, and the bound that is checked."""

    references: tuple[Count, ...] = Field(min_length=1)
    max_error: Fraction


class SamplingStatistics(Section):
    """How many latents are drawn each way, and in what minibatches."""

    samples: Annotated[int, Field(ge=20, multiple_of=10)]
    batch: Annotated[int, Field(ge=2)]


class SamplePanels(Section):
    """Figure 9: columns of the real, GAN and DCGAN panels."""

    columns: tuple[Count, Count, Count]


class Mnist(Section):
    """Section 8.1 of the paper: conditional DCGAN and fully connected GAN on digits."""

    images: MnistImages
    candidate: Candidate
    fc_candidate: Candidate
    publish: Publish
    sample_panels: SamplePanels
    sampling_statistics: SamplingStatistics
    nearest_neighbour_scores: NearestNeighbourScores
    ablations: Ablations


class Architecture(Section):
    """Figure 1: the presets to draw."""

    presets: tuple[PresetName, ...]

    def identity(self) -> dict[str, Any]:
        """The presets themselves: presets.py is in no code version."""
        return {name: preset(name).to_dict() for name in self.presets}


class Report(Section):
    """What belongs to no group."""

    architecture: Architecture


class Params(Section):
    """The whole of params.yaml."""

    profile: Literal["sample", "small", "paper"]
    seed: Seed = 42
    machine: Machine = Machine()
    mnist: Mnist
    report: Report

    def section(self, path: str) -> Section:
        """The section at a dotted path, such as `mnist.images`."""
        found: Any = self
        for name in path.split("."):
            found = getattr(found, name)
        assert isinstance(found, Section)  # noqa: S101  (paths are our own)
        return found


def load_params(path: Path) -> Params:
    """Read params.yaml.

    Raises:
        UserError: The file is missing, not YAML, or has an unknown key or a value that is not
            allowed; the line names file, key and what is allowed.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing; `dcgan init DIR --profile sample` makes a workspace"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable ({error})") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML ({_one_line(error)})") from None
    return validate_params(content, str(path))


def validate_params(content: Any, where: str) -> Params:
    """Check parsed YAML; raise `UserError` for the first thing that is wrong with it."""
    if not isinstance(content, dict):
        raise UserError(f"{where}: a mapping of sections is needed, found {content!r:.60}")
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{where}: {_explain(error)}") from None


def profile_text(profile: str) -> str:
    """The template of a profile; raise `UserError` naming the known ones."""
    if profile not in PROFILES:
        raise UserError(f"unknown profile {profile!r}; allowed: {', '.join(PROFILES)}")
    return (resources.files("dcgan_assets") / "profiles" / f"{profile}.yaml").read_text("utf-8")


def _one_line(error: yaml.YAMLError) -> str:
    return " ".join(str(error).split())


def _explain(error: ValidationError) -> str:
    """The first error as one line: the key, what is wrong, what is allowed."""
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"])) or "the file"
    match first["type"]:
        case "extra_forbidden":
            return f"{key}: unknown key; allowed here: {', '.join(_allowed(first['loc'][:-1]))}"
        case "missing":
            return f"{key}: this key is missing"
        case "value_error":
            return f"{key}: {first['ctx']['error']}"
        case _:
            return f"{key}: {first['msg']} (found {first['input']!r:.60})"


def _allowed(path: Iterable[int | str]) -> list[str]:
    """The keys of the section at `path`."""
    model: Any = Params
    for name in path:
        model = model.model_fields[name].annotation
    return list(model.model_fields)
