"""`dcgan invert`: a photograph beside the nearest picture, arithmetic on it, and bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from small_generator import publish_generator

from dcgan_assets.annotate.files import Concepts, concepts_path, write_concepts
from dcgan_assets.cli import main
from dcgan_assets.params.file import profile_text
from dcgan_assets.sources.reading.decode import thumbnails
from dcgan_models import load_generator
from dcgan_models.networks import Generator

SIDE, GAP = 64, 4


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "params.yaml").write_text(profile_text("sample"), encoding="utf-8")
    return root


@pytest.fixture
def version(root: Path) -> str:
    return publish_generator(root, "lsun")


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """Wider than high, with something in it."""
    pixels = np.random.default_rng(0).integers(0, 256, (80, 120, 3), dtype=np.uint8)
    pixels[20:60, 40:80] = (200, 40, 90)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def invert(root: Path, group: str, photograph: Path, *arguments: object) -> Result:
    budget = ("--restarts", "3", "--steps", "12")
    words = map(str, ("--root", root, "invert", group, photograph, *budget, *arguments))
    return CliRunner().invoke(main, [*words])


def refusal(done: Result) -> str:
    assert done.exit_code == 1, done.output
    (line,) = done.stderr.splitlines()
    return line


def published(root: Path) -> tuple[Generator, torch.Tensor]:
    generator = load_generator(root / "models/lsun/generator")
    assert generator.fixed_z is not None
    return generator, generator.fixed_z


def test_the_photograph_stands_beside_the_picture_of_the_z_that_is_saved(
    root: Path, version: str, photograph: Path, tmp_path: Path
) -> None:
    out, saved = tmp_path / "out.png", tmp_path / "z.npy"
    done = invert(root, "lsun", photograph, "-o", out, "--save", saved)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    errors = [float(line.split(": ")[1].split()[0]) for line in lines[:3]]
    assert errors == sorted(errors)
    assert lines[3] == f"{out}: photograph | nearest picture by lsun/generator"

    shown = np.asarray(Image.open(out))
    assert shown.shape == (SIDE, 2 * SIDE + GAP, 3)
    with Image.open(photograph) as picture:
        (square,) = thumbnails(np.asarray(picture), (SIDE,))
    np.testing.assert_array_equal(shown[:, :SIDE], square)
    z = torch.from_numpy(np.load(saved, allow_pickle=False))
    assert z.abs().max() <= 1
    nearest = shown[:, SIDE + GAP :].astype(int)
    np.testing.assert_allclose(nearest, published(root)[0].draw(z[None])[0].astype(int), atol=1)
    measured = np.sqrt(np.mean((nearest - square.astype(int)) ** 2))
    assert errors[0] == pytest.approx(measured, abs=0.01)


def test_a_sample_of_the_generator_is_nearer_than_noise(
    root: Path, version: str, photograph: Path, tmp_path: Path
) -> None:
    generator, z = published(root)
    Image.fromarray(generator.draw(z[:1])[0]).save(tmp_path / "sample.png")
    errors = []
    for picture in (tmp_path / "sample.png", photograph):
        done = invert(root, "lsun", picture, "--steps", 60, "-o", tmp_path / "out.png")
        errors.append(float(done.stdout.split(": ")[1].split()[0]))
    assert errors[0] < errors[1] / 2


def test_arithmetic_goes_on_from_the_photograph(
    root: Path, version: str, photograph: Path, tmp_path: Path
) -> None:
    picks = {"smiling": (1, 2, 3), "neutral": (4, 5)}
    write_concepts(concepts_path(root, "lsun"), Concepts(version, "person", picks), "lsun")
    out, saved = tmp_path / "out.png", tmp_path / "z.npy"
    options = ("-o", out, "--save", saved)
    done = invert(root, "lsun", photograph, *options, "--add", "smiling - neutral")
    assert "| smiling - neutral added" in done.stdout
    generator, z = published(root)
    latent = torch.from_numpy(np.load(saved)) + z[[1, 2, 3]].mean(0) - z[[4, 5]].mean(0)
    expected = generator.draw(latent[None])[0].astype(int)
    last = np.asarray(Image.open(out))[:, 2 * (SIDE + GAP) :]
    np.testing.assert_allclose(last, expected, atol=1)


def test_bad_input_is_one_line(root: Path, version: str, photograph: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"

    def refused(group: str, picture: Path, *arguments: object) -> str:
        line = refusal(invert(root, group, picture, "-o", out, *arguments))
        assert not out.exists()
        return line

    (tmp_path / "page.jpg").write_text("<html>not found</html>", encoding="utf-8")
    (tmp_path / "cut.png").write_bytes(photograph.read_bytes()[:900])
    assert "page.jpg: HTML, not a picture" in refused("lsun", tmp_path / "page.jpg")
    assert "cut.png: truncated" in refused("lsun", tmp_path / "cut.png")
    assert "nothing.jpg: cannot be read (No such file" in refused("lsun", tmp_path / "nothing.jpg")
    assert f"{tmp_path}: cannot be read (Is a directory" in refused("lsun", tmp_path)
    assert "groups with a generator: mnist, lsun" in refused("dogs", photograph)
    assert "imagenet: no generator is published" in refused("imagenet", photograph)
    publish_generator(root, "mnist", "mnist28")
    assert "mnist/generator: a conditional generator" in refused("mnist", photograph)
    assert "nowhere: no such folder" in refused(
        "lsun", photograph, "--save", tmp_path / "nowhere" / "z.npy"
    )


def test_concepts_that_cannot_be_added(root: Path, version: str, photograph: Path) -> None:
    def refused(expression: str) -> str:
        return refusal(invert(root, "lsun", photograph, "--add", expression))

    path = concepts_path(root, "lsun")
    assert "concepts.json is missing: pick concepts with `dcgan annotate lsun`" in refused("a")
    write_concepts(path, Concepts(version, "person", {"smiling": (1,)}), "lsun")
    assert "cannot read '*'" in refused("smiling * 2")
    assert "unknown concept 'frowning'; there are: smiling" in refused("frowning - smiling")
    write_concepts(path, Concepts("0" * 32, "person", {"smiling": (1,)}), "lsun")
    assert "made for generator 000000000000" in refused("smiling")
