"""A user's files where we write, by whatever way round; and groups named like folders of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from fixture_types import Refused
from pydantic import BaseModel

from dcgan_assets.cli.doctor import examine
from dcgan_assets.cli.new_group import add_group
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import PARAMS_FILE, Params, load_params, profile_text, validate_params
from dcgan_assets.params.user_places import PATH_FIELDS, RESERVED_NAMES, named_paths, require_apart

BUILT_IN = ("mnist", "lsun", "faces", "albums", "imagenet", "cifar10", "svhn")
# Text in params.yaml that names no place of the user's.
_NO_PATHS = {
    *("preset", "contact"),
    *("licence", "attribution", "category", "name", "model_sha256", "licences", "expressions"),
    *("groups", "presets", "cron", "time_zone", "start", "end", "discriminator"),
    *("factors", "forget", "beside", "turn"),
    "exchange",  # `folder`, or a bucket
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / PARAMS_FILE).write_text(profile_text("sample"), encoding="utf-8")
    return Workspace(tmp_path / "ws")


def pictures(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number in range(60):
        (folder / f"{number}.jpg").write_bytes(b"x")
    return folder


def text_with(section: str, path: str) -> str:
    """The sample profile with a folder of the user's for one group."""
    content = yaml.safe_load(profile_text("sample"))
    images = {"source": "folder", "path": path}
    if section == "mnist":
        content["mnist"]["images"] |= images
    else:
        content[section]["images"] |= {**images, "pictures": None}
        for name in ("held_out", "planted", "seed"):
            content[section]["images"].pop(name, None)
    return yaml.safe_dump(content)


@pytest.mark.usefixtures("torch_asked_once")
@pytest.mark.parametrize(
    "path",
    [
        *("data/mnist/images", "data/mnist", "data/lsun/mine", "data", ".", "..", "models/mnist"),
        *("results", "runs/mnist/mine", ".dagster_home", ".dvc/cache", "records", "dvc-remote"),
        *("pictures/../data/mnist", "./data/mnist/", "link", "link/images"),
    ],
)
def test_a_path_to_where_we_write_is_refused(
    workspace: Workspace, refused: Refused, path: str
) -> None:
    (workspace.root / "data/mnist").mkdir(parents=True)
    (workspace.root / "link").symlink_to("data/mnist")
    for section in ("mnist", "lsun"):
        (workspace.root / PARAMS_FILE).write_text(text_with(section, path), encoding="utf-8")
        with refused(f"{section}.images.path: {path} lies", f"such as pictures/{section}"):
            load_params(workspace.root / PARAMS_FILE)
    (finding,) = [one for one in examine(workspace) if one.what == "params.yaml"]
    assert finding.state == "FAIL"
    assert "such as pictures/lsun" in finding.detail


@pytest.mark.parametrize("path", ["pictures/mnist", "data/downloads/mnist", "data2", "../mnist"])
def test_a_path_beside_it_is_not(workspace: Workspace, path: str) -> None:
    (workspace.root / PARAMS_FILE).write_text(text_with("mnist", path), encoding="utf-8")
    assert load_params(workspace.root / PARAMS_FILE).mnist.images.path == path


def test_a_place_that_is_a_link_to_the_pictures(workspace: Workspace, refused: Refused) -> None:
    """Of the asset itself, or of the group's whole folder."""
    mine = pictures(workspace.root.parent / "mine")
    for place in ("data/cats", "data/dogs/images"):
        (workspace.root / place).parent.mkdir(parents=True, exist_ok=True)
        (workspace.root / place).symlink_to(mine)
    for name in ("cats", "dogs"):
        with refused(f"groups.{name}: {mine} lies in, above or around data/{name}"):
            add_group(workspace, name, mine, 64)
    assert len(list(mine.iterdir())) == 60


@pytest.mark.parametrize("place", ["data/cats", "data/cats/images", "data", "runs/x", "models"])
def test_new_group_refuses_such_a_folder(
    workspace: Workspace, refused: Refused, place: str
) -> None:
    before = (workspace.root / PARAMS_FILE).read_bytes()
    folder = pictures(workspace.root / place / "mine") if place == "data" else None
    folder = (workspace.root / place) if folder else pictures(workspace.root / place)
    with refused("groups.cats: ", "such as pictures/cats"):
        add_group(workspace, "cats", folder, 64)
    assert (workspace.root / PARAMS_FILE).read_bytes() == before


@pytest.mark.parametrize("words", [".", "", "..", "pictures/.."])
def test_new_group_refuses_the_workspace_itself(
    workspace: Workspace, refused: Refused, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """By whatever name it goes where the command is typed; a folder of pictures may be `.`."""
    mine = pictures(workspace.root / "pictures/mine")
    before = (workspace.root / PARAMS_FILE).read_bytes()
    monkeypatch.chdir(workspace.root)
    with refused("groups.cats: ", "such as pictures/cats"):
        add_group(workspace, "cats", Path(words), 64)
    assert (workspace.root / PARAMS_FILE).read_bytes() == before
    monkeypatch.chdir(mine)
    assert add_group(workspace, "cats", Path(), 64)["images"]["path"] == "pictures/mine"


@pytest.mark.parametrize("name", sorted({*RESERVED_NAMES, *BUILT_IN, "seed", "groups"}))
def test_names_of_ours_are_refused(workspace: Workspace, refused: Refused, name: str) -> None:
    folder = pictures(workspace.root / "pictures/mine")
    with refused(f"groups.{name}: ", "choose another"):
        add_group(workspace, name, folder, 64)
    section = add_group(workspace, "cats", folder, 64)
    content = yaml.safe_load(profile_text("sample")) | {"groups": {name: section}}
    with refused(f"groups.{name}: ", "choose another"):
        validate_params(content, "params.yaml")


def test_every_text_that_names_a_place_is_looked_at() -> None:
    """A new field of text is a path, or stands among those that are none."""
    found = {name for name, kind in _text_fields(Params)}
    assert found - _NO_PATHS == PATH_FIELDS


def _text_fields(model: type[BaseModel]) -> Any:
    for name, field in model.model_fields.items():
        yield from _texts(name, field.annotation)


def _texts(name: str, kind: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield from _text_fields(kind)
    elif kind is str:
        yield name, kind
    for inner in get_args(kind):
        if not isinstance(inner, str):
            yield from _texts(name, inner)


def test_the_authors_arrays_and_a_detectors_model_are_looked_at(refused: Refused) -> None:
    content = yaml.safe_load(profile_text("sample"))
    content["svhn"]["features"]["discriminator"] = "released:data/svhn/authors"
    params = validate_params(content, "params.yaml")
    assert ("svhn.features.discriminator", "data/svhn/authors") in named_paths(params)
    with refused("svhn.features.discriminator: data/svhn/authors lies in"):
        require_apart(
            Path("/nowhere"), BUILT_IN, "data/svhn/authors", "svhn.features.discriminator"
        )
    assert params.group_names() == BUILT_IN
