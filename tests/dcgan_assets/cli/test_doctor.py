"""`dcgan doctor`: what it finds on this machine, and in a workspace with something wrong."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from dcgan_assets.assets.catalogue import open_catalogue
from dcgan_assets.cli import main
from dcgan_assets.cli.doctor import Finding, examine
from dcgan_assets.dvc.dvc_yaml import write_dvc_yaml
from dcgan_assets.engine.store import Meta
from dcgan_assets.engine.torch_findings import examine_torch
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import profile_text, validate_params
from dcgan_assets.params.user_places import named_paths
from dcgan_models.errors import UserError

INSTALLATION = ["python", "torch", "gpu", "dvc"]
SAMPLE = validate_params(yaml.safe_load(profile_text("sample")), "sample")
SEARCHES = ["faces", "haar_alt2", "haar_default"]
GROUPS = [name for name, section in SAMPLE if hasattr(section, "images")]


@pytest.fixture
def write_params(tmp_path: Path) -> Callable[..., Workspace]:
    """Write the sample profile with changed keys of mnist.images."""

    def write(**changes: Any) -> Workspace:
        content = yaml.safe_load(profile_text("sample"))
        content["mnist"]["images"].update(changes)
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        (tmp_path / "removals.csv").write_text("address,sha256,person,comment\n", "utf-8")
        with contextlib.suppress(UserError):  # bad params are what some tests are about
            write_dvc_yaml(open_catalogue(Workspace(tmp_path)), ())
        return Workspace(tmp_path)

    return write


def findings(workspace: Workspace | None) -> dict[str, Finding]:
    found = list(examine(workspace))
    assert len({finding.what for finding in found}) == len(found)
    for finding in found:
        assert "\n" not in finding.detail
        assert finding.detail
    return {finding.what: finding for finding in found}


def test_the_installation_alone() -> None:
    found = findings(None)
    assert list(found) == INSTALLATION
    assert found["python"].detail.startswith(sys.version.split()[0])
    assert {found[what].state for what in ("python", "torch", "dvc")} == {"ok"}
    assert found["gpu"].state in {"ok", "note"}


@pytest.mark.slow
def test_torchvision_is_looked_at_without_loading_its_networks() -> None:
    """They load torch's compiler, which takes longer than all the rest of the command."""
    code = (
        "import sys; from dcgan_assets.engine.torch_findings import examine_torch; "
        "assert examine_torch().state == 'ok'; "
        "assert not {'torchvision', 'torch._dynamo'} & sys.modules.keys(); "
        "import torch, torchvision; "
        "torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_torchvision_of_another_family_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where torchvision cannot load what it compiled, its words are on the line."""
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "extension.py").write_text(
        "def _assert_has_ops():\n    raise RuntimeError('could not load ops\\nmore')\n", "utf-8"
    )
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = examine_torch()
    assert found.state == "FAIL"
    assert "not from one build family (could not load ops)" in found.detail


def test_torch_that_kills_its_process_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A library is missing, the processor too old: the rest is looked at all the same."""
    for code, cause in (
        ("raise ImportError('libcudart.so.13: cannot open')", "libcudart.so.13: cannot open"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "exit code -4: nothing was"),
    ):
        (tmp_path / "torch.py").write_text(code + "\n", "utf-8")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        found = findings(None)
        assert list(found) == ["python", "torch", "dvc"]
        assert found["torch"].state == "FAIL"
        assert cause in found["torch"].detail


@pytest.mark.usefixtures("torch_asked_once")
def test_a_workspace_that_is_ready(write_params: Callable[..., Workspace]) -> None:
    found = findings(write_params())
    expected = [*INSTALLATION, "disk", "params.yaml", *GROUPS, *SEARCHES, "dvc.yaml", "records"]
    assert [what for what in found if what in expected] == expected
    assert {found[what].state for what in GROUPS} == {"ok"}
    assert found["params.yaml"] == Finding("ok", "params.yaml", "profile sample")
    assert found["mnist"] == Finding("ok", "mnist", "source: packaged")
    assert "GB free" in found["disk"].detail


@pytest.mark.usefixtures("torch_asked_once")
def test_bad_params_are_a_finding(write_params: Callable[..., Workspace]) -> None:
    found = findings(write_params(train=0))
    assert found["params.yaml"].state == "FAIL"
    assert "mnist.images.train" in found["params.yaml"].detail
    assert "mnist" not in found


@pytest.mark.usefixtures("torch_asked_once")
def test_books_that_are_not_whole_and_what_a_kill_leaves(
    write_params: Callable[..., Workspace],
) -> None:
    workspace = write_params()
    command, assets = "dcgan materialize --only cats/images", "{dagster_assets: [cats/images]}"
    gone = f"stages: {{cats-images: {{cmd: {command}, meta: {assets}}}}}\n"
    (workspace.root / "dvc.yaml").write_text(gone, encoding="utf-8")
    record = workspace.root / "records" / "mnist" / "images.json"
    record.parent.mkdir(parents=True)
    record.write_text("{", encoding="utf-8")
    (workspace.root / "data" / "mnist" / ".images.1a2b3c4d.part").mkdir(parents=True)
    (workspace.root / ".records.1a2b3c4d.part").mkdir()
    found = findings(workspace)
    assert found["dvc.yaml"].state == found["records"].state == "FAIL"
    assert "`dcgan dvc-sync`" in found["dvc.yaml"].detail
    assert found["records"].detail.startswith("records/mnist/images.json: not readable")
    for name in (".records.1a2b3c4d.part", "data/mnist/.images.1a2b3c4d.part"):
        assert name in found["left over"].detail


def make_something(workspace: Workspace, key: str) -> None:
    """Publish an empty asset."""
    catalogue = open_catalogue(workspace)
    store, artefact = catalogue.store, catalogue.artefact(key)
    meta = Meta(
        key=key,
        shard=None,
        data_version="d",
        code_version="c",
        fingerprint="f",
        inputs={},
        seed=None,
        params_seed=1,
        created="2026-01-01T00:00:00+00:00",
        duration_s=1.0,
        hardware="none",
    )
    with store.writing(artefact) as staging:
        store.publish(staging, artefact, meta)


@pytest.mark.usefixtures("torch_asked_once")
def test_a_folder_of_the_user_that_is_not_there(
    write_params: Callable[..., Workspace], tmp_path: Path
) -> None:
    workspace = write_params(source="folder", path="digits")
    said = f"pictures from {tmp_path / 'digits'}, which is not there"
    found = findings(workspace)
    assert found["mnist"] == Finding("note", "mnist", said)
    everything = "mnist, report, lsun, faces, albums, imagenet, cifar10, svhn"
    assert found["never made"] == Finding("note", "never made", f"nothing of {everything}")
    make_something(workspace, "mnist/images")
    found = findings(workspace)
    assert found["mnist"] == Finding("FAIL", "mnist", said)
    assert found["never made"].detail == f"nothing of {everything.removeprefix('mnist, ')}"
    (tmp_path / "digits").mkdir()
    assert findings(workspace)["mnist"].state == "ok"


@pytest.mark.usefixtures("torch_asked_once")
@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"source": "lsun", "category": "bedroom"}, "bedroom: 45.9 GB to download"),
        ({"source": "cifar10"}, "cifar10, 170 MB to download"),
    ],
)
def test_a_download_says_what_it_takes(
    write_params: Callable[..., Workspace], source: dict[str, str], words: str
) -> None:
    workspace = write_params()
    path = workspace.root / "params.yaml"
    params = yaml.safe_load(path.read_text())
    images = params["lsun"]["images"]
    for name in ("pictures", "held_out", "planted"):
        del images[name]
    images.update(source)
    path.write_text(yaml.safe_dump(params))
    finding = findings(Workspace(workspace.root))["lsun"]
    assert finding.state == "ok"
    assert words in finding.detail


@pytest.mark.usefixtures("torch_asked_once")
@pytest.mark.parametrize(
    ("section", "changes", "words"),
    [
        ("faces", {"removals": "gone.csv"}, "gone.csv is missing"),
        (
            "people",
            {"source": "list", "path": "names.csv", "packaged": None},
            "names.csv is missing",
        ),
        (
            "people",
            {
                "source": "wikidata",
                "packaged": None,
                "born_after": "1900-01-01",
                "born_before": "2000-01-01",
            },
            "operator: `contact` is missing",
        ),
    ],
)
def test_a_search_that_could_not_be_made(
    write_params: Callable[..., Workspace], section: str, changes: dict[str, Any], words: str
) -> None:
    path = write_params().root / "params.yaml"
    params = yaml.safe_load(path.read_text())
    faces = params["faces"]
    (faces if section == "faces" else faces[section]).update(changes)
    if section == "people":
        faces["image_urls"]["searches"] = ["commons"]
    path.write_text(yaml.safe_dump(params))
    finding = findings(Workspace(path.parent))["faces"]
    assert finding.state == "note"
    assert words in finding.detail
    make_something(Workspace(path.parent), "faces/people")
    assert findings(Workspace(path.parent))["faces"] == replace(finding, state="FAIL")


@pytest.mark.usefixtures("torch_asked_once")
def test_a_detector_whose_model_is_not_there(write_params: Callable[..., Workspace]) -> None:
    path = write_params().root / "params.yaml"
    params = yaml.safe_load(path.read_text())
    yunet = {"name": "yunet", "model": "yunet.onnx", "model_sha256": 64 * "0"}
    params["faces"]["face_boxes"]["second"] = yunet
    path.write_text(yaml.safe_dump(params))
    make_something(Workspace(path.parent), "faces/people")
    finding = findings(Workspace(path.parent))["yunet"]
    assert finding.state == "FAIL"
    assert "no such file" in finding.detail


@pytest.mark.usefixtures("torch_asked_once")
def test_every_place_that_params_name_is_looked_at(write_params: Callable[..., Workspace]) -> None:
    """But for the verdicts of a person, which are counted once they are there."""
    path = write_params().root / "params.yaml"
    params = yaml.safe_load(path.read_text())
    for name in ("train", "test"):
        del params["cifar10"]["images"][name]
    params["cifar10"]["images"].update(source="folder", path="pictures/cifar10")
    params["faces"]["people"].update(source="list", path="names.csv", packaged=None)
    params["faces"]["image_urls"]["searches"] = ["covers"]
    yunet = {"name": "yunet", "model": "yunet.onnx", "model_sha256": 64 * "0"}
    params["faces"]["face_boxes"]["second"] = yunet
    params["lsun"]["quality"]["inception"] = "inception.pth"
    params["svhn"]["features"]["discriminator"] = "released:arrays"
    path.write_text(yaml.safe_dump(params))
    workspace = Workspace(path.parent)
    named = {name for key, name in named_paths(workspace.params) if not key.endswith("verdicts")}
    found = findings(workspace)
    lacking = {
        "cifar10": "pictures/cifar10",
        "faces": "names.csv",
        "yunet": "yunet.onnx",
        "lsun.quality": "inception.pth",
        "svhn.features": "arrays",
    }
    assert named == {"removals.csv", *lacking.values()}
    for what, name in lacking.items():
        assert found[what].state == "note", "nothing was made of the group"
        assert str(path.parent / name) in found[what].detail


@pytest.mark.usefixtures("torch_asked_once")
def test_git_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = findings(None)["dvc"]
    assert finding.state == "FAIL"
    assert "git is not installed" in finding.detail


@pytest.mark.usefixtures("torch_asked_once")
def test_the_command_prints_a_line_each_and_fails_where_one_does(
    write_params: Callable[..., Workspace], tmp_path: Path
) -> None:
    write_params()
    well = CliRunner().invoke(main, ["--root", str(tmp_path), "doctor"])
    assert well.exit_code == 0
    looked_at = {line.split()[1] for line in well.stdout.splitlines()}
    expected = {*INSTALLATION, "disk", "params.yaml", *GROUPS, *SEARCHES, "dvc.yaml", "records"}
    assert expected <= looked_at
    write_params(train=0)
    ill = CliRunner().invoke(main, ["--root", str(tmp_path), "doctor"])
    assert ill.exit_code == 1
    assert [line for line in ill.stdout.splitlines() if line.startswith("FAIL")] == [
        line for line in ill.stdout.splitlines() if "params.yaml" in line
    ]


@pytest.mark.usefixtures("torch_asked_once")
def test_without_a_workspace_it_still_looks_at_the_machine() -> None:
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0].startswith("note  workspace")
    assert len(done.stdout.splitlines()) == 1 + len(INSTALLATION)
