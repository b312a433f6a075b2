"""The `dcgan` command: exit codes, and one line on stderr for whatever the user can mend."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from small_generator import publish_generator

from dcgan_assets.assets.catalogue import open_catalogue
from dcgan_assets.cli import main
from dcgan_assets.dvc.dvc_yaml import stage_names
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import profile_text
from dcgan_models.presets import PRESETS

COMMANDS = ("annotate", "doctor", "dvc-sync", "init", "materialize", "presets", "sample", "ui")


@pytest.fixture(autouse=True)
def _stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should `ui` get past its checks, this process must not be replaced by a web server."""

    def refuse(*arguments: object) -> None:
        raise AssertionError(f"would have run {arguments}")

    monkeypatch.setattr(os, "execv", refuse)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with the sample profile, without git and DVC."""
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "params.yaml").write_text(profile_text("sample"), encoding="utf-8")
    return root


def dcgan(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refusal(*arguments: object) -> str:
    """The one line of a call that fails."""
    done = dcgan(*arguments)
    assert done.exit_code == 1, done.output
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


# --- Help -----------------------------------------------------------------------------------


def test_every_command_explains_itself() -> None:
    assert set(COMMANDS) <= set(main.commands)
    for name in main.commands:
        done = dcgan(name, "--help")
        assert done.exit_code == 0
        assert done.stdout.startswith(f"Usage: main {name}")
    assert "materialize" in dcgan("-h").stdout


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert version("dcgan-assets") in dcgan("--version").stdout


def test_a_wrong_option_is_a_usage_error() -> None:
    done = dcgan("materialize", "--sed", "3")
    assert done.exit_code == 2
    assert "--seed" in done.stderr


# --- Refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ("materialize",),
        ("dvc-sync",),
        ("dvc-sync", "--check"),
        ("ui",),
        ("sample", "mnist"),
        ("annotate", "lsun"),
    ],
    ids=" ".join,
)
def test_no_workspace(command: tuple[str, ...], tmp_path: Path) -> None:
    assert "no workspace here or above" in refusal(*command)
    line = refusal("--root", tmp_path / "nowhere", *command)
    assert line == f"error: root {tmp_path / 'nowhere'}: no such folder"


@pytest.mark.parametrize("command", [("materialize",), ("ui",), ("annotate", "lsun")], ids=" ".join)
def test_params_with_a_mistake(command: tuple[str, ...], root: Path) -> None:
    content = yaml.safe_load(profile_text("sample"))
    content["mnist"]["images"]["trian"] = 3
    (root / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    line = refusal("--root", root, *command)
    assert f"{root / 'params.yaml'}: mnist.images.trian: unknown key; allowed here: " in line
    (root / "params.yaml").unlink()
    assert "params.yaml is missing" in refusal("--root", root, *command)


def test_an_unknown_asset(root: Path) -> None:
    line = refusal("--root", root, "materialize", "mnist/imgaes")
    start = "error: unknown asset or group 'mnist/imgaes' (did you mean mnist/images or "
    assert line.startswith(start)
    assert line.endswith(
        "?); groups: albums, cifar10, faces, imagenet, lsun, mnist, report, "
        "svhn; `dcgan ui` shows all assets"
    )
    line = refusal("--root", root, "log", "mnist/nearest")
    assert line.startswith("error: unknown asset or group 'mnist/nearest' (did you mean ")
    line = refusal("--root", root, "rollback", "nosuch")
    assert line.startswith("error: unknown asset or group 'nosuch'; groups that publish networks: ")
    assert line.endswith("; `dcgan ui` shows all assets")


def test_an_unknown_partition(root: Path) -> None:
    line = refusal("--root", root, "materialize", "mnist/images", "--partition", "7")
    assert line == "error: unknown partition '7'; allowed: none"


def test_a_root_that_cannot_be_written(root: Path) -> None:
    (root / ".dagster_home").touch()
    line = refusal("--root", root, "materialize")
    assert line == f"error: {root / '.dagster_home'}: cannot be written (File exists)"


def test_init_refuses(tmp_path: Path, root: Path) -> None:
    assert "not empty" in refusal("init", root)
    assert "unknown profile 'huge'; allowed: sample, small, paper" in refusal(
        "init", tmp_path / "new", "--profile", "huge"
    )


def test_sample_without_a_generator(root: Path) -> None:
    line = refusal("--root", root, "sample", "mnist")
    assert (
        line == "error: mnist: no generator is published; run `dcgan materialize mnist/generator`"
    )
    line = refusal("--root", root, "sample", "cats")
    assert line.startswith("error: unknown group 'cats'; groups with a generator: mnist, lsun")


def test_sample_from_a_generator_that_is_not_whole(root: Path) -> None:
    (root / "models/mnist/generator").mkdir(parents=True)
    assert "mnist: no generator is published" in refusal("--root", root, "sample", "mnist")
    line = refusal("--root", root, "sample", "mnist", "-o", root / "nowhere" / "out.png")
    assert line == f"error: {root / 'nowhere'}: no such folder"


def test_annotate_without_a_group_or_its_generator(root: Path) -> None:
    names = ", ".join(Workspace(root).params.trained_groups())
    line = refusal("--root", root, "annotate", "lsn")
    assert line == f"error: unknown group 'lsn'; groups with a generator: {names}"
    for outside in ("../lsun", "/etc", ""):
        assert "unknown group" in refusal("--root", root, "annotate", outside)
    line = refusal("--root", root, "annotate", "lsun")
    assert line == (
        "error: lsun: no generator is published; run `dcgan materialize lsun/generator`"
    )


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.mark.parametrize("options", [(), ("--read-only",)], ids=repr)
def test_a_port_that_is_in_use(root: Path, taken_port: int, options: tuple[str, ...]) -> None:
    line = refusal("--root", root, "ui", "--port", taken_port, *options)
    assert line == f"error: port {taken_port} is in use; choose another with --port"


def test_annotate_on_a_port_that_is_in_use(root: Path, taken_port: int) -> None:
    publish_generator(root, "lsun")
    line = refusal("--root", root, "annotate", "lsun", "--no-browser", "--port", taken_port)
    assert line == f"error: port {taken_port} is in use; choose another with --port"


def test_the_real_command_prints_no_traceback(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dcgan_assets.cli", "--root", str(root), "presets", "dcgan65"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: unknown preset 'dcgan65'; allowed: ")


def test_ctrl_c_is_one_word(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("dcgan_assets.engine.workspace.Workspace.find", interrupted)
    done = dcgan("dvc-sync")
    assert (done.exit_code, done.stderr) == (130, "interrupted\n")


def test_a_bug_of_ours_is_shown_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("dcgan_assets.engine.workspace.Workspace.find", broken)
    assert isinstance(dcgan("dvc-sync").exception, ZeroDivisionError)


# --- dvc-sync -------------------------------------------------------------------------------


def test_dvc_sync_writes_and_checks(root: Path) -> None:
    behind = "error: dvc.yaml is behind the asset graph; run `dcgan dvc-sync`"
    assert refusal("--root", root, "dvc-sync", "--check") == behind, "there is none yet"
    every = len(stage_names(open_catalogue(Workspace(root))))
    assert dcgan("--root", root, "dvc-sync").stdout == f"dvc.yaml written: 0 of {every} stages\n"
    assert dcgan("--root", root, "dvc-sync", "--check").exit_code == 0
    asked = f"{every} of {every} stages\n"
    assert dcgan("--root", root, "dvc-sync", "--all").stdout == f"dvc.yaml written: {asked}"
    assert dcgan("--root", root, "dvc-sync", "--check").exit_code == 0
    assert dcgan("--root", root, "dvc-sync", "--all").stdout == f"dvc.yaml is up to date: {asked}"
    path = root / "dvc.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("--only mnist/images", "--only mnist/imagse"), encoding="utf-8")
    assert refusal("--root", root, "dvc-sync", "--check") == behind


# --- materialize ----------------------------------------------------------------------------


def test_a_dry_run_makes_nothing(root: Path, dagster_home: Path) -> None:
    shutil.copytree(dagster_home, root / ".dagster_home")
    done = dcgan("--root", root, "materialize", "--dry-run", "mnist/sample_panels")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == f"plan: {len(lines) - 1} to make, 0 up to date"
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "mnist/images",
        *("mnist/candidate", "mnist/fc_candidate", "mnist/generator", "mnist/fc_generator"),
        "mnist/sample_panels",
    ]
    assert sorted(path.name for path in root.iterdir()) == [".dagster_home", "params.yaml"]


def test_the_root_is_taken_from_the_environment_too(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCGAN_ROOT", str(root))
    assert dcgan("dvc-sync").exit_code == 0
    assert (root / "dvc.yaml").exists()


# --- presets --------------------------------------------------------------------------------


def test_presets_are_listed_and_shown() -> None:
    listed = dcgan("presets").stdout.splitlines()
    assert [line.split()[0] for line in listed] == list(PRESETS)
    for name in PRESETS:
        shown = dcgan("presets", name)
        assert shown.exit_code == 0
        assert shown.stdout.startswith(f"{name}: ")


def test_a_command_line_starts_without_dagster_and_torch() -> None:
    """`dcgan --help` answers at once."""
    code = (
        "import sys, dcgan_assets.cli\n"
        "print([m for m in ('dagster', 'torch', 'dvc', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
