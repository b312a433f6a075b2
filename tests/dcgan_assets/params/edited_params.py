"""The sample profile with edits, and the line with which params.yaml is refused."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import yaml

from dcgan_assets.params.file import Params, profile_text, validate_params
from dcgan_assets.params.groups import PictureGroup
from dcgan_models.errors import UserError

Edit = Callable[[dict[str, Any]], object]

FOLDER: dict[str, Any] = {"source": "folder", "path": "cats", "size": 64, "shards": 1}
NEEDED = [name for name, field in PictureGroup.model_fields.items() if field.is_required()]
COVERS: dict[str, Any] = {
    "removals": "removals.csv",
    "people": {"source": "list", "path": "albums.csv", "count": 10},
    "image_urls": {"searches": ["covers"], "licences": ["any"]},
    "photos": {"shards": 3},
}


def profile(name: str = "sample") -> dict[str, Any]:
    """The content of a template."""
    return deepcopy(_content(name))


@cache
def _content(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(profile_text(name))
    return content


def edited(*edits: Edit) -> dict[str, Any]:
    """The sample profile after these edits."""
    content = profile()
    for edit in edits:
        edit(content)
    return content


def with_lsun(edit: Edit) -> dict[str, Any]:
    """The sample profile; `edit` gets the section of lsun."""
    return edited(lambda content: edit(content["lsun"]))


def with_group(edit: Edit = lambda group: None, name: str = "cats") -> dict[str, Any]:
    """The sample profile with a group made from a folder; `edit` gets its section."""
    lsun = profile()["lsun"]
    group = {key: lsun[key] for key in NEEDED}
    group["images"] = dict(FOLDER)
    edit(group)
    return {**profile(), "groups": {name: group}}


def with_covers(content: dict[str, Any]) -> None:
    """Search for the covers of albums on the web."""
    content["albums"]["images"] = {"source": "search", "size": 128, "shards": 3}
    content["albums"]["search"] = COVERS


def put(section: dict[str, Any], key: str, value: object) -> None:
    """Set the value at a dotted key; a number at its end is a place in a list."""
    *path, last = key.split(".")
    for name in path[:-1] if last.isdigit() else path:
        section = section[name]
    if last.isdigit():
        section[path[-1]] = [value]
    else:
        section[last] = value


def params(content: dict[str, Any]) -> Params:
    """The content, checked."""
    return validate_params(content, "params.yaml")


def refusal(content: Any) -> str:
    """The one line that says what is wrong with the content, after the name of the file."""
    with pytest.raises(UserError) as caught:
        params(content)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("params.yaml: ")
    return line.removeprefix("params.yaml: ")
