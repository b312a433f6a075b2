"""`-o` and `--save` at places where nothing of a command's may be written."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from small_generator import publish_generator

from dcgan_assets.cli import main
from dcgan_assets.params.file import profile_text
from dcgan_models import load_generator
from dcgan_models.grids import tile


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a tiny generator."""
    root = tmp_path_factory.mktemp("workspace")
    (root / "params.yaml").write_text(profile_text("sample"), encoding="utf-8")
    publish_generator(root, "lsun")
    return root


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (70, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def call(root: Path, *words: object) -> tuple[int, list[str]]:
    """The exit code, and the lines of an error."""
    done = CliRunner().invoke(main, ["--root", str(root), *map(str, words)])
    return done.exit_code, done.stderr.splitlines()


def everything(*folders: Path) -> dict[Path, bytes]:
    found = (path for folder in folders for path in folder.rglob("*"))
    return {path: path.read_bytes() for path in found if path.is_file()}


def test_a_name_says_what_is_written_or_is_refused(root: Path, tmp_path: Path) -> None:
    for name in ("x.jpg", "x.jpeg", "x.webp", "x", "x.png.gif", ".png"):
        code, lines = call(root, "sample", "lsun", "-n", 4, "-o", tmp_path / name)
        words = "what is written is a PNG; allowed are names ending in .png"
        assert (code, lines) == (1, [f"error: {tmp_path / name}: {words}"])
    assert not any(tmp_path.iterdir())
    code, lines = call(root, "sample", "lsun", "-n", 4, "--seed", 3, "-o", tmp_path / "x.PNG")
    assert (code, lines) == (0, [])
    with Image.open(tmp_path / "x.PNG") as picture:
        assert picture.format == "PNG"
        shown = np.asarray(picture)
    drawn = load_generator(root / "models/lsun/generator").sample(4, 3, None)
    np.testing.assert_array_equal(shown, tile(drawn, 2))


def test_nothing_else_is_replaced_than_a_file_of_its_kind(
    root: Path, tmp_path: Path, photograph: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    Image.open(photograph).save(kept / "jpeg.png", format="JPEG")
    (kept / "notes.png").write_text("my notes", encoding="utf-8")
    (kept / "empty.png").touch()
    (kept / "folder.png").mkdir()
    (kept / "folder.png" / "inside").write_text("mine", encoding="utf-8")
    (kept / "locked.png").write_bytes(photograph.read_bytes())
    (kept / "locked.png").chmod(0o444)
    (kept / "link.png").symlink_to(kept / "locked.png")
    (kept / "linked_jpeg.png").symlink_to(kept / "jpeg.png")
    before = everything(kept)
    for path in sorted(kept.glob("*.png")):
        for command in (("sample", "lsun", "-n", 4), ("invert", "lsun", photograph)):
            code, (line,) = call(root, *command, "-o", path)
            assert code == 1
            assert line.startswith(f"error: {path}: ")
            assert "choose another name" in line
    (kept / "z.npy").write_bytes(b"my own numbers")
    code, (line,) = call(
        root, "invert", "lsun", photograph, "-o", tmp_path / "out.png", "--save", kept / "z.npy"
    )
    assert (code, "not an array" in line) == (1, True)
    (kept / "z.npy").unlink()
    assert everything(kept) == before
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("place", ["/dev/full", "/dev/null", "link.png", "pipe.png", "loop.png"])
def test_a_device_or_a_pipe_is_not_replaced(
    root: Path, tmp_path: Path, photograph: Path, place: str
) -> None:
    (tmp_path / "link.png").symlink_to("/dev/full")
    (tmp_path / "loop.png").symlink_to("loop.png")
    os.mkfifo(tmp_path / "pipe.png")
    there = {path: path.lstat().st_ino for path in (*tmp_path.iterdir(), Path("/dev/full"))}
    for command in (("sample", "lsun", "-n", 4), ("invert", "lsun", photograph)):
        code, (line,) = call(root, *command, "-o", tmp_path / place)
        assert code == 1
        assert line.startswith(f"error: {tmp_path / place}: ")
    assert {path: path.lstat().st_ino for path in there} == there


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/null", "pipe", "socket", "folder", "loop"])
def test_what_is_no_plain_file_is_not_read(root: Path, tmp_path: Path, place: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as sock, contextlib.chdir(tmp_path):
        sock.bind("socket")
    out = tmp_path / "out.png"
    code, (line,) = call(root, "invert", "lsun", tmp_path / place, "-o", out)
    assert code == 1
    assert line.startswith(f"error: {tmp_path / place}: cannot be read (")
    assert not out.exists()


def test_the_photograph_is_not_written_over(root: Path, tmp_path: Path, photograph: Path) -> None:
    (tmp_path / "link.png").symlink_to(photograph)
    (tmp_path / "twin.png").hardlink_to(photograph)
    before = photograph.read_bytes()
    for out in ("photo.png", "link.png", "twin.png"):
        code, (line,) = call(root, "invert", "lsun", photograph, "-o", tmp_path / out)
        assert (code, line) == (
            1,
            f"error: {tmp_path / out}: this is what is read; choose another name",
        )
    assert photograph.read_bytes() == before


def test_nothing_is_written_where_the_pipeline_makes_things(
    root: Path, tmp_path: Path, photograph: Path
) -> None:
    for name in ("data", "results", "runs/lsun"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (tmp_path / "door").symlink_to(root / "models/lsun/generator")
    before = everything(root)
    inside = [root / name for name in ("data", "models/lsun/generator", "results", "runs/lsun")]
    for folder in (*inside, tmp_path / "door", root / "results" / ".." / "models"):
        for command in (("sample", "lsun"), ("invert", "lsun", photograph)):
            code, (line,) = call(root, *command, "-o", folder / "x.png")
            assert code == 1
            assert "holds what the pipeline makes; choose another folder" in line
    assert everything(root) == before
    assert call(root, "sample", "lsun", "-n", 1, "-o", root / "here.png") == (0, [])
    (root / "here.png").unlink()


def test_a_picture_of_before_is_replaced(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    assert call(root, "sample", "lsun", "-n", 1, "-o", out) == (0, [])
    first = out.read_bytes()
    assert call(root, "sample", "lsun", "-n", 1, "--seed", 1, "-o", out) == (0, [])
    assert out.read_bytes() != first
