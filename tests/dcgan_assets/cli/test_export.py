"""`dcgan export`: the forms that other tools read, and one line where it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from small_generator import publish_generator

from dcgan_assets.cli import main
from dcgan_assets.params.file import profile_text


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "params.yaml").write_text(profile_text("sample"), encoding="utf-8")
    publish_generator(root, "lsun")
    return root


def export(root: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--root", str(root), "export", *words])


def test_an_onnx_file_is_written_and_replaced(root: Path, tmp_path: Path) -> None:
    import onnxruntime

    out = tmp_path / "rooms.onnx"
    for _ in range(2):
        result = export(root, "lsun", "--to", "onnx", "-o", str(out))
        assert result.exit_code == 0, result.output
        assert result.output.startswith(f"{out}: lsun/generator, ")
    (given,) = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"]).get_inputs()
    assert (given.name, given.shape[1:]) == ("z", [100])


def test_a_folder_for_the_hub_is_new_and_whole(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "rooms"
    result = export(root, "lsun", "--to", "hf", "-o", str(out))
    assert result.output == f"{out}: lsun/generator; README.md says how to draw with it\n"
    names = {path.name for path in out.iterdir()}
    assert names == {"README.md", "config.json", "model.safetensors", "samples.png"}
    (out / "mine.txt").write_text("mine", encoding="utf-8")
    again = export(root, "lsun", "--to", "hf", "-o", str(out))
    assert (again.exit_code, again.output) == (
        1,
        f"error: {out}: is there already; choose a new folder\n",
    )
    assert (out / "mine.txt").read_text("utf-8") == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"rooms", "workspace"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mnist", "--to", "onnx"), "mnist: no generator is published"),
        (("cats", "--to", "hf"), "unknown group 'cats'"),
        (("lsun", "--to", "onnx", "-o", "rooms.bin"), "what is written is an ONNX file"),
        (("lsun", "--to", "onnx", "-o", "mine.onnx"), "not an ONNX file, so it is not replaced"),
        (("lsun", "--to", "hf", "-o", "none/rooms"), "none: no such folder"),
        (("lsun", "--to", "hf", "-o", "models/rooms"), "holds what the pipeline makes"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    (root / "mine.onnx").write_text("my notes", encoding="utf-8")
    monkeypatch.chdir(root)
    before = sorted(root.rglob("*"))
    result = export(root, *words)
    assert result.exit_code == 1
    assert result.output.startswith("error: ")
    assert result.output.count("\n") == 1
    assert said in result.output
    assert sorted(root.rglob("*")) == before
