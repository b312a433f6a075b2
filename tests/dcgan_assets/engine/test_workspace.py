"""Which folder is the workspace: --root, then DCGAN_ROOT, then an ancestor with a dvc.yaml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import profile_text
from dcgan_models.errors import UserError


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Three workspaces: `outer`, `inner` below it, `other` beside it; and `deep` below `inner`."""
    places = {
        "outer": tmp_path / "outer",
        "inner": tmp_path / "outer" / "a" / "inner",
        "other": tmp_path / "other",
    }
    for folder in places.values():
        folder.mkdir(parents=True)
        (folder / "dvc.yaml").touch()
    places["deep"] = places["inner"] / "data" / "mnist"
    places["deep"].mkdir(parents=True)
    return places


def test_the_nearest_ancestor_with_a_dvc_yaml(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for start, found in (("deep", "inner"), ("inner", "inner"), ("outer", "outer")):
        monkeypatch.chdir(folders[start])
        assert Workspace.find().root == folders[found]
    monkeypatch.chdir(folders["inner"].parent)
    assert Workspace.find().root == folders["outer"]


def test_the_environment_comes_before_the_ancestors(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folders["deep"])
    monkeypatch.setenv("DCGAN_ROOT", str(folders["other"]))
    assert Workspace.find().root == folders["other"]


def test_the_argument_comes_before_the_environment(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folders["deep"])
    monkeypatch.setenv("DCGAN_ROOT", str(folders["other"]))
    assert Workspace.find(folders["outer"]).root == folders["outer"]
    monkeypatch.chdir(folders["outer"])
    assert Workspace.find("a/inner").root == folders["inner"]


def test_a_named_root_needs_no_dvc_yaml(tmp_path: Path) -> None:
    assert Workspace.find(tmp_path).root == tmp_path


def test_nothing_found_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    # The working directory is tmp_path; nothing above it is a workspace.
    with pytest.raises(UserError, match="no workspace here or above") as caught:
        Workspace.find()
    line = str(caught.value)
    assert line.startswith(str(tmp_path))
    assert "--root" in line
    assert "dcgan init" in line
    assert "\n" not in line


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_named_root_that_is_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="no such folder") as caught:
        Workspace.find(name)
    assert str(tmp_path / name) in str(caught.value)
    monkeypatch.setenv("DCGAN_ROOT", name)
    with pytest.raises(UserError, match="no such folder"):
        Workspace.find()


def test_the_place_of_the_package_plays_no_part(tmp_path: Path) -> None:
    """A copy of the package inside a workspace, called from elsewhere, finds no workspace."""
    import dcgan_assets

    home = Path(dcgan_assets.__file__).parents[1]
    copy = tmp_path / "clone"
    copy.mkdir()
    (copy / "dvc.yaml").touch()
    for package in ("dcgan_assets", "dcgan_models"):
        (copy / package).symlink_to(home / package)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = (
        f"import sys; sys.path.insert(0, {str(copy)!r})\n"
        "import dcgan_assets, dcgan_assets.engine.workspace as w\n"
        f"assert dcgan_assets.__file__.startswith({str(copy)!r})\n"
        "try: print(w.Workspace.find().root)\n"
        "except w.UserError as error: print('refused:', error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=elsewhere, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"refused: {elsewhere}: no workspace here or above")


def test_params_are_read_from_the_root_and_once(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(profile_text("paper"), encoding="utf-8")
    workspace = Workspace(tmp_path)
    assert workspace.params.profile == "paper"
    (tmp_path / "params.yaml").unlink()
    assert workspace.params.profile == "paper"
    assert workspace.dagster_home == tmp_path / ".dagster_home"
