"""params.yaml: the one truth for sources, sizes and budgets of a workspace, read through pydantic.

A profile (`profiles/*.yaml`) is a template of the whole file. Each asset reads one section, and
the section is part of its code version: changing a number makes that asset and what follows it
stale, and nothing else.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import Field, ValidationError, field_validator, model_validator

from dcgan_assets.params.automation import Retention, Retraining
from dcgan_assets.params.base import Count, Section, Seed
from dcgan_assets.params.classification import Networks
from dcgan_assets.params.digits import Mnist
from dcgan_assets.params.groups import (
    AlbumsGroup,
    Cifar10Group,
    FacesGroup,
    ImagenetGroup,
    LsunGroup,
    PictureGroup,
    SvhnGroup,
)
from dcgan_assets.params.report import Report
from dcgan_assets.params.search import Operator
from dcgan_assets.params.user_places import named_paths, require_apart, reserved_name
from dcgan_assets.params.yaml_files import read_yaml
from dcgan_models.errors import UserError
from dcgan_models.machine import Device

PARAMS_FILE = "params.yaml"
PROFILES = ("sample", "small", "paper", "gallery")
_LONGEST = 400  # characters of a complaint
_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w.-]+)+/?", re.ASCII)


GroupName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]


Log = Literal["none", "tensorboard", "mlflow", "dvclive"]


Engine = Literal["local", "ray", "celery"]


class Machine(Section):
    """Where networks are trained, and whether results go to DVC. Never part of a code version.

    Attributes:
        device: `auto` takes a GPU where there is one.
        hosts: Machines that train together, each with that many `processes`; the others join with
            `dcgan join`.
        processes: That train together on a machine, through torchrun; the preset's batch is that
            of all.
        join_seconds: How long machines wait for one another before a training.
        dvc: What happens to what was made: `commit` books it, `push` also uploads it.
        exchange: How machines come by what others have made: through the `folder` that is the
            workspace, or through `s3://BUCKET/PREFIX`, each with a workspace of its own. Keys come
            from the environment alone, and `dvc` is `off` then: no machine has all files.
        log: The tool in which a training's curves are drawn as well, below `runs/`; each is an
            extra of its name.
        engine: What spreads runs over machines; all but `local` is an extra of its name, and has
            its settings in the folder `cluster`.
    """

    device: Device = "auto"
    hosts: Count = 1
    processes: Count = 1
    join_seconds: Count = 600
    dvc: Literal["off", "commit", "push"] = "commit"
    exchange: str = "folder"
    log: Log = "none"
    engine: Engine = "local"

    @field_validator("engine", mode="before")
    @classmethod
    def _no_address(cls, value: object) -> object:
        # Said without the value: an address may hold a password.
        if isinstance(value, str) and (":" in value or "@" in value):
            raise ValueError(
                f"the name of an engine ({', '.join(get_args(Engine))}), not an address: those "
                "stand in cluster/dagster.yaml, credentials in the environment"
            )
        return value

    @field_validator("exchange", mode="before")
    @classmethod
    def _names_no_keys(cls, value: Any) -> Any:
        # What was written may hold a key, so no line shows it.
        if value != "folder" and not (isinstance(value, str) and _S3.fullmatch(value)):
            raise ValueError(
                "allowed: folder, s3://BUCKET/PREFIX; keys come from the environment "
                "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) and never stand here"
            )
        return value

    @model_validator(mode="after")
    def _books_only_what_is_whole(self) -> Self:
        if self.exchange != "folder" and self.dvc != "off":
            raise ValueError(
                f"`exchange: s3` goes with `dvc: off` (found {self.dvc}): DVC books "
                "whole assets, and no machine has all files of one"
            )
        return self


def _absent() -> Any:
    """The default of a group that a workspace may lack: it has no step then, and is None."""
    return Field(default=None)


class Params(Section):
    """The whole of params.yaml; a built-in group without a section is not in the workspace.

    Attributes:
        profile: The template that the file was made from. It stands in every result.
        seed: Seed of whatever is trained, until a run is given one of its own.
        groups: Groups of your own pictures, by name; `dcgan new-group` writes them.
    """

    profile: Literal["sample", "small", "paper", "gallery"]
    seed: Seed = 42
    machine: Machine = Machine()
    operator: Operator = Operator()
    retraining: Retraining = Retraining()
    retention: Retention = Retention()
    mnist: Mnist = _absent()
    lsun: LsunGroup = _absent()
    faces: FacesGroup = _absent()
    albums: AlbumsGroup = _absent()
    imagenet: ImagenetGroup = _absent()
    cifar10: Cifar10Group = _absent()
    svhn: SvhnGroup = _absent()
    groups: dict[GroupName, PictureGroup] = Field(default_factory=dict)
    report: Report = _absent()

    @model_validator(mode="after")
    def _draws_on_what_is_there(self) -> Self:
        """Features are of another group's networks, which must be in the workspace."""
        needed = {"cifar10": "imagenet"} if "cifar10" in self.sections() else {}
        if "svhn" in self.sections():
            whose, released = self.svhn.features.networks
            needed |= {} if released else {"svhn": whose}
        for group, whose in needed.items():
            if whose not in self.sections():
                raise ValueError(
                    f"{group}: its features are of {whose}'s D; a section {whose} is needed"
                )
        return self

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

    def sections(self) -> set[str]:
        """The names of what has a section: of the built-in groups, those that are there."""
        return {name for name, section in self if section is not None}

    def group_names(self) -> tuple[str, ...]:
        """Every group that has pictures, those of the user last."""
        built_in = [
            name
            for name, section in self
            if section is not None
            and {"images", "image_urls"} & set(getattr(type(section), "model_fields", {}))
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

    def networks_of(self, group: str) -> Networks:
        """Whose networks draw a group's pictures: its own, unless its section names others.

        Raises:
            UserError: It trains none.
        """
        self.require_trained(group)
        return self.svhn.features.networks if group == "svhn" else Networks(group)

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
        raise UserError(f"{where}: {_explain(error):.{_LONGEST}}") from None
    for key, value in _unknown_to_dvc(content):
        raise UserError(
            f"{where}: {key:.80}: write it in quotes, DVC has no such values ({_shown(value)})"
        )
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
    key = ".".join(f"{name!s:.80}" for name in first["loc"])
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
