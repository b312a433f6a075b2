"""`dcgan init`: a workspace that git, DVC and Dagster take, for every profile."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from checkout import CHECKOUT
from click.testing import CliRunner, Result
from small_graph import IDENTITY

from dcgan_assets.cli import main
from dcgan_assets.cli.init import create_workspace
from dcgan_assets.params.file import PROFILES, profile_text
from dcgan_models.errors import UserError


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Result]]:
    """A workspace of every profile, and what the command said: each takes seconds."""
    found = {}
    for profile in PROFILES:
        root = tmp_path_factory.mktemp("made") / "new" / profile
        found[profile] = (root, CliRunner().invoke(main, ["init", str(root), "--profile", profile]))
    return found


@pytest.fixture
def sample(made: dict[str, tuple[Path, Result]]) -> Path:
    return made["sample"][0]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_workspace_of_every_profile(made: dict[str, tuple[Path, Result]], profile: str) -> None:
    root, said = made[profile]
    assert said.exit_code == 0, said.output
    assert said.stdout.splitlines() == [
        f"{root}: a workspace with the {profile} profile",
        f"next: cd {root} && dcgan materialize",
    ]
    assert (root / "params.yaml").read_text(encoding="utf-8") == profile_text(profile)
    assert Path(git(root, "rev-parse", "--show-toplevel")) == root
    check = CliRunner().invoke(main, ["--root", str(root), "dvc-sync", "--check"])
    assert (check.exit_code, check.stdout) == (0, "dvc.yaml is up to date\n")


def test_it_is_found_from_inside_and_has_everything_to_do(
    sample: Path, dagster_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(dagster_home, sample / ".dagster_home")
    (sample / "notes").mkdir()
    monkeypatch.chdir(sample / "notes")
    plan = CliRunner().invoke(main, ["materialize", "--dry-run", "mnist"])
    assert plan.exit_code == 0, plan.output
    assert plan.stdout.splitlines()[1] == "  mnist/images: not there yet"
    assert ", 0 up to date" in plan.stdout


def test_dvc_is_set_up_to_link_and_to_keep_quiet(sample: Path) -> None:
    from dvc.repo import Repo

    with Repo(str(sample)) as repo:
        assert repo.config["core"]["analytics"] is False
        assert repo.config["cache"]["type"] == ["reflink", "hardlink", "copy"]
        assert repo.config["core"]["remote"] == "results"
        remotes = {name: facts["url"] for name, facts in repo.config["remote"].items()}
        assert remotes == {
            "results": str(sample / "dvc-remote"),
            "bulk": str(sample.parent / "sample-bulk"),
        }
        assert list(repo.index.stages) == []  # of what was never made there is none


def test_git_leaves_what_dvc_and_dagster_keep(sample: Path) -> None:
    for name in ("data/mnist/images/x", "models/a", "results/b", "runs/c", ".dagster_home/d"):
        assert git(sample, "check-ignore", name) == name
    seen = git(sample, "ls-files", "--others", "--cached", "--exclude-standard").splitlines()
    expected = {"params.yaml", "dvc.yaml", "workspace.yaml", ".gitignore", ".dvcignore"}
    assert expected | {".dvc/config"} <= set(seen)


def test_everything_is_in_git_whole(sample: Path) -> None:
    assert git(sample, "diff") == ""  # what is staged, or committed, is what is there
    tracked = git(sample, "ls-files").splitlines()
    assert {".dvc/config", ".dvc/.gitignore", ".dvcignore", "dvc.yaml", "params.yaml"} <= set(
        tracked
    )
    assert git(sample, "ls-files", "--others", "--exclude-standard") == ""


def test_a_user_whom_git_knows_gets_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in IDENTITY.items():
        monkeypatch.setenv(name, value)
    create_workspace(tmp_path / "new", "sample")
    assert git(tmp_path / "new", "log", "--format=%an %s") == "tester A workspace, profile sample"
    assert git(tmp_path / "new", "status", "--short") == ""


def test_dagster_is_told_where_the_code_is(sample: Path) -> None:
    content = yaml.safe_load((sample / "workspace.yaml").read_text(encoding="utf-8"))
    (location,) = content["load_from"]
    assert location["python_module"]["module_name"] == "dcgan_assets.definitions"
    checkout = CHECKOUT / "workspace.yaml"
    assert yaml.safe_load(checkout.read_text(encoding="utf-8")) == content


# --- With DVC -------------------------------------------------------------------------------


def test_pictures_of_ones_own_can_be_put_under_dvc(sample: Path) -> None:
    """Nothing that git or DVC is told to leave alone is in the way."""
    from dvc.repo import Repo

    folder = sample / "pictures" / "cats"
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"a")
    with Repo(str(sample)) as repo:
        repo.add(str(folder))
        assert repo.status() == {}
    git(sample, "add", "pictures")
    staged = git(sample, "diff", "--cached", "--name-only").splitlines()
    assert {"pictures/.gitignore", "pictures/cats.dvc"} <= set(staged)
    assert "pictures/cats/a.jpg" not in staged


def test_folders_that_are_to_be_filled_are_in_nobodys_way(
    made: dict[str, tuple[Path, Result]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dvc.repo import Repo

    root = made["paper"][0]
    monkeypatch.chdir(root)  # DVC names stages as seen from there
    assert CliRunner().invoke(main, ["--root", str(root), "dvc-sync", "--all"]).exit_code == 0
    with Repo(str(root)) as repo:
        (changes, _) = repo.status()["albums-images"]
        assert changes["changed deps"]["pictures/albums"] == "deleted"
        assert [stage.name for stage in repo.reproduce("mnist-images", dry=True)] == [
            "mnist-images"
        ]
    assert CliRunner().invoke(main, ["--root", str(root), "dvc-sync"]).exit_code == 0
    with Repo(str(root)) as repo:
        repo.pull()  # raises where something cannot be had


# --- Refusals -------------------------------------------------------------------------------


def test_an_unknown_profile_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown profile 'huge'"):
        create_workspace(tmp_path / "new", "huge")
    assert not (tmp_path / "new").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / ".hidden").touch()
    with pytest.raises(UserError, match="not empty"):
        create_workspace(tmp_path / "new", "sample")
    assert [path.name for path in (tmp_path / "new").iterdir()] == [".hidden"]


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "new").touch()
    with pytest.raises(UserError, match=r"new: cannot be written \(File exists\)"):
        create_workspace(tmp_path / "new", "sample")


def test_no_git_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="git is not installed"):
        create_workspace(tmp_path / "new", "sample")
    assert not (tmp_path / "new").exists()


def test_a_git_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho first >&2\necho 'no space' >&2\nexit 3\n", "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(UserError) as caught:
        create_workspace(tmp_path / "new", "sample")
    assert str(caught.value) == f"{tmp_path / 'new'}: `git init --quiet` failed: no space"
